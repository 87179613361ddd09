//! The listener beside one Cassandra node.
//!
//! It dials the orchestrator and takes its work from there. Which store it writes to it learns at its start, by
//! `TIDEMARK_STORE_URL`, `TIDEMARK_STORE_REPOSITORY` and `TIDEMARK_STORE_CHECKSUMS`. Secrets come by environment only:
//! `TIDEMARK_LISTENER_TOKEN`; `TIDEMARK_STORE_ACCESS_KEY_ID` and `TIDEMARK_STORE_SECRET_ACCESS_KEY` where the store needs them;
//! `TIDEMARK_CASSANDRA_USERNAME` and `TIDEMARK_CASSANDRA_PASSWORD` where the cluster does.

use std::{io::IsTerminal, path::PathBuf, sync::Arc};

use anyhow::{Context, Result};
use clap::Parser;
use tidemark_catalog::ids::SourceId;
use tidemark_gateway::Env;
use tidemark_listener_cassandra::{
    capture::{CassandraListener, Config},
    connect::{Credentials, PASSWORD_VARIABLE, USERNAME_VARIABLE},
    spec::{CassandraSpec, NodeSpec},
};
use tidemark_listener_core::{
    access::{self, Access},
    client::{self, Token},
};
use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;
use tracing_subscriber::EnvFilter;

/// Variable with the token that the orchestrator gave this listener.
const TOKEN_VARIABLE: &str = "TIDEMARK_LISTENER_TOKEN";

/// Threads for files: each may hold a piece of one.
const BLOCKING_THREADS: usize = 8;

/// Captures one Cassandra node for Tidemark.
#[derive(Debug, Parser)]
#[command(version)]
struct Arguments {
    /// URL of the orchestrator's control service.
    #[arg(long)]
    control: String,
    /// Id that the orchestrator gave this listener.
    #[arg(long)]
    listener: String,
    /// Name of the protected source.
    #[arg(long)]
    source: SourceId,
    /// Native transport of the node, host:port.
    #[arg(long)]
    address: String,
    /// A data directory of the node, absolute; repeat it for each.
    #[arg(long = "data-directory", required = true)]
    data_directories: Vec<PathBuf>,
    /// nodetool and the arguments that reach the node, as a JSON array of texts.
    #[arg(long)]
    nodetool: String,
}

fn main() -> Result<()> {
    tracing_subscriber::fmt()
        .with_env_filter(EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new("info,scylla=warn")))
        .with_writer(std::io::stderr)
        .with_ansi(std::io::stderr().is_terminal())
        .init();
    let arguments = Arguments::parse();
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .max_blocking_threads(BLOCKING_THREADS)
        .enable_all()
        .build()
        .context("start the runtime")?;
    runtime.block_on(serve(arguments))
}

async fn serve(arguments: Arguments) -> Result<()> {
    let env = Env::system();
    let access = Access::from_environment()?;
    let control = client::Config {
        control: arguments.control.clone(),
        listener: arguments.listener.clone(),
        source: arguments.source.clone(),
        store: access.store.clone(),
        kind: "cassandra",
        version: env!("CARGO_PKG_VERSION"),
        token: Token::new(access::variable(TOKEN_VARIABLE)?.with_context(|| format!("{TOKEN_VARIABLE} is not set"))?),
    };
    let listener = Arc::new(CassandraListener::new(config(arguments, access)?, env.clone()));
    let stop = CancellationToken::new();
    let signals = tokio::spawn(stop_on_signal(stop.clone()));
    let outcome = client::run(&control, listener, &env, stop).await;
    signals.abort();
    outcome.context("serve the orchestrator")
}

fn config(arguments: Arguments, access: Access) -> Result<Config> {
    let nodetool = serde_json::from_str(&arguments.nodetool).context("--nodetool is not a JSON array of texts")?;
    let Arguments { source, address, data_directories, .. } = arguments;
    let node = NodeSpec { address: address.clone(), data_directories, nodetool };
    let spec = CassandraSpec { contact: vec![address], credentials: None, nodes: vec![node.clone()] };
    spec.validate().context("the arguments describe no node")?;
    Ok(Config { source, node, cassandra: cassandra_credentials()?, access })
}

fn cassandra_credentials() -> Result<Option<Credentials>> {
    let pair = access::pair([USERNAME_VARIABLE, PASSWORD_VARIABLE])?;
    Ok(pair.map(|[username, password]| Credentials::new(username, password)))
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
