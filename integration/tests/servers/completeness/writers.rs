//! Writers whose rows are acknowledged throughout, while tables are flushed and altered.

use std::{
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicI32, Ordering},
    },
    time::Duration,
};

use anyhow::{Context, Result, ensure};
use jiff::Timestamp;
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;
use scylla::statement::Consistency;
use tidemark_gateway::Env;
use tidemark_integration::{
    cassandra::{Cluster, ClusterSpec},
    cql::{self, Shared},
    environment::number,
    paths,
    system::System,
    wait::{self, Look},
};

use super::{WRITTEN, changes, held::Held, text};

/// Writers at the same time.
const WRITERS: usize = 2;
/// Bytes of a row.
const ROW_BYTES: usize = 512;
/// Time between two rows of a writer.
const BEAT: Duration = Duration::from_millis(20);
/// Longest time between two changes, ms: three of them meet a capture at any of its steps.
const LONGEST_PAUSE: u64 = 4_000;
/// Rows acknowledged before the first capture, and between two.
const AHEAD: usize = 400;
/// Longest time until so many are.
const WRITTEN_WITHIN: Duration = Duration::from_secs(60);

#[tokio::test(flavor = "multi_thread")]
async fn every_row_acknowledged_before_the_cut_is_in_the_version_whatever_the_cluster_does() -> Result<()> {
    if !paths::cassandra_or_skip("every_row_acknowledged_before_the_cut_is_in_the_version_whatever_the_cluster_does") {
        return Ok(());
    }
    let cluster = Cluster::start(ClusterSpec::new("written", WRITTEN, 3)).await?;
    let session: Shared = Arc::new(cql::connect(&cluster.contact_points()).await?);
    let create = [
        "CREATE KEYSPACE ks WITH replication = {'class': 'SimpleStrategy', 'replication_factor': 3}",
        "CREATE TABLE ks.t (k int PRIMARY KEY, v text)",
    ];
    cql::run(&session, &create.map(str::to_owned)).await?;
    changes::create_and_fill(&session).await?;
    let mut system = System::start(WRITTEN).await?;
    system.add_source("written", &cluster).await?;
    hold_what_was_acknowledged(&system, &cluster, &session).await?;
    changes::a_ghost_is_named_and_ignored(&system, &cluster).await.context("a ghost")?;
    changes::other_tables_may_change(&mut system, &session).await.context("changes of other tables")?;
    changes::a_truncation_between_two_nodes_holds(&mut system, &cluster, &session).await.context("a truncation")?;
    changes::a_departure_between_two_nodes_loses_nothing(&mut system, &cluster).await.context("a departure")
}

/// Version after version while rows are written.
async fn hold_what_was_acknowledged(system: &System, cluster: &Cluster, session: &Shared) -> Result<()> {
    let (versions, seed) = (number("TIDEMARK_VERSIONS", 3)?, number("TIDEMARK_SEED", 1)?);
    let writers = Writers::start(session).await?;
    let mut random = ChaCha8Rng::seed_from_u64(seed);
    for number in 0..versions {
        writers.ahead().await?;
        let disturbed = disturb(session, flush_line(cluster, &mut random), random.random());
        let protected = system.protect("written", "ks/*", "written", &["--write-level", "quorum"]);
        let (version, ()) = tokio::try_join!(protected, disturbed)?;
        let held = Held::read(system, &version.version.id, "ks/t")?;
        writers.expect(&held).with_context(|| format!("version {number}, TIDEMARK_SEED={seed}"))?;
    }
    writers.stop().await
}

/// Command line of a flush on a random node.
fn flush_line(cluster: &Cluster, random: &mut ChaCha8Rng) -> Vec<String> {
    let mut line = cluster.nodetool_line(random.random_range(0..cluster.nodes().len()));
    line.extend(["flush", "ks", "t"].map(str::to_owned));
    line
}

