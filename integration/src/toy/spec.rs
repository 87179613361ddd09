//! The specification of a source, and of a destination.

use std::{collections::BTreeSet, path::PathBuf};

use serde::Deserialize;
use serde_json::Value;
use tidemark_gateway::causes::joined;
use tidemark_listener_core::{failure::Failure, shape};

use super::SPECIFICATION;

/// The replicas of a source.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Specification {
    /// At least one.
    pub replicas: Vec<Replica>,
}

/// A replica.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Replica {
    /// Lower-case letters, digits and `-`; the same for ever.
    pub id: String,
    /// Where it is, absolute.
    pub directory: PathBuf,
}

impl Specification {
    /// Reads a specification. Looks at no directory.
    ///
    /// # Errors
    /// `TM-TOY-0001` naming the field.
    pub fn read(spec: &Value) -> Result<Self, Failure> {
        let wrong = |why: String| Failure::new(SPECIFICATION, format!("specification: {why}"));
        let read: Self = shape::read(spec).map_err(|error| wrong(joined(&error)))?;
        read.wrong().map_or(Ok(read), |why| Err(wrong(why)))
    }

    /// What is wrong with values of the right types.
    fn wrong(&self) -> Option<String> {
        if self.replicas.is_empty() {
            return Some("replicas: there is none".to_owned());
        }
        let mut ids = BTreeSet::new();
        self.replicas.iter().enumerate().find_map(|(index, replica)| {
            let why = match replica {
                Replica { id, .. } if !is_id(id) => "id: not lower-case letters, digits and -",
                Replica { id, .. } if !ids.insert(id) => "id: another replica has it",
                Replica { directory, .. } if !directory.is_absolute() => "directory: not absolute",
                _ => return None,
            };
            Some(format!("replicas[{index}].{why}"))
        })
    }
}

/// True for what names a partition.
fn is_id(text: &str) -> bool {
    let plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
    (1..=60).contains(&text.len()) && text.bytes().all(plain)
}
