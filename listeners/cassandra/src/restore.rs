//! Restore by CQL: the rows of a version, live now, into a keyspace and topology of any shape.
//!
//! [`observe`] looks at the destination and [`plan`] decides. [`run`] carries the plan out: it makes the [`schema`], cuts the
//! version into [`pieces`], has each of them written ([`mod@write`]) and then read back (`verify`). `values` is below these
//! all: how CQL answers carry values. Read `plan`, then `run::execute`, then what that calls.

pub mod job;
pub mod observe;
pub mod pieces;
pub mod plan;
pub mod run;
#[cfg(test)]
pub(crate) mod samples;
pub mod schema;
pub(crate) mod values;
pub(crate) mod verify;
pub mod write;
