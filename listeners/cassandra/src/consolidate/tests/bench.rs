//! A cluster of nodes that all hold the same files of one table, staged in memory.

use std::{
    collections::BTreeMap,
    path::PathBuf,
    sync::{Arc, Mutex},
};

use jiff::Timestamp;
use object_store::{ObjectStore, ObjectStoreExt, memory::InMemory, path::Path};
use tidemark_cassandra_format::{
    model::{Partition, PartitionReader, Unfiltered},
    sstable::{ReadOptions, SsTableFiles, SsTableReader},
};
use tidemark_catalog::{
    content::{self, SegmentRef},
    document,
    entry::Entry,
    ids::{FencingToken, ObjectName, SourceId},
    names::Names,
    slice::{Encoding, SliceManifest, SliceObject, StagedFile},
    stored::StoredRef,
};
use tidemark_gateway::{Digest, Env, Stored};
use tidemark_listener_core::{
    progress,
    records::{ConsolidateJob, ConsolidateLimits},
};
use tokio_util::sync::CancellationToken;

use crate::{
    cluster::{
        ColumnRow, CreateStatement, DroppedColumnRow, KeyspaceSchema, NodeCapture, RingNode, TableRows, UdtSchema,
    },
    consolidate::EntrySchema,
    merge::MergeReader,
    options::Options,
};

const TABLE_ID: &str = "00112233445566778899aabbccddeeff";

/// The cluster, its table, and what was staged of it.
pub(crate) struct Bench {
    pub(crate) store: Arc<dyn ObjectStore>,
    pub(crate) table: String,
    pub(crate) object: ObjectName,
    pub(crate) captures: Vec<NodeCapture>,
    pub(crate) slices: Vec<SliceManifest>,
    pub(crate) absent: Vec<(String, String)>,
    pub(crate) declared: Options,
    /// Directories of the table's files below the fixtures.
    directories: Vec<String>,
    counter: Arc<Counter>,
    names: Arc<Names>,
}

/// Names by number.
#[derive(Default)]
struct Counter(Mutex<u64>);

impl Counter {
    fn next(&self, kind: &str) -> Path {
        let mut next = self.0.lock().unwrap();
        *next += 1;
        Path::from(format!("{kind}/{next}"))
    }
}

impl Bench {
    /// `nodes` nodes of one ring, replication on all of them, each with the table's files.
    pub(crate) async fn of(table: &str, nodes: usize) -> Self {
        Self::mixed(&[table], nodes).await
    }

    /// The same with the files of several fixtures, whose tables have the same columns: it has the name of the first.
    pub(crate) async fn mixed(directories: &[&str], nodes: usize) -> Self {
        let (_, table) = run_and_table(directories[0]);
        let mut bench = Self {
            store: Arc::new(InMemory::new()),
            table: table.to_owned(),
            object: ObjectName::new(["fx", table]).unwrap(),
            captures: (0..nodes).map(|node| capture_of(directories[0], nodes, node)).collect(),
            directories: directories.iter().map(|directory| (*directory).to_owned()).collect(),
            slices: Vec::new(),
            absent: Vec::new(),
            declared: Options { write_level: "quorum".to_owned(), repaired: false },
            counter: Arc::default(),
            names: Arc::new(Names::new("s".parse().unwrap(), FencingToken { generation: 1, revision: 1 })),
        };
        for node in 0..nodes {
            let slice = bench.slice(node).await;
            bench.slices.push(slice);
        }
        bench.store_captures().await;
        bench
    }

    pub(crate) fn host(&self, node: usize) -> String {
        self.captures[node].host_id.clone()
    }

    pub(crate) fn job(&self) -> ConsolidateJob {
        ConsolidateJob {
            source: "s".parse::<SourceId>().unwrap(),
            object: self.object.clone(),
            slices: Arc::new(self.slices.clone()),
            absent: Arc::new(self.absent.clone()),
            previous: None,
            store: self.store.clone(),
            names: self.names.clone(),
            unreadable: BTreeMap::new(),
            options: serde_json::json!(self.declared),
            limits: ConsolidateLimits::default(),
            env: Env::seeded(1, at(5_000)),
            progress: progress::silent(),
            cancel: CancellationToken::new(),
        }
    }

    /// Sets the replication factor.
    pub(crate) async fn replicate(&mut self, factor: usize) {
        for capture in &mut self.captures {
            capture.keyspaces[0].replication = replication(factor);
        }
        self.store_captures().await;
    }

    /// Stores what the nodes say and names it in their slices.
    pub(crate) async fn store_captures(&mut self) {
        for (slice, capture) in self.slices.iter_mut().zip(&self.captures) {
            slice.info = document::write(&self.store, &self.counter.next("info"), capture).await.unwrap();
        }
    }

