//! Tables after a mass delete: `TIDEMARK_DELETED` deleted rows in one range and in one partition, two and a half times what a server
//! reads over.

use anyhow::{Result, ensure};
use futures::{StreamExt, TryStreamExt, stream};
use scylla::{
    client::session::Session,
    statement::batch::{Batch, BatchType},
};
use tidemark_cassandra_format::token::murmur3;
use tidemark_integration::{cassandra::Cluster, cql, environment::number, system::System};

use super::{
    engine::{Engine, Options},
    instant, run_all,
};

/// Deletions of one request.
const BATCH: i32 = 1_000;
/// Partitions of the table with many.
const MANY: usize = 250;
/// Rows of the version in the one partition, and in the many together.
const ROWS: i32 = 500;

/// Deleted rows of a table: a multiple of the rows of the version and of the partitions.
fn deleted() -> Result<i32> {
    Ok(number("TIDEMARK_DELETED", 25_000)?.try_into()?)
}

/// Deleted rows that a server reads over, at most: by default with 250,000 deleted rows.
pub(super) fn read_over() -> Result<i32> {
    Ok(deleted()? / 5 * 2)
}

pub(super) async fn ranges_full_of_deleted_rows_are_halved(
    system: &System,
    cluster: &Cluster,
    session: &Session,
) -> Result<()> {
    let create = [
        "CREATE KEYSPACE gone WITH replication = {'class': 'SimpleStrategy', 'replication_factor': 1}",
        "CREATE TABLE gone.many (pk int, ck int, v int, PRIMARY KEY (pk, ck))",
        "CREATE TABLE gone.one (pk int, ck int, v int, PRIMARY KEY (pk, ck))",
    ];
    cql::run(session, &create.map(str::to_owned)).await?;
    let deleted = deleted()?;
    // Rows of the version stand between those that are deleted.
    let own = |table: &'static str| {
        let keys = keys(table, deleted);
        let insert = move |(n, (pk, ck)): (usize, (i32, i32))| {
            format!("INSERT INTO gone.{table} (pk, ck, v) VALUES ({pk}, {ck}, {n})")
        };
        keys.into_iter().enumerate().map(insert)
    };
    run_all(session, own("one").chain(own("many")).collect()).await?;
    system.protect("source", "gone/*", "gone", &["--write-level", "all"]).await?;
    for table in ["one", "many"] {
        let partitions = partitions(table);
        delete(session, table, deleted).await?;
        // A row that the version does not have is found between the deleted ones.
        let (pk, ck) = (partitions[0], deleted / partitions.len() as i32 / 10 * 7);
        run_all(session, vec![format!("INSERT INTO gone.{table} (pk, ck, v) VALUES ({pk}, {ck}, -1)")]).await?;
        let whole = session.query_unpaged(format!("SELECT * FROM gone.{table} LIMIT 5000"), ()).await;
        ensure!(whole.is_err(), "{table} is read in one piece: nothing would be halved");
        let engine = Engine::new(system, cluster, &format!("gone/{table}")).await?;
        let count = engine.count(Options::default()).await?;
        ensure!(count.come_back as i32 == ROWS && count.would_be_removed == 1, "{table}: {count:?}");
        ensure!(count.unreadable_ranges.is_empty(), "{table}: {count:?}");
        let report = engine.run(instant().await?, Options { remove: true, ..Options::default() }).await?;
        println!("{table}: {report:?}");
        ensure!(report.rows_written as i32 == ROWS && report.rows_removed == 1, "{table}: {report:?}");
        ensure!(report.differing_rows == 0 && report.warnings.is_empty(), "{table}: {report:?}");
        let found = read_by_key(session, table, deleted).await?;
        ensure!(found == ROWS, "{table}: {found} of {ROWS} rows are there by key");
    }
    Ok(())
}

/// Deletes rows, those of the version and those that never were, row by row.
async fn delete(session: &Session, table: &str, deleted: i32) -> Result<()> {
    let statement = session.prepare(format!("DELETE FROM gone.{table} WHERE pk = ? AND ck = ?")).await?;
    let partitions = partitions(table);
    let rows = deleted / partitions.len() as i32;
    let requests = partitions.into_iter().flat_map(|pk| (0..rows).step_by(BATCH as usize).map(move |from| (pk, from)));
    let send = |(pk, from): (i32, i32)| {
        let keys: Vec<(i32, i32)> = (from..(from + BATCH).min(rows)).map(|ck| (pk, ck)).collect();
        let mut batch = Batch::new(BatchType::Unlogged);
        keys.iter().for_each(|_| batch.append_statement(statement.clone()));
        async move { session.batch(&batch, keys).await.map(drop) }
    };
    Ok(stream::iter(requests).map(send).buffer_unordered(8).try_collect().await?)
}

/// Rows of the version that are there, each looked for by its key.
async fn read_by_key(session: &Session, table: &str, deleted: i32) -> Result<i32> {
    let statement = session.prepare(format!("SELECT v FROM gone.{table} WHERE pk = ? AND ck = ?")).await?;
    let look = |(n, key): (usize, (i32, i32))| {
        let statement = statement.clone();
        async move {
            let found = session.execute_unpaged(&statement, key).await?.into_rows_result()?;
            let value = found.maybe_first_row::<(i32,)>()?;
            anyhow::Ok(i32::from(value == Some((n as i32,))))
        }
    };
    let looks = stream::iter(keys(table, deleted).into_iter().enumerate()).map(look).buffer_unordered(16);
    let found: Vec<i32> = looks.try_collect().await?;
    Ok(found.into_iter().sum())
}

/// The table's partitions: one, or many whose tokens are in one range that is read at once.
fn partitions(table: &str) -> Vec<i32> {
    let in_range = |pk: &i32| (1..1 << 58).contains(&murmur3(&pk.to_be_bytes()));
    match table {
        "one" => vec![1],
        _ => (0..).filter(in_range).take(MANY).collect(),
    }
}

/// Keys of the version's rows, evenly between those that never were.
fn keys(table: &str, deleted: i32) -> Vec<(i32, i32)> {
    let partitions = partitions(table);
    let each = ROWS / partitions.len() as i32;
    let step = deleted / ROWS;
    partitions.into_iter().flat_map(|pk| (0..each).map(move |n| (pk, n * step + 1))).collect()
}
