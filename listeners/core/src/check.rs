//! Preflight checks: what was looked at, how it stands, what to do.

use serde::{Deserialize, Serialize};

pub mod store;

/// Most names in one line.
const NAMED: usize = 10;

/// One line of a preflight checklist.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Line {
    /// What was checked, a stable word such as `connect`, `version`, `data-directory`.
    pub name: String,
    /// Where: node or store.
    pub subject: String,
    /// How it stands.
    pub status: Status,
    /// What was seen, for people.
    pub detail: String,
    /// What to do about it, where something is to be done.
    pub hint: Option<String>,
}

/// Outcome of a check, from best to worst.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Status {
    /// As it should be.
    Ok,
    /// Works, but is worth a look.
    Warn,
    /// Protection cannot work.
    Fail,
}

impl Line {
    /// A line that passed.
    pub fn ok(name: &str, subject: &str, detail: impl Into<String>) -> Self {
        Self::of(name, subject, Status::Ok, detail, None)
    }

    /// A line that is worth a look.
    pub fn warn(name: &str, subject: &str, detail: impl Into<String>, hint: &str) -> Self {
        Self::of(name, subject, Status::Warn, detail, Some(hint))
    }

    /// A line that failed.
    pub fn fail(name: &str, subject: &str, detail: impl Into<String>, hint: &str) -> Self {
        Self::of(name, subject, Status::Fail, detail, Some(hint))
    }

    fn of(name: &str, subject: &str, status: Status, detail: impl Into<String>, hint: Option<&str>) -> Self {
        Self {
            name: name.to_owned(),
            subject: subject.to_owned(),
            status,
            detail: detail.into(),
            hint: hint.map(str::to_owned),
        }
    }
}

/// The first ten names, joined by commas, and how many more there are: `a, b and 3 more`.
pub fn some(names: Vec<String>) -> String {
    let more = names.len().saturating_sub(NAMED);
    let first = names.into_iter().take(NAMED).collect::<Vec<_>>().join(", ");
    if more == 0 { first } else { format!("{first} and {more} more") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_lists_are_cut_and_counted() {
        let names: Vec<String> = (0..13).map(|i| format!("t{i}")).collect();
        assert!(some(names.clone()).ends_with("t9 and 3 more"));
        assert_eq!(some(names[..2].to_vec()), "t0, t1");
    }
}
