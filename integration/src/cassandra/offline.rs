//! Cassandra's own code without a server, and what it writes: gigabytes in seconds, and the same bytes every time.
//!
//! The program is `cassandra/Generate.java`. What it wrote is kept in the cache, by its arguments and its own text.

pub mod wide;

use std::{
    fs,
    path::{Path, PathBuf},
};

use anyhow::{Context, Result};
use tempfile::TempDir;

use super::{ClusterSpec, config, node::Node, release::Release, run};
use crate::paths;

const GENERATE: &str = include_str!("../../cassandra/Generate.java");

/// A configuration that no server has, for programs that use Cassandra's classes.
#[derive(Debug)]
pub struct Offline {
    node: Node,
    // Dropped after the node, which is in it.
    _home: TempDir,
}

impl Offline {
    /// A configuration with these lines of `cassandra.yaml`: name, value.
    ///
    /// # Errors
    /// Where the jars are missing or a file cannot be written.
    pub fn new(settings: &[(&str, &str)]) -> Result<Self> {
        paths::require_cassandra()?;
        let home = tempfile::tempdir()?;
        let node = Node::new(home.path(), "127.0.0.1", vec![0], false, Release::default())?;
        let spec = ClusterSpec::new("offline", 0, 1);
        let spec = settings.iter().fold(spec, |spec, (name, value)| spec.with_setting(name, value));
        config::write(&spec, &node.address, &node, None)?;
        Ok(Self { node, _home: home })
    }

    /// Runs a Java program of one source file; returns its standard output.
    ///
    /// # Errors
    /// Where it fails, with what it said.
    pub fn run(&self, source: &Path, arguments: &[&str]) -> Result<String> {
        run(&config::program(&self.node, source), arguments)
    }
}

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
        let Self { rows, rows_of_a_partition, value_bytes, seed, compressed } = self;
        let key = format!("{rows}-{rows_of_a_partition}-{value_bytes}-{seed}-{compressed}");
        kept(&key, GENERATE, |directory| self.generate(directory))
    }

    fn generate(&self, directory: &Path) -> Result<()> {
        let program = Path::new(env!("CARGO_MANIFEST_DIR")).join("cassandra/Generate.java");
        let numbers = [self.rows, self.rows_of_a_partition.into(), self.value_bytes.into()].map(|n| n.to_string());
        let mut arguments = vec![directory.display().to_string(), self.create_table("generated", "rows")];
        arguments.extend(numbers.into_iter().chain([self.seed.to_string()]));
        Offline::new(&[])?.run(&program, &arguments.iter().map(String::as_str).collect::<Vec<_>>()).map(drop)
    }
}

/// Directory of the cache with what a program of this text writes by arguments that have this key; written unless it is there.
fn kept(key: &str, program: &str, write: impl FnOnce(&Path) -> Result<()>) -> Result<PathBuf> {
    let generated = paths::cache().join("generated");
    let program = blake3::hash(program.as_bytes()).to_hex();
    let directory = generated.join(format!("{key}-{}-{}", paths::CASSANDRA_VERSION, &program[..16]));
    if directory.is_dir() {
        return Ok(directory);
    }
    fs::create_dir_all(&generated)?;
    // Renamed when all is there: what an interrupted run leaves does not look complete.
    let partial = tempfile::Builder::new().prefix("partial-").tempdir_in(&generated)?;
    write(partial.path())?;
    fs::rename(partial.keep(), &directory).with_context(|| format!("rename to {}", directory.display()))?;
    Ok(directory)
}