    pub(crate) fn make_unreadable(&mut self, node: usize, reason: &str) {
        let object = &mut self.slices[node].objects[0];
        object.unreadable = Some(reason.to_owned());
        object.files.clear();
    }

    pub(crate) fn remove(&mut self, node: usize, reason: &str) {
        self.absent.push((self.host(node), reason.to_owned()));
        self.slices.remove(node);
        self.captures.remove(node);
    }

    /// Flips a bit in the middle of a staged file.
    pub(crate) async fn damage(&mut self, node: usize, file: &str) {
        let file = self.slices[node].objects[0].files.iter().find(|f| f.name == file).unwrap();
        let key = file.stored.key.clone();
        self.damage_object(&key).await;
    }

    /// Deletes a staged file.
    pub(crate) async fn lose(&self, node: usize, file: &str) {
        let file = self.slices[node].objects[0].files.iter().find(|f| f.name == file).unwrap();
        self.store.delete(&file.stored.path()).await.unwrap();
    }

    /// Deletes what a node said about itself.
    pub(crate) async fn lose_capture(&self, node: usize) {
        self.store.delete(&self.slices[node].info.path()).await.unwrap();
    }

    pub(crate) async fn damage_object(&mut self, key: &str) {
        let path = Path::from(key);
        let mut bytes = self.store.get(&path).await.unwrap().bytes().await.unwrap().to_vec();
        let middle = bytes.len() / 2;
        bytes[middle] ^= 4;
        self.store.put(&path, bytes.into()).await.unwrap();
    }

    /// The ranges of an entry.
    pub(crate) async fn ranges(&self, entry: &Entry) -> Vec<SegmentRef> {
        content::ranges(&self.store, &entry.content.records().unwrap().baseline).await.unwrap()
    }

    /// What the table's own files hold after a merge, read from disk.
    pub(crate) async fn merged(&self) -> Vec<(Partition, Vec<Unfiltered>)> {
        let schema = EntrySchema::of(&self.captures[0], "fx", &self.table).unwrap();
        let schema = Arc::new(schema.table().unwrap());
        let open = |files| SsTableReader::open(files, schema.clone(), ReadOptions::default()).unwrap();
        let sstables = self.directories.iter().map(|directory| open(local_files(directory))).collect();
        let mut reader = MergeReader::new(schema.clone(), sstables);
        let mut found = Vec::new();
        while let Some(partition) = reader.next_partition().unwrap() {
            let mut unfiltereds = Vec::new();
            while let Some(unfiltered) = reader.next_unfiltered().unwrap() {
                unfiltereds.push(unfiltered);
            }
            found.push((partition, unfiltereds));
        }
        found
    }

    /// The slice of one node; nodes take turns in how they encode files.
    async fn slice(&self, node: usize) -> SliceManifest {
        let encoding = if node.is_multiple_of(2) { Encoding::Zstd } else { Encoding::Plain };
        let mut files = Vec::new();
        for (name, bytes) in self.directories.iter().flat_map(|directory| components(directory)) {
            files.push(self.stage(node, &name, bytes, encoding).await);
        }
        let object = self.object.clone();
        let info = StoredRef::new(&Path::default(), Stored::of(b""));
        SliceManifest {
            source: "s".parse().unwrap(),
            task: "t".parse().unwrap(),
            token: FencingToken { generation: 1, revision: 1 },
            partition: self.host(node),
            started: at(1_900_000_000),
            finished: at(1_900_000_001),
            objects: vec![SliceObject { object, object_id: TABLE_ID.to_owned(), unreadable: None, files }],
            info,
        }
    }

    async fn stage(&self, node: usize, name: &str, bytes: Vec<u8>, encoding: Encoding) -> StagedFile {
        let stored = match encoding {
            Encoding::Plain => bytes.clone(),
            Encoding::Zstd => bytes.chunks(1 << 20).flat_map(|part| zstd::bulk::compress(part, 1).unwrap()).collect(),
        };
        let key = format!("staged/{node}/{name}");
        let reference = StoredRef { key: key.clone(), ..StoredRef::new(&Path::default(), Stored::of(&stored)) };
        self.store.put(&Path::from(key), stored.into()).await.unwrap();
        StagedFile {
            name: name.to_owned(),
            stored: reference,
            encoding,
            size: bytes.len() as u64,
            digest: Digest::of(&bytes),
        }
    }
}

fn at(second: i64) -> Timestamp {
    Timestamp::from_second(second).unwrap()
}

fn testdata() -> PathBuf {
    [env!("CARGO_MANIFEST_DIR"), "..", "cassandra-format", "testdata"].iter().collect()
}

/// The directory of a fixture's schema, and its table.
fn run_and_table(directory: &str) -> (&str, &str) {
    directory.split_once('/').unwrap_or((".", directory))
}

