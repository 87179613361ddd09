//! Segments: a run of an object's records, in the order of their keys, as one immutable Parquet file.
//!
//! A source brings its layout (columns, how a record becomes a row of them and back); everything else is here:
//! - [`SegmentCutter`] makes the files, [`upload::stored_while`] stores them as they end;
//! - [`StoredSegment`] opens them again, proven, as a [`SegmentFile`], which gives row groups as record batches.
//!
//! Invariants:
//! - keys ascend within a segment and over segments, and all records of one key are in one segment; row groups may cut a key;
//! - memory is bounded by [`WriteLimits`] and the largest single record, whatever the size of a key's records or of the object;
//! - a reader trusts nothing: what is not as it was written is an error that names the file.

mod cut;
mod fetch;
mod file;
mod finished;
mod label;
#[cfg(test)]
pub(crate) mod numbers;
mod stored;
#[cfg(test)]
mod tests;
pub mod upload;

pub use cut::{CutError, RecordBuilder, SegmentCutter, WriteLimits};
pub use fetch::Fetch;
pub use file::{Batches, ReadError, SegmentFile};
pub use finished::{Content, FinishedSegment};
pub use label::Label;
pub use stored::{OpenError, StoredSegment};
