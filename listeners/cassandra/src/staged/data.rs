//! `Data.db` of a staged SSTable as bytes at offsets.
//!
//! Plain files are read through one window that moves forward. Compressed ones are independent zstd frames of 1 MiB of the file
//! each: where a frame starts is learnt by walking the frames before it, which a scan does anyway; the places found are
//! kept, 8 bytes for each MiB of the file. Memory: one window, and for compressed files one decoded frame.

use std::{
    io::{self, Error, ErrorKind},
    sync::{
        Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
};

use bytes::{Bytes, BytesMut};
use tidemark_cassandra_format::io::ReadAt;
use tidemark_catalog::slice::Encoding;
use tidemark_gateway::blocking::ObjectReader;
use zstd::zstd_safe;

use super::ReadOptions;

/// Bytes of the file in each frame but the last.
const FRAME_BYTES: usize = 1 << 20;

/// Most stored bytes of a frame: zstd's own bound for what does not compress, generously.
const MOST_STORED: usize = FRAME_BYTES + (FRAME_BYTES >> 8) + 1024;

/// Smallest window, so that a tight budget over many files does not end in a request for each chunk.
const LEAST_WINDOW: usize = 64 << 10;

/// `Data.db` in the store. Reads are best made forward; any are possible.
pub struct StagedData {
    object: ObjectReader,
    encoding: Encoding,
    size: u64,
    window_bytes: usize,
    bytes_read: std::sync::Arc<AtomicU64>,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    /// Stored bytes at hand, from this offset of the object on.
    window: (u64, Bytes),
    /// Start of each frame known so far in the object, the first at 0.
    frames: Vec<u64>,
    /// The decoded frame of this number.
    decoded: Option<(usize, Bytes)>,
    /// End of what was handed out.
    reached: u64,
}

impl StagedData {
    /// The data in `object`, `size` bytes at the source.
    pub fn new(object: ObjectReader, encoding: Encoding, size: u64, options: &ReadOptions) -> Self {
        Self {
            object,
            encoding,
            size,
            window_bytes: options.window_bytes.max(LEAST_WINDOW),
            bytes_read: options.bytes_read.clone(),
            state: Mutex::new(State { frames: vec![0], ..State::default() }),
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn plain(&self, state: &mut State, offset: u64, len: usize) -> io::Result<Bytes> {
        if self.object.size() != self.size {
            return Err(self.damaged(format!("{} bytes are stored of {}", self.object.size(), self.size)));
        }
        self.stored(state, offset, len)
    }

    /// Exactly `len` stored bytes, through the window.
    fn stored(&self, state: &mut State, offset: u64, len: usize) -> io::Result<Bytes> {
        if let Some(bytes) = within(&state.window, offset, len) {
            return Ok(bytes);
        }
        let rest = usize::try_from(self.object.size().saturating_sub(offset)).unwrap_or(usize::MAX);
        let fetched = self.object.read_at(offset, len.max(self.window_bytes.min(rest)))?;
        state.window = (offset, fetched.clone());
        Ok(fetched.slice(..len))
    }

    fn framed(&self, state: &mut State, offset: u64, len: usize) -> io::Result<Bytes> {
        let mut found = BytesMut::new();
        let mut at = offset;
        let end = offset + len as u64;
        while at < end {
            let number = usize::try_from(at / FRAME_BYTES as u64).map_err(Error::other)?;
            let frame = self.frame(state, number)?;
            let from = usize::try_from(at % FRAME_BYTES as u64).map_err(Error::other)?;
            let part = frame.slice(from..frame.len().min(from + usize::try_from(end - at).map_err(Error::other)?));
            if part.len() == len {
                return Ok(part);
            }
            at += part.len() as u64;
            found.extend_from_slice(&part);
        }
        Ok(found.freeze())
    }

    /// The decoded frame of this number.
    fn frame(&self, state: &mut State, number: usize) -> io::Result<Bytes> {
        if let Some((_, bytes)) = state.decoded.as_ref().filter(|(decoded, _)| *decoded == number) {
            return Ok(bytes.clone());
        }
        while state.frames.len() <= number {
            let last = state.frames.len() - 1;
            self.stored_frame(state, last)?;
        }
        let stored = self.stored_frame(state, number)?;
        let bytes: Bytes = decode_frame(&stored).map_err(|reason| self.damaged(reason))?.into();
        let expected = (self.size - number as u64 * FRAME_BYTES as u64).min(FRAME_BYTES as u64);
        if bytes.len() as u64 != expected {
            return Err(self.damaged(format!("frame {number} has {} bytes, not {expected}", bytes.len())));
        }
        state.decoded = Some((number, bytes.clone()));
        Ok(bytes)
    }

    /// The stored bytes of a frame whose start is known; learns where the next one starts.
    fn stored_frame(&self, state: &mut State, number: usize) -> io::Result<Bytes> {
        let start = state.frames[number];
        let rest = usize::try_from(self.object.size().saturating_sub(start)).unwrap_or(usize::MAX);
        if rest == 0 {
            return Err(self.damaged(format!("frame {number} is missing")));
        }
        let length = self.length(state, start, rest)?;
        if state.frames.len() == number + 1 {
            state.frames.push(start + length as u64);
        }
        self.stored(state, start, length)
    }

    /// Stored length of the frame at `start`, of which `rest` bytes are at most there.
    fn length(&self, state: &mut State, start: u64, rest: usize) -> io::Result<usize> {
        let at_hand = within_from(&state.window, start).map_or(0, |bytes| bytes.len());
        let tries = [at_hand, self.window_bytes, MOST_STORED];
        let mut reason = "there is no zstd frame".to_owned();
        for bytes in tries.into_iter().map(|bytes| bytes.min(rest)).filter(|bytes| *bytes > 0) {
            match frame_length(&self.stored(state, start, bytes)?) {
                Ok(length) => return Ok(length),
                Err(why) => reason = why,
            }
        }
        Err(self.damaged(format!("at {start}: {reason}")))
    }

    fn damaged(&self, reason: String) -> Error {
        Error::new(ErrorKind::InvalidData, format!("{}: {reason}", self.object.path()))
    }

    fn count(&self, state: &mut State, end: u64) {
        if end > state.reached {
            self.bytes_read.fetch_add(end - state.reached, Ordering::Relaxed);
            state.reached = end;
        }
    }
}

impl ReadAt for StagedData {
    fn size(&self) -> u64 {
        self.size
    }

    fn read_at(&self, offset: u64, len: usize) -> io::Result<Bytes> {
        let end = offset.checked_add(len as u64).filter(|end| *end <= self.size).ok_or(ErrorKind::UnexpectedEof)?;
        let mut state = self.state();
        let bytes = match self.encoding {
            Encoding::Plain => self.plain(&mut state, offset, len)?,
            Encoding::Zstd => self.framed(&mut state, offset, len)?,
        };
        self.count(&mut state, end);
        Ok(bytes)
    }
}

fn within_from(window: &(u64, Bytes), offset: u64) -> Option<Bytes> {
    let skip = usize::try_from(offset.checked_sub(window.0)?).ok().filter(|skip| *skip < window.1.len())?;
    Some(window.1.slice(skip..))
}

fn within(window: &(u64, Bytes), offset: u64, len: usize) -> Option<Bytes> {
    if len == 0 {
        return Some(Bytes::new());
    }
    within_from(window, offset).filter(|bytes| bytes.len() >= len).map(|bytes| bytes.slice(..len))
}

/// Stored bytes of the zstd frame that `bytes` start with.
pub(super) fn frame_length(bytes: &[u8]) -> Result<usize, String> {
    zstd_safe::find_frame_compressed_size(bytes).map_err(|code| zstd_safe::get_error_name(code).to_owned())
}

/// The content of one frame, at most 1 MiB.
pub(super) fn decode_frame(frame: &[u8]) -> Result<Vec<u8>, String> {
    zstd::bulk::decompress(frame, FRAME_BYTES).map_err(|error| error.to_string())
}
