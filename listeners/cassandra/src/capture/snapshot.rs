//! The snapshot of a task: taken once, recorded, found again by later runs.

use std::path::PathBuf;

use jiff::Timestamp;
use object_store::path::Path;
use scylla::client::session::Session;
use serde::{Deserialize, Serialize};
use tidemark_catalog::ids::ObjectName;
use tidemark_gateway::Env;

use super::{
    Error,
    files::{self, LocalFile, TableOnDisk},
    names::Patterns,
    nodetool::Nodetool,
    shipment::TakenSnapshot,
};
use crate::{
    cluster::{KeyspaceSchema, NodeCapture},
    describe::{self, Support, support},
};

/// Format number of [`SnapshotRecord`].
const SNAPSHOT_FORMAT: u32 = 1;

/// How often a snapshot is taken again because the schema changed meanwhile.
const TRIES: u32 = 5;

/// A snapshot that was taken: the content of `snapshot.json`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct SnapshotRecord {
    /// [`SNAPSHOT_FORMAT`].
    pub(super) format: u32,
    /// Its tag at the node.
    pub(super) tag: String,
    /// Host clock right before it was asked for.
    pub(super) started: Timestamp,
    /// Host clock right after it was taken.
    pub(super) finished: Timestamp,
    /// Its tables, sorted by name.
    pub(super) tables: Vec<TableRecord>,
    /// What the node said right after it.
    pub(super) node: NodeCapture,
}

/// A table in a snapshot.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct TableRecord {
    /// The table.
    pub(super) object: ObjectName,
    /// Table id, 32 hex digits.
    pub(super) id: String,
    /// Why it cannot be captured here; then `files` is empty.
    pub(super) unreadable: Option<String>,
    /// Its files to ship, in shipping order.
    pub(super) files: Vec<FileRecord>,
}

/// A file in a snapshot.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct FileRecord {
    /// Name without directories.
    pub(super) name: String,
    /// Bytes.
    pub(super) size: u64,
}

impl TableRecord {
    fn new(keyspace: &str, table: &str, id: &str) -> Option<Self> {
        let object = ObjectName::new([keyspace, table]).ok()?;
        Some(Self { object, id: id.to_owned(), unreadable: None, files: Vec::new() })
    }

    fn on_disk(&self) -> Option<TableOnDisk<'_>> {
        let [keyspace, table] = self.object.parts() else { return None };
        Some(TableOnDisk { keyspace, table, id: &self.id })
    }
}

/// What a snapshot is taken with.
pub(super) struct Place<'a> {
    pub(super) session: &'a Session,
    pub(super) nodetool: &'a Nodetool,
    pub(super) data_directories: &'a [PathBuf],
    pub(super) env: &'a Env,
    pub(super) tag: &'a str,
}

/// Takes a snapshot of the tables that match, flushed, such that the schema is the same before and after it.
///
/// A snapshot under this tag that was not recorded is one that a crash left: it is removed first.
pub(super) async fn take(place: &Place<'_>, patterns: &Patterns) -> Result<SnapshotRecord, Error> {
    for _ in 0..TRIES {
        place.nodetool.clear_snapshot(place.tag).await.map_err(Error::Nodetool)?;
        let before = schemas(place.session, patterns).await?;
        let tables = choose(&before, patterns);
        let started = place.env.now();
        let taken = place.nodetool.snapshot(place.tag, &wanted(&tables)).await;
        let finished = place.env.now();
        if schemas(place.session, patterns).await? != before {
            tracing::info!(tag = place.tag, "the schema changed during the snapshot: it is taken again");
            continue;
        }
        taken.map_err(Error::Nodetool)?;
        let keyspaces: Vec<String> = before.iter().map(|keyspace| keyspace.name.clone()).collect();
        let node = describe::node_capture(place.session, &keyspaces, place.env).await.map_err(Error::Describe)?;
        if node.keyspaces != before {
            continue;
        }
        let taken = TakenSnapshot { tag: place.tag.to_owned(), started, finished, node };
        return Ok(record(place.data_directories, taken, tables).await);
    }
    Err(Error::SchemaMoves { tries: TRIES })
}

/// The record of a snapshot of these tables that is on disk. A table whose files cannot be listed is unreadable.
pub(super) async fn record(data: &[PathBuf], taken: TakenSnapshot, mut tables: Vec<TableRecord>) -> SnapshotRecord {
    let TakenSnapshot { tag, started, finished, node } = taken;
    for table in tables.iter_mut().filter(|table| table.unreadable.is_none()) {
        enlist(table, list(data, &tag, table).await);
    }
    SnapshotRecord { format: SNAPSHOT_FORMAT, tag, started, finished, tables, node }
}

/// The schema of every keyspace with a table that matches, sorted.
pub(super) async fn schemas(session: &Session, patterns: &Patterns) -> Result<Vec<KeyspaceSchema>, Error> {
    let mut schemas = Vec::new();
    for name in describe::keyspace_names(session).await.map_err(Error::Describe)? {
        if !patterns.touches(&name) {
            continue;
        }
        let schema = describe::keyspace_schema(session, &name).await.map_err(Error::Describe)?;
        if schema.tables.iter().any(|table| patterns.matches(&name, &table.name)) {
            schemas.push(schema);
        }
    }
    Ok(schemas)
}

