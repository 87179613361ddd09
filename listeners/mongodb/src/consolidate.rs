//! Consolidation: what the members staged of a collection becomes its state at one cluster time.
//!
//! Any member holds everything. The *base* is the one that was read furthest: the state is that right before its last time, made of its
//! scan and its events. Events of the others that lie in the same stretch of the log must be the same; their scans are not merged,
//! because a document that is gone since would come back. Where the base cannot be read it is left out, and the next one is the base.
//!
//! A document that cannot be had exactly (its fields' order is unsettled, its bytes are damaged) takes nothing from the others: it is
//! named in the object's quality.

mod doubts;
mod merge;
mod plan;
#[cfg(test)]
pub(crate) mod samples;
#[cfg(test)]
mod tests;

use std::sync::{Arc, atomic::AtomicU64};

use serde_json::{Value, json};
use tidemark_catalog::{
    content::SegmentRef, entry::Quality, identities::Identity, keys::KeyRange, opaque::Opaque, position::Position,
    slice,
};
use tidemark_listener_core::{
    failure::Failure,
    records::{ConsolidateJob, Consolidated, ObjectState, Part},
};
use tidemark_records::{
    consolidate::{
        Failed,
        budget::Budget,
        failure,
        watch::{Stopped, Watch, Watched},
    },
    segments::{
        SegmentCutter,
        upload::{SegmentSink, stored_while},
    },
};
use tokio::runtime::Handle;

use crate::{
    codes::{CONSOLIDATION, CONTRADICTION},
    segment::{self, Columns, Counted, Unwritable},
    staged::Schema,
};
use doubts::Doubts;
use merge::{Merge, StreamError};
use plan::{Plan, Planned};

/// Makes the part of a range.
///
/// # Errors
/// `TM-MONGO-0201` where the store fails or what is open of the runs does not fit the memory, `TM-MONGO-0202` where members contradict
/// each other; cancelled.
pub async fn part(job: &ConsolidateJob, range: &KeyRange) -> Result<Consolidated, Failure> {
    if job.cancel.is_cancelled() {
        return Err(Failure::cancelled());
    }
    let plan = match plan::of(job).await? {
        Planned::Plan(plan) => plan,
        Planned::Other(consolidated) => return Ok(consolidated),
    };
    let Made { segments, counted, doubts, failed } = write(job, &plan, range).await?;
    match failed {
        None => {}
        Some(StreamError::Unreadable { partition, reason }) => {
            return Ok(Consolidated::Unreadable { partition, reason });
        }
        Some(StreamError::Failed(failure)) => return Err(failure),
        Some(StreamError::Contradiction(words)) => return Err(Failure::new(CONTRADICTION, words)),
    }
    let (records, own, degraded) = (counted.documents, counted.own(), doubts.ranges());
    let (state, merged) = (state(job, &plan)?, identities(&plan));
    Ok(Consolidated::Part(Box::new(Part { state, segments, merged, records, own, degraded })))
}

/// What the thread that merges gives.
struct Outcome {
    counted: Counted,
    doubts: Doubts,
    failed: Option<StreamError>,
}

struct Made {
    segments: Vec<SegmentRef>,
    counted: Counted,
    doubts: Doubts,
    failed: Option<StreamError>,
}

async fn write(job: &ConsolidateJob, plan: &Plan, range: &KeyRange) -> Result<Made, Failure> {
    let bytes = Arc::new(AtomicU64::new(0));
    let watch = Watch::of(job, plan.bytes(), Arc::clone(&bytes));
    let limits = Budget::of(job.limits.memory_bytes, 1).write_limits(&job.limits);
    let merge = Merge::of(job, plan, range, bytes, Handle::current());
    let builder = Columns::new(&job.object);
    let mut stream = Watched::new(merge, watch);
    let made = stored_while(&job.store, &job.names, move |sink| {
        let cutter = SegmentCutter::new(builder, limits);
        let mut outcome = Outcome { counted: Counted::default(), doubts: Doubts::default(), failed: None };
        match cut(&mut stream, cutter, sink, &mut outcome) {
            // What the stream failed of is the outcome, with more words than the writer has.
            Err(Failed::Stopped(Stopped::Failed)) => outcome.failed = stream.failed(),
            other => other?,
        }
        Ok::<_, Failed<Unwritable>>(outcome)
    });
    let (segments, Outcome { counted, doubts, failed }) = made.await.map_err(|error| failure(&error, CONSOLIDATION))?;
    Ok(Made { segments, counted, doubts, failed })
}

fn cut(
    stream: &mut Watched<Merge, StreamError>,
    mut cutter: SegmentCutter<Columns>,
    sink: &SegmentSink,
    outcome: &mut Outcome,
) -> Result<(), Failed<Unwritable>> {
    while let Some((key, found)) = stream.step(Merge::next)? {
        let Some(record) = outcome.doubts.settle(&key, found) else { continue };
        cutter.begin(key)?;
        cutter.append(|columns| columns.push(&record))?;
        outcome.counted.see(&record);
        if let Some(segment) = cutter.end()? {
            sink.put(segment)?;
        }
    }
    if let Some(segment) = cutter.finish()? {
        sink.put(segment)?;
    }
    Ok(())
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
