//! Restore by CQL: the rows of a version, live now, into a keyspace and topology of any shape.
//!
//! [`observe`] looks at the destination and [`plan`] decides. [`run`] carries the plan out: it makes the [`schema`], cuts the
//! version into [`pieces`], has each of them written ([`mod@write`]) and then read back (`verify`), or has a table undone in
//! place ([`undo`]). Read `plan`, then `run::execute`, then what that calls. What is the same for all sources is in
//! [`tidemark_records::restore`].
//!
//! The modules depend one way: `run` and `plan` on `undo` and `verify`, these on `observe`, `chosen` (what a selection leaves of
//! pieces and segments) and `write`, these on `pieces`, [`select`], `schema` and `values` (how CQL answers carry values).

pub(crate) mod chosen;
pub mod job;
pub mod observe;
pub mod pieces;
pub mod plan;
pub mod run;
#[cfg(test)]
pub(crate) mod samples;
pub mod schema;
pub mod select;
pub mod undo;
pub(crate) mod values;
pub(crate) mod verify;
pub mod write;
