//! Rows that are not what a restore wrote when it reads them back.
//!
//! Someone else deletes with a later time than any of the version while the restore is held between its writes and the look
//! at them.

use anyhow::{Result, ensure};
use scylla::client::session::Session;
use tidemark_integration::{
    cql,
    system::{Restore, System},
};

/// Exit code of a verification that failed.
const VERIFICATION: i32 = 9;
/// A write time that no row of the version has, µs: the year 2100.
const LATER: i64 = 4_102_444_800_000_000;

/// Restores into a keyspace where a cell, and into another where a row, is deleted for all times before it is looked at.
pub(crate) async fn other_rows_than_were_written_fail_the_restore(
    system: &mut System,
    session: &Session,
    version: &str,
) -> Result<()> {
    for (keyspace, what) in [("changed", "DELETE v"), ("deleted", "DELETE")] {
        let more: &[&str] = &["--only", "ks/sound"];
        let restore = Restore { version, to: "hurt", from: "ks", into: keyspace, replication_factor: 3, more };
        let held = system.hold_at("before-verify", &[], &restore.arguments()).await?;
        let delete = format!("{what} FROM {keyspace}.sound USING TIMESTAMP {LATER} WHERE pk = 7");
        cql::run(session, &[delete]).await?;
        held.let_go()?;
        let outcome = held.outcome().await?;
        let said = format!("{} {}", outcome.answer, outcome.said);
        println!("{keyspace}: {said}");
        ensure!(outcome.code == VERIFICATION, "{keyspace}: exit {}: {said}", outcome.code);
        let named = said.contains("TM-REST-0601") && said.contains(keyspace) && said.contains("00000007");
        ensure!(named, "{keyspace}: the row is not named: {said}");
    }
    Ok(())
}
