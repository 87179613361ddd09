//! Ships the files of a snapshot under names that are the same in every run of the task.
//!
//! What a run finds stored under a name with the right size is not sent again; its digest is computed from the local file.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
};

use futures::{StreamExt, TryStreamExt, stream};
use object_store::{ObjectStore, path::Path};
use tidemark_catalog::{
    slice::{Encoding, SliceObject, StagedFile},
    stored::StoredRef,
};
use tidemark_gateway::causes::chain;
use tidemark_gateway::{
    Stored, pause,
    tree::TreeHasher,
    upload::{self, UploadOptions},
};
use tidemark_listener_core::{
    assignment::CaptureLimits,
    progress::{Progress, ProgressSink},
};
use tokio::{io::AsyncReadExt, sync::Semaphore};

use super::{
    Error, Stage,
    files::LocalFile,
    names::SstableFile,
    snapshot::{FileRecord, TableRecord},
    source::{self, FileSum},
};

/// Bytes that are hashed at a time.
const HASH_BYTES: usize = 64 << 10;

/// Parts that one long upload holds: one that is sent, one that waits, one that is read.
const HELD_PARTS: usize = 3;

/// Counts the bytes of files that were read, and tells.
pub(super) struct Meter {
    sink: ProgressSink,
    done: AtomicU64,
    total: u64,
}

impl Meter {
    pub(super) fn new(sink: ProgressSink, total: u64) -> Arc<Self> {
        Arc::new(Self { sink, done: AtomicU64::new(0), total })
    }

    pub(super) fn add(&self, bytes: u64) {
        let done = self.done.fetch_add(bytes, Ordering::Relaxed) + bytes;
        let progress = Progress { phase: "upload".into(), done, total: self.total, unit: "bytes".into() };
        (self.sink)(progress);
    }
}

/// The bound on the parts that all uploads hold together, counted in KiB: long uploads wait for each other, short ones run
/// side by side.
struct Buffers {
    free: Semaphore,
    total: u32,
}

impl Buffers {
    /// As much as `uploads` parts, and at least what one long upload holds.
    fn new(uploads: usize, part_bytes: usize) -> Self {
        let bytes = part_bytes.saturating_mul(uploads.max(HELD_PARTS));
        let total = u32::try_from(bytes.div_ceil(1024)).unwrap_or(u32::MAX).min(1 << 28);
        Self { free: Semaphore::new(total as usize), total }
    }

    /// Waits until a file of `size` bytes may be read; it may until the answer is dropped.
    async fn hold(&self, size: u64) -> Option<tokio::sync::SemaphorePermit<'_>> {
        let most = u64::from(self.total);
        let wanted = u32::try_from(size.div_ceil(1024).clamp(1, most)).unwrap_or(self.total);
        // The semaphore is never closed.
        self.free.acquire_many(wanted).await.ok()
    }
}

/// Ships one capture.
pub(super) struct Shipper<'a> {
    stage: &'a Stage,
    uploads: usize,
    options: UploadOptions,
    buffers: Buffers,
    meter: Arc<Meter>,
    /// The point at which tests kill a listener has been passed.
    pause_passed: AtomicBool,
}

/// A file, how it is stored and where.
struct Parcel {
    file: LocalFile,
    encoding: Encoding,
    path: Path,
}

impl<'a> Shipper<'a> {
    pub(super) fn new(stage: &'a Stage, limits: &CaptureLimits, meter: Arc<Meter>) -> Self {
        let options = UploadOptions { part_bytes: limits.part_bytes.max(1), in_flight: 1 };
        let uploads = limits.uploads.max(1);
        let buffers = Buffers::new(uploads, options.part_bytes);
        Self { stage, uploads, options, buffers, meter, pause_passed: AtomicBool::new(false) }
    }

    /// Ships the files of one table; a table that cannot be read is an answer, not an error.
    pub(super) async fn table(
        &self,
        table: &TableRecord,
        listed: Result<Vec<LocalFile>, String>,
    ) -> Result<SliceObject, Error> {
        let outcome = match listed {
            Ok(files) if same(&files, &table.files) => self.files(table, files).await,
            Ok(_) => return Ok(unreadable(table, "files of the snapshot changed while it was shipped".to_owned())),
            Err(reason) => return Ok(unreadable(table, reason)),
        };
        match outcome {
            Ok(files) => Ok(SliceObject { files, ..object(table) }),
            Err(error) if error.is_local() => Ok(unreadable(table, chain(&error))),
            Err(error) => Err(error),
        }
    }

    async fn files(&self, table: &TableRecord, files: Vec<LocalFile>) -> Result<Vec<StagedFile>, Error> {
        let prefix = self.stage.path(&table.id);
        let stored = stored_sizes(&self.stage.store, &prefix).await?;
        let parcels = parcels(&prefix, files);
        let shipped = stream::iter(parcels).map(|parcel| self.parcel(parcel, &stored)).buffered(self.uploads);
        shipped.try_collect().await
    }

