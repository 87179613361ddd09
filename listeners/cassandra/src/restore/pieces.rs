//! A version as the work of a restore, piece by piece, and how far that work is.
//!
//! In the order of the data: [`objects`] reads entries and segments from the store, [`feed`] cuts their rows into pieces,
//! [`checkpoint`] says which of them are done, [`refusals`] which of their rows could not be written.

pub mod checkpoint;
pub mod feed;
pub mod objects;
pub mod refusals;
