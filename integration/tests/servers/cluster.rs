//! Three daemons on three members of etcd, with the toy kind of source and no database: daemons killed in each phase of a version, etcd's
//! leader killed under one, and a daemon that was frozen until long after another one took its work.

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
    process::Command,
    time::Duration,
};

use anyhow::{Context, Result, bail, ensure};
use serde_json::{Value, json};
use tempfile::TempDir;
use tidemark_gateway::Env;
use tidemark_integration::{
    daemon::{Cli, Daemon, DaemonSpec},
    etcd::EtcdCluster,
    paths, toy,
    wait::{self, Look},
};
use tidemark_web::api::{Cluster, ClusterNode, List, Operation, OperationState, Version};

/// Addresses of this test: 127.0.175.x.
const GROUP: u8 = 175;

/// Longest time for what follows a kill.
const BOUND: Duration = Duration::from_secs(90);

/// Longest time from the kill of a daemon until another one has its work: the lease's time to live, and two seconds.
const TAKEOVER: Duration = Duration::from_secs(12);

/// Time to live of a daemon's lease.
const LEASE: Duration = Duration::from_secs(10);

/// Daemons of the cluster.
const NODES: [&str; 3] = ["one", "two", "three"];

/// Three daemons, the etcd that they share, and a store.
struct World {
    etcd: EtcdCluster,
    daemons: BTreeMap<String, (Daemon, Cli)>,
    home: TempDir,
    env: Env,
}

/// A daemon that is held at a point with the work that led there.
struct Held {
    /// The daemon.
    node: String,
    operation: String,
    file: PathBuf,
}

#[tokio::test(flavor = "multi_thread")]
async fn work_goes_on_elsewhere_and_nothing_is_done_twice() {
    if !paths::etcd_or_skip("cluster") {
        return;
    }
    let mut world = World::start().await.unwrap();
    if let Err(error) = story(&mut world).await {
        for (name, (daemon, _)) in &world.daemons {
            let log = daemon.log();
            let lines: Vec<_> = log.lines().collect();
            eprintln!("--- {name}\n{}", lines[lines.len().saturating_sub(40)..].join("\n"));
        }
        panic!("{error:#}");
    }
}

async fn story(world: &mut World) -> Result<()> {
    world.register().await?;
    let mut versions = 0;
    for point in ["mid-upload", "mid-consolidation", "before-manifest", "after-manifest"] {
        let held = world.hold_at(point).await?;
        let took = world.kill_and_see(&held).await?;
        println!("killed {point}: another daemon had the work after {took:?}");
        ensure!(took <= TAKEOVER, "{point}: taken over after {took:?}");
        versions += 1;
        world.succeeds(&held.operation, versions).await?;
    }
    world.etcd_leader_is_killed().await?;
    versions += 1;
    world.frozen(versions + 1).await?;
    // The state keeps its opening: starts of daemons and deaths of members take no generation.
    let generations = fs::read_dir(world.store().join("gen"))?.count();
    ensure!(generations == 1, "{generations} generations were taken");
    Ok(())
}

impl World {
    async fn start() -> Result<Self> {
        let (etcd, home) = (EtcdCluster::start(GROUP).await?, tempfile::tempdir()?);
        let mut world = Self { etcd, daemons: BTreeMap::new(), home, env: Env::system() };
        for (at, node) in NODES.into_iter().enumerate() {
            let endpoints: Vec<_> = (0..NODES.len()).map(|n| world.etcd.endpoint(n)).collect();
            let spec = DaemonSpec {
                program: toy::DAEMON,
                dir: world.home.path().join(node),
                listen: format!("127.0.{GROUP}.{}:8480", 101 + at),
                environment: vec![
                    ("TIDEMARK_COORDINATOR".to_owned(), endpoints.join(",")),
                    ("TIDEMARK_NODE".to_owned(), node.to_owned()),
                ],
                keep: false,
            };
            let daemon = Daemon::start(spec).await?;
            let cli = daemon.cli()?;
            world.daemons.insert(node.to_owned(), (daemon, cli));
        }
        Ok(world)
    }

    fn store(&self) -> PathBuf {
        self.home.path().join("store")
    }

    /// Any daemon answers; this one is asked.
    fn cli(&self, node: &str) -> &Cli {
        &self.daemons[node].1
    }

