//! A policy of the API and the one that is stored, one from the other.

use tidemark_catalog::pattern::{self, Patterns};
use tidemark_web::api::{Policy, Problem};

use super::super::problems::check_name;
use crate::registrations::PolicyRecord;

impl TryFrom<Policy> for PolicyRecord {
    /// Status 400: `TM-API-0400` for what is no name, `TM-POL-0400` for patterns. Options are for the source to check.
    type Error = Problem;

    fn try_from(policy: Policy) -> Result<Self, Problem> {
        let Policy { name, source, objects, excludes, store, options } = policy;
        let (name, source) = (check_name("policy", &name)?, check_name("source", &source)?);
        let store = check_name("store", &store)?;
        check_objects(&objects, &excludes)?;
        Ok(Self { excludes, options, ..Self::new(name, source, objects, store) })
    }
}

impl From<PolicyRecord> for Policy {
    fn from(record: PolicyRecord) -> Self {
        let PolicyRecord { name, source, objects, excludes, store, options, .. } = record;
        let [name, source, store] = [name.to_string(), source.to_string(), store.to_string()];
        Self { name, source, objects, excludes, store, options }
    }
}

fn check_objects(objects: &[String], excludes: &[String]) -> Result<(), Problem> {
    let named = Patterns::parse(objects).map_err(|error| no_pattern("objects", &error))?;
    let patterns = named.without(excludes).map_err(|error| no_pattern("excludes", &error))?;
    if patterns.is_empty() { Err(Problem::bad_request("TM-POL-0400", "objects is empty")) } else { Ok(()) }
}

fn no_pattern(field: &str, error: &pattern::Error) -> Problem {
    Problem::bad_request("TM-POL-0400", format!("{field}: {error}"))
        .with_hint("patterns are part/part, with * for any text within a part")
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn policy() -> Policy {
        Policy {
            name: "daily".to_owned(),
            source: "shop".to_owned(),
            objects: vec!["ks/*".to_owned(), "{a,b}/t".to_owned()],
            excludes: vec!["ks/tmp_*".to_owned()],
            store: "s".to_owned(),
            options: json!({"write_level": "quorum", "repaired": true}),
        }
    }

    #[test]
    fn a_policy_comes_back_as_it_was_given() {
        assert_eq!(Policy::from(PolicyRecord::try_from(policy()).unwrap()), policy());
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
        for objects in [vec![], vec!["ks/{a".to_owned()]] {
            assert_eq!(code(Policy { objects, ..policy() }), "TM-POL-0400");
        }
        for excludes in ["ks/{a", "ks/"] {
            assert_eq!(code(Policy { excludes: vec![excludes.to_owned()], ..policy() }), "TM-POL-0400");
        }
    }
}
