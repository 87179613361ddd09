//! What a policy says of a Cassandra source.

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use tidemark_listener_core::shape;

use tidemark_catalog::write_level::{UnknownLevel, WriteLevel};

/// What a policy says of the application's writes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Options {
    /// Level at which writes are acknowledged, by its CQL name; where nothing is said `one`, which proves least.
    pub write_level: String,
    /// The operator's word that the level always held and repairs ran since the last change of replication or ring.
    pub repaired: bool,
}

impl Default for Options {
    fn default() -> Self {
        Self { write_level: "one".to_owned(), repaired: false }
    }
}

/// Options that cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A field is unknown or of another type.
    #[error("options")]
    Shape(#[source] shape::Error),
    /// The level is none.
    #[error("options.write_level")]
    Level(#[source] UnknownLevel),
}

impl Options {
    /// Parses options; a level that is none proves nothing ([`coverage::judge`](crate::coverage::judge)).
    ///
    /// # Errors
    /// [`Error::Shape`].
    pub fn parse(options: &Value) -> Result<Self, Error> {
        shape::read(options).map_err(Error::Shape)
    }

    /// Checks the options of a new policy.
    ///
    /// # Errors
    /// [`Error`] naming the field.
    pub fn validate(options: &Value) -> Result<(), Error> {
        let parsed = Self::parse(options)?;
        parsed.write_level.parse::<WriteLevel>().map(drop).map_err(Error::Level)
    }
}

/// Level where no policy says one.
const UNSAID: &str = "quorum";

/// What may be taken for said of tables for which there is no policy of their own: `policies` holds, by table, the options of
/// the policies that name it. Where a table is named by none, or they do not agree, nobody's word is taken for the others'.
pub fn undeclared(policies: &[Vec<&Value>]) -> Value {
    let read = |options: &&Value| Options::parse(options).unwrap_or_default();
    let by_table: Vec<Vec<Options>> = policies.iter().map(|options| options.iter().map(read).collect()).collect();
    let named: Vec<&Options> = by_table.iter().flatten().collect();
    let level = named.first().map_or(UNSAID, |options| options.write_level.as_str());
    let agreed = named.iter().all(|options| options.write_level == level);
    let repaired = agreed && by_table.iter().all(|own| !own.is_empty() && own.iter().all(|options| options.repaired));
    let any = named.iter().find(|options| options.write_level == "any");
    json!(Options { write_level: any.map_or(level, |options| &options.write_level).to_owned(), repaired })
}

#[cfg(test)]
mod tests {
    use tidemark_gateway::causes::chain;

    use super::*;

    #[test]
    fn options_are_checked_by_name() {
        let full = Options::parse(&json!({"write_level": "quorum", "repaired": true})).unwrap();
        assert_eq!((full.write_level.as_str(), full.repaired), ("quorum", true));
        assert_eq!(Options::parse(&json!({})).unwrap(), Options::default());
        for (wrong, word) in [
            (json!({"write_level": "most"}), "most"),
            (json!({"repaired": 1}), "boolean"),
            (json!({"level": "one"}), "level"),
            (json!([]), "options"),
        ] {
            let error = chain(&Options::validate(&wrong).unwrap_err());
            assert!(error.contains(word), "{error}");
        }
    }
}
