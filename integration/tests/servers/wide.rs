//! A wide partition of three replicas that differ, with one range tombstone from end to end and many short ones within, by bounds
//! of all kinds. `TIDEMARK_WIDE_ROWS` says how many rows of 1 KiB: with 350,000 it does not fit into the memory of its
//! consolidation.

use std::fs;

use anyhow::{Context, Result, ensure};
use scylla::client::session::Session;
use tidemark_integration::{
    cassandra::{Cluster, ClusterSpec, offline::wide::WidePartition},
    compare, cql,
    environment::number,
    paths,
    system::{Restore, StoreAccess, System},
};

/// Loopback network of this test.
const GROUP: u8 = 103;
/// Memory that the consolidation is given, bytes: as much as a daemon gives unless told otherwise.
const MEMORY: u64 = 256 << 20;

#[tokio::test(flavor = "multi_thread")]
async fn a_wide_partition_is_consolidated_within_its_memory() -> Result<()> {
    if !paths::cassandra_or_skip("a_wide_partition_is_consolidated_within_its_memory") {
        return Ok(());
    }
    let rows = number("TIDEMARK_WIDE_ROWS", 24_000)?.try_into()?;
    let wide = WidePartition { rows, value_bytes: 1024, seed: 7 };
    let cluster = Cluster::start(ClusterSpec::new("wide", GROUP, 3)).await?;
    let session = cql::connect(&cluster.contact_points()).await?;
    fill(&cluster, &session, &wide).await?;
    let directory = tempfile::tempdir()?;
    let system = System::start_on(GROUP, store(directory.path())).await?;
    system.add_source("source", &cluster).await?;

    let daemon = system.daemon.pid().context("the daemon runs")?;
    let before = memory(daemon, "VmRSS:")?;
    let version = system.protect("source", "ks/*", "wide", &["--write-level", "quorum"]).await?;
    let peak = memory(daemon, "VmHWM:")?;
    let totals = version.version.totals;
    let of = |bytes: u64| bytes as f64 / f64::from(1 << 20);
    println!(
        "partition of {:.0} MiB in its segments, from {:.0} MiB in three files; the daemon had {:.1} MiB and came to {:.1} MiB",
        of(totals.kept_bytes),
        of(totals.source_bytes),
        of(before),
        of(peak)
    );
    ensure!((totals.rows, totals.disagreeing_rows) == wide.figures(), "{totals:?}, expected {:?}", wide.figures());
    ensure!(peak <= before + MEMORY, "{} bytes more than before, with {MEMORY} to use", peak - before);

    let id = version.version.id.as_str();
    let copy = Restore { version: id, to: "source", from: "ks", into: "copy", replication_factor: 1, more: &[] };
    system.restore(&copy).await?;
    expect_rows(&session, "copy", &wide).await
}

/// Each node gets one file.
async fn fill(cluster: &Cluster, session: &Session, wide: &WidePartition) -> Result<()> {
    let sstables = wide.sstables()?;
    let keyspace = "CREATE KEYSPACE ks WITH replication = {'class': 'SimpleStrategy', 'replication_factor': 3}";
    cql::run(session, &[keyspace.to_owned(), wide.create_table("ks", "wide")]).await?;
    (0..3).try_for_each(|node| cluster.import(node, "ks", "wide", &sstables.join(node.to_string())))
}

/// A directory as the store of a daemon with this memory.
fn store(directory: &std::path::Path) -> StoreAccess {
    let environment = vec![("TIDEMARK_CONSOLIDATION_MEMORY_BYTES".to_owned(), MEMORY.to_string())];
    StoreAccess { url: format!("file://{}", directory.display()), arguments: vec![], environment }
}

/// The table holds exactly the rows that it must, each with its value and write time.
async fn expect_rows(session: &Session, keyspace: &str, wide: &WidePartition) -> Result<()> {
    let (mut found, mut wrong) = (0, Vec::new());
    compare::read_each(session, keyspace, "wide", |key, row| {
        let ck = key.clustering.as_ref().and_then(|values| <[u8; 4]>::try_from(values[0].as_ref()).ok());
        let expected = ck.and_then(|ck| u32::try_from(i32::from_be_bytes(ck)).ok()).and_then(|n| wide.row(n));
        let cell = row.columns.get("v").and_then(|cells| cells.first());
        let same =
            cell.zip(expected).is_some_and(|(cell, row)| cell.value == row.value && cell.writetime == row.writetime);
        found += 1;
        if !same {
            wrong.push(key);
        }
    })
    .await?;
    // Rows of one table have different keys, so that as many right ones as there must be are all of them.
    ensure!(wrong.is_empty(), "{} rows are not as they must be, first {:?}", wrong.len(), wrong[0]);
    ensure!(found == wide.figures().0, "{found} rows, expected {}", wide.figures().0);
    Ok(())
}

/// A line of a process's status, bytes.
fn memory(pid: u32, line: &str) -> Result<u64> {
    let status = fs::read_to_string(format!("/proc/{pid}/status"))?;
    let found = status.lines().find_map(|text| text.strip_prefix(line)).with_context(|| line.to_owned())?;
    let kib: u64 = found.trim().strip_suffix(" kB").context("kB")?.parse()?;
    Ok(kib << 10)
}
