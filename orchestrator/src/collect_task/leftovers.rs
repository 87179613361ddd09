//! Uploads that nobody will end, and objects of probes: what a crash leaves in a store beside its objects.

use std::{sync::Arc, time::Duration};

use futures::TryStreamExt;
use jiff::Timestamp;
use tidemark_catalog::{
    collect::{self, Leftover},
    ids::FencingToken,
};
use tidemark_gateway::causes;

use super::result::Removed;
use crate::{executors::Executors, failure::Failure, stores::OpenStore};

/// When what was begun at a time, by the store's clock, is nobody's any more: once it is old, and older than every task that is
/// not done.
pub(crate) struct Nobodys {
    /// Now, by the store's clock.
    now: Timestamp,
    /// Age from which on it is nobody's.
    age: Duration,
}

impl Nobodys {
    /// As things stand now.
    pub(crate) async fn of(with: &Executors, store: &OpenStore) -> Result<Self, Failure> {
        let now = collect::store_now(&store.objects, &with.env).await?;
        let open = with.tasks.list().await?.into_iter().filter(|task| !task.state.is_done());
        let age = age(with.ages.unclaimed, with.env.now(), open.map(|task| task.created));
        Ok(Self { now, age })
    }

    /// From when on it is, by the store's clock.
    pub(crate) fn from(&self, leftover: &Leftover) -> Timestamp {
        leftover.aged(self.age)
    }

    /// Whether it is.
    pub(crate) fn has(&self, leftover: &Leftover) -> bool {
        self.from(leftover) <= self.now
    }
}

/// The age of the oldest of tasks that are not done, by when they were created, but at least `unclaimed`.
fn age(unclaimed: Duration, now: Timestamp, open: impl Iterator<Item = Timestamp>) -> Duration {
    let oldest = open.min().map(|created| now.duration_since(created));
    // A task from the future, by a clock that went back, is no reason to wait.
    oldest.and_then(|oldest| Duration::try_from(oldest).ok()).unwrap_or_default().max(unclaimed)
}

/// Removes what is nobody's. A store that gives no list, or ends no upload, is said in the result: it keeps nothing else
/// from being collected.
pub(super) async fn remove(with: &Executors, store: &OpenStore, claim: FencingToken) -> Result<Removed, Failure> {
    match collect::require_newest(&store.objects, claim).await {
        // Whose they are only the daemon knows that uses the store now.
        Err(error @ collect::Error::OldGeneration { .. }) => {
            return Ok(Removed { problem: Some(causes::joined(&error)), ..Removed::default() });
        }
        other => other?,
    }
    let nobodys = Nobodys::of(with, store).await?;
    let mut removed = Removed::default();
    if let Err(error) = remove_each(store, &nobodys, &mut removed).await {
        let problem = causes::joined(&error);
        tracing::warn!(store = store.record.name, problem, "uploads that were not ended stay in the store");
        removed.problem = Some(problem);
    }
    Ok(removed)
}

async fn remove_each(store: &OpenStore, nobodys: &Nobodys, removed: &mut Removed) -> Result<(), collect::Error> {
    let objects = Arc::clone(&store.objects);
    let mut all = collect::leftovers(&objects, &store.unfinished);
    while let Some(leftover) = all.try_next().await? {
        if !nobodys.has(&leftover) {
            continue;
        }
        collect::remove(&objects, &store.unfinished, &leftover).await?;
        match leftover {
            Leftover::Upload(_) => removed.uploads += 1,
            Leftover::Probe { .. } => removed.probes += 1,
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_younger_than_a_task_that_is_not_done_may_be_its_own() {
        let at = |second| Timestamp::from_second(second).unwrap();
        let unclaimed = Duration::from_secs(100);
        let of = |open: &[i64]| age(unclaimed, at(1000), open.iter().map(|second| at(*second))).as_secs();
        assert_eq!([of(&[]), of(&[990]), of(&[990, 400]), of(&[2000])], [100, 100, 600, 100]);
    }
}
