//! Rows that a node no longer owns stay in its files until `nodetool cleanup`: what was deleted meanwhile must not come
//! back from them.

use anyhow::{Result, ensure};
use scylla::client::session::Session;
use tidemark_integration::{
    cassandra::{Cluster, ClusterSpec},
    compare,
    cql::{self, Raw, Values},
    paths,
    system::{Restore, System},
};

/// Loopback network of this test.
const GROUP: u8 = 20;
/// Partitions written; every fourth is deleted after the new node joined.
const PARTITIONS: i32 = 400;

#[tokio::test(flavor = "multi_thread")]
async fn what_was_deleted_after_a_node_joined_does_not_come_back_from_files_of_former_owners() -> Result<()> {
    if !paths::cassandra_or_skip("what_was_deleted_after_a_node_joined_does_not_come_back_from_files_of_former_owners")
    {
        return Ok(());
    }
    let mut cluster = Cluster::start(ClusterSpec::new("ownership", GROUP, 2)).await?;
    let session = cql::connect(&cluster.contact_points()).await?;
    create_and_fill(&session).await?;
    cluster.nodetool_everywhere(&["flush", "ks"])?;
    let joined = cluster.add(&format!("127.0.{GROUP}.3")).await?;
    let joined_address = cluster.nodes()[joined].address.clone();

    let session = cql::connect(&cluster.contact_points()).await?;
    let moved = owned_by(&session, &joined_address)?;
    ensure!(moved.len() > 20, "only {} partitions moved to the new node", moved.len());
    let deleted = delete_every_fourth(&session).await?;
    ensure!(moved.iter().any(|key| deleted.contains(key)), "no partition that moved was deleted");
    // gc_grace is 0: compaction purges the deletions, and nothing is left that would cover the former owners' rows.
    cluster.nodetool_everywhere(&["flush", "ks"])?;
    cluster.nodetool(joined, &["compact", "ks"])?;

    let system = System::start(GROUP).await?;
    system.add_source("grown", &cluster).await?;
    let version = system.protect("grown", "ks/*", "grown", &["--write-level", "one"]).await?;
    let totals = version.version.totals;
    ensure!(totals.rows as usize == PARTITIONS as usize - deleted.len(), "{totals:?}, {} deleted", deleted.len());
    let dropped = totals.not_owned_partitions as usize;
    ensure!(dropped == moved.len(), "{dropped} partitions dropped as not owned, {} moved", moved.len());

    let id = version.version.id.as_str();
    let copy = Restore { version: id, to: "grown", from: "ks", into: "copy", replication_factor: 2, more: &[] };
    system.restore(&copy).await?;
    let expected = compare::read(&session, "ks", "t").await?;
    expected.expect("the restored table", &compare::read(&session, "copy", "t").await?)
}

async fn create_and_fill(session: &Session) -> Result<()> {
    let create = [
        "CREATE KEYSPACE ks WITH replication = {'class': 'SimpleStrategy', 'replication_factor': 1}",
        "CREATE TABLE ks.t (pk int PRIMARY KEY, v text) WITH gc_grace_seconds = 0",
    ];
    cql::run(session, &create.map(str::to_owned)).await?;
    let insert = session.prepare("INSERT INTO ks.t (pk, v) VALUES (?, ?)").await?;
    for key in 0..PARTITIONS {
        session.execute_unpaged(&insert, (key, format!("value {key}"))).await?;
    }
    Ok(())
}

fn owned_by(session: &Session, address: &str) -> Result<Vec<i32>> {
    let mut owned = Vec::new();
    for key in 0..PARTITIONS {
        let partition = [bytes::Bytes::copy_from_slice(&key.to_be_bytes())];
        if cql::replicas(session, "ks", "t", &partition)?.iter().any(|replica| replica == address) {
            owned.push(key);
        }
    }
    Ok(owned)
}

async fn delete_every_fourth(session: &Session) -> Result<Vec<i32>> {
    let delete = session.prepare("DELETE FROM ks.t WHERE pk = ?").await?;
    let deleted: Vec<i32> = (0..PARTITIONS).step_by(4).collect();
    for key in &deleted {
        session.execute_unpaged(&delete, Values(vec![Raw::int(*key)])).await?;
    }
    Ok(deleted)
}
