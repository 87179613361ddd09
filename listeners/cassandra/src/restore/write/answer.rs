//! What a destination's answer to a write is about.

use scylla::errors::{DbError, ExecutionError, RequestAttemptError};

/// True where the destination's answer is about the values that were sent: other rows may be taken.
pub(crate) fn is_about_values(error: &ExecutionError) -> bool {
    use RequestAttemptError::DbError as Answer;
    matches!(error, ExecutionError::LastAttemptError(Answer(DbError::Invalid | DbError::ServerError, _)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_absent_destination_refuses_no_row() {
        let answer = |error| ExecutionError::LastAttemptError(RequestAttemptError::DbError(error, String::new()));
        assert!(is_about_values(&answer(DbError::Invalid)) && is_about_values(&answer(DbError::ServerError)));
        for other in [DbError::Overloaded, DbError::Unauthorized, DbError::IsBootstrapping] {
            assert!(!is_about_values(&answer(other)));
        }
        assert!(!is_about_values(&ExecutionError::EmptyPlan));
    }
}
