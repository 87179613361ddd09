//! A store in a local directory that acknowledges only what outlasts a power cut.
//!
//! Reading and listing are the library's; writing is our own, because the kernel reports a failed write to the disk once and
//! may have dropped the bytes by then: a sync that is asked again, or reading the bytes back from memory, proves nothing.
//!
//! A write makes the directories that are missing (`directories`), writes the bytes to `name#n` and syncs them through the same
//! handle, links the file to its name (which fails where that is taken), and syncs the directory. A failed sync fails the write,
//! and the file is thrown away. So a name is given only to synced bytes; what a power cut may still take is the name. Until its
//! sync has succeeded nobody in the process is shown it: a reader waits, or writes it anew ([`names`]). Whoever writes the same
//! bytes again finds the name taken and replaces it by its own synced file. A crash before the link leaves `name#n`, which no
//! listing shows ([`crate::unfinished`]).
//!
//! Processes that were killed may have named what the disk does not have yet, and a later one would take it for stored. So the whole
//! file system is synced once before the first answer about what is there ([`settled`]).
//!
//! Deletions are not synced: what comes back is deleted again.

mod directories;
mod names;
mod settled;
mod staged;
mod upload;

use std::{
    fmt,
    fs::File,
    io,
    ops::Range,
    path::{self, PathBuf},
    sync::Arc,
    time::Duration,
};

use async_trait::async_trait;
use bytes::Bytes;
use futures::{StreamExt, TryStreamExt, stream::BoxStream};
use object_store::{
    CopyMode, CopyOptions, GetOptions, GetResult, ListResult, MultipartUpload, ObjectMeta, ObjectStore, PutMode,
    PutMultipartOptions, PutOptions, PutPayload, PutResult, Result, local::LocalFileSystem, path::Path,
};

use self::{
    directories::Directories,
    names::Standing,
    settled::Settled,
    staged::{Found, Staged},
    upload::Upload,
};

/// How long readers of a name wait for the end of its sync; a disk that takes longer does not answer.
const LONGEST_WAIT: Duration = Duration::from_secs(30);

/// Says of an answer, among its extensions, that it comes from the memory of a machine that may not have it on its disk.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Cached;

/// Why a local store did not do what it was asked.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    /// The directory of the store.
    #[error("the directory {} of the store is gone", path.display())]
    Gone { path: PathBuf },
    /// What was there when the store was opened may be in memory only.
    #[error("sync the file system of {} to disk: what is there may not last; look at the disk, then restart the process", path.display())]
    Unsettled { path: PathBuf, source: Arc<io::Error> },
    /// One call on a file or directory.
    #[error("{operation} {}", path.display())]
    File { operation: &'static str, path: PathBuf, source: io::Error },
    /// The sync of a name has not ended, so that nothing can be said of it.
    #[error("sync {} to disk: it has not ended, and what is there may not last", path.display())]
    Unended { path: PathBuf },
    /// What was written may be in memory only. The same bytes can be written again.
    #[error("sync {} to disk: what was written is not stored and has to be written again", path.display())]
    Unsynced { path: PathBuf, source: io::Error },
    /// The name holds other bytes, or it is a create and the name is taken.
    #[error("{} exists", path.display())]
    Exists { path: PathBuf },
    /// An upload that was ended, or of which a part failed.
    #[error("the upload of {} has ended or lacks a part", path.display())]
    Ended { path: PathBuf },
}

impl From<Error> for object_store::Error {
    fn from(error: Error) -> Self {
        match error {
            Error::Exists { ref path } => {
                Self::AlreadyExists { path: path.display().to_string(), source: error.into() }
            }
            _ => Self::Generic { store: "file", source: error.into() },
        }
    }
}

/// Whether a local store could not write to its disk, or has not done so yet. It may be able to later, if the bytes are written anew.
pub(crate) fn is_unsynced(error: &(dyn std::error::Error + 'static)) -> bool {
    let unsynced = |cause: &Error| matches!(cause, Error::Unsynced { .. } | Error::Unended { .. });
    crate::causes::of(error).any(|cause| cause.downcast_ref().is_some_and(unsynced))
}

/// The calls that make what was written outlast a power cut; other ones in tests.
#[derive(Clone)]
pub(crate) struct Sync {
    /// Of a file or directory.
    one: Arc<Call>,
    /// Of all files and directories of the file system that a directory is in.
    all: Arc<Call>,
    /// How long readers of a name wait for the end of its sync.
    longest_wait: Duration,
}

type Call = dyn Fn(&path::Path, &File) -> io::Result<()> + Send + std::marker::Sync;

impl Sync {
    /// The kernel's.
    pub(crate) fn kernel() -> Self {
        let all = |_: &path::Path, directory: &File| Ok(rustix::fs::syncfs(directory)?);
        Self { one: Arc::new(|_, file| file.sync_all()), all: Arc::new(all), longest_wait: LONGEST_WAIT }
    }

    fn ask(&self, path: &path::Path, file: &File) -> std::result::Result<(), Error> {
        (self.one)(path, file).map_err(|source| Error::Unsynced { path: path.to_owned(), source })
    }
}

impl fmt::Debug for Sync {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Sync")
    }
}

