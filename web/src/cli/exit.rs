//! Exit codes, stable.

use super::Error;
use crate::{api::Operation, client};

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

/// The code of a command that failed.
pub(super) fn of_error(error: &Error) -> u8 {
    match error {
        Error::Call(client::Error::Unreachable { .. }) => UNREACHABLE,
        Error::Call(client::Error::Problem(problem)) => of_status(problem.status),
        Error::Call(client::Error::Shape { .. }) | Error::Output(_) => FAILED,
        Error::NoToken | Error::TokenShape | Error::Token(_) => UNAUTHORISED,
        Error::Read { .. } | Error::Usage(_) => USAGE,
    }
}

fn of_status(status: u16) -> u8 {
    match status {
        400 | 413 | 415 => USAGE,
        401 | 403 => UNAUTHORISED,
        404 => NOT_FOUND,
        409 | 412 | 422 => CONFLICT,
        _ => FAILED,
    }
}

/// True where what a restore read back is not what it wrote.
fn differs(operation: &Operation) -> bool {
    operation.error.as_ref().is_some_and(|problem| problem.code == READ_BACK_DIFFERS)
}

/// The code of an operation that is done, or of one that still runs when the wait timed out.
pub(super) fn of_operation(operation: &Operation) -> u8 {
    match operation.state.as_str() {
        "succeeded" => OK,
        "warnings" => WARNINGS,
        "cancelled" => INTERRUPTED,
        "failed" if operation.kind == "verify" || differs(operation) => VERIFICATION,
        "failed" => FAILED,
        _ => TIMED_OUT,
    }
}
