//! Why something could not be done, in the words and codes that operators see.
//!
//! Errors of the crates below become failures here (`catalog`); those of this crate beside themselves.

use serde::{Deserialize, Serialize};
use serde_json::Value;
use tidemark_listener_core::driver;

pub(crate) mod catalog;

/// Longest message that is recorded, bytes.
const MESSAGE_BYTES: usize = 8 << 10;

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

/// A record must fit into a value of the coordinator.
fn bounded(mut message: String) -> String {
    if message.len() > MESSAGE_BYTES {
        let end = message.floor_char_boundary(MESSAGE_BYTES);
        message.truncate(end);
        message.push('…');
    }
    message
}
