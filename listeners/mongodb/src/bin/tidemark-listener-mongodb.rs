//! The listener of a MongoDB deployment, or of one of its members.
//!
//! Arguments of control, store and token are those of every listener ([`process`]). The user that reads comes by
//! environment, where the deployment asks for one: `TIDEMARK_MONGODB_USERNAME` and `TIDEMARK_MONGODB_PASSWORD`.

use anyhow::{Context, Result};
use clap::Args;
use tidemark_listener_core::{
    access,
    process::{self, Program, Start},
};
use tidemark_listener_mongodb::{
    capture::{Config, MongoListener},
    connect::{Credentials, VARIABLES},
    segment::KIND,
    spec::{LISTENER_PROGRAM, MongoSpec},
};

const PROGRAM: Program = Program {
    name: LISTENER_PROGRAM,
    kind: KIND,
    version: env!("CARGO_PKG_VERSION"),
    about: "Captures a MongoDB deployment for Tidemark",
    log: "info",
};

#[derive(Debug, Args)]
struct Deployment {
    /// The deployment, JSON of a source's specification without credentials.
    #[arg(long)]
    specification: String,
    /// The member that is read, host:port; all that can be where absent.
    #[arg(long)]
    member: Option<String>,
}

fn main() -> Result<()> {
    process::main(&PROGRAM, listener)
}

fn listener(own: Deployment, start: Start) -> Result<MongoListener> {
    let spec = serde_json::from_str(&own.specification).context("--specification is not JSON")?;
    let spec = MongoSpec::parse(&spec).context("--specification")?;
    let pair = access::pair(VARIABLES)?;
    let credentials = pair.map(|[username, password]| Credentials::new(username, password));
    Ok(MongoListener::new(Config { spec, member: own.member, credentials }, start))
}
