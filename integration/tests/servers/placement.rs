//! Who owns what: our placement of replicas against Cassandra's own, on racks and in two data centres, and what a version is
//! worth there when a node is down.

use std::collections::BTreeSet;

use anyhow::{Context, Result, ensure};
use scylla::{client::session::Session, statement::Consistency};
use tidemark_cassandra_format::token::murmur3;
use tidemark_integration::{
    cassandra::{Cluster, ClusterSpec},
    cql,
    environment::number,
    opinions, paths,
    system::{self, System},
};
use tidemark_listener_cassandra::{connect, describe, ring::Placement};
use tidemark_web::api::Quality;

/// Loopback network of this test.
const GROUP: u8 = 91;
/// Two racks of unequal size, and a data centre of one node.
const PLACES: [(&str, &str); 4] = [("DC1", "r1"), ("DC1", "r1"), ("DC1", "r2"), ("DC2", "r1")];
/// The only node of the second data centre.
const SECOND: usize = 3;
/// Keyspaces and their replication.
const KEYSPACES: [(&str, &str); 4] = [
    ("simple", "{'class': 'SimpleStrategy', 'replication_factor': 2}"),
    ("racks", "{'class': 'NetworkTopologyStrategy', 'DC1': 2, 'DC2': 1}"),
    ("one_dc", "{'class': 'NetworkTopologyStrategy', 'DC1': 3}"),
    ("single", "{'class': 'NetworkTopologyStrategy', 'DC1': 1, 'DC2': 1}"),
];
/// Write levels, and what a version without the second data centre is worth at each. Of one that is judged by data centre and proves
/// too little, and of one that proves enough, comes a version in every run; of others by `TIDEMARK_LEVELS`.
const LEVELS: [(&str, Quality); 4] = [
    ("local_quorum", Quality::Degraded),
    ("each_quorum", Quality::Cut),
    ("quorum", Quality::Cut),
    ("one", Quality::Degraded),
];
/// Partitions of each table.
const KEYS: usize = 250;

#[tokio::test(flavor = "multi_thread")]
async fn replicas_are_where_cassandra_says_and_versions_are_judged_by_data_centre() -> Result<()> {
    if !paths::cassandra_or_skip("replicas_are_where_cassandra_says_and_versions_are_judged_by_data_centre") {
        return Ok(());
    }
    let mut cluster = Cluster::start(ClusterSpec::new("placement", GROUP, 4).with_places(&PLACES)).await?;
    let session = cql::connect(&cluster.contact_points()).await?;
    create_and_fill(&session).await?;
    let system = System::start(GROUP).await?;
    let keys: Vec<String> = (0..KEYS).map(|number| format!("key {number}")).collect();
    let keyspaces = KEYSPACES.map(|(keyspace, _)| keyspace);
    let endpoints = opinions::endpoints(&cluster, &keyspaces, "t", &keys, &system.scratch("endpoints"))?;
    for (keyspace, expected) in keyspaces.into_iter().zip(endpoints) {
        let found = placed(&cluster, keyspace, &keys).await?;
        let wrong = keys.iter().zip(expected.iter().zip(&found)).find(|(_, (expected, found))| expected != found);
        ensure!(wrong.is_none(), "{keyspace}: {wrong:?}");
        println!("{keyspace}: {KEYS} keys, {} sets of replicas", expected.iter().collect::<BTreeSet<_>>().len());
    }
    system.add_source("places", &cluster).await?;
    whole_versions_are_complete(&system).await?;
    cluster.stop(SECOND).await?;
    a_data_centre_that_is_away_counts_by_level(&system, &system::specification(&cluster)).await
}

async fn create_and_fill(session: &Session) -> Result<()> {
    for (keyspace, replication) in KEYSPACES {
        let create = [
            format!("CREATE KEYSPACE {keyspace} WITH replication = {replication}"),
            format!("CREATE TABLE {keyspace}.t (pk text PRIMARY KEY, v int)"),
        ];
        cql::run(session, &create).await?;
        let mut insert = session.prepare(format!("INSERT INTO {keyspace}.t (pk, v) VALUES (?, ?)")).await?;
        insert.set_consistency(Consistency::All);
        for number in 0..KEYS {
            session.execute_unpaged(&insert, (format!("key {number}"), number as i32)).await?;
        }
    }
    Ok(())
}

/// Addresses of the replicas of each key as we place them, primary first, from what the first node says of ring and keyspace.
async fn placed(cluster: &Cluster, keyspace: &str, keys: &[String]) -> Result<Vec<Vec<String>>> {
    let address = format!("{}:9042", cluster.nodes()[0].address);
    let session = connect::connect_node(&address, None).await?;
    let ring = describe::ring(&session, &describe::local(&session).await?).await?;
    let replication = describe::keyspace_schema(&session, keyspace).await?.replication;
    let placement = Placement::new(&ring, &replication)?;
    let host = |index: &usize| {
        let address = placement.nodes()[*index].address.rsplit_once(':').map(|(host, _)| host.to_owned());
        address.context("an address without a port")
    };
    let replicas = |key: &String| placement.replicas_of(murmur3(key.as_bytes())).iter().map(host).collect();
    keys.iter().map(replicas).collect()
}

/// All rows, once each, and none dropped as belonging to another node.
async fn whole_versions_are_complete(system: &System) -> Result<()> {
    let version = system.protect("places", "*/t", "whole", &["--write-level", "quorum"]).await?;
    ensure!(version.version.quality == Quality::Cut, "quality {}", version.version.quality);
    ensure!(version.contents.len() == KEYSPACES.len(), "{:?}", version.contents);
    for object in &version.contents {
        let totals = &object.totals;
        let found = (totals.rows as usize, totals.not_owned_partitions, totals.disagreeing_rows);
        ensure!(found == (KEYS, 0, 0), "{}: rows, not owned, disagreeing: {found:?}", object.object);
    }
    Ok(())
}

/// Without DC2: a write that was acknowledged by a quorum of its coordinator's data centre may be there alone; one that was
/// acknowledged by a quorum of each, or of all three replicas, may not.
async fn a_data_centre_that_is_away_counts_by_level(system: &System, specification: &serde_json::Value) -> Result<()> {
    ensure!(specification["nodes"].as_array().is_some_and(|nodes| nodes.len() == PLACES.len()), "{specification}");
    let levels = usize::try_from(number("TIDEMARK_LEVELS", 2)?)?;
    for (level, quality) in LEVELS.into_iter().take(levels) {
        let policy = format!("without-{}", level.replace('_', "-"));
        let version = system.protect("places", "racks/*", &policy, &["--write-level", level, "--repaired"]).await?;
        ensure!(version.version.quality == quality, "{level}: {}, expected {quality}", version.version.quality);
        ensure!(version.version.totals.rows as usize == KEYS, "{level}: {:?}", version.version.totals);
    }
    // A keyspace that has no replica there does not miss it.
    let version = system.protect("places", "one_dc/*", "without-need", &["--write-level", "one"]).await?;
    ensure!(version.version.quality == Quality::Cut, "one_dc: {}", version.version.quality);
    Ok(())
}