    /// A daemon other than this one.
    fn other(&self, node: &str) -> &Cli {
        self.cli(NODES.into_iter().find(|other| *other != node).unwrap_or(NODES[0]))
    }

    /// Each registration through another daemon.
    async fn register(&self) -> Result<()> {
        let store = format!("file://{}", self.store().display());
        self.cli("one").json::<Value>(&["store", "add", "main", &store]).await?;
        let replica = self.home.path().join("replica");
        fs::create_dir_all(replica.join("orders"))?;
        for key in 0..40 {
            let document = json!({"key": format!("key {key}"), "time": 1, "value": key});
            fs::write(replica.join(format!("orders/{key}.json")), document.to_string())?;
        }
        let file = self.home.path().join("source.json");
        fs::write(&file, json!({"replicas": [{"id": "a", "directory": replica}]}).to_string())?;
        let add = ["source", "add", "source", "--kind", toy::KIND, "--spec", text(&file)?];
        self.cli("two").json::<Value>(&add).await?;
        let seen: Cluster = self.joined(&NODES).await?;
        ensure!(seen.name.as_deref() == Some("default") && seen.nodes.iter().filter(|node| node.leads).count() <= 1);
        Ok(())
    }

    /// The cluster once these daemons, and no others, are in it.
    async fn joined(&self, nodes: &[&str]) -> Result<Cluster> {
        let cli = self.cli(nodes[0]);
        let mut wanted = nodes.to_vec();
        wanted.sort_unstable();
        wait::until("all daemons in the cluster", BOUND, async || {
            let seen: Cluster = cli.json(&["cluster", "status"]).await?;
            let names: Vec<&str> = seen.nodes.iter().map(|node| node.name.as_str()).collect();
            Ok(if names == wanted { Look::Ready(seen) } else { Look::Not(format!("{names:?}")) })
        })
        .await
    }

    /// Starts all daemons such that one is held at this point, has them run the policy, and waits until one is.
    async fn hold_at(&mut self, point: &str) -> Result<Held> {
        let file = self.home.path().join(format!("held-{}-{point}", self.daemons["one"].0.runs()));
        let pause = [("TIDEMARK_PAUSE_AT", format!("{point}={}", file.display()))];
        for (daemon, _) in self.daemons.values_mut() {
            daemon.restart(&pause).await?;
        }
        self.joined(&NODES).await?;
        let protect = ["protect", "source", "--object", "*", "--to", "main", "--policy", "hourly"];
        let more = ["--option", "complete=true"];
        let operation: Operation = self.cli("three").json(&[protect.as_slice(), &more].concat()).await?;
        wait::until(point, BOUND, async || {
            let held = fs::read_to_string(&file).is_ok_and(|text| text.ends_with('\n'));
            Ok(Look::when(held, || "nobody is held".to_owned()))
        })
        .await?;
        let node = self.runner(self.cli("one"), &operation.id).await?.context("nobody runs what is held")?;
        Ok(Held { node, operation: operation.id, file })
    }

    /// The daemon that runs an operation, as a daemon says.
    async fn runner(&self, cli: &Cli, operation: &str) -> Result<Option<String>> {
        let seen: Cluster = cli.json(&["cluster", "status"]).await?;
        let runs = |node: &ClusterNode| node.operations.iter().any(|id| id == operation);
        Ok(seen.nodes.into_iter().find(runs).map(|node| node.name))
    }

    /// Kills the daemon with its listeners; how long until another one had its work, or had done it.
    async fn kill_and_see(&mut self, held: &Held) -> Result<Duration> {
        let env = self.env.clone();
        self.daemons.get_mut(&held.node).context("held")?.0.kill()?;
        let began = env.monotonic();
        self.taken_from(held).await?;
        Ok(env.monotonic() - began)
    }

    async fn taken_from(&self, held: &Held) -> Result<()> {
        let cli = self.other(&held.node);
        wait::until("another daemon has the work", BOUND, async || {
            let operation: Operation = cli.json(&["op", "show", &held.operation]).await?;
            let runner = self.runner(cli, &held.operation).await?;
            let taken = operation.done || runner.as_ref().is_some_and(|node| *node != held.node);
            Ok(Look::when(taken, || format!("{:?} run by {runner:?}", operation.state)))
        })
        .await
    }