/// Components of a directory's only SSTable by name.
fn components(directory: &str) -> BTreeMap<String, Vec<u8>> {
    let files = std::fs::read_dir(testdata().join(directory)).unwrap().map(Result::unwrap);
    let named = files.map(|file| (file.file_name().into_string().unwrap(), file.path()));
    let components = named.filter(|(name, _)| !name.ends_with(".jsonl"));
    components.map(|(name, path)| (name, std::fs::read(path).unwrap())).collect()
}

fn local_files(directory: &str) -> SsTableFiles {
    let mut files = components(directory);
    let name = files.keys().find_map(|name| name.strip_suffix("-Data.db")).unwrap().to_owned();
    let mut take = |component: &str| files.remove(&format!("{name}-{component}")).map(bytes::Bytes::from);
    SsTableFiles {
        name: name.clone(),
        data: Box::new(take("Data.db").unwrap()),
        statistics: take("Statistics.db").unwrap(),
        compression_info: take("CompressionInfo.db"),
        crc: take("CRC.db"),
        digest: take("Digest.crc32"),
        toc: None,
    }
}

fn replication(factor: usize) -> BTreeMap<String, String> {
    let class = "org.apache.cassandra.locator.SimpleStrategy";
    [("class", class.to_owned()), ("replication_factor", factor.to_string())]
        .map(|(key, value)| (key.to_owned(), value))
        .into()
}

/// What node `node` of `nodes` says; the schema is that of the format crate's `schema.tsv`.
pub(crate) fn capture_of(directory: &str, nodes: usize, node: usize) -> NodeCapture {
    let host = |node: usize| format!("00000000-0000-0000-0000-00000000000{node}");
    let token = |node: usize| i64::MIN / 2 + i64::try_from(node).unwrap() * (i64::MAX / i64::try_from(nodes).unwrap());
    let member = |node: usize| RingNode {
        host_id: host(node),
        address: format!("127.0.0.{node}"),
        dc: "dc1".to_owned(),
        rack: "r1".to_owned(),
        tokens: vec![token(node).to_string()],
    };
    NodeCapture {
        host_id: host(node),
        cluster: "c".to_owned(),
        release: "5.0.9".to_owned(),
        partitioner: "org.apache.cassandra.dht.Murmur3Partitioner".to_owned(),
        schema_version: "v".to_owned(),
        generation: 1,
        ring: (0..nodes).map(member).collect(),
        before: None,
        keyspaces: vec![keyspace(directory, nodes)],
        settings: BTreeMap::new(),
        clock_offset_millis: 0,
        truncated_at: BTreeMap::new(),
    }
}

fn keyspace(directory: &str, nodes: usize) -> KeyspaceSchema {
    let (run, table) = run_and_table(directory);
    let text = std::fs::read_to_string(testdata().join(run).join("schema.tsv")).unwrap();
    let lines: Vec<Vec<&str>> = text.lines().map(|line| line.split('\t').collect()).collect();
    let rows = |kind: &'static str| lines.iter().filter(move |line| line[0] == kind).map(|line| &line[1..]);
    let list = |text: &str| text.split('\u{1}').map(str::to_owned).collect::<Vec<_>>();
    let udt = |r: &[&str]| UdtSchema { name: r[0].into(), field_names: list(r[1]), field_types: list(r[2]) };
    let statement = |kind: &str, name: &str, statement: String| CreateStatement {
        kind: kind.to_owned(),
        name: name.to_owned(),
        statement,
    };
    KeyspaceSchema {
        name: "fx".to_owned(),
        replication: replication(nodes),
        durable_writes: true,
        types: rows("type").map(udt).collect(),
        tables: vec![TableRows {
            name: table.to_owned(),
            id: TABLE_ID.to_owned(),
            flags: vec!["compound".to_owned()],
            gc_grace_seconds: 864_000,
            default_time_to_live: 0,
            columns: rows("column").filter(|r| r[0] == table).map(column).collect(),
            dropped: rows("dropped").filter(|r| r[0] == table).map(dropped).collect(),
        }],
        statements: vec![
            statement("keyspace", "fx", "CREATE KEYSPACE fx …".to_owned()),
            statement("table", table, format!("CREATE TABLE fx.{table} …")),
            statement("table", "other", "CREATE TABLE fx.other …".to_owned()),
            statement("index", "kv_by_v", format!("CREATE INDEX kv_by_v ON fx.{table} (v)")),
            statement("index", "other_by_v", "CREATE INDEX other_by_v ON fx.other (v)".to_owned()),
        ],
    }
}

fn column(r: &[&str]) -> ColumnRow {
    ColumnRow {
        name: r[1].into(),
        kind: r[2].into(),
        position: r[3].parse().unwrap(),
        clustering_order: r[4].into(),
        cql_type: r[5].into(),
    }
}

fn dropped(r: &[&str]) -> DroppedColumnRow {
    DroppedColumnRow { name: r[1].into(), kind: "regular".into(), cql_type: "int".into(), dropped_micros: r[2].into() }
}
