//! What was there when a store was opened, brought to the disk once.
//!
//! A process that is killed between the naming of a file and the sync of its directory leaves a name that is in memory only. A later
//! process lists it, and must not take it for stored before the disk has it.

use std::{
    fs::File,
    io,
    path::Path,
    sync::{Arc, OnceLock},
};

use super::{Error, Sync};

/// Whether it is done, and how it ended: the kernel says of a failure once, so that it is not asked again.
#[derive(Debug)]
pub(super) struct Settled {
    /// The store's directory, which may be gone later.
    directory: File,
    outcome: OnceLock<Result<(), Arc<io::Error>>>,
}

impl Settled {
    /// Of the store in `root`; not done yet.
    pub(super) fn new(root: &Path) -> io::Result<Self> {
        Ok(Self { directory: File::open(root)?, outcome: OnceLock::new() })
    }

    /// Whether all lasts that was there.
    pub(super) fn is(&self) -> bool {
        matches!(self.outcome.get(), Some(Ok(())))
    }

    /// Syncs the file system that `root` is in, unless that was done; others wait meanwhile. Blocks.
    ///
    /// # Errors
    /// [`Error::Unsettled`], the same in every call after one that failed.
    pub(super) fn once(&self, root: &Path, sync: &Sync) -> Result<(), Error> {
        let outcome = self.outcome.get_or_init(|| (sync.all)(root, &self.directory).map_err(Arc::new));
        let failed = |source: &Arc<io::Error>| Error::Unsettled { path: root.to_owned(), source: Arc::clone(source) };
        outcome.as_ref().map(|()| ()).map_err(failed)
    }
}
