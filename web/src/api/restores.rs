//! Restores and their plans.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::CheckLine;

/// `POST /api/v1/restores` and `/api/v1/restores/plan`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Restore {
    /// Version to restore.
    pub version: String,
    /// Objects, patterns as in policies; all where empty.
    #[serde(default)]
    pub objects: Vec<String>,
    /// Destination: a registered source.
    pub to: String,
    /// Keyspaces to rename, from → to.
    #[serde(default)]
    pub rename: BTreeMap<String, String>,
    /// Replication of new keyspaces; the version's own where absent.
    #[serde(default)]
    pub replication: Option<BTreeMap<String, String>>,
    /// Level to write at, `all` by default.
    #[serde(default)]
    pub write_level: Option<String>,
    /// Destination objects that may hold data already, by full name.
    #[serde(default)]
    pub into_non_empty: Vec<String>,
    /// Restore what is not proven complete.
    #[serde(default)]
    pub accept_degraded: bool,
    /// What becomes of times to live.
    #[serde(default)]
    pub ttl: TtlPolicy,
}

/// What becomes of times to live in a restore.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema, clap::ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub enum TtlPolicy {
    /// Data expires when it would have at the source; what has expired since the cut does not come back.
    #[default]
    Keep,
    /// What lived at the cut lives, from its restore on, for the time that it had left at the cut.
    Rebase,
    /// What lived at the cut does not expire.
    Strip,
}

/// What a restore will do.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct RestorePlan {
    /// The version.
    pub version: String,
    /// Short description of the destination.
    pub destination: String,
    /// Level to write at.
    pub write_level: String,
    /// Objects in order.
    pub objects: Vec<PlannedObject>,
    /// Statements that make the schema.
    pub schema: Vec<String>,
    /// Checks; any `fail` refuses the run.
    pub checks: Vec<CheckLine>,
    /// Rows in all.
    pub rows: u64,
    /// Stored bytes to read.
    pub stored_bytes: u64,
}

/// One object in a plan.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct PlannedObject {
    /// In the version.
    pub object: String,
    /// At the destination.
    pub target: String,
    /// Rows.
    pub rows: u64,
    /// Stored bytes to read.
    pub stored_bytes: u64,
}
