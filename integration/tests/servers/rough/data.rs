//! The tables of `rough`, and what of them does not come back.

use std::collections::BTreeMap;

use anyhow::{Context, Result, ensure};
use bytes::Bytes;
use scylla::{
    client::session::Session,
    statement::batch::{Batch, BatchType},
};
use tidemark_integration::cql::{self, RawRow};

/// Elements of the largest set, each with a write time of its own.
const ELEMENTS: i32 = 100_000;
/// Elements written by one request.
const PART: usize = 1_000;
/// A write time for whatever is to share one, µs.
const ONE_TIME: i64 = 1_700_000_000_000_000;
/// Columns of a table that has more than the destination allows.
const COLUMNS: usize = 40;
/// Statements in use that fill a cache of 1 MiB, and how often each was used.
pub(super) const HOT_STATEMENTS: usize = 600;
pub(super) const HOT_USES: usize = 4;
/// Who prepares new statements at the same time, and who asks with one.
pub(super) const PREPARERS: usize = 4;
pub(super) const ASKED: usize = 128;
/// A KiB.
const KIB: usize = 1024;

/// Tables that come back as they were, as CQL names them, each with its columns besides `pk`.
const WHOLE: [(&str, &[&str]); 4] = [
    ("\"Order\"", &["a", "o", "l", "m"]),
    ("empty", &["v", "l", "s", "m", "f", "n"]),
    ("hundred_thousand", &["s"]),
    ("hot", &["v"]),
];

/// What is refused: object at the destination, key, words of the reason.
pub(super) const REFUSED: [(&str, &str, &str); 3] = [
    ("Copy/big", "partition 0x00000002, row 0x00000001", "1536000 bytes"),
    ("Copy/big", "partition 0x00000003, row 0x00000002", "column_value_size"),
    ("Copy/columns", "", "columns"),
];

/// Rows of `big` that come back: partition, row, bytes of the map, of a, b and c.
const BIG: [(i32, i32, [usize; 4]); 5] = [
    (1, 1, [5 * 1024 * KIB, 0, 0, 0]),
    (1, 2, [0, 700 * KIB, 700 * KIB, 700 * KIB]),
    (2, 2, [0, 1, 0, 0]),
    (3, 1, [0, 2, 0, 0]),
    (3, 3, [0, 3, 0, 0]),
];

/// Makes and fills all tables of the keyspace `"Odd"`.
pub(super) async fn fill(session: &Session) -> Result<()> {
    let columns: Vec<String> = (0..COLUMNS).map(|n| format!("c{n} int")).collect();
    let tables = [
        "CREATE KEYSPACE \"Odd\" WITH replication = {'class': 'SimpleStrategy', 'replication_factor': 1}".to_owned(),
        "CREATE TYPE \"Odd\".\"Address\" (street text, \"Zip Code\" int)".to_owned(),
        "CREATE TYPE \"Odd\".\"order\" (id int, \"Address\" frozen<\"Address\">)".to_owned(),
        "CREATE TABLE \"Odd\".\"Order\" (pk int PRIMARY KEY, a frozen<\"Address\">, o \"order\", \
         l list<frozen<\"order\">>, m map<text, frozen<map<int, frozen<\"Address\">>>>)"
            .to_owned(),
        "CREATE TABLE \"Odd\".big (pk int, ck int, m map<int, blob>, a blob, b blob, c blob, PRIMARY KEY (pk, ck))"
            .to_owned(),
        "CREATE TABLE \"Odd\".empty (pk int PRIMARY KEY, v int, l list<int>, s set<int>, m map<int, int>, \
         f frozen<list<int>>, n frozen<map<int, frozen<list<int>>>>)"
            .to_owned(),
        "CREATE TABLE \"Odd\".hundred_thousand (pk int PRIMARY KEY, s set<int>)".to_owned(),
        "CREATE TABLE \"Odd\".hot (pk int PRIMARY KEY, v int)".to_owned(),
        format!("CREATE TABLE \"Odd\".columns (pk int PRIMARY KEY, {})", columns.join(", ")),
        "INSERT INTO \"Odd\".hot (pk, v) VALUES (1, 1)".to_owned(),
        "INSERT INTO \"Odd\".columns (pk, c1) VALUES (1, 1)".to_owned(),
    ];
    cql::run(session, &tables).await?;
    cql::run(session, &(0..20).map(order).collect::<Vec<_>>()).await?;
    cql::run(session, &empty()).await?;
    big(session).await?;
    hundred_thousand(session).await
}

/// A row whose types have names that need quotes.
fn order(n: i32) -> String {
    let address = format!("{{street: 'street {n}', \"Zip Code\": {n}}}");
    let order = format!("{{id: {n}, \"Address\": {address}}}");
    format!(
        "INSERT INTO \"Odd\".\"Order\" (pk, a, o, l, m) VALUES ({n}, {address}, {order}, [{order}, {order}], \
         {{'k': {{{n}: {address}}}}})"
    )
}

