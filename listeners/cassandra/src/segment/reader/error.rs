//! Why a segment cannot be read.

use tidemark_records::segments;

/// Why a segment cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// Its file cannot be read, or is no segment of Cassandra's that this build reads.
    #[error(transparent)]
    File(#[from] segments::ReadError),
    /// A column is missing or has another type than the layout's.
    #[error("segment {file}: column {column:?}: {reason}")]
    Column {
        /// The file.
        file: String,
        /// The column as the layout names it.
        column: String,
        /// What is wrong.
        reason: String,
    },
    /// A record makes no sense.
    #[error("segment {file}: row group {row_group}, record {record}: column {column:?}: {reason}")]
    Record {
        /// The file.
        file: String,
        /// Row group, from 0.
        row_group: usize,
        /// Record within the row group, from 0.
        record: usize,
        /// The column.
        column: String,
        /// What is wrong.
        reason: &'static str,
    },
}

impl ReadError {
    /// Whether the same call may succeed later.
    pub fn is_retryable(&self) -> bool {
        matches!(self, Self::File(source) if source.is_retryable())
    }
}