/// A store in a directory, which is never made here: where it is gone, nothing is written, and a list is an
/// error and not empty. Objects are not found then, as in a store that was emptied.
#[derive(Clone, Debug)]
pub(crate) struct Local {
    inner: LocalFileSystem,
    disk: Arc<Disk>,
}

/// Where and how files are written.
#[derive(Debug)]
struct Disk {
    root: PathBuf,
    sync: Sync,
    directories: Directories,
    settled: Settled,
}

/// Makes the directory of a store, and each above it that lacks, such that they last.
///
/// # Errors
/// Where one cannot be made or synced.
pub(crate) fn make(path: &path::Path, sync: &Sync) -> std::result::Result<(), Error> {
    let lacking: Vec<_> = path.ancestors().take_while(|directory| !directory.is_dir()).collect();
    lacking.into_iter().rev().try_for_each(|directory| directories::make(directory, sync))
}

impl Local {
    /// The store in the directory `root`.
    ///
    /// # Errors
    /// Where it is not there.
    pub(crate) fn open(root: &path::Path, sync: Sync) -> Result<Self> {
        let inner = LocalFileSystem::new_with_prefix(root)?;
        let gone = |source| Error::File { operation: "find", path: root.to_owned(), source };
        let root = std::fs::canonicalize(root).map_err(gone)?;
        let directories = Directories::new(root.clone(), sync.clone());
        let settled = Settled::new(&root).map_err(gone)?;
        Ok(Self { inner, disk: Arc::new(Disk { root, sync, directories, settled }) })
    }

    /// Returns once all that was there before lasts.
    async fn settle(&self) -> Result<()> {
        let disk = Arc::clone(&self.disk);
        if self.disk.settled.is() {
            Ok(())
        } else {
            self.blocking(move || disk.settled.once(&disk.root, &disk.sync)).await
        }
    }

    /// Returns once what has this name lasts, where something has it; false where it may be another file than before. What could not
    /// be synced is written anew.
    async fn proven(&self, location: &Path) -> Result<bool> {
        let target = self.inner.path_to_filesystem(location)?;
        match names::standing(&target, self.disk.sync.longest_wait).await {
            Standing::Lasts { at_once } => Ok(at_once),
            Standing::Changing => Err(Error::Unended { path: target }.into()),
            Standing::Doubtful => self.write(location, Staged::write_anew).await.map(|()| false),
        }
    }

    fn require_root(&self) -> Result<()> {
        let root = &self.disk.root;
        if root.is_dir() { Ok(()) } else { Err(Error::Gone { path: root.clone() }.into()) }
    }

    /// Runs `write`, which may block, on this store's disk and the file of `location`.
    async fn write<T: Send + 'static>(
        &self,
        location: &Path,
        write: impl FnOnce(&Disk, &path::Path) -> std::result::Result<T, Error> + Send + 'static,
    ) -> Result<T> {
        let (disk, target) = (Arc::clone(&self.disk), self.inner.path_to_filesystem(location)?);
        self.blocking(move || write(&disk, &target)).await
    }

    async fn blocking<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> std::result::Result<T, Error> + Send + 'static,
    ) -> Result<T> {
        let done = tokio::task::spawn_blocking(work).await?;
        done.map_err(|error| if self.require_root().is_err() { self.gone() } else { error.into() })
    }

    fn gone(&self) -> object_store::Error {
        Error::Gone { path: self.disk.root.clone() }.into()
    }
}

impl fmt::Display for Local {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.inner.fmt(f)
    }
}

