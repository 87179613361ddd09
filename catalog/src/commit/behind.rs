//! What a commit has to know of the numbers before its own: whether its task has committed already, and which version it would follow.
//!
//! Numbers that hold no version (barriers) are passed over: each collection may put one into each set, so that any number of them can lie
//! between two versions. What they cost is bounded. A barrier is committed under one claim alone, and tokens never fall along a chain:
//! of it nothing lies behind a manifest with a lower token. A version is looked for among so many numbers and no more.

use futures::StreamExt;

use super::{Claim, Error, ManifestDraft, RECENT_NUMBERS, RECENT_VERSIONS};
use crate::{
    chain::{Loaded, VersionSet},
    entry::Cut,
    ids::{FencingToken, VersionNumber},
    manifest::Holds,
};

/// What is looked for behind the end of a chain.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Search<'a> {
    task: &'a str,
    /// No manifest with a lower token is the task's.
    since: Option<FencingToken>,
    /// The newest version has to be known, however far back.
    newest: bool,
}

impl<'a> Search<'a> {
    /// A manifest of `task`.
    pub(crate) fn task(task: &'a str) -> Self {
        Self { task, since: None, newest: false }
    }

    /// What a commit of `draft` has to know.
    pub(super) fn of(draft: &'a ManifestDraft, claim: &dyn Claim) -> Self {
        let since = matches!(draft.holds, Holds::Barrier(_)).then(|| claim.token());
        Self { task: &draft.task, since, newest: draft.in_order }
    }
}

/// What lies behind the end of a chain.
#[derive(Debug, Default)]
pub(crate) struct Behind {
    /// The manifest that the task has committed, among the newest [`RECENT_VERSIONS`] versions, as far as links prove it.
    pub(crate) done: Option<Loaded>,
    /// The newest version that can be read, and its cut.
    newest: Option<(VersionNumber, Option<Cut>)>,
    /// Versions that were looked at, and numbers.
    versions: u64,
    numbers: u64,
    /// The lowest token that links prove.
    lowest: Option<FencingToken>,
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
    pub(crate) async fn look(
        mut self,
        set: &VersionSet,
        search: &Search<'_>,
        end: Option<&Loaded>,
    ) -> Result<Self, Error> {
        let Some(end) = end else { return Ok(self) };
        let (mut now, task) = (Self::default(), search.task);
        now.note(end, task, true);
        let mut next = Some(end.clone());
        let oldest = self.through.map_or(1, |through| through.0 + 1);
        let mut reads = std::pin::pin!(set.backwards(VersionNumber(oldest), end.manifest.number));
        while now.open(search) {
            let Some((number, read)) = reads.next().await else { break };
            now.numbers += 1;
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
    fn open(&self, search: &Search<'_>) -> bool {
        let is_older = search.since.zip(self.lowest).is_some_and(|(since, lowest)| lowest < since);
        let is_recent = self.versions < RECENT_VERSIONS && self.numbers < RECENT_NUMBERS;
        self.done.is_none() && !is_older && (is_recent || search.newest && self.newest.is_none())
    }

    fn note(&mut self, loaded: &Loaded, task: &str, proven: bool) {
        if proven {
            self.lowest = Some(self.lowest.map_or(loaded.manifest.token, |lowest| lowest.min(loaded.manifest.token)));
        }
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