    /// The operation ends well, and there are so many versions.
    async fn succeeds(&self, operation: &str, versions: usize) -> Result<()> {
        let cli = self.living().await?;
        let ended: Operation = wait::until("the end of the operation", BOUND, async || {
            let seen: Operation = cli.json(&["op", "show", operation]).await?;
            Ok(if seen.done { Look::Ready(seen) } else { Look::Not(format!("{:?}", seen.state)) })
        })
        .await?;
        ensure!(ended.state == OperationState::Succeeded, "{ended:?}");
        let seen: List<Version> = cli.json(&["version", "list"]).await?;
        ensure!(seen.items.len() == versions, "{} versions instead of {versions}", seen.items.len());
        Ok(())
    }

    async fn living(&self) -> Result<&Cli> {
        for (daemon, cli) in self.daemons.values() {
            if daemon.pid().is_some() {
                return Ok(cli);
            }
        }
        bail!("no daemon runs")
    }

    /// A daemon goes on with its work over the kill of etcd's leader: nobody takes it, and it is not begun again.
    async fn etcd_leader_is_killed(&mut self) -> Result<()> {
        let held = self.hold_at("mid-consolidation").await?;
        let before: Operation = self.cli("one").json(&["op", "show", &held.operation]).await?;
        let leader = self.etcd.leader()?.context("no leader")?;
        self.etcd.kill(leader)?;
        let began = self.env.monotonic();
        fs::write(&held.file, "go on")?;
        let versions: List<Version> = self.cli("one").json(&["version", "list"]).await?;
        self.succeeds(&held.operation, versions.items.len() + 1).await?;
        println!("etcd's leader killed: the operation was done {:?} later", self.env.monotonic() - began);
        let after: Operation = self.cli("one").json(&["op", "show", &held.operation]).await?;
        ensure!(after.attempt == before.attempt, "begun again: {before:?} {after:?}");
        self.etcd.restart(leader).await
    }

    /// A daemon that was frozen before its manifest for three lease times wakes when its work was done by another: nothing changes.
    async fn frozen(&mut self, versions: usize) -> Result<()> {
        let held = self.hold_at("before-manifest").await?;
        let (daemon, _) = &self.daemons[&held.node];
        let group = daemon.pid().context("it runs")?;
        signal("-STOP", group)?;
        let began = self.env.monotonic();
        self.taken_from(&held).await?;
        println!("frozen: another daemon had the work after {:?}", self.env.monotonic() - began);
        let other = self.other(&held.node);
        let over = async || {
            let frozen = self.env.monotonic() - began;
            Ok(Look::when(frozen > LEASE * 3, || format!("frozen for {frozen:?}")))
        };
        wait::until("three lease times", BOUND, over).await?;
        let before: List<Version> = other.json(&["version", "list"]).await?;
        ensure!(before.items.len() == versions, "{} versions instead of {versions}", before.items.len());
        let stored = manifests(&self.store())?;
        fs::write(&held.file, "go on")?;
        signal("-CONT", group)?;
        self.joined(&NODES).await?;
        wait::until("the frozen run's end", BOUND, async || {
            let log = daemon.log();
            Ok(Look::when(log.contains("the end of a run was not recorded"), || "it has not ended".to_owned()))
        })
        .await?;
        let after: List<Version> = other.json(&["version", "list"]).await?;
        ensure!(before == after && stored == manifests(&self.store())?, "{before:?} {after:?}");
        Ok(())
    }
}

/// Names and bytes of all manifests.
fn manifests(store: &Path) -> Result<BTreeMap<PathBuf, Vec<u8>>> {
    let folder = store.join("sources/source/sets/hourly/versions");
    let read = |entry: std::io::Result<fs::DirEntry>| {
        let path = entry?.path();
        Ok((path.clone(), fs::read(path)?))
    };
    fs::read_dir(folder)?.map(read).collect()
}

fn signal(name: &str, group: u32) -> Result<()> {
    let sent = Command::new("kill").args([name, "--", &format!("-{group}")]).status()?;
    ensure!(sent.success(), "kill {name} of group {group}: {sent}");
    Ok(())
}

fn text(path: &Path) -> Result<&str> {
    path.to_str().context("a path that is no text")
}
