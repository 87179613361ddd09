//! Cassandra as a source: capture beside a node, collapse of the replicas, segments, restore by CQL.

pub mod capture;
pub mod cluster;
pub mod connect;
pub mod describe;
pub mod spec;
