//! How a node is, and a snapshot of it.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::PathBuf,
};

use jiff::Timestamp;
use scylla::client::session::Session;
use serde::{Deserialize, Serialize};
use tidemark_catalog::{ids::ObjectName, pattern::Patterns};
use tidemark_gateway::{Env, pause};
use tidemark_listener_core::ship::LocalFile;

use super::{
    error::Error,
    files::{self, TableOnDisk},
    leftovers,
    nodetool::{self, Nodetool},
};
use crate::{
    cluster::{KeyspaceSchema, NodeCapture},
    describe::{self, Ghost, Live, Support, support},
};

/// A snapshot that was taken.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct SnapshotRecord {
    /// Its tag at the node.
    pub(super) tag: String,
    /// The tables that it was to hold; all that match where absent.
    pub(super) asked: Option<BTreeSet<ObjectName>>,
    /// Host clock before the flush that precedes it: what was written until then is in it.
    pub(super) started: Timestamp,
    /// Host clock right after it was taken.
    pub(super) finished: Timestamp,
    /// Its tables, sorted by name.
    pub(super) tables: Vec<TableRecord>,
}

/// How a node is at one time.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Look {
    /// What it says; its ring is that of its token metadata.
    pub(super) node: NodeCapture,
    /// Members that do not simply own their ranges, each with its state.
    pub(super) states: BTreeMap<String, String>,
    /// Rows about nodes that are no members.
    pub(super) ghosts: Vec<Ghost>,
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

/// Takes a snapshot of the tables that match, or of those of them that are asked for. It holds every write that the node had
/// taken before `started`: the clock is noted, a flush of these tables runs to its end behind all earlier ones, and only
/// then are their files linked.
///
/// A snapshot under this tag that was not recorded is one that a crash left: it is removed first.
pub(super) async fn take(
    place: &Place<'_>,
    patterns: &Patterns,
    asked: Option<BTreeSet<ObjectName>>,
) -> Result<SnapshotRecord, Error> {
    let links = Links { nodetool: place.nodetool, data_directories: place.data_directories, tag: place.tag };
    links.clear().await?;
    let mut tables = present(place, patterns).await?;
    tables.retain(|table| asked.as_ref().is_none_or(|asked| asked.contains(&table.object)));
    pause::point("before-flush");
    let started = place.env.now();
    let tables = links.make(tables, || present(place, patterns)).await?;
    let (started, finished) = interval(started, place.env.now());
    let tables = enlisted(place.data_directories, place.tag, tables).await;
    Ok(SnapshotRecord { tag: place.tag.to_owned(), asked, started, finished, tables })
}

/// From when to when a snapshot was taken, by the host's clock before and after. One that was set back meanwhile ran ahead before:
/// what came after its new time is not in.
fn interval(before: Timestamp, after: Timestamp) -> (Timestamp, Timestamp) {
    (before.min(after), after)
}

/// The tables that the node has now and that match, sorted.
async fn present(place: &Place<'_>, patterns: &Patterns) -> Result<Vec<TableRecord>, Error> {
    Ok(choose(&schemas(place.session, patterns).await?, patterns))
}

/// The links of a snapshot under a tag.
struct Links<'a> {
    nodetool: &'a Nodetool,
    data_directories: &'a [PathBuf],
    tag: &'a str,
}

impl Links<'_> {
    /// Removes those that are found.
    async fn clear(&self) -> Result<(), Error> {
        if leftovers::found(self.data_directories).await?.contains(self.tag) {
            self.nodetool.clear_snapshot(self.tag).await.map_err(Error::Nodetool)?;
        }
        Ok(())
    }

    /// Flushes and links the tables; returns those that are linked. `nodetool` fails for all where one was dropped since its
    /// schema was read: those that are not `present` any more are left out, and the others are flushed and linked anew.
    async fn make<F>(&self, mut tables: Vec<TableRecord>, present: impl Fn() -> F) -> Result<Vec<TableRecord>, Error>
    where
        F: Future<Output = Result<Vec<TableRecord>, Error>>,
    {
        loop {
            let linked = self.link(&tables).await;
            let Err(error) = linked else { return Ok(tables) };
            let left = of_both(&tables, &present().await?);
            if left.len() == tables.len() {
                return Err(Error::Nodetool(error));
            }
            tracing::info!(%error, gone = tables.len() - left.len(), "tables were dropped meanwhile: they are left out");
            self.clear().await?;
            tables = left;
        }
    }

    /// Flushes the tables, then links their files.
    async fn link(&self, tables: &[TableRecord]) -> Result<(), nodetool::Error> {
        for (keyspace, tables) in by_keyspace(tables) {
            self.nodetool.flush(keyspace, &tables).await?;
        }
        self.nodetool.snapshot(self.tag, &wanted(tables)).await
    }
}

/// Those of `tables` that are in `now` too; a table that was made anew is another one.
fn of_both(tables: &[TableRecord], now: &[TableRecord]) -> Vec<TableRecord> {
    let now: BTreeSet<_> = now.iter().map(|table| (&table.object, &table.id)).collect();
    tables.iter().filter(|table| now.contains(&(&table.object, &table.id))).cloned().collect()
}

