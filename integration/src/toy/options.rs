//! Options of policies and of restores.

use serde::Deserialize;
use serde_json::Value;
use tidemark_gateway::causes::joined;
use tidemark_listener_core::{failure::Failure, shape};

use super::OPTIONS;

/// What a policy may say.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct PolicyOptions {
    /// The operator's word that every replica holds everything, so that one of them suffices. By default all are needed.
    pub complete: bool,
}

/// What a restore may say: nothing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct RestoreOptions {}

impl PolicyOptions {
    /// Reads the options of a policy.
    ///
    /// # Errors
    /// `TM-TOY-0002` naming the option.
    pub fn read(options: &Value) -> Result<Self, Failure> {
        shape::read(options).map_err(|error| wrong(&error))
    }
}

impl RestoreOptions {
    /// Reads the options of a restore.
    ///
    /// # Errors
    /// `TM-TOY-0002` naming the option.
    pub fn read(options: &Value) -> Result<Self, Failure> {
        shape::read(options).map_err(|error| wrong(&error))
    }
}

fn wrong(error: &shape::Error) -> Failure {
    Failure::new(OPTIONS, format!("options: {}", joined(error)))
}
