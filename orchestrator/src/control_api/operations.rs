//! Tasks as operations.

use jiff::Timestamp;
use tidemark_catalog::ids::TaskId;
use tidemark_web::api::{Operation, OperationProgress, Problem};

use super::problems;
use crate::tasks::{State, Status, TaskRecord};

pub(super) fn parse_id(id: &str) -> Result<TaskId, Problem> {
    id.parse().map_err(|_| problems::unknown_operation(id))
}

/// An operation. The failure of an earlier attempt is shown while the task goes on, too.
pub(super) fn show(status: Status) -> Operation {
    let Status { task, progress } = status;
    let phase = waiting(&task).unwrap_or(progress.progress.phase);
    Operation {
        id: task.id.to_string(),
        kind: task.kind.as_str().to_owned(),
        subject: task.subject,
        state: task.state.as_str().to_owned(),
        done: task.state.is_done(),
        attempt: task.attempt,
        progress: OperationProgress {
            phase,
            done: progress.progress.done,
            total: progress.progress.total,
            unit: progress.progress.unit,
            eta_seconds: progress.eta_seconds.filter(|_| !task.state.is_done()),
        },
        created: task.created.to_string(),
        finished: task.finished.map(|at| at.to_string()),
        error: task.error.as_ref().map(problems::of_operation),
        result: task.result,
    }
}

/// The phase of a task that waits for something that is away.
fn waiting(task: &TaskRecord) -> Option<String> {
    let waiting = task.waiting.as_ref().filter(|_| task.state == State::Queued)?;
    let next = Timestamp::from_millisecond(i64::try_from(task.due_millis).ok()?).ok()?;
    Some(format!("waiting for {} since {:.0}, next try at {next:.0}", waiting.what, waiting.since))
}
