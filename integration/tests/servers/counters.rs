//! Counter tables of which one replica missed additions and deletions: the version holds the sums that Cassandra answers, and
//! every restore makes the same sums, also where a node stops answering or the daemon is killed in the middle.

use std::{process::Command, time::Duration};

use anyhow::{Context, Result, ensure};
use scylla::{
    client::session::Session,
    statement::{Consistency, unprepared::Statement},
};
use tidemark_integration::{
    cassandra::{Cluster, ClusterSpec},
    cql,
    environment::number,
    paths,
    system::{Restore, System},
    tally::{self, Step, Tally},
    wait::{self, Look},
};
use tidemark_web::api::{Quality, VersionDetail};

/// Loopback networks of this test.
const SOURCE: u8 = 105;
const SINGLE: u8 = 106;
/// The replica that misses additions.
const LAGGING: usize = 2;
/// Partitions of `hits`, each of ten rows.
const PARTITIONS: i32 = 40;

/// Partitions of `plain`: as many as a restore is still busy with when it is seen to write.
fn plain() -> Result<i32> {
    Ok(number("TIDEMARK_COUNTERS", 3_000)?.try_into()?)
}

#[tokio::test(flavor = "multi_thread")]
async fn counters_come_back_with_their_values_whatever_happens_on_the_way() -> Result<()> {
    if !paths::cassandra_or_skip("counters_come_back_with_their_values_whatever_happens_on_the_way") {
        return Ok(());
    }
    let mut source = Cluster::start(ClusterSpec::new("counters", SOURCE, 3)).await?;
    let session = cql::connect(&source.contact_points()).await?;
    let truth = fill(&mut source, &session).await?;
    let mut system = System::start(SOURCE).await?;
    system.add_source("source", &source).await?;

    // Captured before anything is read: reading at ALL repairs what disagrees.
    let version = system.protect("source", "ks/*", "all", &["--write-level", "quorum"]).await?;
    expect_figures(&version, &truth)?;
    truth.tally.expect("the source", &Tally::read(&session, "ks").await?)?;

    let single = Cluster::start(ClusterSpec::new("single", SINGLE, 1).with_tokens(7)).await?;
    system.add_source("single", &single).await?;
    let id = version.version.id.as_str();
    let to_one = Restore { version: id, to: "single", from: "ks", into: "copy", replication_factor: 1, more: &[] };
    system.restore(&to_one).await?;
    let other = cql::connect(&single.contact_points()).await?;
    truth.tally.expect("one node", &Tally::read(&other, "copy").await?)?;
    only_a_fresh_table_is_taken(&system, &to_one).await?;

    let to_three = Restore { to: "source", replication_factor: 3, ..to_one };
    let killed = Restore { into: "killed", ..to_three };
    system.crash_at("mid-restore", &killed.arguments()).await?;
    let operation = system.newest_done().await?;
    ensure!(matches!(operation.state.as_str(), "succeeded" | "warnings"), "{operation:?}");
    truth.tally.expect("three nodes, the daemon killed", &Tally::read(&session, "killed").await?)?;

    let halted = Restore { into: "halted", ..to_three };
    tokio::try_join!(system.restore(&halted), a_node_halts(&system, &source, &session))?;
    truth.tally.expect("three nodes, one of them halted", &Tally::read(&session, "halted").await?)
}

/// What the tables hold, and on how many rows of `hits` and `plain` replicas disagree.
struct Truth {
    tally: Tally,
    disagreements: (usize, usize),
}

/// Additions and deletions before, while and after one replica is down.
async fn fill(source: &mut Cluster, session: &Session) -> Result<Truth> {
    let create = [
        "CREATE KEYSPACE ks WITH replication = {'class': 'SimpleStrategy', 'replication_factor': 3}",
        "CREATE TABLE ks.hits (pk int, ck int, st counter static, a counter, b counter, PRIMARY KEY (pk, ck))",
        "CREATE TABLE ks.plain (k int PRIMARY KEY, n counter)",
    ];
    cql::run(session, &create.map(str::to_owned)).await?;
    let (plain, mut tally) = (plain()?, Tally::default());
    let mut done = async |steps: Vec<Step>, level: Consistency| {
        tally::run(session, "ks", level, &steps).await?;
        tally.apply(&steps);
        anyhow::Ok(tally.clone())
    };
    let added = (0..plain).map(|k| Step::AddPlain(k, i64::from(k % 100) - 50));
    done(additions(0..PARTITIONS, 1).into_iter().chain(added).collect(), Consistency::All).await?;
    // Of a counter that was added to in several files its file has several shards, and a file has only some of its leaders.
    source.nodetool_everywhere(&["flush", "ks"])?;
    done(additions(0..PARTITIONS, 2), Consistency::All).await?;
    source.nodetool(0, &["flush", "ks"])?;
    source.nodetool(0, &["compact", "ks"])?;
    done(additions(0..PARTITIONS, 3), Consistency::All).await?;
    let seen = done(deletions(0), Consistency::All).await?;

    source.stop(LAGGING).await?;
    let added = (0..plain).step_by(25).map(|k| Step::AddPlain(k, 7));
    let missed: Vec<Step> = additions(20..PARTITIONS, 4).into_iter().chain(added).collect();
    done(missed.clone(), Consistency::Quorum).await?;
    let deleted = deletions(20);
    done(deleted.clone(), Consistency::Quorum).await?;
    source.restart(LAGGING).await?;
    // The replica that was down leads some of these.
    let alive =
        |step: &Step| !matches!(step, Step::Add((pk, _), ..) | Step::AddStatic(pk, _) if [3, 5, 7].contains(pk));
    done(additions(0..10, 5).into_iter().filter(alive).collect(), Consistency::All).await?;
    Ok(Truth { disagreements: seen.disagreements(&[missed, deleted].concat()), tally })
}

