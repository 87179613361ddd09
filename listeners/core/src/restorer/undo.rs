//! What is asked about an undo in place.

use serde::{Deserialize, Serialize};
use tidemark_catalog::ids::ObjectName;

use crate::failure::Failure;

/// The one instant of an undo, and what was known when it was taken.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct UndoInstant {
    /// µs since 1970: the lowest of our clock and all clocks of the destination, less the bound of the clients' clocks.
    pub micros: i64,
    /// Whose clock was the lowest, for people.
    pub lowest: String,
    /// Nodes whose clocks could not be read, with the reason: they may be down, or only out of our reach.
    pub unread: Vec<String>,
    /// True where the undo cannot do without the nodes of `unread`: it asks every replica.
    #[serde(default)]
    pub needs_all_clocks: bool,
    /// Time after which a write that was not acknowledged cannot land at the destination any more, ms.
    pub settle_millis: u64,
}

/// What an undo of one object would do.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct UndoCounts {
    /// In the version.
    pub object: ObjectName,
    /// At the destination.
    pub target: ObjectName,
    /// Rows of the version that the target does not show.
    pub come_back: u64,
    /// Rows that both have and that differ.
    pub change: u64,
    /// Rows of the target that the version does not have.
    pub would_be_removed: u64,
    /// Rows that are equal in all respects.
    pub untouched: u64,
    /// Rows with something that the version does not have and that would stay; they may be among the others, but for those
    /// that are equal.
    pub rows_kept: u64,
    /// Rows with something newer than an undo that starts now, as [`rows_newer`](super::RestoreReport::rows_newer).
    pub rows_newer: u64,
    /// Time of the newest write found in what differs, µs since 1970; `None` where none can be read.
    pub newest_write_micros: Option<i64>,
    /// Ranges of the target that could not be read, with the reason.
    pub unreadable_ranges: Vec<String>,
}

/// The refusal of a kind of source that cannot undo in place.
pub(super) fn unsupported() -> Failure {
    Failure::new("TM-REST-0010", "undo is not supported by this kind of source")
        .with_hint("merge, or restore under another name")
}
