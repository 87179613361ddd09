//! Three daemons on three members of etcd, with the toy kind of source and no database: daemons killed in each phase of a version, of a
//! restore and of a collection, etcd's leader killed under one, and a daemon that was frozen until long after another one took its work;
//! etcd without a majority, and wiped; a daemon that leaves the cluster and comes back.

mod majority;
mod moves;

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
    process::Command,
    time::Duration,
};

use anyhow::{Context, Result, ensure};
use jiff::Timestamp;
use serde_json::{Value, json};
use tempfile::TempDir;
use tidemark_gateway::Env;
use tidemark_integration::{
    daemon::{Cli, Daemon, DaemonSpec},
    etcd::{EtcdCluster, MEMBERS},
    link::Link,
    paths, toy,
    wait::{self, Look},
};
use tidemark_web::api::{Cluster, ClusterNode, List, Operation, OperationState, Version};

/// Addresses of this test: 127.0.175.x.
const GROUP: u8 = 175;

/// Longest time for what follows a kill.
const BOUND: Duration = Duration::from_secs(90);

/// Longest time from the kill of a daemon until another one begins with its work, as that one logs it: the lease's time to live, and two
/// seconds.
const TAKEOVER: Duration = Duration::from_secs(12);

/// Time to live of a daemon's lease.
const LEASE: Duration = Duration::from_secs(10);

/// What a daemon logs of a run whose work another one has.
const NOT_RECORDED: &str = "the end of a run was not recorded";

/// Daemons of the cluster.
const NODES: [&str; 3] = ["one", "two", "three"];

/// Three daemons, the etcd that they share, and a store.
struct World {
    etcd: EtcdCluster,
    daemons: BTreeMap<String, (Daemon, Cli)>,
    /// The network between each daemon and etcd.
    links: BTreeMap<String, Link>,
    home: TempDir,
    env: Env,
}

/// A daemon that is held at a point with the work that led there.
struct Held {
    /// The daemon.
    node: String,
    /// What was asked for.
    asked: String,
    /// What the daemon runs of it: the operation itself, or a part.
    operation: String,
    file: PathBuf,
}

/// Keys of each object.
const KEYS: usize = 40;

/// The objects of the source.
const OBJECTS: [&str; 2] = ["orders", "users"];

/// What makes a version.
const PROTECT: [&str; 10] =
    ["protect", "source", "--object", "*", "--to", "main", "--policy", "hourly", "--option", "complete=true"];

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
    let (mut versions, rounds) = (0, kill_rounds()?);
    for round in 0..rounds {
        versions = world.kills(round, versions).await?;
    }
    world.all_verify(versions).await?;
    versions += 2;
    world.drained(versions).await?;
    world.etcd_leader_is_killed().await?;
    versions += 1;
    versions += 1;
    world.etcd_has_no_majority(versions).await?;
    world.frozen(versions + 1).await?;
    versions += 1;
    for (requests, answers) in [(false, false), (true, false)] {
        versions += 1;
        world.cut_off(requests, answers, versions).await?;
    }
    // The state keeps its opening: starts of daemons and deaths of members take no generation.
    let generations = fs::read_dir(world.store().join("gen"))?.count();
    ensure!(generations == 1, "{generations} generations were taken");
    versions += 1;
    world.wiped(versions).await?;
    versions += 3;
    world.by_itself(versions).await
}

/// How often all kills are done.
fn kill_rounds() -> Result<usize> {
    let given = std::env::var("TIDEMARK_KILL_ROUNDS").ok();
    given.map_or(Ok(1), |text| text.parse().with_context(|| format!("TIDEMARK_KILL_ROUNDS is {text:?}")))
}

