//! Uploads of any length with bounded memory.

use std::sync::Arc;

use bytes::{BufMut, Bytes, BytesMut};
use object_store::{GetOptions, MultipartUpload, ObjectMeta, ObjectStore, PutMultipartOptions, path::Path};
use tokio::{
    io::{AsyncRead, AsyncReadExt},
    task::JoinSet,
};

use super::{Error, put_new};
use crate::{
    Stored,
    checksums::{Composite, Told},
    fetch,
    local::{self, Cached},
    pause,
    tree::TreeHasher,
};

/// Most parts of a multipart upload in S3.
const MOST_PARTS: u64 = 10_000;

/// Parts grow by the configured size after each run of so many, so that the most parts hold 25,000 configured sizes.
const PARTS_OF_A_SIZE: u64 = 2_500;

/// Bounds of one upload. Memory is at most `(in_flight + 2) * part_bytes`, and up to four times that for uploads of more
/// than 2,500 parts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UploadOptions {
    /// Bytes of a part; what fits into one is written by a single create-only put. At least 5 MiB for S3.
    pub part_bytes: usize,
    /// Parts sent at the same time, from 1.
    pub in_flight: usize,
}

impl Default for UploadOptions {
    /// 8 MiB parts, 2 at a time.
    fn default() -> Self {
        Self { part_bytes: 8 << 20, in_flight: 2 }
    }
}

/// As [`put_reader_new`], from a local file.
///
/// # Errors
/// As [`put_reader_new`]; [`Error::Source`] where the file cannot be opened too.
pub async fn put_file_new(
    store: &Arc<dyn ObjectStore>,
    path: &Path,
    file: &std::path::Path,
    options: &UploadOptions,
    on_bytes: impl FnMut(u64),
) -> Result<Stored, Error> {
    let opened = tokio::fs::File::open(file).await.map_err(|source| Error::Source { path: path.clone(), source })?;
    put_reader_new(store, path, opened, options, on_bytes).await
}

/// Creates `path` with all bytes of `reader`, read to its end, and gives what proves them, with a tree where
/// there is more than one block.
///
/// Up to `part_bytes` bytes go by one create-only put ([`put_new`]). More go by multipart, which no store creates
/// conditionally: the name is looked up first, and by contract nobody else writes it. After a multipart upload the size is
/// compared, and the checksum of all parts where the store vouches for it; otherwise the object is read back. Where the name exists with the same bytes already, that is the success
/// of an earlier run. `on_bytes` hears of each part that the store acknowledged, with its number of bytes.
///
/// A dropped call leaves no object, but may leave an unfinished multipart upload to the store's own clean-up.
///
/// # Errors
/// [`Error::Taken`], [`Error::Source`], [`Error::Write`], [`Error::Unknown`], [`Error::TooLong`]: the upload is aborted;
/// [`Error::Damaged`]: the object is there, but wrong.
pub async fn put_reader_new(
    store: &Arc<dyn ObjectStore>,
    path: &Path,
    mut reader: impl AsyncRead + Send + Unpin,
    options: &UploadOptions,
    mut on_bytes: impl FnMut(u64),
) -> Result<Stored, Error> {
    let first = fill(&mut reader, options.part_bytes, path).await?;
    let second = fill(&mut reader, options.part_bytes, path).await?;
    if second.is_empty() {
        let stored = put_new(store, path, first).await?;
        on_bytes(stored.size);
        return Ok(stored);
    }
    if let Some(found) = look(store, path).await? {
        let ours = drain([first, second], reader, path).await?;
        return same(store, path, &found, ours).await;
    }
    let mut upload = Multipart::start(store, path, options).await?;
    let sent = upload.send([first, second], &mut reader, &mut on_bytes).await;
    upload.finish(store, sent).await
}

