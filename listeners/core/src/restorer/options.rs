//! Options of a restore: what all kinds of source know, and what one kind knows.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::Value;

/// Options of a restore.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RestoreOptions {
    /// What all kinds of source know; where one has no such thing, it says so in the plan.
    pub common: CommonOptions,
    /// What only the source's kind knows, in its own words; an object, checked by
    /// [`Restorer::validate_options`](super::Restorer::validate_options).
    pub source: Value,
}

impl Default for RestoreOptions {
    /// Nothing is said.
    fn default() -> Self {
        Self { common: CommonOptions::default(), source: Value::Object(serde_json::Map::new()) }
    }
}

/// Options that all kinds of source know.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CommonOptions {
    /// Names to change, from → to: first parts of object names (for Cassandra: keyspaces), or whole object names, which go
    /// first (`ks/t` → `ks2/t2`).
    pub rename: BTreeMap<String, String>,
    /// Names of destination objects that may be overwritten, typed by a person.
    pub into_non_empty: Vec<String>,
    /// What becomes of destination objects that hold data already; without it they are refused.
    pub if_exists: Option<IfExists>,
    /// An undo removes what the version does not have, where the version is proven complete.
    pub remove: bool,
    /// Which rows and columns; all by default.
    pub selection: Selection,
    /// How far the clocks of the destination's clients may be off, µs, from 0: an undo lies that much below every clock.
    pub client_clock_bound_micros: i64,
    /// Restore objects whose state is not proven complete.
    pub accept_degraded: bool,
    /// End at the first row or object that cannot be written, instead of naming it in the report and going on.
    pub strict: bool,
}

/// How far the clocks of a destination's clients may be off, µs, where nobody says otherwise.
pub const CLIENT_CLOCK_BOUND_MICROS: i64 = 1_000_000;

impl Default for CommonOptions {
    /// Everything under its own name into new or empty objects; clients' clocks within [`CLIENT_CLOCK_BOUND_MICROS`].
    fn default() -> Self {
        Self {
            rename: BTreeMap::new(),
            into_non_empty: Vec::new(),
            if_exists: None,
            remove: false,
            selection: Selection::default(),
            client_clock_bound_micros: CLIENT_CLOCK_BOUND_MICROS,
            accept_degraded: false,
            strict: false,
        }
    }
}

/// What becomes of a destination object that holds data already.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum IfExists {
    /// What readers see becomes the version's state; only what differs is written.
    Undo,
    /// The version's data is added with its own times: newer data and newer deletions win.
    Merge,
}

/// Rows and columns that a restore is bounded to.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Selection {
    /// Condition on rows, in the source kind's own words (for Cassandra: a WHERE clause on the primary key or token).
    pub rows: Option<String>,
    /// Columns by name; all where empty.
    pub columns: Vec<String>,
}

impl Selection {
    /// True where it bounds nothing.
    pub fn is_all(&self) -> bool {
        self.rows.is_none() && self.columns.is_empty()
    }
}
