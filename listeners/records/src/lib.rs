//! What all sources of keyed records share: segments of their records are made, stored and opened again, and an object's state
//! is consolidated from the parts of its key ranges.

pub mod consolidate;
pub mod segments;
