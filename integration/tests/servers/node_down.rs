//! What a version says and holds when not every replica could be captured.

use std::{fs, os::unix::fs::symlink, path::Path, time::Duration};

use anyhow::{Context, Result, ensure};
use scylla::{client::session::Session, statement::Consistency};
use serde_json::{Value, json};
use tidemark_integration::{
    cassandra::{Cluster, ClusterSpec},
    compare, cql, paths,
    system::{self, Restore, System},
    wait::{self, Look},
};
use tidemark_web::api::{Quality, VersionDetail, VersionObject};

/// Loopback network of this test.
const GROUP: u8 = 30;
/// Tables of the test.
const TABLES: [&str; 2] = ["broken", "sound"];
/// Address of the node that replaces the third one.
const SUCCESSOR: &str = "127.0.30.9";
/// Nodes do not forget one that joins, however long it is silent.
const PATIENT: (&str, &str) = ("JDK_JAVA_OPTIONS", "-Dcassandra.gossip_quarantine_delay_ms=600000");
/// Longest time until the others know of a node that joins.
const JOINS: Duration = Duration::from_secs(180);

#[tokio::test(flavor = "multi_thread")]
async fn a_version_without_all_replicas_says_so_and_restores_with_consent() -> Result<()> {
    if !paths::cassandra_or_skip("a_version_without_all_replicas_says_so_and_restores_with_consent") {
        return Ok(());
    }
    let mut spec = ClusterSpec::new("down", GROUP, 3);
    spec.environment.push((PATIENT.0.to_owned(), PATIENT.1.to_owned()));
    let mut cluster = Cluster::start(spec).await?;
    let session = cql::connect(&cluster.contact_points()).await?;
    create_and_fill(&session).await?;
    let system = System::start(GROUP).await?;
    system.add_source("whole", &cluster).await?;
    let specification = system::specification(&cluster);

    an_unreadable_table_is_named_and_the_others_commit(&system, &cluster, &specification).await?;
    cluster.stop(2).await?;
    let degraded = without_the_operators_word(&system).await?;
    let complete = with_the_operators_word(&system).await?;
    cluster.restart(2).await?;
    consent_is_needed_for_the_degraded_version_only(&system, &session, &degraded, &complete).await?;
    a_node_that_is_being_replaced_is_still_a_replica(&system, &mut cluster).await
}

async fn create_and_fill(session: &Session) -> Result<()> {
    let keyspace = "CREATE KEYSPACE ks WITH replication = {'class': 'SimpleStrategy', 'replication_factor': 3}";
    let tables = TABLES.map(|table| format!("CREATE TABLE ks.{table} (pk int PRIMARY KEY, v text)"));
    cql::run(session, &[vec![keyspace.to_owned()], tables.to_vec()].concat()).await?;
    for table in TABLES {
        let mut insert = session.prepare(format!("INSERT INTO ks.{table} (pk, v) VALUES (?, ?)")).await?;
        insert.set_consistency(Consistency::All);
        for key in 0..200_i32 {
            session.execute_unpaged(&insert, (key, format!("{table} {key}"))).await?;
        }
    }
    Ok(())
}

/// Every node's data is seen through directories in which one table is a link to nowhere.
async fn an_unreadable_table_is_named_and_the_others_commit(
    system: &System,
    cluster: &Cluster,
    whole: &Value,
) -> Result<()> {
    let mut specification = whole.clone();
    for (index, node) in cluster.nodes().iter().enumerate() {
        let shadow = system.scratch(&format!("shadow-{index}"));
        shadow_without(&node.data_dir(), &shadow, "broken")?;
        specification["nodes"][index]["data_directories"] = json!([shadow]);
    }
    system.add_source_as("shadowed", &specification).await?;
    let version = system.protect("shadowed", "ks/*", "shadowed", &["--write-level", "quorum"]).await?;
    ensure!(version.version.quality == Quality::Missing, "quality {}", version.version.quality);
    let (broken, sound) = (object(&version, "broken")?, object(&version, "sound")?);
    ensure!(broken.quality == Quality::Missing && !broken.notes.is_empty(), "{broken:?}");
    ensure!(sound.quality == Quality::Cut && sound.totals.rows == 200, "{sound:?}");
    Ok(())
}

