//! A policy that runs by itself on a real node, while the application writes and the daemon is killed at random: no slot of its
//! schedule runs twice and none is lost, versions expire and are collected, and at the end the bucket holds what the kept versions
//! need and nothing else, to the byte. Every kept version restores.

use std::{
    collections::BTreeSet,
    fs,
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use anyhow::{Context, Result, ensure};
use jiff::Timestamp;
use rand::{Rng as _, SeedableRng as _};
use rand_chacha::ChaCha8Rng;
use scylla::client::session::Session;
use serde_json::Value;
use tidemark_gateway::Env;
use tidemark_integration::{
    cassandra::{Cluster, ClusterSpec},
    compare, cql, paths,
    system::{Restore, STORE, System},
    wait::{self, Look},
};
use tidemark_web::api::{GcPreview, Operation, OperationKind, OperationState, StoreUsage, Version};

/// Loopback network of this test.
const GROUP: u8 = 160;

/// How long the policy runs, s, unless the environment says otherwise.
const SECONDS: u64 = 240;

/// Time from one slot to the next, s.
const EVERY: u64 = 20;

/// Versions that are kept.
const KEPT: usize = 3;

/// Longest time for what runs to end.
const LONGEST: Duration = Duration::from_secs(120);

/// Graces of the daemon, s: short, so that all of it happens within the test.
const SETTINGS: [(&str, &str); 4] = [
    ("TIDEMARK_COLLECT_EVERY_SECONDS", "15"),
    ("TIDEMARK_EXPIRY_GRACE_SECONDS", "2"),
    ("TIDEMARK_MARKS_GRACE_SECONDS", "2"),
    ("TIDEMARK_UNCLAIMED_SECONDS", "5"),
];

/// What the application was told is written: number of the row and when.
type Acknowledged = Vec<(i32, Timestamp)>;

/// A time in which the daemon was not there.
type Down = (Timestamp, Timestamp);

#[tokio::test(flavor = "multi_thread")]
async fn a_policy_runs_by_itself_whatever_happens_to_the_daemon_and_the_bucket_holds_what_is_kept() -> Result<()> {
    const NAME: &str = "a_policy_runs_by_itself_whatever_happens_to_the_daemon_and_the_bucket_holds_what_is_kept";
    if !paths::cassandra_or_skip(NAME) {
        return Ok(());
    }
    let seconds = std::env::var("TIDEMARK_POLICY_SECONDS").ok().and_then(|text| text.parse().ok()).unwrap_or(SECONDS);
    let cluster = Cluster::start(ClusterSpec::new("policies", GROUP, 1)).await?;
    let session = Arc::new(cql::connect(&cluster.contact_points()).await?);
    create(&session).await?;
    let mut system = System::start(GROUP).await?;
    restart(&mut system).await?;
    system.add_source("source", &cluster).await?;
    let every = format!("{EVERY}s");
    let keep = format!("last={KEPT}");
    let policy = ["policy", "create", "auto", "source", "--object", "ks/*", "--to", STORE, "--every", &every];
    let _: Value = system.cli.json(&[&policy[..], &["--keep", &keep]].concat()).await?;

    let (stop, writer) = write_until_stopped(&session);
    let down = kill_at_random(&mut system, Duration::from_secs(seconds)).await?;
    stop.store(true, Ordering::SeqCst);
    let acknowledged = writer.await??;
    let _: Value = system.cli.json(&["policy", "pause", "auto"]).await?;
    until_quiet(&system).await?;

    slots_ran_once_and_none_was_lost(&system, &down).await?;
    let kept = until_collected(&system).await?;
    the_bucket_holds_what_is_needed(&system, &kept)?;
    for version in &kept {
        restores(&system, &session, version, &acknowledged).await.with_context(|| version.id.clone())?;
    }
    Ok(())
}

async fn create(session: &Session) -> Result<()> {
    let create = [
        "CREATE KEYSPACE ks WITH replication = {'class': 'SimpleStrategy', 'replication_factor': 1}",
        "CREATE TABLE ks.t (id int PRIMARY KEY, v text)",
    ];
    cql::run(session, &create.map(str::to_owned)).await
}

async fn restart(system: &mut System) -> Result<()> {
    system.daemon.restart(&SETTINGS.map(|(name, value)| (name, value.to_owned()))).await
}

/// The application: a row after the other, each once the one before is acknowledged.
fn write_until_stopped(session: &Arc<Session>) -> (Arc<AtomicBool>, tokio::task::JoinHandle<Result<Acknowledged>>) {
    let (stop, session) = (Arc::new(AtomicBool::new(false)), Arc::clone(session));
    let stopped = Arc::clone(&stop);
    let writer = tokio::spawn(async move {
        let (env, mut acknowledged) = (Env::system(), Vec::new());
        // An application that leaves the node some room.
        let mut pace = tokio::time::interval(Duration::from_millis(5));
        let insert = session.prepare("INSERT INTO ks.t (id, v) VALUES (?, ?)").await?;
        for number in 0.. {
            if stopped.load(Ordering::SeqCst) {
                break;
            }
            pace.tick().await;
            session.execute_unpaged(&insert, (number, format!("row {number} {}", "x".repeat(100)))).await?;
            acknowledged.push((number, env.now()));
        }
        Ok(acknowledged)
    });
    (stop, writer)
}

/// Kills the daemon and all listeners at random times, and starts the daemon again at once; gives when it was away.
async fn kill_at_random(system: &mut System, lasting: Duration) -> Result<Vec<Down>> {
    let env = Env::system();
    let (mut random, mut down) = (ChaCha8Rng::seed_from_u64(20), Vec::new());
    let end = env.monotonic() + lasting;
    while env.monotonic() < end {
        let next = (env.monotonic() + Duration::from_millis(random.random_range(4_000..25_000))).min(end);
        wait::until("the next kill", LONGEST, async || {
            Ok(Look::when(env.monotonic() >= next, || "not yet".to_owned()))
        })
        .await?;
        let killed = env.now();
        system.daemon.kill()?;
        restart(system).await?;
        down.push((killed, env.now()));
    }
    println!("killed {} times in {} s", down.len(), lasting.as_secs());
    Ok(down)
}

/// Waits until no operation is left that runs or waits.
async fn until_quiet(system: &System) -> Result<()> {
    wait::until("operations to end", LONGEST, async || {
        let open: Vec<_> = system.operations().await?.into_iter().filter(|operation| !operation.done).collect();
        Ok(Look::when(open.is_empty(), || format!("{open:?}")))
    })
    .await
}

/// Every slot ran once, or there is a reason that can be seen: the daemon was away, or an earlier run was not done.
async fn slots_ran_once_and_none_was_lost(system: &System, down: &[Down]) -> Result<()> {
    let operations = system.operations().await?;
    let runs: Vec<&Operation> = operations.iter().filter(|o| o.kind == OperationKind::Protect).collect();
    for run in &runs {
        let fine = matches!(run.state, OperationState::Succeeded | OperationState::Warnings);
        ensure!(fine, "a run did not end well: {run:?}");
    }
    let slots: Vec<u64> = runs.iter().map(|run| slot(&run.id)).collect::<Result<_>>()?;
    let distinct: BTreeSet<u64> = slots.iter().copied().collect();
    ensure!(distinct.len() == slots.len(), "a slot ran twice: {slots:?}");
    let every = EVERY * 1000;
    ensure!(distinct.iter().all(|slot| slot % every == 0), "a run that is of no slot: {distinct:?}");
    let (first, last) = (distinct.first().context("nothing ran")?, distinct.last().context("nothing ran")?);
    let mut left_out = 0;
    for slot in (*first..=*last).step_by(usize::try_from(every)?).filter(|slot| !distinct.contains(slot)) {
        let at = Timestamp::from_millisecond(i64::try_from(slot)?)?;
        let busy = runs.iter().any(|run| run.created <= at && run.finished.is_none_or(|finished| finished >= at));
        // A leader that was killed is followed once its lease is over, at most so much later.
        let away = down.iter().any(|(from, until)| *from <= at && at.duration_since(*until).as_millis() <= 12_000);
        ensure!(busy || away, "slot {at} is lost: ran {distinct:?}, down {down:?}");
        left_out += 1;
    }
    println!("{} slots ran, {left_out} were let pass for a reason", distinct.len());
    let tasks: BTreeSet<String> = versions_ever(system)?.into_iter().collect();
    ensure!(tasks.len() == runs.len(), "{} runs made {} versions", runs.len(), tasks.len());
    Ok(())
}

/// The slot that is in the id of a run: ms since 1970, in its first 48 bits.
fn slot(id: &str) -> Result<u64> {
    let digits: String = id.chars().filter(|c| *c != '-').take(12).collect();
    u64::from_str_radix(&digits, 16).with_context(|| format!("operation {id} has no time in its id"))
}

/// Tasks of all versions that were ever committed, collected ones too; no task made two.
fn versions_ever(system: &System) -> Result<Vec<String>> {
    let mut tasks = Vec::new();
    for name in names(&system.store_dir().join("sources/source/sets/auto/versions"))? {
        let manifest = system.document(&format!("sources/source/sets/auto/versions/{name}"))?;
        if manifest["holds"]["holds"] == "version" {
            tasks.push(manifest["task"].as_str().context("a manifest without a task")?.to_owned());
        }
    }
    let distinct: BTreeSet<&String> = tasks.iter().collect();
    ensure!(distinct.len() == tasks.len(), "a task made two versions: {tasks:?}");
    Ok(tasks)
}

/// Collects until only what is kept is left; gives the versions.
async fn until_collected(system: &System) -> Result<Vec<Version>> {
    wait::until("the bucket to hold only what is kept", LONGEST, async || {
        let ended: Operation = system.cli.json(&["gc", "run", STORE, "--wait"]).await?;
        ensure!(ended.state == OperationState::Succeeded, "{ended:?}");
        let preview: GcPreview = system.cli.json(&["gc", "preview", STORE]).await?;
        let usage: StoreUsage = system.cli.json(&["store", "usage", STORE]).await?;
        let source = usage.sources.first().context("no usage")?;
        let waiting = [source.expired, source.pinned, source.operations, source.marked, source.garbage, source.young];
        let settled = preview.frees.objects == 0 && waiting.iter().all(|stored| stored.objects == 0);
        Ok(Look::when(settled, || format!("{source:?}")))
    })
    .await?;
    let kept = system.versions().await?;
    ensure!(kept.len() == KEPT, "{} versions are kept: {kept:?}", kept.len());
    Ok(kept)
}

/// Pages, segments, staged files and work roots are those that the kept versions need, by an own walk over what they name.
fn the_bucket_holds_what_is_needed(system: &System, kept: &[Version]) -> Result<()> {
    let mut needed = BTreeSet::new();
    for version in kept {
        let manifest = system.manifest(&version.id)?;
        for page in references(&manifest["pages"])? {
            for line in system.document(&page)?["lines"].as_array().context("lines")? {
                let entry = line["entry"]["key"].as_str().context("an object that is missing")?.to_owned();
                let content = system.document(&entry)?["content"].take();
                for ranges in references(&content["baseline"])? {
                    for range in system.document(&ranges)?["ranges"].as_array().context("ranges")? {
                        needed.insert(range["stored"]["key"].as_str().context("a segment")?.to_owned());
                    }
                    needed.insert(ranges);
                }
                for page in content["merged"].as_array().context("merged")? {
                    needed.insert(page["stored"]["key"].as_str().context("an identity page")?.to_owned());
                }
                needed.insert(entry);
            }
            needed.insert(page);
        }
    }
    let store = system.store_dir();
    let mut held = BTreeSet::new();
    for folder in ["pages", "segments", "staged", "sets/auto/work"] {
        files(&store, &store.join("sources/source").join(folder), &mut held)?;
    }
    held.remove("sources/source/staged/check/listener");
    let size = |names: &BTreeSet<String>| -> Result<u64> {
        names.iter().map(|name| Ok(fs::metadata(store.join(name)).with_context(|| name.clone())?.len())).sum()
    };
    println!("needed {} bytes in {} objects, held {} in {}", size(&needed)?, needed.len(), size(&held)?, held.len());
    ensure!(held == needed, "held but not needed: {:?}", held.difference(&needed).collect::<Vec<_>>());
    Ok(())
}

/// Keys of a list of references.
fn references(list: &Value) -> Result<Vec<String>> {
    let list = list.as_array().context("a list of references")?;
    list.iter().map(|stored| Ok(stored["key"].as_str().context("a key")?.to_owned())).collect()
}

/// Names of the files below `directory`, from `root` on; none where it is not there.
fn files(root: &Path, directory: &Path, found: &mut BTreeSet<String>) -> Result<()> {
    if !directory.exists() {
        return Ok(());
    }
    for entry in fs::read_dir(directory)? {
        let path = entry?.path();
        match path.is_dir() {
            true => files(root, &path, found)?,
            false => drop(found.insert(path.strip_prefix(root)?.display().to_string())),
        }
    }
    Ok(())
}

fn names(directory: &Path) -> Result<Vec<String>> {
    fs::read_dir(directory)?.map(|entry| Ok(entry?.file_name().to_string_lossy().into_owned())).collect()
}

/// The version comes back as it says it is, with every row that was acknowledged before its cut.
async fn restores(system: &System, session: &Session, version: &Version, acknowledged: &Acknowledged) -> Result<()> {
    let number = version.id.rsplit('.').next().context("number")?;
    let into = format!("back{number}");
    let restore =
        Restore { version: &version.id, to: "source", from: "ks", into: &into, replication_factor: 1, more: &[] };
    let ended = system.restore(&restore).await?;
    ensure!(ended.state == OperationState::Succeeded, "{ended:?}");
    let rows = compare::read(session, &into, "t").await?.row_count() as u64;
    ensure!(rows == version.totals.rows, "{rows} rows came back of {}", version.totals.rows);
    let cut = version.cut_from.context("no cut")?;
    let before = acknowledged.iter().filter(|(_, at)| *at < cut).count() as u64;
    ensure!(rows >= before, "{rows} rows came back, {before} were acknowledged before the cut");
    Ok(())
}
