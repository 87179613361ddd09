//! A cluster that asks for passwords, and what CQL cannot make again: roles with few rights protect and restore, a wrong password
//! is named without being told, views are left out, a column of a Java type is captured and refused by a restore.

use std::{
    fs,
    os::unix::fs::{FileTypeExt, PermissionsExt},
    path::Path,
};

use anyhow::{Context, Result, ensure};
use scylla::client::session::Session;
use serde_json::Value;
use tidemark_integration::{
    cassandra::{Cluster, ClusterSpec, Login},
    compare, cql,
    daemon::cli::Outcome,
    paths,
    system::{self, Restore, System},
};
use tidemark_web::api::{Quality, VersionDetail};

/// Loopback network of this test.
const GROUP: u8 = 93;
/// Password of the role that protects, one that is nobody's, and one of the role that restores.
const SECRETS: [&str; 3] = ["kestrel-4711-amber", "not-kestrel-0815", "juniper-2342-dune"];
/// Rows of each table.
const ROWS: usize = 60;

#[tokio::test(flavor = "multi_thread")]
async fn passwords_rights_views_and_java_types_are_dealt_with_by_name() -> Result<()> {
    if !paths::cassandra_or_skip("passwords_rights_views_and_java_types_are_dealt_with_by_name") {
        return Ok(());
    }
    let spec = ClusterSpec::new("access", GROUP, 1).with_passwords().with_setting("materialized_views_enabled", "true");
    let login = spec.login.clone();
    let cluster = Cluster::start(spec).await?;
    let admin = cql::connect_as(&cluster.contact_points(), login.as_ref()).await?;
    create_and_fill(&admin).await?;
    let system = System::start(GROUP).await?;
    let sources = [("good", SECRETS[0]), ("wrong", SECRETS[1]), ("destination", SECRETS[2])];
    for (name, password) in sources {
        let role = if name == "destination" { "restorer" } else { "keeper" };
        add_source(&system, &cluster, name, role, password).await?;
    }
    system.add_source("nobody", &cluster).await?;

    let version = protect_and_restore(&system, &cluster, &admin).await?;
    for source in ["wrong", "nobody"] {
        who_is_not_let_in_is_told(&system, source).await?;
    }
    rights_that_are_missing_are_named(&system, &version.version.id).await?;
    let admin = cql::connect_without_schema(&cluster.contact_points(), login.as_ref()).await?;
    java_types_are_captured_and_not_restored(&system, &admin).await?;
    no_secret_is_told(&system)
}

/// A table with a view, and roles with no more rights than they need.
async fn create_and_fill(admin: &Session) -> Result<()> {
    let once = "replication = {'class': 'SimpleStrategy', 'replication_factor': 1}";
    let statements = [
        format!("CREATE KEYSPACE ks WITH {once}"),
        "CREATE TABLE ks.base (pk int PRIMARY KEY, v int, t text)".to_owned(),
        "CREATE MATERIALIZED VIEW ks.by_v AS SELECT * FROM ks.base WHERE v IS NOT NULL AND pk IS NOT NULL \
         PRIMARY KEY (v, pk)"
            .to_owned(),
        format!("CREATE ROLE keeper WITH PASSWORD = '{}' AND LOGIN = true", SECRETS[0]),
        format!("CREATE ROLE restorer WITH PASSWORD = '{}' AND LOGIN = true", SECRETS[2]),
        "GRANT SELECT ON KEYSPACE system_views TO keeper".to_owned(),
        "GRANT SELECT ON KEYSPACE system_views TO restorer".to_owned(),
        "GRANT SELECT ON system.\"IndexInfo\" TO restorer".to_owned(),
        "GRANT SELECT ON system.built_views TO restorer".to_owned(),
        "GRANT CREATE ON ALL KEYSPACES TO restorer".to_owned(),
    ];
    cql::run(admin, &statements).await?;
    let insert = admin.prepare("INSERT INTO ks.base (pk, v, t) VALUES (?, ?, ?)").await?;
    for number in 0..ROWS as i32 {
        admin.execute_unpaged(&insert, (number, number % 7, format!("row {number}"))).await?;
    }
    Ok(())
}

async fn add_source(system: &System, cluster: &Cluster, name: &str, role: &str, password: &str) -> Result<()> {
    let file = system.scratch(&format!("{name}.credentials"));
    fs::write(&file, format!("username={role}\npassword={password}\n"))?;
    fs::set_permissions(&file, fs::Permissions::from_mode(0o600))?;
    let mut specification = system::specification(cluster);
    specification["credentials"] = format!("file:{}", file.display()).into();
    system.add_source_as(name, &specification).await.map(drop)
}

async fn protect_and_restore(system: &System, cluster: &Cluster, admin: &Session) -> Result<VersionDetail> {
    let checks = system.cli.outcome(&["source", "test", "good"]).await?;
    ensure!(checks.code == 0, "preflight with the right password: {checks:?}");
    let version = system.protect("good", "ks/*", "access", &["--write-level", "one"]).await?;
    let objects: Vec<&str> = version.contents.iter().map(|object| object.object.as_str()).collect();
    ensure!(objects == ["ks/base"], "not the base table alone: {objects:?}");
    ensure!(version.version.totals.rows as usize == ROWS, "{:?}", version.version.totals);

    let id = version.version.id.as_str();
    let copy = Restore { version: id, to: "destination", from: "ks", into: "copy", replication_factor: 1, more: &[] };
    system.restore(&copy).await?;
    let expected = compare::read(admin, "ks", "base").await?;
    expected.expect("the restored table", &compare::read(admin, "copy", "base").await?)?;
    let login = Login { role: "restorer".to_owned(), password: SECRETS[2].to_owned() };
    let own = cql::connect_as(&cluster.contact_points(), Some(&login)).await?;
    expected.expect("as its restorer sees it", &compare::read(&own, "copy", "base").await?)?;
    Ok(version)
}

