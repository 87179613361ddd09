//! Capture beside one Cassandra node: snapshot, ship undecoded, say what was shipped.
//!
//! A capture has steps (`steps`), and is asked for one at a time. Everything it must remember is in the store under
//! `staged/<task>/<host id>/`, written once and in this order; `<token>` is that of the claim that stored the file:
//!
//! | object | says | a crash before it leaves |
//! | --- | --- | --- |
//! | `step-<number>.json` | how the node was, or which snapshot was taken when and which files it holds | nothing, or a snapshot that the next run of the step clears and takes again |
//! | `<table id>/<token>/<sstable>/<component>` | one file of a snapshot | snapshots and some files: the next run ships the rest |
//! | `info.json` | the node's words, for consolidation | the same |
//! | `slice.json` | everything above is stored | the same; after it the task is done |
//!
//! The node's snapshots go when the slice is stored, and when the task is cancelled or fails for good. What ended tasks of the
//! same source left all the same goes at the start of the next capture; nothing else on the node is touched.
//!
//! The modules, from what is asked to what is on disk: `listener`, `run`, `checks`, `node`, `steps`, `shipment`, `tables`,
//! `snapshot`, `leftovers`, `files`, `names`, `error`, `nodetool`. Each uses only such as are named after it.

mod checks;
mod error;
mod files;
mod leftovers;
mod listener;
mod names;
mod node;
mod nodetool;
mod run;
mod shipment;
mod snapshot;
mod steps;
mod tables;

pub use error::Error;
pub use listener::CassandraListener;
pub use node::Config;
pub use shipment::{TakenSnapshot, ship_taken};
pub(crate) use steps::next_step;
