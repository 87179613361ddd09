//! New names of one run, and the list of those it gave out: what its work root has to name.

use std::sync::{Mutex, PoisonError};

use object_store::path::Path;
use tidemark_catalog::{
    ids::{FencingToken, SourceId},
    names::Names,
};
use tidemark_listener_core::driver::NameSource;

/// Names of one claim.
pub(super) struct TaskNames {
    names: Names,
    given: Mutex<Vec<String>>,
}

impl TaskNames {
    pub(super) fn new(source: SourceId, token: FencingToken) -> Self {
        Self { names: Names::new(source, token), given: Mutex::default() }
    }

    /// The names themselves, for what the work root need not name: roots and the pages of a manifest about to be made.
    pub(super) fn names(&self) -> &Names {
        &self.names
    }

    /// Adds names that an earlier run or a listener wrote.
    pub(super) fn adopt(&self, names: impl IntoIterator<Item = String>) {
        self.given.lock().unwrap_or_else(PoisonError::into_inner).extend(names);
    }

    /// All names so far, sorted, each once.
    pub(super) fn all(&self) -> Vec<String> {
        let mut all = self.given.lock().unwrap_or_else(PoisonError::into_inner).clone();
        all.sort();
        all.dedup();
        all
    }

    fn remember(&self, path: Path) -> Path {
        self.adopt([path.to_string()]);
        path
    }
}

impl NameSource for TaskNames {
    fn segment(&self) -> Path {
        self.remember(self.names.segment())
    }

    fn page(&self) -> Path {
        self.remember(self.names.page())
    }
}
