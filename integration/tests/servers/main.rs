//! The tests against real servers: one executable, a module each, run one module at a time (`make servers`).
//!
//! Every test has loopback addresses of its own; docs/testing.md lists them.

mod absence;
mod access;
mod cluster;
mod completeness;
mod coordinator;
mod counters;
mod damage;
mod differential;
mod formats;
mod functions;
mod kills;
mod launcher;
mod listener_memory;
mod mongodb;
mod node_down;
mod one_node;
mod opinions;
mod ownership;
mod placement;
mod policies;
mod releases;
mod replica_down;
mod replicas;
mod rough;
mod s3;
mod store_identity;
mod stores;
mod surface;
mod undo;
mod views;
mod wide;
