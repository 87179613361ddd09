//! Crashes at the worst moments: the daemon and its listeners are killed at named points and started again; nothing is
//! lost, nothing is there twice, nothing is left behind.

use anyhow::{Context, Result, ensure};
use bytes::Bytes;
use scylla::client::session::Session;
use tidemark_integration::{
    cassandra::{Cluster, ClusterSpec},
    compare::{self, TableImage},
    cql, paths,
    system::{Restore, STORE, System},
};
use tidemark_web::api::{Operation, OperationState, Quality, Version};

/// Loopback network of this test.
const GROUP: u8 = 40;
/// Rows of the table; each has a list of three.
const ROWS: i32 = 2_000;
/// Points of a protect operation, in order.
const PROTECT_POINTS: [&str; 4] = ["mid-upload", "mid-consolidation", "before-manifest", "after-manifest"];

#[tokio::test(flavor = "multi_thread")]
async fn a_crash_at_any_point_loses_nothing_and_doubles_nothing() -> Result<()> {
    if !paths::cassandra_or_skip("a_crash_at_any_point_loses_nothing_and_doubles_nothing") {
        return Ok(());
    }
    let cluster = Cluster::start(ClusterSpec::new("kills", GROUP, 2)).await?;
    let session = cql::connect(&cluster.contact_points()).await?;
    create_and_fill(&session).await?;
    let expected = compare::read(&session, "ks", "lists").await?;
    ensure!(expected.row_count() == ROWS as usize, "{} rows were written", expected.row_count());

    let mut system = System::start(GROUP).await?;
    system.add_source("source", &cluster).await?;
    for point in PROTECT_POINTS {
        protect_survives(&mut system, point).await.with_context(|| format!("killed at {point}"))?;
    }
    let first = system.versions().await?.first().context("no version")?.clone();
    restore_survives(&mut system, &session, &first, &expected).await.context("killed at mid-restore")?;
    the_bucket_alone_restores(&mut system, &session, &expected).await?;
    for index in 0..cluster.nodes().len() {
        let snapshots = cluster.nodetool(index, &["listsnapshots"])?;
        ensure!(snapshots.contains("no snapshots"), "a snapshot was left behind:\n{snapshots}");
    }
    Ok(())
}

async fn create_and_fill(session: &Session) -> Result<()> {
    let create = [
        "CREATE KEYSPACE ks WITH replication = {'class': 'SimpleStrategy', 'replication_factor': 2}",
        "CREATE TABLE ks.lists (pk int, ck int, l list<int>, v text, PRIMARY KEY (pk, ck))",
    ];
    cql::run(session, &create.map(str::to_owned)).await?;
    let insert = session.prepare("INSERT INTO ks.lists (pk, ck, l, v) VALUES (?, ?, ?, ?)").await?;
    for number in 0..ROWS {
        let list = vec![number, number + 1, number + 2];
        session.execute_unpaged(&insert, (number / 10, number % 10, list, format!("row {number}"))).await?;
    }
    Ok(())
}

async fn protect_survives(system: &mut System, point: &str) -> Result<()> {
    let protect = ["protect", "source", "--object", "ks/*", "--to", STORE, "--policy", point, "--wait"];
    system.crash_at(point, &protect.map(str::to_owned)).await?;
    let operation = system.newest_done().await?;
    ensure!(operation.state == OperationState::Succeeded, "{operation:?}");
    let versions: Vec<Version> =
        system.versions().await?.into_iter().filter(|version| version.id.contains(point)).collect();
    ensure!(versions.len() == 1, "{} versions: {versions:?}", versions.len());
    ensure!(versions[0].totals.rows == ROWS as u64 && versions[0].quality == Quality::Cut, "{:?}", versions[0]);
    let verified: Operation = system.cli.json(&["version", "verify", &versions[0].id, "--wait"]).await?;
    ensure!(verified.state == OperationState::Succeeded, "{verified:?}");
    Ok(())
}

/// A restore that is run again from its checkpoint writes some rows twice; their lists must not become longer.
async fn restore_survives(
    system: &mut System,
    session: &Session,
    version: &Version,
    expected: &TableImage,
) -> Result<()> {
    let restore = restore(&version.id, "killed");
    system.crash_at("mid-restore", &restore.arguments()).await?;
    let operation = system.newest_done().await?;
    ensure!(matches!(operation.state.as_str(), "succeeded" | "warnings"), "{operation:?}");
    let restored = compare::read(session, "killed", "lists").await?;
    ensure!(elements(&restored) == 3 * ROWS as usize, "{} list elements instead of {}", elements(&restored), 3 * ROWS);
    expected.expect("the table whose restore was killed", &restored)
}

/// All state but the store is lost; registering the store brings every version back.
async fn the_bucket_alone_restores(system: &mut System, session: &Session, expected: &TableImage) -> Result<()> {
    system.lose_state().await?;
    let after = system.versions().await?;
    let newest = after.last().context("no version")?;
    system.restore(&restore(&newest.id, "revived")).await?;
    expected.expect("the table restored from the bucket alone", &compare::read(session, "revived", "lists").await?)
}

fn restore<'a>(version: &'a str, into: &'a str) -> Restore<'a> {
    Restore { version, to: "source", from: "ks", into, replication_factor: 2, more: &[] }
}

fn elements(image: &TableImage) -> usize {
    let cells = image.rows.values().filter_map(|row| row.columns.get("l"));
    cells.map(|cells| cells.iter().filter(|cell| cell.value != Bytes::new()).count()).sum()
}
