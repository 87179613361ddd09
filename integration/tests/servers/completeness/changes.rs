//! What changes between the captures of two nodes.
//!
//! The first listener that is about to flush is held there until the others have taken their snapshots.

use std::{
    fs,
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    },
    time::Duration,
};

use anyhow::{Context, Result, ensure};
use scylla::client::session::Session;
use serde_json::{Value, json};
use tidemark_integration::{
    cassandra::Cluster,
    cql,
    system::{self, STORE, System, made},
    wait::{self, Look},
};
use tidemark_listener_cassandra::connect;
use tidemark_web::api::Operation;
use tokio_util::sync::CancellationToken;

use super::{WRITTEN, held::Held};

/// Rows of each table.
const ROWS: i32 = 200;
/// Where a listener is held.
const POINT: &str = "before-flush";
/// Longest time until the other nodes have taken their snapshots.
const TAKEN: Duration = Duration::from_secs(120);

/// Makes tables with rows on every node.
pub(super) async fn create_and_fill(session: &Session) -> Result<()> {
    for (keyspace, replicas, tables) in [("small", 3, &["storm", "emptied", "haunted"][..]), ("one", 1, &["moved"])] {
        let replication = format!("{{'class': 'SimpleStrategy', 'replication_factor': {replicas}}}");
        cql::run(session, &[format!("CREATE KEYSPACE {keyspace} WITH replication = {replication}")]).await?;
        for table in tables {
            cql::run(session, &[format!("CREATE TABLE {keyspace}.{table} (k int PRIMARY KEY, v text)")]).await?;
            let insert = session.prepare(format!("INSERT INTO {keyspace}.{table} (k, v) VALUES (?, ?)")).await?;
            for key in 0..ROWS {
                session.execute_unpaged(&insert, (key, format!("row {key}"))).await?;
            }
        }
    }
    Ok(())
}

/// A whole row of a node that is gone, in the system tables of one node: it is named and ignored.
pub(super) async fn a_ghost_is_named_and_ignored(system: &System, cluster: &Cluster) -> Result<()> {
    let ghost = format!("127.0.{WRITTEN}.99");
    let node = connect::connect_node(&cluster.contact_points()[0], None).await?;
    let values = "'dc', 11111111-2222-3333-4444-555555555555, 'rack1', '5.0.9', \
                  11111111-2222-3333-4444-555555555556, {'1234567890'})";
    let columns = "data_center, host_id, rack, release_version, schema_version, tokens)";
    let rows = [
        format!(
            "INSERT INTO system.peers_v2 (peer, peer_port, native_address, native_port, {columns} \
             VALUES ('{ghost}', 7000, '{ghost}', 9042, {values}"
        ),
        format!("INSERT INTO system.peers (peer, rpc_address, {columns} VALUES ('{ghost}', '{ghost}', {values}"),
    ];
    cql::run(&node, &rows).await?;
    let operation = protect(system, "written", "small/haunted", "haunted").await?;
    expect_whole(system, &operation, "small/haunted")?;
    let notes = notes(&operation);
    let statement = format!("DELETE FROM system.peers_v2 WHERE peer = '{ghost}' AND peer_port = 7000");
    ensure!(notes.iter().any(|note| note.contains(&statement)), "the ghost is not named: {notes:?}");
    let remove = [format!("{statement};"), format!("DELETE FROM system.peers WHERE peer = '{ghost}'")];
    cql::run(&node, &remove).await
}

/// Tables of the same keyspace are made, altered and dropped all the time, one of them and more between the two looks: nothing is
/// taken again for that.
pub(super) async fn other_tables_may_change(system: &mut System, session: &cql::Shared) -> Result<()> {
    cql::run(session, &[table("before")]).await?;
    let held = system.hold_at(POINT, &[], &arguments("written", "small/storm", "storm")).await?;
    cql::run(session, &["DROP TABLE small.before".to_owned(), table("after")]).await?;
    let (stop, changes) = (CancellationToken::new(), Arc::new(AtomicU32::new(0)));
    let storm = tokio::spawn(come_and_go(session.clone(), stop.clone(), changes.clone()));
    wait::until("tables that come and go", TAKEN, async || {
        let seen = changes.load(Ordering::Relaxed);
        Ok(Look::when(seen > 1 || storm.is_finished(), || format!("{seen} did")))
    })
    .await?;
    held.let_go()?;
    let outcome = held.outcome().await;
    stop.cancel();
    storm.await??;
    let changes = changes.load(Ordering::Relaxed);
    ensure!(changes > 2, "only {changes} tables came and went");
    let operation = outcome?.operation()?;
    expect_whole(system, &operation, "small/storm")?;
    ensure!(notes(&operation).is_empty(), "something was taken again: {:?}", notes(&operation));
    Ok(())
}

