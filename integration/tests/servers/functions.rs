//! User-defined functions and aggregates come back before what uses them, where the destination allows them; triggers and roles
//! are said not to be part of a version.

use std::path::Path;

use anyhow::{Context, Result, ensure};
use scylla::client::session::Session;
use serde_json::Value;
use tidemark_integration::{
    cassandra::{Cluster, ClusterSpec},
    compare, cql, paths,
    system::{Restore, System},
};

/// Loopback networks of this test.
const ALLOWS: u8 = 128;
const FORBIDS: u8 = 129;
/// Rows of the table.
const ROWS: i32 = 100;

#[tokio::test(flavor = "multi_thread")]
async fn functions_come_back_where_they_are_allowed_and_are_named_where_not() -> Result<()> {
    if !paths::cassandra_or_skip("functions_come_back_where_they_are_allowed_and_are_named_where_not") {
        return Ok(());
    }
    let masked = |name, group| ClusterSpec::new(name, group, 1).with_setting("dynamic_data_masking_enabled", "true");
    let cluster = Cluster::start(masked("functions", ALLOWS).with_setting("user_defined_functions_enabled", "true"));
    let cluster = cluster.await?;
    let session = cql::connect(&cluster.contact_points()).await?;
    cluster.install_trigger(&Path::new(env!("CARGO_MANIFEST_DIR")).join("cassandra/Silent.java"))?;
    fill(&session).await?;
    let system = System::start(ALLOWS).await?;
    system.add_source("source", &cluster).await?;
    let version = system.protect("source", "ks/*", "all", &["--write-level", "one"]).await?;
    // It looks at what policies protect.
    preflight_names_what_is_captured_and_what_is_not(&system).await?;
    let id = version.version.id.as_str();
    let allowed = Restore { version: id, to: "source", from: "ks", into: "copy", replication_factor: 1, more: &[] };
    let plan = system.plan(&allowed).await?;
    expect_warnings(&plan, &["trigger Quiet on t is not part of a version"])?;
    system.restore(&allowed).await?;
    expect_answers(&session, "copy").await?;
    ensure!(mask_of(&session, "copy").await? == ["copy.hide"], "another mask");

    let forbids = Cluster::start(masked("forbids", FORBIDS)).await?;
    system.add_source("forbids", &forbids).await?;
    let forbidden = Restore { to: "forbids", ..allowed };
    let words = ["function hide", "function \"Sum\"", "aggregate total", "trigger Quiet", "column v is not masked"];
    expect_warnings(&system.plan(&forbidden).await?, &words)?;
    system.restore(&forbidden).await?;
    let there = cql::connect(&forbids.contact_points()).await?;
    ensure!(mask_of(&there, "copy").await?.is_empty(), "a mask without its function");
    let expected = compare::read(&session, "ks", "t").await?;
    for session in [&session, &there] {
        expected.expect("copy.t", &compare::read(session, "copy", "t").await?)?;
    }
    Ok(())
}

async fn fill(session: &Session) -> Result<()> {
    let create = [
        "CREATE KEYSPACE ks WITH replication = {'class': 'SimpleStrategy', 'replication_factor': 1}",
        "CREATE TYPE ks.pair (a int, b int)",
        "CREATE FUNCTION ks.\"Sum\"(p pair) CALLED ON NULL INPUT RETURNS int LANGUAGE java AS \
         $$ /* it's \"ks.\"; */ return p == null ? 0 : p.getInt(\"a\") + p.getInt(\"b\"); $$",
        "CREATE FUNCTION ks.plus(s int, v int) CALLED ON NULL INPUT RETURNS int LANGUAGE java AS \
         $$ return s + (v == null ? 0 : v); $$",
        "CREATE AGGREGATE ks.total(int) SFUNC plus STYPE int INITCOND 0",
        "CREATE FUNCTION ks.hide(v text, w text) CALLED ON NULL INPUT RETURNS text LANGUAGE java AS $$ return w; $$",
        "CREATE TABLE ks.t (k int PRIMARY KEY, v text MASKED WITH ks.hide('-'), p frozen<pair>)",
        "CREATE TRIGGER \"Quiet\" ON ks.t USING 'Silent'",
    ];
    cql::run(session, &create.map(str::to_owned)).await?;
    for k in 0..ROWS {
        let insert = format!("INSERT INTO ks.t (k, v, p) VALUES ({k}, 'v {k}', {{a: {k}, b: 1}})");
        session.query_unpaged(insert, ()).await?;
    }
    Ok(())
}

async fn preflight_names_what_is_captured_and_what_is_not(system: &System) -> Result<()> {
    let outcome = system.cli.outcome(&["source", "test", "source"]).await?;
    let lines = outcome.answer["lines"].as_array().with_context(|| format!("{outcome:?}"))?;
    let said: Vec<String> =
        lines.iter().map(|line| format!("{} {} {}", line["status"], line["name"], line["detail"])).collect();
    for (start, word) in [
        ("\"ok\" \"functions\"", "ks/total"),
        ("\"warn\" \"triggers\"", "ks/Quiet"),
        ("\"ok\" \"roles\"", "not part of a version"),
    ] {
        ensure!(said.iter().any(|line| line.starts_with(start) && line.contains(word)), "{start} {word}: {said:#?}");
    }
    Ok(())
}

/// Fails unless a warning of the plan has each of these words.
fn expect_warnings(plan: &Value, words: &[&str]) -> Result<()> {
    let checks = plan["checks"].as_array().with_context(|| format!("{plan}"))?;
    let warnings: Vec<&str> =
        checks.iter().filter(|check| check["status"] == "warn").filter_map(|check| check["detail"].as_str()).collect();
    println!("{warnings:#?}");
    for word in words {
        ensure!(warnings.iter().any(|warning| warning.contains(word)), "no warning of {word:?}: {warnings:#?}");
    }
    Ok(())
}

/// The functions of the keyspace answer as they were written.
async fn expect_answers(session: &Session, keyspace: &str) -> Result<()> {
    let query = format!("SELECT {keyspace}.total(k), {keyspace}.total({keyspace}.\"Sum\"(p)) FROM {keyspace}.t");
    let found = session.query_unpaged(query, ()).await?.into_rows_result()?;
    let (keys, pairs) = found.single_row::<(i32, i32)>()?;
    let sum = (0..ROWS).sum::<i32>();
    ensure!((keys, pairs) == (sum, sum + ROWS), "{keys} and {pairs}");
    Ok(())
}

/// Functions of the masks of a keyspace's columns.
async fn mask_of(session: &Session, keyspace: &str) -> Result<Vec<String>> {
    let query = "SELECT function_keyspace, function_name FROM system_schema.column_masks WHERE keyspace_name = ?";
    let found = session.query_unpaged(query, (keyspace,)).await?.into_rows_result()?;
    found.rows::<(String, String)>()?.map(|row| Ok(row.map(|(keyspace, name)| format!("{keyspace}.{name}"))?)).collect()
}
