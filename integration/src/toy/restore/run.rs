//! Runs a plan from its checkpoint on: each object is written, then read back.

use tidemark_catalog::{content::SegmentRef, ids::ObjectName};
use tidemark_gateway::pause;
use tidemark_listener_core::{
    failure::Failure,
    restorer::{Action, PlannedObject, RestoreControl, RestoreJob, RestorePlan, RestoreReport},
};
use tidemark_records::restore::{
    checkpoint::{Checkpoint, Stage},
    course::Step,
    objects,
    pipeline::{Bounds, Pipeline},
};

use super::{pieces, target::Target};
use crate::toy::{NOT_EMPTY, OPTIONS, spec::Specification};

/// Restores what the plan says.
///
/// # Errors
/// As the destination, the version or the saver fail; cancelled. The checkpoint covers what is done.
pub(super) async fn run(
    job: &RestoreJob,
    plan: &RestorePlan,
    control: &RestoreControl,
) -> Result<RestoreReport, Failure> {
    let destination = Specification::read(&job.destination)?;
    let target = |object: &ObjectName| Target::of(&destination, object).map_err(|why| Failure::new(OPTIONS, why));
    let checkpoint = match &control.checkpoint {
        Some(saved) => Checkpoint::resume(saved, plan, |object| target(object).is_ok_and(|target| target.is_there()))?,
        None => {
            for planned in plan.objects.iter().filter(|planned| planned.action == Action::Load) {
                refuse_filled(planned, &target(&planned.target)?).await?;
            }
            Checkpoint::begin(plan, control, &job.env).await?
        }
    };
    let (bounds, strict) = (Bounds::for_nodes(destination.replicas.len()), job.options.common.strict);
    let mut pipeline = Pipeline::new(control, &job.env, bounds, checkpoint, plan.rows, strict);
    while let Some(planned) = plan.objects.get(pipeline.checkpoint.object) {
        if let Err(error) = object(job, planned, &target(&planned.target)?, &mut pipeline).await {
            return Err(pipeline.stopped(error).await);
        }
    }
    pipeline.report(plan, Vec::new())
}

/// A target that was filled since the plan was made is not merged into.
async fn refuse_filled(planned: &PlannedObject, target: &Target) -> Result<(), Failure> {
    if target.is_empty().await? {
        return Ok(());
    }
    let words = format!("{} holds data, which it did not when the restore was planned", planned.target);
    Err(Failure::new(NOT_EMPTY, words).with_hint("plan the restore again"))
}

/// The stages of an object that are left.
async fn object(
    job: &RestoreJob,
    planned: &PlannedObject,
    target: &Target,
    pipeline: &mut Pipeline<'_>,
) -> Result<(), Failure> {
    let entry = objects::entry(&job.store, &planned.entry).await?;
    let segments = objects::segments(&job.store, &entry).await?;
    let read = |segment: &SegmentRef, from| Some(pieces::reader(job, segment, from));
    if pipeline.checkpoint.stage == Stage::Load {
        target.make().await?;
        let (phase, write) =
            (format!("restore {}", planned.target), |piece: pieces::Piece| target.clone().write(piece.records));
        pipeline.segments(&segments, Step { phase: &phase, guarded: false }, read, write).await?;
        pipeline.turn(Stage::Verify, 0).await?;
        pause::point("before-verify");
    }
    let (phase, compare) =
        (format!("compare {}", planned.target), |piece: pieces::Piece| target.clone().compare(piece.records));
    pipeline.segments(&segments, Step { phase: &phase, guarded: false }, read, compare).await?;
    pipeline.turn(Stage::Load, 1).await
}
