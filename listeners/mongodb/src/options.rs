//! Options of policies and of restores.

use serde::{Deserialize, Serialize};
use serde_json::Value;
use tidemark_gateway::causes::joined;
use tidemark_listener_core::{failure::Failure, shape};

use crate::codes::OPTIONS;

/// What a policy may say: nothing, because any member holds everything.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct PolicyOptions {}

/// What a restore may say.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct RestoreOptions {
    /// What becomes of indexes that let documents expire.
    pub ttl: Ttl,
}

/// What becomes of indexes that let documents expire.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Ttl {
    /// They are made as they were: documents whose time is over go at once.
    #[default]
    Keep,
    /// They are made without their time.
    Strip,
}

impl PolicyOptions {
    /// Reads the options of a policy.
    ///
    /// # Errors
    /// `TM-MONGO-0005` naming the option.
    pub fn read(options: &Value) -> Result<Self, Failure> {
        shape::read(options).map_err(|error| wrong(&error))
    }
}

impl RestoreOptions {
    /// Reads the options of a restore.
    ///
    /// # Errors
    /// `TM-MONGO-0005` naming the option.
    pub fn read(options: &Value) -> Result<Self, Failure> {
        shape::read(options).map_err(|error| wrong(&error))
    }
}

fn wrong(error: &shape::Error) -> Failure {
    Failure::new(OPTIONS, format!("options: {}", joined(error)))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn options_are_checked_by_name() {
        assert_eq!(RestoreOptions::read(&json!({})).unwrap().ttl, Ttl::Keep);
        assert_eq!(RestoreOptions::read(&json!({"ttl": "strip"})).unwrap().ttl, Ttl::Strip);
        for (wrong, word) in [(json!({"ttl": "shift"}), "ttl"), (json!({"deep": 1}), "deep"), (json!([]), "options")] {
            let failure = RestoreOptions::read(&wrong).unwrap_err();
            assert!(failure.code == OPTIONS && failure.message.contains(word), "{failure}");
        }
        assert!(PolicyOptions::read(&json!({"deep": 1})).is_err());
    }
}
