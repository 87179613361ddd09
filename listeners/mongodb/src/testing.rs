//! The stand-in of a server that tests run against: `secantusd-py`, a process of its own, started with
//! `--sync-on-commit`.
//!
//! `integration/install/secantus.sh` installs it. Without it tests say that they were skipped. It is no MongoDB:
//! docs/sources/mongodb.md says where it differs, and what it cannot show is constructed in other tests.

use std::{
    collections::BTreeMap,
    fs::OpenOptions,
    net::TcpListener,
    path::PathBuf,
    process::{Child, Command, Stdio},
};

use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::{
    connect::Server,
    describe,
    raw::{self, Builder},
    spec::MongoSpec,
};

/// Times that a server is asked before it is given up; each takes as long as the driver waits.
const TRIES: u32 = 4;

/// A server with data of its own.
pub(crate) struct StandIn {
    process: Child,
    port: u16,
    home: TempDir,
}

impl Drop for StandIn {
    fn drop(&mut self) {
        self.process.kill().ok();
        self.process.wait().ok();
        if std::thread::panicking() {
            eprintln!("the stand-in said:\n{}", self.said());
        }
    }
}

/// Directory of its data, and the file of what it says.
fn places(home: &TempDir) -> (PathBuf, PathBuf) {
    (home.path().join("data"), home.path().join("said"))
}

fn program() -> PathBuf {
    let home = std::env::var("HOME").unwrap_or_default();
    let tools = std::env::var("TIDEMARK_TOOLS").unwrap_or_else(|_| format!("{home}/.cache/tidemark-tools"));
    PathBuf::from(tools).join("secantus/bin/secantusd-py")
}

fn launch(home: &TempDir, port: u16) -> Child {
    let (data, said) = places(home);
    let said = OpenOptions::new().create(true).append(true).open(said).unwrap();
    Command::new(program())
        .args([
            "--host",
            "127.0.0.1",
            "--port",
            &port.to_string(),
            "--sync-on-commit",
            "--cache-size",
            "64M",
            "--storage-path",
        ])
        .arg(data)
        .stdin(Stdio::null())
        .stdout(said.try_clone().unwrap())
        .stderr(said)
        .spawn()
        .unwrap()
}

impl StandIn {
    /// A server that answers; `None`, and a loud word, where it is not installed.
    pub(crate) async fn start() -> Option<Self> {
        if !program().exists() {
            assert!(std::env::var("CI").is_err(), "{} is not installed", program().display());
            eprintln!("SKIPPED: {} is not installed: run integration/install/secantus.sh", program().display());
            return None;
        }
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let home = tempfile::tempdir().unwrap();
        let own = Self { process: launch(&home, port), port, home };
        own.answers().await;
        Some(own)
    }

    async fn answers(&self) {
        let server = self.server();
        for _ in 0..TRIES {
            if describe::hello(&server).await.is_ok() {
                return;
            }
        }
        panic!("the stand-in does not answer at port {}", self.port);
    }

    /// What it said since it was first started.
    pub(crate) fn said(&self) -> String {
        std::fs::read(places(&self.home).1)
            .map(|bytes| String::from_utf8_lossy(&bytes).into_owned())
            .unwrap_or_default()
    }

    /// Killed without warning, and started again on the same data.
    pub(crate) async fn kill_and_start(&mut self) {
        self.process.kill().unwrap();
        self.process.wait().unwrap();
        self.process = launch(&self.home, self.port);
        self.answers().await;
    }

    /// Its specification; listeners may write a heartbeat to it, because an idle stand-in proves nothing.
    pub(crate) fn spec(&self) -> Value {
        json!({
            "hosts": [format!("127.0.0.1:{}", self.port)],
            "replica_set": "secantus",
            "heartbeat": "tidemark.beat",
        })
    }

    /// Its port.
    pub(crate) fn port(&self) -> u16 {
        self.port
    }

    /// A connection.
    pub(crate) fn server(&self) -> Server {
        Server::of(&MongoSpec::parse(&self.spec()).unwrap()).unwrap()
    }
}

/// Inserts documents.
pub(crate) async fn insert(server: &Server, database: &str, collection: &str, documents: &[Vec<u8>]) {
    for some in documents.chunks(500) {
        let some = some.iter().map(Vec::as_slice);
        let command = Builder::default().text("insert", collection).documents("documents", some).finish();
        let reply = server.write(database, command).await.unwrap();
        assert!(reply.get("writeErrors").is_none(), "{reply}");
    }
}

/// Sends a command that writes.
pub(crate) async fn run(server: &Server, database: &str, command: Builder) {
    let reply = server.write(database, command.finish()).await.unwrap();
    assert!(reply.get("writeErrors").is_none(), "{reply}");
}

/// One update: which documents, and how they change.
pub(crate) async fn update(server: &Server, collection: &str, which: Builder, how: Builder) {
    let update =
        Builder::default().document("q", &which.finish()).document("u", &how.finish()).truth("multi", true).finish();
    run(server, "shop", Builder::default().text("update", collection).documents("updates", [&update[..]])).await;
}

/// Deletes documents.
pub(crate) async fn delete(server: &Server, collection: &str, which: Builder) {
    let delete = Builder::default().document("q", &which.finish()).int("limit", 0).finish();
    run(server, "shop", Builder::default().text("delete", collection).documents("deletes", [&delete[..]])).await;
}

/// What a reader finds in a collection: documents by the bytes of their `_id`.
pub(crate) async fn seen(server: &Server, database: &str, collection: &str) -> BTreeMap<Vec<u8>, Vec<u8>> {
    let command = Builder::default().text("find", collection).finish();
    let found = server.primary_cursor(database, command).await.unwrap().all().await.unwrap();
    let keyed = found.into_iter().map(|document| {
        let id = raw::find(&document, "_id").unwrap().unwrap();
        ([&[id.kind][..], id.value].concat(), document)
    });
    keyed.collect()
}

/// A port at which the stand-in of `port` answers as a member of another set: what it says passes through with the name
/// changed.
pub(crate) async fn as_another_set(port: u16) -> u16 {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let own = listener.local_addr().unwrap().port();
    tokio::spawn(async move {
        while let Ok((client, _)) = listener.accept().await {
            let server = tokio::net::TcpStream::connect(("127.0.0.1", port)).await.unwrap();
            let ((mut asks, answers), (replies, mut asked)) = (client.into_split(), server.into_split());
            tokio::spawn(async move { tokio::io::copy(&mut asks, &mut asked).await });
            tokio::spawn(renamed(replies, answers));
        }
    });
    own
}

/// Messages of a server, of which each begins with its length; the other name is as long.
async fn renamed(
    mut from: tokio::net::tcp::OwnedReadHalf,
    mut to: tokio::net::tcp::OwnedWriteHalf,
) -> std::io::Result<()> {
    loop {
        let length = from.read_i32_le().await?;
        let mut rest = vec![0; usize::try_from(length).unwrap() - 4];
        from.read_exact(&mut rest).await?;
        while let Some(at) = rest.windows(8).position(|word| word == b"secantus") {
            rest[at..at + 8].copy_from_slice(b"otherset");
        }
        to.write_i32_le(length).await?;
        to.write_all(&rest).await?;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_stand_in_says_is_kept_also_over_a_kill() {
    let Some(mut server) = StandIn::start().await else { return };
    server.kill_and_start().await;
    let (said, times) = (server.said(), |text: &str, word: &str| text.matches(word).count());
    assert_eq!(times(&said, "listening"), 2, "{said:?}");
}
