//! A restore of records, as far as it is the same for all sources of records.
//!
//! In the order of the data: [`objects`] reads entries and lists segments, the source cuts their records into pieces and writes
//! them, [`pipeline`] runs the pieces side by side, [`checkpoint`] says which of them are done, [`refusals`] which of their
//! records could not be written. [`course`] goes from segment to segment, stage to stage and object to object; [`within`] keeps
//! the place of an undo that is part of a restore.

pub mod checkpoint;
pub mod course;
pub mod objects;
pub mod pipeline;
pub mod refusals;
pub mod within;
