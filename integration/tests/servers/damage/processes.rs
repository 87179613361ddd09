//! The real processes: three nodes, one of which has damaged files; a version in the store that is damaged afterwards; rows
//! that are not what a restore wrote. One cluster for all of it.

use anyhow::{Context, Result, ensure};
use scylla::client::session::Session;
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
use tidemark_web::api::{VersionDetail, VersionObject};

use super::{disturbed, stored};

/// Loopback network of this test.
const GROUP: u8 = 71;
/// The node whose files are damaged.
const HURT: usize = 1;
/// Rows of each table.
const ROWS: i32 = 200;
/// Tables that stay whole, one of them although a file of its is damaged.
const WHOLE: [&str; 2] = ["sound", "index_flipped"];

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
    create_and_fill(&session).await?;
    cluster.nodetool_everywhere(&["disableautocompaction", "ks"])?;
    cluster.nodetool_everywhere(&["flush", "ks"])?;
    let system = System::start(GROUP).await?;
    system.add_source("hurt", &cluster).await?;

    let harms = harm_one_replica(&cluster)?;
    tables_with_damaged_files_are_missing_by_name(&system, &session, &harms).await?;
    let version = stored::damage_is_found_and_never_restored(&system, &session).await?;
    disturbed::other_rows_than_were_written_fail_the_restore(&system, &session, &version).await
}

async fn create_and_fill(session: &Session) -> Result<()> {
    let names = HURT_TABLES.map(|(table, ..)| table).into_iter().chain(WHOLE);
    let keyspace = "CREATE KEYSPACE ks WITH replication = {'class': 'SimpleStrategy', 'replication_factor': 3}";
    cql::run(session, &[keyspace.to_owned()]).await?;
    for table in names {
        cql::run(session, &[format!("CREATE TABLE ks.{table} (pk int PRIMARY KEY, v text)")]).await?;
        let insert = session.prepare(format!("INSERT INTO ks.{table} (pk, v) VALUES (?, ?)")).await?;
        for key in 0..ROWS {
            session.execute_unpaged(&insert, (key, format!("{table} {key}"))).await?;
        }
    }
    Ok(())
}

/// Damages files in the data directory of one node: the links of the next snapshot lead to the damaged ones, while the node
/// itself goes on reading what it has open.
fn harm_one_replica(cluster: &Cluster) -> Result<Vec<(&'static str, Harm)>> {
    let unused: Hurt = ("index_flipped", "Index.db", |size| Act::Flip { offset: size / 2, mask: 0x10 });
    let harm = |(table, component, act): &Hurt| -> Result<(&'static str, Harm)> {
        let directory = table_directory(&cluster.nodes()[HURT].data_dir(), "ks", table)?;
        let files = files_in(&directory)?;
        let file = files.into_iter().find(|(name, _)| name.ends_with(&format!("-{component}")));
        let (name, size) = file.with_context(|| format!("{component} of {table}"))?;
        let harm = Harm::new(name, act(size));
        harm.apply(&directory)?;
        Ok((*table, harm))
    };
    HURT_TABLES.iter().chain([&unused]).map(harm).collect()
}

async fn tables_with_damaged_files_are_missing_by_name(
    system: &System,
    session: &Session,
    harms: &[(&'static str, Harm)],
) -> Result<()> {
    let version = system.protect("hurt", "ks/*", "hurt", &["--write-level", "quorum"]).await?;
    ensure!(version.version.quality == "missing", "quality {}", version.version.quality);
    for (table, harm) in harms.iter().filter(|(table, _)| !WHOLE.contains(table)) {
        let found = object(&version, table)?;
        let note = found.notes.first().map_or("", String::as_str);
        println!("{harm}: {note}");
        let named = note.contains(harm.stem()) && note.contains(" is damaged at ");
        ensure!(found.quality == "missing" && named, "{table}, {harm}: {found:?}");
    }
    for table in WHOLE {
        let found = object(&version, table)?;
        ensure!(found.quality == "cut" && found.totals.rows == ROWS as u64, "{found:?}");
    }
    restore_what_is_there(system, session, &version.version.id).await
}

/// Without a word about what is missing nothing is restored; what is whole comes back when it is asked for.
async fn restore_what_is_there(system: &System, session: &Session, version: &str) -> Result<()> {
    let all = Restore { version, to: "hurt", from: "ks", into: "copy", replication_factor: 3, more: &[] };
    let arguments = all.arguments();
    let outcome = system.cli.outcome(&arguments.iter().map(String::as_str).collect::<Vec<_>>()).await?;
    ensure!(!matches!(outcome.code, 0 | 3), "tables are missing, and all were restored: {outcome:?}");
    let only = WHOLE.map(|table| format!("--only=ks/{table}"));
    system.restore(&Restore { more: &only.each_ref().map(String::as_str), ..all }).await?;
    for table in WHOLE {
        let expected = compare::read(session, "ks", table).await?;
        expected.expect(&format!("copy.{table}"), &compare::read(session, "copy", table).await?)?;
    }
    Ok(())
}

fn object<'a>(version: &'a VersionDetail, table: &str) -> Result<&'a VersionObject> {
    let name = format!("ks/{table}");
    let found = version.contents.iter().find(|object| object.object == name);
    found.with_context(|| format!("{name} is not in the version"))
}
