//! What the schema statements of a restore make, and which of them failed.

use std::collections::{BTreeMap, BTreeSet};

use tidemark_listener_core::failure::Failure;

use crate::restore::schema::cql;

/// Statements that the destination refused.
#[derive(Debug, Default)]
pub struct Failed {
    /// Whatever tables of a keyspace need: the keyspace itself, types, functions.
    keyspaces: BTreeMap<String, Failure>,
    /// Keyspaces whose own statements were refused.
    unmade: BTreeSet<String>,
    tables: BTreeMap<(String, String), Failure>,
    /// Texts of indexes and views.
    builds: BTreeSet<String>,
}

impl Failed {
    /// Notes a refused statement; gives the error back where it makes no table and nothing that a table needs.
    pub fn add(&mut self, statement: &str, error: Failure) -> Option<Failure> {
        match made(statement) {
            Some(Made::Table(name)) => {
                self.tables.entry(name).or_insert(error);
            }
            Some(Made::Part(keyspace)) => {
                self.keyspaces.entry(keyspace).or_insert(error);
            }
            Some(Made::Keyspace(keyspace)) => {
                self.unmade.insert(keyspace.clone());
                self.keyspaces.entry(keyspace).or_insert(error);
            }
            None => {
                self.builds.insert(statement.to_owned());
                return Some(error);
            }
        }
        None
    }

    /// Why the table could not be made; taken out. What it needs and does not have comes before its own refusal.
    pub fn take(&mut self, table: &(String, String)) -> Option<Failure> {
        let own = self.tables.remove(table)?;
        let needed = self.keyspaces.get(&table.0);
        Some(
            needed.map_or(own, |e| Failure { hint: e.hint.clone(), ..Failure::new(e.code.clone(), e.message.clone()) }),
        )
    }

    /// True where the keyspace could not be made.
    pub fn is_unmade(&self, keyspace: &str) -> bool {
        self.unmade.contains(keyspace)
    }

    /// True where this statement of an index or view failed.
    pub fn is_failed(&self, statement: &str) -> bool {
        self.builds.contains(statement)
    }
}

/// What a statement makes or alters.
enum Made {
    Keyspace(String),
    /// A type, function or aggregate of a keyspace.
    Part(String),
    /// Keyspace and table.
    Table((String, String)),
}

/// What a statement makes or alters; `None` for indexes and views.
fn made(statement: &str) -> Option<Made> {
    let tokens = cql::tokenize(statement).ok()?;
    let solid = cql::solid(&tokens);
    let kinds = ["KEYSPACE", "TYPE", "TABLE", "FUNCTION", "AGGREGATE"];
    let at = solid.iter().take(4).position(|t| kinds.iter().any(|kind| t.is_word(kind)))?;
    // IF NOT EXISTS may stand between.
    let name = if solid.get(at + 1)?.is_word("IF") { at + 4 } else { at + 1 };
    let keyspace = solid.get(name)?.name()?;
    if solid[at].is_word("KEYSPACE") {
        return Some(Made::Keyspace(keyspace));
    }
    if !solid[at].is_word("TABLE") {
        return Some(Made::Part(keyspace));
    }
    Some(Made::Table((keyspace, solid.get(name + 2)?.name()?)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn error(text: &str) -> Failure {
        Failure::new("TM-REST-0203", text)
    }

    #[test]
    fn a_table_that_was_refused_is_known_by_its_name() {
        let mut failed = Failed::default();
        let statement = "CREATE TABLE IF NOT EXISTS \"Ks\".t (k int PRIMARY KEY)";
        assert!(failed.add(statement, error("no")).is_none());
        let [name, other] = ["t", "u"].map(|table| ("Ks".to_owned(), table.to_owned()));
        assert_eq!((failed.take(&name).unwrap().message.as_str(), failed.take(&other).is_none()), ("no", true));
        assert!(failed.take(&name).is_none());
    }

    #[test]
    fn what_a_table_lacks_is_its_reason() {
        let mut failed = Failed::default();
        assert!(failed.add("CREATE TYPE IF NOT EXISTS ks.\"A\" (x int)", error("the type")).is_none());
        assert!(
            failed.add("CREATE TABLE IF NOT EXISTS ks.t (k int PRIMARY KEY, a frozen<\"A\">)", error("?")).is_none()
        );
        assert_eq!(failed.take(&("ks".to_owned(), "t".to_owned())).unwrap().message, "the type");
    }

    #[test]
    fn a_keyspace_that_was_refused_is_not_made_and_the_reason_of_its_tables() {
        let mut failed = Failed::default();
        let statements = [
            ("CREATE KEYSPACE IF NOT EXISTS \"Ks\" WITH replication = {'class': 'SimpleStrategy'}", "no right"),
            ("CREATE TABLE IF NOT EXISTS \"Ks\".t (k int PRIMARY KEY)", "no keyspace"),
            ("CREATE TYPE IF NOT EXISTS other.a (x int)", "no type"),
        ];
        assert!(statements.iter().all(|(statement, why)| failed.add(statement, error(why)).is_none()));
        assert!(failed.is_unmade("Ks") && !failed.is_unmade("other"));
        assert_eq!(failed.take(&("Ks".to_owned(), "t".to_owned())).unwrap().message, "no right");
    }

    #[test]
    fn a_column_that_could_not_be_added_again_is_its_tables_reason() {
        let mut failed = Failed::default();
        assert!(failed.add("ALTER TABLE \"ks\".\"T\" ADD \"v\" int", error("no right")).is_none());
        assert_eq!(failed.take(&("ks".to_owned(), "T".to_owned())).unwrap().message, "no right");
    }

    #[test]
    fn indexes_and_views_are_no_tables() {
        let mut failed = Failed::default();
        let index = "CREATE CUSTOM INDEX IF NOT EXISTS i ON ks.table (v) USING 'sai'";
        assert_eq!(failed.add(index, error("no")).unwrap().message, "no");
        assert!(failed.is_failed(index) && !failed.is_failed("other"));
    }
}
