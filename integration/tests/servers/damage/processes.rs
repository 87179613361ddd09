//! The real processes: three nodes, one of which has damaged files; a version in the store that is damaged afterwards; rows
//! that are not what a restore wrote. One cluster for all of it.

use std::path::Path;

use anyhow::{Context, Result, ensure};
use scylla::{client::session::Session, statement::Consistency};
use tidemark_integration::{
    cassandra::{Cluster, ClusterSpec},
    compare, cql,
    damage::{
        Harm,
        harm::{Act, files_in, table_directory},
    },
    paths,
    system::{Restore, System},
};
use tidemark_web::api::{Quality, VersionDetail, VersionObject};

use super::{disturbed, stored};

/// Loopback network of this test.
const GROUP: u8 = 71;
/// The node whose files are damaged.
const HURT: usize = 1;
/// Rows of each table.
const ROWS: i32 = 200;
/// Tables that stay whole, one of them although a file of its is damaged.
const WHOLE: [&str; 2] = ["sound", "index_flipped"];
/// Table of which half of the rows are deleted. The whole nodes have neither those rows nor their deletions any more; the
/// hurt one has the rows in a whole file, and the deletions in the damaged one.
const PURGED: &str = "purged";
/// Table of which every node has a damaged file.
const EVERYWHERE: &str = "everywhere";
/// Keyspace of one replica, and its table.
const SINGLE: (&str, &str) = ("single", "once");

/// Tables of which a file is damaged that is read: table, component, what is done to a file of this size.
type Hurt = (&'static str, &'static str, fn(u64) -> Act);

/// Each in its own way.
const HURT_TABLES: [Hurt; 5] = [
    ("data_flipped", "Data.db", |size| Act::Flip { offset: size / 2, mask: 0x10 }),
    ("info_flipped", "CompressionInfo.db", |size| Act::Flip { offset: size - 1, mask: 0x01 }),
    ("statistics_flipped", "Statistics.db", |size| Act::Flip { offset: size / 2, mask: 0x80 }),
    ("data_cut", "Data.db", |size| Act::Cut { length: size / 2 }),
    ("digest_gone", "Digest.crc32", |_| Act::Remove),
];

#[tokio::test(flavor = "multi_thread")]
async fn damage_at_a_node_in_the_store_or_after_a_restore_is_named() -> Result<()> {
    if !paths::cassandra_or_skip("damage_at_a_node_in_the_store_or_after_a_restore_is_named") {
        return Ok(());
    }
    let cluster = Cluster::start(ClusterSpec::new("hurt", GROUP, 3)).await?;
    let session = cql::connect(&cluster.contact_points()).await?;
    create_and_fill(&cluster, &session).await?;
    let mut system = System::start(GROUP).await?;
    system.add_source("hurt", &cluster).await?;

    let harms = harm_one_replica(&cluster)?;
    the_others_suffice_where_the_write_level_says_so(&system, &session, &harms).await?;
    what_the_others_do_not_prove_is_degraded(&system).await?;
    let version = stored::damage_is_found_and_never_restored(&system, &session).await?;
    disturbed::other_rows_than_were_written_fail_the_restore(&mut system, &session, &version).await
}

async fn create_and_fill(cluster: &Cluster, session: &Session) -> Result<()> {
    for (keyspace, factor) in [("ks", 3), (SINGLE.0, 1)] {
        let strategy = format!("{{'class': 'SimpleStrategy', 'replication_factor': {factor}}}");
        cql::run(session, &[format!("CREATE KEYSPACE {keyspace} WITH replication = {strategy}")]).await?;
    }
    delete_half(cluster, session).await?;
    let names = HURT_TABLES.map(|(table, ..)| table).into_iter().chain(WHOLE).chain([EVERYWHERE]);
    for (keyspace, table) in names.map(|table| ("ks", table)).chain([SINGLE]) {
        fill(session, keyspace, table, "").await?;
    }
    cluster.nodetool_everywhere(&["disableautocompaction", "ks"])?;
    cluster.nodetool_everywhere(&["flush", "ks"])?;
    cluster.nodetool_everywhere(&["flush", SINGLE.0])?;
    forget_deletions(cluster)
}

