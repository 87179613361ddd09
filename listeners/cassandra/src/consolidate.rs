//! Consolidation of one table: the captured SSTables of all nodes become one consistent copy in segments, with its entry.
//!
//! The plan is pure: from the slices and what the nodes said about themselves it decides which replicas count, who owns
//! which tokens, and what is proven about the result. The run then reads, collapses and writes. Segments and pages are
//! written under new names; until a manifest names the entry they are garbage, so a crash at any step leaves nothing to undo.
//!
//! **A replica that cannot be read** (a damaged file, a component that is gone, a format that is not known) is left out of
//! the table's state as if its node had been absent: the others are judged without it by R + W > N, the entry's replica
//! record and the line name the file, and only where no replica is readable the table is missing. It is left out as a whole,
//! its readable files too. More atoms than needed do no harm to a merge, but fewer deletions do: compaction drops a cell
//! together with the tombstone that covers it, as soon as gc_grace has passed and it sees all files that hold the key. So
//! the counted replicas may have dropped both, while the hurt one still has the cell in a readable file and the tombstone
//! in the unreadable one: merging the readable file alone would bring deleted data back. Whole replicas cannot do that, each
//! has the tombstone wherever it still has the cell. For the ranges that no counted replica has, the readable files would
//! only make a state that nobody can prove; those ranges are degraded by name instead.
//!
//! Damage is found while files are opened or in the middle of the merge. The table then starts again without that
//! replica, at most once for each; what was written before is garbage. A store that does not answer is no damage: before a
//! replica is left out, the store must show that it still has what else that node staged.

mod captures;
mod columns;
pub(crate) mod counts;
mod error;
mod identity;
mod plan;
mod run;
mod schema;
#[cfg(test)]
mod tests;
mod upload;
mod watch;

use std::collections::BTreeMap;

use tidemark_catalog::{
    content::{Content, PAGE_RANGES, RangePage, Records, SegmentRef},
    document, door,
    entry::{Cut, Entry, ObjectLine, Quality},
    figures::Figures,
    identities,
    ids::ObjectName,
    slice::SliceManifest,
    stored::StoredRef,
};
use tidemark_gateway::causes::chain;
use tidemark_listener_core::driver::{self, ConsolidateJob};

use error::Failure;
use plan::{Plan, Verdict};
pub(crate) use run::view_seconds;
pub use schema::{ENTRY_SCHEMA_FORMAT, EntrySchema, SchemaError};

/// Collapses the captured replicas of the job's table into one state and stores its segments, range pages and entry.
///
/// A table of which no replica can be read, that has counters with local shards, or whose schema changed while it was
/// captured, is a line without entry whose quality says why.
///
/// # Errors
/// Code `TM-CASS-04xx`: the nodes' descriptions of the cluster cannot be read or contradict each other, the store fails.
/// Cancellation is an error marked so.
pub async fn consolidate(job: ConsolidateJob) -> Result<ObjectLine, driver::Error> {
    let captures = captures::read(&job.store, &job.slices).await?;
    let mut damaged = BTreeMap::new();
    loop {
        let plan = match Plan::make(&job, &captures, &damaged)? {
            Verdict::Missing(reason) => return Ok(missing(&job, reason)),
            Verdict::Merge(plan) => plan,
        };
        let failure = match merge(&job, *plan).await {
            Ok(line) => return Ok(line),
            Err(refused) if refused.is_of_local_counters() => return Ok(missing(&job, chain(&refused))),
            Err(failure) => failure,
        };
        // Each round leaves out one replica more, so there are at most as many rounds as replicas.
        let Some(damage) = failure.damage().filter(|damage| !damaged.contains_key(&damage.host)) else {
            return Err(failure.into());
        };
        prove_store(&job, &damage.host).await?;
        tracing::warn!(source_id = %job.source, object = %job.object, partition = damage.host, reason = damage.reason,
            "the replica cannot be read, the table is made without it");
        damaged.insert(damage.host, damage.reason);
    }
}

/// Proves that the store still has what the host said about itself: one that lost that too is away, and tells nothing about
/// the host's files.
async fn prove_store(job: &ConsolidateJob, host: &str) -> Result<(), Failure> {
    let Some(slice) = job.slices.iter().find(|slice| slice.partition == host) else { return Ok(()) };
    let seen = door::head(&job.store, &slice.info).await;
    seen.map(drop).map_err(|source| Failure::Away { host: host.to_owned(), source })
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
        figures: Figures::default(),
        left_out: Vec::new(),
    }
}

async fn merge(job: &ConsolidateJob, plan: Plan) -> Result<ObjectLine, Failure> {
    stop_if_cancelled(job)?;
    let outcome = run::run(job, &plan).await?;
    stop_if_cancelled(job)?;
    let figures = Figures {
        kept_new_bytes: outcome.segments.iter().map(|segment| segment.stored.size).sum(),
        records: outcome.stats.live_rows,
        own: counts::of(&outcome.stats),
        ..plan.figures.clone()
    };
    let baseline = write_ranges(job, outcome.segments).await?;
    let merged = identities::write(&job.store, &job.names, outcome.merged).await.map_err(Failure::Page)?;
    let replicas = plan.all_replicas();
    let entry = Entry {
        object: job.object.clone(),
        object_id: plan.object_id,
        kind: crate::segment::KIND.to_owned(),
        schema: plan.schema,
        content: Content::Records(Records { columns: plan.columns, baseline, merged, ..Records::default() }),
        replicas,
        cut: plan.cut.clone(),
        position: plan.position,
        quality: plan.quality.clone(),
        figures: figures.clone(),
    };
    let stored = document::write(&job.store, &job.names.page(), &entry).await.map_err(Failure::Page)?;
    Ok(ObjectLine {
        object: job.object.clone(),
        entry: Some(stored),
        cut: plan.cut,
        quality: plan.quality,
        topology: Some(plan.topology),
        figures,
        left_out: plan.left_out,
    })
}

fn stop_if_cancelled(job: &ConsolidateJob) -> Result<(), Failure> {
    if job.cancel.is_cancelled() { Err(Failure::Cancelled) } else { Ok(()) }
}

async fn write_ranges(job: &ConsolidateJob, segments: Vec<SegmentRef>) -> Result<Vec<StoredRef>, Failure> {
    let mut pages = Vec::new();
    for ranges in segments.chunks(PAGE_RANGES) {
        let page = RangePage { ranges: ranges.to_vec() };
        pages.push(document::write(&job.store, &job.names.page(), &page).await.map_err(Failure::Page)?);
    }
    Ok(pages)
}
