//! What is behind the driver's errors, as far as it says what to do about them.

use scylla::errors::{
    ConnectionError, ConnectionPoolError, ConnectionSetupRequestErrorKind, DbError, ExecutionError, MetadataError,
    MetadataFetchErrorKind, NewSessionError, NextPageError, NextRowError, PagerExecutionError, PrepareError,
    RequestAttemptError, RequestError, SchemaAgreementError, UseKeyspaceError,
};

/// Why a request or a session failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cause {
    /// The node does not let this role in.
    Credentials,
    /// The role lacks a right.
    Rights,
    /// The node does not answer, or its connection broke.
    Unreachable,
    /// The node answers that it is too busy, is starting, or waits for other nodes.
    Busy,
    /// Replicas answer that they failed: they are there, however often they are asked.
    Failed,
    /// The node forgot a prepared statement before it was executed.
    Evicted,
    /// Anything else: the error's own words say it.
    Other,
}

impl Cause {
    /// What to do about it.
    pub fn hint(self) -> &'static str {
        match self {
            Self::Credentials => "check the name and password in the credentials file",
            Self::Rights => "the role needs SELECT on the keyspaces system, system_schema and system_views",
            Self::Unreachable => "see that the node is up, that the address is its native transport, and the firewall",
            Self::Busy => "see that enough nodes are up, and try again when they are less busy",
            Self::Failed => "see the replicas' logs: a disk may be broken, or too many deleted rows be read",
            Self::Evicted => {
                "the node's cache of prepared statements is full of statements in use: raise \
                 prepared_statements_cache_size, or try again when it is less busy"
            }
            Self::Other => "see the node's log",
        }
    }
}

/// Errors with a cause.
pub trait Caused {
    /// The cause.
    fn cause(&self) -> Cause;
}

impl Caused for DbError {
    fn cause(&self) -> Cause {
        match self {
            Self::AuthenticationError => Cause::Credentials,
            Self::Unauthorized => Cause::Rights,
            Self::Unprepared { .. } => Cause::Evicted,
            Self::Unavailable { .. }
            | Self::Overloaded
            | Self::IsBootstrapping
            | Self::ReadTimeout { .. }
            | Self::WriteTimeout { .. }
            | Self::RateLimitReached { .. } => Cause::Busy,
            Self::ReadFailure { .. } | Self::WriteFailure { .. } | Self::TruncateError => Cause::Failed,
            _ => Cause::Other,
        }
    }
}

impl Caused for RequestAttemptError {
    fn cause(&self) -> Cause {
        match self {
            Self::DbError(error, _) => error.cause(),
            Self::BrokenConnectionError(_) | Self::UnableToAllocStreamId => Cause::Unreachable,
            _ => Cause::Other,
        }
    }
}

impl Caused for ConnectionError {
    fn cause(&self) -> Cause {
        match self {
            Self::ConnectionSetupRequestError(error) => match error.get_error() {
                ConnectionSetupRequestErrorKind::DbError(error, _) => error.cause(),
                ConnectionSetupRequestErrorKind::MissingAuthentication => Cause::Credentials,
                ConnectionSetupRequestErrorKind::BrokenConnection(_)
                | ConnectionSetupRequestErrorKind::UnableToAllocStreamId => Cause::Unreachable,
                _ => Cause::Other,
            },
            Self::UseKeyspaceError(error) => error.cause(),
            _ => Cause::Unreachable,
        }
    }
}

impl Caused for ConnectionPoolError {
    fn cause(&self) -> Cause {
        match self {
            Self::Broken { last_connection_error } => last_connection_error.cause(),
            _ => Cause::Unreachable,
        }
    }
}

impl Caused for UseKeyspaceError {
    fn cause(&self) -> Cause {
        match self {
            Self::RequestError(error) => error.cause(),
            Self::RequestTimeout(_) => Cause::Unreachable,
            _ => Cause::Other,
        }
    }
}

impl Caused for PrepareError {
    fn cause(&self) -> Cause {
        match self {
            Self::ConnectionPoolError(error) => error.cause(),
            Self::AllAttemptsFailed { first_attempt } => first_attempt.cause(),
            _ => Cause::Other,
        }
    }
}