/// Additions to most counters of some partitions: large and small, negative, to nothing and over the end of the range.
fn additions(partitions: std::ops::Range<i32>, round: i64) -> Vec<Step> {
    let mut steps = Vec::new();
    for pk in partitions {
        steps.push(Step::AddStatic(pk, round * 1_000_003 - i64::from(pk)));
        for ck in 0..10 {
            let by = match ck {
                0 => i64::MAX / 2,
                1 => 3 - 2 * round,
                _ => i64::from(pk * ck) - 100 * round,
            };
            steps.push(Step::Add((pk, ck), 0, by));
            steps.extend((ck % 3 != 0).then_some(Step::Add((pk, ck), 1, -by)));
        }
    }
    steps
}

/// Deletions of counters, rows and partitions, which nothing is added to afterwards.
fn deletions(from: i32) -> Vec<Step> {
    let tens = [from, from + 10];
    let of = |pk: i32| {
        [
            Step::DeletePartition(pk + 7),
            Step::DeleteRow((pk + 3, 9)),
            Step::DeleteCell((pk + 5, 8), 1),
            Step::DeleteCell((pk + 5, 9), 0),
        ]
    };
    tens.into_iter().flat_map(of).collect()
}

fn expect_figures(version: &VersionDetail, truth: &Truth) -> Result<()> {
    let tally = &truth.tally;
    let expected = [
        ("ks/hits", tally.rows.len(), tally.statics.len(), truth.disagreements.0),
        ("ks/plain", tally.plain.len(), 0, truth.disagreements.1),
    ];
    ensure!(version.version.quality == Quality::Cut, "{:?}", version.contents);
    ensure!(truth.disagreements.0 > 200 && truth.disagreements.1 > 100, "no disagreements were made");
    for (name, rows, statics, disagreeing) in expected {
        let object = version.contents.iter().find(|object| object.object == name).context(name)?;
        let found = (object.totals.rows, object.totals.static_rows, object.totals.disagreeing_rows);
        let expected = (rows as u64, statics as u64, disagreeing as u64);
        ensure!(found == expected, "{name}: rows, static rows, disagreements are {found:?}, expected {expected:?}");
    }
    Ok(())
}

/// The plan warns about counters, and a table that holds some is refused even if it is named.
async fn only_a_fresh_table_is_taken(system: &System, done: &Restore<'_>) -> Result<()> {
    let plan = system.plan(&Restore { into: "fresh", ..*done }).await?;
    let checks = plan["checks"].as_array().context("no checks")?;
    ensure!(checks.iter().any(|check| check["name"] == "counters" && check["status"] == "warn"), "{plan}");
    let confirmed = Restore { more: &["--confirm-target", "copy/hits", "--confirm-target", "copy/plain"], ..*done };
    let arguments = confirmed.arguments();
    let outcome = system.cli.outcome(&arguments.iter().map(String::as_str).collect::<Vec<_>>()).await?;
    ensure!(!matches!(outcome.code, 0 | 3), "counters were added to counters: {outcome:?}");
    let said = format!("{} {}", outcome.answer, outcome.said);
    ensure!(said.contains("copy/hits") && said.contains("holds counters"), "{outcome:?}");
    Ok(())
}

/// Halts a node once the restore has begun to write, until the restore does not know what became of an addition.
async fn a_node_halts(system: &System, source: &Cluster, session: &Session) -> Result<()> {
    let mut first = Statement::new("SELECT k FROM halted.plain LIMIT 1");
    first.set_consistency(Consistency::One);
    let bound = Duration::from_secs(120);
    wait::until("the first row", bound, async || {
        let found = session.query_unpaged(first.clone(), ()).await;
        let rows = found.ok().and_then(|found| found.into_rows_result().ok()).map_or(0, |rows| rows.rows_num());
        Ok(Look::when(rows > 0, || "no row".to_owned()))
    })
    .await?;
    signal(source, "-STOP")?;
    let unknown = wait::until("an addition whose outcome is unknown", bound, async || {
        let log = system.daemon.log();
        let line = log.lines().find(|line| line.contains("read again") && line.contains("add to the counters"));
        Ok(Look::when(line.is_some(), || log.lines().last().unwrap_or_default().to_owned()))
    });
    let unknown = unknown.await;
    signal(source, "-CONT")?;
    unknown
}

fn signal(source: &Cluster, signal: &str) -> Result<()> {
    let pid = source.nodes()[LAGGING].pid().context("the node does not run")?;
    let status = Command::new("kill").args([signal, &pid.to_string()]).status()?;
    ensure!(status.success(), "kill {signal} {pid}: {status}");
    Ok(())
}
