//! What else is out there: names that need quotes, values that are large, many or without bytes, a destination that takes less
//! than the source, and a node whose cache of prepared statements is full. One node, started again with less between the two.

mod data;

use std::{convert::Infallible, fs, os::unix::fs::PermissionsExt, time::Duration};

use anyhow::{Context, Result, bail, ensure};
use futures::future::{join_all, try_join_all};
use scylla::{
    client::session::Session,
    errors::{DbError, ExecutionError, RequestAttemptError},
};
use serde_json::Value;
use tidemark_integration::{
    cassandra::{Cluster, ClusterSpec},
    cql, paths,
    system::{self, Restore, System},
    wait::{self, Look},
};
use tidemark_web::api::Quality;

/// Loopback network of this test.
const GROUP: u8 = 150;
/// The role that restores, without the rights of a superuser: guardrails are not for those.
const RESTORER: (&str, &str) = ("restorer", "linden-3141");
/// What the node allows after it was started again, less than before.
const LESS: [(&str, &str); 4] = [
    ("max_mutation_size", "1024KiB"),
    ("column_value_size_fail_threshold", "900KiB"),
    ("columns_per_table_fail_threshold", "30"),
    ("prepared_statements_cache_size", "1MiB"),
];

#[tokio::test(flavor = "multi_thread")]
async fn odd_names_and_values_come_back_and_what_cannot_is_named() -> Result<()> {
    if !paths::cassandra_or_skip("odd_names_and_values_come_back_and_what_cannot_is_named") {
        return Ok(());
    }
    let spec = ClusterSpec::new("rough", GROUP, 1).with_passwords().with_setting("commitlog_segment_size", "4MiB");
    let login = spec.login.clone();
    let mut cluster = Cluster::start(spec).await?;
    let session = cql::connect_without_schema(&cluster.contact_points(), login.as_ref()).await?;
    data::fill(&session).await?;
    let role = format!("CREATE ROLE {} WITH PASSWORD = '{}' AND LOGIN = true", RESTORER.0, RESTORER.1);
    cql::run(&session, &[role]).await?;
    let rights = ["ALL ON ALL KEYSPACES", "SELECT ON KEYSPACE system_views"];
    cql::run(&session, &rights.map(|right| format!("GRANT {right} TO {}", RESTORER.0))).await?;
    let system = System::start(GROUP).await?;
    let login = login.context("no login")?;
    add_source(&system, &cluster, "source", (&login.role, &login.password)).await?;
    add_source(&system, &cluster, "destination", RESTORER).await?;
    let version = system.protect("source", "Odd/*", "odd", &["--write-level", "one"]).await?;
    ensure!(version.version.quality == Quality::Cut, "{version:?}");

    drop(session);
    LESS.iter().for_each(|(name, value)| cluster.set(name, value));
    cluster.stop(0).await?;
    cluster.restart(0).await?;
    let session = cql::connect_without_schema(&cluster.contact_points(), Some(&login)).await?;
    let id = version.version.id.as_str();
    what_can_be_restored_is_and_the_rest_is_named(&system, &session, id).await?;
    nothing_but_refusals_is_a_failure(&system, id).await?;
    strict_ends_at_the_first_refusal(&system, id).await?;
    a_full_cache_of_statements_is_no_obstacle(&system, &session).await
}

async fn add_source(system: &System, cluster: &Cluster, name: &str, (role, password): (&str, &str)) -> Result<()> {
    let file = system.scratch(&format!("{name}.credentials"));
    fs::write(&file, format!("username={role}\npassword={password}\n"))?;
    fs::set_permissions(&file, fs::Permissions::from_mode(0o600))?;
    let mut specification = system::specification(cluster);
    specification["credentials"] = format!("file:{}", file.display()).into();
    system.add_source_as(name, &specification).await.map(drop)
}

async fn what_can_be_restored_is_and_the_rest_is_named(system: &System, session: &Session, id: &str) -> Result<()> {
    let restore =
        Restore { version: id, to: "destination", from: "Odd", into: "Copy", replication_factor: 1, more: &[] };
    let arguments = restore.arguments();
    let outcome = system.cli.outcome(&arguments.iter().map(String::as_str).collect::<Vec<_>>()).await?;
    ensure!(outcome.code == 3, "not a success with warnings: {outcome:?}");
    let report = outcome.operation()?.result.context("no report")?;
    ensure!(report["rows_refused"] == 2 && report["objects_refused"] == 1, "{report}");
    let refused: Vec<(&str, &str, &str)> = report["refused"].as_array().context("no list")?.iter().map(named).collect();
    for (object, key, words) in data::REFUSED {
        let found = refused.iter().any(|(o, k, why)| (*o, *k) == (object, key) && why.contains(words));
        ensure!(found, "{object} {key} with {words:?} is not among {refused:?}");
    }
    ensure!(refused.len() == data::REFUSED.len(), "{refused:?}");
    data::whole_tables_are_as_they_were(session, "\"Odd\"", "\"Copy\"").await?;
    data::all_but_the_refused_are_there(session, "\"Copy\"").await
}

