//! Rows that are not what a restore wrote when it reads them back.
//!
//! Someone else's deletion with a later time than any of the version waits at the destination: the table is empty, takes the
//! restored rows, and shows other ones.

use anyhow::{Result, ensure};
use scylla::client::session::Session;
use tidemark_integration::{
    compare, cql,
    system::{Restore, System},
};

/// Exit code of a verification that failed.
const VERIFICATION: i32 = 9;
/// A write time that no row of the version has, µs: the year 2100.
const LATER: i64 = 4_102_444_800_000_000;

/// Restores into a keyspace where a cell, and into another where a row, is deleted for all times.
pub(crate) async fn other_rows_than_were_written_fail_the_restore(
    system: &System,
    session: &Session,
    version: &str,
) -> Result<()> {
    for (keyspace, what) in [("changed", "DELETE v"), ("deleted", "DELETE")] {
        let statements = [
            format!(
                "CREATE KEYSPACE {keyspace} WITH replication = {{'class': 'SimpleStrategy', 'replication_factor': 3}}"
            ),
            format!("CREATE TABLE {keyspace}.sound (pk int PRIMARY KEY, v text)"),
            format!("{what} FROM {keyspace}.sound USING TIMESTAMP {LATER} WHERE pk = 7"),
        ];
        cql::run(session, &statements).await?;
        ensure!(compare::read(session, keyspace, "sound").await?.row_count() == 0, "{keyspace} is not empty");
        let restore = Restore { version, to: "hurt", from: "ks", into: keyspace, replication_factor: 3, more: &[] };
        let arguments = restore.arguments();
        let outcome = system.cli.outcome(&arguments.iter().map(String::as_str).collect::<Vec<_>>()).await?;
        let said = format!("{} {}", outcome.answer, outcome.said);
        println!("{keyspace}: {said}");
        ensure!(outcome.code == VERIFICATION, "{keyspace}: exit {}: {said}", outcome.code);
        let named = said.contains("TM-REST-0601") && said.contains(keyspace) && said.contains("00000007");
        ensure!(named, "{keyspace}: the row is not named: {said}");
    }
    Ok(())
}
