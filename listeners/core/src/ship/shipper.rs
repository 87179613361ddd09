//! Ships the files of a partition's objects: each is stored once in the task, under a name of the claim that stored it.

use std::{
    collections::BTreeMap,
    path::PathBuf,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use futures::{StreamExt, TryStreamExt, stream};
use object_store::path::Path;
use tidemark_catalog::{
    ids::ObjectName,
    layout,
    slice::{Encoding, SliceObject, StagedFile},
    stored::StoredRef,
};
use tidemark_gateway::{
    Stored,
    causes::joined,
    pause,
    tree::TreeHasher,
    upload::{self, UploadOptions},
};
use tokio::io::AsyncReadExt;

use super::{
    Error, Meter, Stage,
    buffers::Buffers,
    frames::{self, FileSum},
};
use crate::assignment::CaptureLimits;

/// Bytes that are hashed at a time.
const HASH_BYTES: usize = 64 << 10;

/// A file on the listener's host that holds a part of an object.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LocalFile {
    /// Where it is.
    pub path: PathBuf,
    /// Its name at the source, without directories: what the slice manifest says.
    pub name: String,
    /// Its size when it was captured, bytes; a file that has another one when it is read is unreadable.
    pub size: u64,
}

/// A file, how it is stored and where.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Parcel {
    /// The file.
    pub file: LocalFile,
    /// How its bytes are stored: as they are, or as zstd frames of 1 MiB of it each.
    pub encoding: Encoding,
    /// Its name below the claim's part of the object's folder: one or more parts of a path, the same in every run of the task and
    /// no other file's.
    pub place: String,
}

/// An object of the source that is shipped.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Item {
    /// Its name.
    pub object: ObjectName,
    /// The source's own id of it.
    pub object_id: String,
    /// Its folder below the partition's place: one safe part of a path, the same in every run of the task, no other object's, and
    /// not the name of a document of the [`Stage`].
    pub folder: String,
}

impl Item {
    /// The object in a slice, with no files.
    fn line(&self) -> SliceObject {
        let Self { object, object_id, .. } = self;
        SliceObject { object: object.clone(), object_id: object_id.clone(), unreadable: None, files: Vec::new() }
    }

    fn unreadable(&self, reason: String) -> SliceObject {
        tracing::warn!(object = %self.object, reason, "the object is unreadable");
        SliceObject { unreadable: Some(reason), ..self.line() }
    }
}

/// Ships the objects of one capture, within its [`CaptureLimits`].
pub struct Shipper<'a> {
    stage: &'a Stage,
    uploads: usize,
    options: UploadOptions,
    buffers: Buffers,
    meter: Arc<Meter>,
    /// The point at which tests kill a listener has been passed.
    pause_passed: AtomicBool,
}

impl<'a> Shipper<'a> {
    /// Ships to `stage`; `meter` counts the bytes of local files over all objects.
    pub fn new(stage: &'a Stage, limits: &CaptureLimits, meter: Arc<Meter>) -> Self {
        let options = UploadOptions { part_bytes: limits.part_bytes.max(1), in_flight: 1 };
        let uploads = limits.uploads.max(1);
        let buffers = Buffers::new(uploads, options.part_bytes);
        Self { stage, uploads, options, buffers, meter, pause_passed: AtomicBool::new(false) }
    }

    /// Ships the files of one object and returns its line of the slice, files in the order of `parcels`. An object that cannot be
    /// read is a line too, with the reason and no files: `parcels` is the reason, or a file is gone, unreadable or of another size.
    /// Dropped half way it leaves files that the next run finds.
    ///
    /// # Errors
    /// [`Error`] of the store; [`Error::StagedSize`] where a name is taken by other bytes; [`Error::Task`].
    pub async fn object(&self, item: &Item, parcels: Result<Vec<Parcel>, String>) -> Result<SliceObject, Error> {
        let parcels = match parcels {
            Ok(parcels) => parcels,
            Err(reason) => return Ok(item.unreadable(reason)),
        };
        match self.files(item, parcels).await {
            Ok(files) => Ok(SliceObject { files, ..item.line() }),
            Err(error) if error.is_local() => Ok(item.unreadable(joined(&error))),
            Err(error) => Err(error),
        }
    }

    async fn files(&self, item: &Item, parcels: Vec<Parcel>) -> Result<Vec<StagedFile>, Error> {
        let earlier = Earlier::list(self.stage, &item.folder).await?;
        let shipped = stream::iter(parcels).map(|parcel| self.parcel(parcel, &earlier)).buffered(self.uploads);
        shipped.try_collect().await
    }