impl World {
    /// A daemon is killed at each point of a version, a restore and a collection; how many versions there are then, after `versions`.
    async fn kills(&mut self, round: usize, mut versions: usize) -> Result<usize> {
        for point in [
            "mid-upload",
            "mid-part",
            "mid-consolidation",
            "before-manifest",
            "after-manifest",
            "committed",
            "before-end",
        ] {
            let held = self.killed_at(point, &PROTECT).await?;
            versions += 1;
            self.succeeds(&held.asked, versions).await?;
        }
        for point in ["before-verify", "before-end"] {
            let to = format!("{point}-{round}");
            let (target, newest) = (self.destination(&to).await?, self.versions().await?.swap_remove(0));
            let held = self.killed_at(point, &["restore", "run", "--version", &newest, "--to", &to]).await?;
            self.succeeds(&held.asked, versions).await?;
            self.holds_all(&target)?;
        }
        for point in ["mid-collection", "mid-sweep", "marked"] {
            let oldest = self.versions().await?.pop().context("a version")?;
            self.living()?.json::<Value>(&["version", "expire", &oldest, "--reason", "test"]).await?;
            let held = self.killed_at(point, &["gc", "run", "main"]).await?;
            versions -= 1;
            self.succeeds(&held.asked, versions).await?;
        }
        Ok(versions)
    }

    /// Ids of all versions, newest first.
    async fn versions(&self) -> Result<Vec<String>> {
        let listed: List<Version> = self.living()?.json(&["version", "list"]).await?;
        Ok(listed.items.into_iter().map(|version| version.id).collect())
    }
}