/// Two of three replicas at QUORUM overlap with every write only if writes always were at QUORUM, which nobody said.
async fn without_the_operators_word(system: &System) -> Result<VersionDetail> {
    let version = system.protect("whole", "ks/*", "plain", &["--write-level", "quorum"]).await?;
    ensure!(version.version.quality == Quality::Degraded, "quality {}", version.version.quality);
    for object in &version.contents {
        ensure!(object.quality == Quality::Degraded && !object.notes.is_empty(), "no range is named: {object:?}");
    }
    Ok(version)
}

async fn with_the_operators_word(system: &System) -> Result<VersionDetail> {
    let version = system.protect("whole", "ks/*", "repaired", &["--write-level", "quorum", "--repaired"]).await?;
    ensure!(version.version.quality == Quality::Cut, "quality {}: {:?}", version.version.quality, version.contents);
    ensure!(version.version.totals.rows == 400, "{:?}", version.version.totals);
    Ok(version)
}

async fn consent_is_needed_for_the_degraded_version_only(
    system: &System,
    session: &Session,
    degraded: &VersionDetail,
    complete: &VersionDetail,
) -> Result<()> {
    let restore =
        |version| Restore { version, to: "whole", from: "ks", into: "copy", replication_factor: 3, more: &[] };
    let refused = restore(&degraded.version.id).arguments();
    let outcome = system.cli.outcome(&refused.iter().map(String::as_str).collect::<Vec<_>>()).await?;
    ensure!(!matches!(outcome.code, 0 | 3), "a degraded version was restored without consent: {outcome:?}");

    system.restore(&restore(&complete.version.id)).await?;
    let consented = Restore { into: "consented", more: &["--accept-degraded"], ..restore(&degraded.version.id) };
    system.restore(&consented).await?;
    for table in TABLES {
        let expected = compare::read(session, "ks", table).await?;
        for keyspace in ["copy", "consented"] {
            expected.expect(&format!("{keyspace}.{table}"), &compare::read(session, keyspace, table).await?)?;
        }
    }
    Ok(())
}

/// The ring has its tokens as those of the node that joins in its place. Last: the node has a successor.
async fn a_node_that_is_being_replaced_is_still_a_replica(system: &System, cluster: &mut Cluster) -> Result<()> {
    cluster.stop(2).await?;
    let successor = cluster.begin_replacing(2, SUCCESSOR)?;
    for index in [0, 1] {
        wait::until("a joining node in the ring", JOINS, async || {
            let (ring, log) = (cluster.nodetool(index, &["ring"])?, cluster.nodes()[successor].log());
            let seen = || format!("{ring}\n{}", log.lines().last().unwrap_or_default());
            Ok(Look::when(ring.contains("Joining"), seen))
        })
        .await?;
    }
    let version = system.protect("whole", "ks/*", "replaced", &["--write-level", "quorum"]).await?;
    ensure!(
        version.version.quality == Quality::Degraded,
        "quality {}: {:?}",
        version.version.quality,
        version.contents
    );
    let replaced = format!("{}:9042", cluster.nodes()[2].address);
    for object in &version.contents {
        ensure!(object.notes.iter().any(|note| note.contains(&replaced)), "{replaced} is not named: {object:?}");
    }
    Ok(())
}

fn object<'a>(version: &'a VersionDetail, table: &str) -> Result<&'a VersionObject> {
    let name = format!("ks/{table}");
    version
        .contents
        .iter()
        .find(|object| object.object == name)
        .with_context(|| format!("{name} is not in the version"))
}

/// A directory that shows `data` but for one table, which is a link to nowhere.
fn shadow_without(data: &Path, shadow: &Path, table: &str) -> Result<()> {
    for keyspace in fs::read_dir(data)? {
        let keyspace = keyspace?;
        let below = shadow.join(keyspace.file_name());
        fs::create_dir_all(&below)?;
        for directory in fs::read_dir(keyspace.path())? {
            let directory = directory?;
            let hidden = directory.file_name().to_string_lossy().starts_with(&format!("{table}-"));
            let target = if hidden { shadow.join("nowhere") } else { directory.path() };
            symlink(target, below.join(directory.file_name()))?;
        }
    }
    Ok(())
}