/// Object, key and reason of a refusal.
fn named(refused: &Value) -> (&str, &str, &str) {
    let text = |name: &str| refused[name].as_str().unwrap_or_default();
    (text("object"), text("key"), text("reason"))
}

/// A table of which nothing can be made or written is no success.
async fn nothing_but_refusals_is_a_failure(system: &System, id: &str) -> Result<()> {
    let more: &[&str] = &["--only", "Odd/columns"];
    let restore = Restore { version: id, to: "destination", from: "Odd", into: "None", replication_factor: 1, more };
    let arguments = restore.arguments();
    let outcome = system.cli.outcome(&arguments.iter().map(String::as_str).collect::<Vec<_>>()).await?;
    let detail = outcome.answer["error"]["detail"].as_str().unwrap_or_default();
    ensure!(outcome.code == 1 && detail.contains("nothing could be written"), "{outcome:?}");
    Ok(())
}

/// As a user asks for it who would rather have nothing than a part.
async fn strict_ends_at_the_first_refusal(system: &System, id: &str) -> Result<()> {
    let more: &[&str] = &["--only", "Odd/big", "--strict"];
    let restore = Restore { version: id, to: "destination", from: "Odd", into: "Strict", replication_factor: 1, more };
    let arguments = restore.arguments();
    let outcome = system.cli.outcome(&arguments.iter().map(String::as_str).collect::<Vec<_>>()).await?;
    let detail = outcome.answer["error"]["detail"].as_str().unwrap_or_default();
    ensure!(outcome.code == 1 && (detail.contains("1536000") || detail.contains("column_value_size")), "{outcome:?}");
    Ok(())
}

/// Others keep the node's cache full of statements that are used all the time, and prepare new ones: what was just prepared is
/// gone before it is executed.
async fn a_full_cache_of_statements_is_no_obstacle(system: &System, session: &Session) -> Result<()> {
    for n in 0..data::HOT_STATEMENTS {
        let statement = session.prepare(format!("SELECT v AS f{n} FROM \"Odd\".hot WHERE pk = ?")).await?;
        for _ in 0..data::HOT_USES {
            session.execute_unpaged(&statement, (1,)).await?;
        }
    }
    let preparers = (0..data::PREPARERS).map(|preparer| prepare_on(session, preparer));
    let checks = async {
        a_prepared_statement_is_evicted(session).await?;
        system.cli.outcome(&["source", "test", "source"]).await
    };
    let checks = tokio::select! {
        ended = try_join_all(preparers) => bail!("statements are prepared no more: {ended:?}"),
        checks = checks => checks?,
    };
    let failed: Vec<&Value> =
        checks.answer["lines"].as_array().context("no lines")?.iter().filter(|line| line["status"] == "fail").collect();
    ensure!(failed.is_empty() && checks.code == 0, "{failed:?} of {checks:?}");
    Ok(())
}

/// Prepares one new statement after the other.
async fn prepare_on(session: &Session, preparer: usize) -> Result<Infallible> {
    for n in 0_u64.. {
        session.prepare(format!("SELECT v AS n{preparer}_{n} FROM \"Odd\".hot WHERE pk = ?")).await?;
    }
    bail!("all numbers were used")
}

/// Who prepares what nobody else uses is told sooner or later that it is not there: else the recipe shows nothing.
async fn a_prepared_statement_is_evicted(session: &Session) -> Result<()> {
    let mut names = 0_u64..;
    wait::until("an evicted statement", Duration::from_secs(60), async || {
        let asked = names.by_ref().take(data::ASKED).map(|n| {
            let query = format!("SELECT replication AS r{n} FROM system_schema.keyspaces WHERE keyspace_name = ?");
            async move { session.query_unpaged(query, ("Odd",)).await }
        });
        let answers = join_all(asked).await;
        let evicted = answers.iter().any(|answer| answer.as_ref().is_err_and(is_evicted));
        Ok(Look::when(evicted, || format!("{} were executed", answers.len())))
    })
    .await
}

fn is_evicted(error: &ExecutionError) -> bool {
    use RequestAttemptError::DbError as Answer;
    matches!(error, ExecutionError::LastAttemptError(Answer(DbError::Unprepared { .. }, _)))
}