/// The tables that match, sorted; those that cannot be protected are unreadable from the start.
pub(super) fn choose(schemas: &[KeyspaceSchema], patterns: &Patterns) -> Vec<TableRecord> {
    let mut chosen = Vec::new();
    for keyspace in schemas {
        for table in keyspace.tables.iter().filter(|table| patterns.matches(&keyspace.name, &table.name)) {
            let Some(mut record) = TableRecord::new(&keyspace.name, &table.name, &table.id) else { continue };
            if let Support::Unsupported(reason) = support(keyspace, table) {
                record.unreadable = Some(reason);
            }
            chosen.push(record);
        }
    }
    chosen.sort_by(|a, b| a.object.cmp(&b.object));
    chosen
}

/// The tables to snapshot, as nodetool names them.
fn wanted(tables: &[TableRecord]) -> Vec<String> {
    tables.iter().filter(|table| table.unreadable.is_none()).map(|table| table.object.parts().join(".")).collect()
}

fn enlist(table: &mut TableRecord, listed: Result<Vec<LocalFile>, String>) {
    match listed {
        Ok(files) => table.files = records(files),
        Err(reason) => {
            tracing::warn!(object = %table.object, reason, "the table is unreadable");
            table.unreadable = Some(reason);
        }
    }
}

fn records(files: Vec<LocalFile>) -> Vec<FileRecord> {
    files.into_iter().map(|file| FileRecord { name: file.name, size: file.size }).collect()
}

/// The files of `table` in the snapshot, in shipping order.
///
/// # Errors
/// The reason, for people, why the table cannot be captured.
pub(super) async fn list(data: &[PathBuf], tag: &str, table: &TableRecord) -> Result<Vec<LocalFile>, String> {
    if let Some(reason) = &table.unreadable {
        return Err(reason.clone());
    }
    let (data, tag, table) = (data.to_vec(), tag.to_owned(), table.clone());
    let listed = tokio::task::spawn_blocking(move || {
        let on_disk = table.on_disk().ok_or_else(|| "the object is not keyspace/table".to_owned())?;
        files::snapshot(&data, on_disk, &tag)
    });
    listed.await.unwrap_or_else(|error| Err(error.to_string()))
}

/// The snapshot that an earlier run recorded, proven to be on disk still.
pub(super) async fn reuse(place: &Place<'_>, path: &Path, bytes: &[u8]) -> Result<SnapshotRecord, Error> {
    let record: SnapshotRecord =
        serde_json::from_slice(bytes).map_err(|source| Error::StagedJson { path: path.clone(), source })?;
    if record.format != SNAPSHOT_FORMAT || record.tag != place.tag {
        return Err(Error::StagedOther { path: path.clone() });
    }
    tracing::info!(tag = place.tag, "the snapshot of an earlier run is used");
    for table in record.tables.iter().filter(|table| table.unreadable.is_none()) {
        let listed = list(place.data_directories, place.tag, table).await;
        let gone =
            |reason| Error::SnapshotGone { tag: place.tag.to_owned(), subject: table.object.to_string(), reason };
        if records(listed.map_err(gone)?) != table.files {
            return Err(gone("its files are others than recorded".to_owned()));
        }
    }
    Ok(record)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::cluster::{ColumnRow, TableRows};

    fn table(name: &str, cql_type: &str) -> TableRows {
        TableRows {
            name: name.into(),
            id: "0f".repeat(16),
            flags: vec!["compound".into()],
            gc_grace_seconds: 864_000,
            default_time_to_live: 0,
            columns: vec![ColumnRow {
                name: "c".into(),
                kind: "regular".into(),
                position: -1,
                clustering_order: "none".into(),
                cql_type: cql_type.into(),
            }],
            dropped: Vec::new(),
        }
    }

    fn keyspace(name: &str, tables: Vec<TableRows>) -> KeyspaceSchema {
        let replication = BTreeMap::from([("replication_factor".into(), "3".into())]);
        KeyspaceSchema {
            name: name.into(),
            replication,
            durable_writes: true,
            types: Vec::new(),
            tables,
            statements: Vec::new(),
        }
    }

    #[test]
    fn matching_tables_are_chosen_and_what_is_not_supported_is_named_as_unreadable() {
        let mut transient = keyspace("old", vec![table("hits", "int")]);
        transient.replication = BTreeMap::from([("dc1".into(), "3/1".into())]);
        let schemas = [
            keyspace("shop", vec![table("orders", "int"), table("clicks", "counter"), table("other", "int")]),
            transient,
        ];
        let patterns = Patterns::parse(&["shop/orders".into(), "*/clicks".into(), "*/hits".into()]).unwrap();
        let chosen = choose(&schemas, &patterns);
        let names: Vec<String> = chosen.iter().map(|table| table.object.to_string()).collect();
        assert_eq!(names, ["old/hits", "shop/clicks", "shop/orders"]);
        assert!(chosen[0].unreadable.as_ref().is_some_and(|reason| reason.contains("transient")));
        assert_eq!(wanted(&chosen), ["shop.clicks", "shop.orders"]);
    }
}
