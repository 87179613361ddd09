//! The toy kind of source through the real daemon and its listeners: protected with a listener killed, verified, protected again
//! with a damaged file, and restored. It needs no server. Its addresses are 127.0.96.x.

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
};

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};
use tempfile::TempDir;
use tidemark_integration::{
    system::{STORE, System, made},
    toy,
};
use tidemark_web::api::{
    ChangedPolicy, List, Object, Operation, OperationState, PolicyDetail, PolicyPreview, Quality, VersionDetail,
};

/// Loopback network of this test.
const GROUP: u8 = 96;

/// Keys of each object.
const KEYS: usize = 40;

/// The objects.
const OBJECTS: [&str; 2] = ["orders", "users & más"];

/// The replicas of the source.
const REPLICAS: [&str; 3] = ["a", "b", "c"];

/// What a policy is run with.
const PROTECT: [&str; 10] =
    ["protect", "source", "--object", "*", "--to", STORE, "--option", "complete=true", "--policy", "hourly"];

/// What a reader finds: time and value by key.
type Seen = BTreeMap<String, (i64, Value)>;

/// Directories of replicas.
struct Directories(TempDir);

impl Directories {
    fn of(&self, replica: &str) -> PathBuf {
        self.0.path().join(replica)
    }

    /// Replicas of which each missed the newest write of every third key.
    fn filled() -> Result<Self> {
        let own = Self(tempfile::tempdir()?);
        for (at, replica) in REPLICAS.iter().enumerate() {
            for object in OBJECTS {
                let folder = own.of(replica).join(object);
                fs::create_dir_all(&folder)?;
                for number in 0..KEYS {
                    let (time, value) = if number % 3 == at { (1, json!("old")) } else { newest(number, object) };
                    let document = json!({"key": format!("key {number}"), "time": time, "value": value});
                    fs::write(folder.join(format!("{number} of {replica}.json")), document.to_string())?;
                }
            }
        }
        Ok(own)
    }

    fn specification(&self, replicas: &[&str]) -> Value {
        let replica = |id: &&str| json!({"id": id, "directory": self.of(id)});
        json!({"replicas": replicas.iter().map(replica).collect::<Vec<_>>()})
    }
}

/// The newest write of a key; of every fifth it is a deletion.
fn newest(number: usize, object: &str) -> (i64, Value) {
    let value = json!({"object": object, "number": number, "list": [number, null]});
    (2, if number.is_multiple_of(5) { Value::Null } else { value })
}

fn expected(object: &str) -> Seen {
    let alive = (0..KEYS).map(|number| (format!("key {number}"), newest(number, object)));
    alive.filter(|(_, (_, value))| !value.is_null()).collect()
}

/// What the documents of a directory say, read without the code under test; each key must be there once.
fn seen(directory: &Path) -> Result<Seen> {
    let mut seen = Seen::new();
    for entry in fs::read_dir(directory).with_context(|| directory.display().to_string())? {
        let document: Value = serde_json::from_slice(&fs::read(entry?.path())?)?;
        let (key, time) = (document["key"].as_str().context("key")?, document["time"].as_i64().context("time")?);
        ensure!(seen.insert(key.to_owned(), (time, document["value"].clone())).is_none(), "{key} is there twice");
    }
    Ok(seen)
}

#[tokio::test]
async fn a_kind_of_source_made_by_the_book_is_protected_and_restored() {
    let directories = Directories::filled().unwrap();
    let mut system = System::start_as(GROUP, toy::DAEMON).await.unwrap();
    // A panic prints the daemon's log.
    all(&mut system, &directories).await.unwrap();
}

async fn all(system: &mut System, directories: &Directories) -> Result<()> {
    system.add_source_of(toy::KIND, "source", &directories.specification(&REPLICAS)).await?;
    let version = a_listener_is_killed(system).await?;
    complete(system, &version, 0).await?;

    let damaged = directories.of("a").join(OBJECTS[0]).join("1 of a.json");
    fs::write(&damaged, &fs::read(&damaged)?[..9])?;
    let operation: Operation = system.cli.json(&[&PROTECT[..], &["--wait"]].concat()).await?;
    let version = made(&operation)?;
    complete(system, &version, 1).await?;

    restored(system, directories, &version).await?;
    a_policy_is_edited(system).await?;
    nothing_is_held(directories)
}

