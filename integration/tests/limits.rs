//! Limits of stores and policies through the real daemon and its listeners, by what arrives in the store: a protect keeps to the
//! limit of its store or its policy, one that is lifted while it runs lets it end, and what reads keeps to the store's too. The
//! source is the toy's; no server is needed. Its addresses are 127.0.97.x.

use std::{
    fs,
    path::{Path, PathBuf},
    time::Duration,
};

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};
use tempfile::TempDir;
use tidemark_gateway::Env;
use tidemark_integration::{
    system::{STORE, System, made},
    toy,
    wait::{self, Look},
};
use tidemark_web::api::{Operation, OperationState, PolicyDetail, Store};

/// Loopback network of this test.
const GROUP: u8 = 97;

const OBJECTS: [&str; 2] = ["orders", "users"];

const REPLICAS: [&str; 2] = ["a", "b"];

/// Documents of each object, the same in each replica, and the bytes of their values.
const DOCUMENTS: usize = 24;
const VALUE_BYTES: u64 = 32 << 10;

/// A limit under which a protect would take longer than [`BOUND`].
const SLOW: u64 = 64 << 10;

/// Longest wait for anything.
const BOUND: Duration = Duration::from_secs(40);

/// What may arrive ahead of its time: a document of each listener, and a tenth of a second.
const AHEAD: u64 = REPLICAS.len() as u64 * (VALUE_BYTES + 1024) + SLOW / 10;

/// Replicas with values that cannot be compressed to less than half.
fn replicas() -> Result<TempDir> {
    let own = tempfile::tempdir()?;
    for (object, number) in OBJECTS.iter().flat_map(|object| (0..DOCUMENTS).map(move |number| (object, number))) {
        let mut bytes = vec![0; (VALUE_BYTES / 2) as usize];
        blake3::Hasher::new().update(format!("{object} {number}").as_bytes()).finalize_xof().fill(&mut bytes);
        let document = json!({"key": format!("key {number}"), "time": 1, "value": hex::encode(bytes)}).to_string();
        for replica in REPLICAS {
            let folder = own.path().join(replica).join(object);
            fs::create_dir_all(&folder)?;
            fs::write(folder.join(format!("{number}.json")), &document)?;
        }
    }
    Ok(own)
}

fn specification(directory: &Path, replicas: &[&str]) -> Value {
    let replica = |id: &&str| json!({"id": id, "directory": directory.join(id)});
    json!({"replicas": replicas.iter().map(replica).collect::<Vec<_>>()})
}

/// Sizes of all files below a directory; without those that are still written.
fn sizes(directory: &Path) -> Result<Vec<u64>> {
    let mut sizes = Vec::new();
    let mut open: Vec<PathBuf> = vec![directory.to_owned()];
    while let Some(directory) = open.pop() {
        // It may not be there yet.
        let Ok(entries) = fs::read_dir(&directory) else { continue };
        for entry in entries {
            let entry = entry?;
            match entry.metadata() {
                Ok(meta) if meta.is_dir() => open.push(entry.path()),
                Ok(meta) if !entry.file_name().to_string_lossy().contains('#') => sizes.push(meta.len()),
                _ => {}
            }
        }
    }
    Ok(sizes)
}

#[tokio::test]
async fn what_is_asked_of_storage_keeps_to_the_limits_while_they_change() {
    let replicas = replicas().unwrap();
    let system = System::start_as(GROUP, toy::DAEMON).await.unwrap();
    // A panic prints the daemon's log.
    all(&system, replicas.path()).await.unwrap();
}

async fn all(system: &System, directory: &Path) -> Result<()> {
    system.add_source_of(toy::KIND, "source", &specification(directory, &REPLICAS)).await?;
    let says = ["--object", "*", "--option", "complete=true"];
    let create = ["policy", "create", "all", "source", "--to", STORE];
    let _: Value = system.cli.json(&[&create[..], &says].concat()).await?;

    let limited: Store = system.cli.json(&["store", "edit", STORE, "--bandwidth", "64KiB/s"]).await?;
    ensure!(limited.limit_now.context("in force")?.bytes_per_second == Some(SLOW), "{limited:?}");
    protected(system, &["store", "edit", STORE, "--clear", "bandwidth"]).await?;

    let hours = ["policy", "edit", "all", "--hours", "00:00-24:00: 64KiB/s, requests 4"];
    let _: Value = system.cli.json(&hours).await?;
    let shown: PolicyDetail = system.cli.json(&["policy", "show", "all"]).await?;
    ensure!(shown.status.limit_now.context("in force")?.requests == Some(4), "{shown:?}");
    let version = protected(system, &["policy", "edit", "all", "--clear", "hours"]).await?;

    read(system, directory, &version).await
}

/// Runs the policy, which keeps to [`SLOW`] until the limit is lifted by this command, and then ends.
async fn protected(system: &System, lift: &[&str]) -> Result<String> {
    let env = Env::system();
    let run: Operation = system.cli.json(&["policy", "run", "all"]).await?;
    let staged = system.store_dir().join("sources/source/staged").join(&run.id);
    let arrived = wait::until("documents in the store", BOUND, async || {
        let arrived: u64 = sizes(&staged)?.iter().sum();
        let may = (SLOW as f64 * env.monotonic().as_secs_f64()) as u64 + AHEAD;
        ensure!(arrived <= may, "{arrived} bytes arrived where {may} may have");
        Ok(if arrived > 4 * VALUE_BYTES { Look::Ready(arrived) } else { Look::Not(format!("{arrived} bytes")) })
    });
    let all = (OBJECTS.len() * REPLICAS.len() * DOCUMENTS) as u64 * VALUE_BYTES;
    ensure!(arrived.await? < all / 2, "it is to be lifted while it works");
    let _: Value = system.cli.json(lift).await?;
    let watch = ["op", "watch", &run.id];
    let ended = tokio::time::timeout(BOUND, system.cli.json::<Operation>(&watch));
    made(&ended.await.context("it does not end")??)
}

/// A verification and a restore read all segments within the limit of the store.
async fn read(system: &System, directory: &Path, version: &str) -> Result<()> {
    let segments = sizes(&system.store_dir().join("sources/source/segments"))?;
    // Both versions have their own.
    let (all, largest) = (segments.iter().sum::<u64>() / 2, *segments.iter().max().context("segments")?);
    let rate = all / 2;
    let limited = ["store", "edit", STORE, "--bandwidth", &format!("{rate}B/s")];
    let _: Store = system.cli.json(&limited).await?;
    fs::create_dir(directory.join("x"))?;
    system.add_source_of(toy::KIND, "other", &specification(directory, &["x"])).await?;
    let verify = ["version", "verify", version, "--wait"];
    let restore = ["restore", "run", "--version", version, "--to", "other", "--wait"];
    for command in [&verify[..], &restore] {
        let env = Env::system();
        let ended: Operation = system.cli.json(command).await?;
        ensure!(ended.state == OperationState::Succeeded, "{ended:?}");
        let (took, least) = (env.monotonic().as_secs_f64(), (all - largest) as f64 / rate as f64 - 0.1);
        ensure!(
            took >= least,
            "{command:?}: {took} s, and {least} s are the least for {segments:?} at {rate} a second"
        );
    }
    ensure!(sizes(&directory.join("x"))?.len() == OBJECTS.len() * DOCUMENTS, "not all documents came back");
    Ok(())
}
