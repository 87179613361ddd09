//! The listener beside one Cassandra node.
//!
//! Arguments of control, store and token are those of every listener ([`process`]). The role that reads the node's system tables
//! comes by environment, where the cluster asks for one: `TIDEMARK_CASSANDRA_USERNAME` and `TIDEMARK_CASSANDRA_PASSWORD`.

use std::path::PathBuf;

use anyhow::{Context, Result};
use clap::Args;
use tidemark_listener_cassandra::{
    capture::{CassandraListener, Config},
    connect::{Credentials, VARIABLES},
    segment::KIND,
    spec::{CassandraSpec, LISTENER_PROGRAM, NodeSpec},
};
use tidemark_listener_core::{
    access,
    process::{self, Program, Start},
};

const PROGRAM: Program = Program {
    name: LISTENER_PROGRAM,
    kind: KIND,
    version: env!("CARGO_PKG_VERSION"),
    about: "Captures one Cassandra node for Tidemark",
    log: "info,scylla=warn",
};

#[derive(Debug, Args)]
struct Node {
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
    process::main(&PROGRAM, listener)
}

fn listener(node: Node, start: Start) -> Result<CassandraListener> {
    let Node { address, data_directories, nodetool } = node;
    let nodetool = serde_json::from_str(&nodetool).context("--nodetool is not a JSON array of texts")?;
    let node = NodeSpec { address: address.clone(), data_directories, nodetool };
    let spec = CassandraSpec { contact: vec![address], credentials: None, nodes: vec![node.clone()] };
    spec.validate().context("the arguments describe no node")?;
    let pair = access::pair(VARIABLES)?;
    let cassandra = pair.map(|[username, password]| Credentials::new(username, password));
    let Start { source, access, env } = start;
    Ok(CassandraListener::new(Config { source, node, cassandra, access }, env))
}
