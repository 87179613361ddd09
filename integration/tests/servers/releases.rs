//! Versions that go from each release of Cassandra to each other, and through the upgrade of a cluster.
//!
//! Three nodes of 4.1 are protected with a replica that missed writes; the version goes to a node of 5.0 and to one of 4.0, from
//! 5.0 to 4.0, too, and both come back to 5.0; it goes to the three nodes themselves as well. These are then upgraded one by one,
//! written to and protected on the way.
//! What every copy must hold follows from the journal, and is read by 5.0, which tells the times of elements.

mod limits;
mod source;
mod upgrade;

use anyhow::{Result, ensure};
use scylla::client::session::Session;
use tidemark_integration::{
    cassandra::{Cluster, ClusterSpec, Release},
    compare, cql,
    journal::lagging,
    paths,
    system::{Restore, System},
    tables,
    tally::Tally,
    ties,
};
use tidemark_web::api::{Quality, VersionDetail};

use self::source::Source;

/// Loopback networks of this test.
const THREE: u8 = 61;
const NEW: u8 = 62;
const OLD: u8 = 63;
/// No file is to be rewritten by a later release.
const COMPACTION: &str = "compaction = {'class': 'SizeTieredCompactionStrategy', 'enabled': false}";

#[tokio::test(flavor = "multi_thread")]
async fn versions_go_between_releases_and_through_an_upgrade() -> Result<()> {
    let versions = [Release::V4_0, Release::V4_1, Release::V5_0].map(Release::version);
    if !paths::cassandra_versions_or_skip("versions_go_between_releases_and_through_an_upgrade", &versions) {
        return Ok(());
    }
    let tables: Vec<_> = tables::all().into_iter().map(|table| table.as_of(Release::V4_1)).collect();
    let tables = tables.into_iter().map(not_compacted).collect::<Vec<_>>();
    let mut three = Source::start(&tables).await?;
    let system = System::start(THREE).await?;
    system.add_source("three", &three.cluster).await?;
    let masks = ("dynamic_data_masking_enabled", "true");
    let mut new = Cluster::start(ClusterSpec::new("new", NEW, 1).with_setting(masks.0, masks.1)).await?;
    system.add_source("new", &new).await?;
    let old = Cluster::start(ClusterSpec::new("old", OLD, 1).with_tokens(7).with_release(Release::V4_0)).await?;
    system.add_source("old", &old).await?;
    let session = cql::connect(&new.contact_points()).await?;

    // Captured before anything is read: reading at ALL repairs what disagrees.
    let version = protect(&system, "three", &["ks/*", "counted/*", "tied/*"]).await?;
    lagging::expect_figures(&version, &three.journal, &three.session, &three.cluster.nodes()[source::LAGGING].address)?;
    let to_new =
        Restore { version: &version.version.id, to: "new", from: "ks", into: "copy", replication_factor: 1, more: &[] };
    system.restore(&to_new).await?;
    three.expect_restored(&session, "copy").await?;
    three.tally.expect("4.1 to 5.0", &Tally::read(&session, "counted").await?)?;
    ties::expect("4.1 to 5.0", &compare::read(&session, ties::KEYSPACE, ties::TABLE).await?)?;
    println!("4.1 to 5.0: equal");

    let copied = protect(&system, "new", &["copy/*", "counted/*"]).await?;
    through_4_0(&system, &version, &copied, &three, &session).await?;
    let again = Restore {
        version: &copied.version.id,
        to: "three",
        from: "copy",
        into: "again",
        replication_factor: 3,
        more: &["--only", "copy/*"],
    };
    system.restore(&again).await?;
    println!("5.0 to 4.1: restored");
    let novel = limits::hold(&system, &session, &old).await?;
    upgrade::in_steps(&system, &mut three, &session).await?;
    limits::without_masks(&system, &novel, &mut new).await
}

fn not_compacted(mut table: tables::Table) -> tables::Table {
    table.options.retain(|option| !option.starts_with("compaction"));
    table.options.push(COMPACTION);
    table
}

/// A version of these objects, which must be whole.
async fn protect(system: &System, source: &str, objects: &[&str]) -> Result<VersionDetail> {
    let more: Vec<&str> = objects[1..].iter().flat_map(|object| ["--object", object]).collect();
    let more = [&more[..], &["--write-level", "quorum"]].concat();
    let policy = format!("{source}-{}-{}", objects[0].trim_end_matches("/*"), objects.len());
    let version = system.protect(source, objects[0], &policy, &more).await?;
    ensure!(version.version.quality == Quality::Cut, "{objects:?}: {:?}", version.contents);
    Ok(version)
}

/// A version of 4.1 and one of 5.0 go to a node of 4.0, and what that holds comes back to 5.0.
async fn through_4_0(
    system: &System,
    of_4_1: &VersionDetail,
    copied: &VersionDetail,
    three: &Source<'_>,
    new: &Session,
) -> Result<()> {
    let there = Restore {
        version: &copied.version.id,
        to: "old",
        from: "copy",
        into: "copy",
        replication_factor: 1,
        more: &[],
    };
    system.restore(&there).await?;
    let more = ["--only", "ks/*"];
    let from_4_1 = Restore { version: &of_4_1.version.id, from: "ks", into: "direct", more: &more, ..there };
    system.restore(&from_4_1).await?;
    let held = protect(system, "old", &["copy/*", "direct/*", "counted/*"]).await?;
    let more = ["--rename", "direct=direct_back", "--rename", "counted=counted_back"];
    let back = Restore { version: &held.version.id, to: "new", into: "back", more: &more, ..there };
    system.restore(&back).await?;
    three.expect_restored(new, "back").await?;
    three.expect_restored(new, "direct_back").await?;
    three.tally.expect("5.0 to 4.0 and back", &Tally::read(new, "counted_back").await?)?;
    println!("4.1 and 5.0 to 4.0 and back: equal");
    Ok(())
}
