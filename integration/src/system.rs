//! A daemon with a store, and the steps that every end-to-end test makes.

mod held;

use std::{
    fs,
    path::{Path, PathBuf},
};

use anyhow::{Context, Result, bail};
use serde_json::{Value, json};
use tempfile::TempDir;
use tidemark_web::api::{List, Operation, Store, Version, VersionDetail};

use crate::{
    cassandra::Cluster,
    daemon::{Cli, Daemon, DaemonSpec},
};

/// Name of the store that [`System::start`] registers.
pub const STORE: &str = "main";

/// The product's daemon.
const DAEMON: &str = "tidemarkd";

pub use self::held::Held;

/// How a store is registered, and what opens it.
#[derive(Clone, Debug)]
pub struct StoreAccess {
    /// Its URL.
    pub url: String,
    /// Arguments that say where its credentials are.
    pub arguments: Vec<String>,
    /// The daemon's environment that holds them.
    pub environment: Vec<(String, String)>,
}

/// A daemon with one store.
#[derive(Debug)]
pub struct System {
    /// The daemon.
    pub daemon: Daemon,
    /// A command line that talks to it.
    pub cli: Cli,
    home: PathBuf,
    store: StoreAccess,
    // Dropped after the daemon, which uses it.
    _directory: Option<TempDir>,
}

impl System {
    /// Starts a daemon on 127.0.`group`.100 and registers the store [`STORE`], a local directory.
    ///
    /// # Errors
    /// Where the binaries were not built or do not come up.
    pub async fn start(group: u8) -> Result<Self> {
        Self::start_as(group, DAEMON).await
    }

    /// The same with this program as the daemon.
    ///
    /// # Errors
    /// As [`System::start`].
    pub async fn start_as(group: u8, program: &'static str) -> Result<Self> {
        let directory = home()?;
        Self::start_in(group, program, directory.path().to_owned(), Some(directory), None).await
    }

    /// The same with this store.
    ///
    /// # Errors
    /// As [`System::start`].
    pub async fn start_on(group: u8, store: StoreAccess) -> Result<Self> {
        let directory = home()?;
        Self::start_in(group, DAEMON, directory.path().to_owned(), Some(directory), Some(store)).await
    }

    /// As [`System::start`], with everything left running and in place when the value is dropped.
    ///
    /// # Errors
    /// As [`System::start`].
    pub async fn start_to_keep(group: u8) -> Result<Self> {
        Self::start_in(group, DAEMON, home()?.keep(), None, None).await
    }

    /// Keeps everything where there is no directory to go with the value.
    async fn start_in(
        group: u8,
        program: &'static str,
        home: PathBuf,
        directory: Option<TempDir>,
        store: Option<StoreAccess>,
    ) -> Result<Self> {
        let store = store.unwrap_or_else(|| local(&home));
        let listen = format!("127.0.{group}.100:8480");
        let (environment, keep) = (store.environment.clone(), directory.is_none());
        let daemon = Daemon::start(DaemonSpec { program, dir: home.join("daemon"), listen, environment, keep }).await?;
        let system = Self { cli: daemon.cli()?, daemon, home, store, _directory: directory };
        fs::create_dir_all(system.store_dir())?;
        system.add_store().await?;
        Ok(system)
    }

    /// Registers the store; a store with versions in it brings them, and their sources and policies, along.
    ///
    /// # Errors
    /// Where the store is refused.
    pub async fn add_store(&self) -> Result<Store> {
        let arguments = ["store", "add", STORE, &self.store.url].into_iter();
        let arguments: Vec<&str> = arguments.chain(self.store.arguments.iter().map(String::as_str)).collect();
        self.cli.json(&arguments).await
    }

    /// Directory of the store, where it is a local one.
    pub fn store_dir(&self) -> PathBuf {
        self.home.join("store")
    }

    /// A path for a file of the test's own.
    pub fn scratch(&self, name: &str) -> PathBuf {
        self.home.join(name)
    }

    /// Registers a cluster as a source (or destination).
    ///
    /// # Errors
    /// Where it is refused.
    pub async fn add_source(&self, name: &str, cluster: &Cluster) -> Result<Value> {
        self.add_source_as(name, &specification(cluster)).await
    }

    /// Registers a source by its specification.
    ///
    /// # Errors
    /// Where it is refused.
    pub async fn add_source_as(&self, name: &str, specification: &Value) -> Result<Value> {
        self.add_source_of("cassandra", name, specification).await
    }

    /// Registers a source of this kind by its specification.
    ///
    /// # Errors
    /// Where it is refused.
    pub async fn add_source_of(&self, kind: &str, name: &str, specification: &Value) -> Result<Value> {
        let file = self.scratch(&format!("{name}.json"));
        fs::write(&file, serde_json::to_vec_pretty(specification)?)?;
        self.cli.json(&["source", "add", name, "--kind", kind, "--spec", text(&file)?]).await
    }

    /// Protects objects under a policy of its own and waits; `more` are further arguments. Returns the version.
    ///
    /// # Errors
    /// Where it fails or makes no version.
    pub async fn protect(&self, source: &str, objects: &str, policy: &str, more: &[&str]) -> Result<VersionDetail> {
        let own = ["protect", source, "--object", objects, "--to", STORE, "--policy", policy, "--wait"];
        let operation: Operation = self.cli.json(&[&own, more].concat()).await?;
        let id = made(&operation)?;
        self.version(&id).await
    }

