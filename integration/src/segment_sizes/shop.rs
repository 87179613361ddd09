//! The shop's tables as one node keeps them after its own major compaction, in a directory: `capture.json`, which has the
//! schema, and the components of one table's SSTables in a directory of its name.

use std::{
    fs,
    path::{Path, PathBuf},
    sync::Arc,
};

use anyhow::{Context, Result};
use tidemark_cassandra_format::schema::TableSchema;
use tidemark_gateway::Env;
use tidemark_listener_cassandra::{cluster::NodeCapture, connect, consolidate::EntrySchema, describe};

use crate::{
    cassandra::{Cluster, ClusterSpec},
    cql, demo,
};

const KEYSPACE: &str = "shop";
/// The cluster of the demo, which never runs at the same time.
const GROUP: u8 = 200;

/// A table with its files.
pub(super) struct StoredTable {
    pub(super) schema: Arc<TableSchema>,
    pub(super) files: Vec<SsTable>,
}

/// An SSTable, by the path of its Data.db.
pub(super) struct SsTable(PathBuf);

impl SsTable {
    /// Name without component.
    pub(super) fn name(&self) -> String {
        let name = self.0.file_name().unwrap_or_default().to_string_lossy();
        name.trim_end_matches("-Data.db").to_owned()
    }

    /// Path of a component.
    pub(super) fn component(&self, component: &str) -> PathBuf {
        self.0.with_file_name(format!("{}-{component}", self.name()))
    }
}

impl StoredTable {
    /// Bytes of the Data.db files.
    pub(super) fn data_bytes(&self) -> Result<u64> {
        self.files.iter().map(|file| -> Result<u64> { Ok(fs::metadata(&file.0)?.len()) }).sum()
    }
}

/// Fills the shop on one node, compacts it, and leaves what [`tables`] reads in `directory`.
pub(super) async fn make(directory: &Path, env: &Env) -> Result<()> {
    let spec = ClusterSpec { heap: "512M".to_owned(), ..ClusterSpec::new("sizes", GROUP, 1) };
    let mut cluster = Cluster::start(spec).await?;
    let session = cql::connect(&cluster.contact_points()).await?;
    demo::fill_alone(&session).await?;
    cluster.nodetool(0, &["flush", KEYSPACE])?;
    cluster.nodetool(0, &["compact", KEYSPACE])?;
    let session = connect::connect_node(&cluster.contact_points()[0], None).await?;
    let capture = describe::node_capture(&session, &[KEYSPACE.to_owned()], env).await?;
    // What compaction replaced is gone for sure when the node has ended.
    cluster.stop(0).await?;
    for table in &capture.keyspaces[0].tables {
        copy(&cluster.nodes()[0].data_dir(), &table.name, &directory.join(&table.name))?;
    }
    // Last, so that a directory with it is whole.
    Ok(fs::write(directory.join("capture.json"), serde_json::to_vec(&capture)?)?)
}

fn copy(data_dir: &Path, table: &str, to: &Path) -> Result<()> {
    fs::create_dir_all(to)?;
    for found in fs::read_dir(data_dir.join(KEYSPACE))? {
        let found = found?;
        if !found.file_name().to_string_lossy().starts_with(&format!("{table}-")) {
            continue;
        }
        for file in fs::read_dir(found.path())?.collect::<Result<Vec<_>, _>>()? {
            if file.file_type()?.is_file() {
                fs::copy(file.path(), to.join(file.file_name()))?;
            }
        }
    }
    Ok(())
}

/// The tables that [`make`] left in `directory`.
pub(super) fn tables(directory: &Path) -> Result<Vec<StoredTable>> {
    let path = directory.join("capture.json");
    let capture = fs::read(&path).with_context(|| format!("read {}", path.display()))?;
    let capture: NodeCapture = serde_json::from_slice(&capture)?;
    let tables = capture.keyspaces[0].tables.iter();
    tables.map(|table| stored(&capture, &table.name, &directory.join(&table.name))).collect()
}

fn stored(capture: &NodeCapture, table: &str, directory: &Path) -> Result<StoredTable> {
    let schema = EntrySchema::of(capture, KEYSPACE, table).with_context(|| format!("no table {table}"))?;
    let mut files = Vec::new();
    for file in fs::read_dir(directory)? {
        let path = file?.path();
        if path.to_string_lossy().ends_with("-Data.db") {
            files.push(SsTable(path));
        }
    }
    Ok(StoredTable { schema: Arc::new(schema.table()?), files })
}