    /// Takes what is stored, or sends. What an earlier claim stored with another size is left alone (another build frames
    /// otherwise), and sent under a name of this claim.
    async fn parcel(&self, parcel: Parcel, earlier: &Earlier) -> Result<StagedFile, Error> {
        let own = layout::staged_file(&earlier.folder, self.stage.token, &parcel.place);
        let _held = self.buffers.hold(parcel.file.size).await;
        for (path, size) in earlier.of(&parcel.place) {
            match self.read(&parcel, async |stream| again(&parcel, path, stream, *size).await).await {
                Err(Error::StagedSize { .. }) if *path != own => {}
                outcome => return staged(parcel, path, outcome?),
            }
        }
        let outcome = self.read(&parcel, async |stream| self.send(&parcel, &own, stream).await).await?;
        self.pause_once();
        staged(parcel, &own, outcome)
    }

    /// Reads the file while `take` takes what is stored of it.
    async fn read(
        &self,
        parcel: &Parcel,
        take: impl AsyncFnOnce(&mut frames::Stream) -> Result<Stored, Error>,
    ) -> Result<(Stored, FileSum), Error> {
        let path = &parcel.file.path;
        let (mut stream, reading) = frames::open(path.clone(), parcel.encoding, Arc::clone(&self.meter));
        let outcome = take(&mut stream).await;
        drop(stream);
        let read = reading.await.map_err(Error::Task)?;
        let stored = outcome?;
        let read = read.map_err(|source| Error::ReadFile { path: path.clone(), source })?;
        Ok((stored, read))
    }

    async fn send(&self, parcel: &Parcel, path: &Path, stream: &mut frames::Stream) -> Result<Stored, Error> {
        let sent = upload::put_reader_new(&self.stage.store, path, stream, &self.options, |_| {}).await;
        sent.map_err(|error| match error {
            upload::Error::Source { source, .. } => Error::ReadFile { path: parcel.file.path.clone(), source },
            other => Error::WriteStage(other),
        })
    }

    fn pause_once(&self) {
        if !self.pause_passed.swap(true, Ordering::Relaxed) {
            pause::point("mid-upload");
        }
    }
}

/// What runs of the task have stored in the folder of an object.
struct Earlier {
    folder: Path,
    /// By place: name and size, the newest claim's first.
    stored: BTreeMap<String, Vec<(Path, u64)>>,
}

impl Earlier {
    async fn list(stage: &Stage, folder: &str) -> Result<Self, Error> {
        let folder = stage.folder(folder);
        let listed: Result<Vec<_>, _> = stage.store.list(Some(&folder)).try_collect().await;
        let mut listed = listed.map_err(|source| Error::ListStage { path: folder.clone(), source })?;
        listed.sort_by(|a, b| b.location.cmp(&a.location));
        let mut stored = BTreeMap::<_, Vec<_>>::new();
        for meta in listed {
            if let Some((_, place)) = layout::staged_parts(&folder, &meta.location) {
                stored.entry(place.to_owned()).or_default().push((meta.location.clone(), meta.size));
            }
        }
        Ok(Self { folder, stored })
    }

    fn of(&self, place: &str) -> &[(Path, u64)] {
        self.stored.get(place).map_or(&[], Vec::as_slice)
    }
}

/// What would be stored of a file whose name exists already with `size` bytes.
async fn again(parcel: &Parcel, path: &Path, stream: &mut frames::Stream, size: u64) -> Result<Stored, Error> {
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
    let other = Error::StagedSize { path: path.clone(), stored: size, ours: ours.size };
    if ours.size == size { Ok(ours) } else { Err(other) }
}

fn staged(parcel: Parcel, place: &Path, (stored, read): (Stored, FileSum)) -> Result<StagedFile, Error> {
    let LocalFile { path, name, size } = parcel.file;
    if read.size != size {
        return Err(Error::FileSize { path, expected: size, found: read.size });
    }
    let digest = read.digest.unwrap_or(stored.digest);
    // Staged files are read whole or have checksums of their own: a tree for each MiB would only make the slice large.
    let stored = Stored { tree: None, ..stored };
    Ok(StagedFile { name, stored: StoredRef::new(place, stored), encoding: parcel.encoding, size, digest })
}

#[cfg(test)]
mod tests;
