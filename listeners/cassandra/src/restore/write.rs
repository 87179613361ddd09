//! Writes pieces to the destination.
//!
//! [`statements`] makes the writes of a row, without a server. [`target`] is the table that they go to: what is prepared, at which
//! level, and what may be tried again; [`size`] is what it takes at once, `answer` what it answers. `load` sends a piece; `counters` and `lists` are the two
//! kinds of column that may not be sent twice.

pub(crate) mod answer;
mod counters;
mod lists;
pub(crate) mod load;
pub mod size;
pub mod statements;
pub mod target;
