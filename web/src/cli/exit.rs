//! Exit codes, stable.

use crate::api::{Operation, OperationKind, OperationState, Problem};

/// Done.
pub const OK: u8 = 0;
/// Failed.
pub const FAILED: u8 = 1;
/// Wrong usage.
pub const USAGE: u8 = 2;
/// Finished, with something that a person should look at.
pub const WARNINGS: u8 = 3;
/// What was named does not exist.
pub const NOT_FOUND: u8 = 4;
/// Not authorised.
pub const UNAUTHORISED: u8 = 5;
/// It contradicts what exists, or something else is at it.
pub const CONFLICT: u8 = 6;
/// The wait timed out; the operation continues.
pub const TIMED_OUT: u8 = 7;
/// The server cannot be reached.
pub const UNREACHABLE: u8 = 8;
/// Verification failed.
pub const VERIFICATION: u8 = 9;
/// Interrupted.
pub const INTERRUPTED: u8 = 130;

/// Code of a restore whose rows were read back other than they were written.
const READ_BACK_DIFFERS: &str = "TM-REST-0601";

/// The code of a refusal with this HTTP status.
pub(super) fn of_status(status: u16) -> u8 {
    match status {
        400 | 413 | 415 | 428 => USAGE,
        401 | 403 => UNAUTHORISED,
        404 => NOT_FOUND,
        409 | 412 | 422 => CONFLICT,
        _ => FAILED,
    }
}

/// The code of an operation that is done, or of one that still runs when the wait timed out.
pub(super) fn of_operation(operation: &Operation) -> u8 {
    match operation.state {
        OperationState::Succeeded => OK,
        OperationState::Warnings => WARNINGS,
        OperationState::Cancelled => INTERRUPTED,
        OperationState::Failed if is_damage(operation) => VERIFICATION,
        OperationState::Failed => FAILED,
        OperationState::Queued | OperationState::Running => TIMED_OUT,
    }
}

/// True where what is stored or what was restored is not what it should be. A verification that could not be done proves
/// nothing: the store did not answer, or the task itself was given up.
fn is_damage(operation: &Operation) -> bool {
    let found = |problem: &Problem| problem.status != 503 && !problem.code.starts_with("TM-TASK-");
    match (&operation.error, operation.kind) {
        (Some(problem), OperationKind::Verify) => found(problem),
        (Some(problem), _) => problem.code == READ_BACK_DIFFERS,
        (None, kind) => kind == OperationKind::Verify,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::OperationProgress;

    fn ended(kind: OperationKind, state: OperationState, error: Option<Problem>) -> u8 {
        of_operation(&Operation {
            id: "1".to_owned(),
            kind,
            part_of: None,
            subject: String::new(),
            state,
            done: state != OperationState::Running,
            attempt: 1,
            progress: OperationProgress::default(),
            created: jiff::Timestamp::UNIX_EPOCH,
            finished: None,
            error,
            result: None,
            result_cut: None,
        })
    }

    #[test]
    fn codes_are_those_of_the_documentation() {
        use OperationKind::{Protect, Restore, Verify};
        use OperationState::{Cancelled, Failed, Running, Succeeded, Warnings};
        let problem = |status, code| Some(Problem::new(status, code, ""));
        assert_eq!(ended(Protect, Succeeded, None), 0);
        assert_eq!(ended(Protect, Failed, problem(500, "TM-PROT-0004")), 1);
        assert_eq!(ended(Protect, Warnings, None), 3);
        assert_eq!(ended(Restore, Running, None), 7);
        assert_eq!(ended(Restore, Cancelled, None), 130);
        assert_eq!(ended(Restore, Failed, problem(500, "TM-REST-0601")), 9);
        assert_eq!(ended(Verify, Failed, problem(500, "TM-VER-0001")), 9);
        assert_eq!(ended(Verify, Failed, problem(500, "TM-CAT-0001")), 9);
        assert_eq!(ended(Verify, Failed, problem(503, "TM-CAT-0002")), 1);
        assert_eq!(ended(Verify, Failed, problem(500, "TM-TASK-0007")), 1);
        let statuses = [400, 401, 404, 409, 422, 500, 503].map(of_status);
        assert_eq!(statuses, [2, 5, 4, 6, 6, 1, 1]);
    }
}
