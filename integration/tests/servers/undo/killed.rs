//! An undo whose daemon is killed, from the command line.

use anyhow::{Result, ensure};
use scylla::client::session::Session;
use tidemark_integration::{cassandra::Cluster, compare, cql, system::System};
use tidemark_web::api::OperationState;

use super::{run_all, without_times};

/// Rows, each with a list.
const ROWS: i32 = 6_000;

pub(super) async fn an_undo_goes_on_after_the_daemon_is_killed(
    system: &mut System,
    cluster: &Cluster,
    session: &Session,
) -> Result<()> {
    let _ = cluster;
    let create = [
        "CREATE KEYSPACE killed WITH replication = {'class': 'SimpleStrategy', 'replication_factor': 3}",
        "CREATE TABLE killed.t (pk int, ck int, v text, l list<int>, PRIMARY KEY (pk, ck))",
    ];
    cql::run(session, &create.map(str::to_owned)).await?;
    let row = |n: i32| {
        format!("INSERT INTO killed.t (pk, ck, v, l) VALUES ({}, {}, 'row {n}', [{n}, 1, {n}])", n / 20, n % 20)
    };
    run_all(session, (0..ROWS).map(row).collect()).await?;
    let before = compare::read(session, "killed", "t").await?;
    let version = system.protect("source", "killed/*", "killed", &["--write-level", "all"]).await?;
    let wrong = |n: i32| match n % 2 {
        0 => format!("DELETE FROM killed.t WHERE pk = {}", n / 2),
        _ => format!("UPDATE killed.t SET l = l + [7], v = 'wrong' WHERE pk = {} AND ck = 3", n / 2 + 150),
    };
    run_all(session, (0..300).map(wrong).collect()).await?;
    let undo = [
        "restore",
        "run",
        "--version",
        &version.version.id,
        "--to",
        "source",
        "--if-exists",
        "undo",
        "--confirm-target",
        "killed/t",
        "--remove",
        "--wait",
    ];
    system.crash_at("mid-undo", &undo.map(str::to_owned)).await?;
    let operation = system.newest_done_of(&["restore"]).await?;
    println!("{operation:?}");
    ensure!(operation.state == OperationState::Succeeded, "{operation:?}");
    let after = compare::read(session, "killed", "t").await?;
    without_times(&before).expect("the table whose undo was killed", &without_times(&after))
}
