//! Who collapses an object's keys: this process alone, or all workers of the cluster.

use async_trait::async_trait;
use tidemark_catalog::{entry::ObjectLine, keys::KeyRange};
use tidemark_listener_core::{
    failure::Failure,
    records::{ConsolidateJob, Consolidated, RecordSource},
};
use tidemark_records::consolidate::{self, Collapse};
use tokio::sync::Semaphore;

use super::parts::{MISFIT, PARTS_PER_WORKER, Workers};
use crate::tasks::Waits;

/// Code of parts that do not fit together: workers of two releases may have made them.
const UNLIKE: &str = "TM-REC-0003";

/// Who consolidates the objects of one version.
pub(super) struct By<'a> {
    workers: Workers<'a>,
    /// A permit for each range that this process may collapse at a time.
    permits: Semaphore,
    /// Where there are other workers.
    spread: Option<Spread>,
}

/// Parts may be done elsewhere.
struct Spread {
    /// How many at a time.
    at_a_time: usize,
    /// This run mostly waits: another one may have its place.
    _waits: Waits,
}

impl<'a> By<'a> {
    /// So many workers take new work, this process among them or not. In a cluster parts are asked for also where there is one: those of
    /// an earlier run, when there were more, are found so.
    pub(super) fn new(workers: Workers<'a>, count: usize) -> Self {
        let job = workers.job;
        let least = if job.with.coordinator.cluster().is_some() { 1 } else { 2 };
        let spread = || Spread { at_a_time: count * PARTS_PER_WORKER, _waits: job.context.waits() };
        let (permits, spread) = (Semaphore::new(job.with.consolidations), (count >= least).then(spread));
        Self { workers, permits, spread }
    }

    /// Objects that are consolidated at a time, from 1.
    pub(super) fn at_a_time(&self) -> usize {
        let here = self.workers.job.with.consolidations;
        self.spread.as_ref().map_or(here, |spread| spread.at_a_time.max(here))
    }

    /// Work of this process, when there is a place for it.
    pub(super) async fn here<T>(&self, work: impl Future<Output = T>) -> T {
        let _permit = self.permits.acquire().await;
        work.await
    }

    /// The line of an object. A small one, and one whose parts do not fit together, is made here.
    pub(super) async fn consolidate(
        &self,
        source: &dyn RecordSource,
        kind: &str,
        job: ConsolidateJob,
    ) -> Result<ObjectLine, Failure> {
        if let Some(spread) = self.spread.as_ref().filter(|_| job.staged_bytes() >= self.part_bytes()) {
            let ranges = source.split(&job, self.parts(&job, spread.at_a_time));
            let made = consolidate::object_by(&self.workers, kind, job.clone(), &ranges, spread.at_a_time).await;
            match made {
                Err(error) if [MISFIT, UNLIKE].contains(&error.code.as_ref()) => {
                    tracing::warn!(object = %job.object, code = %error.code, %error, "the object is consolidated here");
                }
                made => return made,
            }
        }
        let here = self.workers.job.with.consolidations;
        let ranges = source.split(&job, self.parts(&job, here));
        consolidate::object_by(&Here { by: self, source }, kind, job, &ranges, here).await
    }

    fn part_bytes(&self) -> u64 {
        self.workers.job.with.part_bytes
    }

    /// Into how many parts an object may be cut.
    fn parts(&self, job: &ConsolidateJob, most: usize) -> usize {
        let parts = job.staged_bytes() / self.part_bytes().max(1);
        usize::try_from(parts).unwrap_or(usize::MAX).clamp(1, most)
    }
}

/// Collapses ranges in this process.
struct Here<'a> {
    by: &'a By<'a>,
    source: &'a dyn RecordSource,
}

#[async_trait]
impl Collapse for Here<'_> {
    async fn collapse(&self, job: &ConsolidateJob, range: &KeyRange) -> Result<Consolidated, Failure> {
        self.by.here(self.source.consolidate(job, range)).await
    }
}
