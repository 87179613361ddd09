//! What a policy says of a Cassandra source.

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use tidemark_listener_core::shape;

use crate::write_level::{WriteLevel, names};

/// Level where no policy says one.
const UNSAID: &str = "quorum";

/// Levels that a policy can declare: with `any` a write may be on no replica, and no version would be proven complete.
const DECLARED: [WriteLevel; 8] = [
    WriteLevel::One,
    WriteLevel::Two,
    WriteLevel::Three,
    WriteLevel::Quorum,
    WriteLevel::All,
    WriteLevel::LocalOne,
    WriteLevel::LocalQuorum,
    WriteLevel::EachQuorum,
];

/// What a policy says of the application's writes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Options {
    /// Level at which writes are acknowledged, by its name in lower case; `quorum` where nothing is said.
    pub write_level: String,
    /// The operator's word that the level always held and repairs ran since the last change of replication or ring.
    pub repaired: bool,
}

impl Default for Options {
    fn default() -> Self {
        Self { write_level: UNSAID.to_owned(), repaired: false }
    }
}

/// Options that cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A field is unknown or of another type.
    #[error("options")]
    Shape(#[source] shape::Error),
    /// The word is given for a level that is not said.
    #[error("repaired is the word that the write level always held: say the level with it, as write_level")]
    NoLevel,
    /// The level is not one that a policy can declare.
    #[error("write_level {0:?} is not one of {names}", names = names(&DECLARED))]
    Level(String),
}

impl Options {
    /// Parses options; an unknown level proves nothing ([`coverage::judge`](crate::coverage::judge)).
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
        if parsed.repaired && options.get("write_level").is_none() {
            return Err(Error::NoLevel);
        }
        let declared = DECLARED.iter().any(|level| level.as_str() == parsed.write_level);
        if declared { Ok(()) } else { Err(Error::Level(parsed.write_level)) }
    }
}

/// The same options with what is not said; as they are where they cannot be read.
pub fn normal(options: &Value) -> Value {
    Options::parse(options).map_or_else(|_| options.clone(), |options| json!(options))
}

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
    use tidemark_gateway::causes::joined;

    use super::*;

    #[test]
    fn options_are_checked_by_name() {
        let full = Options::parse(&json!({"write_level": "quorum", "repaired": true})).unwrap();
        assert_eq!((full.write_level.as_str(), full.repaired), ("quorum", true));
        assert_eq!(Options::parse(&json!({})).unwrap(), Options::default());
        let unsaid = joined(&Options::validate(&json!({"repaired": true})).unwrap_err());
        assert!(unsaid.contains("write_level"), "{unsaid}");
        for level in ["", "any", "QUORUM", "local-quorum", "most"] {
            let error = joined(&Options::validate(&json!({"write_level": level})).unwrap_err());
            assert!(error.contains(&format!("{level:?}")) && error.contains("each_quorum"), "{error}");
        }
        for (wrong, word) in
            [(json!({"repaired": 1}), "boolean"), (json!({"level": "one"}), "level"), (json!([]), "options")]
        {
            let error = joined(&Options::validate(&wrong).unwrap_err());
            assert!(error.contains(word), "{error}");
        }
    }

    #[test]
    fn options_that_mean_the_same_are_equal_in_their_normal_form() {
        let full = json!({"write_level": "quorum", "repaired": false});
        for said in [json!({}), json!({"write_level": "quorum"}), full.clone()] {
            assert_eq!(normal(&said), full, "{said}");
        }
        assert_ne!(normal(&json!({"write_level": "one"})), full);
        assert_eq!(normal(&json!({"deep": 1})), json!({"deep": 1}));
    }

    /// What is said of two tables whose policies say these levels.
    fn said(tables: [&[(&str, bool)]; 2]) -> (String, bool) {
        let json = |own: &[(&str, bool)]| {
            own.iter().map(|(level, repaired)| json!({"write_level": level, "repaired": repaired})).collect::<Vec<_>>()
        };
        let owned = tables.map(json);
        let borrowed: Vec<Vec<&Value>> = owned.iter().map(|own| own.iter().collect()).collect();
        let Options { write_level, repaired } = Options::parse(&undeclared(&borrowed)).unwrap();
        (write_level, repaired)
    }

    #[test]
    fn only_policies_that_name_all_tables_and_agree_are_believed() {
        let quorum = ("quorum", true);
        assert_eq!(said([&[quorum], &[quorum]]), ("quorum".to_owned(), true));
        assert_eq!(said([&[("all", true)], &[("all", true)]]), ("all".to_owned(), true));
        assert!(!said([&[quorum], &[]]).1, "none names the other");
        assert_eq!(said([&[], &[]]), ("quorum".to_owned(), false));
        assert!(!said([&[quorum, ("quorum", false)], &[quorum]]).1);
        assert!(!said([&[quorum], &[("one", true)]]).1);
        assert_eq!(said([&[quorum, ("any", true)], &[quorum]]), ("any".to_owned(), false));
    }
}
