//! Tasks as operations.

use tidemark_catalog::ids::TaskId;
use tidemark_web::api::{Operation, OperationProgress, Problem};

use super::problems;
use crate::tasks::Status;

pub(super) fn parse_id(id: &str) -> Result<TaskId, Problem> {
    id.parse().map_err(|_| problems::unknown_operation(id))
}

/// An operation. The failure of an earlier attempt is shown while the task goes on, too.
pub(super) fn show(status: Status) -> Operation {
    let Status { task, progress } = status;
    Operation {
        id: task.id.to_string(),
        kind: task.kind.as_str().to_owned(),
        subject: task.subject,
        state: task.state.as_str().to_owned(),
        done: task.state.is_done(),
        attempt: task.attempt,
        progress: OperationProgress {
            phase: progress.progress.phase,
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
