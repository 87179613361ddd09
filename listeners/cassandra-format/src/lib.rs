//! Cassandra's SSTable format, decoded into atoms with raw bytes: no I/O policy, no merge, no meaning beyond the format.
//!
//! The crate reads hostile bytes: it allocates nothing by an unchecked length, never panics, and every error names the
//! file, the offset and the reason. "No rows" is never the answer to a file that cannot be read.

pub mod io;
pub mod key;
pub mod model;
pub mod order;
pub mod schema;
pub mod sstable;
pub mod token;
pub mod types;
mod vint;
