//! Segments: one table's merged stream as Parquet, format 2 (`docs/format-cassandra-segments.md`).
//!
//! A segment holds a run of whole partitions in stream order: by (token, key bytes), within a partition its deletion, its
//! static row, then rows and range tombstone markers in clustering order. Columns are typed so that any Parquet reader can
//! use them, and every byte of the source comes back exactly: a value whose typed form would not give the same bytes
//! (an empty `int`, broken UTF-8) is kept beside it as raw bytes. How they are cut, stored and opened again is what all sources
//! of records share (`tidemark_records::segments`); here are the columns.
//!
//! Invariants:
//! - columns are found by Parquet field id, never by name; names are for people and made unique;
//! - a partition is never split over segments, row groups may cut it;
//! - memory is bounded by [`WriteLimits`] and the largest single row, whatever the size of a partition or table;
//! - the reader trusts nothing: a file that is not what was asked for is an error that names file, column and record.

mod batch;
mod cells;
mod composite;
mod decode;
mod describe;
pub(crate) mod key;
mod layout;
mod nested;
mod physical;
mod properties;
mod reader;
mod values;
mod writer;

#[cfg(test)]
mod fixture;
#[cfg(test)]
mod samples;
#[cfg(test)]
mod tests;

pub use describe::KIND;
pub use key::SegmentKey;
pub use layout::{Layout, LayoutError};
pub use reader::{ReadError, SegmentReader};
pub use tidemark_records::segments::{Content, Fetch, FinishedSegment, WriteLimits};
pub use writer::{SegmentWriter, ShapeError, WriteError};

/// Format number of what is written, in the file's metadata under `tidemark.format`; all formats up to it are read.
pub const SEGMENT_FORMAT: u32 = 2;

/// What a Parquet row of a segment is; the value of `__kind`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[repr(i8)]
enum Kind {
    /// Head of a partition: its deletion, or the only trace of a partition without anything.
    Head = 0,
    /// Static row.
    Static = 1,
    /// Row.
    Row = 2,
    /// Range tombstone marker.
    Marker = 3,
}

impl Kind {
    fn of(value: i8) -> Option<Self> {
        match value {
            0 => Some(Self::Head),
            1 => Some(Self::Static),
            2 => Some(Self::Row),
            3 => Some(Self::Marker),
            _ => None,
        }
    }
}
