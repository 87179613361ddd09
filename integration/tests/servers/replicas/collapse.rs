//! Every type and every shape of table, with one replica that missed writes: the version is one copy of what Cassandra
//! answers, the disagreements are exactly those that were made, and both restores give every row back.

use anyhow::{Result, ensure};
use tidemark_integration::{compare, journal::lagging, system::Restore, tables, ties};
use tidemark_web::api::Quality;

use super::{LAGGING, Shared};

/// Replicas that disagree become one copy that restores to any topology.
pub(super) async fn replicas_become_one_copy_that_restores_to_any_topology(shared: &mut Shared) -> Result<()> {
    let Shared { source, session, system, other, .. } = shared;
    let session = &*session;
    ties::write_first(session).await?;
    source.nodetool_everywhere(&["flush", ties::KEYSPACE])?;
    let second = async || ties::write_second(session).await;
    let journal = lagging::write_and(source, session, &tables::all(), LAGGING, second).await?;

    // Captured before anything is read: reading at ALL repairs what disagrees.
    let version = system.protect("source", "ks/*", "all", &["--write-level", "quorum"]).await?;
    ensure!(version.version.quality == Quality::Cut, "quality {}: {:?}", version.version.quality, version.contents);
    lagging::expect_figures(&version, &journal, session, &source.nodes()[LAGGING].address)?;
    let tied = system.protect("source", "tied/*", "tied", &["--write-level", "quorum"]).await?;

    let id = version.version.id.as_str();
    let to_one = Restore { version: id, to: "single", from: "ks", into: "copy", replication_factor: 1, more: &[] };
    system.restore(&to_one).await?;
    let to_three = Restore { to: "source", into: "copy3", replication_factor: 3, ..to_one };
    system.restore(&to_three).await?;

    let tied = Restore { version: &tied.version.id, from: ties::KEYSPACE, into: "untied", ..to_one };
    system.restore(&tied).await?;
    let now = compare::read(session, ties::KEYSPACE, ties::TABLE).await?;
    ties::expect("Cassandra itself", &now)?;
    now.expect("equal write times", &compare::read(other, "untied", ties::TABLE).await?)?;
    for table in journal.tables() {
        let now = compare::read(session, "ks", table).await?;
        journal.image(table)?.expect(&format!("{table} at the source"), &now)?;
        now.expect(&format!("{table} on one node"), &compare::read(other, "copy", table).await?)?;
        now.expect(&format!("{table} on three nodes"), &compare::read(session, "copy3", table).await?)?;
    }
    let preview = source.nodetool(0, &["repair", "--full", "--preview", "copy3"])?;
    ensure!(preview.contains("Previewed data was in sync"), "replicas of the restored keyspace differ:\n{preview}");
    Ok(())
}
