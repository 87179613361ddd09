//! Reads back what was written and compares it with the version.
//!
//! Read [`rows`] first. `slices` chooses what is read for a piece; `merged` judges tables that others write to as well.

mod merged;
pub(crate) mod rows;
mod slices;
