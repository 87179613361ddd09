//! A policy of the API and the one that is stored, one from the other.

use tidemark_catalog::{
    pattern::Patterns,
    write_level::{WriteLevel, names},
};
use tidemark_web::api::{Policy, Problem};

use super::super::problems::check_name;
use crate::registrations::PolicyRecord;

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

impl TryFrom<Policy> for PolicyRecord {
    /// Status 400: `TM-API-0400` for what is no name, `TM-POL-0400` for levels and patterns.
    type Error = Problem;

    fn try_from(policy: Policy) -> Result<Self, Problem> {
        let Policy { name, source, objects, store, write_level, repaired } = policy;
        let (name, source) = (check_name("policy", &name)?, check_name("source", &source)?);
        let (store, write_level) = (check_name("store", &store)?, level(&write_level)?);
        check_objects(&objects)?;
        Ok(Self { name, source, objects, store, write_level, repaired })
    }
}

impl From<PolicyRecord> for Policy {
    fn from(record: PolicyRecord) -> Self {
        let PolicyRecord { name, source, objects, store, write_level, repaired } = record;
        let [name, source, store] = [name.to_string(), source.to_string(), store.to_string()];
        Self { name, source, objects, store, write_level: write_level.to_string(), repaired }
    }
}

/// The level of exactly this name.
fn level(name: &str) -> Result<WriteLevel, Problem> {
    let found = DECLARED.into_iter().find(|level| level.as_str() == name);
    let refuse = || format!("write_level {name:?} is not one of {}", names(&DECLARED));
    found.ok_or_else(|| Problem::bad_request("TM-POL-0400", refuse()))
}

fn check_objects(objects: &[String]) -> Result<(), Problem> {
    match Patterns::parse(objects) {
        Ok(patterns) if patterns.is_empty() => Err(Problem::bad_request("TM-POL-0400", "objects is empty")),
        Err(error) => Err(Problem::bad_request("TM-POL-0400", format!("objects: {error}"))
            .with_hint("patterns are part/part, with * for any text within a part")),
        Ok(_) => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn policy() -> Policy {
        Policy {
            name: "daily".to_owned(),
            source: "shop".to_owned(),
            objects: vec!["ks/*".to_owned(), "{a,b}/t".to_owned()],
            store: "s".to_owned(),
            write_level: "quorum".to_owned(),
            repaired: true,
        }
    }

    #[test]
    fn a_policy_comes_back_as_it_was_given() {
        for level in DECLARED {
            let policy = Policy { write_level: level.to_string(), repaired: level == WriteLevel::One, ..policy() };
            assert_eq!(Policy::from(PolicyRecord::try_from(policy.clone()).unwrap()), policy);
        }
    }

    #[test]
    fn the_stored_policy_has_the_json_of_the_one_that_was_asked_for() {
        let record = PolicyRecord::try_from(policy()).unwrap();
        assert_eq!(serde_json::to_value(record).unwrap(), serde_json::to_value(policy()).unwrap());
    }

    #[test]
    fn hostile_values_are_refused_with_their_code() {
        let code = |policy: Policy| {
            let problem = PolicyRecord::try_from(policy).unwrap_err();
            assert_eq!(problem.status, 400);
            problem.code
        };
        for name in ["", "A", "../x", "a/b", "-a"] {
            let text = name.to_owned();
            assert_eq!(code(Policy { name: text.clone(), ..policy() }), "TM-API-0400");
            assert_eq!(code(Policy { source: text.clone(), ..policy() }), "TM-API-0400");
            assert_eq!(code(Policy { store: text, ..policy() }), "TM-API-0400");
        }
        for write_level in ["", "any", "QUORUM", "local-quorum", "most"] {
            assert_eq!(code(Policy { write_level: write_level.to_owned(), ..policy() }), "TM-POL-0400");
        }
        for objects in [vec![], vec!["ks/{a".to_owned()]] {
            assert_eq!(code(Policy { objects, ..policy() }), "TM-POL-0400");
        }
    }
}