async fn fill(session: &Session, keyspace: &str, table: &str, options: &str) -> Result<()> {
    cql::run(session, &[format!("CREATE TABLE {keyspace}.{table} (pk int PRIMARY KEY, v text) {options}")]).await?;
    let mut insert = session.prepare(format!("INSERT INTO {keyspace}.{table} (pk, v) VALUES (?, ?)")).await?;
    insert.set_consistency(Consistency::All);
    for key in 0..ROWS {
        session.execute_unpaged(&insert, (key, format!("{table} {key}"))).await?;
    }
    Ok(())
}

/// Rows in one SSTable of every node, the deletions of half of them in the next.
async fn delete_half(cluster: &Cluster, session: &Session) -> Result<()> {
    let no_compaction = "{'class': 'SizeTieredCompactionStrategy', 'enabled': false}";
    fill(session, "ks", PURGED, &format!("WITH gc_grace_seconds = 0 AND compaction = {no_compaction}")).await?;
    cluster.nodetool_everywhere(&["flush", "ks", PURGED])?;
    let mut delete = session.prepare(format!("DELETE FROM ks.{PURGED} WHERE pk = ?")).await?;
    delete.set_consistency(Consistency::All);
    for key in 0..ROWS / 2 {
        session.execute_unpaged(&delete, (key,)).await?;
    }
    cluster.nodetool_everywhere(&["flush", "ks", PURGED])
}

/// Has every node but the hurt one drop deleted rows together with their deletions.
fn forget_deletions(cluster: &Cluster) -> Result<()> {
    for node in (0..cluster.nodes().len()).filter(|node| *node != HURT) {
        cluster.nodetool(node, &["compact", "ks", PURGED])?;
        let directory = table_directory(&cluster.nodes()[node].data_dir(), "ks", PURGED)?;
        // Files that were compacted go a little later: the newest is the one that counts.
        let newest = data_files(&directory)?.pop().with_context(|| format!("files of node {node}"))?;
        let dump = cluster.tool(node, "sstabledump", &[&directory.join(newest).to_string_lossy()])?;
        ensure!(!dump.contains("deletion_info"), "node {node} still has deletions");
    }
    Ok(())
}

/// Names of a directory's Data.db, oldest first.
fn data_files(directory: &Path) -> Result<Vec<String>> {
    let names = files_in(directory)?.into_iter().map(|(name, _)| name);
    Ok(names.filter(|name| name.ends_with("-Data.db")).collect())
}

/// Damages files in the data directory of one node: the links of the next snapshot lead to the damaged ones, while the node
/// itself goes on reading what it has open.
fn harm_one_replica(cluster: &Cluster) -> Result<Vec<(&'static str, Harm)>> {
    let unused: Hurt = ("index_flipped", "Index.db", |size| Act::Flip { offset: size / 2, mask: 0x10 });
    let deletions: Hurt = (PURGED, "Data.db", |size| Act::Flip { offset: size / 2, mask: 0x10 });
    for node in 0..cluster.nodes().len() {
        harm(cluster, node, "ks", &(EVERYWHERE, "Data.db", |size| Act::Flip { offset: size / 2, mask: 0x10 }))?;
    }
    harm(cluster, HURT, SINGLE.0, &(SINGLE.1, "Data.db", |size| Act::Cut { length: size / 2 }))?;
    HURT_TABLES.iter().chain([&unused, &deletions]).map(|hurt| Ok((hurt.0, harm(cluster, HURT, "ks", hurt)?))).collect()
}

/// Harms the newest file of this kind of a table at a node.
fn harm(cluster: &Cluster, node: usize, keyspace: &str, (table, component, act): &Hurt) -> Result<Harm> {
    let directory = table_directory(&cluster.nodes()[node].data_dir(), keyspace, table)?;
    let file = files_in(&directory)?.into_iter().rfind(|(name, _)| name.ends_with(&format!("-{component}")));
    let (name, size) = file.with_context(|| format!("{component} of {table}"))?;
    let harm = Harm::new(name, act(size));
    harm.apply(&directory)?;
    Ok(harm)
}

