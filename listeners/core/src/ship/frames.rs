//! A local file as a stream of what is stored of it, with bounded memory.
//!
//! A plain file goes as it is, a compressed one as independent zstd frames of 1 MiB of it each, so that a reader can begin at
//! any of them. The frames are the same whenever they are made by the same build: a run that resumes can tell whether what is
//! stored is what it would store.

use std::{
    fs::File,
    io::{self, Read},
    path::PathBuf,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
};

use bytes::{Buf, Bytes};
use tidemark_catalog::slice::Encoding;
use tidemark_gateway::Digest;
use tokio::{
    io::{AsyncRead, ReadBuf},
    sync::mpsc,
    task::JoinHandle,
};

use super::Meter;

/// Bytes of the file in one frame.
const FRAME_BYTES: usize = 1 << 20;

/// Bytes that are read at a time where nothing is compressed.
const PLAIN_BYTES: usize = 256 << 10;

/// Level of compression: the host's CPU belongs to the source.
const LEVEL: i32 = 1;

/// Pieces that wait to be taken.
const AHEAD: usize = 1;

/// What was read of a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct FileSum {
    /// Bytes of the file.
    pub(super) size: u64,
    /// Digest of the file; only where it is encoded, else the stored bytes' digest is the file's.
    pub(super) digest: Option<Digest>,
}

/// Begins to read `path`; the stream ends with the file, or with the error that ended it. The handle gives what was read,
/// once the stream has come to its end.
pub(super) fn open(path: PathBuf, encoding: Encoding, meter: Arc<Meter>) -> (Stream, JoinHandle<io::Result<FileSum>>) {
    let (pieces, receiver) = mpsc::channel(AHEAD);
    let reading = tokio::task::spawn_blocking(move || {
        let outcome = read(&path, encoding, &meter, |piece| pieces.blocking_send(Ok(piece)).map_err(|_| closed()));
        if let Err(error) = &outcome {
            // A reader that is gone needs no error.
            let _ = pieces.blocking_send(Err(io::Error::new(error.kind(), error.to_string())));
        }
        outcome
    });
    (Stream { pieces: receiver, piece: Bytes::new() }, reading)
}

fn closed() -> io::Error {
    io::Error::new(io::ErrorKind::BrokenPipe, "nobody reads the stream any more")
}

fn read(
    path: &std::path::Path,
    encoding: Encoding,
    meter: &Meter,
    mut send: impl FnMut(Bytes) -> io::Result<()>,
) -> io::Result<FileSum> {
    let mut file = File::open(path)?;
    let mut framer = Framer::new(encoding)?;
    let mut size = 0;
    loop {
        let piece = piece(&mut file, framer.piece_bytes())?;
        if piece.is_empty() {
            return Ok(FileSum { size, digest: framer.digest() });
        }
        let len = piece.len() as u64;
        size += len;
        send(framer.frame(piece)?)?;
        meter.add(len);
    }
}

/// Up to `limit` bytes; fewer only at the end of the file.
fn piece(file: &mut File, limit: usize) -> io::Result<Vec<u8>> {
    let mut piece = Vec::with_capacity(limit);
    file.by_ref().take(limit as u64).read_to_end(&mut piece)?;
    Ok(piece)
}

/// Turns pieces of a file into what is stored of them.
enum Framer {
    Plain,
    Zstd { compressor: zstd::bulk::Compressor<'static>, hasher: Box<blake3::Hasher> },
}

impl Framer {
    fn new(encoding: Encoding) -> io::Result<Self> {
        Ok(match encoding {
            Encoding::Plain => Self::Plain,
            Encoding::Zstd => {
                Self::Zstd { compressor: zstd::bulk::Compressor::new(LEVEL)?, hasher: Box::new(blake3::Hasher::new()) }
            }
        })
    }

    fn piece_bytes(&self) -> usize {
        match self {
            Self::Plain => PLAIN_BYTES,
            Self::Zstd { .. } => FRAME_BYTES,
        }
    }

