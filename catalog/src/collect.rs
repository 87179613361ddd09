//! Collection: what is stored, what needs it, and the deletion of what nothing needs.
//!
//! It works on one source at a time, in rounds, by a [`Collector`]:
//!
//! 1. [`mark`](Collector::mark)
//!    - records as *collected* each version whose expiry is over ([`give_up`](Collector::give_up) does that alone);
//!    - reads, in this order, states ([`crate::states`]), work roots and manifests;
//!    - marks what no version needs ([`crate::marks`]). A collected version that no root of a live task pins needs nothing: it is
//!      *gone*, and the head of the marks names it.
//! 2. [`sweep`](Collector::sweep), after a grace,
//!    - reads the marks, takes a new token F, and stops unless F is of the store's newest generation;
//!    - lists the sets and commits a *barrier* under F to each whose newest manifest has a lower token;
//!    - lists the manifests again, by a list that has the barriers, and reads those of all versions that are not gone, or needs blocks that
//!      tell of them (`collect/blocks.rs`);
//!    - deletes what is marked and named by none of them, and records that the round is swept. Only then may the next be marked.
//!
//! **Why nothing is deleted that a version needs.** A manifest that names a marked object is one of these:
//! - committed before its set's barrier: the second reading finds it, and the object stays;
//! - committed after it under F's generation: its token is F or above, so it was taken after the marks were stored. Its writer
//!   read them, and then looked whether what it refers to is there;
//! - committed after it under a later generation: that one was in the store when the sweep looked, and the sweep stopped; or its
//!   token was taken after the marks too;
//! - in a set that was not there to get a barrier: its first root was written after the marks, so its writer read them.
//!
//! **Why several collectors do no harm.** Which versions are gone is written down with the marks, so that all sweeps of a round, those
//! of a process that was frozen too, delete the same: one that is late deletes only what was deleted before the round was said to be swept.
//!
//! **Why a reader is not deleted under.** It stores a root that pins the version, then reads the version's state. If that is not
//! `collected`, then the root was there before the record, and so before the roots were read that the marks were made by.
//!
//! Lists of tasks that are alive and ages only say *what* is marked. They save work; nothing above rests on them. Ages come from the
//! store's own clock, never from that of a node ([`store_now`]).
//!
//! **A crash** leaves pages of marks without a head, which never count and are deleted with the next round; or a round that is not
//! swept, or half of it: sweeping it again deletes the rest.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
    sync::Arc,
    time::Duration,
};

use futures::future::BoxFuture;
use jiff::Timestamp;
use object_store::{ObjectStore, path::Path};
use tidemark_gateway::Env;

use crate::{
    chain::Head,
    commit::Claim,
    ids::{SetId, SourceId, TaskId, VersionId, VersionNumber},
    manifest::Manifest,
    marks::Round,
};

mod blocks;
mod classify;
mod clock;
mod error;
mod generation;
mod leftovers;
mod mark;
mod name;
mod needs;
#[cfg(test)]
mod race;
mod reading;
mod roots;
mod rules;
mod served;
mod set;
mod staged;
mod survey;
mod sweep;

pub use clock::store_now;
pub use error::Error;
pub use generation::require_newest;
pub use leftovers::{Leftover, leftovers, remove};
pub use needs::{EntryNeeds, of_entry};
pub use survey::{Sum, Survey};

/// What the coordinator knows of a source. All of it is a hint about what to mark.
#[derive(Clone, Debug, Default)]
pub struct Live {
    /// The store's clock ([`store_now`]) from before the lists below were read; ages are measured by it. So a task that is not in
    /// the lists because it began later has a root that is not old. At the default, 1970, nothing is old.
    pub as_of: Timestamp,
    /// Tasks that are not done: what they write, stage and pin is kept.
    pub tasks: BTreeSet<TaskId>,
    /// Tasks that are done, or given up: what they left and pinned is garbage at once. A task in neither of both is alive as long as its
    /// newest root is younger than [`Ages::unclaimed`].
    pub done: BTreeSet<TaskId>,
    /// Sets that policies name; those that the store has are added.
    pub sets: BTreeSet<SetId>,
    /// The newest numbers that are known of sets: a set is read by a list that reaches them, or not at all.
    pub known: BTreeMap<SetId, VersionNumber>,
    /// Sets whose staged files are kept as long as their version is.
    pub keep_staged: BTreeSet<SetId>,
    /// Sets whose staged files are not kept, whatever their versions say. A set in neither of both keeps those of versions that say so.
    pub free_staged: BTreeSet<SetId>,
}

