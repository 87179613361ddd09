//! What one node suffices for, each part with keyspaces of its own: times to live, a schema that changes, targets that exist, a long
//! past. `ONLY=name` runs one of them.

mod conformance;
mod dropped;
mod existing;
mod lifetimes;
mod schema_change;

use anyhow::Result;
use scylla::client::session::Session;
use tidemark_integration::{
    cassandra::{Cluster, ClusterSpec},
    cql,
    parts::Parts,
    paths,
    system::System,
};

/// Loopback network of these tests.
const GROUP: u8 = 107;

/// What the parts share: a node, a session with it, and a daemon that knows it as `source`.
struct Shared {
    cluster: Cluster,
    session: Session,
    system: System,
}

impl Shared {
    async fn start() -> Result<Self> {
        let cluster = Cluster::start(ClusterSpec::new("one", GROUP, 1)).await?;
        let session = cql::connect(&cluster.contact_points()).await?;
        let system = System::start(GROUP).await?;
        system.add_source("source", &cluster).await?;
        Ok(Self { cluster, session, system })
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn in_turn() -> Result<()> {
    if !paths::cassandra_or_skip("one_node") {
        return Ok(());
    }
    let (shared, mut parts) = (Shared::start().await?, Parts::from_environment());
    // Its short lives end while the others run.
    let captured = parts.run("lifetimes", lifetimes::capture(&shared)).await;
    parts.run("schema_change", schema_change::each_version_has_its_own_schema(&shared)).await;
    parts.run("existing", existing::targets_that_exist_are_chosen_for(&shared)).await;
    parts.run("conformance", conformance::the_rules_are_kept(&shared)).await;
    if let Some(captured) = captured {
        parts.run("lifetimes", lifetimes::restore_by_each_policy(&shared, &captured)).await;
    }
    // Last: its history is long.
    parts.run("dropped", dropped::ten_thousand_columns_are_no_burden(&shared)).await;
    parts.end()
}