#[async_trait]
impl ObjectStore for Local {
    async fn put_opts(&self, location: &Path, payload: PutPayload, opts: PutOptions) -> Result<PutResult> {
        let create = match opts.mode {
            PutMode::Create => true,
            PutMode::Overwrite => false,
            // There is no such condition on files: the library's words.
            PutMode::Update(_) => return self.inner.put_opts(location, payload, opts).await,
        };
        let put = move |disk: &Disk, target: &path::Path| {
            let mut staged = Staged::new(disk, target)?;
            payload.iter().try_for_each(|bytes| staged.append(bytes))?;
            staged.sync(disk)?;
            let result = result(staged.tag()?);
            publish(disk, staged, create).map(|()| result)
        };
        self.write(location, put).await
    }

    /// As everywhere in this store a name is written once: completing fails where the name holds other bytes.
    async fn put_multipart_opts(&self, location: &Path, _: PutMultipartOptions) -> Result<Box<dyn MultipartUpload>> {
        let staged = self.write(location, Staged::new).await?;
        Ok(Box::new(Upload::new(Arc::clone(&self.disk), staged)))
    }

    async fn get_opts(&self, location: &Path, options: GetOptions) -> Result<GetResult> {
        self.settle().await?;
        loop {
            let mut answer = self.inner.get_opts(location, options.clone()).await?;
            // The name may have been given, and not been synced, before it was read.
            if self.proven(location).await? {
                answer.extensions.insert(Cached);
                return Ok(answer);
            }
        }
    }

    async fn get_ranges(&self, location: &Path, ranges: &[Range<u64>]) -> Result<Vec<Bytes>> {
        self.settle().await?;
        loop {
            let answer = self.inner.get_ranges(location, ranges).await?;
            if self.proven(location).await? {
                return Ok(answer);
            }
        }
    }

    fn delete_stream(&self, locations: BoxStream<'static, Result<Path>>) -> BoxStream<'static, Result<Path>> {
        let this = self.inner.clone();
        let forget = move |path: Path| {
            names::forget(&this.path_to_filesystem(&path)?);
            Ok(path)
        };
        self.inner.delete_stream(locations).map(move |deleted| deleted.and_then(&forget)).boxed()
    }

    fn list(&self, prefix: Option<&Path>) -> BoxStream<'static, Result<ObjectMeta>> {
        self.listed(self.inner.list(prefix))
    }

    fn list_with_offset(&self, prefix: Option<&Path>, offset: &Path) -> BoxStream<'static, Result<ObjectMeta>> {
        self.listed(self.inner.list_with_offset(prefix, offset))
    }

    async fn list_with_delimiter(&self, prefix: Option<&Path>) -> Result<ListResult> {
        self.settle().await?;
        let listed = self.inner.list_with_delimiter(prefix).await;
        self.require_root()?;
        for meta in listed.iter().flat_map(|listed| &listed.objects) {
            self.proven(&meta.location).await?;
        }
        listed
    }

    async fn copy_opts(&self, from: &Path, to: &Path, options: CopyOptions) -> Result<()> {
        let (source, create) = (self.inner.path_to_filesystem(from)?, matches!(options.mode, CopyMode::Create));
        self.require_root()?;
        if !source.is_file() {
            return self.inner.copy_opts(from, to, options).await;
        }
        let copy = move |disk: &Disk, target: &path::Path| publish(disk, Staged::link(disk, &source, target)?, create);
        self.write(to, copy).await
    }
}

impl Local {
    /// The library lists a directory that is gone as an empty one.
    fn listed(&self, names: BoxStream<'static, Result<ObjectMeta>>) -> BoxStream<'static, Result<ObjectMeta>> {
        let (this, last) = (self.clone(), self.clone());
        let end = async move { last.require_root().err().map(Err) };
        let prover = self.clone();
        let names = names.and_then(move |meta| {
            let prover = prover.clone();
            async move { prover.proven(&meta.location).await.map(|_| meta) }
        });
        let names = names.chain(futures::stream::once(end).filter_map(std::future::ready));
        futures::stream::once(async move { this.settle().await.map(|()| names) }).try_flatten().boxed()
    }
}

/// Gives a synced file its name; of a create only where that is free, whatever it holds.
fn publish(disk: &Disk, staged: Staged, create: bool) -> std::result::Result<(), Error> {
    let path = staged.target().to_owned();
    if !create {
        return staged.replace(disk);
    }
    match staged.create(disk)? {
        Found::New => Ok(()),
        Found::Same | Found::Other => Err(Error::Exists { path }),
    }
}

fn result(tag: String) -> PutResult {
    PutResult { e_tag: Some(tag), version: None, extensions: object_store::Extensions::default() }
}

#[cfg(test)]
mod tests;