/// Up to `limit` bytes; fewer only at the end of the reader.
async fn fill(reader: &mut (impl AsyncRead + Unpin), limit: usize, path: &Path) -> Result<Bytes, Error> {
    let mut buffer = BytesMut::new();
    while buffer.len() < limit {
        // Small files are the rule: the buffer grows with what is there, and exactly to the limit.
        if buffer.capacity() == buffer.len() {
            let more = buffer.len().max(64 << 10).min(limit - buffer.len());
            buffer.reserve(more);
        }
        let room = limit - buffer.len();
        let read = reader.read_buf(&mut (&mut buffer).limit(room)).await;
        if read.map_err(|source| Error::Source { path: path.clone(), source })? == 0 {
            break;
        }
    }
    Ok(buffer.freeze())
}

/// The object, where there is one that is known to last. Of a local store, which compares by itself, none is.
async fn look(store: &Arc<dyn ObjectStore>, path: &Path) -> Result<Option<ObjectMeta>, Error> {
    match store.get_opts(path, GetOptions { head: true, ..GetOptions::default() }).await {
        Ok(found) => Ok(Some(found.meta).filter(|_| found.extensions.get::<Cached>().is_none())),
        Err(object_store::Error::NotFound { .. }) => Ok(None),
        Err(error) if local::is_unsynced(&error) => Ok(None),
        Err(source) => Err(Error::Write { path: path.clone(), source }),
    }
}

/// What the reader would have stored.
async fn drain(read: [Bytes; 2], mut reader: impl AsyncRead + Unpin, path: &Path) -> Result<Stored, Error> {
    let mut sum = TreeHasher::new();
    for part in read {
        sum.update(&part);
    }
    loop {
        let part = fill(&mut reader, 1 << 20, path).await?;
        if part.is_empty() {
            return Ok(sum.finish());
        }
        sum.update(&part);
    }
}

async fn same(store: &Arc<dyn ObjectStore>, path: &Path, found: &ObjectMeta, ours: Stored) -> Result<Stored, Error> {
    let taken = || Error::Taken { path: path.clone() };
    if found.size != ours.size {
        return Err(taken());
    }
    match compare(store, path, &ours, None).await {
        Ok(_) => Ok(ours),
        Err(fetch::Error::Size { .. } | fetch::Error::Digest { .. }) => Err(taken()),
        Err(source) => Err(Error::Unknown { path: path.clone(), source }),
    }
}

/// Compares the size, and the digest: by the store's word where that counts and agrees, or else by reading all. True where what
/// was found is known to last.
async fn compare(
    store: &Arc<dyn ObjectStore>,
    path: &Path,
    expected: &Stored,
    checksum: Option<&Told>,
) -> Result<bool, fetch::Error> {
    let failed = |source| fetch::Error::Read { path: path.clone(), source };
    let head = store.get_opts(path, GetOptions { head: true, ..GetOptions::default() }).await.map_err(failed)?;
    if head.meta.size != expected.size {
        return Err(fetch::Error::Size { path: path.clone(), expected: expected.size, found: head.meta.size });
    }
    let lasts = head.extensions.get::<Cached>().is_none();
    if checksum.is_some() && head.extensions.get::<Told>() == checksum {
        return Ok(lasts);
    }
    read_back(store, path, expected).await.map(|()| lasts)
}

/// Reads the whole object in ranges and compares size and digest.
async fn read_back(store: &Arc<dyn ObjectStore>, path: &Path, expected: &Stored) -> Result<(), fetch::Error> {
    const RANGE_BYTES: u64 = 4 << 20;
    let failed = |source| fetch::Error::Read { path: path.clone(), source };
    let mut sum = TreeHasher::new();
    while sum.size() < expected.size {
        let range = sum.size()..(sum.size() + RANGE_BYTES).min(expected.size);
        let parts = store.get_ranges(path, std::slice::from_ref(&range)).await.map_err(failed)?;
        for part in parts {
            sum.update(&part);
        }
        if sum.size() != range.end {
            let (expected, found) = (range.end - range.start, sum.size() - range.start);
            return Err(fetch::Error::Size { path: path.clone(), expected, found });
        }
    }
    let found = sum.finish().digest;
    if found == expected.digest {
        Ok(())
    } else {
        Err(fetch::Error::Digest { path: path.clone(), expected: expected.digest, found })
    }
}

