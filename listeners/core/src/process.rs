//! The `main` of a listener: what its process does, whatever the source.
//!
//! A listener binary names itself ([`Program`]), says which arguments it takes besides those of control, and makes its
//! [`Listener`] of them:
//!
//! ```text
//! fn main() -> anyhow::Result<()> {
//!     process::main(&PROGRAM, |own: Own, start: Start| Ok(DirectoryListener::new(own.directory, start)))
//! }
//! ```
//!
//! The process dials the orchestrator, after it has proved whose the socket is, and takes its work from there. Which store it
//! writes to it learns at its start, by `TIDEMARK_STORE_URL`, `TIDEMARK_STORE_REPOSITORY` and `TIDEMARK_STORE_CHECKSUMS`. Secrets
//! come by environment only: `TIDEMARK_LISTENER_TOKEN`; `TIDEMARK_STORE_ACCESS_KEY_ID` and `TIDEMARK_STORE_SECRET_ACCESS_KEY` where
//! the store needs them; those of the source in variables of the source's own. The log goes to standard error.

use std::{io::IsTerminal, sync::Arc};

use anyhow::{Context, Result};
use clap::{Args, CommandFactory, FromArgMatches, Parser};
use tidemark_catalog::ids::SourceId;
use tidemark_gateway::Env;
use tokio::{
    runtime::Runtime,
    signal::unix::{SignalKind, signal},
};
use tokio_util::sync::CancellationToken;
use tracing_subscriber::EnvFilter;

use crate::{
    access::{self, Access},
    client::{self, Token},
    listener::Listener,
};

/// Variable with the token that the orchestrator gave this listener.
pub const TOKEN_VARIABLE: &str = "TIDEMARK_LISTENER_TOKEN";

/// Threads for connections and messages.
const WORKER_THREADS: usize = 2;

/// Threads for files: each may hold a piece of one.
const BLOCKING_THREADS: usize = 8;

/// What a listener binary is.
#[derive(Clone, Copy, Debug)]
pub struct Program {
    /// Its name.
    pub name: &'static str,
    /// Kind of source, for example `cassandra`.
    pub kind: &'static str,
    /// Its version.
    pub version: &'static str,
    /// What it does, one sentence for `--help`.
    pub about: &'static str,
    /// What it logs where `RUST_LOG` says nothing, a filter of `tracing`.
    pub log: &'static str,
}

/// What every listener is made with.
#[derive(Clone, Debug)]
pub struct Start {
    /// The protected source.
    pub source: SourceId,
    /// The store that the process was started for.
    pub access: Access,
    /// Clocks, randomness, ids.
    pub env: Env,
}

/// Arguments of control, then the listener's own. They form no group: its name would be this type's, and a listener may call its
/// own so too.
#[derive(Debug, Parser)]
#[group(skip)]
struct Arguments<A: Args> {
    /// URL of the orchestrator's control service.
    #[arg(long)]
    control: String,
    /// Id that the orchestrator gave this listener.
    #[arg(long)]
    listener: String,
    /// Name of the protected source.
    #[arg(long)]
    source: SourceId,
    #[command(flatten)]
    own: A,
}

impl<A: Args> Arguments<A> {
    fn command(program: &Program) -> clap::Command {
        let command = <Self as CommandFactory>::command().name(program.name).version(program.version);
        command.about(program.about).long_about(None)
    }
}

/// Runs the process of a listener until the orchestrator or a signal (SIGTERM, SIGINT) ends it. `make` is called once, within the
/// runtime. Wrong arguments, `--help` and `--version` end the process here, with 2, 0 and 0.
///
/// # Errors
/// What ends the listener otherwise: the environment, `make`, or what dialling again cannot mend ([`client::Error`]).
pub fn main<A: Args, L: Listener + 'static>(program: &Program, make: impl FnOnce(A, Start) -> Result<L>) -> Result<()> {
    log(program);
    let matches = Arguments::<A>::command(program).get_matches();
    let arguments = Arguments::<A>::from_arg_matches(&matches).unwrap_or_else(|error| error.exit());
    runtime()?.block_on(serve(program, arguments, make))
}

