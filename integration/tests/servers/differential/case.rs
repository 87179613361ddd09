//! One random schema with its history, as two tables of one keyspace that hold the same files.

use std::{
    fs,
    path::{Path, PathBuf},
    sync::Arc,
};

use anyhow::{Context, Result};
use rand::{SeedableRng, seq::IndexedRandom};
use rand_chacha::ChaCha8Rng;
use tidemark_cassandra_format::schema::TableSchema;
use tidemark_integration::{
    generate::{
        COMPRESSIONS, Event, History, Holder, Schema, Shape,
        history::{BEFORE_ALL_SECONDS, PURGE_BOUNDARY_SECONDS, TTL_SECONDS},
    },
    journal::statement,
    sstables::Script,
};
use tidemark_listener_cassandra::{cluster::NodeCapture, consolidate::EntrySchema, normal::Relation};

use super::{
    compare::{self, Compared},
    format::Format,
    tally::Tally,
};

const SHAPE: Shape = Shape { writes: 220, replicas: 3, files: 2, ttl_seconds: &TTL_SECONDS };

/// A table: its name, and the instant before which its deletions may be purged.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Kind {
    pub(crate) name: &'static str,
    pub(crate) purge_before_seconds: i64,
}

/// A long `gc_grace_seconds`, and one after which half of the deletions may be purged.
pub(crate) const TABLES: [Kind; 2] = [
    Kind { name: "kept", purge_before_seconds: BEFORE_ALL_SECONDS },
    Kind { name: "purged", purge_before_seconds: PURGE_BOUNDARY_SECONDS },
];

pub(crate) struct Case {
    pub(crate) seed: u64,
    pub(crate) keyspace: String,
    /// What the compacting node writes.
    pub(crate) format: Format,
    schema: Schema,
    events: Vec<Event>,
    /// Of each replica.
    forms: Vec<Form>,
}

/// How a replica's files are written.
#[derive(Clone, Copy, Debug)]
struct Form {
    format: Format,
    /// An option of a table.
    compression: &'static str,
}

impl Case {
    pub(crate) fn of(seed: u64) -> Self {
        let schema = Schema::of(seed);
        let events = History::of(&schema.table, SHAPE, seed);
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        let format = *Format::ALL.choose(&mut rng).expect("there are formats");
        let form = |rng: &mut ChaCha8Rng| Form {
            format: *format.reads().choose(rng).expect("a node reads what it writes"),
            compression: COMPRESSIONS.choose(rng).expect("there are compressors"),
        };
        let forms = (0..SHAPE.replicas).map(|_| form(&mut rng)).collect();
        Self { seed, keyspace: format!("seed{seed}"), format, schema, events, forms }
    }

    /// Statements that create keyspace, types and both tables at `now` (s since 1970).
    pub(crate) fn create(&self, now: i64) -> Vec<String> {
        let mut statements = self.schema.create_keyspace(&self.keyspace, 1);
        for kind in TABLES {
            let table = tidemark_integration::tables::Table { name: kind.name, ..self.schema.table.clone() };
            statements.extend(table.create(&self.keyspace));
            // Nothing but the test's own compaction may touch the files.
            statements.push(format!(
                "ALTER TABLE {}.{} WITH gc_grace_seconds = {} \
                 AND compaction = {{'class': 'SizeTieredCompactionStrategy', 'enabled': 'false'}}",
                self.keyspace,
                kind.name,
                now - kind.purge_before_seconds
            ));
        }
        statements
    }

    /// Adds the files of all replicas to a script.
    pub(crate) fn write(&self, script: &mut Script, files: &Path) {
        let table = &self.schema.table;
        let statements = [self.schema.create_keyspace(&self.keyspace, 1), table.create(&self.keyspace)].concat();
        statements.iter().for_each(|statement| script.create(statement));
        script.table(&self.keyspace, table.name, &files.join(&self.keyspace));
        for (replica, form) in (0..).zip(&self.forms) {
            for file in 0..SHAPE.files {
                let number = file_number(Holder { replica, file });
                script.form(number, form.format.version(), &form.compression_options());
            }
        }
        for event in &self.events {
            let files: Vec<u32> = event.holders.iter().map(|holder| file_number(*holder)).collect();
            script.write(event.clock_seconds, &files, &statement::of(&self.keyspace, table, &event.write));
        }
    }

