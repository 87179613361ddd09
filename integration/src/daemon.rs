//! The built daemon as a process: started, killed as a crash would, started again.
//!
//! The daemon and the listeners it starts are one process group, so that a machine's crash is one signal and nothing is
//! left behind when a test ends.

pub mod cli;

use std::{
    fs::{self, File},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::Duration,
};

use anyhow::{Context, Result, bail};

pub use self::cli::Cli;
use crate::{
    paths,
    wait::{self, Look},
};

/// Longest time from start to the line that says it is ready.
const READY: Duration = Duration::from_secs(60);

/// Where a daemon keeps what it keeps.
#[derive(Clone, Debug)]
pub struct DaemonSpec {
    /// Its program, `tidemarkd` or one that takes the same arguments.
    pub program: &'static str,
    /// Directory for state, token and logs.
    pub dir: PathBuf,
    /// Address of its API, `ip:port`; no other daemon on the machine may have it.
    pub listen: String,
    /// Environment besides this process's own, for example credentials of a store.
    pub environment: Vec<(String, String)>,
    /// Leaves it running when it is dropped.
    pub keep: bool,
}

/// A daemon, running or killed.
#[derive(Debug)]
pub struct Daemon {
    spec: DaemonSpec,
    child: Option<Child>,
    runs: u32,
}

impl Daemon {
    /// Starts the daemon and waits for its line.
    ///
    /// # Errors
    /// Where it was not built, ends, or is not ready in time.
    pub async fn start(spec: DaemonSpec) -> Result<Self> {
        fs::create_dir_all(&spec.dir)?;
        let mut daemon = Self { spec, child: None, runs: 0 };
        daemon.restart(&[]).await?;
        Ok(daemon)
    }

    /// Starts the daemon again, with more environment for this run, and waits for its line.
    ///
    /// # Errors
    /// As [`Daemon::start`].
    pub async fn restart(&mut self, environment: &[(&str, String)]) -> Result<()> {
        self.kill()?;
        self.runs += 1;
        let mut command = self.command(environment)?;
        command.stdin(Stdio::null()).stdout(self.log_file("out")?).stderr(self.log_file("err")?);
        self.child = Some(command.spawn().context("start of the daemon")?);
        self.ready().await
    }

    /// Asks the daemon to stop and waits until it has; kills it where it takes long.
    ///
    /// # Errors
    /// Where a signal cannot be sent, or it does not stop.
    pub async fn stop(&mut self) -> Result<()> {
        let Some(pid) = self.pid() else { return Ok(()) };
        let status = Command::new("kill").args(["-TERM", &pid.to_string()]).status().context("kill")?;
        anyhow::ensure!(status.success(), "kill of process {pid}: {status}");
        self.ended().await
    }

    /// Waits until the daemon has ended by itself.
    ///
    /// # Errors
    /// Where it does not.
    pub async fn ended(&mut self) -> Result<()> {
        let ended = wait::until("the daemon's end", READY, async || {
            let child = self.child.as_mut().context("it runs")?;
            Ok(Look::when(child.try_wait()?.is_some(), || "it has not ended".to_owned()))
        })
        .await;
        // Of its group, listeners may be left.
        self.kill().ok();
        ended
    }

    /// Kills the daemon and its listeners at once, as the machine's crash would.
    ///
    /// # Errors
    /// Where the signal cannot be sent.
    pub fn kill(&mut self) -> Result<()> {
        let Some(mut child) = self.child.take() else { return Ok(()) };
        // The group's leader is the daemon and is not reaped yet, so that the id is still the group's.
        let group = format!("-{}", child.id());
        let status = Command::new("kill").args(["-KILL", "--", &group]).status().context("kill")?;
        child.wait()?;
        anyhow::ensure!(status.success(), "kill of process group {group}: {status}");
        Ok(())
    }

    /// A command line that talks to this daemon.
    ///
    /// # Errors
    /// Where it was not built.
    pub fn cli(&self) -> Result<Cli> {
        Cli::new(&self.address(), &self.token_file())
    }

    /// Address of its API.
    fn address(&self) -> String {
        format!("http://{}", self.spec.listen)
    }

    /// File with the API token.
    pub fn token_file(&self) -> PathBuf {
        self.spec.dir.join("token")
    }

    /// Directory of its state, which may be lost.
    pub fn state_dir(&self) -> PathBuf {
        self.spec.dir.join("state")
    }

    /// Process id while it runs; also the id of its group.
    pub fn pid(&self) -> Option<u32> {
        self.child.as_ref().map(Child::id)
    }

    /// How often it was started.
    pub fn runs(&self) -> u32 {
        self.runs
    }

    /// Everything the daemon and its listeners logged in this run.
    pub fn log(&self) -> String {
        read(&self.log_path("err"))
    }

    fn command(&self, environment: &[(&str, String)]) -> Result<Command> {
        // A session of its own makes it the leader of its group; unless kept, it dies with the process that started it.
        let mut command = Command::new(if self.spec.keep { "setsid" } else { "setpriv" });
        command.args(["--pdeathsig", "KILL", "setsid"].iter().filter(|_| !self.spec.keep));
        command.arg(paths::binary(self.spec.program)?);
        command.arg("--state").arg(self.state_dir()).args(["--listen", &self.spec.listen]);
        command.arg("--token-file").arg(self.token_file());
        // Nothing runs by itself unless a test asks for it.
        command.env("TIDEMARK_COLLECT_EVERY_SECONDS", "0");
        command.envs(self.spec.environment.iter().map(|(name, value)| (name, value)));
        command.envs(environment.iter().map(|(name, value)| (name, value)));
        Ok(command)
    }

    async fn ready(&mut self) -> Result<()> {
        let (out, err) = (self.log_path("out"), self.log_path("err"));
        let child = self.child.as_mut().context("the daemon was not started")?;
        wait::until("the daemon's line", READY, async || {
            if let Some(status) = child.try_wait()? {
                bail!("the daemon ended ({status}):\n{}", read(&err));
            }
            Ok(Look::when(read(&out).contains('\n'), || "nothing printed".to_owned()))
        })
        .await
    }

    fn log_path(&self, stream: &str) -> PathBuf {
        self.spec.dir.join(format!("daemon-{}.{stream}", self.runs))
    }

    fn log_file(&self, stream: &str) -> Result<File> {
        Ok(File::create(self.log_path(stream))?)
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        if self.spec.keep {
            return;
        }
        if let Err(error) = self.kill() {
            eprintln!("the daemon may be left running: {error:#}");
        }
        if std::thread::panicking() {
            eprintln!("log of the daemon:\n{}", self.log());
        }
    }
}

fn read(path: &Path) -> String {
    fs::read(path).map(|bytes| String::from_utf8_lossy(&bytes).into_owned()).unwrap_or_default()
}
