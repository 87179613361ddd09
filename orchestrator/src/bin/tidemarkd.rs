//! The daemon.

use std::{
    path::{Path, PathBuf},
    process::ExitCode,
};

use anyhow::Context as _;
use clap::{Args, Parser, Subcommand};
use tidemark_gateway::{Env, causes};
use tidemark_orchestrator::daemon::{self, Config, ConfigError, Parts, RawConfig};
use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;
use tracing_subscriber::EnvFilter;

/// Exit code where the settings are wrong, as for wrong flags.
const WRONG_SETTINGS: u8 = 2;

/// Protects distributed databases: runs policies, keeps versions, restores them.
#[derive(Parser)]
#[command(name = "tidemarkd", version)]
struct Arguments {
    #[command(flatten)]
    settings: Settings,
    /// Something else than running the daemon.
    #[command(subcommand)]
    command: Option<Command>,
}

#[derive(Subcommand)]
enum Command {
    /// Configuration files.
    #[command(subcommand)]
    Config(ConfigCommand),
}

#[derive(Subcommand)]
enum ConfigCommand {
    /// Check a configuration file; exits with 2 where it is wrong.
    Check {
        /// The file, TOML.
        file: PathBuf,
    },
}

/// Settings; each one overrides that of the configuration file.
#[derive(Args)]
struct Settings {
    /// Configuration file, TOML.
    #[arg(long, env = "TIDEMARK_CONFIG", value_name = "FILE")]
    config: Option<PathBuf>,
    /// Directory of claims, tasks and registrations; made where it is absent. It can be lost: the stores hold what a restore
    /// needs.
    #[arg(long, env = "TIDEMARK_STATE", value_name = "DIR")]
    state: Option<PathBuf>,
    /// Address of the API; loopback only [default: 127.0.0.1:8480].
    #[arg(long, env = "TIDEMARK_LISTEN", value_name = "IP:PORT")]
    listen: Option<String>,
    /// File of the API's token; made (mode 0600) where it is absent.
    #[arg(long, env = "TIDEMARK_TOKEN_FILE", value_name = "FILE")]
    token_file: Option<PathBuf>,
    /// Address at which control is served too; loopback only. The listeners that this daemon starts dial a socket in the state
    /// directory instead.
    #[arg(long, env = "TIDEMARK_CONTROL_LISTEN", value_name = "IP:PORT")]
    control_listen: Option<String>,
    /// Name of this node, as versions record it [default: tidemarkd].
    #[arg(long, env = "TIDEMARK_NODE", value_name = "NAME")]
    node: Option<String>,
    /// Members of the etcd of a cluster of daemons, with commas; without it this is one daemon, with its state in the state directory.
    #[arg(long, env = "TIDEMARK_COORDINATOR", value_name = "URL", value_delimiter = ',')]
    coordinator: Option<Vec<String>>,
    /// Authority of etcd's certificates, PEM.
    #[arg(long, env = "TIDEMARK_COORDINATOR_CA", value_name = "FILE")]
    coordinator_ca: Option<PathBuf>,
    /// Certificate of this daemon for etcd, PEM.
    #[arg(long, env = "TIDEMARK_COORDINATOR_CERT", value_name = "FILE")]
    coordinator_cert: Option<PathBuf>,
    /// Its key, PEM.
    #[arg(long, env = "TIDEMARK_COORDINATOR_KEY", value_name = "FILE")]
    coordinator_key: Option<PathBuf>,
    /// File with name:password of an etcd user.
    #[arg(long, env = "TIDEMARK_COORDINATOR_USER_FILE", value_name = "FILE")]
    coordinator_user_file: Option<PathBuf>,
    /// Name of the cluster of daemons [default: default].
    #[arg(long, env = "TIDEMARK_CLUSTER", value_name = "NAME")]
    cluster: Option<String>,
    /// What this daemon does besides answering the API: control (turns policies into operations), worker (runs them)
    /// [default: control,worker].
    #[arg(long, env = "TIDEMARK_ROLES", value_name = "ROLE", value_delimiter = ',')]
    roles: Option<Vec<String>>,
    /// Objects consolidated at a time within a task [default: 1].
    #[arg(long, env = "TIDEMARK_CONSOLIDATIONS", value_name = "N")]
    consolidations: Option<usize>,
    /// Staged bytes from which an object is consolidated by whichever daemon of a cluster has a place, in as many parts
    /// [default: 64 MiB].
    #[arg(long, env = "TIDEMARK_CONSOLIDATION_PART_BYTES", value_name = "BYTES")]
    consolidation_part_bytes: Option<usize>,
    /// Buffers of one consolidation, bytes [default: 256 MiB].
    #[arg(long, env = "TIDEMARK_CONSOLIDATION_MEMORY_BYTES", value_name = "BYTES")]
    consolidation_memory_bytes: Option<usize>,
    /// How long a source, store or destination may be away before an operation that needs it is given up, seconds. What is
    /// newly done starts the time anew [default: 4 hours].
    #[arg(long, env = "TIDEMARK_LONGEST_ABSENCE_SECONDS", value_name = "SECONDS")]
    longest_absence_seconds: Option<usize>,
    /// Longest pause between two tries meanwhile, seconds; pauses grow from 2 s [default: 60].
    #[arg(long, env = "TIDEMARK_LONGEST_PAUSE_SECONDS", value_name = "SECONDS")]
    longest_pause_seconds: Option<usize>,
    /// From one collection of a store to the next, seconds; 0: only when it is asked for [default: 3600].
    #[arg(long, env = "TIDEMARK_COLLECT_EVERY_SECONDS", value_name = "SECONDS")]
    collect_every_seconds: Option<usize>,
    /// How long the expiry of a version can be undone, seconds [default: 24 hours].
    #[arg(long, env = "TIDEMARK_EXPIRY_GRACE_SECONDS", value_name = "SECONDS")]
    expiry_grace_seconds: Option<usize>,
    /// From the mark of garbage to its deletion, seconds [default: 24 hours].
    #[arg(long, env = "TIDEMARK_MARKS_GRACE_SECONDS", value_name = "SECONDS")]
    marks_grace_seconds: Option<usize>,
    /// After how long what belongs to no operation that is known counts as garbage, seconds [default: 96 hours].
    #[arg(long, env = "TIDEMARK_UNCLAIMED_SECONDS", value_name = "SECONDS")]
    unclaimed_seconds: Option<usize>,
}

