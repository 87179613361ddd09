//! Names that the disk may not have.
//!
//! From the moment at which a file gets its name until the sync of its directory has succeeded, the name shows what a power cut may
//! take. Where the sync fails that stays so, and no later sync proves the contrary: the kernel reports a failure once. What is known of
//! such names is shared by all stores of the process, however often one is opened; a later process syncs all that it finds
//! ([`settled`](super::settled)).
//!
//! A name is changed by one writer at a time. Readers wait for its end; a name that is doubtful then is written anew before
//! anything is said of it.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    sync::{Condvar, LazyLock, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use tokio::sync::watch;

/// How a name stands that is not known to last.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// A writer is about it.
    Changing,
    /// It was given, and its directory could not be synced.
    Doubtful,
}

/// How a name stands, for a reader.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Standing {
    /// What is there lasts; `at_once` where no writer was about it when it was asked for.
    Lasts { at_once: bool },
    /// It has to be written anew.
    Doubtful,
    /// Its writer did not end in time.
    Changing,
}

/// Of the whole process, by the paths of files.
struct Names {
    states: Mutex<BTreeMap<PathBuf, State>>,
    /// Writers that wait for another one's end.
    ended: Condvar,
    /// Readers that do.
    changed: watch::Sender<()>,
}

static NAMES: LazyLock<Names> =
    LazyLock::new(|| Names { states: Mutex::default(), ended: Condvar::new(), changed: watch::Sender::new(()) });

impl Names {
    fn states(&self) -> MutexGuard<'_, BTreeMap<PathBuf, State>> {
        self.states.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn state(&self, target: &Path) -> Option<State> {
        self.states().get(target).copied()
    }

    /// Ends a change.
    fn set(&self, target: &Path, state: Option<State>) {
        let mut states = self.states();
        match state {
            Some(state) => drop(states.insert(target.to_owned(), state)),
            None => drop(states.remove(target)),
        }
        drop(states);
        self.ended.notify_all();
        self.changed.send_replace(());
    }
}

/// A change of a name by its only writer. Dropped before [`Change::lasts`], the name is doubtful if it was given, or stands as before.
#[derive(Debug)]
pub(super) struct Change {
    target: PathBuf,
    after: Option<State>,
}

impl Change {
    /// Waits, blocking, until no other writer is about the name.
    pub(super) fn begin(target: &Path) -> Self {
        let mut states = NAMES.states();
        while states.get(target) == Some(&State::Changing) {
            states = NAMES.ended.wait(states).unwrap_or_else(PoisonError::into_inner);
        }
        let after = states.insert(target.to_owned(), State::Changing);
        Self { target: target.to_owned(), after }
    }

    /// Whether the name was doubtful before.
    pub(super) fn of_doubtful(&self) -> bool {
        self.after == Some(State::Doubtful)
    }

    /// The file has its name now.
    pub(super) fn given(&mut self) {
        self.after = Some(State::Doubtful);
    }

    /// What has the name lasts, or nothing has it.
    pub(super) fn lasts(mut self) {
        self.after = None;
    }
}

impl Drop for Change {
    fn drop(&mut self) {
        NAMES.set(&self.target, self.after);
    }
}

/// How a name stands, once no writer is about it, or after this time.
pub(super) async fn standing(target: &Path, longest_wait: Duration) -> Standing {
    let mut changed = NAMES.changed.subscribe();
    let at_once = match NAMES.state(target) {
        None => return Standing::Lasts { at_once: true },
        Some(State::Doubtful) => return Standing::Doubtful,
        Some(State::Changing) => false,
    };
    let ends = changed.wait_for(|()| NAMES.state(target) != Some(State::Changing));
    if tokio::time::timeout(longest_wait, ends).await.is_err() {
        return Standing::Changing;
    }
    if NAMES.state(target).is_none() { Standing::Lasts { at_once } } else { Standing::Doubtful }
}

/// The name was deleted.
pub(super) fn forget(target: &Path) {
    let mut states = NAMES.states();
    if states.get(target) == Some(&State::Doubtful) {
        states.remove(target);
    }
}