impl World {
    async fn start() -> Result<Self> {
        let (etcd, home) = (EtcdCluster::start(GROUP).await?, tempfile::tempdir()?);
        let (daemons, links) = (BTreeMap::new(), BTreeMap::new());
        let mut world = Self { etcd, daemons, links, home, env: Env::system() };
        for (at, node) in NODES.into_iter().enumerate() {
            let (link, mut endpoints) = (Link::default(), Vec::new());
            for n in 0..MEMBERS {
                let address = format!("127.0.{GROUP}.{}:2379", 111 + 10 * at + n);
                let member = world.etcd.endpoint(n);
                let member = member.strip_prefix("http://").context("a member without TLS")?;
                link.serve(&address, member.to_owned()).await?;
                endpoints.push(format!("http://{address}"));
            }
            world.links.insert(node.to_owned(), link);
            let spec = DaemonSpec {
                program: toy::DAEMON,
                dir: world.home.path().join(node),
                listen: format!("127.0.{GROUP}.{}:8480", 101 + at),
                environment: vec![
                    ("TIDEMARK_COORDINATOR".to_owned(), endpoints.join(",")),
                    ("TIDEMARK_NODE".to_owned(), node.to_owned()),
                    ("TIDEMARK_CONSOLIDATION_PART_BYTES".to_owned(), "1".to_owned()),
                    ("TIDEMARK_GRACE_SECONDS".to_owned(), "0".to_owned()),
                ],
                keep: false,
            };
            // All have the token that the first one makes.
            if let Some((first, _)) = world.daemons.get(NODES[0]) {
                fs::create_dir_all(&spec.dir)?;
                fs::copy(first.token_file(), spec.dir.join("token"))?;
            }
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
        for object in OBJECTS {
            fs::create_dir_all(replica.join(object))?;
            for key in 0..KEYS {
                let document = json!({"key": format!("key {key}"), "time": 1, "value": key});
                fs::write(replica.join(format!("{object}/{key}.json")), document.to_string())?;
            }
        }
        self.add_source(self.cli("two"), "source", &replica).await?;
        let seen: Cluster = self.joined(&NODES).await?;
        ensure!(seen.name.as_deref() == Some("default") && seen.nodes.iter().filter(|node| node.leads).count() <= 1);
        Ok(())
    }

    async fn add_source(&self, cli: &Cli, name: &str, directory: &Path) -> Result<()> {
        let file = self.home.path().join(format!("{name}.json"));
        fs::write(&file, json!({"replicas": [{"id": "a", "directory": directory}]}).to_string())?;
        let add = ["source", "add", name, "--kind", toy::KIND, "--spec", text(&file)?];
        cli.json::<Value>(&add).await.map(drop)
    }

    /// An empty source, and its directory.
    async fn destination(&self, name: &str) -> Result<PathBuf> {
        self.destination_by(self.living()?, name).await
    }

    /// The same, as a daemon is told.
    async fn destination_by(&self, cli: &Cli, name: &str) -> Result<PathBuf> {
        let directory = self.home.path().join(name);
        fs::create_dir_all(&directory)?;
        self.add_source(cli, name, &directory).await?;
        Ok(directory)
    }

    /// Every document of the source is there, once.
    fn holds_all(&self, target: &Path) -> Result<()> {
        for object in OBJECTS {
            let mut seen = BTreeMap::new();
            for entry in fs::read_dir(target.join(object))? {
                let document: Value = serde_json::from_slice(&fs::read(entry?.path())?)?;
                let key = document["key"].as_str().context("key")?.to_owned();
                ensure!(seen.insert(key, document["value"].clone()).is_none(), "{document} is there twice");
            }
            let expected = (0..KEYS).map(|key| (format!("key {key}"), json!(key))).collect();
            ensure!(seen == expected, "{object}: {seen:?}");
        }
        Ok(())
    }

    /// Every version that is listed is proven.
    async fn all_verify(&self, versions: usize) -> Result<()> {
        let cli = self.living()?;
        let seen: List<Version> = cli.json(&["version", "list"]).await?;
        ensure!(seen.items.len() == versions, "{} versions instead of {versions}", seen.items.len());
        for version in &seen.items {
            let _: Operation = cli.json(&["version", "verify", &version.id, "--wait"]).await?;
        }
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

    /// Starts all daemons such that one is held at this point, asks for the work, and waits until one is.
    async fn hold_at(&mut self, point: &str, ask: &[&str]) -> Result<Held> {
        let file = self.home.path().join(format!("held-{}-{point}", self.daemons["one"].0.runs()));
        let pause = [("TIDEMARK_PAUSE_AT", format!("{point}={}", file.display()))];
        for (daemon, _) in self.daemons.values_mut() {
            daemon.stop().await?;
            daemon.restart(&pause).await?;
        }
        self.joined(&NODES).await?;
        let asked: Operation = self.cli("three").json(ask).await?;
        let pid: u32 = wait::until(point, BOUND, async || {
            let held = fs::read_to_string(&file).ok().filter(|text| text.ends_with('\n'));
            let pid = held.and_then(|text| text.trim().parse().ok());
            Ok(pid.map_or_else(|| Look::Not("nobody is held".to_owned()), Look::Ready))
        })
        .await?;
        let (node, operation) = self.held_by(pid, &asked.id).await?;
        Ok(Held { node, asked: asked.id, operation, file })
    }

    /// The daemon whose process is held, or whose listener is, and what it runs of the operation: only that goes on where it does
    /// several parts.
    async fn held_by(&self, pid: u32, asked: &str) -> Result<(String, String)> {
        let own = self.daemons.iter().find(|(_, (daemon, _))| daemon.pid() == Some(pid)).map(|(name, _)| name);
        let cli = self.cli("one");
        wait::until("one part that is held", BOUND, async || {
            let parts: List<Operation> = cli.json(&["op", "list", "--of", asked]).await?;
            let seen: Cluster = cli.json(&["cluster", "status"]).await?;
            let held = seen.nodes.iter().filter(|node| own.is_none_or(|own| *own == node.name));
            let runs = held.flat_map(|node| node.operations.iter().map(|id| (node.name.clone(), id.clone())));
            let part = |id: &String| parts.items.iter().any(|part| part.id == *id);
            let mut runs: Vec<_> = runs.filter(|(_, id)| id == asked || part(id)).collect();
            // Who is held in a part may wait for it, too.
            runs.sort_by_key(|(_, id)| !part(id));
            let alone = runs.iter().filter(|(_, id)| part(id)).count() <= 1;
            let first = runs.first().filter(|_| alone).cloned();
            Ok(first.map_or_else(|| Look::Not(format!("{runs:?}")), Look::Ready))
        })
        .await
    }

    /// Has a daemon killed at this point of the work that is asked for: another one has it soon.
    async fn killed_at(&mut self, point: &str, ask: &[&str]) -> Result<Held> {
        let held = self.hold_at(point, ask).await?;
        let took = self.kill_and_see(&held).await?;
        println!("killed {point}: another daemon had the work after {took:?}");
        ensure!(took <= TAKEOVER, "{point}: taken over after {took:?}");
        Ok(held)
    }

    /// The daemon that runs an operation, as a daemon says.
    async fn runner(&self, cli: &Cli, operation: &str) -> Result<Option<String>> {
        let seen: Cluster = cli.json(&["cluster", "status"]).await?;
        let runs = |node: &ClusterNode| node.operations.iter().any(|id| id == operation);
        Ok(seen.nodes.into_iter().find(runs).map(|node| node.name))
    }

    /// Kills the daemon with its listeners; how long until another one had its work, or had done it.
    async fn kill_and_see(&mut self, held: &Held) -> Result<Duration> {
        let killed = self.env.now();
        self.daemons.get_mut(&held.node).context("held")?.0.kill()?;
        self.taken_from(held).await?;
        self.took(held, killed)
    }

    /// From then until another daemon said that it begins with the work. What it takes to ask the daemons is not in it.
    fn took(&self, held: &Held, since: Timestamp) -> Result<Duration> {
        let begins = format!("task started task={} ", held.operation);
        let logs = self.daemons.iter().filter(|(node, _)| **node != held.node).map(|(_, (daemon, _))| daemon.log());
        let logs: Vec<_> = logs.collect();
        let lines = logs.iter().flat_map(|log| log.lines()).filter(|line| line.contains(&begins));
        let times = lines.filter_map(|line| line.split_whitespace().next()?.parse::<Timestamp>().ok());
        let first = times.filter(|time| *time >= since).min().with_context(|| format!("nobody said {begins:?}"))?;
        Ok(Duration::try_from(first.duration_since(since))?)
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
        self.ends_well(self.living()?, operation, versions).await
    }

    /// The same, as a daemon tells it.
    async fn ends_well(&self, cli: &Cli, operation: &str, versions: usize) -> Result<()> {
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

    fn living(&self) -> Result<&Cli> {
        Ok(self.cli(self.living_node()?))
    }

    fn living_node(&self) -> Result<&str> {
        let living = self.daemons.iter().find(|(_, (daemon, _))| daemon.pid().is_some());
        living.map(|(name, _)| name.as_str()).context("no daemon runs")
    }

    /// A daemon that was frozen before its manifest for three lease times wakes when its work was done by another: nothing changes.
    async fn frozen(&mut self, versions: usize) -> Result<()> {
        let held = self.hold_at("before-manifest", &PROTECT).await?;
        let (daemon, _) = &self.daemons[&held.node];
        let group = daemon.pid().context("it runs")?;
        signal("-STOP", group)?;
        let (began, stopped) = (self.env.monotonic(), self.env.now());
        self.taken_from(&held).await?;
        let took = self.took(&held, stopped)?;
        println!("frozen: another daemon had the work after {took:?}");
        ensure!(took <= TAKEOVER, "taken over after {took:?}");
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
            Ok(Look::when(log.contains(NOT_RECORDED), || "it has not ended".to_owned()))
        })
        .await?;
        let after: List<Version> = other.json(&["version", "list"]).await?;
        ensure!(before == after && stored == manifests(&self.store())?, "{before:?} {after:?}");
        Ok(())
    }
}

impl World {
    /// The daemon that leads is drained: another one leads, and others do what is asked for, also when it was started anew. When the
    /// others are drained in its place, it does.
    async fn drained(&mut self, versions: usize) -> Result<()> {
        for (daemon, _) in self.daemons.values_mut().filter(|(daemon, _)| daemon.pid().is_none()) {
            daemon.restart(&[]).await?;
        }
        self.joined(&NODES).await?;
        let leads = |seen: &Cluster| seen.nodes.iter().find(|node| node.leads).map(|node| node.name.clone());
        let leader = self.seen("a leader", leads).await?;
        let other = NODES.into_iter().find(|node| *node != leader).context("three daemons")?;
        self.cli(other).json::<Cluster>(&["cluster", "drain", &leader]).await?;
        let (daemon, _) = self.daemons.get_mut(&leader).context("a daemon")?;
        daemon.stop().await?;
        daemon.restart(&[]).await?;
        self.joined(&NODES).await?;
        self.seen("another leader", |seen| leads(seen).filter(|name| *name != leader)).await?;
        let ask = [PROTECT.as_slice(), &["--wait"]].concat();
        let made: Operation = self.cli(&leader).json(&ask).await?;
        self.succeeds(&made.id, versions - 1).await?;
        let worked = |world: &Self| world.daemons[&leader].0.log().contains("task started");
        ensure!(!worked(self), "{leader} drains, and runs operations");
        for node in NODES {
            let verb = if node == leader { "undrain" } else { "drain" };
            self.cli(node).json::<Cluster>(&["cluster", verb, node]).await?;
        }
        let made: Operation = self.cli(other).json(&ask).await?;
        self.succeeds(&made.id, versions).await?;
        ensure!(worked(self), "{leader} takes work, and others ran the operation");
        for node in NODES.into_iter().filter(|node| *node != leader) {
            self.cli(node).json::<Cluster>(&["cluster", "undrain", node]).await?;
        }
        Ok(())
    }

