//! The daemon, with the toy kind of source and no other: as `tidemarkd`, which does not have it.

use std::{path::PathBuf, sync::Arc};

use clap::Parser;
use tidemark_gateway::Env;
use tidemark_integration::toy::driver::Toy;
use tidemark_listener_core::source::Source;
use tidemark_orchestrator::{
    daemon::{self, Parts, RawConfig},
    sources::Drivers,
};
use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;

/// What tests say of a daemon.
#[derive(Parser)]
struct Arguments {
    /// Directory of its state.
    #[arg(long)]
    state: PathBuf,
    /// Address of the API.
    #[arg(long)]
    listen: String,
    /// File of the API's token.
    #[arg(long)]
    token_file: PathBuf,
    /// Members of the etcd of a cluster.
    #[arg(long, env = "TIDEMARK_COORDINATOR", value_delimiter = ',')]
    coordinator: Vec<String>,
    /// Staged bytes from which any daemon of the cluster may consolidate an object.
    #[arg(long, env = "TIDEMARK_CONSOLIDATION_PART_BYTES", default_value_t = RawConfig::default().consolidation_part_bytes)]
    consolidation_part_bytes: usize,
    /// Seconds in which an expiry can be undone, and for which marks lie.
    #[arg(long, env = "TIDEMARK_GRACE_SECONDS", default_value_t = RawConfig::default().marks_grace_seconds)]
    grace_seconds: usize,
    /// Name in the cluster.
    #[arg(long, env = "TIDEMARK_NODE", default_value = "tidemarkd-toy")]
    node: String,
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    tracing_subscriber::fmt().with_writer(std::io::stderr).with_ansi(false).init();
    let Arguments { state, listen, token_file, coordinator, consolidation_part_bytes, grace_seconds, node } =
        Arguments::parse();
    let config = RawConfig {
        state,
        listen,
        token_file,
        node,
        coordinator,
        consolidation_part_bytes,
        expiry_grace_seconds: grace_seconds,
        marks_grace_seconds: grace_seconds,
        consolidation_memory_bytes: 64 << 20,
        longest_absence_seconds: 600,
        longest_pause_seconds: 5,
        ..RawConfig::default()
    };
    let env = Env::system();
    let parts = Parts { drivers: Drivers::of([Arc::new(Toy) as Arc<dyn Source>]), ..Parts::real(&env) };
    let ready = |address| println!("ready on http://{address}");
    let (shutdown, mut terminate) = (CancellationToken::new(), signal(SignalKind::terminate())?);
    let stop = shutdown.clone();
    tokio::spawn(async move {
        terminate.recv().await;
        stop.cancel();
    });
    Ok(daemon::run(config.validate()?, env, parts, ready, shutdown).await?)
}
