//! Levels at which an application's writes are acknowledged, as policies declare them.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};

/// How many replicas have acknowledged a write before it counts as written. Stored as its name in snake case.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum WriteLevel {
    /// Any node: one that is no replica and keeps the write for one, too.
    Any,
    /// One replica.
    One,
    /// Two replicas.
    Two,
    /// Three replicas.
    Three,
    /// More than half of the replicas.
    Quorum,
    /// Every replica.
    All,
    /// One replica in the coordinator's data centre.
    LocalOne,
    /// More than half of the replicas in the coordinator's data centre.
    LocalQuorum,
    /// More than half of the replicas in each data centre.
    EachQuorum,
}

/// A text names no level.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{level} is no write level; use one of {}", names(&WriteLevel::EVERY))]
pub struct UnknownLevel {
    /// As it was given.
    pub level: String,
}

impl WriteLevel {
    /// Every level.
    pub const EVERY: [Self; 9] = [
        Self::Any,
        Self::One,
        Self::Two,
        Self::Three,
        Self::Quorum,
        Self::All,
        Self::LocalOne,
        Self::LocalQuorum,
        Self::EachQuorum,
    ];

    /// Its name in lower case: what is stored, and what policies say.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Any => "any",
            Self::One => "one",
            Self::Two => "two",
            Self::Three => "three",
            Self::Quorum => "quorum",
            Self::All => "all",
            Self::LocalOne => "local_one",
            Self::LocalQuorum => "local_quorum",
            Self::EachQuorum => "each_quorum",
        }
    }
}

/// Names of levels, for people.
pub fn names(levels: &[WriteLevel]) -> String {
    levels.iter().map(|level| level.as_str()).collect::<Vec<_>>().join(", ")
}

impl fmt::Display for WriteLevel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for WriteLevel {
    type Err = UnknownLevel;

    /// Parses a name as people type it: in any case, `-` as good as `_`.
    fn from_str(text: &str) -> Result<Self, UnknownLevel> {
        let name = text.to_ascii_lowercase().replace('-', "_");
        let unknown = || UnknownLevel { level: text.chars().take(80).collect() };
        Self::EVERY.into_iter().find(|level| level.as_str() == name).ok_or_else(unknown)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn levels_are_stored_and_parsed_by_their_names() {
        for level in WriteLevel::EVERY {
            let stored = serde_json::to_value(level).unwrap();
            assert_eq!(stored, level.as_str());
            assert_eq!(serde_json::from_value::<WriteLevel>(stored).unwrap(), level);
            assert_eq!(level.as_str().parse(), Ok(level));
            assert_eq!(level.as_str().to_uppercase().replace('_', "-").parse(), Ok(level));
        }
    }

    #[test]
    fn other_words_are_refused() {
        for text in ["", "most", "quorum ", "serial", "local__one"] {
            assert_eq!(text.parse::<WriteLevel>(), Err(UnknownLevel { level: text.to_owned() }));
            assert!(serde_json::from_value::<WriteLevel>(text.into()).is_err(), "{text}");
        }
        assert!(serde_json::from_str::<WriteLevel>("\"QUORUM\"").is_err(), "stored words are exact");
        let error = "most".parse::<WriteLevel>().unwrap_err().to_string();
        assert!(error.starts_with("most is no write level; use one of any, one, two"), "{error}");
    }
}
