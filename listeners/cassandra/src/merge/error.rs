//! Errors of a merge.

use crate::counter::Refused;

/// Why a merge failed. Sources are named by their index in the order they were given to the merge.
#[derive(Debug, thiserror::Error)]
pub enum Error<E> {
    /// A source failed.
    #[error("read source {index} of the merge")]
    Source {
        /// The source.
        index: usize,
        /// Its error.
        source: E,
    },
    /// Partitions of a source do not ascend.
    #[error("source {index} of the merge has a partition of token {token} after one of token {previous}")]
    PartitionOrder {
        /// The source.
        index: usize,
        /// Token of the earlier partition.
        previous: i64,
        /// Token of the later one.
        token: i64,
    },
    /// Rows or markers of a source do not ascend.
    #[error("source {index} of the merge has rows out of order in the partition of token {token}")]
    RowOrder {
        /// The source.
        index: usize,
        /// Token of the partition.
        token: i64,
    },
    /// A row or marker does not fit the table: unknown or unordered columns, a wrong number of clustering values.
    #[error("source {index} of the merge does not fit the table in the partition of token {token}: {what}")]
    Shape {
        /// The source.
        index: usize,
        /// Token of the partition.
        token: i64,
        /// What does not fit.
        what: &'static str,
    },
    /// A range tombstone is closed that was not open, or opened twice.
    #[error("source {index} of the merge has range tombstone markers that do not match")]
    Marker {
        /// The source.
        index: usize,
    },
    /// A partition ends within a range tombstone.
    #[error("source {index} of the merge leaves a range tombstone open at the end of a partition")]
    Unclosed {
        /// The source.
        index: usize,
    },
    /// A counter cannot be merged.
    #[error("the counter in column {column:?} of partition 0x{key} is refused")]
    Counter {
        /// The source that holds it; `None` where the join of several does.
        index: Option<usize>,
        /// The partition's key, hexadecimal.
        key: String,
        /// The column.
        column: String,
        /// Why.
        source: Refused,
    },
    /// The merge was read on after an error.
    #[error("the merge has failed before")]
    Failed,
}

impl<E> Error<E> {
    /// The source that is to blame, by its index.
    pub fn index(&self) -> Option<usize> {
        match *self {
            Self::Source { index, .. }
            | Self::PartitionOrder { index, .. }
            | Self::RowOrder { index, .. }
            | Self::Shape { index, .. }
            | Self::Marker { index }
            | Self::Unclosed { index } => Some(index),
            Self::Counter { index, .. } => index,
            Self::Failed => None,
        }
    }
}
