//! Why work failed: one type from a listener or a kind of source to the operation that people see.

use std::borrow::Cow;

use crate::proto;

/// Code of a failure whose own code is none: whoever sent it is of a version that does not fit.
const NO_CODE: &str = "TM-LIST-0004";

/// Why the work of a listener or a kind of source failed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct Failure {
    /// Stable code, `TM-<AREA>-<number>`.
    pub code: Cow<'static, str>,
    /// What happened to what, with its causes.
    pub message: String,
    /// What to do about it.
    pub hint: Option<String>,
    /// True where the same work may succeed later.
    pub retryable: bool,
    /// True where it ended because it was told to. Who told it knows: it does not cross the control protocol.
    pub cancelled: bool,
    /// True where the other side is there and answered that it failed: that may pass, but nothing is away.
    pub answered: bool,
}

impl Failure {
    /// A permanent failure.
    pub fn new(code: impl Into<Cow<'static, str>>, message: impl Into<String>) -> Self {
        let (code, message) = (code.into(), message.into());
        Self { code, message, hint: None, retryable: false, cancelled: false, answered: false }
    }

    /// A failure that may go away.
    pub fn retryable(code: impl Into<Cow<'static, str>>, message: impl Into<String>) -> Self {
        Self { retryable: true, ..Self::new(code, message) }
    }

    /// The work was cancelled.
    pub fn cancelled() -> Self {
        Self { cancelled: true, ..Self::new("TM-TASK-0001", "cancelled") }
    }

    /// The same failure with a hint.
    #[must_use]
    pub fn with_hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }
}

impl From<Failure> for proto::Failure {
    fn from(failure: Failure) -> Self {
        let Failure { code, message, hint, retryable, cancelled: _, answered } = failure;
        Self { code: code.into_owned(), message, hint, retryable, answered }
    }
}

impl From<proto::Failure> for Failure {
    /// What came over the wire; a code that is none is `TM-LIST-0004`.
    fn from(failure: proto::Failure) -> Self {
        let proto::Failure { code, message, hint, retryable, answered } = failure;
        let code = if is_code(&code) { code.into() } else { NO_CODE.into() };
        Self { code, message, hint, retryable, cancelled: false, answered }
    }
}

/// True for `TM-<AREA>-<four digits>`.
fn is_code(text: &str) -> bool {
    let number = |number: &str| number.len() == 4 && number.bytes().all(|b| b.is_ascii_digit());
    let area = |area: &str| (1..=8).contains(&area.len()) && area.bytes().all(|b| b.is_ascii_uppercase());
    text.strip_prefix("TM-").and_then(|rest| rest.split_once('-')).is_some_and(|(a, n)| area(a) && number(n))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failure_crosses_the_wire_whole_but_for_who_cancelled_it() {
        let failure = Failure::retryable("TM-CASS-0103", "open a session: refused").with_hint("start the node");
        let failure = Failure { answered: true, ..failure };
        assert_eq!(Failure::from(proto::Failure::from(failure.clone())), failure);
        let told = Failure::from(proto::Failure::from(Failure::cancelled()));
        assert_eq!((told.code.as_ref(), told.cancelled), ("TM-TASK-0001", false));
    }

    #[test]
    fn what_is_no_code_is_not_taken_for_one() {
        let sent =
            |code: &str| Failure::from(proto::Failure { code: code.to_owned(), ..proto::Failure::default() }).code;
        assert_eq!(sent("TM-SQL-0001"), "TM-SQL-0001");
        for text in ["", "TM", "TM--0001", "TM-A-1", "TM-a-0001", "TM-A-0001-2", "../TM-A-0001", "TM-ABCDEFGHI-0001"] {
            assert_eq!(sent(text), NO_CODE, "{text}");
        }
    }
}
