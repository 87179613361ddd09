//! A copied snapshot of a real node, with what the node said about itself.

use std::{
    fs,
    path::{Path, PathBuf},
};

use anyhow::{Context, Result};
use tempfile::TempDir;
use tidemark_gateway::Env;
use tidemark_listener_cassandra::{capture::TakenSnapshot, connect, describe};

use super::harm::{files_in, table_directory};
use crate::cassandra::Cluster;

/// Tag of the snapshot.
const TAG: &str = "shelf";

/// Snapshots of all tables of a keyspace, as they lie below a node's data directory.
#[derive(Debug)]
pub struct Shelf {
    directory: TempDir,
    keyspace: String,
    taken: TakenSnapshot,
}

impl Shelf {
    /// Has the cluster's only node flush and snapshot the keyspace, and copies the snapshot.
    ///
    /// # Errors
    /// Where the node does not do it.
    pub async fn fill(cluster: &Cluster, keyspace: &str, tables: &[&str]) -> Result<Self> {
        let env = Env::system();
        let started = env.now();
        cluster.nodetool(0, &["snapshot", "-t", TAG, keyspace])?;
        let finished = env.now();
        let node = &cluster.nodes()[0];
        let session = connect::connect_node(&format!("{}:9042", node.address), None).await?;
        let said = describe::node_capture(&session, &[keyspace.to_owned()], &env).await?;
        let directory = tempfile::Builder::new().prefix("tidemark-damage-").tempdir()?;
        for table in tables {
            let source = table_directory(&node.data_dir(), keyspace, table)?;
            let relative = source.strip_prefix(node.data_dir())?.join("snapshots").join(TAG);
            copy(&node.data_dir().join(&relative), &directory.path().join(&relative))?;
        }
        let taken = TakenSnapshot { tag: TAG.to_owned(), started, finished, node: said };
        Ok(Self { directory, keyspace: keyspace.to_owned(), taken })
    }

    /// What a capture needs to know of the snapshot.
    pub fn taken(&self) -> &TakenSnapshot {
        &self.taken
    }

    /// Name of the keyspace.
    pub fn keyspace(&self) -> &str {
        &self.keyspace
    }

    /// The data directory.
    pub fn data(&self) -> &Path {
        self.directory.path()
    }

    /// Directory of a table's snapshot, relative to the data directory.
    ///
    /// # Errors
    /// Where the table was not copied.
    pub fn relative(&self, table: &str) -> Result<PathBuf> {
        let directory = table_directory(self.data(), &self.keyspace, table)?;
        Ok(directory.strip_prefix(self.data())?.join("snapshots").join(TAG))
    }
}

fn copy(from: &Path, to: &Path) -> Result<()> {
    fs::create_dir_all(to)?;
    for (name, _) in files_in(from)? {
        fs::copy(from.join(&name), to.join(&name)).with_context(|| name.clone())?;
    }
    Ok(())
}
