//! A version as the work of a restore, piece by piece.
//!
//! In the order of the data: [`objects`] opens the segments of entries, [`feed`] cuts their rows into pieces.

pub mod feed;
pub mod objects;