/// Values without bytes, each alone and among others.
fn empty() -> Vec<String> {
    let none = "blob_as_int(0x)";
    let update = |pk: usize, set: &str| format!("UPDATE \"Odd\".empty SET {set} WHERE pk = {pk}");
    let sets = [
        format!("v = {none}"),
        format!("l = l + [1, {none}, 2]"),
        format!("s = s + {{1, {none}}}"),
        format!("m = m + {{1: {none}, {none}: 2, 3: 4}}"),
        format!("f = [{none}, 1]"),
        format!("n = {{{none}: [1, {none}], 2: []}}"),
    ];
    let each = sets.iter().enumerate().map(|(pk, set)| update(pk, set));
    each.chain([update(100, &sets.join(", "))]).collect()
}

async fn big(session: &Session) -> Result<()> {
    let entry = session
        .prepare(format!("UPDATE \"Odd\".big USING TIMESTAMP {ONE_TIME} SET m[?] = ? WHERE pk = ? AND ck = ?"))
        .await?;
    for n in 0..40_i32 {
        session.execute_unpaged(&entry, (n, vec![7_u8; 128 * KIB], 1, 1)).await?;
    }
    for (column, size) in [("a", 700), ("b", 700), ("c", 700)] {
        cell(session, (1, 2), column, size * KIB).await?;
    }
    for (key, size) in [((2, 1), 1_536_000), ((2, 2), 1), ((3, 1), 2), ((3, 2), 950 * KIB), ((3, 3), 3)] {
        cell(session, key, "a", size).await?;
    }
    Ok(())
}

async fn cell(session: &Session, (pk, ck): (i32, i32), column: &str, size: usize) -> Result<()> {
    let text = format!("UPDATE \"Odd\".big USING TIMESTAMP {ONE_TIME} SET {column} = ? WHERE pk = ? AND ck = ?");
    session.query_unpaged(text, (vec![column.as_bytes()[0]; size], pk, ck)).await?;
    Ok(())
}

/// One set of many elements, no two of one time.
async fn hundred_thousand(session: &Session) -> Result<()> {
    let text = "UPDATE \"Odd\".hundred_thousand USING TIMESTAMP ? SET s = s + ? WHERE pk = 1";
    let statement = session.prepare(text).await?;
    let elements: Vec<i32> = (0..ELEMENTS).collect();
    for part in elements.chunks(PART) {
        let mut batch = Batch::new(BatchType::Unlogged);
        part.iter().for_each(|_| batch.append_statement(statement.clone()));
        let values: Vec<(i64, Vec<i32>)> = part.iter().map(|n| (ONE_TIME + i64::from(*n), vec![*n])).collect();
        session.batch(&batch, values).await?;
    }
    Ok(())
}

/// Every byte and write time of the tables that come back whole. (The driver knows no table of this keyspace.)
pub(super) async fn whole_tables_are_as_they_were(session: &Session, from: &str, to: &str) -> Result<()> {
    for (table, columns) in WHOLE {
        let expected = read(session, from, table, columns).await?;
        let found = read(session, to, table, columns).await?;
        ensure!(!expected.is_empty() && expected.len() == found.len(), "{table}: {} rows", found.len());
        for (key, row) in &expected {
            let other = found.get(key).with_context(|| format!("{table} {key:?} is not there"))?;
            for (column, (one, two)) in columns.iter().flat_map(|c| [c, c]).zip(row.iter().zip(other)) {
                ensure!(one == two, "{table} {key:?} {column}: {two:?} instead of {one:?}");
            }
        }
    }
    Ok(())
}

type Rows = BTreeMap<Option<Bytes>, Vec<Option<Bytes>>>;

async fn read(session: &Session, keyspace: &str, table: &str, columns: &[&str]) -> Result<Rows> {
    let selected: Vec<String> = columns.iter().map(|c| format!("{c}, WRITETIME({c})")).collect();
    let query = format!("SELECT pk, {} FROM {keyspace}.{table}", selected.join(", "));
    let found = session.query_unpaged(query, ()).await?.into_rows_result()?;
    let mut rows = Rows::new();
    for row in found.rows::<RawRow>()? {
        let mut values = row?.0.into_iter();
        rows.insert(values.next().flatten(), values.collect());
    }
    Ok(rows)
}

/// Rows of `big`: all of them but the refused, every byte of them.
pub(super) async fn all_but_the_refused_are_there(session: &Session, keyspace: &str) -> Result<()> {
    let query = format!("SELECT pk, ck, m, a, b, c, WRITETIME(a) FROM {keyspace}.big");
    type Row =
        (i32, i32, Option<BTreeMap<i32, Vec<u8>>>, Option<Vec<u8>>, Option<Vec<u8>>, Option<Vec<u8>>, Option<i64>);
    let found = session.query_unpaged(query, ()).await?.into_rows_result()?;
    let mut sizes = Vec::new();
    for row in found.rows::<Row>()? {
        let (pk, ck, m, a, b, c, time) = row?;
        let map: usize = m.unwrap_or_default().values().map(Vec::len).sum();
        let [a, b, c] = [a, b, c].map(|value| value.map_or(0, |value| value.len()));
        ensure!(time.is_none_or(|time| time == ONE_TIME), "{pk}, {ck}: written at {time:?}");
        sizes.push((pk, ck, [map, a, b, c]));
    }
    sizes.sort_unstable();
    ensure!(sizes == BIG, "{sizes:?} instead of {BIG:?}");
    Ok(())
}
