//! A keyspace of three replicas, one of which missed writes, and what a version of it must say.

use anyhow::{Result, ensure};
use scylla::client::session::Session;
use tidemark_web::api::VersionDetail;

use super::Journal;
use crate::{
    cassandra::Cluster,
    cql,
    tables::{self, Table, workload::Workload},
};

/// Keyspace that [`write()`] fills.
pub const KEYSPACE: &str = "ks";

/// Writes of every kind before, while and after one replica is down; the journal knows which it missed.
///
/// # Errors
/// Where a write fails or a node does not come back.
pub async fn write(source: &mut Cluster, session: &Session, tables: &[Table], lagging: usize) -> Result<Journal> {
    write_and(source, session, tables, lagging, async || Ok(())).await
}

/// As [`write()`], with more that is written while the replica is down.
///
/// # Errors
/// As [`write()`].
pub async fn write_and(
    source: &mut Cluster,
    session: &Session,
    tables: &[Table],
    lagging: usize,
    while_down: impl AsyncFnOnce() -> Result<()>,
) -> Result<Journal> {
    cql::run(session, &tables::create_keyspace(KEYSPACE, 3)).await?;
    for table in tables {
        cql::run(session, &table.create(KEYSPACE)).await?;
    }
    let mut journal = Journal::new(KEYSPACE, tables);
    let mut workloads: Vec<_> = tables.iter().map(|table| (table.name, Workload::new(table, 42))).collect();
    for (table, workload) in &mut workloads {
        journal.write(session, table, workload.load()).await?;
    }
    // Some of what later writes delete is in older files, and one replica has compacted them.
    source.nodetool_everywhere(&["flush", KEYSPACE])?;
    for (table, workload) in &mut workloads {
        journal.write(session, table, workload.changes(150)).await?;
    }
    source.nodetool(0, &["flush", KEYSPACE])?;
    source.nodetool(0, &["compact", KEYSPACE])?;
    let address = source.nodes()[lagging].address.clone();
    source.stop(lagging).await?;
    for (table, workload) in &mut workloads {
        journal.write_missed_by(session, table, workload.changes(150), &address).await?;
    }
    while_down().await?;
    source.restart(lagging).await?;
    for (table, workload) in &mut workloads {
        journal.write(session, table, workload.changes(50)).await?;
    }
    journal.settle().await?;
    Ok(journal)
}

/// Rows, static rows and disagreements of every table of the journal are those that it knows.
///
/// # Errors
/// Naming the table and both figures.
pub fn expect_figures(version: &VersionDetail, journal: &Journal, session: &Session, lagging: &str) -> Result<()> {
    let of_journal =
        |name: &str| name.strip_prefix(KEYSPACE).and_then(|name| name.strip_prefix('/')).map(str::to_owned);
    let contents: Vec<_> = version.contents.iter().filter_map(|o| Some((of_journal(&o.object)?, o.totals))).collect();
    ensure!(contents.len() == journal.tables().count(), "objects: {:?}", version.contents);
    for (table, totals) in contents {
        let image = journal.image(&table)?;
        let expected = (image.row_count(), image.static_count(), journal.disagreeing(session, &table, lagging)?.len());
        let found = (totals.rows as usize, totals.static_rows as usize, totals.disagreeing_rows as usize);
        ensure!(found == expected, "{table}: rows, static rows, disagreements are {found:?}, expected {expected:?}");
        ensure!(expected.2 > 0, "{table}: no disagreement was made, the test proves nothing");
    }
    Ok(())
}
