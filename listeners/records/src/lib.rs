//! What all sources of keyed records share: an object's state is consolidated from the parts of its key ranges.

pub mod consolidate;
