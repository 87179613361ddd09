//! A version holds every row that was acknowledged before its cut began, whatever the cluster does meanwhile.
//!
//! What a version holds is read from its Parquet files by their own library; nothing of the code under test takes part.

mod changes;
mod flushing;
mod held;
mod writers;

use anyhow::Result;
use scylla::client::session::Session;
use tidemark_integration::cql;

/// Loopback network of the one node that is slow to flush.
const SLOW: u8 = 120;
/// Loopback network of the three nodes that are written to throughout.
const WRITTEN: u8 = 121;

/// Flushes of tables that are compressed so hard that they take their time.
const SLOW_FLUSH: (&str, &str) = ("flush_compression", "table");

/// A keyspace and a table whose flushes take seconds.
async fn create_slow(session: &Session) -> Result<()> {
    let create = [
        "CREATE KEYSPACE ks WITH replication = {'class': 'SimpleStrategy', 'replication_factor': 1}".to_owned(),
        "CREATE TABLE ks.t (k int PRIMARY KEY, v text) WITH compression = {'class': 'ZstdCompressor', \
         'compression_level': 22, 'chunk_length_in_kb': 256}"
            .to_owned(),
    ];
    cql::run(session, &create).await
}

/// Text that takes a compressor long: words in an order of their own for each number.
fn text(number: i32, bytes: usize) -> String {
    let mut state = u64::from(number.unsigned_abs()) + 1;
    let mut text = String::with_capacity(bytes + 8);
    while text.len() < bytes {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        text.push_str(
            ["anchor ", "buoy ", "current ", "drift ", "ebb ", "flood ", "gale ", "harbour "][(state >> 61) as usize],
        );
    }
    text
}
