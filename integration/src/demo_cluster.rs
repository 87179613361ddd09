//! What `make demo-cluster` shows: three daemons on three members of etcd protect three Cassandra nodes every 20 s, while a daemon, etcd's
//! leader and a Cassandra node are killed in turn. During each failure the next version is waited for and the newest one is restored.

mod report;

use std::{
    collections::BTreeSet,
    fs,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use anyhow::{Context, Result, ensure};
use jiff::Timestamp;
use scylla::{client::session::Session, statement::Consistency};
use serde_json::Value;
use tempfile::TempDir;
use tidemark_gateway::Env;
use tidemark_web::api::{Cluster as Daemons, List, Operation, OperationKind, OperationState, Version};
use tokio::task::JoinHandle;

pub use self::report::{Report, Seen};
use crate::{
    cassandra::{Cluster, ClusterSpec},
    compare, cql,
    daemon::{Cli, Daemon, DaemonSpec},
    etcd::EtcdCluster,
    system::{self, Restore},
    wait::{self, Look},
};

/// Loopback network of the demo, 127.0.x.0/24.
const GROUP: u8 = 202;

/// The daemons.
const NODES: [&str; 3] = ["one", "two", "three"];

/// The policy, whose versions are of the source `prod`.
const POLICY: &str = "auto";

/// Time from one slot to the next, s.
const EVERY: u64 = 20;

/// Longest time for what follows a failure.
const BOUND: Duration = Duration::from_secs(180);

/// What the application was told is written: number of the row and when.
type Acknowledged = Vec<(i32, Timestamp)>;

/// Runs the demo.
///
/// # Errors
/// Where a step fails, a restored version lacks a row, or a slot ran twice.
pub async fn run() -> Result<Report> {
    let demo = Demo::start().await?;
    demo.story().await
}

/// Everything that runs.
struct Demo {
    env: Env,
    etcd: EtcdCluster,
    cassandra: Cluster,
    daemons: Vec<Daemon>,
    /// Asks whichever daemon is there.
    cli: Cli,
    session: Arc<Session>,
    // Dropped last.
    _home: TempDir,
}

impl Demo {
    async fn start() -> Result<Self> {
        let (env, home) = (Env::system(), tempfile::Builder::new().prefix("tidemark-cluster-").tempdir()?);
        say(&env, "starting three Cassandra nodes, replication factor 3");
        let spec = ClusterSpec { heap: "384M".to_owned(), ..ClusterSpec::new("clustered", GROUP, 3).with_tokens(4) };
        let cassandra = Cluster::start(spec).await?;
        let session = Arc::new(cql::connect(&cassandra.contact_points()).await?);
        say(&env, "starting three members of etcd and three daemons");
        let etcd = EtcdCluster::start(GROUP).await?;
        let mut daemons = Vec::new();
        for (at, node) in NODES.into_iter().enumerate() {
            let dir = home.path().join(node);
            fs::create_dir_all(&dir)?;
            if let Some(first) = daemons.first().map(Daemon::token_file) {
                fs::copy(first, dir.join("token"))?;
            }
            let endpoints: Vec<_> = (0..NODES.len()).map(|n| etcd.endpoint(n)).collect();
            let environment = [("TIDEMARK_COORDINATOR", endpoints.join(",")), ("TIDEMARK_NODE", node.to_owned())];
            let spec = DaemonSpec {
                program: "tidemarkd",
                dir,
                listen: format!("127.0.{GROUP}.{}:8480", 101 + at),
                environment: environment.map(|(name, value)| (name.to_owned(), value)).to_vec(),
                keep: false,
            };
            daemons.push(Daemon::start(spec).await?);
        }
        let cli = Cli::of_any(&daemons)?;
        let demo = Self { env, etcd, cassandra, daemons, cli, session, _home: home };
        demo.register().await?;
        Ok(demo)
    }

    async fn register(&self) -> Result<()> {
        let create = [
            "CREATE KEYSPACE shop WITH replication = {'class': 'SimpleStrategy', 'replication_factor': 3}",
            "CREATE TABLE shop.orders (id int PRIMARY KEY, v text)",
            "CREATE TABLE shop.accounts (id int PRIMARY KEY, v text)",
        ];
        cql::run(&self.session, &create.map(str::to_owned)).await?;
        let home = self._home.path();
        let url = format!("file://{}", home.join("store").display());
        self.cli.json::<Value>(&["store", "add", system::STORE, &url]).await?;
        let file = home.join("prod.json");
        fs::write(&file, serde_json::to_vec_pretty(&system::specification(&self.cassandra))?)?;
        let file = file.to_str().context("path is not text")?;
        self.cli.json::<Value>(&["source", "add", "prod", "--kind", "cassandra", "--spec", file]).await?;
        let every = format!("{EVERY}s");
        let policy =
            ["policy", "create", POLICY, "prod", "--object", "shop/*", "--to", system::STORE, "--every", &every];
        let more = ["--keep", "last=20", "--write-level", "quorum", "--repaired"];
        self.cli.json::<Value>(&[&policy[..], &more].concat()).await.map(drop)
    }

    async fn story(mut self) -> Result<Report> {
        say(&self.env, &format!("a policy makes a version every {EVERY} s while the application writes at QUORUM"));
        let (stop, writer) = write_until_stopped(&self.session);
        self.newer_than(1).await?;
        let mut seen = Vec::new();

        let (node, _) = self.busy().await?;
        say(&self.env, &format!("KILL -9: daemon {node}, in the middle of a version"));
        let at = NODES.iter().position(|name| *name == node).context("a daemon of the cluster")?;
        self.daemons[at].kill()?;
        seen.push(self.see("a daemon is killed (its listeners too)", "daemon").await?);
        self.daemons[at].restart(&[]).await?;

        let (_, operation) = self.busy().await?;
        let leader = self.etcd.leader()?.context("etcd has a leader")?;
        say(&self.env, &format!("KILL -9: etcd's leader, member {leader}, in the middle of a version"));
        self.etcd.kill(leader)?;
        seen.push(self.see("etcd's leader is killed", "etcd").await?);
        let kept: Operation = self.cli.json(&["op", "show", &operation]).await?;
        ensure!(kept.attempt == 1, "the operation was begun again: {kept:?}");
        self.etcd.restart(leader).await?;

        self.busy().await?;
        say(&self.env, "KILL -9: Cassandra node 3, in the middle of a version");
        self.cassandra.kill(2)?;
        seen.push(self.see("a Cassandra node is killed", "cassandra").await?);
        self.cassandra.restart(2).await?;

        stop.store(true, Ordering::SeqCst);
        let acknowledged = writer.await??;
        say(&self.env, "all is back; the schedule is looked at, and the newest version is restored and compared");
        self.cli.json::<Value>(&["policy", "pause", POLICY]).await?;
        self.until_quiet().await?;
        let (slots, passed) = self.slots().await?;
        let versions = self.versions().await?;
        let newest = versions.last().context("no version")?;
        let rows = self.restored(newest, "back_last").await?;
        let cut = newest.cut_from.context("no cut")?;
        let before = acknowledged.iter().filter(|(_, at)| *at < cut).count() as u64;
        ensure!(rows >= before, "{rows} rows came back, {before} were acknowledged before the cut");
        for version in &versions {
            let _: Operation = self.cli.json(&["version", "verify", &version.id, "--wait"]).await?;
        }
        Ok(Report { seen, versions: versions.len(), slots, passed, acknowledged: before, rows })
    }

    /// What becomes of versions and of restores from now on, while something is dead.
    async fn see(&self, failure: &'static str, name: &str) -> Result<Seen> {
        let (began, newest) = (self.env.monotonic(), self.newest().await?);
        let next = self.newer_than(newest).await?;
        let next_version = self.env.monotonic() - began;
        say(&self.env, &format!("version {} after {:.1} s: {}", next.id, next_version.as_secs_f64(), next.quality));
        let began = self.env.monotonic();
        let rows = self.restored(&next, &format!("back_{name}")).await?;
        let restore = self.env.monotonic() - began;
        say(&self.env, &format!("restored while it is dead: {rows} rows in {:.1} s", restore.as_secs_f64()));
        Ok(Seen { failure, next_version, quality: next.quality, rows, restore })
    }

    /// The daemon that runs the policy, once one does, and the operation.
    async fn busy(&self) -> Result<(String, String)> {
        wait::until("a version that is being made", BOUND, async || {
            let open = self.operations().await?.into_iter().find(|o| o.kind == OperationKind::Protect && !o.done);
            let Some(open) = open else { return Ok(Look::Not("none".to_owned())) };
            let seen: Daemons = self.cli.json(&["cluster", "status"]).await?;
            let node = seen.nodes.into_iter().find(|node| node.operations.contains(&open.id));
            Ok(node.map_or_else(|| Look::Not("nobody runs it".to_owned()), |node| Look::Ready((node.name, open.id))))
        })
        .await
    }

    async fn operations(&self) -> Result<Vec<Operation>> {
        Ok(self.cli.json::<List<Operation>>(&["op", "list"]).await?.items)
    }

    async fn versions(&self) -> Result<Vec<Version>> {
        Ok(self.cli.json::<List<Version>>(&["version", "list"]).await?.items)
    }

    async fn newest(&self) -> Result<u64> {
        self.versions().await?.last().map_or(Ok(0), number)
    }

    /// The newest version, once there is one above `number`.
    async fn newer_than(&self, known: u64) -> Result<Version> {
        wait::until("a newer version", BOUND, async || {
            let newest = self.versions().await?.pop();
            let newer = match newest {
                Some(newest) if number(&newest)? > known => Some(newest),
                _ => None,
            };
            Ok(newer.map_or_else(|| Look::Not(format!("version {known} is the newest")), Look::Ready))
        })
        .await
    }

    async fn until_quiet(&self) -> Result<()> {
        wait::until("operations to end", BOUND, async || {
            let open: Vec<_> = self.operations().await?.into_iter().filter(|operation| !operation.done).collect();
            Ok(Look::when(open.is_empty(), || format!("{open:?}")))
        })
        .await
    }

    /// Restores the orders of a version into a keyspace of this name; gives the rows that are there then.
    async fn restored(&self, version: &Version, into: &str) -> Result<u64> {
        // A replica may be down.
        let more = ["--write-level", "quorum"];
        let restore =
            Restore { version: &version.id, to: "prod", from: "shop", into, replication_factor: 3, more: &more };
        let arguments = restore.arguments();
        let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
        let ended: Operation = self.cli.json(&arguments).await?;
        // With a replica away it warns that the restored tables want a repair.
        let well = matches!(ended.state, OperationState::Succeeded | OperationState::Warnings);
        let verified = ended.result.as_ref().and_then(|result| result["rows_verified"].as_u64());
        ensure!(well && verified == Some(version.totals.rows), "{ended:?}");
        let read = compare::read_at(&self.session, into, "orders", Consistency::Quorum).await?;
        let rows = read.row_count() as u64;
        ensure!(rows == version.totals.rows, "{rows} rows came back of {}", version.totals.rows);
        Ok(rows)
    }

    /// How many slots ran, and how many were let pass because the run before was not done.
    async fn slots(&self) -> Result<(usize, usize)> {
        let runs: Vec<_> = self.operations().await?.into_iter().filter(|o| o.kind == OperationKind::Protect).collect();
        let ended = |run: &Operation| matches!(run.state, OperationState::Succeeded | OperationState::Warnings);
        ensure!(runs.iter().all(ended), "a run did not end well: {runs:?}");
        let slots = runs.iter().map(|run| slot(&run.id)).collect::<Result<Vec<u64>>>()?;
        let distinct: BTreeSet<u64> = slots.iter().copied().collect();
        ensure!(distinct.len() == slots.len(), "a slot ran twice: {slots:?}");
        let (first, last) = (distinct.first().context("nothing ran")?, distinct.last().context("nothing ran")?);
        let due = (*first..=*last).step_by(usize::try_from(EVERY * 1000)?);
        let mut passed = 0;
        for at in due.filter(|at| !distinct.contains(at)) {
            let time = Timestamp::from_millisecond(i64::try_from(at)?)?;
            let busy = runs.iter().any(|run| run.created <= time && run.finished.is_none_or(|end| end >= time));
            ensure!(busy, "slot {time} is lost: {distinct:?}");
            passed += 1;
        }
        Ok((distinct.len(), passed))
    }
}

/// The number of a version.
fn number(version: &Version) -> Result<u64> {
    let number = version.id.rsplit('.').next().context("a version's number")?;
    number.parse().with_context(|| version.id.clone())
}

/// The slot that is in the id of a run: ms since 1970, in its first 48 bits.
fn slot(id: &str) -> Result<u64> {
    let digits = id.get(..12).with_context(|| format!("operation {id} has no time in its id"))?;
    u64::from_str_radix(digits, 16).with_context(|| format!("operation {id} has no time in its id"))
}

/// The application: one order after the other at QUORUM, and again where a node that dies costs it an answer.
fn write_until_stopped(session: &Arc<Session>) -> (Arc<AtomicBool>, JoinHandle<Result<Acknowledged>>) {
    let (stop, session) = (Arc::new(AtomicBool::new(false)), Arc::clone(session));
    let stopped = Arc::clone(&stop);
    let writer = tokio::spawn(async move {
        let (env, mut acknowledged) = (Env::system(), Vec::new());
        let mut pace = tokio::time::interval(Duration::from_millis(20));
        let mut insert = session.prepare("INSERT INTO shop.orders (id, v) VALUES (?, ?)").await?;
        insert.set_consistency(Consistency::Quorum);
        insert.set_is_idempotent(true);
        let mut number = 0;
        while !stopped.load(Ordering::SeqCst) {
            pace.tick().await;
            let row = (number, format!("order {number} {}", "x".repeat(100)));
            if session.execute_unpaged(&insert, row).await.is_ok() {
                acknowledged.push((number, env.now()));
                number += 1;
            }
        }
        Ok(acknowledged)
    });
    (stop, writer)
}

fn say(env: &Env, words: &str) {
    println!("[{:.0}] {words}", env.now());
}
