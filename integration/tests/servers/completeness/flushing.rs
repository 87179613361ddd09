//! A flush that runs already when the capture begins.

use std::{fs, path::Path, process::Stdio, time::Duration};

use anyhow::{Context, Result, ensure};
use tidemark_gateway::Env;
use tidemark_integration::{
    cassandra::{Cluster, ClusterSpec},
    cql, paths,
    system::System,
    wait::{self, Look},
};

use super::{SLOW, SLOW_FLUSH, create_slow, held::Held, text};

/// Rows, of 8 KiB each.
const ROWS: i32 = 1500;

#[tokio::test(flavor = "multi_thread")]
async fn what_an_earlier_flush_still_writes_is_in_the_version() -> Result<()> {
    if !paths::cassandra_or_skip("what_an_earlier_flush_still_writes_is_in_the_version") {
        return Ok(());
    }
    let spec = ClusterSpec::new("flushing", SLOW, 1).with_setting(SLOW_FLUSH.0, SLOW_FLUSH.1);
    let cluster = Cluster::start(spec).await?;
    let session = cql::connect(&cluster.contact_points()).await?;
    create_slow(&session).await?;
    let insert = session.prepare("INSERT INTO ks.t (k, v) VALUES (?, ?)").await?;
    for number in 0..ROWS {
        session.execute_unpaged(&insert, (number, text(number, 8 << 10))).await?;
    }
    let system = System::start(SLOW).await?;
    system.add_source("slow", &cluster).await?;

    let line = cluster.nodetool_line(0);
    let mut flush = tokio::process::Command::new(&line[0]);
    let mut flush = flush.args(&line[1..]).args(["flush", "ks", "t"]).stdin(Stdio::null()).spawn()?;
    let flush = tokio::spawn(async move { flush.wait().await.map(|status| (status, Env::system().now())) });
    let data = cluster.nodes()[0].data_dir().join("ks");
    wait::until("the flush", Duration::from_secs(60), async || {
        Ok(Look::when(is_flushing(&data)?, || "no file of a flush".to_owned()))
    })
    .await?;
    let version = system.protect("slow", "ks/*", "slow", &["--write-level", "one"]).await?;
    let (status, ended) = flush.await??;
    ensure!(status.success(), "the first flush failed");

    let held = Held::read(&system, &version.version.id, "ks/t")?;
    ensure!(held.started < ended, "the flush was over when the capture began, the test proves nothing");
    ensure!(held.quality == "cut", "quality {}", held.quality);
    let count = usize::try_from(ROWS)?;
    ensure!(held.keys.len() == count, "{} of {count} acknowledged rows are in the version", held.keys.len());
    Ok(())
}

/// True while a table of the keyspace has the log of a flush that has not come to its end.
fn is_flushing(keyspace: &Path) -> Result<bool> {
    for table in fs::read_dir(keyspace).context("directory of the keyspace")? {
        for file in fs::read_dir(table?.path())? {
            if file?.file_name().to_string_lossy().contains("_txn_flush_") {
                return Ok(true);
            }
        }
    }
    Ok(false)
}
