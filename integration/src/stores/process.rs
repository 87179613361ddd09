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

/// A child process that is killed when dropped.
#[derive(Debug)]
pub(super) struct Process {
    child: Child,
    log: PathBuf,
}

impl Process {
    /// Starts `command` with its output in `directory/log` and waits until it takes connections on `port`.
    pub(super) async fn start(mut command: Command, directory: &Path, port: u16) -> Result<Self> {
        ensure!(!open(port), "port {port} is taken by another process");
        let log = directory.join("log");
        let output = File::create(&log)?;
        command.stdin(Stdio::null()).stdout(output.try_clone()?).stderr(output);
        let child = command.spawn().with_context(|| format!("start {command:?}"))?;
        let mut process = Self { child, log };
        let name = format!("port {port} of {}", command.get_program().display());
        wait::until(&name, READY, async || process.look(port)).await?;
        Ok(process)
    }

    fn look(&mut self, port: u16) -> Result<Look<()>> {
        if let Some(status) = self.child.try_wait()? {
            bail!("the server ended with {status}: {}", self.said());
        }
        Ok(Look::when(open(port), || format!("no connection; the server said: {}", self.said())))
    }

    /// The last lines of its output.
    pub(super) fn said(&self) -> String {
        let text = fs::read(&self.log).map(|bytes| String::from_utf8_lossy(&bytes).into_owned()).unwrap_or_default();
        let lines: Vec<_> = text.lines().collect();
        lines[lines.len().saturating_sub(20)..].join("\n")
    }

    pub(super) fn pid(&self) -> u32 {
        self.child.id()
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // An error only says that it has ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn open(port: u16) -> bool {
    TcpStream::connect_timeout(&([127, 0, 0, 1], port).into(), Duration::from_millis(500)).is_ok()
}
