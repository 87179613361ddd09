//! A listener stays within its 64 MiB while it ships a table of 1 GiB, whatever the store.

use std::{fs, path::Path};

use anyhow::{Context, Result, ensure};
use tidemark_integration::{
    cassandra::{Cluster, ClusterSpec, offline::Dataset},
    cql, paths, stores,
    system::{STORE, StoreAccess, System},
};

/// Loopback network of this test.
const GROUP: u8 = 81;
/// Port of its store.
const PORT: u16 = 17081;
/// What a listener may have in memory at its peak, bytes.
const GOAL: u64 = 64 << 20;
/// 1 GiB of values in one SSTable.
const DATASET: Dataset =
    Dataset { rows: 64 << 10, rows_of_a_partition: 256, value_bytes: 16 << 10, seed: 7, compressed: false };

#[tokio::test(flavor = "multi_thread")]
async fn a_listener_ships_a_gibibyte_within_its_memory() -> Result<()> {
    if !paths::cassandra_or_skip("a_listener_ships_a_gibibyte_within_its_memory") {
        return Ok(());
    }
    let cluster = cluster().await?;
    let local = System::start(GROUP).await?;
    let directory = local.store_dir();
    let to_directory = peak(local, &cluster, &directory).await.context("to a directory")?;

    let server = stores::versitygw(PORT).await?;
    let remote = System::start_on(GROUP, access(&server)).await?;
    let to_server = peak(remote, &cluster, server.directory()).await.context("to versitygw")?;

    for (store, peak) in [("directory", to_directory), ("versitygw", to_server)] {
        println!(
            "listener's peak, 1 GiB to a {store}\t{:.1} MiB\t<= {} MiB",
            peak as f64 / f64::from(1 << 20),
            GOAL >> 20
        );
    }
    ensure!(to_directory.max(to_server) <= GOAL, "{to_directory} and {to_server} bytes, more than {GOAL}");
    Ok(())
}

/// One node with the table, which no client wrote.
async fn cluster() -> Result<Cluster> {
    let sstables = DATASET.sstables()?;
    let cluster = Cluster::start(ClusterSpec::new("memory", GROUP, 1)).await?;
    let session = cql::connect(&cluster.contact_points()).await?;
    let keyspace = "CREATE KEYSPACE ks WITH replication = {'class': 'SimpleStrategy', 'replication_factor': 1}";
    cql::run(&session, &[keyspace.to_owned(), DATASET.create_table("ks", "rows")]).await?;
    cluster.import(0, "ks", "rows", &sstables)?;
    let last = "SELECT v FROM ks.rows WHERE pk = 255 AND ck = 255";
    let found = session.query_unpaged(last, ()).await?.into_rows_result()?.rows_num();
    ensure!(found == 1, "the last row is not there");
    Ok(cluster)
}

fn access(server: &stores::StoreServer) -> StoreAccess {
    let keys = server.credentials();
    let environment = [("ACCESS_KEY_ID", keys.access_key_id()), ("SECRET_ACCESS_KEY", keys.secret_access_key())];
    let environment = environment.map(|(name, value)| (format!("DAEMON_{name}"), value.to_owned()));
    let arguments = ["--credentials", "env:DAEMON"].map(str::to_owned);
    StoreAccess { url: server.url("").to_string(), arguments: arguments.to_vec(), environment: environment.to_vec() }
}

/// Greatest resident memory of the listener until its slice is stored, bytes. The version is not made.
async fn peak(mut system: System, cluster: &Cluster, store: &Path) -> Result<u64> {
    system.add_source("source", cluster).await?;
    let protect = ["protect", "source", "--object", "ks/*", "--to", STORE, "--wait"];
    let held = system.hold_at("slice-stored", &[], &protect.map(str::to_owned)).await?;
    let program = fs::read_link(format!("/proc/{}/exe", held.pid))?;
    ensure!(program.ends_with("tidemark-listener-cassandra"), "{} was held", program.display());
    let staged = staged_bytes(store)?;
    ensure!(staged >= 1 << 30, "only {staged} bytes were shipped");
    high_water(held.pid)
}

/// `VmHWM` of a process, bytes.
fn high_water(pid: u32) -> Result<u64> {
    let status = fs::read_to_string(format!("/proc/{pid}/status"))?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).context("VmHWM")?;
    let kib: u64 = line.trim().strip_suffix(" kB").context("kB")?.parse()?;
    Ok(kib << 10)
}

/// Bytes of all files below a folder `staged`.
fn staged_bytes(directory: &Path) -> Result<u64> {
    let mut sum = 0;
    for entry in fs::read_dir(directory)? {
        let entry = entry?;
        let (path, meta) = (entry.path(), entry.metadata()?);
        if meta.is_dir() {
            sum += staged_bytes(&path)?;
        } else if path.components().any(|part| part.as_os_str() == "staged") {
            sum += meta.len();
        }
    }
    Ok(sum)
}
