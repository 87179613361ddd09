//! What came with 5.0 and goes to 4.0: what rows need is refused before anything is made, the rest is left out by name.

use std::collections::BTreeSet;

use anyhow::{Context, Result, ensure};
use scylla::client::session::Session;
use tidemark_integration::{
    cassandra::Cluster,
    compare, cql,
    system::{Restore, System},
};

use super::protect;

/// A keyspace that 5.0 alone can hold, but for the table `plain` without its index, masks and compaction.
const SCHEMA: [&str; 6] = [
    "CREATE KEYSPACE novel WITH replication = {'class': 'SimpleStrategy', 'replication_factor': 1}",
    "CREATE TYPE novel.place (name text, at vector<float, 2>)",
    "CREATE TABLE novel.vectors (k int PRIMARY KEY, v vector<float, 3>)",
    "CREATE TABLE novel.places (k int PRIMARY KEY, p frozen<map<text, frozen<place>>>)",
    "CREATE TABLE novel.plain (k int PRIMARY KEY, secret text MASKED WITH mask_inner(1, 1), n int) \
     WITH compaction = {'class': 'UnifiedCompactionStrategy'} AND incremental_backups = false",
    "CREATE INDEX plain_n ON novel.plain (n) USING 'sai'",
];

/// What is said of the mask.
const MASK: &str = "column secret is not masked";

/// Protects such a keyspace of `new` and restores it to `old`, as far as it goes; returns the version's id.
pub(super) async fn hold(system: &System, new: &Session, old: &Cluster) -> Result<String> {
    cql::run(new, &SCHEMA.map(str::to_owned)).await?;
    let insert = new.prepare("INSERT INTO novel.plain (k, secret, n) VALUES (?, ?, ?)").await?;
    for k in 0..100_i32 {
        new.execute_unpaged(&insert, (k, format!("secret {k}"), k % 7)).await?;
    }
    let version = protect(system, "new", &["novel/*"]).await?.version.id;
    let all = Restore { version: &version, to: "old", from: "novel", into: "novel", replication_factor: 1, more: &[] };
    expect_refused(system, &all, &["novel/vectors", "novel/places", "does not know"]).await?;
    let session = cql::connect(&old.contact_points()).await?;
    ensure!(!keyspaces(&session).await?.contains("novel"), "a refused restore has made its keyspace");

    let plain = Restore { more: &["--only", "novel/plain"], ..all };
    let left = [MASK, "UnifiedCompactionStrategy", "incremental_backups", "storage-attached"];
    restore_with_warnings(system, &plain, &left, new, &session).await?;
    println!("what 4.0 cannot hold: refused or named");
    Ok(version)
}

/// Restores its rows to `new` again, which allows no masks any more: nothing else is left out.
pub(super) async fn without_masks(system: &System, version: &str, new: &mut Cluster) -> Result<()> {
    new.set("dynamic_data_masking_enabled", "false");
    new.stop(0).await?;
    new.restart(0).await?;
    let session = cql::connect(&new.contact_points()).await?;
    let more = ["--only", "novel/plain"];
    let plain = Restore { version, to: "new", from: "novel", into: "unmasked", replication_factor: 1, more: &more };
    restore_with_warnings(system, &plain, &[MASK], &session, &session).await
}

/// Restores `novel.plain`; its plan warns of each of these and of nothing else that a release lacks.
async fn restore_with_warnings(
    system: &System,
    plain: &Restore<'_>,
    left: &[&str],
    new: &Session,
    there: &Session,
) -> Result<()> {
    let plan = system.plan(plain).await?;
    let checks = plan["checks"].as_array().context("no checks")?;
    let warned = checks.iter().filter(|check| check["name"] == "release" && check["status"] == "warn");
    let warned: Vec<&str> = warned.filter_map(|check| check["detail"].as_str()).collect();
    let silent = left.iter().find(|word| warned.iter().filter(|detail| detail.contains(**word)).count() != 1);
    ensure!(silent.is_none() && warned.len() == left.len(), "not one word of {silent:?} alone: {plan}");
    system.restore(plain).await?;
    let written = compare::read(new, "novel", "plain").await?;
    ensure!(written.row_count() == 100, "{} rows in novel.plain", written.row_count());
    written.expect("novel.plain", &compare::read(there, plain.into, "plain").await?)
}

/// The restore is refused by its plan, with these words.
pub(super) async fn expect_refused(system: &System, restore: &Restore<'_>, words: &[&str]) -> Result<()> {
    let arguments = restore.arguments();
    let outcome = system.cli.outcome(&arguments.iter().map(String::as_str).collect::<Vec<_>>()).await?;
    let said = format!("{} {}", outcome.answer, outcome.said);
    ensure!(!matches!(outcome.code, 0 | 3), "{} was restored to {}: {outcome:?}", restore.from, restore.to);
    let silent = words.iter().chain(&["TM-REST-0001"]).find(|word| !said.contains(**word));
    ensure!(silent.is_none(), "not a word of {silent:?}: {outcome:?}");
    Ok(())
}

async fn keyspaces(session: &Session) -> Result<BTreeSet<String>> {
    let found = session.query_unpaged("SELECT keyspace_name FROM system_schema.keyspaces", ()).await?;
    let found = found.into_rows_result()?;
    let names = found.rows::<(String,)>()?.map(|row| row.map(|(name,)| name));
    Ok(names.collect::<Result<_, _>>()?)
}