/// A wrong password, or none: the preflight and the task fail with the server's reason and a hint, and nothing is stored.
async fn who_is_not_let_in_is_told(system: &System, source: &str) -> Result<()> {
    let checks = system.cli.outcome(&["source", "test", source]).await?;
    let lines = checks.answer["lines"].as_array().context("no lines")?;
    let connect = lines.iter().find(|line| line["name"] == "connect").context("no line about connecting")?;
    ensure!(checks.code == 1 && connect["status"] == "fail", "preflight of {source}: {checks:?}");
    ensure!(is_about_credentials(&connect["detail"]) && mentions(&connect["hint"], "credentials"), "{connect}");

    let own = ["protect", source, "--object", "ks/*", "--to", system::STORE, "--policy", source, "--wait"];
    let outcome = system.cli.outcome(&[&own[..], &["--write-level", "one"]].concat()).await?;
    let error = &outcome.answer["error"];
    ensure!(outcome.code == 1 && is_about_credentials(&error["detail"]), "protect of {source}: {outcome:?}");
    ensure!(mentions(&error["hint"], "credentials"), "no hint: {outcome:?}");
    Ok(())
}

/// The words of Cassandra, or those of the driver where no credentials are given.
fn is_about_credentials(text: &Value) -> bool {
    mentions(text, "and/or password are incorrect") || mentions(text, "Authentication is required")
}

fn mentions(text: &Value, words: &str) -> bool {
    text.as_str().is_some_and(|text| text.contains(words))
}

/// The role that protects may not create.
async fn rights_that_are_missing_are_named(system: &System, version: &str) -> Result<()> {
    let more: &[&str] = &[];
    let denied = Restore { version, to: "good", from: "ks", into: "denied", replication_factor: 1, more };
    let outcome = outcome(system, &denied.arguments()).await?;
    ensure!(
        outcome.code == 1 && mentions(&outcome.answer["error"]["detail"], "has no CREATE permission"),
        "{outcome:?}"
    );
    Ok(())
}

async fn java_types_are_captured_and_not_restored(system: &System, admin: &Session) -> Result<()> {
    let java = "org.apache.cassandra.db.marshal";
    let statements = [
        "CREATE KEYSPACE odd WITH replication = {'class': 'SimpleStrategy', 'replication_factor': 1}".to_owned(),
        format!(
            "CREATE TABLE odd.custom (pk int PRIMARY KEY, v '{java}.DynamicCompositeType(s=>{java}.UTF8Type,\
             i=>{java}.Int32Type)')"
        ),
    ];
    cql::run(admin, &statements).await?;
    let rows = (0..ROWS).map(|n| format!("INSERT INTO odd.custom (pk, v) VALUES ({n}, 's@text{n}:i@{n}')"));
    cql::run(admin, &rows.collect::<Vec<_>>()).await?;
    let version = system.protect("good", "odd/*", "odd", &["--write-level", "one"]).await?;
    ensure!(version.version.quality == Quality::Cut && version.version.totals.rows as usize == ROWS, "{version:?}");

    let id = version.version.id.as_str();
    let restore =
        Restore { version: id, to: "destination", from: "odd", into: "even", replication_factor: 1, more: &[] };
    let outcome = outcome(system, &restore.arguments()).await?;
    ensure!(!matches!(outcome.code, 0 | 3), "a Java type was restored by CQL: {outcome:?}");
    let said = format!("{} {}", outcome.answer, outcome.said);
    ensure!(said.contains("odd/custom") && said.contains("DynamicCompositeType"), "not named: {said}");
    Ok(())
}

async fn outcome(system: &System, arguments: &[String]) -> Result<Outcome> {
    system.cli.outcome(&arguments.iter().map(String::as_str).collect::<Vec<_>>()).await
}

/// Neither in logs, nor in the store or the daemon's state, nor in the command line of any process.
fn no_secret_is_told(system: &System) -> Result<()> {
    let log = system.daemon.log();
    ensure!(log.contains("ks/*") || !log.is_empty(), "the daemon logged nothing");
    for secret in SECRETS {
        ensure!(!log.contains(secret), "the log holds a password:\n{log}");
        for dir in [system.store_dir(), system.daemon.state_dir()] {
            let found = file_with(&dir, secret.as_bytes())?;
            ensure!(found.is_none(), "a password is in {found:?}");
        }
        for process in fs::read_dir("/proc")? {
            // Processes come and go; those of this test stay.
            let line = fs::read(process?.path().join("cmdline")).unwrap_or_default();
            ensure!(!contains(&line, secret.as_bytes()), "a password is in {:?}", String::from_utf8_lossy(&line));
        }
    }
    Ok(())
}

fn file_with(dir: &Path, secret: &[u8]) -> Result<Option<std::path::PathBuf>> {
    for file in fs::read_dir(dir)? {
        let path = file?.path();
        let found = match fs::symlink_metadata(&path)?.file_type() {
            kind if kind.is_dir() => file_with(&path, secret)?,
            kind if kind.is_socket() => None,
            _ => contains(&fs::read(&path)?, secret).then_some(path),
        };
        if found.is_some() {
            return Ok(found);
        }
    }
    Ok(None)
}

fn contains(bytes: &[u8], part: &[u8]) -> bool {
    bytes.windows(part.len()).any(|window| window == part)
}
