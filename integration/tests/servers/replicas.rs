//! What three nodes share, of which one misses writes of each part, and a node with other tokens that versions are restored to. Each
//! part has keyspaces of its own; `ONLY=name` runs one of them.

mod collapse;
mod generated;
mod journal;

use anyhow::Result;
use scylla::client::session::Session;
use tidemark_integration::{
    cassandra::{Cluster, ClusterSpec},
    cql,
    parts::Parts,
    paths,
    system::System,
};

/// Loopback networks of these tests.
const SOURCE: u8 = 10;
const SINGLE: u8 = 11;
/// The replica that misses writes.
const LAGGING: usize = 2;

/// What the parts share: the clusters, sessions with them, and a daemon that knows them as `source` and `single`.
struct Shared {
    source: Cluster,
    session: Session,
    system: System,
    other: Session,
    // Runs as long as it is restored to.
    _single: Cluster,
}

impl Shared {
    async fn start() -> Result<Self> {
        let single = ClusterSpec::new("single", SINGLE, 1).with_tokens(7);
        let clusters = (Cluster::start(ClusterSpec::new("replicas", SOURCE, 3)), Cluster::start(single));
        let (source, single) = tokio::try_join!(clusters.0, clusters.1)?;
        let session = cql::connect(&source.contact_points()).await?;
        let other = cql::connect(&single.contact_points()).await?;
        let system = System::start(SOURCE).await?;
        system.add_source("source", &source).await?;
        system.add_source("single", &single).await?;
        Ok(Self { source, session, system, other, _single: single })
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn in_turn() -> Result<()> {
    if !paths::cassandra_or_skip("replicas") {
        return Ok(());
    }
    let (mut shared, mut parts) = (Shared::start().await?, Parts::from_environment());
    parts.run("journal", journal::what_it_expects_is_what_cassandra_answers(&mut shared)).await;
    parts.run("collapse", collapse::replicas_become_one_copy_that_restores_to_any_topology(&mut shared)).await;
    parts.run("generated", generated::what_readers_see_of_any_table_is_what_comes_back(&mut shared)).await;
    parts.end()
}
