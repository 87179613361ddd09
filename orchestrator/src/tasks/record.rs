//! The record of a task.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use tidemark_catalog::ids::TaskId;

use crate::failure::{Away, Failure};

/// Everything that is recorded about a task but its checkpoint and progress.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TaskRecord {
    /// Its id.
    pub id: TaskId,
    /// What it does.
    pub kind: Kind,
    /// What it works on, for people.
    pub subject: String,
    /// All it needs to know; the kind's own shape.
    pub spec: Value,
    /// Tasks of one scope run one after another.
    pub exclusive: Option<String>,
    /// Where it stands.
    pub state: State,
    /// How often it was claimed. A run that was interrupted by an orderly stop does not count.
    pub attempt: u32,
    /// Runs in a row of which no end was recorded, without progress in between: the daemon was killed, or lost its claims.
    #[serde(default)]
    pub lost_runs: u32,
    /// Failures in a row that may go away and are no absence, without progress in between.
    #[serde(default)]
    pub failures: u32,
    /// What was away when it ran last; until a run makes progress.
    #[serde(default)]
    pub waiting: Option<Waiting>,
    /// When it may run, ms since 1970; names its queue entry.
    pub due_millis: u64,
    /// When it was asked for.
    pub created: Timestamp,
    /// When it ended.
    pub finished: Option<Timestamp>,
    /// Why it failed, or why the last attempt did.
    pub error: Option<Failure>,
    /// What came out.
    pub result: Option<Value>,
}

impl TaskRecord {
    /// The same after progress: what went wrong before it counts no more.
    #[must_use]
    pub(super) fn after_progress(self) -> Self {
        Self { lost_runs: 0, failures: 0, waiting: None, ..self }
    }
}

/// A wait for something that is away.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Waiting {
    /// What is away.
    pub what: Away,
    /// When a run found it away first.
    pub since: Timestamp,
    /// Runs in a row that found it away.
    pub tries: u32,
}

/// What a task does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Kind {
    /// Makes a version.
    Protect,
    /// Writes a version to a destination.
    Restore,
    /// Reads and proves a version.
    Verify,
    /// Counts what an undo would write.
    Count,
}

impl Kind {
    /// The word of the API.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Protect => "protect",
            Self::Restore => "restore",
            Self::Verify => "verify",
            Self::Count => "count",
        }
    }
}

/// Where a task stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum State {
    /// Waits for its time, for another of its scope, or for a free place.
    Queued,
    /// Claimed. After a crash it still says so until it is claimed again.
    Running,
    /// Ended as it should.
    Succeeded,
    /// Ended, and somebody should read the result.
    Warnings,
    /// Ended without a result.
    Failed,
    /// Ended because somebody asked.
    Cancelled,
}

impl State {
    /// True in the last four.
    pub fn is_done(self) -> bool {
        !matches!(self, Self::Queued | Self::Running)
    }

    /// The word of the API.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Queued => "queued",
            Self::Running => "running",
            Self::Succeeded => "succeeded",
            Self::Warnings => "warnings",
            Self::Failed => "failed",
            Self::Cancelled => "cancelled",
        }
    }
}
