//! Random tables and random histories of writes to them, from a seed.
//!
//! A [`Schema`] is any table that can be protected: keys of one to three columns of any type that may be one, in either
//! direction, static columns, collections and user-defined types frozen and of several cells, tuples and vectors, few columns
//! or more than 64, with any compressor or none. Values are often at the ends of their types. A [`History`] is what
//! applications and operators do to it, made to collide: few partitions, few rows, few values, few write times, and every
//! fourth write repeats an earlier one's write time at the same place. So most cells see ties, which the workloads of
//! [`crate::tables`] avoid because [`crate::journal`] expects none: what comes of a history must be learnt from a server.
//!
//! The same seed gives the same table and the same history, for ever on one build. Write times and clocks are constants of
//! this module, not of the day: see [`history::PURGE_BOUNDARY_SECONDS`].

mod extremes;
pub mod forms;
pub mod history;
mod pool;
mod schema;

pub use self::{
    history::{Event, History, Holder, Shape},
    schema::{COMPRESSIONS, Schema, UserType},
};
