//! Failures as problems.

use std::str::FromStr;

use tidemark_catalog::ids::ParseError;
use tidemark_gateway::causes;
use tidemark_web::api::Problem;

use crate::failure::Failure;

/// The problem that says what a failure says. Codes that end in an HTTP status have it.
pub(super) fn answer(failure: impl Into<Failure>) -> Problem {
    show(&failure.into(), status)
}

fn status(failure: &Failure) -> u16 {
    match failure.code.rsplit('-').next() {
        _ if failure.retryable => 503,
        Some("0400") => 400,
        Some("0404") => 404,
        Some("0409") => 409,
        _ => 422,
    }
}

/// The same, with the status that an operation's own failure has.
pub(super) fn of_operation(failure: &Failure) -> Problem {
    show(failure, |failure| if failure.retryable { 503 } else { 500 })
}

fn show(failure: &Failure, status: impl FnOnce(&Failure) -> u16) -> Problem {
    let problem = Problem::new(status(failure), &failure.code, failure.message.clone());
    Problem { hint: failure.hint.clone(), ..problem }
}

/// A permanent failure in the words of an error.
pub(super) fn refused(status: u16, code: &str, error: &(dyn std::error::Error + 'static)) -> Problem {
    Problem::new(status, code, causes::joined(error))
}

pub(super) fn unknown_operation(id: &str) -> Problem {
    Problem::not_found("TM-TASK-0404", format!("there is no operation {}", id.chars().take(80).collect::<String>()))
}

/// A name, of one kind of id or another.
///
/// # Errors
/// A problem with status 400 for what is none.
pub(super) fn check_name<T: FromStr<Err = ParseError>>(what: &str, name: &str) -> Result<T, Problem> {
    name.parse().map_err(|error| Problem::bad_request("TM-API-0400", format!("{what}: {error}")))
}

/// The name is taken by something else.
pub(super) fn taken(code: &str, what: &str, name: &str) -> Problem {
    Problem::conflict(code, format!("{what} {name} is registered already, with other settings"))
        .with_hint("registering the same again changes nothing; another one needs another name")
}
