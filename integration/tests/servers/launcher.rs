//! The launcher of Cassandra clusters, against real servers.

use anyhow::Result;
use tidemark_integration::{
    cassandra::{Cluster, ClusterSpec},
    paths,
};

#[tokio::test]
async fn three_nodes_start_at_once_and_survive_stop_kill_and_growth() -> Result<()> {
    if !paths::cassandra_or_skip("three_nodes_start_at_once_and_survive_stop_kill_and_growth") {
        return Ok(());
    }
    let mut cluster = Cluster::start(ClusterSpec::new("launcher", 1, 3)).await?;
    assert_eq!(seen_as(&cluster, "UN")?, 3);
    cluster.stop(2).await?;
    assert_eq!(seen_as(&cluster, "DN")?, 1);
    cluster.restart(2).await?;
    cluster.kill(1)?;
    cluster.restart(1).await?;
    cluster.add("127.0.1.4").await?;
    assert_eq!(seen_as(&cluster, "UN")?, 4);
    Ok(())
}

/// Nodes that the first node sees in a state of `nodetool status`.
fn seen_as(cluster: &Cluster, state: &str) -> Result<usize> {
    Ok(cluster.nodetool(0, &["status"])?.lines().filter(|line| line.starts_with(state)).count())
}
