//! One server process.

use std::{
    fs::{self, File},
    net::TcpStream,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::Duration,
};

use anyhow::{Context, Result, bail, ensure};

use crate::wait::{self, Look};

/// Longest time until a server takes connections; the slowest is a JVM on a busy machine.
const READY: Duration = Duration::from_secs(120);

/// A server that can be killed and started again; killed when dropped.
#[derive(Debug)]
pub(super) struct Process {
    command: Command,
    child: Option<Child>,
    log: PathBuf,
    port: u16,
}

impl Process {
    /// Starts `command` with its output in `directory/log` and waits until it takes connections on `port`.
    pub(super) async fn start(command: Command, directory: &Path, port: u16) -> Result<Self> {
        let mut process = Self { command, child: None, log: directory.join("log"), port };
        process.restart().await?;
        Ok(process)
    }

    /// Starts the same command again, killed before if it runs.
    pub(super) async fn restart(&mut self) -> Result<()> {
        self.kill()?;
        ensure!(!open(self.port), "port {} is taken by another process", self.port);
        let output = File::create(&self.log)?;
        self.command.stdin(Stdio::null()).stdout(output.try_clone()?).stderr(output);
        self.child = Some(self.command.spawn().with_context(|| format!("start {:?}", self.command))?);
        let name = format!("port {} of {}", self.port, self.command.get_program().display());
        wait::until(&name, READY, async || self.look()).await
    }

    /// Kills it at once, as a crash would.
    pub(super) fn kill(&mut self) -> Result<()> {
        if let Some(mut child) = self.child.take() {
            child.kill().context("kill of a store")?;
            child.wait()?;
        }
        Ok(())
    }

    fn look(&mut self) -> Result<Look<()>> {
        if let Some(status) = self.child.as_mut().map(Child::try_wait).transpose()?.flatten() {
            bail!("the server ended with {status}: {}", self.said());
        }
        Ok(Look::when(open(self.port), || format!("no connection; the server said: {}", self.said())))
    }

    /// The last lines of its output.
    pub(super) fn said(&self) -> String {
        let text = fs::read(&self.log).map(|bytes| String::from_utf8_lossy(&bytes).into_owned()).unwrap_or_default();
        let lines: Vec<_> = text.lines().collect();
        lines[lines.len().saturating_sub(20)..].join("\n")
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        if let Err(error) = self.kill() {
            eprintln!("a store may be left running: {error:#}");
        }
    }
}

fn open(port: u16) -> bool {
    TcpStream::connect_timeout(&([127, 0, 0, 1], port).into(), Duration::from_millis(500)).is_ok()
}
