//! What `make demo` shows: a real cluster with a lagging replica is protected, an incident destroys data, the version is
//! restored into another cluster, and the incident is undone in place in the damaged one; every row of both is compared with
//! what was read before the incident.

mod load;
mod report;
mod shop;
mod undo;

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use scylla::{client::session::Session, statement::Consistency};
use tidemark_gateway::Env;
use tidemark_web::api::{Quality, RestorePlan, VersionDetail};

use self::load::Loader;
pub use self::report::Report;
use self::report::count;
use crate::{
    cassandra::{Cluster, ClusterSpec},
    compare::{self, TableDigest, digest::Differences},
    cql,
    system::{Restore, System},
    wait::{self, Look},
};

/// Loopback networks of the demo's clusters, 127.0.x.0/24.
const SOURCE_GROUP: u8 = 200;
const DESTINATION_GROUP: u8 = 201;
/// The replica that misses a part of the writes.
const LAGGING: usize = 2;
/// Longest time until the files of a compaction are alone.
const COMPACTED: Duration = Duration::from_secs(60);
/// Shares of customers and devices written before, while and after that replica is down.
const SHARES: [(usize, usize); 3] = [(1_200, 215), (600, 73), (360, 73)];

/// Runs the demo; with `keep` everything is left running.
///
/// # Errors
/// Where a step fails. A comparison that finds differences is not an error: [`Report::holds`] says it.
pub async fn run(keep: bool) -> Result<Report> {
    Demo { env: Env::system(), keep }.run().await
}

struct Demo {
    env: Env,
    keep: bool,
}

/// The demo's shop on one replica that misses nothing.
///
/// # Errors
/// Where a write fails.
pub(crate) async fn fill_alone(session: &Session) -> Result<()> {
    cql::run(session, &shop::schema(1)).await?;
    let mut loader = Loader::new(session);
    loader.accounts().await?;
    for (customers, devices) in SHARES {
        loader.activity(customers, devices, Consistency::All).await?;
    }
    loader.changes(0, SHARES[0].0, Consistency::All).await.map(drop)
}

/// The shop's tables as they were read.
#[derive(Default)]
struct ShopDigest {
    /// With write times, by table.
    timed: Vec<TableDigest>,
    /// Values and expiries alone, by table.
    values: Vec<TableDigest>,
}

/// How all tables differ.
fn differences(before: &[TableDigest], after: &[TableDigest]) -> Differences {
    let pairs = before.iter().zip(after);
    pairs.map(|(before, after)| before.differences(after)).fold(Differences::default(), Differences::plus)
}

impl Demo {
    async fn run(&self) -> Result<Report> {
        self.say("starting a Cassandra cluster of 3 nodes, replication factor 3");
        let mut source = Cluster::start(self.spec("shop", SOURCE_GROUP, 3, 4)).await?;
        let session = cql::connect(&source.contact_points()).await?;
        cql::run(&session, &shop::schema(3)).await?;
        let mut loader = Loader::new(&session);
        let missed = self.fill(&mut source, &mut loader).await?;

        let system =
            if self.keep { System::start_to_keep(SOURCE_GROUP).await? } else { System::start(SOURCE_GROUP).await? };
        let (version, protect) = self.protect(&system, &source).await?;
        self.say("reading every row at ALL, to compare with later");
        let before = digests(&session, "shop").await?;
        let compacted_bytes = self.compacted(&source).await?;
        self.damage(&loader, &session, &before).await?;

        self.say("starting another cluster: 1 node, other tokens, replication factor 1");
        let destination = Cluster::start(self.spec("copy", DESTINATION_GROUP, 1, 7)).await?;
        let restore = self.restore(&system, &destination, &version).await?;
        self.say("reading the restored rows and comparing them with before the incident");
        let copy = cql::connect(&destination.contact_points()).await?;
        let after = digests(&copy, "shop_copy").await?;
        let differences = differences(&before.timed, &after.timed);
        let undone = self.undo(&system, &session, &version, &before).await?;
        if self.keep {
            self.what_to_try(&system, &source, &destination, &version);
        }
        let totals = version.version.totals;
        Ok(Report {
            rows: totals.rows,
            replica_bytes: totals.source_bytes,
            shipped_bytes: totals.shipped_bytes,
            stored_bytes: totals.kept_bytes,
            compacted_bytes,
            disagreements: totals.disagreeing_rows,
            missed,
            protect_seconds: protect.as_secs_f64(),
            restore_seconds: restore.as_secs_f64(),
            compared: after.timed.iter().map(TableDigest::len).sum(),
            differences,
            undone,
        })
    }

    fn spec(&self, name: &str, group: u8, nodes: u8, tokens: usize) -> ClusterSpec {
        ClusterSpec {
            keep: self.keep,
            heap: "512M".to_owned(),
            ..ClusterSpec::new(name, group, nodes).with_tokens(tokens)
        }
    }

    /// Loads the shop while one replica is down for a part of it; returns how many rows it missed a write of.
    async fn fill(&self, source: &mut Cluster, loader: &mut Loader<'_>) -> Result<u64> {
        let total = shop::ACCOUNTS
            + SHARES
                .iter()
                .map(|(customers, devices)| customers * shop::ORDERS + devices * shop::EVENTS)
                .sum::<usize>();
        self.say(&format!("loading {total} rows with a write time each: accounts, orders, events with TTLs"));
        let started = self.env.monotonic();
        let [before, down, after] = SHARES;
        loader.accounts().await?;
        loader.activity(before.0, before.1, Consistency::All).await?;
        loader.changes(0, before.0 / 2, Consistency::All).await?;
        self.say("node 3 is stopped; the application goes on writing at QUORUM, without hints");
        source.stop(LAGGING).await?;
        let new = loader.activity(down.0, down.1, Consistency::Quorum).await?;
        let changed = loader.changes(before.0 / 2, before.0, Consistency::Quorum).await?;
        source.restart(LAGGING).await?;
        self.say("node 3 is back, and lacks what it missed");
        loader.activity(after.0, after.1, Consistency::All).await?;
        let seconds = (self.env.monotonic() - started).as_secs_f64();
        self.say(&format!("loaded in {seconds:.0} s"));
        Ok((new + changed) as u64)
    }

