//! Every type and every shape of table, with one replica that missed writes: the version is one copy of what Cassandra
//! answers, the disagreements are exactly those that were made, and both restores give every row back.

use anyhow::{Result, ensure};
use tidemark_integration::{
    cassandra::{Cluster, ClusterSpec},
    compare, cql,
    journal::lagging,
    paths,
    system::{Restore, System},
    tables, ties,
};

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
    ties::write_first(&session).await?;
    source.nodetool_everywhere(&["flush", ties::KEYSPACE])?;
    let second = async || ties::write_second(&session).await;
    let journal = lagging::write_and(&mut source, &session, &tables::all(), LAGGING, second).await?;
    let system = System::start(SOURCE).await?;
    system.add_source("source", &source).await?;

    // Captured before anything is read: reading at ALL repairs what disagrees.
    let version = system.protect("source", "ks/*", "all", &["--write-level", "quorum"]).await?;
    ensure!(version.version.quality == "cut", "quality {}: {:?}", version.version.quality, version.contents);
    lagging::expect_figures(&version, &journal, &session, &source.nodes()[LAGGING].address)?;
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
