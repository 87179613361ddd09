//! Writes of the same cell with the same write time, of which one replica has seen the first only.
//!
//! The journal's writes all have times of their own; here Cassandra's rules for equal times decide: a deletion beats a value, a
//! value that expires beats one that does not, else the greater one stays. Each pair is written in both orders.

use std::collections::BTreeMap;

use anyhow::{Result, ensure};
use bytes::Bytes;
use scylla::{client::session::Session, statement::Consistency};

use crate::{
    compare::TableImage,
    cql::{self, Raw, Values},
};

/// Keyspace of the table [`TABLE`].
pub const KEYSPACE: &str = "tied";
/// The table.
pub const TABLE: &str = "t";
/// Write time of everything, µs.
const WRITTEN: i64 = 1_750_000_000_000_000;
/// Partitions, each with one pair of writes.
const PARTITIONS: i32 = 120;

/// A write of the column.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Write {
    Delete,
    Expiring(&'static str),
    Value(&'static str),
}

/// Pairs of writes, first and second, and what stays of them.
const PAIRS: [(Write, Write, Option<&str>); 6] = [
    (Write::Value("a"), Write::Value("b"), Some("b")),
    (Write::Value("b"), Write::Value("a"), Some("b")),
    (Write::Value("a"), Write::Delete, None),
    (Write::Delete, Write::Value("b"), None),
    (Write::Value("b"), Write::Expiring("a"), Some("a")),
    (Write::Expiring("a"), Write::Value("b"), Some("a")),
];

fn pair(key: i32) -> (Write, Write, Option<&'static str>) {
    PAIRS[usize::try_from(key).unwrap_or(0) % PAIRS.len()]
}

/// Creates the table with three replicas and makes the first write of each pair, at `ALL`.
///
/// # Errors
/// Where a statement fails.
pub async fn write_first(session: &Session) -> Result<()> {
    let replication = "{'class': 'SimpleStrategy', 'replication_factor': 3}";
    let create = [
        format!("CREATE KEYSPACE {KEYSPACE} WITH replication = {replication}"),
        format!("CREATE TABLE {KEYSPACE}.{TABLE} (pk int PRIMARY KEY, v text)"),
    ];
    cql::run(session, &create).await?;
    write(session, Consistency::All, |key| pair(key).0).await
}

/// Makes the second write of each pair, at `QUORUM`.
///
/// # Errors
/// Where a statement fails.
pub async fn write_second(session: &Session) -> Result<()> {
    write(session, Consistency::Quorum, |key| pair(key).1).await
}

async fn write(session: &Session, level: Consistency, of: impl Fn(i32) -> Write) -> Result<()> {
    for key in 0..PARTITIONS {
        let name = format!("{KEYSPACE}.{TABLE}");
        let (text, value) = match of(key) {
            Write::Delete => (format!("DELETE v FROM {name} USING TIMESTAMP {WRITTEN} WHERE pk = ?"), None),
            Write::Value(value) => {
                (format!("UPDATE {name} USING TIMESTAMP {WRITTEN} SET v = ? WHERE pk = ?"), Some(value))
            }
            Write::Expiring(value) => {
                let using = format!("TIMESTAMP {WRITTEN} AND TTL 9000000");
                (format!("UPDATE {name} USING {using} SET v = ? WHERE pk = ?"), Some(value))
            }
        };
        let value = value.map(|value| Raw::Bytes(Bytes::from_static(value.as_bytes())));
        let mut statement = session.prepare(text).await?;
        statement.set_consistency(level);
        session.execute_unpaged(&statement, Values(value.into_iter().chain([Raw::int(key)]).collect())).await?;
    }
    Ok(())
}

/// Fails unless a table holds what stays of each pair.
///
/// # Errors
/// Naming what it holds instead.
pub fn expect(what: &str, image: &TableImage) -> Result<()> {
    let value =
        |key: i32| Some((Bytes::copy_from_slice(&key.to_be_bytes()), Bytes::from_static(pair(key).2?.as_bytes())));
    let expected: BTreeMap<Bytes, Bytes> = (0..PARTITIONS).filter_map(value).collect();
    let cells = image.rows.iter().filter_map(|(key, row)| Some((&key.partition[0], row.columns.get("v")?.first()?)));
    let found: BTreeMap<Bytes, Bytes> = cells.map(|(key, cell)| (key.clone(), cell.value.clone())).collect();
    ensure!(found == expected, "{what}: equal write times gave {found:?}, not {expected:?}");
    Ok(())
}