/// A shorter retention needs somebody's word; what is excluded then is neither shipped nor in the version.
async fn a_policy_is_edited(system: &System) -> Result<()> {
    let cli = &system.cli;
    let shorter = ["policy", "edit", "hourly", "--keep", "last=1", "--exclude", "users*", "--keep-staged"];
    let refused = cli.outcome(&shorter).await?;
    ensure!(refused.code == 6 && refused.said.contains("TM-CLI-0009"), "{refused:?}");
    let shown: PolicyDetail = cli.json(&["policy", "show", "hourly"]).await?;
    ensure!(shown.policy.keep.is_none() && shown.policy.excludes.is_empty(), "{shown:?}");
    let changed: ChangedPolicy = cli.json(&[&shorter[..], &["--yes"]].concat()).await?;
    ensure!(changed.policy.excludes == ["users*"], "{changed:?}");
    let preview: PolicyPreview = cli.json(&["policy", "preview", "hourly"]).await?;
    ensure!((preview.versions.len(), preview.going) == (2, 1), "{preview:?}");

    let run: Operation = cli.json(&["policy", "run", "hourly", "--wait"]).await?;
    let version = system.version(&made(&run)?).await?;
    let held: Vec<&str> = version.contents.iter().map(|object| object.object.as_str()).collect();
    ensure!(held == [OBJECTS[0]], "{version:?}");
    for replica in REPLICAS {
        let slice = system.document(&format!("sources/source/staged/{}/{replica}/slice.json", run.id))?;
        let objects = slice["objects"].as_array().context("objects")?;
        ensure!(objects.len() == 1 && objects[0]["object"] == OBJECTS[0], "{slice}");
    }
    let open: List<Object> = cli.json(&["object", "tree", "source", "--unprotected"]).await?;
    ensure!(open.items.len() == 1 && open.items[0].object.starts_with("users"), "{open:?}");
    Ok(())
}

/// Protects; a listener is killed after its first file, started again by the daemon, and goes on.
async fn a_listener_is_killed(system: &mut System) -> Result<String> {
    let protect: Vec<String> = PROTECT.iter().chain(&["--wait"]).map(|word| (*word).to_owned()).collect();
    let held = system.hold_at("mid-upload", &[], &protect).await?;
    held.kill()?;
    let operation = held.outcome().await?.operation()?;
    ensure!(operation.state == OperationState::Succeeded, "{operation:?}");
    let starts = system.daemon.log().matches("listener started").count();
    ensure!(starts == REPLICAS.len() + 1, "{starts} starts of listeners:\n{}", system.daemon.log());
    made(&operation)
}

/// The version is complete, holds what readers see, leaves out so many replicas, and is proven.
async fn complete(system: &System, id: &str, left_out: usize) -> Result<()> {
    let version: VersionDetail = system.version(id).await?;
    let alive: usize = OBJECTS.iter().map(|object| expected(object).len()).sum();
    ensure!(version.version.quality == Quality::Cut, "{version:?}");
    ensure!(version.version.totals.rows == alive as u64, "{version:?}");
    let notes: Vec<&String> = version.contents.iter().flat_map(|object| &object.notes).collect();
    ensure!(notes.len() == left_out && notes.iter().all(|note| note.contains("1 of a.json")), "{version:?}");
    let verified: Operation = system.cli.json(&["version", "verify", id, "--wait"]).await?;
    ensure!(verified.state == OperationState::Succeeded, "{verified:?}");
    Ok(())
}

/// Into two empty directories, under other names, refused where there is data, and merged into it.
async fn restored(system: &System, directories: &Directories, version: &str) -> Result<()> {
    for replica in ["x", "y"] {
        fs::create_dir(directories.of(replica))?;
    }
    system.add_source_of(toy::KIND, "other", &directories.specification(&["x", "y"])).await?;
    let run = ["restore", "run", "--version", version, "--to", "other", "--wait"];
    let _: Operation = system.cli.json(&run).await?;
    same(directories, OBJECTS[0], OBJECTS[0])?;
    same(directories, OBJECTS[1], OBJECTS[1])?;

    let again = system.cli.outcome(&run).await?;
    ensure!(again.code != 0 && format!("{again:?}").contains("it holds data"), "{again:?}");
    let beside = ["--only", OBJECTS[0], "--rename", "orders=archive"];
    let _: Operation = system.cli.json(&[&run[..], &beside].concat()).await?;
    same(directories, OBJECTS[0], "archive")?;

    let newer = json!({"key": "key 1", "time": 3, "value": "newer"}).to_string();
    let target = document_of(&directories.of("x").join("archive"), "key 1")?;
    fs::write(&target, &newer)?;
    let merge = ["--if-exists", "merge", "--confirm-target", "archive"];
    let merged: Operation = system.cli.json(&[&run[..], &beside, &merge].concat()).await?;
    ensure!(fs::read_to_string(&target)? == newer, "newer data is gone: {merged:?}");
    Ok(())
}

fn same(directories: &Directories, object: &str, target: &str) -> Result<()> {
    for replica in ["x", "y"] {
        let found = seen(&directories.of(replica).join(target))?;
        ensure!(found == expected(object), "{object} at {replica}/{target}: {found:?}");
    }
    Ok(())
}

fn document_of(directory: &Path, key: &str) -> Result<PathBuf> {
    let paths = fs::read_dir(directory)?.map(|entry| Ok(entry?.path())).collect::<Result<Vec<_>>>()?;
    let holds = |path: &PathBuf| fs::read_to_string(path).is_ok_and(|text| text.contains(&format!("{key:?}")));
    paths.into_iter().find(holds).with_context(|| format!("no document of {key}"))
}

/// No snapshot is left behind.
fn nothing_is_held(directories: &Directories) -> Result<()> {
    for replica in REPLICAS {
        let tags = toy::snapshot::tags(&directories.of(replica))?;
        ensure!(tags.is_empty(), "left behind: {tags:?}");
    }
    Ok(())
}