impl Settings {
    /// The file's settings, where there is one, with those of the flags over them.
    fn config(self) -> Result<Config, ConfigError> {
        let file = self.config.as_deref().map(RawConfig::read).transpose()?.unwrap_or_default();
        self.over(file).validate()
    }

    fn over(self, file: RawConfig) -> RawConfig {
        RawConfig {
            state: self.state.unwrap_or(file.state),
            listen: self.listen.unwrap_or(file.listen),
            token_file: self.token_file.unwrap_or(file.token_file),
            control_listen: self.control_listen.or(file.control_listen),
            node: self.node.unwrap_or(file.node),
            coordinator: self.coordinator.unwrap_or(file.coordinator),
            coordinator_ca: self.coordinator_ca.or(file.coordinator_ca),
            coordinator_cert: self.coordinator_cert.or(file.coordinator_cert),
            coordinator_key: self.coordinator_key.or(file.coordinator_key),
            coordinator_user_file: self.coordinator_user_file.or(file.coordinator_user_file),
            cluster: self.cluster.unwrap_or(file.cluster),
            roles: self.roles.unwrap_or(file.roles),
            consolidations: self.consolidations.unwrap_or(file.consolidations),
            consolidation_part_bytes: self.consolidation_part_bytes.unwrap_or(file.consolidation_part_bytes),
            consolidation_memory_bytes: self.consolidation_memory_bytes.unwrap_or(file.consolidation_memory_bytes),
            longest_absence_seconds: self.longest_absence_seconds.unwrap_or(file.longest_absence_seconds),
            longest_pause_seconds: self.longest_pause_seconds.unwrap_or(file.longest_pause_seconds),
            collect_every_seconds: self.collect_every_seconds.unwrap_or(file.collect_every_seconds),
            expiry_grace_seconds: self.expiry_grace_seconds.unwrap_or(file.expiry_grace_seconds),
            marks_grace_seconds: self.marks_grace_seconds.unwrap_or(file.marks_grace_seconds),
            unclaimed_seconds: self.unclaimed_seconds.unwrap_or(file.unclaimed_seconds),
            ..file
        }
    }
}

fn main() -> ExitCode {
    let Arguments { settings, command } = Arguments::parse();
    if let Some(Command::Config(ConfigCommand::Check { file })) = command {
        return check(&file);
    }
    let config = match settings.config() {
        Ok(config) => config,
        Err(error) => return wrong(&error),
    };
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new("info"));
    let ansi = std::io::IsTerminal::is_terminal(&std::io::stderr());
    tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr).with_ansi(ansi).init();
    match start(config) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("tidemarkd: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn check(file: &Path) -> ExitCode {
    match RawConfig::read(file) {
        Ok(_) => {
            println!("{} is well formed", file.display());
            ExitCode::SUCCESS
        }
        Err(error) => wrong(&error),
    }
}

fn wrong(error: &ConfigError) -> ExitCode {
    eprintln!("tidemarkd: {}", causes::joined(error));
    ExitCode::from(WRONG_SETTINGS)
}

fn start(config: Config) -> anyhow::Result<()> {
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
