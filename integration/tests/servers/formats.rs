//! Every SSTable format in one table's directory, with every compressor: a node changes its format twice while it is written
//! to, and what it then holds is protected and restored.

use std::collections::BTreeSet;

use anyhow::{Context, Result, ensure};
use tidemark_integration::{
    cassandra::{Cluster, ClusterSpec, Node},
    compare, cql,
    journal::Journal,
    paths,
    system::{Restore, System},
    tables::{self, Table, workload::Workload},
};
use tidemark_web::api::Quality;

/// Loopback network of this test.
const GROUP: u8 = 60;
/// Compression of the tables, in turn.
const COMPRESSION: [&str; 6] = [
    "compression = {'class': 'ZstdCompressor'}",
    "compression = {'class': 'DeflateCompressor', 'chunk_length_in_kb': 4}",
    "compression = {'class': 'SnappyCompressor', 'min_compress_ratio': 1.1}",
    "compression = {'class': 'LZ4Compressor'}",
    "compression = {'class': 'NoopCompressor'}",
    "compression = {'enabled': false}",
];
/// No file is to be rewritten in a later format.
const COMPACTION: &str = "compaction = {'class': 'SizeTieredCompactionStrategy', 'enabled': false}";
/// What makes a node of 5.0, which starts with `nb-big`, write another format.
const CHANGES: [(&str, &str); 2] = [("storage_compatibility_mode", "NONE"), ("sstable", "{selected_format: bti}")];

#[tokio::test(flavor = "multi_thread")]
async fn tables_of_all_formats_and_compressors_come_back() -> Result<()> {
    if !paths::cassandra_or_skip("tables_of_all_formats_and_compressors_come_back") {
        return Ok(());
    }
    let spec = ClusterSpec::new("formats", GROUP, 1)
        .with_setting("flush_compression", "table")
        .with_setting("uuid_sstable_identifiers_enabled", "true");
    let mut cluster = Cluster::start(spec).await?;
    let tables = compressed_in_turn();
    let journal = write_in_all_formats(&mut cluster, &tables).await?;
    expect_files(&cluster.nodes()[0], &tables)?;

    let system = System::start(GROUP).await?;
    system.add_source("node", &cluster).await?;
    let version = system.protect("node", "ks/*", "all", &["--write-level", "one"]).await?;
    ensure!(version.version.quality == Quality::Cut, "quality {}: {:?}", version.version.quality, version.contents);
    let id = version.version.id.as_str();
    let copy = Restore { version: id, to: "node", from: "ks", into: "copy", replication_factor: 1, more: &[] };
    system.restore(&copy).await?;

    let session = cql::connect(&cluster.contact_points()).await?;
    for table in journal.tables() {
        let now = compare::read(&session, "ks", table).await?;
        journal.image(table)?.expect(&format!("{table} at the source"), &now)?;
        now.expect(&format!("{table} restored"), &compare::read(&session, "copy", table).await?)?;
    }
    Ok(())
}

fn compressed_in_turn() -> Vec<Table> {
    let mut tables = tables::all();
    for (table, compression) in tables.iter_mut().zip(COMPRESSION.into_iter().cycle()) {
        table.options.retain(|option| !option.starts_with("compression") && !option.starts_with("compaction"));
        table.options.extend([compression, COMPACTION]);
    }
    tables
}

/// Writes and flushes in each format.
async fn write_in_all_formats(cluster: &mut Cluster, tables: &[Table]) -> Result<Journal> {
    let session = cql::connect(&cluster.contact_points()).await?;
    cql::run(&session, &tables::create_keyspace("ks", 1)).await?;
    for table in tables {
        cql::run(&session, &table.create("ks")).await?;
    }
    let mut journal = Journal::new("ks", tables);
    let mut workloads: Vec<_> = tables.iter().map(|table| (table.name, Workload::new(table, 60))).collect();
    for (table, workload) in &mut workloads {
        journal.write(&session, table, workload.load()).await?;
    }
    for (name, value) in CHANGES {
        cluster.nodetool(0, &["flush", "ks"])?;
        cluster.stop(0).await?;
        cluster.set(name, value);
        cluster.restart(0).await?;
        let session = cql::connect(&cluster.contact_points()).await?;
        for (table, workload) in &mut workloads {
            journal.write(&session, table, workload.changes(150)).await?;
        }
    }
    cluster.nodetool(0, &["flush", "ks"])?;
    journal.settle().await?;
    Ok(journal)
}

/// Every table has files of all formats, and between them all compressors: otherwise the test proves less than it says.
fn expect_files(node: &Node, tables: &[Table]) -> Result<()> {
    let mut compressors = BTreeSet::new();
    for table in tables {
        let mut formats = BTreeSet::new();
        for name in files(node, table.name)? {
            let file = name.file_name().and_then(|name| name.to_str()).context("a name")?.to_owned();
            let parts: Vec<&str> = file.splitn(4, '-').collect();
            if let [version, _, format, component] = parts[..] {
                formats.extend((component == "Data.db").then(|| format!("{version}-{format}")));
                compressors.extend((component == "CRC.db").then(|| "none".to_owned()));
                compressors.extend((component == "CompressionInfo.db").then(|| class(&name)).transpose()?);
            }
        }
        let expected = ["da-bti", "nb-big", "oa-big"].map(str::to_owned);
        ensure!(formats == BTreeSet::from(expected), "{}: {formats:?}", table.name);
    }
    ensure!(compressors.len() == COMPRESSION.len(), "{compressors:?}");
    Ok(())
}

fn files(node: &Node, table: &str) -> Result<Vec<std::path::PathBuf>> {
    let prefix = format!("{table}-");
    let directories = std::fs::read_dir(node.data_dir().join("ks"))?.collect::<Result<Vec<_>, _>>()?;
    let own = directories.iter().find(|entry| entry.file_name().to_string_lossy().starts_with(&prefix));
    let directory = own.with_context(|| format!("no directory of {table}"))?.path();
    std::fs::read_dir(directory)?.map(|entry| Ok(entry?.path())).collect()
}

/// The compressor's class, which CompressionInfo.db starts with after its length.
fn class(info: &std::path::Path) -> Result<String> {
    let bytes = std::fs::read(info)?;
    let length = bytes.first_chunk::<2>().map_or(0, |length| usize::from(u16::from_be_bytes(*length)));
    let name = bytes.get(2..2 + length).with_context(|| format!("{} is cut", info.display()))?;
    Ok(String::from_utf8(name.to_vec())?)
}
