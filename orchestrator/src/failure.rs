//! Why something could not be done, in the words and codes that operators see.
//!
//! Errors of the crates below become failures here (`catalog`); those of this crate beside themselves.

use std::fmt;

use serde::{Deserialize, Serialize};
use serde_json::Value;
use tidemark_listener_core::failure;

pub(crate) mod catalog;
pub(crate) mod collection;

/// Code of what another claim of the same task does away with.
const CLAIM_ANEW: &str = "TM-TASK-0009";

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
    /// What is away, where that is the reason. It is waited for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub away: Option<Away>,
}

/// What can be away.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Away {
    /// The protected system, or its listeners.
    Source,
    /// The store.
    Store,
    /// What a restore writes to.
    Destination,
}

impl fmt::Display for Away {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Source => "source",
            Self::Store => "store",
            Self::Destination => "destination",
        })
    }
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

    /// The task has to be claimed anew, which is done at once: by no fault of the run, which counts as no attempt.
    pub fn claim_anew(message: impl Into<String>) -> Self {
        Self::retryable(CLAIM_ANEW, message)
    }

    /// True of [`Failure::claim_anew`].
    pub fn is_claim_anew(&self) -> bool {
        self.code == CLAIM_ANEW
    }

    /// The work was told to stop.
    pub fn cancelled() -> Self {
        Self { cancelled: true, ..Self::permanent("TM-TASK-0001", "cancelled") }
    }

    /// The same failure; where it may go away, because `what` is away.
    #[must_use]
    pub fn by_absence_of(mut self, what: Away) -> Self {
        self.away = self.retryable.then_some(what);
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

impl From<failure::Failure> for Failure {
    fn from(error: failure::Failure) -> Self {
        let failure::Failure { code, message, hint, retryable, cancelled, answered: _ } = error;
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

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_is_away_is_stored_by_its_word_and_other_words_are_refused() {
        for away in [Away::Source, Away::Store, Away::Destination] {
            assert_eq!(serde_json::to_value(away).unwrap(), away.to_string());
            let failure = Failure::retryable("TM-TEST-0001", "gone").by_absence_of(away);
            let stored = serde_json::to_value(&failure).unwrap();
            assert_eq!(serde_json::from_value::<Failure>(stored).unwrap(), failure);
        }
        assert!(serde_json::from_value::<Away>(json!("moon")).is_err());
        assert_eq!(Failure::permanent("TM-TEST-0001", "no").by_absence_of(Away::Store).away, None);
    }
}
