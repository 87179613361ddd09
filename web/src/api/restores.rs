//! Restores and their plans.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::{Action, CheckLine};

/// `POST /api/v1/restores` and `/api/v1/restores/plan`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Restore {
    /// Version to restore, `source.set.number`; `STORE:source.set.number` where several stores hold it.
    pub version: String,
    /// `pin` of the plan that is to be run: another manifest under the version's name is refused then.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pin: Option<String>,
    /// Objects, patterns as in policies; all where empty.
    #[serde(default)]
    pub objects: Vec<String>,
    /// Destination: a registered source.
    pub to: String,
    /// Keyspaces or whole objects (`keyspace/table`) to rename, from → to; objects go before their keyspaces.
    #[serde(default)]
    pub rename: BTreeMap<String, String>,
    /// Destination objects that may be overwritten, by full name.
    #[serde(default)]
    pub into_non_empty: Vec<String>,
    /// What becomes of destination objects that exist; without it they are refused.
    #[serde(default)]
    pub if_exists: Option<IfExists>,
    /// An undo removes what the version does not have, where the version is proven complete.
    #[serde(default)]
    pub remove: bool,
    /// Condition on the rows, a WHERE clause on the primary key or the token; all rows where absent.
    #[serde(default, rename = "where")]
    pub rows: Option<String>,
    /// Columns by name; all where empty.
    #[serde(default)]
    pub columns: Vec<String>,
    /// How far the clocks of the destination's clients may be off, ms; 1,000 where absent.
    #[serde(default)]
    pub client_clock_bound_millis: Option<u32>,
    /// Destination objects, by full name, that are undone without keeping a version of their present state.
    #[serde(default)]
    pub no_safety_version: Vec<String>,
    /// Restore what is not proven complete.
    #[serde(default)]
    pub accept_degraded: bool,
    /// End at the first row or table that cannot be written, instead of naming it in the result and going on.
    #[serde(default)]
    pub strict: bool,
    /// What only the destination's kind of source knows, in its own words; for `cassandra`: `replication`, `write_level`,
    /// `read_level` and `ttl`.
    #[serde(default = "super::nothing")]
    #[schema(value_type = Object)]
    pub options: serde_json::Value,
}

/// What becomes of a destination object that exists.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema, clap::ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub enum IfExists {
    /// What readers see becomes the version's state; only what differs is written.
    Undo,
    /// The version's data is added with its own times: newer data and newer deletions win.
    Merge,
}

/// What a restore will do.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct RestorePlan {
    /// The version.
    pub version: String,
    /// Store that it is in.
    pub store: String,
    /// Which manifest it is, `repository@manifest`: given to the run, it is of this one or none.
    pub pin: String,
    /// Short description of the destination.
    pub destination: String,
    /// Level to write at, where the kind of source has levels.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub write_level: Option<String>,
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
    /// How it comes there: `load` into what is new or empty, `merge` or `undo` into what exists.
    #[schema(value_type = String)]
    pub action: Action,
    /// Rows.
    pub rows: u64,
    /// Stored bytes to read.
    pub stored_bytes: u64,
}
