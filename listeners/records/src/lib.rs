//! What all sources of keyed records share: segments of their records are made, stored, opened and proven, and an object's state
//! is consolidated from the parts of its key ranges.
//!
//! A source brings how a record becomes columns ([`segments::RecordBuilder`]) and back, how states merge, and what it finds when it
//! reads a segment through ([`verify::SegmentProver`]).

pub mod consolidate;
pub mod difference;
pub mod instants;
pub mod reading;
pub mod restore;
pub mod segments;
pub mod verify;
