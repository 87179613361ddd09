//! Consolidation: what the members staged of a collection becomes its state at one cluster time.
//!
//! Any member holds everything. The *base* is the one that was read furthest: the state is that right before its last
//! time, made of its scan and its events. Events of the others that lie in the same stretch of the log must be the
//! same; their scans are not merged, because a document that is gone since would come back. Where the base cannot be
//! read it is left out, and the next one is the base.
//!
//! A document that cannot be had exactly (its fields' order is unsettled, its bytes are damaged) takes nothing from the
//! others: it is named in the object's quality.

mod doubts;
mod held;
mod log;
mod merge;
mod plan;
#[cfg(test)]
pub(crate) mod samples;
#[cfg(test)]
mod tests;
mod write;

pub use held::{Held, Holding, held};
pub use log::{Log, Logged, log};

use serde_json::{Value, json};
use tidemark_catalog::{
    entry::Quality,
    identities::Identity,
    keys::{Key, KeyRange},
    opaque::Opaque,
    position::Position,
    slice,
};
use tidemark_gateway::causes::joined;
use tidemark_listener_core::{
    failure::Failure,
    records::{ConsolidateJob, Consolidated, ObjectState, Part},
};

use crate::{
    codes::CONSOLIDATION,
    segment::{self, Counted, Record},
    staged::Schema,
    time::ClusterTime,
};
use doubts::Doubts;
use merge::{Joined, StreamError};
use plan::{Plan, Planned};
use write::{Made, Make};

/// Makes the part of a range.
///
/// # Errors
/// `TM-MONGO-0201` where the store fails or what is open of the runs does not fit the memory, `TM-MONGO-0202` where
/// members contradict each other; cancelled.
pub async fn part(job: &ConsolidateJob, range: &KeyRange) -> Result<Consolidated, Failure> {
    if job.cancel.is_cancelled() {
        return Err(Failure::cancelled());
    }
    let plan = match plan::of(job).await? {
        Planned::Plan(plan) => plan,
        Planned::Other(consolidated) => return Ok(consolidated),
    };
    let Made { segments, make: Baseline { counted, doubts, .. }, failed } =
        write::segments(job, &plan, range, Baseline::of(&plan)).await?;
    if let Some(failed) = failed {
        return failed.consolidated();
    }
    let (records, own, degraded) = (counted.documents, counted.own(), doubts.ranges());
    let (state, merged) = (state(job, &plan)?, identities(&plan));
    Ok(Consolidated::Part(Box::new(Part { state, segments, merged, records, own, degraded })))
}

/// The state of a range right before the base's last time.
struct Baseline {
    partition: String,
    before: ClusterTime,
    counted: Counted,
    doubts: Doubts,
}

impl Baseline {
    fn of(plan: &Plan) -> Self {
        let (partition, before) = (plan.base.partition.clone(), plan.base.before);
        Self { partition, before, counted: Counted::default(), doubts: Doubts::default() }
    }
}

impl Make for Baseline {
    fn records(&mut self, Joined { key, id, known }: Joined) -> Result<(Key, Vec<Record>), StreamError> {
        let state = known.before(self.before).map_err(|error| StreamError::Unreadable {
            partition: self.partition.clone(),
            reason: format!("document {id}: {}", joined(&error)),
        })?;
        let record = self.doubts.settle(&key, id, state);
        record.iter().for_each(|record| self.counted.see(record));
        Ok((key, record.into_iter().collect()))
    }
}

/// What was merged: the staged files that were read.
fn identities(plan: &Plan) -> Vec<Identity> {
    let id = |(partition, file): (&str, &tidemark_catalog::slice::StagedFile)| Identity {
        partition: partition.to_owned(),
        id: Opaque::new(file.digest.as_bytes().to_vec()),
        own: Value::Null,
    };
    plan.files().map(id).collect()
}

/// What holds for the whole object, whatever its documents turn out to be.
fn state(job: &ConsolidateJob, plan: &Plan) -> Result<ObjectState, Failure> {
    let slices: Vec<_> = job.slices.iter().filter(|slice| slice.partition == plan.base.partition).collect();
    let cut = slice::cut(&slices, job.limits.clock_bound_micros);
    let staged = || job.slices.iter().flat_map(|slice| &slice.objects).filter(|held| held.object == job.object);
    let mark = plan.base.before.before().mark();
    Ok(ObjectState {
        object_id: plan.base.uuid.clone(),
        schema: schema(&plan.base.schema),
        columns: segment::column_ids(),
        replicas: job.replicas(),
        cut: cut.ok_or_else(|| Failure::new(CONSOLIDATION, "there is no slice"))?,
        position: Position::new([(plan.base.partition.clone(), mark)]),
        quality: Quality::Cut,
        topology: None,
        left_out: job.left_out(),
        logical_bytes: staged().flat_map(|held| &held.files).map(|file| file.size).sum(),
        shipped_bytes: staged().flat_map(|held| &held.files).map(|file| file.stored.size).sum(),
    })
}

/// The schema in an entry.
fn schema(schema: &Schema) -> Value {
    json!({ "format": 1, "options": schema.options, "indexes": schema.indexes })
}

/// The schema of an entry.
///
/// # Errors
/// Where it is none of this kind, for people.
pub fn read_schema(value: &Value) -> Result<Schema, String> {
    let mut value = value.clone();
    let format = value.as_object_mut().and_then(|fields| fields.remove("format"));
    if format != Some(json!(1)) {
        return Err("it is not a schema of a collection in format 1".to_owned());
    }
    serde_json::from_value(value).map_err(|error| format!("it is not a schema of a collection: {error}"))
}
