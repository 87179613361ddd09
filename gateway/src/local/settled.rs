//! What was there when a store was opened, brought to the disk once.
//!
//! A process that is killed between the naming of a file and the sync of its directory leaves a name that is in memory only. A later
//! process lists it, and must not take it for stored before the disk has it.

use std::{
    collections::BTreeMap,
    fs::File,
    io,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError},
};

use super::{Error, Sync};

/// How it ended. The kernel says of a failure once, so that it is not asked again.
type Outcome = Result<(), Arc<io::Error>>;

/// The failure of each directory, of all stores of the process: a store that is opened again does not ask again either.
static FAILURES: Mutex<BTreeMap<PathBuf, Failure>> = Mutex::new(BTreeMap::new());

/// Held over a sync, so that who asks at the same time hears of its failure.
type Failure = Arc<Mutex<Option<Arc<io::Error>>>>;

/// Whether it is done, and how it ended.
#[derive(Debug)]
pub(super) struct Settled {
    /// The store's directory, which may be gone later.
    directory: File,
    outcome: OnceLock<Outcome>,
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
        let outcome = self.outcome.get_or_init(|| self.ask(root, sync));
        outcome.clone().map_err(|source| Error::Unsettled { path: root.to_owned(), source })
    }

    fn ask(&self, root: &Path, sync: &Sync) -> Outcome {
        let failure = Arc::clone(lock(&FAILURES).entry(root.to_owned()).or_default());
        let mut failure = lock(&failure);
        if let Some(failure) = &*failure {
            return Err(Arc::clone(failure));
        }
        let asked = (sync.all)(root, &self.directory).map_err(Arc::new);
        *failure = asked.as_ref().err().map(Arc::clone);
        asked
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
