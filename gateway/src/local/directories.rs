//! The directories of objects, each of which lasts before anything is written into it.
//!
//! That a directory is there does not say so: another writer may have made it a moment ago, or its sync may have failed. So
//! each is proven once in a process, under a lock that the others wait for, by a sync of the directory that it lies in; and once
//! more where another one has come into its place, as when a store is put back from a copy. The
//! sync that failed is not asked again for a directory that is there already: where it was made here, it is removed and made
//! anew; where others have written into it, this process writes nothing more below it, whichever store it opens.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs::{self, File},
    io,
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
    sync::{Mutex, MutexGuard, PoisonError},
    time::SystemTime,
};

use super::{Error, Sync};

/// Directories that are remembered; when there are more, all are proven again.
const REMEMBERED: usize = 10_000;

#[derive(Debug)]
pub(super) struct Directories {
    root: PathBuf,
    sync: Sync,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    /// Proven to last, and which they are.
    lasting: BTreeMap<PathBuf, Identity>,
}

/// Directories of which a sync failed, of all stores of the process.
static FAILED: Mutex<BTreeSet<PathBuf>> = Mutex::new(BTreeSet::new());

/// Not to be held over a sync, which may take for ever: other stores wait for it too.
fn failed() -> MutexGuard<'static, BTreeSet<PathBuf>> {
    FAILED.lock().unwrap_or_else(PoisonError::into_inner)
}

/// File system, number in it, and when it was made: numbers are given again.
type Identity = (u64, u64, Option<SystemTime>);

fn identity(directory: &Path) -> io::Result<Identity> {
    let metadata = fs::metadata(directory)?;
    Ok((metadata.dev(), metadata.ino(), metadata.created().ok()))
}

impl State {
    fn lasts(&self, directory: &Path) -> bool {
        let known = self.lasting.get(directory);
        known.is_some_and(|known| identity(directory).is_ok_and(|found| found == *known))
    }
}

impl Directories {
    /// The directories below `root`, which itself is not made.
    pub(super) fn new(root: PathBuf, sync: Sync) -> Self {
        Self { root, sync, state: Mutex::default() }
    }

    /// Makes `directory` where it lacks, and proves that it and all above it last.
    pub(super) fn make(&self, directory: &Path) -> Result<(), Error> {
        let mut state = self.state();
        let above = directory.ancestors().take_while(|directory| *directory != self.root);
        let unproven: Vec<_> = above.filter(|directory| !state.lasts(directory)).collect();
        for directory in unproven.into_iter().rev() {
            self.prove(directory)?;
            if state.lasting.len() >= REMEMBERED {
                state.lasting.clear();
            }
            let failed = |source| Error::File { operation: "look at", path: directory.to_owned(), source };
            state.lasting.insert(directory.to_owned(), identity(directory).map_err(failed)?);
        }
        Ok(())
    }

    fn prove(&self, directory: &Path) -> Result<(), Error> {
        let parent = parent(directory);
        if failed().contains(parent) && directory.is_dir() {
            let source = io::Error::other("an earlier sync of it failed, and what it holds cannot be written anew");
            return Err(Error::Unsynced { path: parent.to_owned(), source });
        }
        let made = make(directory, &self.sync);
        if matches!(made, Err(Error::Unsynced { .. })) {
            failed().insert(parent.to_owned());
        }
        made
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Makes `directory`, or takes it as it is, and syncs the one it lies in. Where that fails it is removed, unless it is in use.
pub(super) fn make(directory: &Path, sync: &Sync) -> Result<(), Error> {
    let failed = |source| Error::File { operation: "make directory", path: directory.to_owned(), source };
    let parent = parent(directory);
    // Opened before the change, so that no failure is reported to somebody else.
    let opened = File::open(parent).map_err(failed)?;
    let made = match fs::create_dir(directory) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => false,
        other => other.map(|()| true).map_err(failed)?,
    };
    let synced = sync.ask(parent, &opened);
    if synced.is_err() && made {
        let _ = fs::remove_dir(directory);
    }
    synced
}

/// Where `path` lies. Only the root of all has no parent, and it is nothing that is written.
pub(super) fn parent(path: &Path) -> &Path {
    path.parent().unwrap_or(path)
}
