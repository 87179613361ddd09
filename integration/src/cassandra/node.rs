//! One Cassandra process.

use std::{
    fs::{self, File},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::Duration,
};

use anyhow::{Context, Result, bail};

use super::{ClusterSpec, config, release::Release};
use crate::wait::{self, Look};

/// A node: its place, and its process while it runs.
#[derive(Debug)]
pub struct Node {
    /// Loopback address it listens on, for example `127.0.1.2`.
    pub address: String,
    /// Its own directory: `data`, `log`, `conf` and the rest.
    pub dir: PathBuf,
    /// Port of its management interface on 127.0.0.1.
    pub jmx_port: u16,
    /// Its tokens.
    pub tokens: Vec<i64>,
    /// True where it joins by streaming from others.
    pub bootstrap: bool,
    /// Address of the stopped node whose tokens it takes over; it gets its share and stays a joining member.
    pub replaces: Option<String>,
    /// Flags of the JVM that its release needs.
    pub(super) jvm_options: Vec<String>,
    release: Release,
    child: Option<Child>,
}

impl Node {
    /// A node that does not run yet.
    pub(super) fn new(home: &Path, address: &str, tokens: Vec<i64>, bootstrap: bool, release: Release) -> Result<Self> {
        let (dir, jmx_port, jvm_options) = (home.join(address), jmx_port(address)?, release.jvm_options()?);
        let (address, replaces) = (address.to_owned(), None);
        Ok(Self { address, dir, jmx_port, tokens, bootstrap, replaces, jvm_options, release, child: None })
    }

    /// What it runs.
    pub fn release(&self) -> Release {
        self.release
    }

    /// Has it run another release from its next start on.
    pub(super) fn set_release(&mut self, release: Release) -> Result<()> {
        (self.jvm_options, self.release) = (release.jvm_options()?, release);
        Ok(())
    }

    /// Directory of its tables: `<keyspace>/<table>-<32 hex digits>` below.
    pub fn data_dir(&self) -> PathBuf {
        self.dir.join("data")
    }

    /// Process id while it runs.
    pub fn pid(&self) -> Option<u32> {
        self.child.as_ref().map(Child::id)
    }

    /// Starts the process; it is ready when [`Node::started`] says so.
    pub(super) fn spawn(&mut self, spec: &ClusterSpec) -> Result<()> {
        let output = File::create(self.dir.join("log/stdout.log"))?;
        // A log of this run only: what an earlier run said must not look like this one's word.
        if let Err(error) = fs::remove_file(self.log_path()) {
            anyhow::ensure!(error.kind() == std::io::ErrorKind::NotFound, "log of {}: {error}", self.address);
        }
        let mut command = config::server(spec, self);
        command.current_dir(&self.dir).stdin(Stdio::null()).stderr(output.try_clone()?).stdout(output);
        self.child = Some(command.spawn().with_context(|| format!("start of node {}", self.address))?);
        Ok(())
    }

    /// True once it serves clients.
    ///
    /// # Errors
    /// Where the process has ended; with the end of its log.
    pub(super) fn started(&mut self) -> Result<bool> {
        let ended = self.child.as_mut().map(Child::try_wait).transpose()?.flatten();
        if let Some(status) = ended {
            bail!("node {} ended ({status}):\n{}\n{}", self.address, tail(&self.log()), tail(&self.output()));
        }
        Ok(self.log().contains("Startup complete"))
    }

    /// The log of this run.
    pub fn log(&self) -> String {
        read(&self.log_path())
    }

    fn output(&self) -> String {
        read(&self.dir.join("log/stdout.log"))
    }

    fn log_path(&self) -> PathBuf {
        self.dir.join("log/system.log")
    }

    /// Kills the process at once, as a crash would.
    pub(super) fn kill(&mut self) -> Result<()> {
        if let Some(mut child) = self.child.take() {
            child.kill().with_context(|| format!("kill of node {}", self.address))?;
            child.wait()?;
        }
        Ok(())
    }

    /// Asks the process to end, and waits until it has: tables are flushed, others are told.
    pub(super) async fn terminate(&mut self) -> Result<()> {
        let Some(mut child) = self.child.take() else { return Ok(()) };
        let status = Command::new("kill").args(["-TERM", &child.id().to_string()]).status()?;
        anyhow::ensure!(status.success(), "SIGTERM to node {}: {status}", self.address);
        let what = format!("end of node {}", self.address);
        wait::until(&what, Duration::from_secs(60), async || {
            Ok(Look::when(child.try_wait()?.is_some(), || "still running".to_owned()))
        })
        .await
    }

    /// Leaves the process running when this value goes.
    pub(super) fn let_go(&mut self) {
        self.child = None;
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        if let Err(error) = self.kill() {
            eprintln!("node {} may be left running: {error:#}", self.address);
        }
    }
}

/// Ports follow from addresses, so that clusters on different addresses never meet: 127.0.A.B has 7200 + 100·A + B.
fn jmx_port(address: &str) -> Result<u16> {
    let parts: Vec<u16> = address.split('.').map(str::parse).collect::<Result<_, _>>().context("address")?;
    let [127, 0, group, member] = parts[..] else { bail!("address {address} is not 127.0.x.y") };
    Ok(7200 + 100 * group + member)
}

fn read(path: &Path) -> String {
    fs::read(path).map(|bytes| String::from_utf8_lossy(&bytes).into_owned()).unwrap_or_default()
}

/// Last lines of a log.
fn tail(log: &str) -> String {
    let lines: Vec<&str> = log.lines().collect();
    lines[lines.len().saturating_sub(40)..].join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ports_follow_from_addresses() {
        assert_eq!(jmx_port("127.0.1.3").unwrap(), 7303);
        assert!(jmx_port("10.0.0.1").is_err());
    }
}