/// How long things are left alone, by the store's clock.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ages {
    /// How long an expiry can be undone.
    pub undo: Duration,
    /// How long marks lie before they are swept.
    pub marks: Duration,
    /// How long that is kept which belongs to a task of which nothing is known, or to none.
    pub unclaimed: Duration,
}

impl Default for Ages {
    /// 24 hours, 24 hours, 96 hours.
    fn default() -> Self {
        let hours = |hours: u64| Duration::from_secs(hours * 3600);
        Self { undo: hours(24), marks: hours(24), unclaimed: hours(96) }
    }
}

impl Live {
    /// Whether what was staged for a version of `set` stays with it; `says` is what its manifest says.
    fn keeps_staged(&self, set: &SetId, says: bool) -> bool {
        self.keep_staged.contains(set) || says && !self.free_staged.contains(set)
    }
}

/// Task of the barriers that a sweep puts into sets, with the token behind it.
const FENCE_TASK: &str = "barrier-";

/// Whether a number of a set was taken by a sweep, so that older claims cannot commit: nothing was lost there.
pub fn is_fence(manifest: &Manifest) -> bool {
    manifest.version().is_none() && manifest.task.starts_with(FENCE_TASK)
}

/// Why a fence gives no claim.
pub type FenceError = Box<dyn std::error::Error + Send + Sync>;

/// Gives new claims.
pub trait Fence: Send + Sync {
    /// A claim whose token was taken after this call began: it is above every token that the coordinator has given before.
    fn claim(&self) -> BoxFuture<'_, Result<Arc<dyn Claim>, FenceError>>;

    /// The newest manifest that is known of a set: what it is fenced by has to go back to that one.
    fn known<'a>(&'a self, set: &'a SetId) -> BoxFuture<'a, Result<Option<Head>, FenceError>>;

    /// Remembers the newest manifest of a set, which fences it: from now on it is known to be there
    /// ([`crate::chain::VersionSet::with_head`]). Called before anything is deleted.
    fn fenced<'a>(&'a self, set: &'a SetId, head: Head) -> BoxFuture<'a, Result<(), FenceError>>;
}

/// Nothing rests on it: who goes on without its claim deletes what the next one would. But it does so beside that one.
fn require_held(claim: &dyn Claim) -> Result<(), Error> {
    if claim.holds() { Ok(()) } else { Err(Error::ClaimLost { token: claim.token() }) }
}

/// What was deleted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Swept {
    /// Objects; those that another sweep had deleted before are counted too.
    pub objects: u64,
    /// Their stored bytes.
    pub bytes: u64,
}

/// A listed object.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Line {
    /// Its name.
    pub path: Path,
    /// Stored bytes.
    pub bytes: u64,
    /// What it serves, or why it goes.
    pub class: Class,
}

/// What a stored object serves, or why it goes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Class {
    /// Versions that are neither expired nor collected need it.
    Versions {
        /// One of them: the first by set and number.
        first: VersionId,
        /// How many.
        count: u64,
    },
    /// Only expired versions need it.
    Expired {
        /// The one that can be collected last.
        version: VersionId,
        /// When, by the store's clock; `None` while it is held.
        after: Option<Timestamp>,
    },
    /// Only a collected version needs it, which somebody reads.
    Pinned {
        /// The version.
        version: VersionId,
    },
    /// Staged for a version, and kept with it because the policy says so.
    Staged {
        /// The version.
        version: VersionId,
    },
    /// A task that is alive may need it.
    Task {
        /// The task.
        task: TaskId,
    },
    /// It is marked, nothing needs it, and the next sweep deletes it.
    Marked {
        /// The round.
        round: u64,
    },
    /// Nothing needs it: it is marked next, or deleted at once where it is staged.
    Garbage {
        /// Why.
        why: Why,
    },
    /// Nothing is known to need it, but it is not old.
    Young {
        /// When it is, by the store's clock.
        until: Timestamp,
    },
    /// It is never deleted: manifests, states, marks, what the preflight of listeners reads.
    Lasting,
    /// No build of ours writes such a name: it is never deleted.
    Foreign,
}