/// The tables to flush, by keyspace.
fn by_keyspace(tables: &[TableRecord]) -> BTreeMap<&str, Vec<String>> {
    let mut keyspaces = BTreeMap::<_, Vec<String>>::new();
    for table in tables.iter().filter(|table| table.unreadable.is_none()) {
        if let [keyspace, name] = table.object.parts() {
            keyspaces.entry(keyspace.as_str()).or_default().push(name.clone());
        }
    }
    keyspaces
}

/// How the node is now; of the schema only the tables that match.
pub(super) async fn look(place: &Place<'_>, patterns: &Patterns) -> Result<Look, Error> {
    let session = place.session;
    let printed = place.nodetool.ring().await.map_err(Error::Nodetool)?;
    let local = describe::local(session).await.map_err(Error::Describe)?;
    let known = describe::known(session, &local).await.map_err(Error::Describe)?;
    let Live { ring, states, ghosts } = Live::parse(&printed, &known).map_err(Error::Ring)?;
    let mut names = describe::keyspace_names(session).await.map_err(Error::Describe)?;
    names.retain(|name| patterns.touches(name));
    let mut node = describe::node_capture(session, &names, place.env).await.map_err(Error::Describe)?;
    node.ring = ring;
    retain(&mut node.keyspaces, patterns);
    Ok(Look { node, states, ghosts })
}

fn retain(keyspaces: &mut Vec<KeyspaceSchema>, patterns: &Patterns) {
    for keyspace in keyspaces.iter_mut() {
        keyspace.tables.retain(|table| patterns.matches(&[&keyspace.name, &table.name]));
    }
    keyspaces.retain(|keyspace| !keyspace.tables.is_empty());
}

/// The tables with their files in a snapshot that is on disk. A table whose files cannot be listed is unreadable.
pub(super) async fn enlisted(data: &[PathBuf], tag: &str, mut tables: Vec<TableRecord>) -> Vec<TableRecord> {
    for table in tables.iter_mut().filter(|table| table.unreadable.is_none()) {
        enlist(table, list(data, tag, table).await);
    }
    tables
}

/// The schema of every keyspace with a table that matches, sorted; of their tables those that match.
pub(super) async fn schemas(session: &Session, patterns: &Patterns) -> Result<Vec<KeyspaceSchema>, Error> {
    let mut schemas = Vec::new();
    for name in describe::keyspace_names(session).await.map_err(Error::Describe)? {
        if patterns.touches(&name) {
            schemas.push(describe::keyspace_schema(session, &name).await.map_err(Error::Describe)?);
        }
    }
    retain(&mut schemas, patterns);
    Ok(schemas)
}

/// The tables that match, sorted; those that cannot be protected are unreadable from the start.
pub(super) fn choose(schemas: &[KeyspaceSchema], patterns: &Patterns) -> Vec<TableRecord> {
    let mut chosen = Vec::new();
    for keyspace in schemas {
        for table in keyspace.tables.iter().filter(|table| patterns.matches(&[&keyspace.name, &table.name])) {
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

/// Proves that the files of a recorded table are on disk still.
///
/// # Errors
/// [`Error::SnapshotGone`].
pub(super) async fn prove(data: &[PathBuf], tag: &str, table: &TableRecord) -> Result<(), Error> {
    if table.unreadable.is_some() {
        return Ok(());
    }
    let gone = |reason| Error::SnapshotGone { tag: tag.to_owned(), subject: table.object.to_string(), reason };
    if records(list(data, tag, table).await.map_err(gone)?) != table.files {
        return Err(gone("its files are others than recorded".to_owned()));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cluster::{ColumnRow, TableRows};

    #[test]
    fn a_clock_that_is_set_back_claims_nothing_for_the_time_that_it_ran_ahead() {
        let at = |second| Timestamp::from_second(second).unwrap();
        assert_eq!(interval(at(5), at(9)), (at(5), at(9)));
        assert_eq!(interval(at(600), at(9)), (at(9), at(9)));
    }

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
        assert_eq!(by_keyspace(&chosen), BTreeMap::from([("shop", vec!["clicks".to_owned(), "orders".to_owned()])]));
    }

    fn record(name: &str, id: &str) -> TableRecord {
        TableRecord::new("ks", name, id).unwrap()
    }

    /// A node whose nodetool fails where it is to do something with the table `gone`.
    fn without_gone() -> Nodetool {
        Nodetool::new(["sh", "-c", "case \"$*\" in *gone*) exit 1;; esac", "nodetool"].map(str::to_owned).to_vec())
    }

    #[tokio::test]
    async fn a_table_that_was_dropped_meanwhile_is_left_out_and_the_others_are_linked() {
        let (nodetool, tables) = (without_gone(), vec![record("gone", "0f"), record("kept", "0f")]);
        let links = Links { nodetool: &nodetool, data_directories: &[], tag: "t" };
        for now in [vec![record("kept", "0f")], vec![record("gone", "1e"), record("kept", "0f")]] {
            let linked = links.make(tables.clone(), || std::future::ready(Ok(now.clone()))).await.unwrap();
            assert_eq!(linked, [record("kept", "0f")]);
        }
        let error = links.make(tables.clone(), || std::future::ready(Ok(tables.clone()))).await.unwrap_err();
        assert!(matches!(error, Error::Nodetool(_)), "{error}");
    }
}
