//! Real servers, the test's own truth about them, and the whole system around them.
//!
//! - [`cassandra`] starts, kills and stops real Cassandra clusters on loopback;
//! - [`cql`] speaks CQL in raw bytes, [`tables`], [`journal`] and [`ties`] write data whose outcome is known without any code of the
//!   system under test, [`compare`] reads tables back and finds every difference;
//! - [`etcd`] starts, kills, stops and wipes a real etcd;
//! - [`generate`] makes tables and histories of writes from a seed, [`sstables`] has Cassandra write files of them;
//! - [`stores`] installs, starts and kills real object stores;
//! - [`daemon`] runs the built binaries, [`system`] makes the steps of end-to-end tests with them, [`parts`] runs tests that share a
//!   cluster in turn;
//! - [`damage`] harms files of real snapshots and sees what comes of them;
//! - [`demo`] is what `make demo` shows;
//! - [`opinions`] asks others what is stored: Cassandra's own tools, and readers of Parquet that know nothing of ours;
//! - [`segment_sizes`] is what `make bench-segments` measures;
//! - [`toy`] is a small kind of source, which tests the seams.
//!
//! Nothing that compares decodes SSTables or segments: what is compared is what Cassandra answers.

pub mod cassandra;
pub mod compare;
pub mod cql;
pub mod daemon;
pub mod damage;
pub mod demo;
pub mod demo_cluster;
pub mod environment;
pub mod etcd;
pub mod generate;
pub mod journal;
pub mod link;
pub mod opinions;
pub mod parts;
pub mod paths;
pub mod secantus;
pub mod segment_sizes;
pub mod sstables;
pub mod stores;
pub mod system;
pub mod tables;
pub mod tally;
pub mod ties;
pub mod toy;
pub mod wait;
