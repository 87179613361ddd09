//! Cassandra as a source: capture beside a node, collapse of the replicas, segments, restore by CQL.

pub mod capture;
pub mod cluster;
pub mod collapse;
pub mod connect;
pub mod consolidate;
pub mod counter;
pub mod coverage;
pub mod describe;
pub mod driver;
pub mod level;
pub mod merge;
pub mod normal;
pub mod options;
pub mod release;
#[cfg(test)]
mod resolver;
pub mod restore;
pub mod ring;
pub mod segment;
pub mod spec;
pub mod staged;
pub mod verify;
pub mod view;
pub mod write_level;
