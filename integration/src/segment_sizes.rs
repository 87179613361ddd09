//! What `make bench-segments` measures: the demo's shop as one real node compacts it, written as segments; bytes of each
//! column, and of all of them for each byte of the node's files.

mod report;
mod shop;

use std::{fs, path::PathBuf, sync::Arc, time::Duration};

use anyhow::{Context, Result};
use bytes::Bytes;
use tidemark_cassandra_format::{
    model::PartitionReader,
    schema::TableSchema,
    sstable::{ReadOptions, SsTableFiles, SsTableReader},
};
use tidemark_catalog::content::ColumnId;
use tidemark_gateway::Env;
use tidemark_listener_cassandra::{
    merge::MergeReader,
    segment::{Content, FinishedSegment, Layout, SegmentWriter, WriteLimits},
};

pub use self::report::{Report, TableSizes};
use self::shop::{SsTable, StoredTable};

/// Measures the shop; its files are made by a node now, unless `data` names a directory that has them from an earlier run.
///
/// # Errors
/// Where the node fails, or its files cannot be read or written as segments.
pub async fn run(data: Option<PathBuf>) -> Result<Report> {
    let env = Env::system();
    let temporary = tempfile::tempdir()?;
    let directory = data.unwrap_or_else(|| temporary.path().join("shop"));
    if !directory.exists() {
        shop::make(&directory, &env).await?;
    }
    let mut tables = Vec::new();
    for table in shop::tables(&directory)? {
        tables.push(measure(&table, &env).with_context(|| format!("table {}", table.schema.table))?);
    }
    Ok(Report { tables })
}

fn measure(table: &StoredTable, env: &Env) -> Result<TableSizes> {
    let layout = Arc::new(Layout::new(table.schema.clone(), &ids(&table.schema))?);
    let readers = table.files.iter().map(|file| open(file, &table.schema)).collect::<Result<Vec<_>>>()?;
    let started = env.monotonic();
    let segments = write(&layout, &mut MergeReader::new(table.schema.clone(), readers))?;
    let took = env.monotonic() - started;
    sizes(table, segments, took)
}

fn open(file: &SsTable, schema: &Arc<TableSchema>) -> Result<SsTableReader> {
    let read = |component: &str| fs::read(file.component(component)).map(Bytes::from);
    let data = read("Data.db")?;
    let files = SsTableFiles {
        name: file.name(),
        data: Box::new(data),
        statistics: read("Statistics.db")?,
        compression_info: Some(read("CompressionInfo.db")?),
        crc: None,
        digest: Some(read("Digest.crc32")?),
        toc: None,
    };
    Ok(SsTableReader::open(files, schema.clone(), ReadOptions::default())?)
}

fn write<R>(layout: &Arc<Layout>, stream: &mut R) -> Result<Vec<FinishedSegment>>
where
    R: PartitionReader,
    R::Error: std::error::Error + Send + Sync + 'static,
{
    let mut writer = SegmentWriter::new(layout.clone(), WriteLimits::default());
    let mut segments = Vec::new();
    while let Some(partition) = stream.next_partition()? {
        segments.extend(writer.write_partition(&partition, stream)?);
    }
    segments.extend(writer.finish::<R::Error>()?);
    Ok(segments)
}

fn sizes(table: &StoredTable, segments: Vec<FinishedSegment>, took: Duration) -> Result<TableSizes> {
    let mut sizes = TableSizes {
        name: table.schema.table.clone(),
        compacted_bytes: table.data_bytes()?,
        records: segments.iter().map(|segment| segment.records).sum(),
        stored_bytes: segments.iter().map(|segment| segment.size).sum(),
        took,
        ..TableSizes::default()
    };
    for segment in segments {
        let Content::Memory(bytes) = segment.content else { anyhow::bail!("a segment is not in memory") };
        sizes.add(&bytes)?;
    }
    Ok(sizes)
}

/// Ids from 1 on in the table's order.
fn ids(table: &TableSchema) -> Vec<ColumnId> {
    let clustering = table.clustering.iter().map(|c| &c.column);
    let columns = table.partition_key.iter().chain(clustering).chain(&table.statics).chain(&table.regulars);
    (1..).zip(columns).map(|(id, column)| ColumnId { id, name: column.name.clone() }).collect()
}
