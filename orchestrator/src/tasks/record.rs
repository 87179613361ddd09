//! The record of a task.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use tidemark_catalog::ids::TaskId;
use tidemark_listener_core::driver;

/// Longest message of a failure that is recorded, bytes.
const MESSAGE_BYTES: usize = 8 << 10;

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
    /// Runs in a row of which no end was recorded: the daemon was killed, or lost its claims.
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

/// A wait for something that is away.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Waiting {
    /// What is away: `source`, `store` or `destination`.
    pub what: String,
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

/// Why a task, or an attempt at it, failed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[error("{code}: {message}")]
#[serde(deny_unknown_fields)]
pub struct Failure {
    /// Stable code, `TM-AREA-NNNN`.
    pub code: String,
    /// What happened to what, with its causes.
    pub message: String,
    /// What to do about it.
    pub hint: Option<String>,
    /// True where another attempt may succeed.
    pub retryable: bool,
    /// True where it ended because it was told to.
    pub cancelled: bool,
    /// What the message only counts; becomes the result of a task that fails.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub details: Option<Value>,
    /// What is away, where that is the reason: `source`, `store` or `destination`. It is waited for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub away: Option<String>,
}

impl Failure {
    /// A failure that another attempt would repeat.
    pub fn permanent(code: &str, message: impl Into<String>) -> Self {
        let (code, message) = (code.to_owned(), bounded(message.into()));
        Self { code, message, hint: None, retryable: false, cancelled: false, details: None, away: None }
    }

    /// A failure that may go away.
    pub fn retryable(code: &str, message: impl Into<String>) -> Self {
        Self { retryable: true, ..Self::permanent(code, message) }
    }

    /// A failure that may go away iff `retryable`.
    pub fn of(code: &str, message: impl Into<String>, retryable: bool) -> Self {
        Self { retryable, ..Self::permanent(code, message) }
    }

    /// The work was told to stop.
    pub fn cancelled() -> Self {
        Self { cancelled: true, ..Self::permanent("TM-TASK-0001", "cancelled") }
    }

    /// The same failure; where it may go away, because `what` (`source`, `store` or `destination`) is away.
    #[must_use]
    pub fn by_absence_of(mut self, what: &str) -> Self {
        self.away = self.retryable.then(|| what.to_owned());
        self
    }

    /// The same failure with a hint.
    #[must_use]
    pub fn with_hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    /// The same failure with what its message only counts.
    #[must_use]
    pub fn with_details(mut self, details: Value) -> Self {
        self.details = Some(details);
        self
    }
}

impl From<driver::Error> for Failure {
    fn from(error: driver::Error) -> Self {
        let driver::Error { code, message, hint, retryable, cancelled, answered: _ } = error;
        let (code, message, hint) = (code.into_owned(), bounded(message), hint.map(bounded));
        Self { code, message, hint, retryable, cancelled, details: None, away: None }
    }
}

impl From<super::Error> for Failure {
    fn from(error: super::Error) -> Self {
        let (code, retryable) = match &error {
            super::Error::Coordinator { .. } => ("TM-TASK-0002", true),
            super::Error::ClaimLost { .. } => ("TM-TASK-0003", true),
            super::Error::CheckpointSize { .. } => ("TM-TASK-0004", false),
            super::Error::Decode { .. } => ("TM-TASK-0005", false),
            super::Error::KeyReused { .. } => ("TM-API-0422", false),
            super::Error::NotResumable { .. } => ("TM-TASK-0409", false),
        };
        Self::of(code, tidemark_gateway::causes::chain(&error), retryable)
    }
}

/// A record must fit into a value of the coordinator.
fn bounded(mut message: String) -> String {
    if message.len() > MESSAGE_BYTES {
        let end = message.floor_char_boundary(MESSAGE_BYTES);
        message.truncate(end);
        message.push('…');
    }
    message
}