/// Why an object is garbage.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Why {
    /// A version needed it that is collected now.
    Collected {
        /// The version; of several the first by set and number.
        version: VersionId,
    },
    /// Its task is done.
    TaskDone {
        /// The task.
        task: TaskId,
    },
    /// Of its task nothing was heard for [`Ages::unclaimed`], or nothing at all.
    Unclaimed,
}

impl fmt::Display for Why {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Collected { version } => write!(f, "version {version} was collected"),
            Self::TaskDone { task } => write!(f, "task {task} is done"),
            Self::Unclaimed => f.write_str("no task claims it"),
        }
    }
}

/// Collects the garbage of one source in a store.
#[derive(Debug)]
pub struct Collector<'a> {
    store: &'a Arc<dyn ObjectStore>,
    source: &'a SourceId,
    live: &'a Live,
    ages: Ages,
    node: &'a str,
    env: &'a Env,
    /// Numbers of a needs block of level 0, and blocks of one that is higher.
    numbers: u64,
    /// A rule that is not kept.
    #[cfg(test)]
    broken: Option<rules::Rule>,
}

impl<'a> Collector<'a> {
    /// A collector of `source`, on the node of this name. Makes no request.
    pub fn new(
        store: &'a Arc<dyn ObjectStore>,
        source: &'a SourceId,
        live: &'a Live,
        ages: Ages,
        node: &'a str,
        env: &'a Env,
    ) -> Self {
        Self {
            store,
            source,
            live,
            ages,
            node,
            env,
            numbers: blocks::NUMBERS,
            #[cfg(test)]
            broken: None,
        }
    }

    /// What is stored of the source and what it serves; changes nothing. `each` is called for each
    /// object, in the order that the store lists them in. `without` are versions of which is asked what deleting all of them
    /// would free ([`Survey::frees`]).
    ///
    /// Holds about 150 bytes for each object that versions need.
    ///
    /// # Errors
    /// [`Error`] by variant, naming what cannot be read.
    pub async fn survey(
        &self,
        without: &BTreeSet<VersionId>,
        each: &mut (dyn FnMut(Line) + Send),
    ) -> Result<Survey, Error> {
        self.survey_all(without, each).await
    }

    /// Deletes what is staged for tasks whose version is committed, unless they are alive or their set keeps it; without marks and
    /// grace, because no version names what is staged.
    ///
    /// # Errors
    /// [`Error`] by variant; nothing is deleted where a version cannot be read.
    pub async fn free_staged(&self, claim: &dyn Claim) -> Result<Swept, Error> {
        self.free(claim).await
    }

    /// Makes collected what was expired for long enough, whether or not a round waits to be swept. What is collected and cannot be read
    /// stands in nobody's way any more.
    ///
    /// # Errors
    /// [`Error`] by variant; [`Error::OldGeneration`].
    pub async fn give_up(&self, claim: &dyn Claim) -> Result<(), Error> {
        self.give_up_expired(claim).await
    }

    /// Makes collected what was expired for long enough, and marks what nothing needs; gives the round. Where there is a round that
    /// is not swept yet, it gives that one and does nothing; `None` where there is nothing to mark. Run again after a crash it
    /// begins anew.
    ///
    /// Holds about 150 bytes for each object that versions need, and the names of one page.
    ///
    /// # Errors
    /// [`Error`] by variant, naming what cannot be read. Nothing counts as marked then.
    pub async fn mark(&self, claim: &dyn Claim) -> Result<Option<Round>, Error> {
        self.mark_round(claim).await
    }

    /// Deletes what the round that is not swept yet has marked, if it has lain long enough ([`Ages::marks`]), and nothing needs it
    /// still. `None` where there is no such round, or it has lain less than that. Run again after a crash it goes on.
    ///
    /// Holds about 100 bytes for each object that versions need, and the names of one page.
    ///
    /// # Errors
    /// [`Error`] by variant; nothing is deleted before all sets are fenced and all versions that are needed have been read.
    pub async fn sweep(&self, fence: &dyn Fence) -> Result<Option<Swept>, Error> {
        self.sweep_round(fence).await
    }
}

#[cfg(test)]
mod tests;
