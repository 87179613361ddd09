//! What belongs to tables and is not part of a version, and what of the schema comes along with them.

use tidemark_catalog::pattern::Patterns;
use tidemark_listener_core::check::{Line, some};

use crate::{
    cluster::{CreateStatement, KeyspaceSchema},
    describe::TRIGGER,
    restore::schema::cql,
};

/// Lines about functions, triggers and roles.
pub(super) fn lines(subject: &str, keyspaces: &[KeyspaceSchema], patterns: &Patterns) -> Vec<Line> {
    let functions = names(keyspaces, |_, item| matches!(item.kind.as_str(), "function" | "aggregate"));
    let triggers = names(keyspaces, |keyspace, item| {
        item.kind == TRIGGER && table_of(item).is_some_and(|table| patterns.matches(&[keyspace, &table]))
    });
    let mut lines = Vec::new();
    if !functions.is_empty() {
        let detail = format!("captured with the schema: {}", some(functions));
        lines.push(Line::ok("functions", subject, detail));
    }
    if !triggers.is_empty() {
        let hint = "keep their classes and statements elsewhere: a restore does not make them again";
        lines.push(Line::warn("triggers", subject, format!("not part of a version: {}", some(triggers)), hint));
    }
    lines.push(Line::ok("roles", subject, "roles and permissions are not part of a version"));
    lines
}

fn names(keyspaces: &[KeyspaceSchema], chosen: impl Fn(&str, &CreateStatement) -> bool) -> Vec<String> {
    let of = |keyspace: &KeyspaceSchema| {
        let items = keyspace.statements.iter().filter(|item| chosen(&keyspace.name, item));
        items.map(|item| format!("{}/{}", keyspace.name, item.name)).collect::<Vec<_>>()
    };
    keyspaces.iter().flat_map(of).collect()
}

/// The table of a trigger: `CREATE TRIGGER name ON keyspace.table`.
fn table_of(trigger: &CreateStatement) -> Option<String> {
    let tokens = cql::tokenize(&trigger.statement).ok()?;
    cql::solid(&tokens).get(6).and_then(|table| table.name())
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    #[test]
    fn triggers_of_chosen_tables_and_functions_of_keyspaces_are_named() {
        let item = |kind: &str, name: &str, statement: &str| CreateStatement {
            kind: kind.into(),
            name: name.into(),
            statement: statement.into(),
        };
        let keyspace = KeyspaceSchema {
            name: "ks".into(),
            replication: BTreeMap::new(),
            durable_writes: true,
            types: vec![],
            tables: vec![],
            statements: vec![
                item(TRIGGER, "audit", r#"CREATE TRIGGER "audit" ON "ks"."T" USING 'a.B'"#),
                item(TRIGGER, "other", r#"CREATE TRIGGER "other" ON "ks"."u" USING 'a.B'"#),
                item("function", "f", "CREATE FUNCTION ks.f() …"),
                item("table", "T", "CREATE TABLE …"),
            ],
        };
        let patterns = Patterns::parse(&["ks/T".to_owned()]).unwrap();
        let details: Vec<String> = lines("n", &[keyspace], &patterns)
            .into_iter()
            .map(|line| format!("{}: {}", line.name, line.detail))
            .collect();
        assert_eq!(
            details[..2],
            ["functions: captured with the schema: ks/f", "triggers: not part of a version: ks/audit"]
        );
        assert!(details[2].starts_with("roles: ") && details.len() == 3);
    }
}
