//! Which of the driver's errors may go away when the same request is sent again.
//!
//! Server errors without a cause of their own (`ServerError`: an assertion or a null pointer inside Cassandra) are permanent:
//! Cassandra answers so to values it cannot digest, and the same value leads there again.

use scylla::errors::{
    ConnectionError, ConnectionPoolError, ConnectionSetupRequestErrorKind, DbError, ExecutionError, MetadataError,
    MetadataFetchErrorKind, NewSessionError, NextPageError, NextRowError, PagerExecutionError, PrepareError,
    RequestAttemptError, RequestError, SchemaAgreementError, UseKeyspaceError,
};

/// Answers whether the same request may succeed later.
pub trait Retryable {
    /// True where it may.
    fn is_retryable(&self) -> bool;
}

impl Retryable for DbError {
    fn is_retryable(&self) -> bool {
        matches!(
            self,
            Self::Unavailable { .. }
                | Self::Overloaded
                | Self::IsBootstrapping
                | Self::TruncateError
                | Self::ReadTimeout { .. }
                | Self::WriteTimeout { .. }
                | Self::ReadFailure { .. }
                | Self::WriteFailure { .. }
                | Self::Unprepared { .. }
                | Self::RateLimitReached { .. }
        )
    }
}

impl Retryable for RequestAttemptError {
    fn is_retryable(&self) -> bool {
        match self {
            Self::DbError(error, _) => error.is_retryable(),
            Self::BrokenConnectionError(_) | Self::UnableToAllocStreamId => true,
            _ => false,
        }
    }
}

impl Retryable for ConnectionError {
    fn is_retryable(&self) -> bool {
        match self {
            Self::ConnectionSetupRequestError(error) => match error.get_error() {
                ConnectionSetupRequestErrorKind::DbError(error, _) => error.is_retryable(),
                ConnectionSetupRequestErrorKind::BrokenConnection(_)
                | ConnectionSetupRequestErrorKind::UnableToAllocStreamId => true,
                _ => false,
            },
            Self::UseKeyspaceError(error) => error.is_retryable(),
            _ => true,
        }
    }
}

impl Retryable for ConnectionPoolError {
    fn is_retryable(&self) -> bool {
        match self {
            Self::Broken { last_connection_error } => last_connection_error.is_retryable(),
            _ => true,
        }
    }
}

impl Retryable for UseKeyspaceError {
    fn is_retryable(&self) -> bool {
        match self {
            Self::RequestError(error) => error.is_retryable(),
            Self::RequestTimeout(_) => true,
            _ => false,
        }
    }
}

impl Retryable for PrepareError {
    fn is_retryable(&self) -> bool {
        match self {
            Self::ConnectionPoolError(error) => error.is_retryable(),
            Self::AllAttemptsFailed { first_attempt } => first_attempt.is_retryable(),
            _ => false,
        }
    }
}

impl Retryable for SchemaAgreementError {
    fn is_retryable(&self) -> bool {
        match self {
            Self::ConnectionPoolError(error) => error.is_retryable(),
            Self::PrepareError(error) => error.is_retryable(),
            Self::RequestError(error) => error.is_retryable(),
            Self::Timeout(_) | Self::RequiredHostAbsent(_) => true,
            _ => false,
        }
    }
}

impl Retryable for RequestError {
    fn is_retryable(&self) -> bool {
        match self {
            Self::LastAttemptError(error) => error.is_retryable(),
            Self::ConnectionPoolError(error) => error.is_retryable(),
            // No node to send to: all of them are down or being connected to.
            Self::EmptyPlan | Self::RequestTimeout(_) => true,
            _ => false,
        }
    }
}

impl Retryable for NextRowError {
    fn is_retryable(&self) -> bool {
        match self {
            Self::NextPageError(NextPageError::RequestFailure(error)) => error.is_retryable(),
            _ => false,
        }
    }
}

impl Retryable for MetadataError {
    fn is_retryable(&self) -> bool {
        match self {
            Self::ConnectionPoolError(error) => error.is_retryable(),
            Self::FetchError(error) => match &error.error {
                MetadataFetchErrorKind::PrepareError(error) => error.is_retryable(),
                MetadataFetchErrorKind::NextRowError(error) => error.is_retryable(),
                _ => false,
            },
            // A node that has just started may not know its peers yet.
            Self::Peers(_) => true,
            _ => false,
        }
    }
}

impl Retryable for NewSessionError {
    fn is_retryable(&self) -> bool {
        match self {
            Self::FailedToResolveAnyHostname(_) => true,
            Self::MetadataError(error) => error.is_retryable(),
            Self::UseKeyspaceError(error) => error.is_retryable(),
            _ => false,
        }
    }
}

impl Retryable for ExecutionError {
    fn is_retryable(&self) -> bool {
        match self {
            Self::EmptyPlan | Self::RequestTimeout(_) => true,
            Self::PrepareError(error) => error.is_retryable(),
            Self::ConnectionPoolError(error) => error.is_retryable(),
            Self::LastAttemptError(error) => error.is_retryable(),
            Self::UseKeyspaceError(error) => error.is_retryable(),
            Self::SchemaAgreementError(error) => error.is_retryable(),
            Self::MetadataError(error) => error.is_retryable(),
            _ => false,
        }
    }
}

impl Retryable for PagerExecutionError {
    fn is_retryable(&self) -> bool {
        match self {
            Self::PrepareError(error) => error.is_retryable(),
            Self::NextPageError(NextPageError::RequestFailure(error)) => error.is_retryable(),
            Self::UseKeyspaceError(error) => error.is_retryable(),
            Self::SchemaAgreementError(error) => error.is_retryable(),
            Self::MetadataError(error) => error.is_retryable(),
            _ => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn answered(error: DbError) -> ExecutionError {
        ExecutionError::LastAttemptError(RequestAttemptError::DbError(error, String::new()))
    }

    #[test]
    fn what_the_server_refuses_is_permanent() {
        for error in [DbError::SyntaxError, DbError::Invalid, DbError::Unauthorized, DbError::ServerError] {
            assert!(!answered(error.clone()).is_retryable(), "{error}");
        }
    }

    #[test]
    fn load_and_absence_go_away() {
        for error in [DbError::Overloaded, DbError::IsBootstrapping, DbError::TruncateError] {
            assert!(answered(error.clone()).is_retryable(), "{error}");
        }
        assert!(ExecutionError::RequestTimeout(Duration::from_secs(1)).is_retryable());
        assert!(ExecutionError::EmptyPlan.is_retryable());
    }
}
