//! The task that counts what an undo would write, and writes nothing.

use std::sync::Arc;

use tidemark_listener_core::{
    check::{Line, Status},
    restorer::RestorePlan,
};

use super::{prepare, result::CountResult, spec::RestoreSpec};
use crate::{
    executors::{self, Executors},
    failure::Failure,
    reading,
    tasks::{Completion, TaskContext},
};

/// The check that only a run must pass: that the target's name was typed.
const CONFIRM: &str = "confirm-target";

/// Refuses a plan that cannot be counted.
///
/// # Errors
/// `TM-REST-0001` as a run; `TM-REST-0016` where nothing in it is undone.
pub(crate) fn refuse(mut plan: RestorePlan) -> Result<(), Failure> {
    plan.checks.retain(|line: &Line| line.status != Status::Fail || line.name != CONFIRM);
    super::refuse_failed(&plan)?;
    match plan.undoes() {
        true => Ok(()),
        false => {
            Err(Failure::permanent("TM-REST-0016", "no object of the plan is undone in place: all rows are written")
                .with_hint("--count belongs to --if-exists undo"))
        }
    }
}

/// Counts, from the beginning in every run: nothing is kept of a count that was interrupted.
pub(crate) async fn run(with: &Executors, context: TaskContext) -> Result<Completion, Failure> {
    let RestoreSpec { restore } = executors::spec(&context)?;
    reading::keep(with, &context, &with.version(&restore.version, restore.pin.as_ref()).await?).await?;
    let prepared = prepare(with, &restore).await?;
    prepared.keep_parts(with, &restore, &context);
    let plan = prepared.plan().await?;
    refuse(plan.clone())?;
    let (progress, cancel) = (Arc::clone(&context.progress), context.cancel.clone());
    let counts = prepared.driver.restorer().count(&prepared.job, &plan, progress, cancel).await?;
    let result = CountResult::from(counts);
    let warnings = result.objects.iter().any(|object| !object.unreadable_ranges.is_empty());
    Ok(Completion::of(&result, warnings))
}