    /// What the cluster shows, once it does.
    async fn seen<T>(&self, what: &str, look: impl Fn(&Cluster) -> Option<T>) -> Result<T> {
        wait::until(what, BOUND, async || {
            let seen: Cluster = self.living()?.json(&["cluster", "status"]).await?;
            Ok(look(&seen).map_or_else(|| Look::Not(format!("{seen:?}")), Look::Ready))
        })
        .await
    }

    /// A daemon is cut off from etcd, or hears nothing of it, in the middle of its work: another one does it, and what the first still does
    /// adds nothing. When it hears again it is one of them as before.
    async fn cut_off(&mut self, requests: bool, answers: bool, versions: usize) -> Result<()> {
        let held = self.hold_at("mid-consolidation", &PROTECT).await?;
        let link = self.links[&held.node].clone();
        let cut = self.env.now();
        link.set(requests, answers);
        fs::write(&held.file, "go on")?;
        self.taken_from(&held).await?;
        let took = self.took(&held, cut)?;
        println!("cut off (requests arrive: {requests}): another daemon had the work after {took:?}");
        // While requests arrive, etcd keeps the lease until the daemon gives up asking; then it runs out.
        let bound = if requests { TAKEOVER + LEASE } else { TAKEOVER };
        ensure!(took <= bound, "taken over after {took:?}");
        let others: Vec<_> = NODES.into_iter().filter(|node| *node != held.node).collect();
        self.joined(&others).await?;
        // The first one cannot tell.
        let any = Cli::of_any([&self.daemons[&held.node].0, &self.daemons[others[0]].0])?;
        let _: Operation = any.json(&["op", "show", &held.asked]).await?;
        self.ends_well(self.other(&held.node), &held.asked, versions).await?;
        let stored = manifests(&self.store())?;
        link.set(true, true);
        let (daemon, _) = &self.daemons[&held.node];
        wait::until("the end of the first run", BOUND, async || {
            Ok(Look::when(daemon.log().contains(NOT_RECORDED), || "it has not ended".to_owned()))
        })
        .await?;
        self.joined(&NODES).await?;
        self.ends_well(self.cli(&held.node), &held.asked, versions).await?;
        ensure!(stored == manifests(&self.store())?, "a manifest came or changed");
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
