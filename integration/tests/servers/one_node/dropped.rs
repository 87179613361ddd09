//! A table with a long past: ten thousand columns were dropped, a hundred of them are back. What Cassandra shows comes back, what
//! it ignores does not, and no column gets the id of another.

use std::collections::BTreeSet;

use anyhow::{Context, Result, ensure};
use scylla::client::session::Session;
use tidemark_gateway::Env;
use tidemark_integration::{
    cassandra::Cluster,
    compare::{self, TableImage},
    cql,
    system::Restore,
};
use tidemark_web::api::Quality;

use super::{Shared, schema_change::column_ids};

/// Columns that are added and dropped, and how many by one statement.
const DROPPED: usize = 10_000;
const OF_A_STATEMENT: usize = 1000;
/// Each of this number is added again.
const BACK: usize = 100;

/// Ten thousand dropped columns are no burden.
pub(super) async fn ten_thousand_columns_are_no_burden(shared: &Shared) -> Result<()> {
    let (Shared { cluster, session, system }, env) = (shared, Env::system());
    write(cluster, session).await?;

    let began = env.now();
    let first = system.protect("source", "dropped/*", "dropped", &["--write-level", "all"]).await?;
    ensure!(first.version.quality == Quality::Cut, "quality {}: {:?}", first.version.quality, first.contents);
    let seen = compare::read(session, "dropped", "t").await?;
    expect_seen(&seen)?;
    let copy = Restore {
        version: &first.version.id,
        to: "source",
        from: "dropped",
        into: "dropped_copy",
        replication_factor: 1,
        more: &[],
    };
    system.restore(&copy).await?;
    seen.expect("restored", &compare::read(session, "dropped_copy", "t").await?)?;
    println!("protected and restored in {} s", env.now().as_second() - began.as_second());

    // One more is back: it alone gets a new id.
    cql::run(session, &[alter("ADD", &[1], " int")]).await?;
    let second = system.protect("source", "dropped/*", "dropped", &["--write-level", "all"]).await?;
    let (before, after) = (column_ids(system, &first.version.id)?, column_ids(system, &second.version.id)?);
    ensure!(before.len() == 3 + DROPPED / BACK, "{} columns", before.len());
    ensure!(before.iter().all(|(name, id)| after.get(name) == Some(id)), "{before:?} became {after:?}");
    let new = after.get(&name(1)).context("the column that is back has no id")?;
    ensure!(!before.values().any(|id| id == new), "{new} is the id of another column");
    Ok(())
}

/// Adds, fills and drops columns, then adds some of them again and fills these.
async fn write(cluster: &Cluster, session: &Session) -> Result<()> {
    let keyspace = "CREATE KEYSPACE dropped WITH replication = {'class': 'SimpleStrategy', 'replication_factor': 1}";
    let table = "CREATE TABLE dropped.t (k int, c int, v text, PRIMARY KEY (k, c))";
    cql::run(session, &[keyspace.to_owned(), table.to_owned()]).await?;
    let all: Vec<usize> = (0..DROPPED).collect();
    for columns in all.chunks(OF_A_STATEMENT) {
        let (k, first, last) = (columns[0], name(columns[0]), name(columns[columns.len() - 1]));
        let insert = format!("INSERT INTO dropped.t (k, c, v, {first}, {last}) VALUES ({k}, 1, 'v', 1, 1)");
        cql::run(session, &[alter("ADD", columns, " int"), insert]).await?;
        cluster.nodetool(0, &["flush", "dropped"])?;
        cql::run(session, &[alter("DROP", columns, "")]).await?;
    }
    let back: Vec<usize> = all.into_iter().step_by(BACK).collect();
    let (newest, older) = (name(0), name(OF_A_STATEMENT));
    let inserts = [
        format!("INSERT INTO dropped.t (k, c, v, {newest}) VALUES (0, 2, 'new', 2)"),
        // Older than the drop: Cassandra ignores it once it is in a file.
        format!("UPDATE dropped.t USING TIMESTAMP 1000 SET {older} = 9 WHERE k = 0 AND c = 2"),
    ];
    cql::run(session, &[alter("ADD", &back, " int")]).await?;
    cql::run(session, &inserts).await?;
    cluster.nodetool(0, &["flush", "dropped"])?;
    let history =
        "SELECT column_name FROM system_schema.dropped_columns WHERE keyspace_name = 'dropped' AND table_name = 't'";
    let rows = session.query_unpaged(history, ()).await?.into_rows_result()?.rows_num();
    ensure!(rows == DROPPED, "{rows} dropped columns");
    Ok(())
}

/// Of what was in columns that were dropped, nothing is seen; of those that are back, what was written since.
fn expect_seen(seen: &TableImage) -> Result<()> {
    let columns: BTreeSet<&str> = seen.rows.values().flat_map(|row| row.columns.keys()).map(String::as_str).collect();
    ensure!(columns == BTreeSet::from(["v", &name(0)]), "columns with values: {columns:?}");
    ensure!(seen.row_count() == DROPPED / OF_A_STATEMENT + 1, "{} rows", seen.row_count());
    Ok(())
}

fn name(column: usize) -> String {
    format!("d{column:05}")
}

/// `ALTER TABLE` of some columns; `cql_type` follows each name.
fn alter(verb: &str, columns: &[usize], cql_type: &str) -> String {
    let columns: Vec<String> = columns.iter().map(|column| format!("{}{cql_type}", name(*column))).collect();
    format!("ALTER TABLE dropped.t {verb} ({})", columns.join(", "))
}
