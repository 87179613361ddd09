//! Every type and every shape of table, with one replica that missed writes: the version is one copy of what Cassandra
//! answers, the disagreements are exactly those that were made, and both restores give every row back.

use anyhow::{Result, ensure};
use scylla::client::session::Session;
use tidemark_integration::{
    cassandra::{Cluster, ClusterSpec},
    compare, cql,
    journal::Journal,
    paths,
    system::{Restore, System},
    tables::{self, workload::Workload},
    ties,
};
use tidemark_web::api::VersionDetail;

/// Loopback networks of this test.
const SOURCE: u8 = 10;
const SINGLE: u8 = 11;
/// The replica that misses writes.
const LAGGING: usize = 2;

#[tokio::test(flavor = "multi_thread")]
async fn replicas_that_disagree_become_one_copy_that_restores_to_any_topology() -> Result<()> {
    if !paths::cassandra_or_skip("replicas_that_disagree_become_one_copy_that_restores_to_any_topology") {
        return Ok(());
    }
    let mut source = Cluster::start(ClusterSpec::new("collapse", SOURCE, 3)).await?;
    let session = cql::connect(&source.contact_points()).await?;
    let journal = write_with_a_lagging_replica(&mut source, &session).await?;
    let system = System::start(SOURCE).await?;
    system.add_source("source", &source).await?;

    // Captured before anything is read: reading at ALL repairs what disagrees.
    let version = system.protect("source", "ks/*", "all", &["--write-level", "quorum"]).await?;
    ensure!(version.version.quality == "cut", "quality {}: {:?}", version.version.quality, version.contents);
    expect_figures(&version, &journal, &session, &source.nodes()[LAGGING].address)?;
    let tied = system.protect("source", "tied/*", "tied", &["--write-level", "quorum"]).await?;

    let single = Cluster::start(ClusterSpec::new("single", SINGLE, 1).with_tokens(7)).await?;
    system.add_source("single", &single).await?;
    let id = version.version.id.as_str();
    let to_one = Restore { version: id, to: "single", from: "ks", into: "copy", replication_factor: 1, more: &[] };
    system.restore(&to_one).await?;
    let to_three = Restore { to: "source", into: "copy3", replication_factor: 3, ..to_one };
    system.restore(&to_three).await?;

    let other = cql::connect(&single.contact_points()).await?;
    let tied = Restore { version: &tied.version.id, from: ties::KEYSPACE, into: "untied", ..to_one };
    system.restore(&tied).await?;
    let now = compare::read(&session, ties::KEYSPACE, ties::TABLE).await?;
    ties::expect("Cassandra itself", &now)?;
    now.expect("equal write times", &compare::read(&other, "untied", ties::TABLE).await?)?;
    for table in journal.tables() {
        let now = compare::read(&session, "ks", table).await?;
        journal.image(table)?.expect(&format!("{table} at the source"), &now)?;
        now.expect(&format!("{table} on one node"), &compare::read(&other, "copy", table).await?)?;
        now.expect(&format!("{table} on three nodes"), &compare::read(&session, "copy3", table).await?)?;
    }
    let preview = source.nodetool(0, &["repair", "--full", "--preview", "copy3"])?;
    ensure!(preview.contains("Previewed data was in sync"), "replicas of the restored keyspace differ:\n{preview}");
    Ok(())
}

/// Writes of every kind before, while and after one replica is down; the journal knows which it missed.
async fn write_with_a_lagging_replica(source: &mut Cluster, session: &Session) -> Result<Journal> {
    cql::run(session, &tables::create_keyspace("ks", 3)).await?;
    let tables = tables::all();
    for table in &tables {
        cql::run(session, &table.create("ks")).await?;
    }
    let mut journal = Journal::new("ks", &tables);
    let mut workloads: Vec<_> = tables.iter().map(|table| (table.name, Workload::new(table, 42))).collect();
    for (table, workload) in &mut workloads {
        journal.write(session, table, workload.load()).await?;
    }
    ties::write_first(session).await?;
    source.nodetool_everywhere(&["flush", ties::KEYSPACE])?;
    // Some of what later writes delete is in older files, and one replica has compacted them.
    source.nodetool_everywhere(&["flush", "ks"])?;
    for (table, workload) in &mut workloads {
        journal.write(session, table, workload.changes(150)).await?;
    }
    source.nodetool(0, &["flush", "ks"])?;
    source.nodetool(0, &["compact", "ks"])?;
    let address = source.nodes()[LAGGING].address.clone();
    source.stop(LAGGING).await?;
    for (table, workload) in &mut workloads {
        journal.write_missed_by(session, table, workload.changes(150), &address).await?;
    }
    ties::write_second(session).await?;
    source.restart(LAGGING).await?;
    for (table, workload) in &mut workloads {
        journal.write(session, table, workload.changes(50)).await?;
    }
    journal.settle().await?;
    Ok(journal)
}

/// Rows, static rows and disagreements of every table are those that the journal knows.
fn expect_figures(version: &VersionDetail, journal: &Journal, session: &Session, lagging: &str) -> Result<()> {
    ensure!(version.contents.len() == journal.tables().count(), "objects: {:?}", version.contents);
    for object in &version.contents {
        let table = object.object.trim_start_matches("ks/");
        let image = journal.image(table)?;
        let expected = (image.row_count(), image.static_count(), journal.disagreeing(session, table, lagging)?.len());
        let totals = object.totals;
        let found = (totals.rows as usize, totals.static_rows as usize, totals.disagreeing_rows as usize);
        ensure!(found == expected, "{table}: rows, static rows, disagreements are {found:?}, expected {expected:?}");
        ensure!(expected.2 > 0, "{table}: no disagreement was made, the test proves nothing");
    }
    Ok(())
}
