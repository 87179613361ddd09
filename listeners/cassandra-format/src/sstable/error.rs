//! Why an SSTable is not read.

use std::io;

use super::cursor::Fault;

/// Why an SSTable is not read. A reader that returned an error returns no more rows.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The bytes could not be had.
    #[error("read {file} at {offset}")]
    Read {
        /// Name of the file.
        file: String,
        /// Offset in it, bytes.
        offset: u64,
        /// What happened.
        source: io::Error,
    },
    /// The bytes are not what Cassandra wrote: a checksum, a length, an order or a flag is wrong.
    #[error("{file} is damaged at {offset}: {reason}")]
    Corrupt {
        /// Name of the file.
        file: String,
        /// Offset, bytes; in Data.db of a compressed table, of the uncompressed data.
        offset: u64,
        /// What is wrong.
        reason: String,
    },
    /// A format, compressor or partitioner that is not read.
    #[error("{file} cannot be read: {reason}")]
    Unsupported {
        /// Name of the file.
        file: String,
        /// What is not supported.
        reason: String,
    },
    /// The file's columns do not fit the table's.
    #[error("{file} does not fit the schema: {reason}")]
    Schema {
        /// Name of the file.
        file: String,
        /// What does not fit.
        reason: String,
    },
    /// A row is larger than the reader may hold.
    #[error("{file} at {offset}: a row of more than {limit} bytes")]
    RowTooLarge {
        /// Name of the file.
        file: String,
        /// Offset of the row, bytes.
        offset: u64,
        /// The limit, bytes.
        limit: usize,
    },
    /// The reader has failed before.
    #[error("{file} was not read to its end")]
    Failed {
        /// Name of the file.
        file: String,
    },
}

impl Error {
    /// True where the file's bytes are wrong, as opposed to unreachable or of another kind.
    pub fn is_corruption(&self) -> bool {
        matches!(self, Self::Corrupt { .. })
    }

    /// True where reading the same file again may succeed: not where its bytes are too few, gone or no longer themselves.
    pub fn is_retryable(&self) -> bool {
        use io::ErrorKind::{InvalidData, NotFound, UnexpectedEof};
        matches!(self, Self::Read { source, .. } if !matches!(source.kind(), UnexpectedEof | InvalidData | NotFound))
    }

    /// A fault in a file that is whole in memory, so that it cannot be incomplete.
    pub(super) fn damage(file: &str, fault: Fault) -> Self {
        match fault {
            Fault::Incomplete(needed) => Self::corrupt(file, needed as u64, "the file ends before this offset"),
            Fault::Corrupt(offset, reason) => Self::corrupt(file, offset as u64, reason),
        }
    }

    pub(super) fn corrupt(file: &str, offset: u64, reason: impl Into<String>) -> Self {
        Self::Corrupt { file: file.to_owned(), offset, reason: reason.into() }
    }

    pub(super) fn unsupported(file: &str, reason: impl Into<String>) -> Self {
        Self::Unsupported { file: file.to_owned(), reason: reason.into() }
    }

    pub(super) fn schema(file: &str, reason: impl Into<String>) -> Self {
        Self::Schema { file: file.to_owned(), reason: reason.into() }
    }
}
