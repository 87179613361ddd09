//! Plans of restores.

use serde::{Deserialize, Serialize};
use tidemark_catalog::{ids::ObjectName, stored::StoredRef};

use crate::check;

/// What a restore does, decided before it starts.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RestorePlan {
    /// Objects in the order they are restored.
    pub objects: Vec<PlannedObject>,
    /// Statements that make the schema, in order.
    pub schema: Vec<String>,
    /// Checks made while planning; any `fail` refuses the run.
    pub checks: Vec<check::Line>,
    /// Rows in all.
    pub rows: u64,
    /// Stored bytes to read.
    pub stored_bytes: u64,
    /// Level to write at, where the kind of source has levels.
    #[serde(default)]
    pub write_level: Option<String>,
    /// Short description of the destination, for people.
    pub destination: String,
}

impl RestorePlan {
    /// True where an object is undone in place.
    pub fn undoes(&self) -> bool {
        self.objects.iter().any(|object| object.action == Action::Undo)
    }
}

/// One object in a plan.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PlannedObject {
    /// In the version.
    pub object: ObjectName,
    /// At the destination.
    pub target: ObjectName,
    /// The entry to restore.
    pub entry: StoredRef,
    /// How it comes there.
    pub action: Action,
    /// Rows live at the cut.
    pub rows: u64,
    /// Stored bytes to read.
    pub stored_bytes: u64,
}

/// How an object comes to its target.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Action {
    /// Into a target that is new or empty.
    #[default]
    Load,
    /// Into one that holds data: newer data and deletions win.
    Merge,
    /// The target becomes what the version says.
    Undo,
}