    fn frame(&mut self, piece: Vec<u8>) -> io::Result<Bytes> {
        match self {
            Self::Plain => Ok(piece.into()),
            Self::Zstd { compressor, hasher } => {
                hasher.update(&piece);
                // Compressing in one call writes the size of the content into the frame's header.
                compressor.compress(&piece).map(Bytes::from)
            }
        }
    }

    fn digest(&self) -> Option<Digest> {
        match self {
            Self::Plain => None,
            Self::Zstd { hasher, .. } => Some(Digest::from(hasher.finalize())),
        }
    }
}

/// Pieces as one stream of bytes.
pub(super) struct Stream {
    pieces: mpsc::Receiver<io::Result<Bytes>>,
    piece: Bytes,
}

impl AsyncRead for Stream {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        while self.piece.is_empty() {
            match ready!(self.pieces.poll_recv(cx)) {
                Some(piece) => self.piece = piece?,
                None => return Poll::Ready(Ok(())),
            }
        }
        let len = self.piece.len().min(buffer.remaining());
        buffer.put_slice(&self.piece[..len]);
        self.piece.advance(len);
        Poll::Ready(Ok(()))
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::AsyncReadExt;

    use super::*;
    use crate::progress;

    fn bytes(len: usize) -> Vec<u8> {
        (0..len).map(|i| (i / 7 % 251) as u8).collect()
    }

    async fn stored(content: &[u8], encoding: Encoding) -> (Vec<u8>, FileSum) {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("f");
        std::fs::write(&path, content).unwrap();
        let (mut stream, reading) = open(path, encoding, Meter::new(progress::silent(), content.len() as u64));
        let mut stored = Vec::new();
        stream.read_to_end(&mut stored).await.unwrap();
        (stored, reading.await.unwrap().unwrap())
    }

    #[tokio::test]
    async fn plain_files_go_as_they_are() {
        for len in [0, 1, PLAIN_BYTES, PLAIN_BYTES + 1] {
            let content = bytes(len);
            let (stored, read) = stored(&content, Encoding::Plain).await;
            assert!(stored == content && read == FileSum { size: len as u64, digest: None }, "{len}");
        }
    }

    #[tokio::test]
    async fn each_frame_holds_one_mebibyte_and_says_so() {
        let content = bytes(2 * FRAME_BYTES + 17);
        let (stored, read) = stored(&content, Encoding::Zstd).await;
        assert_eq!(read, FileSum { size: content.len() as u64, digest: Some(Digest::of(&content)) });
        let (mut rest, mut sizes, mut decoded) = (&stored[..], Vec::new(), Vec::new());
        while !rest.is_empty() {
            let frame = zstd::zstd_safe::find_frame_compressed_size(rest).unwrap();
            sizes.push(zstd::zstd_safe::get_frame_content_size(&rest[..frame]).unwrap().unwrap());
            decoded.extend(zstd::bulk::decompress(&rest[..frame], FRAME_BYTES).unwrap());
            rest = &rest[frame..];
        }
        assert_eq!(sizes, [FRAME_BYTES as u64, FRAME_BYTES as u64, 17]);
        assert!(decoded == content);
    }

    #[tokio::test]
    async fn the_same_file_gives_the_same_frames() {
        let content = bytes(FRAME_BYTES + 5);
        assert!(stored(&content, Encoding::Zstd).await == stored(&content, Encoding::Zstd).await);
    }

    #[tokio::test]
    async fn an_absent_file_is_an_error_and_not_an_empty_one() {
        let (mut stream, reading) = open("/nowhere/f".into(), Encoding::Plain, Meter::new(progress::silent(), 0));
        assert!(stream.read_to_end(&mut Vec::new()).await.is_err());
        assert!(reading.await.unwrap().is_err());
    }

    #[tokio::test]
    async fn a_stream_that_is_dropped_ends_the_reading() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("f");
        std::fs::write(&path, bytes(20 * PLAIN_BYTES)).unwrap();
        let (stream, reading) = open(path, Encoding::Plain, Meter::new(progress::silent(), 0));
        drop(stream);
        assert_eq!(reading.await.unwrap().unwrap_err().kind(), io::ErrorKind::BrokenPipe);
    }
}
