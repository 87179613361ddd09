//! Tasks as operations.

use jiff::Timestamp;
use tidemark_catalog::ids::TaskId;
use tidemark_web::api::{Operation, OperationKind, OperationProgress, OperationState, Problem};

use super::problems;
use crate::{
    stores::Stores,
    tasks::{Cut, Kind, RESULT, State, Status, TaskRecord},
};

pub(super) fn parse_id(id: &str) -> Result<TaskId, Problem> {
    id.parse().map_err(|_| problems::unknown_operation(id))
}

/// An operation. The failure of an earlier attempt is shown while the task goes on, too.
pub(super) fn show(status: Status) -> Operation {
    let Status { task, progress } = status;
    let phase = waiting(&task).unwrap_or(progress.progress.phase);
    Operation {
        id: task.id.to_string(),
        kind: show_kind(task.kind),
        part_of: task.parent.as_ref().map(ToString::to_string),
        subject: task.subject,
        state: show_state(task.state),
        done: task.state.is_done(),
        attempt: task.attempt,
        progress: OperationProgress {
            phase,
            done: progress.progress.done,
            total: progress.progress.total,
            unit: progress.progress.unit,
            eta_seconds: progress.eta_seconds.filter(|_| !task.state.is_done()),
        },
        created: task.created,
        finished: task.finished,
        error: task.error.as_ref().map(problems::of_operation),
        result: task.result,
        result_cut: task.cut.as_ref().map(cut_words),
    }
}

/// An operation with the whole of its result, where that is still to be had; else with the summary and why.
pub(super) async fn show_whole(stores: &Stores, status: Status) -> Operation {
    let kept = status.task.cut.as_ref().and_then(|cut| cut.kept.clone());
    let id = status.task.id.clone();
    let shown = show(status);
    let Some(kept) = kept else { return shown };
    match kept.read(stores, &id, RESULT).await {
        Ok(whole) => Operation { result: Some(whole), result_cut: None, ..shown },
        Err(failure) => {
            let words = shown.result_cut.as_deref().unwrap_or_default();
            Operation { result_cut: Some(format!("{words}; the whole cannot be read now: {failure}")), ..shown }
        }
    }
}

/// What a summary lacks, for people.
fn cut_words(cut: &Cut) -> String {
    let lists = cut.lists.iter().map(|(list, items)| match list.as_str() {
        "" => "all of it".to_owned(),
        list => format!("{list} has {items} items"),
    });
    let lists = lists.collect::<Vec<_>>().join(", ");
    let lists = if lists.is_empty() { "long texts end early".to_owned() } else { lists };
    let whole = match (&cut.kept, &cut.why_not) {
        (Some(kept), _) => format!("the whole is {}", kept.key()),
        (None, Some(why)) => format!("the whole was not kept: {why}"),
        (None, None) => "the whole was not kept".to_owned(),
    };
    format!("a summary: {lists}; {whole}")
}

fn show_kind(kind: Kind) -> OperationKind {
    match kind {
        Kind::Protect => OperationKind::Protect,
        Kind::Restore => OperationKind::Restore,
        Kind::Verify => OperationKind::Verify,
        Kind::Count => OperationKind::Count,
        Kind::Collect => OperationKind::Collect,
        Kind::Consolidate => OperationKind::Consolidate,
    }
}

fn show_state(state: State) -> OperationState {
    match state {
        State::Queued => OperationState::Queued,
        State::Running => OperationState::Running,
        State::Succeeded => OperationState::Succeeded,
        State::Warnings => OperationState::Warnings,
        State::Failed => OperationState::Failed,
        State::Cancelled => OperationState::Cancelled,
    }
}

/// The phase of a task that waits for something that is away.
fn waiting(task: &TaskRecord) -> Option<String> {
    let waiting = task.waiting.as_ref().filter(|_| task.state == State::Queued)?;
    let next = Timestamp::from_millisecond(i64::try_from(task.due_millis).ok()?).ok()?;
    Some(format!("waiting for {} since {:.0}, next try at {next:.0}", waiting.what, waiting.since))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kinds_and_states_are_shown_by_the_words_that_are_stored() {
        for kind in [Kind::Protect, Kind::Restore, Kind::Verify, Kind::Count, Kind::Collect, Kind::Consolidate] {
            assert_eq!(show_kind(kind).as_str(), kind.as_str());
        }
        for state in OperationState::EVERY {
            let stored: State = serde_json::from_value(state.as_str().into()).unwrap();
            assert_eq!((show_state(stored), stored.as_str()), (*state, state.as_str()));
        }
        assert!(serde_json::from_value::<State>("paused".into()).is_err());
    }
}