    async fn parcel(&self, parcel: Parcel, stored: &BTreeMap<String, u64>) -> Result<StagedFile, Error> {
        let found = stored.get(parcel.path.as_ref()).copied();
        let _held = self.buffers.hold(parcel.file.size).await;
        let (mut stream, reading) = source::open(parcel.file.path.clone(), parcel.encoding, Arc::clone(&self.meter));
        let outcome = match found {
            Some(size) => again(&parcel, &mut stream, size).await,
            None => upload::put_reader_new(&self.stage.store, &parcel.path, &mut stream, &self.options, |_| {})
                .await
                .map_err(|source| upload_error(&parcel, source)),
        };
        drop(stream);
        let read = reading.await.map_err(Error::Task)?;
        let stored = outcome?;
        let read = read.map_err(|source| Error::ReadFile { path: parcel.file.path.clone(), source })?;
        self.pause_once(&parcel, found.is_none());
        staged(parcel, stored, read)
    }

    fn pause_once(&self, parcel: &Parcel, sent: bool) {
        let data = parcel.path.filename() == Some("Data.db");
        if data && sent && !self.pause_passed.swap(true, Ordering::Relaxed) {
            pause::point("mid-upload");
        }
    }
}

fn same(files: &[LocalFile], records: &[FileRecord]) -> bool {
    let pairs = files.iter().zip(records);
    files.len() == records.len()
        && pairs.into_iter().all(|(file, record)| file.name == record.name && file.size == record.size)
}

fn object(table: &TableRecord) -> SliceObject {
    SliceObject { object: table.object.clone(), object_id: table.id.clone(), unreadable: None, files: Vec::new() }
}

fn unreadable(table: &TableRecord, reason: String) -> SliceObject {
    tracing::warn!(object = %table.object, reason, "the table is unreadable");
    SliceObject { unreadable: Some(reason), ..object(table) }
}

/// Names under `prefix` and their sizes.
async fn stored_sizes(store: &Arc<dyn ObjectStore>, prefix: &Path) -> Result<BTreeMap<String, u64>, Error> {
    let listed = store.list(Some(prefix)).map_ok(|meta| (meta.location.to_string(), meta.size));
    listed.try_collect().await.map_err(|source| Error::ListStage { path: prefix.clone(), source })
}

/// Where each file goes, and how: `<prefix>/<sstable>/<component>`.
fn parcels(prefix: &Path, files: Vec<LocalFile>) -> Vec<Parcel> {
    let stem = |file: &LocalFile, component| {
        let parsed = SstableFile::parse(&file.name).filter(|parsed| parsed.component == component);
        parsed.map(|parsed| parsed.stem.to_owned())
    };
    let compressed: BTreeSet<String> = files.iter().filter_map(|file| stem(file, "CompressionInfo.db")).collect();
    let parcel = |file: LocalFile| {
        let parsed = SstableFile::parse(&file.name)?;
        let plain = parsed.component != "Data.db" || compressed.contains(parsed.stem);
        let encoding = if plain { Encoding::Plain } else { Encoding::Zstd };
        let path = Path::from(format!("{prefix}/{}/{}", parsed.stem, parsed.component));
        Some(Parcel { file, encoding, path })
    };
    // Only files of SSTables are listed.
    files.into_iter().filter_map(parcel).collect()
}

/// What would be stored of a file whose name exists already with `size` bytes.
async fn again(parcel: &Parcel, stream: &mut source::Stream, size: u64) -> Result<Stored, Error> {
    let (mut hasher, mut buffer) = (TreeHasher::new(), vec![0; HASH_BYTES]);
    loop {
        let read = stream.read(&mut buffer).await;
        let read = read.map_err(|source| Error::ReadFile { path: parcel.file.path.clone(), source })?;
        if read == 0 {
            break;
        }
        hasher.update(&buffer[..read]);
    }
    let ours = hasher.finish();
    if ours.size == size {
        Ok(ours)
    } else {
        Err(Error::StagedSize { path: parcel.path.clone(), stored: size, ours: ours.size })
    }
}

fn upload_error(parcel: &Parcel, error: upload::Error) -> Error {
    match error {
        upload::Error::Source { source, .. } => Error::ReadFile { path: parcel.file.path.clone(), source },
        other => Error::WriteStage(other),
    }
}

fn staged(parcel: Parcel, stored: Stored, read: FileSum) -> Result<StagedFile, Error> {
    let LocalFile { path, name, size } = parcel.file;
    if read.size != size {
        return Err(Error::FileSize { path, expected: size, found: read.size });
    }
    let digest = read.digest.unwrap_or(stored.digest);
    // Components are read whole and data has checksums of its own: a tree for each MiB would only make the slice large.
    let stored = Stored { tree: None, ..stored };
    Ok(StagedFile { name, stored: StoredRef::new(&parcel.path, stored), encoding: parcel.encoding, size, digest })
}

#[cfg(test)]
mod tests;
