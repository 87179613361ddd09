//! The fixtures of `testdata/`, which Cassandra wrote: a directory a table, in a directory a run but for the first run.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use bytes::Bytes;
use tidemark_cassandra_format::model::{Partition, PartitionReader, Unfiltered};
use tidemark_cassandra_format::schema::{ColumnRow, TableRows, TableSchema};
use tidemark_cassandra_format::sstable::{
    Compressor, Descriptor, Error, ReadOptions, SsTableFiles, SsTableReader, Version, components,
};
use tidemark_cassandra_format::types::{UserTypeDefinition, UserTypes};

/// Everything in an SSTable.
pub(crate) type Content = Vec<(Partition, Vec<Unfiltered>)>;

/// The bytes of one SSTable's components.
#[derive(Clone)]
pub(crate) struct Fixture {
    /// Directory below `testdata/`: a table, or a run and a table.
    pub(crate) path: String,
    pub(crate) schema: Arc<TableSchema>,
    /// Version, id and format.
    pub(crate) name: String,
    pub(crate) components: Vec<(&'static str, Bytes)>,
}

impl std::fmt::Debug for Fixture {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}/{}", self.path, self.name)
    }
}

const COMPONENTS: [&str; 6] = ["Data.db", "Statistics.db", "CompressionInfo.db", "CRC.db", "Digest.crc32", "TOC.txt"];

/// Runs that have a directory and a schema of their own.
const RUNS: [&str; 5] = ["nb", "oa", "da", "nb-4.1", "nb-4.0"];

/// `testdata/` of this package, or of one above it that has these fixtures as a module, too.
pub(crate) fn testdata() -> PathBuf {
    let above = Path::new(env!("CARGO_MANIFEST_DIR")).ancestors().map(|directory| directory.join("testdata"));
    above.into_iter().find(|directory| directory.is_dir()).unwrap()
}

fn names(directory: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
    let mut names: Vec<String> = entries.collect();
    names.sort();
    names
}

fn directories(path: &Path) -> Vec<String> {
    names(path).into_iter().filter(|name| path.join(name).is_dir()).collect()
}

impl Fixture {
    /// Every fixture there is.
    pub(crate) fn all() -> Vec<Self> {
        let mut tables = directories(&testdata());
        tables.retain(|name| name != "recipe" && !RUNS.contains(&name.as_str()));
        for run in RUNS {
            tables.extend(directories(&testdata().join(run)).iter().map(|table| format!("{run}/{table}")));
        }
        tables.iter().flat_map(|path| Self::of(path)).collect()
    }

    /// The SSTables in a directory below `testdata/`.
    pub(crate) fn of(path: &str) -> Vec<Self> {
        let directory = testdata().join(path);
        let (run, table) = path.split_once('/').unwrap_or((".", path));
        let schema = Arc::new(schema(run, table));
        let stems = names(&directory).into_iter().filter_map(|name| Some(name.strip_suffix("-Data.db")?.to_owned()));
        let load = |name: String| {
            let read = |component: &&'static str| {
                let bytes = std::fs::read(directory.join(format!("{name}-{component}"))).ok()?;
                Some((*component, Bytes::from(bytes)))
            };
            let components = COMPONENTS.iter().filter_map(read).collect();
            Self { path: path.to_owned(), schema: schema.clone(), name, components }
        };
        stems.map(load).collect()
    }

    /// The only SSTable in a directory below `testdata/`.
    pub(crate) fn load(path: &str) -> Self {
        let mut fixtures = Self::of(path);
        assert_eq!(fixtures.len(), 1, "{path}");
        fixtures.remove(0)
    }

    pub(crate) fn version(&self) -> Version {
        let file = format!("{}-Data.db", self.name);
        Descriptor::parse(&file).unwrap().0.supported().unwrap()
    }

    /// What the data is compressed with; `None` where it is not.
    pub(crate) fn compressor(&self) -> Option<Compressor> {
        let data_bytes = self.component("Data.db").unwrap().len() as u64;
        let info = self.component("CompressionInfo.db")?;
        Some(components::compression_info("CompressionInfo.db", &info, data_bytes).unwrap().compressor)
    }

    /// What `sstabledump` printed, a line each partition; `None` where it could not.
    pub(crate) fn dump(&self) -> Option<String> {
        let directory = testdata().join(&self.path);
        let file = if self.path.contains('/') { format!("{}.jsonl", self.name) } else { "dump.jsonl".to_owned() };
        std::fs::read_to_string(directory.join(file)).ok()
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

/// The table's schema from the run's `schema.tsv`, the rows of `system_schema`.
pub(crate) fn schema(run: &str, table: &str) -> TableSchema {
    let text = std::fs::read_to_string(testdata().join(run).join("schema.tsv")).unwrap();
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
