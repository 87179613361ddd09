//! The three nodes are upgraded one by one, written to and protected on the way.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
};

use anyhow::{Context, Result, ensure};
use scylla::client::session::Session;
use tidemark_integration::{
    cassandra::Node,
    compare::{self, TableImage},
    journal::lagging::KEYSPACE,
    system::{Restore, System},
};
use tidemark_web::api::{CheckStatus, Checklist};

use super::{protect, source::Source};

/// Kinds of SSTables that each table has in the end, by node: version, format, and whether the id is a number or a UUID. The
/// second node has been given UUIDs and its default mode, the third one the mode that writes `oa` too.
const KINDS: [&[&str]; 3] = [&["nb-number-big"], &["nb-number-big", "nb-uuid-big"], &["nb-number-big", "oa-uuid-big"]];

/// One node of 5.0 among two of 4.1, then all of 5.0 in different modes: each state is protected, restored to 5.0 and compared.
/// What was restored to 4.1 before must have come through the upgrade.
pub(super) async fn in_steps(system: &System, three: &mut Source<'_>, new: &Session) -> Result<()> {
    let copies = copies(three, new).await?;
    three.upgrade(0).await?;
    three.write(40).await?;
    preflight_passes(system).await?;
    let version = protected(system, three, new, "mixed").await?;
    no_destination(system, &version, &["nodes of several releases: 4.1.10, 5.0.9"]).await?;

    three.cluster.set("uuid_sstable_identifiers_enabled", "true");
    three.upgrade(1).await?;
    three.cluster.set("storage_compatibility_mode", "UPGRADING");
    three.upgrade(2).await?;
    three.write(40).await?;
    three.cluster.nodetool_everywhere(&["flush", KEYSPACE])?;
    for (node, expected) in three.cluster.nodes().iter().zip(KINDS) {
        expect_kinds(node, &copies, expected)?;
    }
    let version = protected(system, three, new, "upgraded").await?;
    no_destination(system, &version, &["several storage compatibility modes", "CASSANDRA_4 (", "UPGRADING ("]).await?;
    three.expect_restored(&three.session, KEYSPACE).await?;
    for (table, copy) in &copies {
        copy.expect(&format!("again.{table}"), &compare::read(&three.session, "again", table).await?)?;
    }
    Ok(())
}

/// What the version of before the upgrade holds, as 5.0 shows it.
async fn copies(three: &Source<'_>, new: &Session) -> Result<BTreeMap<&'static str, TableImage>> {
    let mut copies = BTreeMap::new();
    for table in three.journal.tables() {
        copies.insert(table, compare::read(new, "copy", table).await?);
    }
    Ok(copies)
}

/// Protects the nodes as they are, restores to 5.0 and compares; returns the version's id.
async fn protected(system: &System, three: &Source<'_>, new: &Session, into: &str) -> Result<String> {
    let version = protect(system, "three", &["ks/*"]).await?.version.id;
    system
        .restore(&Restore { version: &version, to: "new", from: KEYSPACE, into, replication_factor: 1, more: &[] })
        .await?;
    three.expect_restored(new, into).await?;
    println!("{into} to 5.0: equal");
    Ok(version)
}

/// Nodes of two releases never have one version of the schema, which is no reason to warn.
async fn preflight_passes(system: &System) -> Result<()> {
    let checked: Checklist = system.cli.json(&["source", "test", "three"]).await?;
    let lines: Vec<_> =
        checked.lines.iter().filter(|l| ["version", "schema-agreement"].contains(&l.name.as_str())).collect();
    // One of the cluster and one of each node.
    ensure!(lines.len() == 8 && lines.iter().all(|line| line.status == CheckStatus::Ok), "{lines:?}");
    ensure!(lines.iter().any(|line| line.detail == "4.1.10, 5.0.9"), "{lines:?}");
    Ok(())
}

/// A cluster that is being upgraded is not restored to; these words say why.
async fn no_destination(system: &System, version: &str, words: &[&str]) -> Result<()> {
    let restore = Restore { version, to: "three", from: KEYSPACE, into: "refused", replication_factor: 3, more: &[] };
    super::limits::expect_refused(system, &restore, &[&["version"], words].concat()).await
}

fn expect_kinds(node: &Node, tables: &BTreeMap<&'static str, TableImage>, expected: &[&str]) -> Result<()> {
    let mut found: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for directory in fs::read_dir(node.data_dir().join(KEYSPACE))? {
        let directory = directory?;
        let name = directory.file_name().to_string_lossy().into_owned();
        let kinds = found.entry(name.split('-').next().unwrap_or_default().to_owned()).or_default();
        for file in fs::read_dir(directory.path())? {
            kinds.extend(kind(&file?.file_name().to_string_lossy()));
        }
    }
    let expected: BTreeSet<String> = expected.iter().map(|kind| (*kind).to_owned()).collect();
    for table in tables.keys() {
        let kinds = found.get(*table).with_context(|| format!("{table} has no directory at {}", node.address))?;
        ensure!(*kinds == expected, "{table} at {}: {kinds:?}", node.address);
    }
    Ok(())
}

/// The kind of a data file, by its name.
fn kind(name: &str) -> Option<String> {
    let [version, id, format, "Data.db"] = name.split('-').collect::<Vec<_>>()[..] else { return None };
    let id = if id.parse::<u32>().is_ok() { "number" } else { "uuid" };
    Some(format!("{version}-{id}-{format}"))
}