    /// Puts the files of all replicas into both tables of a node that does not run.
    pub(crate) fn place(&self, files: &Path, data: &Path) -> Result<()> {
        for kind in TABLES {
            let table = self.directory(data, kind)?;
            for source in (0..SHAPE.replicas).flat_map(|replica| self.sources(files, replica)) {
                for file in fs::read_dir(&source).with_context(|| format!("files in {}", source.display()))? {
                    let file = file?;
                    fs::hard_link(file.path(), table.join(file.file_name()))?;
                }
            }
        }
        Ok(())
    }

    /// Compares what the node made of a table with what we make of the replicas.
    pub(crate) fn compare(
        &self,
        kind: Kind,
        capture: &NodeCapture,
        files: &Path,
        data: &Path,
        at_seconds: u32,
        tally: &mut Tally,
    ) -> Result<()> {
        let schema = self.table_schema(kind, capture)?;
        let replicas: Vec<Vec<PathBuf>> =
            (0..SHAPE.replicas).map(|replica| self.sources(files, replica).collect()).collect();
        let compacted = self.directory(data, kind)?.join("snapshots").join(self.format.snapshot());
        let purge_before_seconds = u32::try_from(kind.purge_before_seconds)?;
        let relation = match kind.purge_before_seconds {
            BEFORE_ALL_SECONDS => Relation::Equal,
            _ => Relation::EqualButForPurgeable { purge_before_seconds },
        };
        let compared = Compared { schema, replicas, compacted, at_seconds, relation, purge_before_seconds };
        compare::run(&compared, tally).with_context(|| format!("{}.{}", self.keyspace, kind.name))?;
        let found = std::mem::take(&mut tally.differences);
        tally.failures.extend(found.into_iter().map(|found| {
            format!(
                "{}.{}: {found}\n  TIDEMARK_SEED={} TIDEMARK_SCHEMAS=1, compacted to {:?} from {:?}",
                self.keyspace, kind.name, self.seed, self.format, self.forms
            )
        }));
        Ok(())
    }

    fn table_schema(&self, kind: Kind, capture: &NodeCapture) -> Result<Arc<TableSchema>> {
        let described = EntrySchema::of(capture, &self.keyspace, kind.name);
        Ok(Arc::new(described.context("the node does not describe the table")?.table()?))
    }

    /// Directories of a replica's files; those that no write went to are not there.
    fn sources(&self, files: &Path, replica: u8) -> impl Iterator<Item = PathBuf> {
        let below = files.join(&self.keyspace);
        let number = move |file| file_number(Holder { replica, file }).to_string();
        (0..SHAPE.files).map(move |file| below.join(number(file))).filter(|directory| directory.is_dir())
    }

    /// The node's directory of a table.
    fn directory(&self, data: &Path, kind: Kind) -> Result<PathBuf> {
        let prefix = format!("{}-", kind.name);
        let keyspace = data.join(&self.keyspace);
        let entries = fs::read_dir(&keyspace).with_context(|| format!("directory {}", keyspace.display()))?;
        let names = entries.map(|entry| Ok(entry?.file_name())).collect::<Result<Vec<_>>>()?;
        let found = names.into_iter().find(|name| name.to_string_lossy().starts_with(&prefix));
        Ok(keyspace.join(found.with_context(|| format!("no directory of table {}", kind.name))?))
    }
}

impl Form {
    /// Names and values of the compression's options.
    fn compression_options(&self) -> Vec<(String, String)> {
        let options = self.compression.trim_start_matches("compression = {").trim_end_matches('}');
        let unquoted = |text: &str| text.trim().trim_matches('\'').to_owned();
        let options = options.split(',').filter_map(|option| option.split_once(':'));
        options.map(|(name, value)| (unquoted(name), unquoted(value))).collect()
    }
}

/// SSTable numbers of all replicas differ, so that one directory holds them.
fn file_number(holder: Holder) -> u32 {
    1 + u32::from(holder.replica) * u32::from(SHAPE.files) + u32::from(holder.file)
}