impl Caused for RequestError {
    fn cause(&self) -> Cause {
        match self {
            Self::LastAttemptError(error) => error.cause(),
            Self::ConnectionPoolError(error) => error.cause(),
            Self::EmptyPlan | Self::RequestTimeout(_) => Cause::Unreachable,
            _ => Cause::Other,
        }
    }
}

impl Caused for NextRowError {
    fn cause(&self) -> Cause {
        match self {
            Self::NextPageError(NextPageError::RequestFailure(error)) => error.cause(),
            _ => Cause::Other,
        }
    }
}

impl Caused for PagerExecutionError {
    fn cause(&self) -> Cause {
        match self {
            Self::PrepareError(error) => error.cause(),
            Self::NextPageError(NextPageError::RequestFailure(error)) => error.cause(),
            Self::UseKeyspaceError(error) => error.cause(),
            Self::MetadataError(error) => error.cause(),
            _ => Cause::Other,
        }
    }
}

impl Caused for MetadataError {
    fn cause(&self) -> Cause {
        match self {
            Self::ConnectionPoolError(error) => error.cause(),
            Self::FetchError(error) => match &error.error {
                MetadataFetchErrorKind::PrepareError(error) => error.cause(),
                MetadataFetchErrorKind::NextRowError(error) => error.cause(),
                _ => Cause::Other,
            },
            Self::Peers(_) => Cause::Busy,
            _ => Cause::Other,
        }
    }
}

impl Caused for NewSessionError {
    fn cause(&self) -> Cause {
        match self {
            Self::FailedToResolveAnyHostname(_) => Cause::Unreachable,
            Self::MetadataError(error) => error.cause(),
            Self::UseKeyspaceError(error) => error.cause(),
            _ => Cause::Other,
        }
    }
}

impl Caused for ExecutionError {
    fn cause(&self) -> Cause {
        match self {
            Self::EmptyPlan | Self::RequestTimeout(_) => Cause::Unreachable,
            Self::PrepareError(error) => error.cause(),
            Self::ConnectionPoolError(error) => error.cause(),
            Self::LastAttemptError(error) => error.cause(),
            Self::UseKeyspaceError(error) => error.cause(),
            Self::SchemaAgreementError(error) => error.cause(),
            Self::MetadataError(error) => error.cause(),
            _ => Cause::Other,
        }
    }
}

impl Caused for SchemaAgreementError {
    fn cause(&self) -> Cause {
        match self {
            Self::ConnectionPoolError(error) => error.cause(),
            Self::PrepareError(error) => error.cause(),
            Self::RequestError(error) => error.cause(),
            Self::Timeout(_) | Self::RequiredHostAbsent(_) => Cause::Busy,
            _ => Cause::Other,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answered(error: DbError) -> Cause {
        let attempt = RequestAttemptError::DbError(error, String::new());
        PagerExecutionError::NextPageError(NextPageError::RequestFailure(RequestError::LastAttemptError(attempt)))
            .cause()
    }

    #[test]
    fn only_a_missing_right_asks_for_rights() {
        assert_eq!(answered(DbError::Unauthorized), Cause::Rights);
        assert_eq!(answered(DbError::Unprepared { statement_id: bytes::Bytes::new() }), Cause::Evicted);
        assert_eq!(answered(DbError::AuthenticationError), Cause::Credentials);
        assert_eq!(answered(DbError::Overloaded), Cause::Busy);
        assert_eq!(answered(DbError::ServerError), Cause::Other);
        assert_eq!(RequestError::EmptyPlan.cause(), Cause::Unreachable);
    }

    #[test]
    fn no_two_causes_have_one_hint() {
        let causes = [
            Cause::Credentials,
            Cause::Rights,
            Cause::Unreachable,
            Cause::Busy,
            Cause::Failed,
            Cause::Evicted,
            Cause::Other,
        ];
        let hints: std::collections::BTreeSet<&str> = causes.iter().map(|cause| cause.hint()).collect();
        assert_eq!(hints.len(), causes.len());
    }
}
