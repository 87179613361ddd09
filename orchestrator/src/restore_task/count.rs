//! The task that counts what an undo would write, and writes nothing.

use std::sync::Arc;

use serde_json::json;
use tidemark_listener_core::{
    check::{Line, Status},
    driver::{RestorePlan, UndoCounts},
};

use super::{RestoreSpec, prepare};
use crate::{
    executors::{Executors, spec},
    failure::Failure,
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
    let RestoreSpec { restore } = spec(&context)?;
    let prepared = prepare(with, &restore).await?;
    let plan = prepared.plan().await?;
    refuse(plan.clone())?;
    let (progress, cancel) = (Arc::clone(&context.progress), context.cancel.clone());
    let counts = prepared.driver.restorer().count(&prepared.job, &plan, progress, cancel).await?;
    let warnings = counts.iter().any(|count| !count.unreadable_ranges.is_empty());
    let sum = |of: fn(&UndoCounts) -> u64| counts.iter().map(of).sum::<u64>();
    let result = json!({
        "come_back": sum(|c| c.come_back),
        "change": sum(|c| c.change),
        "would_be_removed": sum(|c| c.would_be_removed),
        "untouched": sum(|c| c.untouched),
        "rows_kept": sum(|c| c.rows_kept),
        "rows_newer": sum(|c| c.rows_newer),
        "objects": counts,
    });
    Ok(Completion { result, warnings })
}
