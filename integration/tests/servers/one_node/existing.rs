//! Targets that exist: refused without a choice, merged as newer data and deletions allow, restored beside under another name.

use std::collections::BTreeMap;

use anyhow::{Context, Result, ensure};
use scylla::client::session::Session;
use serde_json::Value;
use tidemark_integration::{cql, daemon::cli::Outcome, system::System};
use tidemark_web::api::Quality;

use super::Shared;

/// Rows of the table; of ten rows one is deleted after the version and one overwritten.
const ROWS: i32 = 400;
/// A tenth of them, and the eight tenths that nobody touches.
const TENTH: i64 = ROWS as i64 / 10;
const SAME: i64 = 8 * TENTH;
/// The list in each of its rows: one element stands in it twice.
const LIST: [&str; 3] = ["x", "y", "x"];

/// A target that exists is chosen for.
pub(super) async fn targets_that_exist_are_chosen_for(Shared { session, system, .. }: &Shared) -> Result<()> {
    fill(session).await?;
    let version = system.protect("source", "existing/*", "existing", &["--write-level", "all"]).await?.version.id;
    change(session).await?;

    let restoring = Restoring { system, version: &version };
    restoring.nothing_is_done_without_a_choice().await?;
    restoring.a_merge_yields_to_what_is_newer(session).await?;
    restoring.a_merge_into_an_emptied_table_says_what_it_cannot_know(session).await?;
    restoring.a_table_comes_back_under_another_name(session).await?;
    restoring.an_undo_is_counted_and_can_be_undone(session).await
}

/// Restores of one version into the cluster it is of.
struct Restoring<'a> {
    system: &'a System,
    version: &'a str,
}

impl Restoring<'_> {
    async fn run(&self, command: &str, more: &[&str]) -> Result<Outcome> {
        let own = ["restore", command, "--version", self.version, "--to", "source"];
        let wait: &[&str] = if command == "run" { &["--wait"] } else { &[] };
        self.system.cli.outcome(&[&own[..], wait, more].concat()).await
    }

    /// Undoes what was changed in one table, as counted before, and then the undo by its safety version.
    async fn an_undo_is_counted_and_can_be_undone(&self, session: &Session) -> Result<()> {
        let undo = ["--only", "existing/t", "--if-exists", "undo"];
        let counted = self.run("plan", &[&undo[..], &["--count"]].concat()).await?.operation()?;
        let counted = counted.result.context("no counts")?;
        expect(&counted, &[("come_back", TENTH), ("change", TENTH), ("would_be_removed", 0), ("untouched", SAME)])?;
        expect(&counted, &[("rows_kept", 0), ("rows_newer", 0)])?;
        let changed = rows(session, "existing.t").await?;
        let typed = [&undo[..], &["--confirm-target", "existing/t"]].concat();
        let done = self.run("run", &typed).await?;
        let result = done.operation()?.result.context("no result")?;
        ensure!(done.code == 0, "{done:?}");
        expect(&result, &[("rows_written", 2 * TENTH), ("rows_untouched", SAME), ("differing_rows", 0)])?;
        expect(&result, &[("rows_kept", 0)])?;
        let whole: BTreeMap<i32, String> = (0..ROWS).map(|k| (k, before(k))).collect();
        ensure!(rows(session, "existing.t").await? == whole, "the undone table is not the version's");

        let safety = result["safety_version"].as_str().context("no safety version")?;
        let listed = self.system.versions().await?;
        ensure!(listed.iter().any(|v| v.id == safety && v.quality == Quality::Cut), "{safety} is not in {listed:?}");
        let back = Restoring { system: self.system, version: safety };
        let done = back.run("run", &[&typed[..], &["--remove"]].concat()).await?;
        ensure!(done.code == 0, "{done:?}");
        ensure!(rows(session, "existing.t").await? == changed, "the undo was not undone");
        Ok(())
    }

    async fn nothing_is_done_without_a_choice(&self) -> Result<()> {
        let refused = self.run("plan", &["--only", "existing/t"]).await?;
        let checks = refused.answer["checks"].to_string();
        let choices = ["--if-exists undo", "--if-exists merge", "--rename"];
        ensure!(refused.code == 6 && choices.iter().all(|choice| checks.contains(choice)), "{refused:?}");
        let untyped = self.run("run", &["--only", "existing/t", "--if-exists", "merge"]).await?;
        ensure!(untyped.code == 6 && untyped.said.contains("--confirm-target existing/t"), "{untyped:?}");
        Ok(())
    }

    /// One row in ten is deleted, one overwritten: neither is the version's again, and neither fails the restore. Merging once
    /// more changes nothing.
    async fn a_merge_yields_to_what_is_newer(&self, session: &Session) -> Result<()> {
        let merge = ["--only", "existing/t", "--if-exists", "merge", "--confirm-target", "existing/t"];
        let planned = self.run("plan", &merge).await?;
        ensure!(planned.answer["checks"].to_string().contains("lists are merged as wholes"), "{planned:?}");
        for _ in 0..2 {
            self.merged(session, &merge).await?;
        }
        Ok(())
    }

    async fn merged(&self, session: &Session, merge: &[&str]) -> Result<()> {
        let done = self.run("run", merge).await?;
        let result = done.operation()?.result.context("no result")?;
        ensure!(done.code == 3, "a row that is not there is a warning: {done:?}");
        expect(&result, &[("rows_hidden", TENTH), ("rows_under_newer", TENTH), ("rows_verified", SAME)])?;
        let found = rows(session, "existing.t").await?;
        let expected: BTreeMap<i32, String> = (0..ROWS).filter(|k| k % 10 != 1).map(|k| (k, after(k))).collect();
        ensure!(found == expected, "{} rows, expected {}", found.len(), expected.len());
        let found = lists(session, "existing.t").await?;
        let other = found.iter().find(|(_, list)| **list != LIST);
        ensure!(other.is_none() && found.len() == expected.len(), "{} lists, and this one: {other:?}", found.len());
        Ok(())
    }

    /// After a DELETE of everything the table is empty: loaded rows stay hidden, and that is said, not failed.
    async fn a_merge_into_an_emptied_table_says_what_it_cannot_know(&self, session: &Session) -> Result<()> {
        for k in 0..ROWS {
            session.query_unpaged("DELETE FROM existing.u WHERE k = ?", (k,)).await?;
        }
        let refused = self.run("run", &["--only", "existing/u"]).await?;
        ensure!(refused.code == 6 && refused.said.contains("may hold deletions"), "{refused:?}");
        let done = self.run("run", &["--only", "existing/u", "--if-exists", "merge"]).await?;
        let result = done.operation()?.result.context("no result")?;
        ensure!(done.code == 3 && result["warnings"].to_string().contains("newer deletions"), "{done:?}");
        expect(&result, &[("rows_hidden", ROWS.into()), ("rows_verified", 0)])
    }

    /// Two tables of one keyspace go to tables of other names, one of them beside itself, with its index.
    async fn a_table_comes_back_under_another_name(&self, session: &Session) -> Result<()> {
        let done =
            self.run("run", &["--rename", "existing/t=existing/t_old", "--rename", "existing/u=other/v"]).await?;
        ensure!(done.code == 0, "{done:?}");
        let whole: BTreeMap<i32, String> = (0..ROWS).map(|k| (k, before(k))).collect();
        ensure!(rows(session, "existing.t_old").await? == whole, "existing.t_old is not the version's table");
        ensure!(rows(session, "other.v").await? == whole, "other.v is not the version's table");
        let by_index = session.query_unpaged("SELECT k FROM existing.t_old WHERE v = 'before 7'", ()).await?;
        ensure!(by_index.into_rows_result()?.rows_num() == 1, "the index of the renamed table does not answer");
        let still = rows(session, "existing.t").await?;
        ensure!(still.len() as i64 == 9 * TENTH, "the table of the old name has {} rows", still.len());
        Ok(())
    }
}