/// A multipart upload under way.
struct Multipart<'a> {
    path: &'a Path,
    options: &'a UploadOptions,
    upload: Box<dyn MultipartUpload>,
    flying: JoinSet<object_store::Result<u64>>,
    sum: TreeHasher,
    composite: Composite,
    parts: u64,
}

impl<'a> Multipart<'a> {
    async fn start(store: &Arc<dyn ObjectStore>, path: &'a Path, options: &'a UploadOptions) -> Result<Self, Error> {
        let upload = store.put_multipart_opts(path, PutMultipartOptions::default()).await;
        let upload = upload.map_err(|source| Error::Write { path: path.clone(), source })?;
        let (sum, composite) = (TreeHasher::new(), Composite::new());
        Ok(Self { path, options, upload, flying: JoinSet::new(), sum, composite, parts: 0 })
    }

    async fn send(
        &mut self,
        read: [Bytes; 2],
        reader: &mut (impl AsyncRead + Unpin),
        on_bytes: &mut impl FnMut(u64),
    ) -> Result<(), Error> {
        for part in read {
            self.push(part, on_bytes).await?;
        }
        loop {
            let part = fill(reader, self.part_bytes(), self.path).await?;
            if part.is_empty() {
                break;
            }
            self.push(part, on_bytes).await?;
        }
        self.land(0, on_bytes).await
    }

    fn part_bytes(&self) -> usize {
        let times = 1 + self.parts / PARTS_OF_A_SIZE;
        self.options.part_bytes.saturating_mul(usize::try_from(times).unwrap_or(usize::MAX))
    }

    async fn push(&mut self, part: Bytes, on_bytes: &mut impl FnMut(u64)) -> Result<(), Error> {
        if self.parts == MOST_PARTS {
            return Err(Error::TooLong { path: self.path.clone(), limit: self.sum.size() });
        }
        self.land(self.options.in_flight.max(1) - 1, on_bytes).await?;
        if self.parts == 1 {
            pause::point("between-parts");
        }
        self.sum.update(&part);
        self.composite.add(&part);
        self.parts += 1;
        let bytes = part.len() as u64;
        let sent = self.upload.put_part(part.into());
        self.flying.spawn(async move { sent.await.map(|()| bytes) });
        Ok(())
    }

    /// Waits until no more than `left` parts are under way.
    async fn land(&mut self, left: usize, on_bytes: &mut impl FnMut(u64)) -> Result<(), Error> {
        while self.flying.len() > left {
            let Some(landed) = self.flying.join_next().await else { break };
            let landed = landed.unwrap_or_else(|source| Err(object_store::Error::JoinError { source }));
            on_bytes(landed.map_err(|source| Error::Write { path: self.path.clone(), source })?);
        }
        Ok(())
    }

    async fn finish(mut self, store: &Arc<dyn ObjectStore>, sent: Result<(), Error>) -> Result<Stored, Error> {
        if let Err(error) = sent {
            self.abort().await;
            return Err(error);
        }
        let stored = std::mem::take(&mut self.sum).finish();
        let completed = self.upload.complete().await;
        match (completed, compare(store, self.path, &stored, Some(&self.composite.told())).await) {
            // A failed answer may hide a success: what is stored decides, where it is seen to be stored.
            (Ok(_), Ok(_)) | (Err(_), Ok(true)) => Ok(stored),
            (Err(source), Ok(false)) => Err(Error::Write { path: self.path.clone(), source }),
            (
                Err(object_store::Error::AlreadyExists { .. }),
                Err(fetch::Error::Size { .. } | fetch::Error::Digest { .. }),
            ) => Err(Error::Taken { path: self.path.clone() }),
            (Ok(_), Err(source)) => Err(Error::Damaged { path: self.path.clone(), source }),
            (Err(source), Err(error)) if error.is_absent() => {
                self.abort().await;
                Err(Error::Write { path: self.path.clone(), source })
            }
            (Err(_), Err(source)) => Err(Error::Unknown { path: self.path.clone(), source }),
        }
    }

    async fn abort(&mut self) {
        self.flying.shutdown().await;
        if let Err(error) = self.upload.abort().await {
            tracing::warn!(path = %self.path, %error, "abort of a failed upload failed: the store's clean-up rule will end it");
        }
    }
}
