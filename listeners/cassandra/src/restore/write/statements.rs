//! From a row of a segment to the statements that make it again. Pure.
//!
//! Read [`rows`] first: a row's writes. `groups` gathers its atoms into them by their times, `terms` writes the values that cannot
//! be bound, [`shapes`] are the texts of a table's statements, [`ttl`] says what of a row lives, and until when.

mod groups;
pub mod rows;
pub mod shapes;
mod terms;
pub mod ttl;
