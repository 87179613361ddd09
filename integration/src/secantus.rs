//! The stand-in of a MongoDB server: `secantusd-py`, a set of one member, a process that can be killed and started
//! again on its data.
//!
//! It is no MongoDB: `docs/sources/mongodb.md` says where it differs. It is always started with `--sync-on-commit`:
//! without it a kill loses writes that were acknowledged.

use std::{
    fs::{self, OpenOptions},
    path::Path,
    process::{Child, Command, Stdio},
    time::Duration,
};

use anyhow::{Context, Result};
use serde_json::{Value, json};
use tempfile::TempDir;
use tidemark_listener_mongodb::{
    connect::Server,
    describe,
    raw::{self, Builder},
    spec::MongoSpec,
};

use crate::{
    paths,
    wait::{self, Look},
};

/// Longest time until it answers, on a machine that is busy.
const READY: Duration = Duration::from_secs(60);

/// File of what it says.
const SAID: &str = "said";

/// The port.
const PORT: u16 = 27_017;

/// A stand-in; it is killed when it is dropped.
#[derive(Debug)]
pub struct Secantus {
    process: Option<Child>,
    address: String,
    home: TempDir,
}

impl Drop for Secantus {
    fn drop(&mut self) {
        self.kill().ok();
    }
}

impl Secantus {
    /// Starts one at 127.0.`group`.1 and waits until it answers.
    ///
    /// # Errors
    /// Where it is not installed or does not come up.
    pub async fn start(group: u8) -> Result<Self> {
        paths::require_secantus()?;
        let mut own = Self { process: None, address: format!("127.0.{group}.1"), home: tempfile::tempdir()? };
        own.restart().await?;
        Ok(own)
    }

    /// Kills it at once.
    ///
    /// # Errors
    /// Where the signal cannot be sent.
    pub fn kill(&mut self) -> Result<()> {
        let Some(mut process) = self.process.take() else { return Ok(()) };
        process.kill().context("kill the stand-in")?;
        process.wait().context("wait for the stand-in").map(drop)
    }

    /// Kills it and starts it again on its data.
    ///
    /// # Errors
    /// Where it does not come up.
    pub async fn restart(&mut self) -> Result<()> {
        self.kill()?;
        self.process = Some(launch(&self.address, self.home.path())?);
        let server = self.server()?;
        wait::until("the stand-in", READY, async || {
            Ok(match describe::hello(&server).await {
                Ok(_) => Look::Ready(()),
                Err(error) => Look::Not(error.to_string()),
            })
        })
        .await
        .with_context(|| self.said())
    }

    /// What it said since it was first started, for people.
    pub fn said(&self) -> String {
        let said = fs::read(self.home.path().join(SAID)).unwrap_or_default();
        format!("the stand-in said:\n{}", String::from_utf8_lossy(&said))
    }

    /// Its specification; listeners may write a heartbeat to it, because an idle stand-in proves nothing.
    pub fn specification(&self) -> Value {
        json!({
            "hosts": [format!("{}:{PORT}", self.address)],
            "replica_set": "secantus",
            "heartbeat": "tidemark.beat",
        })
    }

    /// A connection.
    ///
    /// # Errors
    /// Where the driver does not take the specification.
    pub fn server(&self) -> Result<Server> {
        Ok(Server::of(&MongoSpec::parse(&self.specification())?)?)
    }
}

/// Both outputs go to `said` beside the data, which a failed start and [`Secantus::said`] show.
fn launch(address: &str, home: &Path) -> Result<Child> {
    let said = OpenOptions::new().create(true).append(true).open(home.join(SAID)).context("the stand-in's output")?;
    let mut command = Command::new(paths::secantus().join("bin/secantusd-py"));
    command.args(["--host", address, "--port", &PORT.to_string(), "--sync-on-commit", "--cache-size", "64M"]);
    command.arg("--storage-path").arg(home.join("data"));
    command.stdin(Stdio::null()).stdout(said.try_clone()?).stderr(said);
    command.spawn().context("start of the stand-in")
}

/// Inserts documents, 500 at a time.
///
/// # Errors
/// Where one is refused.
pub async fn insert(server: &Server, database: &str, collection: &str, documents: &[Vec<u8>]) -> Result<()> {
    for some in documents.chunks(500) {
        let some = some.iter().map(Vec::as_slice);
        let command = Builder::default().text("insert", collection).documents("documents", some).finish();
        let reply = server.write(database, command).await?;
        anyhow::ensure!(reply.get("writeErrors").is_none(), "{reply}");
    }
    Ok(())
}

/// The documents of a collection, by the bytes of their `_id`.
///
/// # Errors
/// Where it cannot be read.
pub async fn documents(server: &Server, database: &str, collection: &str) -> Result<Vec<Vec<u8>>> {
    let command = Builder::default().text("find", collection).finish();
    let mut found = server.primary_cursor(database, command).await?.all().await?;
    let id = |document: &Vec<u8>| raw::find(document, "_id").ok().flatten().map(|id| (id.kind, id.value.to_vec()));
    found.sort_by_key(id);
    Ok(found)
}
