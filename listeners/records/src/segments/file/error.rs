//! Why a segment's file cannot be read.

use std::io;

use arrow_schema::ArrowError;
use tidemark_catalog::door;

/// Why a segment's file cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// Its bytes could not be had.
    #[error("segment {file}: read")]
    Fetch {
        /// The file.
        file: String,
        /// Why.
        source: io::Error,
    },
    /// It is not Parquet or is damaged.
    #[error("segment {file}: decode")]
    Decode {
        /// The file.
        file: String,
        /// Why.
        source: ArrowError,
    },
    /// The Parquet decoder panicked on it.
    #[error("segment {file}: the Parquet decoder gave up on damaged bytes")]
    Panicked {
        /// The file.
        file: String,
    },
    /// It is Parquet, but not a segment that this build reads.
    #[error("segment {file}: {reason}")]
    NotASegment {
        /// The file.
        file: String,
        /// What is wrong.
        reason: String,
    },
}

impl ReadError {
    /// Whether the same call may succeed later.
    pub fn is_retryable(&self) -> bool {
        matches!(self, Self::Fetch { source, .. } if door::may_pass(source))
    }
}
