//! Consolidation of one table: the captured SSTables of all nodes become one consistent copy in segments, with its entry.
//!
//! The plan is pure: from the slices and what the nodes said about themselves it decides which replicas count, who owns
//! which tokens, and what is proven about the result. The run then reads, collapses and writes. Segments and pages are
//! written under new names; until a manifest names the entry they are garbage, so a crash at any step leaves nothing to undo.
//!
//! Damage in a replica's files is an error that names host, file and offset: leaving the replica out would make a smaller
//! state without anyone's word. What was never captured is no error; it lowers the quality, up to a line that says the table
//! is missing.

mod captures;
mod columns;
mod error;
mod identity;
mod plan;
mod run;
mod schema;
#[cfg(test)]
mod tests;
mod upload;
mod watch;

use tidemark_catalog::{
    entry::{Cut, ENTRY_FORMAT, Entry, ObjectLine, PAGE_LINES, Quality, RangePage, SegmentRef, Totals},
    ids::ObjectName,
    page_io,
    slice::SliceManifest,
    stored::StoredRef,
};
use tidemark_listener_core::driver::{self, ConsolidateJob};

use error::Failure;
pub(crate) use error::chain;
use plan::{Plan, Verdict};
pub(crate) use run::view_seconds;
pub use schema::{ENTRY_SCHEMA_FORMAT, EntrySchema, SchemaError};

/// Collapses the captured replicas of the job's table into one state and stores its segments, range pages and entry.
///
/// A table that no node could ship, that has counters with local shards, or whose schema changed while it was captured, is a
/// line without entry whose quality says why.
///
/// # Errors
/// Code `TM-CASS-04xx`: the nodes' descriptions of the cluster cannot be read or contradict each other, a replica's files
/// are damaged, the store fails. Cancellation is an error marked so.
pub async fn consolidate(job: ConsolidateJob) -> Result<ObjectLine, driver::Error> {
    let captures = captures::read(&job.store, &job.slices).await?;
    match Plan::make(&job, &captures)? {
        Verdict::Missing(reason) => Ok(missing(&job, reason)),
        Verdict::Merge(plan) => match merge(&job, *plan).await {
            Err(refused) if refused.is_of_local_counters() => Ok(missing(&job, chain(&refused))),
            merged => Ok(merged?),
        },
    }
}

/// All objects of the slices, those that could not be read included; sorted, each once.
pub fn captured_objects(slices: &[SliceManifest]) -> Vec<ObjectName> {
    let mut objects: Vec<_> = slices.iter().flat_map(|slice| &slice.objects).map(|o| o.object.clone()).collect();
    objects.sort_unstable();
    objects.dedup();
    objects
}

fn missing(job: &ConsolidateJob, reason: String) -> ObjectLine {
    let cut = plan::cut(&job.slices.iter().collect::<Vec<_>>(), job).unwrap_or_else(|| {
        let now = job.env.now();
        Cut { from: now, through: now, partitions: Vec::new() }
    });
    ObjectLine {
        object: job.object.clone(),
        entry: None,
        cut,
        quality: Quality::Missing { reason },
        topology: None,
        totals: Totals::default(),
    }
}

async fn merge(job: &ConsolidateJob, plan: Plan) -> Result<ObjectLine, Failure> {
    stop_if_cancelled(job)?;
    let outcome = run::run(job, &plan).await?;
    stop_if_cancelled(job)?;
    let kept_bytes = outcome.segments.iter().map(|segment| segment.stored.size).sum();
    let totals = Totals {
        kept_bytes,
        rows: outcome.stats.live_rows,
        static_rows: outcome.stats.live_static_rows,
        disagreeing_rows: outcome.stats.disagreeing_rows,
        not_owned_partitions: outcome.stats.not_owned_partitions(),
        ..plan.totals
    };
    let baseline = write_ranges(job, outcome.segments).await?;
    let entry = Entry {
        format: ENTRY_FORMAT,
        object: job.object.clone(),
        object_id: plan.object_id,
        kind: crate::segment::KIND.to_owned(),
        schema: plan.schema,
        columns: plan.columns,
        baseline,
        increments: Vec::new(),
        replicas: plan::records(plan.others, outcome.merged),
        cut: plan.cut.clone(),
        quality: plan.quality.clone(),
        totals,
    };
    let stored = page_io::write(&job.store, &job.names.page(), &entry).await.map_err(Failure::Page)?;
    Ok(ObjectLine {
        object: job.object.clone(),
        entry: Some(stored),
        cut: plan.cut,
        quality: plan.quality,
        topology: Some(plan.topology),
        totals,
    })
}

fn stop_if_cancelled(job: &ConsolidateJob) -> Result<(), Failure> {
    if job.cancel.is_cancelled() { Err(Failure::Cancelled) } else { Ok(()) }
}

async fn write_ranges(job: &ConsolidateJob, segments: Vec<SegmentRef>) -> Result<Vec<StoredRef>, Failure> {
    let mut pages = Vec::new();
    for ranges in segments.chunks(PAGE_LINES) {
        let page = RangePage { format: ENTRY_FORMAT, ranges: ranges.to_vec() };
        pages.push(page_io::write(&job.store, &job.names.page(), &page).await.map_err(Failure::Page)?);
    }
    Ok(pages)
}
