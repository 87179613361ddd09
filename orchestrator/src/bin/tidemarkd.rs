//! The daemon.

use std::{path::PathBuf, process::ExitCode};

use anyhow::Context as _;
use clap::Parser;
use tidemark_gateway::Env;
use tidemark_orchestrator::daemon::{self, Parts, RawConfig};
use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;
use tracing_subscriber::EnvFilter;

/// Protects distributed databases: runs policies, keeps versions, restores them.
#[derive(Parser)]
#[command(name = "tidemarkd", version)]
struct Arguments {
    /// Directory of claims, tasks and registrations; made where it is absent. It can be lost: the stores hold what a restore
    /// needs.
    #[arg(long, env = "TIDEMARK_STATE", value_name = "DIR")]
    state: PathBuf,
    /// Address of the API; loopback only.
    #[arg(long, env = "TIDEMARK_LISTEN", default_value = "127.0.0.1:8480", value_name = "IP:PORT")]
    listen: String,
    /// File of the API's token; made (mode 0600) where it is absent.
    #[arg(long, env = "TIDEMARK_TOKEN_FILE", value_name = "FILE")]
    token_file: PathBuf,
    /// Address at which control is served too; loopback only. The listeners that this daemon starts dial a socket in the state
    /// directory instead.
    #[arg(long, env = "TIDEMARK_CONTROL_LISTEN", value_name = "IP:PORT")]
    control_listen: Option<String>,
    /// Name of this node, as versions record it.
    #[arg(long, env = "TIDEMARK_NODE", default_value = "tidemarkd", value_name = "NAME")]
    node: String,
    /// Objects consolidated at a time within a task.
    #[arg(long, env = "TIDEMARK_CONSOLIDATIONS", default_value_t = 1, value_name = "N")]
    consolidations: usize,
    /// Buffers of one consolidation, bytes.
    #[arg(long, env = "TIDEMARK_CONSOLIDATION_MEMORY_BYTES", default_value_t = 256 << 20, value_name = "BYTES")]
    consolidation_memory_bytes: usize,
    /// How long a source, store or destination may be away before an operation that needs it is given up, seconds. What is
    /// newly done starts the time anew.
    #[arg(long, env = "TIDEMARK_LONGEST_ABSENCE_SECONDS", default_value_t = 4 * 3600, value_name = "SECONDS")]
    longest_absence_seconds: usize,
    /// Longest pause between two tries meanwhile, seconds; pauses grow from 2 s.
    #[arg(long, env = "TIDEMARK_LONGEST_PAUSE_SECONDS", default_value_t = 60, value_name = "SECONDS")]
    longest_pause_seconds: usize,
}

impl From<Arguments> for RawConfig {
    fn from(arguments: Arguments) -> Self {
        Self {
            state: arguments.state,
            listen: arguments.listen,
            token_file: arguments.token_file,
            control_listen: arguments.control_listen,
            node: arguments.node,
            consolidations: arguments.consolidations,
            consolidation_memory_bytes: arguments.consolidation_memory_bytes,
            longest_absence_seconds: arguments.longest_absence_seconds,
            longest_pause_seconds: arguments.longest_pause_seconds,
        }
    }
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new("info"));
    let ansi = std::io::IsTerminal::is_terminal(&std::io::stderr());
    tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr).with_ansi(ansi).init();
    match start(arguments) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("tidemarkd: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn start(arguments: Arguments) -> anyhow::Result<()> {
    let config = RawConfig::from(arguments).validate()?;
    let runtime = tokio::runtime::Runtime::new().context("start the runtime")?;
    runtime.block_on(async {
        let shutdown = CancellationToken::new();
        let stop = wait_for_stop(shutdown.clone())?;
        let env = Env::system();
        let parts = Parts::real(&env);
        let ready = |address| println!("ready on http://{address}");
        tokio::select! {
            outcome = daemon::run(config, env, parts, ready, shutdown) => Ok(outcome?),
            never = stop => never,
        }
    })
}

/// Cancels `shutdown` at the first SIGTERM or SIGINT; the future it returns ends, with an error, at the second.
fn wait_for_stop(shutdown: CancellationToken) -> anyhow::Result<impl Future<Output = anyhow::Result<()>>> {
    let mut terminate = signal(SignalKind::terminate()).context("listen to SIGTERM")?;
    let mut interrupt = signal(SignalKind::interrupt()).context("listen to SIGINT")?;
    Ok(async move {
        for asked in ["asked to stop", "asked to stop again, not waiting"] {
            tokio::select! {
                _ = terminate.recv() => {}
                _ = interrupt.recv() => {}
            }
            tracing::info!("{asked}");
            if shutdown.is_cancelled() {
                break;
            }
            shutdown.cancel();
        }
        Err(anyhow::anyhow!("stopped before running tasks had ended; they resume at the next start"))
    })
}