fn before(k: i32) -> String {
    format!("before {k}")
}

fn after(k: i32) -> String {
    if k % 10 == 2 { format!("after {k}") } else { before(k) }
}

async fn fill(session: &Session) -> Result<()> {
    let create = [
        "CREATE KEYSPACE existing WITH replication = {'class': 'SimpleStrategy', 'replication_factor': 1}",
        "CREATE TABLE existing.t (k int PRIMARY KEY, v text, l list<text>)",
        "CREATE INDEX by_v ON existing.t (v)",
        "CREATE TABLE existing.u (k int PRIMARY KEY, v text)",
    ];
    cql::run(session, &create.map(str::to_owned)).await?;
    for table in ["t", "u"] {
        let insert = session.prepare(format!("INSERT INTO existing.{table} (k, v) VALUES (?, ?)")).await?;
        for k in 0..ROWS {
            session.execute_unpaged(&insert, (k, before(k))).await?;
        }
    }
    let append = session.prepare("UPDATE existing.t SET l = l + ? WHERE k = ?").await?;
    for k in 0..ROWS {
        session.execute_unpaged(&append, (&LIST[..], k)).await?;
    }
    Ok(())
}

async fn change(session: &Session) -> Result<()> {
    for k in (0..ROWS).filter(|k| k % 10 == 1) {
        session.query_unpaged("DELETE FROM existing.t WHERE k = ?", (k,)).await?;
        session.query_unpaged("INSERT INTO existing.t (k, v) VALUES (?, ?)", (k + 1, after(k + 1))).await?;
    }
    Ok(())
}

fn expect(result: &Value, counts: &[(&str, i64)]) -> Result<()> {
    for (name, count) in counts {
        ensure!(result[name].as_i64() == Some(*count), "{name} is not {count} in {result}");
    }
    Ok(())
}

async fn rows(session: &Session, table: &str) -> Result<BTreeMap<i32, String>> {
    let found = session.query_unpaged(format!("SELECT k, v FROM {table}"), ()).await?.into_rows_result()?;
    Ok(found.rows::<(i32, String)>()?.collect::<Result<_, _>>()?)
}

async fn lists(session: &Session, table: &str) -> Result<BTreeMap<i32, Vec<String>>> {
    let found = session.query_unpaged(format!("SELECT k, l FROM {table}"), ()).await?.into_rows_result()?;
    Ok(found.rows::<(i32, Vec<String>)>()?.collect::<Result<_, _>>()?)
}
