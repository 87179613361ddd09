//! Why an entry is not proven.

use tidemark_catalog::document;
use tidemark_gateway::causes;
use tidemark_listener_core::failure::Failure;

use crate::segments::{self, OpenError};

/// Why a segment is not proven by its kind of source.
#[derive(Debug)]
pub enum Refused {
    /// It cannot be read.
    Unread {
        /// Why; names the segment.
        source: Box<dyn std::error::Error + Send + Sync>,
        /// Whether the same call may succeed later.
        retryable: bool,
    },
    /// It was read, and this is wrong with what it holds. For people.
    Wrong(String),
}

impl From<segments::ReadError> for Refused {
    fn from(source: segments::ReadError) -> Self {
        Self::Unread { retryable: source.is_retryable(), source: source.into() }
    }
}

/// Why an entry is not proven.
#[derive(Debug, thiserror::Error)]
pub(super) enum Error {
    #[error("verify {object}: read a range page")]
    Page { object: String, source: document::Error },
    #[error("verify {object}: read what was merged")]
    Merged { object: String, source: document::Error },
    #[error("verify {object}: open a segment")]
    Open { object: String, source: OpenError },
    #[error("verify {object}: read a segment")]
    Read { object: String, source: Box<dyn std::error::Error + Send + Sync>, retryable: bool },
    #[error("verify {object}: segment {key}: {what}")]
    Wrong { object: String, key: String, what: String },
    #[error("verify {object}: {what}")]
    Entry { object: String, what: String },
    #[error("verify {object}: the thread that reads ended: {reason}")]
    Thread { object: String, reason: String },
}

impl Error {
    fn is_retryable(&self) -> bool {
        match self {
            Self::Page { source, .. } | Self::Merged { source, .. } => source.is_retryable(),
            Self::Open { source, .. } => source.is_retryable(),
            Self::Read { retryable, .. } => *retryable,
            Self::Wrong { .. } | Self::Entry { .. } | Self::Thread { .. } => false,
        }
    }

    /// The failure under a source's code.
    pub(super) fn coded(&self, code: &'static str) -> Failure {
        Failure { retryable: self.is_retryable(), ..Failure::new(code, causes::joined(self)) }
    }
}
