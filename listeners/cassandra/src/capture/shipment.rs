//! From a recorded snapshot to a stored slice: the part of a capture that asks nothing of the node.

use std::{path::PathBuf, sync::Arc};

use jiff::Timestamp;
use object_store::ObjectStore;
use tidemark_catalog::stored::StoredRef;
use tidemark_listener_core::{
    assignment::{Assignment, Capture},
    progress::ProgressSink,
    ship::{Captured, Meter, Shipper, Stage},
};

use super::{
    error::Error,
    names,
    snapshot::{self, TableRecord},
    tables,
};
use crate::cluster::NodeCapture;

/// A snapshot on disk, and what its node said when it was taken.
#[derive(Clone, Debug, PartialEq)]
pub struct TakenSnapshot {
    /// Its tag: the name of the directories below `snapshots`.
    pub tag: String,
    /// Host clock before the flush that preceded it.
    pub started: Timestamp,
    /// Host clock right after it was taken.
    pub finished: Timestamp,
    /// What the node said right after it.
    pub node: NodeCapture,
}

/// Ships a snapshot that is on disk already: a copy of a node's data directories is enough, no node is asked for anything. The
/// tables that match the assignment go to `store` exactly as a capture ships its own snapshot; what is on disk stays as it is.
/// No other store is opened.
///
/// # Errors
/// As [`CassandraListener`](super::CassandraListener) fails after its snapshot. A table whose files cannot be read is no error
/// but a line of the slice that says so.
pub async fn ship_taken(
    store: Arc<dyn ObjectStore>,
    data_directories: &[PathBuf],
    taken: TakenSnapshot,
    assignment: &Assignment<Capture>,
    progress: ProgressSink,
) -> Result<StoredRef, Error> {
    let patterns = names::patterns(&assignment.work.objects, &assignment.work.excludes)?;
    let TakenSnapshot { tag, started, finished, node } = taken;
    let tables = snapshot::choose(&node.keyspaces, &patterns);
    let stage = Stage::new(store, assignment, &node.host_id);
    let tables = snapshot::enlisted(data_directories, &tag, tables).await;
    let tables = tables.into_iter().map(|table| (tag.clone(), table)).collect();
    let load = Load { started, finished, tables, node };
    Shipment { assignment, data_directories, progress }.run(&stage, load).await
}

/// What is to be shipped.
pub(super) struct Load {
    /// Host clock before the flush of the first of its snapshots.
    pub(super) started: Timestamp,
    /// Host clock after the last of them.
    pub(super) finished: Timestamp,
    /// Tables, each with the tag of the snapshot that holds it.
    pub(super) tables: Vec<(String, TableRecord)>,
    /// What the node said.
    pub(super) node: NodeCapture,
}

/// What is shipped for an assignment, and from where.
pub(super) struct Shipment<'a> {
    pub(super) assignment: &'a Assignment<Capture>,
    pub(super) data_directories: &'a [PathBuf],
    pub(super) progress: ProgressSink,
}

impl Shipment<'_> {
    /// Ships the tables, then the node's words, then the slice manifest.
    pub(super) async fn run(&self, stage: &Stage, load: Load) -> Result<StoredRef, Error> {
        let files = load.tables.iter().flat_map(|(_, table)| &table.files);
        let total = files.fold(0_u64, |sum, file| sum.saturating_add(file.size));
        let meter = Meter::new(Arc::clone(&self.progress), total);
        let shipper = Shipper::new(stage, &self.assignment.work.limits, meter);
        let mut objects = Vec::with_capacity(load.tables.len());
        for (tag, table) in &load.tables {
            let listed = snapshot::list(self.data_directories, tag, table).await;
            objects.push(tables::ship(&shipper, table, listed).await?);
        }
        let Load { started, finished, node, .. } = load;
        Ok(stage.finish(&node, Captured { started, finished, objects }).await?)
    }
}
