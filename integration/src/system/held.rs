//! Processes held at named points (`tidemark_gateway::pause`): killed there, or let go again in another world.

use std::{fs, path::PathBuf, process::Command, time::Duration};

use anyhow::{Context, Result, bail, ensure};
use serde_json::Value;
use tidemark_web::api::Operation;
use tokio::task::JoinHandle;

use super::System;
use crate::{
    daemon::cli::Outcome,
    wait::{self, Look},
};

/// Longest time until a point is reached.
const REACHED: Duration = Duration::from_secs(300);

/// A process that is held at a point, and the command that led there.
#[derive(Debug)]
pub struct Held {
    /// Id of the process: the daemon or a listener.
    pub pid: u32,
    file: PathBuf,
    command: JoinHandle<Result<Outcome>>,
}

impl Held {
    /// Lets the process go on.
    ///
    /// # Errors
    /// Where the file that holds it cannot be written.
    pub fn let_go(&self) -> Result<()> {
        // The file stays, so that nobody else is held.
        fs::write(&self.file, "go on").context("let a held process go")
    }

    /// Kills this process alone.
    ///
    /// # Errors
    /// Where the signal cannot be sent.
    pub fn kill(&self) -> Result<()> {
        let status = Command::new("kill").args(["-KILL", &self.pid.to_string()]).status().context("kill")?;
        ensure!(status.success(), "kill of process {}: {status}", self.pid);
        Ok(())
    }

    /// How the command ended.
    ///
    /// # Errors
    /// Where it could not be run.
    pub async fn outcome(self) -> Result<Outcome> {
        self.command.await.context("command line")?
    }
}

impl System {
    /// Starts the daemon, with more environment, such that the first process that reaches `point` is held there; runs a
    /// command until then.
    ///
    /// # Errors
    /// Where the command ends before, or the point is not reached in time.
    pub async fn hold_at(&mut self, point: &str, environment: &[(&str, &str)], arguments: &[String]) -> Result<Held> {
        let file = self.scratch(&format!("held-{}-{point}", self.daemon.runs()));
        let mut variables: Vec<_> = environment.iter().map(|(name, value)| (*name, (*value).to_owned())).collect();
        variables.push(("TIDEMARK_PAUSE_AT", format!("{point}={}", file.display())));
        self.daemon.restart(&variables).await?;
        let (cli, arguments) = (self.cli.clone(), arguments.to_vec());
        let command = tokio::spawn(async move {
            let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
            cli.outcome(&arguments).await
        });
        let mut held = Held { pid: 0, file, command };
        held.pid = wait::until(point, REACHED, async || held.look()).await?;
        Ok(held)
    }

    /// Holds the daemon or a listener at a point, kills them all, and starts the daemon again.
    ///
    /// # Errors
    /// As [`System::hold_at`].
    pub async fn crash_at(&mut self, point: &str, arguments: &[String]) -> Result<()> {
        let held = self.hold_at(point, &[], arguments).await?;
        self.daemon.kill()?;
        held.command.abort();
        self.daemon.restart(&[]).await
    }

    /// Loses all of the daemon's state, and registers the store again: every version must be back as it was.
    ///
    /// # Errors
    /// Where a version is other than before, or any is there without the store.
    pub async fn lose_state(&mut self) -> Result<()> {
        let before = self.versions().await?;
        self.daemon.kill()?;
        fs::remove_dir_all(self.daemon.state_dir())?;
        self.daemon.restart(&[]).await?;
        ensure!(self.versions().await?.is_empty(), "versions without a store");
        self.add_store().await?;
        let after = self.versions().await?;
        ensure!(before == after, "versions were {before:?}, are {after:?}");
        self.confirm_sources().await
    }

    /// Confirms all sources: those that came from the store are used from now on.
    async fn confirm_sources(&self) -> Result<()> {
        let sources: Value = self.cli.json(&["source", "list"]).await?;
        for source in sources["items"].as_array().context("no list of sources")? {
            let name = source["name"].as_str().context("a source without a name")?;
            let confirmed: Value = self.cli.json(&["source", "confirm", name]).await?;
            ensure!(confirmed["unconfirmed"].is_null(), "not confirmed: {confirmed}");
        }
        Ok(())
    }

    /// The newest operation, once it is done.
    ///
    /// # Errors
    /// Where there is none.
    pub async fn newest_done(&self) -> Result<Operation> {
        self.newest_done_of(&["protect", "restore", "verify"]).await
    }

    /// The newest operation of these kinds, once it is done.
    ///
    /// # Errors
    /// Where there is none.
    pub async fn newest_done_of(&self, kinds: &[&str]) -> Result<Operation> {
        let operations = self.operations().await?;
        let newest = operations.into_iter().find(|o| kinds.contains(&o.kind.as_str())).context("no operation")?;
        self.cli.outcome(&["op", "watch", &newest.id]).await?.operation()
    }
}

impl Held {
    fn look(&self) -> Result<Look<u32>> {
        if self.command.is_finished() {
            bail!("the command ended before the point");
        }
        let text = fs::read_to_string(&self.file).unwrap_or_default();
        Ok(match text.strip_suffix('\n').map(str::parse) {
            Some(Ok(pid)) => Look::Ready(pid),
            _ => Look::Not("not reached".to_owned()),
        })
    }
}
