//! Starting listeners as local processes.

use std::{ffi::OsString, io, path::PathBuf, process::Stdio};

use async_trait::async_trait;
use tidemark_catalog::ids::SourceId;
use tidemark_listener_core::{launch::Store, process::TOKEN_VARIABLE};
use tokio::process::Command;

use super::token::ListenerToken;

/// Settings of the C library's allocator: buffers of parts are given back when they are done with, and threads share two heaps. A
/// listener's memory is bounded on a host that is not ours, and what lies unused in heaps counts.
const ALLOCATOR: [(&str, &str); 2] = [("MALLOC_MMAP_THRESHOLD_", "1048576"), ("MALLOC_ARENA_MAX", "2")];

/// Variables of the daemon's environment that its listeners get too. All others stay here: a listener knows the
/// credentials of its own source and store only.
const INHERITED: [&str; 12] = [
    "PATH",
    "HOME",
    "USER",
    "LANG",
    "LC_ALL",
    "TZ",
    "TMPDIR",
    "RUST_LOG",
    "RUST_BACKTRACE",
    "SSL_CERT_FILE",
    "SSL_CERT_DIR",
    "TIDEMARK_PAUSE_AT",
];

/// A listener process to start.
#[derive(Clone)]
pub struct Launch {
    /// The protected system.
    pub source: SourceId,
    /// Id of the listener.
    pub listener: String,
    /// Name of the program.
    pub program: String,
    /// Arguments after those of control.
    pub arguments: Vec<String>,
    /// Proves to control that the process is this listener.
    pub token: ListenerToken,
    /// The store that it works for.
    pub store: Option<Store>,
    /// Variables with credentials.
    pub secrets: Vec<(String, String)>,
    /// Names of further variables of the daemon's environment that it gets.
    pub inherited: &'static [&'static str],
}

/// Runs listeners.
#[async_trait]
pub trait Launcher: Send + Sync + 'static {
    /// Runs a listener until it ends by itself; dropped, it kills it. Says how it ended, for people.
    ///
    /// # Errors
    /// Where it cannot be started.
    async fn run(&self, launch: &Launch) -> io::Result<String>;
}

/// Runs listeners as processes of this host.
pub struct Processes {
    /// URL of the control service.
    pub control: String,
    /// Where programs are looked for first.
    pub directory: Option<PathBuf>,
}

impl Processes {
    /// Programs are found beside this program's own file, then in `PATH`.
    pub fn new(control: String) -> Self {
        let directory = std::env::current_exe().ok().and_then(|own| Some(own.parent()?.to_owned()));
        Self { control, directory }
    }

    fn program(&self, name: &str) -> OsString {
        let beside = self.directory.as_ref().map(|directory| directory.join(name)).filter(|path| path.is_file());
        beside.map_or_else(|| name.into(), PathBuf::into_os_string)
    }

    fn command(&self, launch: &Launch) -> Command {
        let mut command = Command::new(self.program(&launch.program));
        let source = launch.source.as_str();
        command.args(["--control", &self.control, "--listener", &launch.listener, "--source", source]);
        command.args(&launch.arguments);
        command.env_clear();
        command.envs(INHERITED.iter().chain(launch.inherited).filter_map(|name| Some((name, std::env::var_os(name)?))));
        command.envs(ALLOCATOR);
        command.env(TOKEN_VARIABLE, launch.token.expose());
        command.envs(launch.store.iter().flat_map(Store::variables));
        command.envs(launch.secrets.iter().map(|(name, value)| (name, value)));
        command.stdin(Stdio::null()).stdout(Stdio::null()).kill_on_drop(true);
        command
    }
}

#[async_trait]
impl Launcher for Processes {
    async fn run(&self, launch: &Launch) -> io::Result<String> {
        let mut child = self.command(launch).spawn()?;
        tracing::info!(source_id = %launch.source, listener = launch.listener, pid = child.id(), "listener started");
        Ok(child.wait().await?.to_string())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tidemark_gateway::Env;

    #[tokio::test]
    async fn a_process_gets_its_arguments_its_secrets_and_no_others() {
        let directory = tempfile::tempdir().unwrap();
        let seen = directory.path().join("seen");
        let script = format!("echo \"$@\" > {0}; env >> {0}; exit 7", seen.display());
        let processes = Processes::new("http://127.0.0.1:1".to_owned());
        let launch = Launch {
            source: "src".parse().unwrap(),
            listener: "n1".to_owned(),
            program: "sh".to_owned(),
            arguments: vec![],
            token: ListenerToken::generate(&Env::system()),
            store: Some(Store { url: "file:///b".to_owned(), repository: "r1".to_owned(), checksums: true }),
            secrets: vec![("SECRET".to_owned(), "s3".to_owned())],
            inherited: &[],
        };
        let command = processes.command(&launch);
        let arguments: Vec<_> = command.as_std().get_args().map(|a| a.to_string_lossy().into_owned()).collect();
        assert_eq!(arguments, ["--control", "http://127.0.0.1:1", "--listener", "n1", "--source", "src"]);
        // The same environment, for a program that shows it.
        let mut shell = Command::new("sh");
        shell.arg("-c").arg(script).env_clear();
        shell.envs(command.as_std().get_envs().filter_map(|(name, value)| Some((name, value?))));
        assert_eq!(shell.spawn().unwrap().wait().await.unwrap().code(), Some(7));
        let seen = std::fs::read_to_string(seen).unwrap();
        assert!(seen.contains("SECRET=s3") && seen.contains(TOKEN_VARIABLE), "{seen}");
        assert!(seen.contains("TIDEMARK_STORE_URL=file:///b") && seen.contains("REPOSITORY=r1"), "{seen}");
        assert!(!seen.contains("CARGO"), "{seen}");
    }

    #[tokio::test]
    async fn a_program_that_does_not_exist_is_an_error() {
        let processes = Processes::new(String::new());
        let launch = Launch {
            source: "src".parse().unwrap(),
            listener: "n1".to_owned(),
            program: "tidemark-listener-none".to_owned(),
            arguments: vec![],
            token: ListenerToken::generate(&Env::system()),
            store: None,
            secrets: vec![],
            inherited: &[],
        };
        assert_eq!(processes.run(&launch).await.unwrap_err().kind(), io::ErrorKind::NotFound);
    }
}