fn log(program: &Program) {
    tracing_subscriber::fmt()
        .with_env_filter(EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new(program.log)))
        .with_writer(std::io::stderr)
        .with_ansi(std::io::stderr().is_terminal())
        .init();
}

fn runtime() -> Result<Runtime> {
    tokio::runtime::Builder::new_multi_thread()
        .worker_threads(WORKER_THREADS)
        .max_blocking_threads(BLOCKING_THREADS)
        .enable_all()
        .build()
        .context("start the runtime")
}

async fn serve<A: Args, L: Listener + 'static>(
    program: &Program,
    arguments: Arguments<A>,
    make: impl FnOnce(A, Start) -> Result<L>,
) -> Result<()> {
    let Arguments { control, listener, source, own } = arguments;
    let start = Start { source, access: Access::from_environment()?, env: Env::system() };
    let token = access::variable(TOKEN_VARIABLE)?.with_context(|| format!("{TOKEN_VARIABLE} is not set"))?;
    let config = client::Config {
        control,
        listener,
        source: start.source.clone(),
        store: start.access.store.clone(),
        limits: start.access.limits.clone(),
        kind: program.kind,
        version: program.version,
        token: Token::new(token),
    };
    let (env, stop) = (start.env.clone(), CancellationToken::new());
    let listener = Arc::new(make(own, start)?);
    let signals = tokio::spawn(stop_on_signal(stop.clone()));
    let outcome = client::run(&config, listener, &env, stop).await;
    signals.abort();
    outcome.context("serve the orchestrator")
}

async fn stop_on_signal(stop: CancellationToken) {
    let (Ok(mut terminate), Ok(mut interrupt)) = (signal(SignalKind::terminate()), signal(SignalKind::interrupt()))
    else {
        tracing::warn!("signals cannot be listened to: the process ends without warning");
        return;
    };
    tokio::select! { _ = terminate.recv() => {}, _ = interrupt.recv() => {} }
    tracing::info!("told to stop");
    stop.cancel();
}

#[cfg(test)]
mod tests {
    use super::*;

    const PROGRAM: Program =
        Program { name: "tidemark-listener-x", kind: "x", version: "1.2.3", about: "Captures x.", log: "info" };

    /// What must not be shown: the help is the program's.
    #[derive(Debug, Args)]
    struct Own {
        /// A directory.
        #[arg(long)]
        directory: String,
    }

    fn parse(words: &[&str]) -> Result<Arguments<Own>, clap::Error> {
        let words = [PROGRAM.name].iter().chain(words);
        Arguments::from_arg_matches(&Arguments::<Own>::command(&PROGRAM).try_get_matches_from(words)?)
    }

    #[test]
    fn arguments_of_control_and_of_the_listener_are_read_together() {
        Arguments::<Own>::command(&PROGRAM).debug_assert();
        let words = ["--control", "unix:/s", "--listener", "n1", "--source", "shop", "--directory", "/d"];
        let read = parse(&words).unwrap();
        assert_eq!((read.control.as_str(), read.listener.as_str(), read.source.as_str()), ("unix:/s", "n1", "shop"));
        assert_eq!(read.own.directory, "/d");
        assert!(parse(&words[..6]).is_err() && parse(&words[2..]).is_err());
    }

    #[test]
    fn a_listener_may_call_its_arguments_as_it_likes() {
        mod listener {
            #[derive(Debug, clap::Args)]
            pub(super) struct Arguments {
                #[arg(long)]
                pub(super) replica: String,
            }
        }
        let command = Arguments::<listener::Arguments>::command(&PROGRAM);
        command.clone().debug_assert();
        let words = ["x", "--control", "unix:/s", "--listener", "n1", "--source", "shop", "--replica", "a"];
        let read = Arguments::<listener::Arguments>::from_arg_matches(&command.get_matches_from(words)).unwrap();
        assert_eq!(read.own.replica, "a");
    }

    #[test]
    fn help_and_version_are_the_programs() {
        let help = parse(&["--help"]).unwrap_err().to_string();
        assert!(
            help.starts_with("Captures x.") && help.contains("--control") && help.contains("--directory"),
            "{help}"
        );
        assert!(!help.contains("must not be shown"), "{help}");
        assert_eq!(parse(&["--version"]).unwrap_err().to_string(), "tidemark-listener-x 1.2.3\n");
    }
}