    async fn protect(&self, system: &System, source: &Cluster) -> Result<(VersionDetail, Duration)> {
        self.say("tidemark protect: listeners ship every replica's files, consolidation collapses them into one copy");
        system.add_source("prod", source).await?;
        let started = self.env.monotonic();
        let version = system.protect("prod", "shop/*", "shop", &["--write-level", "quorum"]).await?;
        let took = self.env.monotonic() - started;
        ensure!(
            version.version.quality == Quality::Cut,
            "the version is {}: {:?}",
            version.version.quality,
            version.contents
        );
        Ok((version, took))
    }

    /// Size of one replica after Cassandra's own major compaction: the yardstick for the stored copy.
    async fn compacted(&self, source: &Cluster) -> Result<u64> {
        self.say("flush and major compaction on node 1, to measure one replica as Cassandra itself would keep it");
        source.nodetool(0, &["flush", "shop"])?;
        source.nodetool(0, &["compact", "shop"])?;
        // Files that compaction replaced stay for a moment.
        let data_dir = source.nodes()[0].data_dir();
        wait::until("one file of each table", COMPACTED, async || {
            let files = report::data_files(&data_dir, "shop")?;
            let whole = files.len() == shop::TABLES.len();
            Ok(if whole { Look::Ready(files.iter().sum()) } else { Look::Not(format!("{} files", files.len())) })
        })
        .await
    }

    async fn damage(&self, loader: &Loader<'_>, session: &Session, before: &ShopDigest) -> Result<()> {
        let (customers, accounts) = loader.damage().await?;
        self.say(&format!(
            "INCIDENT: orders of {customers} customers deleted, e-mail of {accounts} accounts overwritten"
        ));
        let damaged = digests_of(session, "shop", &["accounts"]).await?;
        let seen = before.timed[0].differences(&damaged.timed[0]);
        ensure!(seen.changed == accounts, "the incident changed {seen:?} instead of {accounts} accounts");
        Ok(())
    }

    async fn restore(&self, system: &System, destination: &Cluster, version: &VersionDetail) -> Result<Duration> {
        system.add_source("spare", destination).await?;
        let id = version.version.id.as_str();
        let plan = ["restore", "plan", "--version", id, "--to", "spare", "--rename", "shop=shop_copy"];
        let replication = r#"{"class": "SimpleStrategy", "replication_factor": "1"}"#;
        let plan: RestorePlan = system.cli.json(&[&plan[..], &["--replication", replication]].concat()).await?;
        self.say(&format!("tidemark restore: {} rows of {} tables into shop_copy", plan.rows, plan.objects.len()));
        let started = self.env.monotonic();
        let into =
            Restore { version: id, to: "spare", from: "shop", into: "shop_copy", replication_factor: 1, more: &[] };
        let done = system.restore(&into).await?;
        ensure!(matches!(done.state.as_str(), "succeeded" | "warnings"), "restore {}: {done:?}", done.state);
        Ok(self.env.monotonic() - started)
    }

    fn what_to_try(&self, system: &System, source: &Cluster, destination: &Cluster, version: &VersionDetail) {
        let (cli, id) = (system.cli.shown(), &version.version.id);
        println!("\nEverything is left running. To try:");
        for command in [
            "version list",
            &format!("version show {id}"),
            "object tree prod",
            "op list",
            &format!("version verify {id} --wait"),
            &format!("restore plan --version {id} --to prod --if-exists undo --count"),
        ] {
            println!("  {cli} {command}");
        }
        println!("  store: {}", system.store_dir().display());
        println!(
            "  CQL: {} (shop), {} (shop_copy)",
            source.contact_points().join(" "),
            destination.contact_points().join(" ")
        );
        let nodes = source.nodes().iter().chain(destination.nodes()).filter_map(crate::cassandra::Node::pid);
        let pids: Vec<String> = nodes.chain(system.daemon.pid()).map(|pid| pid.to_string()).collect();
        println!("  to end it: kill {}", pids.join(" "));
    }

    fn say(&self, what: &str) {
        println!("{:>6.1} s  {what}", self.env.monotonic().as_secs_f64());
    }
}

/// Three tables of the shop, typed as targets of an undo.
const TYPED: [&str; 6] =
    ["--confirm-target", "shop/accounts", "--confirm-target", "shop/orders", "--confirm-target", "shop/events"];

async fn digests(session: &Session, keyspace: &str) -> Result<ShopDigest> {
    digests_of(session, keyspace, &shop::TABLES).await
}

async fn digests_of(session: &Session, keyspace: &str, tables: &[&str]) -> Result<ShopDigest> {
    let mut digests = ShopDigest::default();
    for table in tables {
        let (mut timed, mut values) = (TableDigest::default(), TableDigest::default());
        let read = compare::read_each(session, keyspace, table, |key, row| {
            timed.insert(&key, &row);
            values.insert_values(&key, &row);
        });
        read.await.with_context(|| format!("read {keyspace}.{table}"))?;
        digests.timed.push(timed);
        digests.values.push(values);
    }
    Ok(digests)
}
