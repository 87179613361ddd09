//! A captured keyspace in which one table has another name; its indexes and views follow.
//!
//! Names of indexes and views are unique in a keyspace, which may be the one that the table came from: those of a renamed
//! table are named after it, `<table>_<name>`.

use std::collections::BTreeMap;

use crate::{
    cluster::{CreateStatement, KeyspaceSchema},
    restore::schema::{
        cql::{self, Kind, Token},
        statements,
    },
};

/// The keyspace with the table `from` named `to`, in its rows and in every statement.
///
/// # Errors
/// In words, where a statement is not CQL as this crate understands it.
pub(in crate::restore) fn table(captured: &KeyspaceSchema, from: &str, to: &str) -> Result<KeyspaceSchema, String> {
    let mut names = BTreeMap::from([(from.to_owned(), to.to_owned())]);
    names.extend(statements::views_of(captured, from).into_iter().map(|view| (view.clone(), format!("{to}_{view}"))));
    let mut renamed = captured.clone();
    for table in renamed.tables.iter_mut().filter(|table| table.name == from) {
        table.name = to.to_owned();
    }
    for item in &mut renamed.statements {
        rename(item, &captured.name, from, to, &names).map_err(|why| format!("{} {}: {why}", item.kind, item.name))?;
    }
    Ok(renamed)
}

fn rename(
    item: &mut CreateStatement,
    keyspace: &str,
    from: &str,
    to: &str,
    names: &BTreeMap<String, String>,
) -> Result<(), cql::Error> {
    let kind = item.kind.to_ascii_lowercase();
    if kind != "table" && kind != "index" && !kind.contains("view") {
        return Ok(());
    }
    let mut tokens = cql::tokenize(&item.statement)?;
    if !qualified(&tokens, keyspace).any(|at| tokens[at].name().as_deref() == Some(from)) {
        return Ok(());
    }
    if kind == "index" {
        name_index(&mut tokens, to);
    }
    let places: Vec<usize> = qualified(&tokens, keyspace).collect();
    for at in places {
        if let Some(new) = tokens[at].name().and_then(|name| names.get(&name)) {
            tokens[at] = Token::quoted(new);
        }
    }
    let moved = if kind == "index" { Some(format!("{to}_{}", item.name)) } else { names.get(&item.name).cloned() };
    item.name = moved.unwrap_or_else(|| item.name.clone());
    item.statement = cql::text(&tokens);
    Ok(())
}

/// Places of the names that the keyspace qualifies: `keyspace . name`.
fn qualified<'a>(tokens: &'a [Token], keyspace: &'a str) -> impl Iterator<Item = usize> + 'a {
    let solid: Vec<usize> = (0..tokens.len()).filter(|at| tokens[*at].kind != Kind::Blank).collect();
    let named = move |w: &[usize]| {
        let [before, dot, name] = *w else { return None };
        (tokens[dot].is_sign('.') && tokens[before].name().as_deref() == Some(keyspace)).then_some(name)
    };
    solid.windows(3).filter_map(named).collect::<Vec<_>>().into_iter()
}

/// Names an index after its table: the name stands before `ON`.
fn name_index(tokens: &mut [Token], to: &str) {
    let solid: Vec<usize> = (0..tokens.len()).filter(|at| tokens[*at].kind != Kind::Blank).collect();
    let Some(on) = solid.iter().position(|at| tokens[*at].is_word("ON")) else { return };
    let Some(at) = on.checked_sub(1).map(|before| solid[before]) else { return };
    if let Some(name) = tokens[at].name().filter(|_| !tokens[at].is_word("INDEX")) {
        tokens[at] = Token::quoted(&format!("{to}_{name}"));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cluster::TableRows;

    fn item(kind: &str, name: &str, statement: &str) -> CreateStatement {
        CreateStatement { kind: kind.into(), name: name.into(), statement: statement.into() }
    }

    fn keyspace() -> KeyspaceSchema {
        let rows = |name: &str| TableRows {
            name: name.into(),
            id: "0".repeat(32),
            flags: vec!["compound".into()],
            gc_grace_seconds: 0,
            default_time_to_live: 0,
            columns: vec![],
            dropped: vec![],
        };
        KeyspaceSchema {
            name: "ks".into(),
            replication: BTreeMap::new(),
            durable_writes: true,
            types: vec![],
            tables: vec![rows("t"), rows("u")],
            statements: vec![
                item("table", "t", "CREATE TABLE ks.t (k int PRIMARY KEY, t text) WITH comment = 'ks.t'"),
                item("table", "u", "CREATE TABLE ks.u (k int PRIMARY KEY)"),
                item("index", "i", "CREATE INDEX i ON ks.t (t);"),
                item("index", "j", "CREATE INDEX j ON ks.u (k);"),
                item(
                    "materialized_view",
                    "v",
                    "CREATE MATERIALIZED VIEW ks.v AS SELECT * FROM ks.t WHERE t IS NOT NULL PRIMARY KEY (t, k);",
                ),
            ],
        }
    }

    #[test]
    fn a_table_its_index_and_its_view_move_together_and_nothing_else_does() {
        let moved = table(&keyspace(), "t", "t2").unwrap();
        let statements: Vec<&str> = moved.statements.iter().map(|s| s.statement.as_str()).collect();
        assert_eq!(
            statements,
            [
                "CREATE TABLE ks.\"t2\" (k int PRIMARY KEY, t text) WITH comment = 'ks.t'",
                "CREATE TABLE ks.u (k int PRIMARY KEY)",
                "CREATE INDEX \"t2_i\" ON ks.\"t2\" (t);",
                "CREATE INDEX j ON ks.u (k);",
                "CREATE MATERIALIZED VIEW ks.\"t2_v\" AS SELECT * FROM ks.\"t2\" WHERE t IS NOT NULL PRIMARY KEY (t, k);",
            ]
        );
        let names: Vec<&str> = moved.statements.iter().map(|s| s.name.as_str()).collect();
        assert_eq!(names, ["t2", "u", "t2_i", "j", "t2_v"]);
        assert_eq!(moved.tables.iter().map(|t| t.name.as_str()).collect::<Vec<_>>(), ["t2", "u"]);
    }
}
