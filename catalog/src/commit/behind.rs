//! What a commit has to know of the numbers before its own: whether its task has committed already, and which version it would follow.
//!
//! Numbers that hold no version (barriers) are passed over and count for nothing: each collection may put one into each set, so that any
//! number of them can lie between two versions.

use futures::StreamExt;

use super::{Error, RECENT_VERSIONS};
use crate::{
    chain::{Loaded, VersionSet},
    entry::Cut,
    ids::VersionNumber,
};

/// What lies behind the end of a chain.
#[derive(Debug, Default)]
pub(crate) struct Behind {
    /// The manifest that the task has committed, among the newest [`RECENT_VERSIONS`] versions, as far as links prove it.
    pub(crate) done: Option<Loaded>,
    /// The newest version that can be read, and its cut.
    newest: Option<(VersionNumber, Option<Cut>)>,
    /// Versions that were looked at.
    versions: u64,
    /// Numbers to this one were looked at.
    through: Option<VersionNumber>,
}

impl Behind {
    /// Looks from `end` back, as far as `self` has not looked already.
    ///
    /// Damage further back must not end all backups: what lies behind it is not proven to be the task's (at worst the task commits the
    /// same state once more), but the newest version that can be read still counts.
    ///
    /// # Errors
    /// Where the store does not answer.
    pub(crate) async fn look(mut self, set: &VersionSet, task: &str, end: Option<&Loaded>) -> Result<Self, Error> {
        let Some(end) = end else { return Ok(self) };
        let mut now = Self::default();
        now.note(end, task, true);
        let mut next = Some(end.clone());
        let oldest = self.through.map_or(1, |through| through.0 + 1);
        let mut reads = std::pin::pin!(set.backwards(VersionNumber(oldest), end.manifest.number));
        while now.open() {
            let Some((number, read)) = reads.next().await else { break };
            next = match read.and_then(|loaded| set.linked(next.as_ref(), loaded)) {
                Ok((loaded, proven)) => {
                    now.note(&loaded, task, proven);
                    proven.then_some(loaded)
                }
                Err(error) if error.is_retryable() => return Err(error.into()),
                Err(error) => {
                    tracing::warn!(task, %number, %error, "an older version is damaged: a commit of this task before it is not looked for");
                    None
                }
            };
        }
        self.done = self.done.or(now.done);
        self.newest = now.newest.or(self.newest);
        self.versions += now.versions;
        self.through = Some(end.manifest.number);
        Ok(self)
    }

    /// Whether more has to be looked at.
    fn open(&self) -> bool {
        self.done.is_none() && self.versions < RECENT_VERSIONS
    }

    fn note(&mut self, loaded: &Loaded, task: &str, proven: bool) {
        if proven && loaded.manifest.task == task {
            self.done = Some(loaded.clone());
        }
        if let Some(version) = loaded.manifest.version() {
            self.versions += 1;
            self.newest.get_or_insert_with(|| (loaded.manifest.number, version.cut.clone()));
        }
    }

    /// The newest version, where its cut began after `cut` ended.
    pub(super) fn overtakes(&self, cut: &Cut) -> Option<VersionNumber> {
        let (number, newest) = self.newest.as_ref()?;
        newest.as_ref().is_some_and(|newest| newest.from > cut.through).then_some(*number)
    }
}
