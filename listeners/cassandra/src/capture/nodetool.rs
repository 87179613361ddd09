//! Flushes and snapshots by `nodetool`, Cassandra's own tool, as the operator says it is called.
//!
//! The environment of a listener holds the keys of the store, the role's password and the listener's token. Of it the program, which
//! may be any script, gets only what is named here.

use std::{
    ffi::OsString,
    process::Stdio,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use tidemark_listener_core::progress::{self, Progress, ProgressSink};
use tokio::process::Command;

use crate::spec::NODETOOL_VARIABLES;

/// Longest time of one call: a flush waits for those that were begun before it.
const LIMIT: Duration = Duration::from_secs(900);

/// Longest list of tables in one call, bytes; Linux takes 128 KiB as one argument.
const LIST_BYTES: usize = 64 << 10;

/// Most bytes of nodetool's words that an error repeats.
const WORDS: usize = 600;

/// Variables of the listener's environment that the program gets, with [`NODETOOL_VARIABLES`]: what shells, Java and wrappers need to
/// find programs, files of their user and their words.
const VARIABLES: [&str; 7] = ["PATH", "HOME", "USER", "LANG", "LC_ALL", "TZ", "TMPDIR"];

/// Why a call failed.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The program does not start.
    #[error("start {program}")]
    Start {
        /// As configured.
        program: String,
        /// Why.
        source: std::io::Error,
    },
    /// It ended with a failure.
    #[error("nodetool {command} ended with {status}: {words}")]
    Failed {
        /// The command.
        command: String,
        /// Exit status.
        status: std::process::ExitStatus,
        /// The end of what it said.
        words: String,
    },
    /// It did not end in time.
    #[error("nodetool {command} did not end within {} s", LIMIT.as_secs())]
    Slow {
        /// The command.
        command: String,
    },
}

impl Error {
    /// True where the same call may succeed later.
    pub fn is_retryable(&self) -> bool {
        !matches!(self, Self::Start { .. })
    }
}

/// nodetool of one node.
#[derive(Clone)]
pub(super) struct Nodetool {
    words: Vec<String>,
    progress: ProgressSink,
    calls: Arc<AtomicU64>,
}

impl Nodetool {
    /// `words` are the program and the arguments that reach the node.
    pub(super) fn new(words: Vec<String>) -> Self {
        Self { words, progress: progress::silent(), calls: Arc::default() }
    }

    /// The same for one piece of work: it says so before each call, so that work of many slow calls is seen to get on.
    pub(super) fn telling(&self, progress: ProgressSink) -> Self {
        Self { words: self.words.clone(), progress, calls: Arc::default() }
    }

    /// Flushes tables of a keyspace. When it returns, every write that the node had taken before the call is in files: the
    /// server queues the flush behind those that run already (`ColumnFamilyStore.forceFlush` of 4.0.19, 4.1.10 and 5.0.9),
    /// also where nothing is left to flush.
    pub(super) async fn flush(&self, keyspace: &str, tables: &[String]) -> Result<(), Error> {
        for list in batches(tables) {
            let words = ["flush", "--", keyspace].into_iter().chain(list.iter().map(String::as_str));
            self.call(&words.collect::<Vec<_>>()).await?;
        }
        Ok(())
    }

    /// Snapshots `tables` (`keyspace.table`) under `tag`. It flushes too, but 4.1 and 5.0 wait for their own flush only:
    /// what an earlier one still writes is not in it.
    pub(super) async fn snapshot(&self, tag: &str, tables: &[String]) -> Result<(), Error> {
        for list in batches(tables) {
            self.call(&["snapshot", "-t", tag, "-kt", &list.join(",")]).await?;
        }
        Ok(())
    }

    /// Removes the snapshots of every table under `tag`, and no other.
    pub(super) async fn clear_snapshot(&self, tag: &str) -> Result<(), Error> {
        self.call(&["clearsnapshot", "-t", tag]).await.map(drop)
    }

    /// The ring as the node's token metadata has it, a line a token.
    pub(super) async fn ring(&self) -> Result<String, Error> {
        self.call(&["-pp", "ring"]).await
    }

    /// The host id of the node that nodetool reaches, as it prints it.
    pub(super) async fn host_id(&self) -> Result<Option<String>, Error> {
        let info = self.call(&["info"]).await?;
        Ok(info.lines().find_map(host_id_of))
    }

    /// Runs one command and gives what it printed.
    async fn call(&self, arguments: &[&str]) -> Result<String, Error> {
        let program = self.words.first().cloned().unwrap_or_default();
        let run = Command::new(&program)
            .args(self.words.iter().skip(1))
            .args(arguments)
            .env_clear()
            .envs(inherited())
            .stdin(Stdio::null())
            .kill_on_drop(true)
            .output();
        let command = arguments.iter().find(|word| !word.starts_with('-')).copied().unwrap_or_default().to_owned();
        self.tell(&command);
        let Ok(output) = tokio::time::timeout(LIMIT, run).await else { return Err(Error::Slow { command }) };
        let output = output.map_err(|source| Error::Start { program, source })?;
        if output.status.success() {
            return Ok(String::from_utf8_lossy(&output.stdout).into_owned());
        }
        Err(Error::Failed { command, status: output.status, words: last_words(&output.stderr, &output.stdout) })
    }

