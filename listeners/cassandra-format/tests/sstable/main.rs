//! The SSTable reader against files that Cassandra 5.0.9 wrote; see `testdata/README.md`.

mod common;
mod damage;
mod dump;
mod fixtures;