    /// A version with its objects.
    ///
    /// # Errors
    /// Where there is none.
    pub async fn version(&self, id: &str) -> Result<VersionDetail> {
        self.cli.json(&["version", "show", id]).await
    }

    /// What the manifest of a version holds, in the store, a local directory.
    ///
    /// # Errors
    /// Where it cannot be read.
    pub fn manifest(&self, version: &str) -> Result<Value> {
        let [source, set, number] = version.split('.').collect::<Vec<_>>()[..] else { bail!("version {version}") };
        let number: u64 = number.parse()?;
        let mut manifest = self.document(&format!("sources/{source}/sets/{set}/versions/{number:020}"))?;
        Ok(manifest["holds"].take())
    }

    /// The body of a document of the store, a local directory, by its key.
    ///
    /// # Errors
    /// Where it cannot be read.
    pub fn document(&self, key: &str) -> Result<Value> {
        let path = self.store_dir().join(key);
        let bytes = fs::read(&path).with_context(|| path.display().to_string())?;
        // Large documents are zstd frames, which no JSON starts as.
        let frame = bytes.starts_with(&[0x28, 0xb5, 0x2f, 0xfd]);
        let json = if frame { zstd::decode_all(&bytes[..])? } else { bytes };
        let mut document: Value = serde_json::from_slice(&json).with_context(|| key.to_owned())?;
        Ok(document["body"].take())
    }

    /// All versions, oldest first.
    ///
    /// # Errors
    /// Where the server does not answer.
    pub async fn versions(&self) -> Result<Vec<Version>> {
        Ok(self.cli.json::<List<Version>>(&["version", "list"]).await?.items)
    }

    /// All operations, newest first.
    ///
    /// # Errors
    /// Where the server does not answer.
    pub async fn operations(&self) -> Result<Vec<Operation>> {
        Ok(self.cli.json::<List<Operation>>(&["op", "list"]).await?.items)
    }

    /// What the restore would do.
    ///
    /// # Errors
    /// Where it cannot be planned.
    pub async fn plan(&self, restore: &Restore<'_>) -> Result<Value> {
        let mut arguments = restore.arguments();
        arguments.retain(|word| word != "--wait");
        arguments[1] = "plan".to_owned();
        self.cli.json(&arguments.iter().map(String::as_str).collect::<Vec<_>>()).await
    }

    /// Restores a version under another keyspace with `SimpleStrategy` and waits; returns the operation.
    ///
    /// # Errors
    /// Where it fails.
    pub async fn restore(&self, restore: &Restore<'_>) -> Result<Operation> {
        let arguments = restore.arguments();
        let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
        self.cli.json(&arguments).await
    }
}

/// A directory for all that a daemon keeps.
fn home() -> Result<TempDir> {
    Ok(tempfile::Builder::new().prefix("tidemark-system-").tempdir()?)
}

/// A directory in `home` as a store.
fn local(home: &Path) -> StoreAccess {
    let url = format!("file://{}", home.join("store").display());
    StoreAccess { url, arguments: vec![], environment: vec![] }
}

/// A restore under another name.
#[derive(Clone, Copy, Debug)]
pub struct Restore<'a> {
    /// Version.
    pub version: &'a str,
    /// Destination.
    pub to: &'a str,
    /// Keyspace in the version.
    pub from: &'a str,
    /// Keyspace at the destination.
    pub into: &'a str,
    /// Its replicas.
    pub replication_factor: u32,
    /// Further arguments.
    pub more: &'a [&'a str],
}

impl Restore<'_> {
    /// The command line.
    pub fn arguments(&self) -> Vec<String> {
        let rename = format!("{}={}", self.from, self.into);
        let factor = self.replication_factor.to_string();
        let replication = json!({"class": "SimpleStrategy", "replication_factor": factor}).to_string();
        let own = ["restore", "run", "--version", self.version, "--to", self.to, "--rename", &rename, "--wait"];
        let own = own.iter().copied().chain(["--replication", &replication]).chain(self.more.iter().copied());
        own.map(str::to_owned).collect()
    }
}

/// Id of the version that an operation made.
///
/// # Errors
/// Where it made none.
pub fn made(operation: &Operation) -> Result<String> {
    let version = operation.result.as_ref().and_then(|result| result["version"].as_str());
    version.map(str::to_owned).with_context(|| format!("operation made no version: {operation:?}"))
}

/// What an operator would write about a cluster: every node, with its directories and its `nodetool`.
pub fn specification(cluster: &Cluster) -> Value {
    let nodes = cluster.nodes().iter().enumerate().map(|(index, node)| {
        json!({
            "address": format!("{}:9042", node.address),
            "data_directories": [node.data_dir()],
            "nodetool": cluster.nodetool_line(index),
        })
    });
    json!({ "contact": cluster.contact_points(), "credentials": null, "nodes": nodes.collect::<Vec<_>>() })
}

fn text(path: &Path) -> Result<&str> {
    path.to_str().context("path is not text")
}
