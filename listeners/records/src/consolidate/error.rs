//! Why an object's parts could not become its line.

use tidemark_catalog::document;
use tidemark_gateway::causes::joined;
use tidemark_listener_core::failure::Failure;

/// Why an object's parts could not become its line.
#[derive(Debug, thiserror::Error)]
pub(super) enum Error {
    #[error("store a page")]
    Page(#[source] document::Error),
    #[error("the store does not show what partition {partition} staged")]
    Away { partition: String, source: object_store::Error },
    #[error("partition {partition} was left out and is still named as unreadable: {reason}")]
    LeftOut { partition: String, reason: String },
    #[error("the parts of {object} are not of one state: {what}")]
    Parts { object: String, what: &'static str },
}

impl Error {
    fn code(&self) -> &'static str {
        match self {
            Self::Page(_) => "TM-REC-0001",
            Self::Away { .. } => "TM-REC-0002",
            Self::LeftOut { .. } | Self::Parts { .. } => "TM-REC-0003",
        }
    }

    fn is_retryable(&self) -> bool {
        match self {
            Self::Page(source) => source.is_retryable(),
            Self::Away { .. } => true,
            Self::LeftOut { .. } | Self::Parts { .. } => false,
        }
    }
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        let failure = Self { retryable: error.is_retryable(), ..Self::new(error.code(), joined(&error)) };
        match error {
            Error::Away { .. } => {
                failure.with_hint("see that the store is there, is the same and lets its objects be read")
            }
            _ => failure,
        }
    }
}
