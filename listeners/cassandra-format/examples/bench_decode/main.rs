//! Prints how fast SSTables of every format and compressor are decoded, a line each: name, MB of content per second of one
//! core, goal, separated by tabs. Run by `make bench-decode`.
//!
//! The content is generated, 64 MB of rows of about 190 bytes, and read as a scan reads it: checksums, decompression, rows,
//! order. The time is the CPU time of the thread, so that what else the machine does changes little; the best of three runs
//! counts. The goal is twice what Cassandra's own compaction reaches on a core (about 200 MB of content a second), so that
//! decoding is not what consolidation waits for; with Deflate, of which half the time goes into inflating, as much as that.

mod write;

use std::{fs, path::PathBuf, sync::Arc};

use anyhow::{Context, Result};
use bytes::Bytes;
use tidemark_cassandra_format::{
    model::PartitionReader,
    schema::{ColumnRow, TableRows, TableSchema},
    sstable::{Compressor, ReadOptions, SsTableFiles, SsTableReader, Version, components},
    types::UserTypes,
};

/// Content of each SSTable, bytes.
const CONTENT_BYTES: usize = 64 << 20;

fn main() -> Result<()> {
    let schema = Arc::new(schema()?);
    for version in Version::ALL {
        let statistics = statistics(version)?;
        let content = write::content(version, &ends()?, CONTENT_BYTES);
        for compressor in [None].into_iter().chain(Compressor::ALL.map(Some)) {
            let stored = write::stored(compressor, &content)?;
            let best = (0..3).map(|_| seconds(version, &statistics, &stored, &schema)).collect::<Result<Vec<f64>>>()?;
            let best = best.into_iter().fold(f64::INFINITY, f64::min);
            let name = compressor.map_or("uncompressed", Compressor::class);
            let goal = if compressor == Some(Compressor::Deflate) { 200 } else { 400 };
            println!("decode {} {name}\t{:.0}\t{goal}", version.names().0, content.len() as f64 / 1e6 / best);
        }
    }
    Ok(())
}

/// CPU seconds of one scan.
fn seconds(version: Version, statistics: &Bytes, stored: &write::Stored, schema: &Arc<TableSchema>) -> Result<f64> {
    let (letters, format) = version.names();
    let files = SsTableFiles {
        name: format!("{letters}-1-{format}"),
        data: Box::new(stored.data.clone()),
        statistics: statistics.clone(),
        compression_info: stored.compression_info.clone(),
        crc: stored.crc.clone(),
        digest: Some(stored.digest.clone()),
        toc: None,
    };
    let before = cpu_nanoseconds()?;
    let mut reader = SsTableReader::open(files, schema.clone(), ReadOptions::default())?;
    let mut rows = 0_u64;
    while reader.next_partition()?.is_some() {
        while reader.next_unfiltered()?.is_some() {
            rows += 1;
        }
    }
    anyhow::ensure!(rows == stored.rows, "{rows} rows of {}", stored.rows);
    Ok((cpu_nanoseconds()? - before) as f64 / 1e9)
}

/// What the kernel counts as this thread's time on a processor.
fn cpu_nanoseconds() -> Result<u64> {
    let text = fs::read_to_string("/proc/thread-self/schedstat")?;
    Ok(text.split(' ').next().context("no time in schedstat")?.parse()?)
}

/// The statistics of a fixture whose table has the columns of [`schema`].
fn statistics(version: Version) -> Result<Bytes> {
    let directory: PathBuf =
        [env!("CARGO_MANIFEST_DIR"), "testdata", version.names().0, "chunks_plain"].iter().collect();
    for entry in fs::read_dir(&directory)? {
        let path = entry?.path();
        if path.to_string_lossy().ends_with("-Statistics.db") {
            return Ok(fs::read(path)?.into());
        }
    }
    anyhow::bail!("no statistics in {}", directory.display())
}

/// The first and the last key that the statistics name; the same in all formats.
fn ends() -> Result<(Bytes, Bytes)> {
    let stats = components::statistics("Statistics.db", &statistics(Version::Oa)?, Version::Oa)?;
    let extent = stats.extent.context("the statistics name no keys")?;
    Ok((extent.first_key, extent.last_key))
}

fn schema() -> Result<TableSchema> {
    let column = |name: &str, kind: &str, position, order: &str, cql_type: &str| ColumnRow {
        name: name.into(),
        kind: kind.into(),
        position,
        clustering_order: order.into(),
        cql_type: cql_type.into(),
    };
    let columns = [
        column("pk", "partition_key", 0, "none", "int"),
        column("ck", "clustering", 0, "asc", "int"),
        column("v", "regular", -1, "none", "text"),
        column("b", "regular", -1, "none", "blob"),
    ];
    let (keyspace, table, user_types) = ("fx", "chunks_plain", &UserTypes::default());
    Ok(TableSchema::build(&TableRows { keyspace, table, columns: &columns, user_types, dropped: &[] })?)
}
