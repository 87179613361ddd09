//! Statements of a restore that are known again by their text: those that add columns, and those that a destination builds for.

use std::fmt;

use crate::{
    cluster::{ColumnRow, KeyspaceSchema},
    restore::schema::cql,
};

/// The statement that adds a column to a table.
pub fn add_column(keyspace: &str, table: &str, column: &ColumnRow) -> String {
    let placed = if column.kind == "static" { " static" } else { "" };
    let [keyspace, table, name] = [keyspace, table, column.name.as_str()].map(cql::quote);
    format!("ALTER TABLE {keyspace}.{table} ADD {name} {}{placed}", column.cql_type)
}

/// Keyspace, table and column of a statement of [`add_column`]; `None` for other statements.
pub fn added_column(statement: &str) -> Option<[String; 3]> {
    let tokens = cql::tokenize(statement).ok()?;
    let solid = cql::solid(&tokens);
    let shape = solid.first()?.is_word("ALTER") && solid.get(5)?.is_word("ADD");
    let name = |at: usize| solid.get(at).and_then(|token| token.name());
    shape.then_some([name(2)?, name(4)?, name(6)?])
}

/// True where the column (keyspace, table, its name) is there.
pub fn has_column(there: &[KeyspaceSchema], [keyspace, table, column]: &[String; 3]) -> bool {
    let tables = there.iter().filter(|k| k.name == *keyspace).flat_map(|k| &k.tables);
    tables.filter(|t| t.name == *table).flat_map(|t| &t.columns).any(|c| c.name == *column)
}

/// The first column (keyspace, table, its name) that the statements add and that is not there.
pub fn first_lacking(statements: &[String], there: &[KeyspaceSchema]) -> Option<[String; 3]> {
    statements.iter().filter_map(|statement| added_column(statement)).find(|column| !has_column(there, column))
}

/// What a destination builds from the rows of a table.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum BuiltKind {
    /// A secondary or storage-attached index.
    Index,
    /// A materialised view.
    View,
}

/// An index or a view.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Built {
    /// Which of both.
    pub kind: BuiltKind,
    /// Its keyspace.
    pub keyspace: String,
    /// Its name.
    pub name: String,
}

impl fmt::Display for Built {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kind = if self.kind == BuiltKind::Index { "index" } else { "materialised view" };
        write!(f, "{kind} {}.{}", self.keyspace, self.name)
    }
}

/// The index or view that a statement of [`statements`](super::statements::statements) makes; `None` for other statements. Such statements run after the
/// load.
pub fn built(statement: &str) -> Option<Built> {
    let tokens = cql::tokenize(statement).ok()?;
    let solid = cql::solid(&tokens);
    let word = solid.iter().take(3).position(|t| t.is_word("INDEX") || t.is_word("VIEW"))?;
    // IF NOT EXISTS stands between.
    let name = solid.get(word + 4)?.name()?;
    if solid[word].is_word("VIEW") {
        return Some(Built { kind: BuiltKind::View, keyspace: name, name: solid.get(word + 6)?.name()? });
    }
    let on = solid.iter().position(|t| t.is_word("ON"))?;
    Some(Built { kind: BuiltKind::Index, keyspace: solid.get(on + 1)?.name()?, name })
}

#[cfg(test)]
mod tests {
    use super::{
        super::statements::tests::{column, keyspace},
        *,
    };

    #[test]
    fn a_column_that_is_added_is_known_by_its_statement() {
        let statement = add_column("ks", "T", &column("a\"b", "static", "frozen<u>"));
        assert_eq!(statement, "ALTER TABLE \"ks\".\"T\" ADD \"a\"\"b\" frozen<u> static");
        assert_eq!(added_column(&statement), Some(["ks", "T", "a\"b"].map(str::to_owned)));
        assert_eq!(added_column("CREATE TYPE IF NOT EXISTS \"ks\".u (x int)"), None);
        let there = [keyspace(Vec::new(), vec![column("v", "regular", "int")], Vec::new())];
        let statements = ["v", "w"].map(|name| add_column("ks", "t", &column(name, "regular", "int")));
        assert_eq!(first_lacking(&statements, &there), Some(["ks", "t", "w"].map(str::to_owned)));
        assert_eq!(first_lacking(&statements[..1], &there), None);
    }
}
