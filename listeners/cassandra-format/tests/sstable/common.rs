//! The fixtures of `testdata/`, which Cassandra 5.0.9 wrote.

use std::path::PathBuf;
use std::sync::Arc;

use bytes::Bytes;
use tidemark_cassandra_format::model::{Partition, PartitionReader, Unfiltered};
use tidemark_cassandra_format::schema::{ColumnRow, TableRows, TableSchema};
use tidemark_cassandra_format::sstable::{Error, ReadOptions, SsTableFiles, SsTableReader};
use tidemark_cassandra_format::types::{UserTypeDefinition, UserTypes};

/// All tables that have a fixture.
pub(crate) const TABLES: [&str; 13] = [
    "counters",
    "deletes",
    "dropped",
    "kv",
    "kv_plain",
    "orders",
    "orders_flipped",
    "paths",
    "small",
    "small_plain",
    "types",
    "types_plain",
    "wide",
];

/// Everything in an SSTable.
pub(crate) type Content = Vec<(Partition, Vec<Unfiltered>)>;

/// The bytes of one SSTable's components.
#[derive(Clone)]
pub(crate) struct Fixture {
    pub(crate) schema: Arc<TableSchema>,
    pub(crate) name: String,
    pub(crate) components: Vec<(&'static str, Bytes)>,
}

const COMPONENTS: [&str; 6] = ["Data.db", "Statistics.db", "CompressionInfo.db", "CRC.db", "Digest.crc32", "TOC.txt"];

pub(crate) fn testdata() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("testdata")
}

impl Fixture {
    pub(crate) fn load(table: &str) -> Self {
        let directory = testdata().join(table);
        let files =
            std::fs::read_dir(&directory).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
        let data = files.into_iter().find(|name| name.ends_with("-Data.db")).unwrap();
        let name = data.strip_suffix("-Data.db").unwrap().to_owned();
        let read = |component: &&'static str| {
            let bytes = std::fs::read(directory.join(format!("{name}-{component}"))).ok()?;
            Some((*component, Bytes::from(bytes)))
        };
        let components = COMPONENTS.iter().filter_map(read).collect();
        Self { schema: Arc::new(schema(table)), name, components }
    }

    pub(crate) fn component(&self, component: &str) -> Option<Bytes> {
        self.components.iter().find(|(name, _)| *name == component).map(|(_, bytes)| bytes.clone())
    }

    /// The same fixture with one component replaced or, by `None`, removed.
    pub(crate) fn with(&self, component: &'static str, bytes: Option<Bytes>) -> Self {
        let mut changed = self.clone();
        changed.components.retain(|(name, _)| *name != component);
        changed.components.extend(bytes.map(|bytes| (component, bytes)));
        changed
    }

    pub(crate) fn files(&self) -> SsTableFiles {
        SsTableFiles {
            name: self.name.clone(),
            data: Box::new(self.component("Data.db").unwrap_or_default()),
            statistics: self.component("Statistics.db").unwrap_or_default(),
            compression_info: self.component("CompressionInfo.db"),
            crc: self.component("CRC.db"),
            digest: self.component("Digest.crc32"),
            toc: self.component("TOC.txt"),
        }
    }

    pub(crate) fn open(&self, options: ReadOptions) -> Result<SsTableReader, Error> {
        SsTableReader::open(self.files(), self.schema.clone(), options)
    }

    pub(crate) fn read(&self) -> Result<Content, Error> {
        self.read_with(ReadOptions::default())
    }

    pub(crate) fn read_with(&self, options: ReadOptions) -> Result<Content, Error> {
        let mut reader = self.open(options)?;
        let mut content = Vec::new();
        while let Some(partition) = reader.next_partition()? {
            let mut unfiltereds = Vec::new();
            while let Some(unfiltered) = reader.next_unfiltered()? {
                unfiltereds.push(unfiltered);
            }
            content.push((partition, unfiltereds));
        }
        Ok(content)
    }
}

/// The table's schema from `schema.tsv`, the rows of `system_schema`.
pub(crate) fn schema(table: &str) -> TableSchema {
    let text = std::fs::read_to_string(testdata().join("schema.tsv")).unwrap();
    let lines: Vec<Vec<&str>> = text.lines().map(|line| line.split('\t').collect()).collect();
    let rows = |kind: &'static str| lines.iter().filter(move |line| line[0] == kind).map(|line| &line[1..]);
    let list = |text: &str| text.split('\u{1}').map(str::to_owned).collect::<Vec<_>>();
    let definition =
        |r: &[&str]| UserTypeDefinition { name: r[0].into(), field_names: list(r[1]), field_types: list(r[2]) };
    let user_types = UserTypes::resolve("fx", &rows("type").map(definition).collect::<Vec<_>>()).unwrap();
    let column = |r: &[&str]| ColumnRow {
        name: r[1].into(),
        kind: r[2].into(),
        position: r[3].parse().unwrap(),
        clustering_order: r[4].into(),
        cql_type: r[5].into(),
    };
    let columns: Vec<_> = rows("column").filter(|r| r[0] == table).map(column).collect();
    let dropped: Vec<_> =
        rows("dropped").filter(|r| r[0] == table).map(|r| (r[1].to_owned(), r[2].parse().unwrap())).collect();
    TableSchema::build(&TableRows {
        keyspace: "fx",
        table,
        columns: &columns,
        user_types: &user_types,
        dropped: &dropped,
    })
    .unwrap()
}
