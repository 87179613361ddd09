//! Consolidation of one object: its key ranges are collapsed by the source, and their parts become one entry and one line.
//!
//! **A partition that cannot be read** (a damaged file, a format that is not known) is left out of the object's state as if it had
//! been absent, and whole: then all ranges begin again without it, at most once for each partition; what was written before is
//! garbage. A store that does not answer is no damage: before a partition is left out, the store must show that it still has what
//! that partition said about itself.
//!
//! Segments, pages and the entry are written under new names; until a manifest names the entry they are garbage, so a crash at any
//! step leaves nothing to undo.

pub mod budget;
mod error;
mod failed;
mod join;
#[cfg(test)]
mod tests;
pub mod watch;

use async_trait::async_trait;
use futures::{FutureExt as _, StreamExt as _, stream};
use tidemark_catalog::{
    door,
    entry::{Cut, ObjectLine},
    keys::KeyRange,
    slice,
};
use tidemark_listener_core::{
    failure::Failure,
    records::{ConsolidateJob, Consolidated, Part, RecordSource},
};

use error::Error;
pub use failed::{Failed, failure};

/// Who collapses the ranges of an object's keys.
#[async_trait]
pub trait Collapse: Send + Sync {
    /// What [`RecordSource::consolidate`] gives for the range. A call that is dropped leaves garbage at most.
    ///
    /// # Errors
    /// As there.
    async fn collapse(&self, job: &ConsolidateJob, range: &KeyRange) -> Result<Consolidated, Failure>;
}

/// Collapses them in this process.
struct Here<'a>(&'a dyn RecordSource);

#[async_trait]
impl Collapse for Here<'_> {
    async fn collapse(&self, job: &ConsolidateJob, range: &KeyRange) -> Result<Consolidated, Failure> {
        self.0.consolidate(job, range).await
    }
}

/// As [`object_by`], range after range in this process.
///
/// # Errors
/// As there.
pub async fn object(
    source: &dyn RecordSource,
    kind: &str,
    job: ConsolidateJob,
    ranges: &[KeyRange],
) -> Result<ObjectLine, Failure> {
    object_by(&Here(source), kind, job, ranges, 1).await
}

/// Collapses the captured slices of the job's object into one state and stores its pages and entry. `ranges` ascend, and hold
/// every key once; so many of them are collapsed `at_a_time`, from 1.
///
/// Where nothing of the object can be read, the line has no entry, and its quality says why.
///
/// # Errors
/// `TM-REC-0001` where a page or the entry cannot be stored, `TM-REC-0002` where a partition cannot be read and the store does not
/// show what it said about itself, `TM-REC-0003` where the parts are not of one object; else the source's own.
pub async fn object_by(
    by: &dyn Collapse,
    kind: &str,
    mut job: ConsolidateJob,
    ranges: &[KeyRange],
    at_a_time: usize,
) -> Result<ObjectLine, Failure> {
    if !hold_every_key_once(ranges) {
        return Err(
            Error::Parts { object: job.object.to_string(), what: "their ranges do not hold every key once" }.into()
        );
    }
    loop {
        let (partition, reason) = match parts(by, &job, ranges, at_a_time).await? {
            Outcome::Parts(parts) => return Ok(join::line(&job, kind, parts).await?),
            Outcome::Missing(reason) => return Ok(missing(&job, reason)),
            Outcome::Unreadable(partition, reason) => (partition, reason),
        };
        if job.unreadable.contains_key(&partition) {
            return Err(Error::LeftOut { partition, reason }.into());
        }
        prove_store(&job, &partition).await?;
        tracing::warn!(source_id = %job.source, object = %job.object, partition, reason,
            "the partition cannot be read, the object is made without it");
        job.unreadable.insert(partition, reason);
    }
}

fn hold_every_key_once(ranges: &[KeyRange]) -> bool {
    let ends =
        ranges.first().is_some_and(|range| range.from.is_none()) && ranges.last().is_some_and(|r| r.until.is_none());
    ends && ranges.windows(2).all(|pair| pair[0].until.is_some() && pair[0].until == pair[1].from)
}

/// What all ranges came to.
enum Outcome {
    Parts(Vec<Part>),
    Unreadable(String, String),
    Missing(String),
}

async fn parts(
    by: &dyn Collapse,
    job: &ConsolidateJob,
    ranges: &[KeyRange],
    at_a_time: usize,
) -> Result<Outcome, Failure> {
    let mut calls = Vec::with_capacity(ranges.len());
    for range in ranges {
        calls.push(collapse(by, job, range).boxed());
    }
    let mut collapsed = stream::iter(calls).buffered(at_a_time.max(1));
    let mut parts = Vec::with_capacity(ranges.len());
    while let Some(collapsed) = collapsed.next().await {
        match collapsed? {
            Consolidated::Part(part) => parts.push(*part),
            Consolidated::Unreadable { partition, reason } => return Ok(Outcome::Unreadable(partition, reason)),
            Consolidated::Missing { reason } => return Ok(Outcome::Missing(reason)),
        }
    }
    if job.cancel.is_cancelled() { Err(Failure::cancelled()) } else { Ok(Outcome::Parts(parts)) }
}

async fn collapse(by: &dyn Collapse, job: &ConsolidateJob, range: &KeyRange) -> Result<Consolidated, Failure> {
    if job.cancel.is_cancelled() { Err(Failure::cancelled()) } else { by.collapse(job, range).await }
}

/// Proves that the store still has what the partition said about itself: one that lost that too is away, and tells nothing about
/// the partition's files.
async fn prove_store(job: &ConsolidateJob, partition: &str) -> Result<(), Error> {
    let Some(slice) = job.slices.iter().find(|slice| slice.partition == partition) else { return Ok(()) };
    let seen = door::head(&job.store, &slice.info).await;
    seen.map(drop).map_err(|source| Error::Away { partition: partition.to_owned(), source })
}

/// The line of an object of which nothing can be said.
fn missing(job: &ConsolidateJob, reason: String) -> ObjectLine {
    let slices: Vec<_> = job.slices.iter().collect();
    let cut = slice::cut(&slices, job.limits.clock_bound_micros).unwrap_or_else(|| {
        let now = job.env.now();
        Cut { from: now, through: now, partitions: Vec::new() }
    });
    ObjectLine::missing(job.object.clone(), cut, reason)
}
