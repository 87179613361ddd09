//! The second way to repair the incident: in place, in the damaged cluster, writing only what differs.

use anyhow::{Context, Result, ensure};
use scylla::client::session::Session;
use serde_json::Value;
use tidemark_web::api::{Operation, VersionDetail};

use super::{Demo, ShopDigest, TYPED, count, differences, digests};
use crate::{compare::digest::Differences, system::System};

/// What the undo in place did.
#[derive(Clone, Debug)]
pub struct Undone {
    /// Rows read and compared.
    pub read: u64,
    /// Rows written.
    pub written: u64,
    /// Rows left as they were.
    pub untouched: u64,
    /// The version that holds the damaged state.
    pub safety: String,
    /// Seconds that the operation took, the safety version included.
    pub seconds: f64,
    /// What differs from before the incident, in values and expiries.
    pub differences: Differences,
}

impl Demo {
    /// Undoes the incident where it happened, and compares every row with before it.
    pub(super) async fn undo(
        &self,
        system: &System,
        session: &Session,
        version: &VersionDetail,
        before: &ShopDigest,
    ) -> Result<Undone> {
        self.say("tidemark restore --if-exists undo: the same incident, undone in place in the damaged cluster");
        let started = self.env.monotonic();
        let own = ["restore", "run", "--version", &version.version.id, "--to", "prod", "--if-exists", "undo", "--wait"];
        let done: Operation = system.cli.json(&[&own[..], &TYPED].concat()).await?;
        let seconds = (self.env.monotonic() - started).as_secs_f64();
        let result = done.result.context("the undo has no result")?;
        let of = |name: &str| result[name].as_u64().with_context(|| format!("{name} in {result}"));
        ensure!(of("differing_rows")? == 0, "rows still differ: {result}");
        let safety = result["safety_version"].as_str().with_context(|| format!("no safety version in {result}"))?;
        self.named(system, safety).await?;
        let (read, written, untouched) = (of("rows_read")?, of("rows_written")?, of("rows_untouched")?);
        self.say(&format!(
            "{} rows read, {} written, {} untouched; {safety} holds what was there before",
            count(read),
            count(written),
            count(untouched)
        ));
        self.say("reading every row of the damaged cluster again and comparing with before the incident");
        let after = digests(session, "shop").await?;
        let differences = differences(&before.values, &after.values);
        Ok(Undone { read, written, untouched, safety: safety.to_owned(), seconds, differences })
    }

    /// The safety version is one of the list, complete.
    async fn named(&self, system: &System, safety: &str) -> Result<()> {
        let listed: Value = system.cli.json(&["version", "list"]).await?;
        let found = listed["items"].as_array().into_iter().flatten().find(|version| version["id"] == safety);
        ensure!(found.is_some_and(|version| version["quality"] == "cut"), "{safety} is not in {listed}");
        Ok(())
    }
}
