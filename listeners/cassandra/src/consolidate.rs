//! Consolidation of one table: the captured SSTables of all nodes become one consistent copy in segments.
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
//! Damage is found while files are opened or in the middle of the merge; the whole table then starts again without that replica
//! (`tidemark_records::consolidate`).

mod captures;
mod columns;
pub(crate) mod counts;
mod error;
mod identity;
mod plan;
mod run;
mod schema;
#[cfg(test)]
pub(crate) mod tests;
mod watch;
mod within;

use tidemark_catalog::keys::KeyRange;
use tidemark_gateway::causes::joined;
use tidemark_listener_core::{
    failure,
    records::{ConsolidateJob, Consolidated, ObjectState, Part},
};

use error::Error;
use plan::{Plan, Verdict};
pub(crate) use run::view_seconds;
pub use schema::{ENTRY_SCHEMA_FORMAT, EntrySchema, SchemaError};

/// Collapses the captured replicas of the job's table, in a range of tokens, into one state and stores its segments.
///
/// A table of which no replica can be read, that has counters with local shards, or whose schema changed while it was
/// captured, is missing. A replica that cannot be read is named; one that is among the job's unreadable ones already is an error.
///
/// # Errors
/// Code `TM-CASS-04xx`: the nodes' descriptions of the cluster cannot be read or contradict each other, the range is none of
/// tokens, the store fails. Cancellation is an error marked so.
pub async fn consolidate(job: &ConsolidateJob, range: &KeyRange) -> Result<Consolidated, failure::Failure> {
    if job.cancel.is_cancelled() {
        return Err(Error::Cancelled.into());
    }
    let captures = captures::read(&job.store, &job.slices).await?;
    let plan = match Plan::make(job, &captures, range)? {
        Verdict::Missing(reason) => return Ok(Consolidated::Missing { reason }),
        Verdict::Merge(plan) => plan,
    };
    let failure = match merge(job, *plan).await {
        Ok(part) => return Ok(Consolidated::Part(Box::new(part))),
        Err(refused) if refused.is_of_local_counters() => {
            return Ok(Consolidated::Missing { reason: joined(&refused) });
        }
        Err(failure) => failure,
    };
    match failure.damage().filter(|damage| !job.unreadable.contains_key(&damage.host)) {
        Some(damage) => Ok(Consolidated::Unreadable { partition: damage.host, reason: damage.reason }),
        None => Err(failure.into()),
    }
}

async fn merge(job: &ConsolidateJob, plan: Plan) -> Result<Part, Error> {
    let outcome = run::run(job, &plan).await?;
    let replicas = plan.all_replicas();
    let state = ObjectState {
        object_id: plan.object_id,
        schema: plan.schema,
        columns: plan.columns,
        replicas,
        cut: plan.cut,
        position: plan.position,
        quality: plan.quality,
        topology: Some(plan.topology),
        left_out: plan.left_out,
        logical_bytes: plan.figures.logical_bytes,
        shipped_bytes: plan.figures.shipped_bytes,
    };
    Ok(Part {
        state,
        segments: outcome.segments,
        merged: outcome.merged,
        records: outcome.stats.live_rows,
        own: counts::of(&outcome.stats),
        degraded: Vec::new(),
    })
}
