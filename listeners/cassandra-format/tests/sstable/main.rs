//! The SSTable reader against files that Cassandra 5.0.9 wrote; see `testdata/README.md`.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod common;
mod damage;
mod dump;
mod fixtures;
