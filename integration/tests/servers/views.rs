//! What Cassandra builds from a table's rows is made again after they are restored: secondary and storage-attached indexes,
//! and materialised views where the destination allows them. Views themselves are not captured.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::SocketAddr,
};

use anyhow::{Context, Result, ensure};
use scylla::{
    client::{execution_profile::ExecutionProfile, session::Session, session_builder::SessionBuilder},
    policies::load_balancing::{NodeIdentifier, SingleTargetLoadBalancingPolicy},
    statement::Consistency,
};
use serde_json::Value;
use tidemark_integration::{
    cassandra::{Cluster, ClusterSpec},
    cql, paths,
    system::{Restore, System},
};

/// Loopback networks of this test.
const ALLOWS: u8 = 108;
const FORBIDS: u8 = 109;
/// Rows of the table; a tenth of them has each status.
const ROWS: i32 = 1_000;

#[tokio::test(flavor = "multi_thread")]
async fn indexes_and_views_are_built_when_a_restore_ends() -> Result<()> {
    if !paths::cassandra_or_skip("indexes_and_views_are_built_when_a_restore_ends") {
        return Ok(());
    }
    let spec = ClusterSpec::new("views", ALLOWS, 3).with_setting("materialized_views_enabled", "true");
    let cluster = Cluster::start(spec).await?;
    let session = cql::connect(&cluster.contact_points()).await?;
    fill(&session).await?;
    let system = System::start(ALLOWS).await?;
    system.add_source("source", &cluster).await?;
    let version = system.protect("source", "ks/*", "all", &["--write-level", "all"]).await?;
    let objects: Vec<&str> = version.contents.iter().map(|object| object.object.as_str()).collect();
    ensure!(objects == ["ks/orders"], "captured are {objects:?}");

    let id = version.version.id.as_str();
    let with_views = Restore { version: id, to: "source", from: "ks", into: "copy", replication_factor: 3, more: &[] };
    system.restore(&with_views).await?;
    for node in cluster.nodes() {
        expect_built(&node.address, "copy", &["by_note", "by_status"], &["by_customer"]).await?;
    }
    expect_answers(&session, "copy").await?;
    let found: BTreeMap<(i32, i32), String> =
        select(&session, "SELECT customer, k, status FROM copy.by_customer").await?;
    let expected: BTreeMap<(i32, i32), String> = (0..ROWS).map(|k| ((k % 7, k), status(k))).collect();
    ensure!(found == expected, "the view holds {} rows", found.len());

    let forbids = Cluster::start(ClusterSpec::new("plain", FORBIDS, 1)).await?;
    system.add_source("plain", &forbids).await?;
    let without = Restore { to: "plain", replication_factor: 1, ..with_views };
    let plan = system.plan(&without).await?;
    let is_warned = |check: &Value| check["name"] == "view" && check["detail"].to_string().contains("by_customer");
    ensure!(plan["checks"].as_array().context("no checks")?.iter().any(is_warned), "{plan}");
    system.restore(&without).await?;
    expect_built(&forbids.nodes()[0].address, "copy", &["by_note", "by_status"], &[]).await?;
    expect_answers(&cql::connect(&forbids.contact_points()).await?, "copy").await
}

fn status(k: i32) -> String {
    format!("status {}", k % 10)
}

async fn fill(session: &Session) -> Result<()> {
    let create = [
        "CREATE KEYSPACE ks WITH replication = {'class': 'SimpleStrategy', 'replication_factor': 3}",
        "CREATE TABLE ks.orders (k int PRIMARY KEY, customer int, status text, note text)",
        "CREATE INDEX by_status ON ks.orders (status)",
        "CREATE CUSTOM INDEX by_note ON ks.orders (note) USING 'StorageAttachedIndex'",
        "CREATE MATERIALIZED VIEW ks.by_customer AS SELECT customer, k, status FROM ks.orders \
         WHERE customer IS NOT NULL AND k IS NOT NULL PRIMARY KEY (customer, k) WITH CLUSTERING ORDER BY (k DESC)",
    ];
    cql::run(session, &create.map(str::to_owned)).await?;
    let insert = session.prepare("INSERT INTO ks.orders (k, customer, status, note) VALUES (?, ?, ?, ?)").await?;
    for k in 0..ROWS {
        session.execute_unpaged(&insert, (k, k % 7, status(k), format!("note {k}"))).await?;
    }
    Ok(())
}

/// Fails unless the node itself has built all of these.
async fn expect_built(address: &str, keyspace: &str, indexes: &[&str], views: &[&str]) -> Result<()> {
    let address: SocketAddr = format!("{address}:9042").parse()?;
    let policy = SingleTargetLoadBalancingPolicy::new(NodeIdentifier::NodeAddress(address), None);
    let profile = ExecutionProfile::builder().consistency(Consistency::One).load_balancing_policy(policy).build();
    let builder =
        SessionBuilder::new().known_node_addr(address).default_execution_profile_handle(profile.into_handle());
    let session = builder.build().await?;
    let tables = [
        ("SELECT index_name FROM system.\"IndexInfo\" WHERE table_name = ?", indexes),
        ("SELECT view_name FROM system.built_views WHERE keyspace_name = ?", views),
    ];
    for (query, expected) in tables {
        let found = session.query_unpaged(query, (keyspace,)).await?.into_rows_result()?;
        let found: BTreeSet<String> =
            found.rows::<(String,)>()?.map(|row| row.map(|row| row.0)).collect::<Result<_, _>>()?;
        let expected: BTreeSet<String> = expected.iter().map(|name| (*name).to_owned()).collect();
        ensure!(found == expected, "{address} has built {found:?}, expected {expected:?}");
    }
    Ok(())
}

/// Both indexes answer with the rows that were written.
async fn expect_answers(session: &Session, keyspace: &str) -> Result<()> {
    let query = format!("SELECT k, customer, status FROM {keyspace}.orders WHERE status = 'status 3'");
    let found: BTreeMap<(i32, i32), String> = select(session, &query).await?;
    let expected: BTreeMap<(i32, i32), String> =
        (0..ROWS).filter(|k| k % 10 == 3).map(|k| ((k, k % 7), status(k))).collect();
    ensure!(found == expected, "the secondary index answers with {} rows", found.len());
    let query = format!("SELECT k, customer, status FROM {keyspace}.orders WHERE note = 'note 77'");
    let found: BTreeMap<(i32, i32), String> = select(session, &query).await?;
    ensure!(found == BTreeMap::from([((77, 0), status(77))]), "the storage-attached index answers with {found:?}");
    Ok(())
}

/// Rows of two numbers and a text, read at ALL.
async fn select(session: &Session, query: &str) -> Result<BTreeMap<(i32, i32), String>> {
    let found = session.query_unpaged(query, ()).await.with_context(|| query.to_owned())?.into_rows_result()?;
    let rows = found.rows::<(i32, i32, String)>()?.map(|row| row.map(|(a, b, text)| ((a, b), text)));
    Ok(rows.collect::<Result<_, _>>()?)
}