    fn tell(&self, command: &str) {
        let call = self.calls.fetch_add(1, Ordering::Relaxed) + 1;
        let phase = format!("nodetool {command}, call {call}");
        (self.progress)(Progress { phase, done: 0, total: 0, unit: "bytes".to_owned() });
    }
}

/// The variables that are set of those that the program gets.
fn inherited() -> impl Iterator<Item = (&'static str, OsString)> {
    let names = VARIABLES.into_iter().chain(NODETOOL_VARIABLES);
    names.filter_map(|name| Some((name, std::env::var_os(name)?)))
}

fn host_id_of(line: &str) -> Option<String> {
    let (name, value) = line.split_once(':')?;
    (name.trim() == "ID").then(|| value.trim().to_owned())
}

/// The end of what a failed call said, on one line.
fn last_words(stderr: &[u8], stdout: &[u8]) -> String {
    let said = if stderr.iter().all(u8::is_ascii_whitespace) { stdout } else { stderr };
    let end = String::from_utf8_lossy(&said[said.len().saturating_sub(WORDS)..]).into_owned();
    end.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// `tables` in lists that one call takes: at most [`LIST_BYTES`] of names and what parts them.
fn batches(tables: &[String]) -> Vec<&[String]> {
    let mut batches = Vec::new();
    let (mut start, mut bytes) = (0, 0);
    for (index, table) in tables.iter().enumerate() {
        if index > start && bytes + table.len() >= LIST_BYTES {
            batches.push(&tables[start..index]);
            (start, bytes) = (index, 0);
        }
        bytes += table.len() + 1;
    }
    batches.extend((start < tables.len()).then(|| &tables[start..]));
    batches
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn many_tables_are_split_over_several_calls() {
        let tables: Vec<String> = (0..5000).map(|i| format!("keyspace_of_ours.table_{i:04}")).collect();
        let batches = batches(&tables);
        assert!(batches.len() > 1 && batches.iter().all(|list| list.join(",").len() <= LIST_BYTES));
        assert_eq!(batches.concat(), tables);
        assert!(super::batches(&[]).is_empty());
    }

    #[test]
    fn the_host_id_is_found_in_what_nodetool_prints() {
        let info = "ID                     : 4d5f7f0a-1\nGossip active          : true\n";
        assert_eq!(info.lines().find_map(host_id_of).as_deref(), Some("4d5f7f0a-1"));
    }

    #[tokio::test]
    async fn a_failed_call_repeats_the_end_of_its_words() {
        let nodetool = Nodetool::new(["sh", "-c", "echo no such  table >&2; exit 2"].map(str::to_owned).to_vec());
        let error = nodetool.clear_snapshot("t").await.unwrap_err();
        assert!(error.to_string().ends_with("no such table"), "{error}");
        assert!(error.is_retryable());
    }

    #[tokio::test]
    async fn every_call_is_told_of_before_it_begins() {
        let told = Arc::new(std::sync::Mutex::new(Vec::new()));
        let sink = Arc::clone(&told);
        let nodetool = Nodetool::new(vec!["true".to_owned()]);
        let telling = nodetool.telling(Arc::new(move |progress: Progress| sink.lock().unwrap().push(progress.phase)));
        telling.flush("ks", &["t".to_owned()]).await.unwrap();
        telling.clear_snapshot("tag").await.unwrap();
        nodetool.clear_snapshot("tag").await.unwrap();
        assert_eq!(*told.lock().unwrap(), ["nodetool flush, call 1", "nodetool clearsnapshot, call 2"]);
    }

    #[tokio::test]
    async fn the_program_gets_of_the_environment_what_is_named_and_no_more() {
        let is_given = |name: &str| VARIABLES.iter().chain(&NODETOOL_VARIABLES).any(|given| *given == name);
        let others = std::env::vars_os().filter(|(name, _)| name.to_str().is_none_or(|name| !is_given(name)));
        assert!(others.count() > 0, "the test has no variables that could be kept back; cargo and make set some");
        let nodetool = Nodetool::new(["sh", "-c", "env"].map(str::to_owned).to_vec());
        let printed = nodetool.ring().await.unwrap();
        let names: Vec<_> = printed.lines().filter_map(|line| Some(line.split_once('=')?.0)).collect();
        // A shell sets these by itself.
        let strange = |name: &&&str| !is_given(name) && !["PWD", "OLDPWD", "SHLVL", "_"].contains(name);
        assert_eq!(names.iter().find(strange), None, "{printed}");
        assert!(names.contains(&"PATH"), "{printed}");
    }

    #[tokio::test]
    async fn a_program_that_does_not_exist_is_named() {
        let error = Nodetool::new(vec!["/nowhere/nodetool".into()]).host_id().await.unwrap_err();
        assert!(matches!(&error, Error::Start { program, .. } if program == "/nowhere/nodetool"));
        assert!(!error.is_retryable());
    }
}
