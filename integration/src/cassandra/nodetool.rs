//! `nodetool` of a cluster's nodes, run by one process for all calls: a JVM for each takes ten times as much of the processor as the
//! call itself, and a version of three nodes takes fifteen calls.
//!
//! It is Cassandra's own class in a JVM of its own (`cassandra/NodetoolServer.java`) that reaches nodes as always: words, exit status
//! and what is printed where are the same. The script of a node hands its words over; it needs bash, which speaks TCP.

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Child, Stdio},
};

use anyhow::{Context, Result};

use super::{Node, Release, config, run};
use crate::paths;

/// Name of the program's class.
const SERVER: &str = "NodetoolServer";
const SOURCE: &str = include_str!("../../cassandra/NodetoolServer.java");

/// The process that runs `nodetool` of a release.
#[derive(Debug)]
pub(super) struct NodetoolServer {
    release: Release,
    port: PathBuf,
    child: Child,
}

impl NodetoolServer {
    /// Starts it with the configuration of a node, in the directory `home` of its cluster.
    ///
    /// # Errors
    /// Where it does not start.
    pub(super) fn start(home: &Path, node: &Node) -> Result<Self> {
        let release = node.release();
        let port = home.join(format!("nodetool-{}.port", release.version()));
        let mut command = config::nodetool_server(node, &classes(release), SERVER);
        command.arg(&port).stdin(Stdio::null()).stdout(Stdio::null());
        command.stderr(fs::File::create(port.with_extension("log"))?);
        let child = command.spawn().context("start of the server of nodetool")?;
        Ok(Self { release, port, child })
    }

    /// The release whose `nodetool` it runs.
    pub(super) fn release(&self) -> Release {
        self.release
    }

    /// True once it takes calls.
    pub(super) fn started(&self) -> bool {
        self.port.exists()
    }

    /// Script for bash that has it run `nodetool` against the node with this management port.
    pub(super) fn script(&self, jmx_port: u16) -> String {
        let lines = [
            &format!("read -r port <'{}' || exit", self.port.display()),
            "exec 3<>\"/dev/tcp/127.0.0.1/$port\" || exit",
            &format!("words=(-h 127.0.0.1 -p {jmx_port} \"$@\")"),
            "printf '%s\\0' \"${#words[@]}\" \"${words[@]}\" >&3",
            "read -r status lines <&3 || exit",
            "for ((; lines > 0; lines--)); do IFS= read -r line <&3; printf '%s\\n' \"$line\" >&2; done",
            "cat <&3",
            "exit \"$status\"",
        ];
        lines.iter().flat_map(|line| [*line, "\n"]).collect()
    }
}

impl Drop for NodetoolServer {
    fn drop(&mut self) {
        if let Err(error) = self.child.kill().and_then(|()| self.child.wait()) {
            eprintln!("the server of nodetool may be left running: {error}");
        }
    }
}

/// Compiles the program for a release, unless the cache has it.
///
/// # Errors
/// Where the JDK does not take it.
pub(super) fn make(release: Release) -> Result<()> {
    let classes = classes(release);
    if classes.is_dir() {
        return Ok(());
    }
    let parent = classes.parent().context("the cache has no directory")?;
    fs::create_dir_all(parent)?;
    // Renamed when all is there; whoever was faster has made the same.
    let partial = tempfile::Builder::new().prefix("partial-").tempdir_in(parent)?;
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("cassandra/{SERVER}.java"));
    let jars = release.jars().join("*");
    let words = [Path::new("javac"), Path::new("-cp"), &jars, Path::new("-d"), partial.path(), &source];
    run(&words.map(|word| word.display().to_string()), &[])?;
    match fs::rename(partial.path(), &classes) {
        Err(error) if !classes.is_dir() => Err(error).context("classes of the server of nodetool"),
        _ => Ok(()),
    }
}

/// Directory of the program's classes, complete if it exists.
fn classes(release: Release) -> PathBuf {
    let digest = blake3::hash(SOURCE.as_bytes()).to_hex();
    paths::cache().join("nodetool").join(format!("{}-{}", release.version(), &digest[..12]))
}
