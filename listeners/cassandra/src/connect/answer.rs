//! What the driver's calls come to: rows, or an error that says whether another try is worth it and whether anybody is away.

use futures::TryStreamExt;
use scylla::{client::pager::QueryPager, deserialize::row::DeserializeRow, errors::PagerExecutionError};
use tidemark_gateway::causes::joined;
use tidemark_listener_core::failure::Failure;

use super::{Cause, Caused, Retryable};

/// The error of a call, in the words `what: reasons`.
pub fn error<E>(code: &'static str, what: &str, source: &E) -> Failure
where
    E: Caused + Retryable + std::error::Error + 'static,
{
    let error = Failure::new(code, format!("{what}: {}", joined(source)));
    Failure { retryable: source.is_retryable(), answered: Caused::cause(source) == Cause::Failed, ..error }
}

/// All rows of an answer, page by page.
///
/// # Errors
/// As [`error`]; permanent where the columns are not those of `R`.
pub async fn collect<R>(
    pager: Result<QueryPager, PagerExecutionError>,
    code: &'static str,
    what: &str,
) -> Result<Vec<R>, Failure>
where
    R: for<'frame, 'metadata> DeserializeRow<'frame, 'metadata> + 'static,
{
    let pager = pager.map_err(|source| error(code, what, &source))?;
    let rows = pager.rows_stream::<R>();
    let rows = rows.map_err(|source| Failure::new(code, format!("{what}: {}", joined(&source))))?;
    rows.try_collect().await.map_err(|source| error(code, what, &source))
}

#[cfg(test)]
mod tests {
    use scylla::errors::{DbError, ExecutionError, NextPageError, RequestAttemptError, RequestError};

    use super::*;

    fn page(answer: DbError) -> PagerExecutionError {
        let attempt = RequestAttemptError::DbError(answer, String::new());
        PagerExecutionError::NextPageError(NextPageError::RequestFailure(RequestError::LastAttemptError(attempt)))
    }

    #[test]
    fn replicas_that_answer_that_they_failed_are_not_away() {
        for (answer, answered) in [(DbError::TruncateError, true), (DbError::Overloaded, false)] {
            let write = ExecutionError::LastAttemptError(RequestAttemptError::DbError(answer.clone(), String::new()));
            for error in [error("TM-REST-0401", "write", &write), error("TM-REST-0602", "read", &page(answer))] {
                assert_eq!((error.retryable, error.answered), (true, answered), "{error}");
            }
        }
    }
}
