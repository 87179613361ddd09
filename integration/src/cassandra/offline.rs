//! SSTables written by Cassandra's own writer without a server: gigabytes in seconds, and the same bytes every time.
//!
//! The program is `cassandra/Generate.java`. What it wrote is kept in the cache, by its arguments and its own text.

use std::{
    fs,
    path::{Path, PathBuf},
};

use anyhow::{Context, Result};

use super::{ClusterSpec, config, node::Node, release::Release, run};
use crate::paths;

const GENERATE: &str = include_str!("../../cassandra/Generate.java");

/// A table (pk int, ck int, v blob) of values that nothing compresses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Dataset {
    /// Rows in all.
    pub rows: u64,
    /// Rows of each partition; the last one may have fewer.
    pub rows_of_a_partition: u32,
    /// Bytes of each value.
    pub value_bytes: u32,
    /// What the values follow from.
    pub seed: i64,
    /// Whether Cassandra compresses the file, in vain.
    pub compressed: bool,
}

impl Dataset {
    /// The statement that creates the table.
    pub fn create_table(&self, keyspace: &str, table: &str) -> String {
        let columns = "pk int, ck int, v blob, PRIMARY KEY (pk, ck)";
        let compression = if self.compressed { "'class': 'LZ4Compressor'" } else { "'enabled': false" };
        format!("CREATE TABLE {keyspace}.{table} ({columns}) WITH compression = {{{compression}}}")
    }

    /// Directory of the SSTables, written unless the cache has them.
    ///
    /// # Errors
    /// Where the jars are missing or the program fails, with what it said.
    pub fn sstables(&self) -> Result<PathBuf> {
        paths::require_cassandra()?;
        let generated = paths::cache().join("generated");
        let directory = generated.join(self.key());
        if directory.is_dir() {
            return Ok(directory);
        }
        fs::create_dir_all(&generated)?;
        // Renamed when all is there: what an interrupted run leaves does not look complete.
        let partial = tempfile::Builder::new().prefix("partial-").tempdir_in(&generated)?;
        self.generate(partial.path())?;
        fs::rename(partial.keep(), &directory).with_context(|| format!("rename to {}", directory.display()))?;
        Ok(directory)
    }

    fn key(&self) -> String {
        let Self { rows, rows_of_a_partition, value_bytes, seed, compressed } = self;
        let program = blake3::hash(GENERATE.as_bytes()).to_hex();
        let version = paths::CASSANDRA_VERSION;
        format!("{rows}-{rows_of_a_partition}-{value_bytes}-{seed}-{compressed}-{version}-{}", &program[..16])
    }

    fn generate(&self, directory: &Path) -> Result<()> {
        // A node that is never started gives the program its configuration.
        let home = tempfile::tempdir()?;
        let node = Node::new(home.path(), "127.0.0.1", vec![0], false, Release::default())?;
        config::write(&ClusterSpec::new("offline", 0, 1), &node.address, &node)?;
        let mut line = config::offline(&node);
        line.push(Path::new(env!("CARGO_MANIFEST_DIR")).join("cassandra/Generate.java").display().to_string());
        let numbers = [self.rows, self.rows_of_a_partition.into(), self.value_bytes.into()].map(|n| n.to_string());
        let mut arguments = vec![directory.display().to_string(), self.create_table("generated", "rows")];
        arguments.extend(numbers.into_iter().chain([self.seed.to_string()]));
        run(&line, &arguments.iter().map(String::as_str).collect::<Vec<_>>()).map(drop)
    }
}
