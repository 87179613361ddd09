//! A restore into a cluster of which one replica is down: refused unless another level is declared, written at that level with a
//! word about it, and whole again after a repair.

use anyhow::{Context, Result, ensure};
use scylla::{client::session::Session, statement::Consistency};
use tidemark_integration::{
    cassandra::{Cluster, ClusterSpec},
    compare, cql,
    journal::Journal,
    paths,
    system::{Restore, System},
    tables::{self, workload::Workload},
};

/// Loopback network of this test.
const GROUP: u8 = 92;
/// The replica that is down.
const DOWN: usize = 2;
/// Tables: one of lists, sets, maps; one of static rows; one that expires.
const TABLES: [&str; 3] = ["collections", "statics", "expiring"];

#[tokio::test(flavor = "multi_thread")]
async fn a_restore_with_a_replica_down_is_written_at_the_declared_level_and_says_so() -> Result<()> {
    if !paths::cassandra_or_skip("a_restore_with_a_replica_down_is_written_at_the_declared_level_and_says_so") {
        return Ok(());
    }
    let mut cluster = Cluster::start(ClusterSpec::new("replicadown", GROUP, 3)).await?;
    let session = cql::connect(&cluster.contact_points()).await?;
    let journal = create_and_fill(&session).await?;
    let system = System::start(GROUP).await?;
    system.add_source("both", &cluster).await?;
    let version = system.protect("both", "ks/*", "all", &["--write-level", "quorum"]).await?;
    let id = version.version.id.as_str();
    cluster.stop(DOWN).await?;

    let silent = Restore { version: id, to: "both", from: "ks", into: "silent", replication_factor: 3, more: &[] };
    refused_without_a_level(&system, &silent, &cluster.nodes()[DOWN].address).await?;
    let declared = Restore { into: "copy", more: &["--write-level", "quorum"], ..silent };
    warned_with_a_level(&system, &declared).await?;
    for table in TABLES {
        let found = compare::read_at(&session, "copy", table, Consistency::Quorum).await?;
        journal.image(table)?.expect(&format!("{table} at QUORUM"), &found)?;
    }

    cluster.restart(DOWN).await?;
    cluster.nodetool(DOWN, &["repair", "--full", "copy"])?;
    let preview = cluster.nodetool(0, &["repair", "--full", "--preview", "copy"])?;
    ensure!(preview.contains("Previewed data was in sync"), "replicas of the restored keyspace differ:\n{preview}");
    for table in TABLES {
        let found = compare::read(&session, "copy", table).await?;
        journal.image(table)?.expect(&format!("{table} at ALL"), &found)?;
    }
    Ok(())
}

async fn create_and_fill(session: &Session) -> Result<Journal> {
    cql::run(session, &tables::create_keyspace("ks", 3)).await?;
    let tables: Vec<_> = tables::all().into_iter().filter(|table| TABLES.contains(&table.name)).collect();
    let mut journal = Journal::new("ks", &tables);
    for table in &tables {
        cql::run(session, &table.create("ks")).await?;
        let mut workload = Workload::new(table, 92);
        journal.write(session, table.name, workload.load()).await?;
        journal.write(session, table.name, workload.changes(100)).await?;
    }
    journal.settle().await?;
    Ok(journal)
}

async fn refused_without_a_level(system: &System, restore: &Restore<'_>, down: &str) -> Result<()> {
    let arguments = restore.arguments();
    let outcome = system.cli.outcome(&arguments.iter().map(String::as_str).collect::<Vec<_>>()).await?;
    let answer = format!("{} {}", outcome.answer, outcome.said);
    ensure!(!matches!(outcome.code, 0 | 3), "written at ALL with a replica down: {outcome:?}");
    ensure!(answer.contains(down) && answer.contains("declare another level"), "no word of {down}: {outcome:?}");
    Ok(())
}

async fn warned_with_a_level(system: &System, restore: &Restore<'_>) -> Result<()> {
    let arguments = restore.arguments();
    let outcome = system.cli.outcome(&arguments.iter().map(String::as_str).collect::<Vec<_>>()).await?;
    ensure!(outcome.code == 3, "exit {}, not 3: {outcome:?}", outcome.code);
    let warnings = outcome.answer["result"]["warnings"].as_array().context("no warnings in the result")?;
    let said = |warning: &&serde_json::Value| {
        warning.as_str().is_some_and(|text| text.contains("at QUORUM") && text.contains("repair"))
    };
    ensure!(warnings.iter().filter(said).count() == 1, "{warnings:?}");
    Ok(())
}
