//! The built command line: run as an operator would, its JSON answers parsed.

use std::{
    path::{Path, PathBuf},
    process::Stdio,
};

use anyhow::{Context, Result, ensure};
use serde::de::DeserializeOwned;
use serde_json::Value;
use tidemark_web::api::Operation;
use tokio::process::Command;

use super::Daemon;
use crate::paths;

/// The command line with a server and a token.
#[derive(Clone, Debug)]
pub struct Cli {
    program: PathBuf,
    server: String,
    token_file: PathBuf,
}

/// How a command ended.
#[derive(Clone, Debug, PartialEq)]
pub struct Outcome {
    /// Exit code; −1 where a signal ended it.
    pub code: i32,
    /// Its JSON; null where it printed none.
    pub answer: Value,
    /// Standard error.
    pub said: String,
}

impl Outcome {
    /// The operation that the command followed to its end.
    ///
    /// # Errors
    /// Where it printed none; with all that it said.
    pub fn operation(&self) -> Result<Operation> {
        serde_json::from_value(self.answer.clone()).with_context(|| format!("{self:?}"))
    }
}

impl Cli {
    pub(super) fn new(server: &str, token_file: &Path) -> Result<Self> {
        let program = paths::binary("tidemark")?;
        Ok(Self { program, server: server.to_owned(), token_file: token_file.to_owned() })
    }

    /// A command line that talks to whichever of these daemons is there; they have one token.
    ///
    /// # Errors
    /// Where it was not built, or there are no daemons.
    pub fn of_any<'d>(daemons: impl IntoIterator<Item = &'d Daemon>) -> Result<Self> {
        let daemons: Vec<_> = daemons.into_iter().collect();
        let addresses: Vec<_> = daemons.iter().map(|daemon| daemon.address()).collect();
        let first = daemons.first().context("no daemon")?;
        Self::new(&addresses.join(","), &first.token_file())
    }

    /// The words of a command line that an operator would type, without the command itself.
    pub fn shown(&self) -> String {
        format!("{} --server {} --token-file {}", self.program.display(), self.server, self.token_file.display())
    }

    /// Runs a command with JSON output, however it ends. Dropped before that, the command is killed.
    ///
    /// # Errors
    /// Where it cannot be started or prints what is not JSON.
    pub async fn outcome(&self, arguments: &[&str]) -> Result<Outcome> {
        let mut command = Command::new(&self.program);
        command.args(["--server", &self.server, "-o", "json", "--quiet", "--token-file"]).arg(&self.token_file);
        command.args(arguments).stdin(Stdio::null()).kill_on_drop(true);
        let output = command.output().await.context("run tidemark")?;
        let text = String::from_utf8_lossy(&output.stdout);
        let answer =
            if text.trim().is_empty() { Value::Null } else { serde_json::from_str(&text).context("answer")? };
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        Ok(Outcome { code: output.status.code().unwrap_or(-1), answer, said })
    }

    /// Runs a command that must succeed; exit code 3, success with warnings, is success.
    ///
    /// # Errors
    /// Where it fails, with what it said, or answers in another shape.
    pub async fn json<T: DeserializeOwned>(&self, arguments: &[&str]) -> Result<T> {
        let outcome = self.outcome(arguments).await?;
        let shown = arguments.join(" ");
        ensure!(
            matches!(outcome.code, 0 | 3),
            "tidemark {shown}: exit {}\n{}\n{}",
            outcome.code,
            outcome.answer,
            outcome.said
        );
        serde_json::from_value(outcome.answer).with_context(|| format!("answer of tidemark {shown}"))
    }
}