/// Makes, alters and drops one table after the other, and counts them.
async fn come_and_go(session: cql::Shared, stop: CancellationToken, changes: Arc<AtomicU32>) -> Result<()> {
    while !stop.is_cancelled() {
        let name = format!("other{}", changes.load(Ordering::Relaxed));
        let alter = format!("ALTER TABLE small.{name} ADD v int");
        cql::run(&session, &[table(&name), alter, format!("DROP TABLE small.{name}")]).await?;
        changes.fetch_add(1, Ordering::Relaxed);
    }
    Ok(())
}

/// The statement that makes another table.
fn table(name: &str) -> String {
    format!("CREATE TABLE small.{name} (k int PRIMARY KEY)")
}

/// A TRUNCATE between the snapshots of two nodes brings nothing back.
pub(super) async fn a_truncation_between_two_nodes_holds(
    system: &mut System,
    cluster: &Cluster,
    session: &Session,
) -> Result<()> {
    let held = system.hold_at(POINT, &[], &arguments("written", "small/emptied", "emptied")).await?;
    taken(cluster, "small", "emptied", 2).await?;
    cql::run(session, &["TRUNCATE small.emptied".to_owned()]).await?;
    held.let_go()?;
    let operation = held.outcome().await?.operation()?;
    let held = Held::read(system, &made(&operation)?, "small/emptied")?;
    ensure!(held.quality == "cut", "quality {}", held.quality);
    ensure!(held.keys.is_empty(), "{} rows came back after a TRUNCATE", held.keys.len());
    ensure!(!notes(&operation).is_empty(), "nobody is told that the table was taken again");
    Ok(())
}

/// The only replica of some rows leaves, and hands them to a node whose snapshot was taken before. Last: the node is gone.
pub(super) async fn a_departure_between_two_nodes_loses_nothing(system: &mut System, cluster: &Cluster) -> Result<()> {
    let mut pair = system::specification(cluster);
    pair["nodes"].as_array_mut().context("no nodes")?.truncate(2);
    pair["contact"] = json!(&cluster.contact_points()[..2]);
    system.add_source_as("pair", &pair).await?;
    let held = system.hold_at(POINT, &[], &arguments("pair", "one/moved", "moved")).await?;
    taken(cluster, "one", "moved", 1).await?;
    cluster.nodetool(2, &["decommission", "--force"])?;
    held.let_go()?;
    let operation = held.outcome().await?.operation()?;
    expect_whole(system, &operation, "one/moved")?;
    let notes = notes(&operation);
    ensure!(notes.iter().any(|note| note.contains("captures were made")), "nothing was taken again: {notes:?}");
    Ok(())
}

fn arguments(source: &str, object: &str, policy: &str) -> Vec<String> {
    let own = ["protect", source, "--object", object, "--to", STORE, "--policy", policy, "--write-level", "quorum"];
    own.into_iter().chain(["--wait"]).map(str::to_owned).collect()
}

async fn protect(system: &System, source: &str, object: &str, policy: &str) -> Result<Operation> {
    let arguments = arguments(source, object, policy);
    system.cli.json(&arguments.iter().map(String::as_str).collect::<Vec<_>>()).await
}

fn notes(operation: &Operation) -> Vec<String> {
    let notes = operation.result.as_ref().and_then(|result| result["notes"].as_array());
    notes.into_iter().flatten().filter_map(Value::as_str).map(str::to_owned).collect()
}

fn expect_whole(system: &System, operation: &Operation, object: &str) -> Result<()> {
    let held = Held::read(system, &made(operation)?, object)?;
    ensure!(held.quality == "cut", "{object}: quality {}: {:?}", held.quality, notes(operation));
    let count = usize::try_from(ROWS)?;
    ensure!(held.keys.len() == count, "{object}: {} of {count} rows are in the version", held.keys.len());
    Ok(())
}

/// Waits until so many nodes have a snapshot of the table.
async fn taken(cluster: &Cluster, keyspace: &str, table: &str, nodes: usize) -> Result<()> {
    wait::until("snapshots on the other nodes", TAKEN, async || {
        let mut found = 0;
        for node in cluster.nodes() {
            found += usize::from(has_snapshot(&node.data_dir().join(keyspace), table)?);
        }
        Ok(Look::when(found >= nodes, || format!("{found} nodes have one")))
    })
    .await
}

/// True where the table has a snapshot that is whole: its manifest is written last.
fn has_snapshot(keyspace: &std::path::Path, table: &str) -> Result<bool> {
    for directory in fs::read_dir(keyspace)? {
        let directory = directory?;
        let snapshots = directory.path().join("snapshots");
        if !directory.file_name().to_string_lossy().starts_with(&format!("{table}-")) || !snapshots.exists() {
            continue;
        }
        for snapshot in fs::read_dir(snapshots)? {
            if snapshot?.path().join("manifest.json").exists() {
                return Ok(true);
            }
        }
    }
    Ok(false)
}