/// Begins a flush, and changes the table at random moments: each change switches its memtable on every node. One of them
/// changes what a capture compares.
async fn disturb(session: &Shared, flush: Vec<String>, seed: u64) -> Result<()> {
    let mut random = ChaCha8Rng::seed_from_u64(seed);
    let mut flush = tokio::process::Command::new(&flush[0]).args(&flush[1..]).spawn()?;
    let column = random.random_range(0..3);
    for number in 0..3 {
        let change = match number == column {
            true => format!("ALTER TABLE ks.t ADD c{seed} int"),
            false => format!("ALTER TABLE ks.t WITH comment = '{seed} {number}'"),
        };
        pass(Duration::from_millis(random.random_range(0..LONGEST_PAUSE))).await?;
        session.query_unpaged(change, ()).await?;
    }
    ensure!(flush.wait().await?.success(), "a flush failed");
    Ok(())
}

/// Lets a random time pass: the only way to a random moment.
async fn pass(time: Duration) -> Result<()> {
    let env = Env::system();
    wait::until("a moment", time + Duration::from_secs(10), async || {
        Ok(Look::when(env.monotonic() >= time, || "too early".to_owned()))
    })
    .await
}

/// Rows and when they were acknowledged.
type Acknowledged = Arc<Mutex<Vec<(i32, Timestamp)>>>;

struct Writers {
    acknowledged: Acknowledged,
    stop: Arc<AtomicBool>,
    tasks: Vec<tokio::task::JoinHandle<Result<()>>>,
}

impl Writers {
    async fn start(session: &Shared) -> Result<Self> {
        let mut insert = session.prepare("INSERT INTO ks.t (k, v) VALUES (?, ?)").await?;
        insert.set_consistency(Consistency::Quorum);
        let (acknowledged, stop) = (Acknowledged::default(), Arc::new(AtomicBool::new(false)));
        let (next, mut tasks) = (Arc::new(AtomicI32::new(0)), Vec::new());
        for _ in 0..WRITERS {
            let (session, insert, next) = (Arc::clone(session), insert.clone(), Arc::clone(&next));
            let (acknowledged, stop) = (Arc::clone(&acknowledged), Arc::clone(&stop));
            tasks.push(tokio::spawn(async move {
                let env = Env::system();
                // As many rows as two processors bear beside everything else: writers without a bound leave nothing for it.
                let mut beat = tokio::time::interval(BEAT);
                while !stop.load(Ordering::Relaxed) {
                    beat.tick().await;
                    let key = next.fetch_add(1, Ordering::Relaxed);
                    session.execute_unpaged(&insert, (key, text(key, ROW_BYTES))).await?;
                    acknowledged.lock().expect("no writer panics").push((key, env.now()));
                }
                Ok(())
            }));
        }
        Ok(Self { acknowledged, stop, tasks })
    }

    fn count(&self) -> usize {
        self.acknowledged.lock().expect("no writer panics").len()
    }

    async fn ahead(&self) -> Result<()> {
        let goal = self.count() + AHEAD;
        let look = async || {
            let count = self.count();
            Ok(Look::when(count >= goal, || format!("{count} rows")))
        };
        wait::until(&format!("{goal} acknowledged rows"), WRITTEN_WITHIN, look).await
    }

    /// Every row acknowledged before the first node's capture began is held, and there were some.
    fn expect(&self, held: &Held) -> Result<()> {
        ensure!(held.quality == "cut", "quality {}", held.quality);
        let acknowledged = self.acknowledged.lock().expect("no writer panics");
        let before: Vec<i32> = acknowledged.iter().filter(|(_, at)| *at < held.started).map(|(key, _)| *key).collect();
        let lost: Vec<&i32> = before.iter().filter(|key| !held.keys.contains(key)).collect();
        ensure!(before.len() >= AHEAD, "only {} rows were acknowledged before the cut", before.len());
        ensure!(lost.is_empty(), "{} of {} acknowledged rows are lost: {lost:?}", lost.len(), before.len());
        Ok(())
    }

    async fn stop(self) -> Result<()> {
        self.stop.store(true, Ordering::Relaxed);
        for task in self.tasks {
            task.await??;
        }
        Ok(())
    }
}