/// Two of three replicas hold every write at QUORUM: each table is whole without the node whose file is damaged.
async fn the_others_suffice_where_the_write_level_says_so(
    system: &System,
    session: &Session,
    harms: &[(&'static str, Harm)],
) -> Result<()> {
    let version = system.protect("hurt", "ks/*", "hurt", &["--write-level", "quorum", "--repaired"]).await?;
    let node = format!("(127.0.{GROUP}.{}:9042)", HURT + 1);
    for (table, harm) in harms.iter().filter(|(table, _)| !WHOLE.contains(table)) {
        let found = object(&version, "ks", table)?;
        let note = found.notes.first().map_or("", String::as_str);
        println!("{harm}: {note}");
        let named = note.contains(harm.stem()) && note.contains(" is damaged at ") && note.contains(&node);
        ensure!(found.quality == Quality::Cut && found.notes.len() == 1 && named, "{table}, {harm}: {found:?}");
        let rows = if *table == PURGED { ROWS / 2 } else { ROWS };
        ensure!(found.totals.rows == u64::try_from(rows)?, "{found:?}");
    }
    for table in WHOLE {
        let found = object(&version, "ks", table)?;
        ensure!(
            found.quality == Quality::Cut && found.totals.rows == ROWS as u64 && found.notes.is_empty(),
            "{found:?}"
        );
    }
    the_operation_lists_what_is_missing_and_left_out(system, &version, harms).await?;
    restore_what_is_there(system, session, &version.version.id, harms).await
}

/// Of a table that is damaged on every node nothing can be said.
async fn the_operation_lists_what_is_missing_and_left_out(
    system: &System,
    version: &VersionDetail,
    harms: &[(&'static str, Harm)],
) -> Result<()> {
    let missing = object(version, "ks", EVERYWHERE)?;
    let note = missing.notes.first().map_or("", String::as_str);
    ensure!(missing.quality == Quality::Missing && note.matches("-Data.db is damaged at ").count() == 3, "{missing:?}");
    ensure!(version.version.quality == Quality::Missing, "quality {}", version.version.quality);
    let operation = system.operations().await?.into_iter().next().context("an operation")?;
    let result = operation.result.context("its result")?;
    ensure!(result["missing"]["count"] == 1 && result["missing"]["list"][0]["object"] == "ks/everywhere", "{result}");
    let hurt = harms.iter().filter(|(table, _)| !WHOLE.contains(table)).count();
    let reasons = result["left_out"]["list"].as_array().map_or(0, Vec::len);
    ensure!(result["left_out"]["count"] == hurt && reasons == hurt, "{result}");
    Ok(())
}

/// Without a word about what is missing nothing is restored; what is whole comes back when it is asked for.
async fn restore_what_is_there(
    system: &System,
    session: &Session,
    version: &str,
    harms: &[(&'static str, Harm)],
) -> Result<()> {
    let all = Restore { version, to: "hurt", from: "ks", into: "copy", replication_factor: 3, more: &[] };
    let arguments = all.arguments();
    let outcome = system.cli.outcome(&arguments.iter().map(String::as_str).collect::<Vec<_>>()).await?;
    ensure!(!matches!(outcome.code, 0 | 3), "a table is missing, and all were restored: {outcome:?}");
    let tables: Vec<&str> = harms.iter().map(|(table, _)| *table).chain(["sound"]).collect();
    let only: Vec<String> = tables.iter().map(|table| format!("--only=ks/{table}")).collect();
    let only: Vec<&str> = only.iter().map(String::as_str).collect();
    system.restore(&Restore { more: &only, ..all }).await?;
    for table in tables {
        let expected = compare::read(session, "ks", table).await?;
        expected.expect(&format!("copy.{table}"), &compare::read(session, "copy", table).await?)?;
    }
    Ok(())
}

/// Without the word that the write level held, and where there is one replica only, the ranges are named with the file.
async fn what_the_others_do_not_prove_is_degraded(system: &System) -> Result<()> {
    for (keyspace, table, more, captured) in
        [("ks", "data_cut", &[][..], "2 of 3 replicas"), (SINGLE.0, SINGLE.1, &["--repaired"], "0 of 1 replicas")]
    {
        let arguments = [&["--write-level", "quorum"], more].concat();
        let version =
            system.protect("hurt", &format!("{keyspace}/{table}"), &table.replace('_', "-"), &arguments).await?;
        let found = object(&version, keyspace, table)?;
        println!("{found:?}");
        let ranges: Vec<_> = found.notes.iter().filter(|note| note.contains(captured)).collect();
        ensure!(found.quality == Quality::Degraded && !ranges.is_empty(), "{found:?}");
        ensure!(ranges.iter().all(|note| note.contains("-Data.db is damaged at ")), "{ranges:?}");
    }
    Ok(())
}

fn object<'a>(version: &'a VersionDetail, keyspace: &str, table: &str) -> Result<&'a VersionObject> {
    let name = format!("{keyspace}/{table}");
    let found = version.contents.iter().find(|object| object.object == name);
    found.with_context(|| format!("{name} is not in the version"))
}
