//! Runs a plan from its checkpoint on: each collection is made, filled and read back; then its indexes are made.

use std::{collections::BTreeSet, sync::Arc};

use tidemark_catalog::{content::SegmentRef, ids::ObjectName};
use tidemark_listener_core::{
    failure::Failure,
    restorer::{PlannedObject, RestoreControl, RestoreJob, RestorePlan, RestoreReport},
};
use tidemark_records::restore::{
    checkpoint::{Checkpoint, Stage},
    course::Step,
    objects,
    pipeline::{Bounds, Pipeline},
};

use super::{
    destination, pieces, plan,
    target::{Standing, Target},
};
use crate::{
    codes::{NOT_EMPTY, OPTIONS},
    connect::Server,
    options::{RestoreOptions, Ttl},
};

/// Work in flight: documents are large, and a primary takes them all.
const BOUNDS: Bounds = Bounds { pieces: 8, records: 16_000, bytes: 24 << 20 };

/// Restores what the plan says.
///
/// # Errors
/// As the destination, the version or the saver fail; cancelled. The checkpoint covers what is done.
pub(super) async fn run(
    job: &RestoreJob,
    plan: &RestorePlan,
    control: &RestoreControl,
) -> Result<RestoreReport, Failure> {
    if control.cancel.is_cancelled() {
        return Err(Failure::cancelled());
    }
    let (ttl, server) = (RestoreOptions::read(&job.options.source)?.ttl, destination(job).await?);
    let checkpoint = match &control.checkpoint {
        Some(saved) => {
            let there = there(&server, plan).await?;
            Checkpoint::resume(saved, plan, |target| there.contains(target))?
        }
        None => {
            refuse_filled(&server, plan).await?;
            Checkpoint::begin(plan, control, &job.env).await?
        }
    };
    let mut pipeline = Pipeline::new(control, &job.env, BOUNDS, checkpoint, plan.rows, job.options.common.strict);
    while let Some(planned) = plan.objects.get(pipeline.checkpoint.object) {
        if let Err(error) = object(job, planned, &target(&server, &planned.target)?, ttl, &mut pipeline).await {
            return Err(pipeline.stopped(error).await);
        }
    }
    pipeline.report(plan, Vec::new())
}

fn target(server: &Server, object: &ObjectName) -> Result<Target, Failure> {
    Target::of(server, object).map_err(|why| Failure::new(OPTIONS, format!("{object}: {why}")))
}

/// The targets that are there.
async fn there(server: &Server, plan: &RestorePlan) -> Result<BTreeSet<ObjectName>, Failure> {
    let mut there = BTreeSet::new();
    for planned in &plan.objects {
        if target(server, &planned.target)?.standing().await? != Standing::Absent {
            there.insert(planned.target.clone());
        }
    }
    Ok(there)
}

/// A target that was filled since the plan was made is not written to.
async fn refuse_filled(server: &Server, plan: &RestorePlan) -> Result<(), Failure> {
    for planned in &plan.objects {
        if target(server, &planned.target)?.standing().await? == Standing::Filled {
            let words = format!("{} holds data, which it did not when the restore was planned", planned.target);
            return Err(Failure::new(NOT_EMPTY, words).with_hint("plan the restore again"));
        }
    }
    Ok(())
}

/// The stages of an object that are left.
async fn object(
    job: &RestoreJob,
    planned: &PlannedObject,
    target: &Target,
    ttl: Ttl,
    pipeline: &mut Pipeline<'_>,
) -> Result<(), Failure> {
    let schema = plan::schema(job, planned).await?;
    let entry = objects::entry(&job.store, &planned.entry).await?;
    let segments = objects::segments(&job.store, &entry).await?;
    let read = |segment: &SegmentRef, from| Some(pieces::reader(job, segment, from));
    let refusals = Arc::clone(&pipeline.refusals);
    if pipeline.checkpoint.stage == Stage::Load {
        target.make(&schema).await?;
        let phase = format!("restore {}", planned.target);
        let write = |piece: pieces::Piece| target.clone().write(piece.records, Arc::clone(&refusals));
        pipeline.segments(&segments, Step { phase: &phase, guarded: false }, read, write).await?;
        pipeline.turn(Stage::Verify, 0).await?;
    }
    let phase = format!("compare {}", planned.target);
    let compare = |piece: pieces::Piece| target.clone().compare(piece.records, Arc::clone(&refusals));
    pipeline.segments(&segments, Step { phase: &phase, guarded: false }, read, compare).await?;
    let warnings = target.index(&schema, ttl).await?;
    pipeline.checkpoint.warnings.extend(warnings);
    pipeline.turn(Stage::Load, 1).await
}
