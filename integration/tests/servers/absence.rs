//! A destination that goes away in the middle of a restore is waited for, longer than any number of quick tries, and the
//! restore goes on when it is back; one that stayed away too long is taken up again by hand, where its checkpoint is.
//!
//! Nodes are stopped in order: one that is killed may lose what it acknowledged within the last seconds, keyspaces too.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use scylla::client::session::Session;
use tidemark_integration::{
    cassandra::{Cluster, ClusterSpec},
    compare::{self, TableImage},
    cql, paths,
    system::{Restore, System},
    wait::{self, Look},
};
use tidemark_web::api::{Operation, OperationState};

/// Loopback network of this test.
const GROUP: u8 = 136;
/// Rows of the table.
const ROWS: i32 = 2_000;
/// Attempts after which an operation was given up once, whatever it waited for.
const ATTEMPTS: u32 = 5;
/// Longest time until an operation has waited often enough: a restore first tries pieces again by itself for half a minute.
const WAITS: Duration = Duration::from_secs(120);

#[tokio::test(flavor = "multi_thread")]
async fn a_destination_that_is_away_is_waited_for() -> Result<()> {
    if !paths::cassandra_or_skip("a_destination_that_is_away_is_waited_for") {
        return Ok(());
    }
    let mut cluster = Cluster::start(ClusterSpec::new("absence", GROUP, 1).with_nodetool_of_its_own()).await?;
    let session = cql::connect(&cluster.contact_points()).await?;
    create_and_fill(&session).await?;
    let expected = compare::read(&session, "ks", "rows").await?;
    let mut system = System::start(GROUP).await?;
    system.add_source("source", &cluster).await?;
    let version = system.protect("source", "ks/*", "all", &[]).await?.version.id;
    drop(session);

    let restored =
        Restore { version: &version, to: "source", from: "ks", into: "waited", replication_factor: 1, more: &[] };
    waited_for(&mut system, &mut cluster, &restored).await.context("waited for")?;
    equal(&cluster, "waited", &expected).await?;
    let restored = Restore { into: "resumed", ..restored };
    resumed(&mut system, &mut cluster, &restored).await.context("resumed")?;
    equal(&cluster, "resumed", &expected).await
}

async fn create_and_fill(session: &Session) -> Result<()> {
    let create = [
        "CREATE KEYSPACE ks WITH replication = {'class': 'SimpleStrategy', 'replication_factor': 1}",
        "CREATE TABLE ks.rows (pk int, ck int, v text, PRIMARY KEY (pk, ck))",
    ];
    cql::run(session, &create.map(str::to_owned)).await?;
    let insert = session.prepare("INSERT INTO ks.rows (pk, ck, v) VALUES (?, ?, ?)").await?;
    for number in 0..ROWS {
        session.execute_unpaged(&insert, (number / 10, number % 10, format!("row {number}"))).await?;
    }
    Ok(())
}

async fn equal(cluster: &Cluster, keyspace: &str, expected: &TableImage) -> Result<()> {
    let session = cql::connect(&cluster.contact_points()).await?;
    expected.expect(keyspace, &compare::read(&session, keyspace, "rows").await?)
}

/// The newest operation, once it is as wanted.
async fn newest(system: &System, what: &str, wanted: impl Fn(&Operation) -> bool) -> Result<Operation> {
    wait::until(what, WAITS, async || {
        let newest = system.operations().await?.into_iter().next().context("no operation")?;
        ensure!(what.contains("failed") || newest.state != OperationState::Failed, "{newest:?}");
        Ok(if wanted(&newest) { Look::Ready(newest) } else { Look::Not(format!("{newest:?}")) })
    })
    .await
}

/// The node stops under a restore and started again after more attempts than any operation once had.
async fn waited_for(system: &mut System, cluster: &mut Cluster, restore: &Restore<'_>) -> Result<()> {
    let pauses = [("TIDEMARK_LONGEST_PAUSE_SECONDS", "1")];
    let held = system.hold_at("mid-restore", &pauses, &restore.arguments()).await?;
    cluster.stop(0).await?;
    held.let_go()?;
    let waiting = newest(system, "a wait for the destination", |operation| {
        operation.attempt > ATTEMPTS && operation.progress.phase.starts_with("waiting for destination since ")
    })
    .await?;
    ensure!(waiting.progress.phase.contains(", next try at "), "{waiting:?}");
    ensure!(waiting.error.as_ref().is_some_and(|error| error.code.starts_with("TM-REST-")), "{waiting:?}");
    cluster.restart(0).await?;
    let ended = held.outcome().await?.operation()?;
    ensure!(matches!(ended.state.as_str(), "succeeded" | "warnings"), "{ended:?}");
    eprintln!("away at attempt {}: {}; ended at attempt {}", waiting.attempt, waiting.progress.phase, ended.attempt);
    Ok(())
}

/// The node is away for longer than is waited for: the restore fails, and is taken up by hand when the node is back.
async fn resumed(system: &mut System, cluster: &mut Cluster, restore: &Restore<'_>) -> Result<()> {
    system.hold_at("mid-restore", &[], &restore.arguments()).await?;
    cluster.stop(0).await?;
    let bounds = [("TIDEMARK_LONGEST_PAUSE_SECONDS", "1"), ("TIDEMARK_LONGEST_ABSENCE_SECONDS", "2")];
    system.daemon.restart(&bounds.map(|(name, value)| (name, value.to_owned()))).await?;
    let failed = newest(system, "a restore that failed", |operation| operation.state == OperationState::Failed).await?;
    let error = failed.error.as_ref().context("no error")?;
    ensure!(error.detail.contains("the destination was away since"), "{failed:?}");
    ensure!(error.hint.as_ref().is_some_and(|hint| hint.contains("op resume")), "{failed:?}");
    cluster.restart(0).await?;
    let resumed: Operation = system.cli.json(&["op", "resume", &failed.id]).await?;
    ensure!(resumed.id == failed.id && !resumed.done, "{resumed:?}");
    let ended = system.cli.outcome(&["op", "watch", &failed.id]).await?.operation()?;
    ensure!(matches!(ended.state.as_str(), "succeeded" | "warnings"), "{ended:?}");
    Ok(())
}
