//! Whether a captured schema fits: to CQL at all, and to what is at the destination already. Pure.

use std::collections::{BTreeMap, BTreeSet};

use tidemark_listener_core::check::Line;

use crate::{
    cluster::{ColumnRow, KeyspaceSchema, TableRows, UdtSchema},
    restore::observe::ObservedNode,
};

/// Why rows of the table cannot be written by CQL; none where they can.
pub fn not_restorable(table: &TableRows) -> Vec<String> {
    let mut reasons = Vec::new();
    let flag = |name: &str| table.flags.iter().any(|f| f == name);
    // CQL has no word for custom types: they are printed as a quoted Java class.
    for column in table.columns.iter().filter(|c| c.cql_type.contains('\'')) {
        reasons.push(format!("column {:?} has the custom type {}", column.name, column.cql_type));
    }
    if flag("dense") || flag("super") || !flag("compound") {
        reasons.push("the table has COMPACT STORAGE".to_owned());
    }
    reasons
}

/// True where the table's columns are counters, which are restored by addition.
pub fn has_counters(table: &TableRows) -> bool {
    table.columns.iter().any(|c| c.cql_type == "counter")
}

/// True for names that Cassandra takes for keyspaces: 1 to 48 letters, digits and underscores.
pub fn is_keyspace_name(name: &str) -> bool {
    (1..=48).contains(&name.len()) && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_')
}

/// Takes one table, its statement and its types from another capture of the same keyspace.
pub fn adopt(into: &mut KeyspaceSchema, from: &KeyspaceSchema, table: &str) {
    if !into.tables.iter().any(|t| t.name == table) {
        into.tables.extend(from.tables.iter().filter(|t| t.name == table).cloned());
    }
    for udt in &from.types {
        if !into.types.iter().any(|t| t.name == udt.name) {
            into.types.push(udt.clone());
        }
    }
    for statement in &from.statements {
        if !into.statements.iter().any(|s| (&s.kind, &s.name) == (&statement.kind, &statement.name)) {
            into.statements.push(statement.clone());
        }
    }
}

/// Whether the `loaded` tables and the types that the `chosen` ones use fit into a keyspace that exists.
pub fn existing(captured: &KeyspaceSchema, chosen: &[String], loaded: &[String], there: &KeyspaceSchema) -> Vec<Line> {
    let detail = format!("exists with replication {:?} and is used as it is", there.replication);
    let mut lines = vec![Line::ok("keyspace", &there.name, detail)];
    let tables = chosen.iter().filter_map(|name| captured.table(name));
    let used: BTreeMap<&str, &UdtSchema> = tables.flat_map(|table| captured.types_of(table)).collect();
    for udt in used.into_values() {
        let same = there.types.iter().find(|t| t.name == udt.name).is_none_or(|t| t == udt);
        if !same {
            let detail = format!("type {} exists with other fields", udt.name);
            lines.push(Line::fail("schema", &there.name, detail, "restore into another keyspace"));
        }
    }
    for name in loaded {
        if let (Some(captured), Some(there_table)) = (captured.table(name), there.table(name)) {
            let subject = format!("{}/{name}", there.name);
            lines
                .extend(differences(captured, there_table).map(|why| {
                    Line::fail("schema", &subject, why, "restore into another keyspace, or drop the table")
                }));
        }
    }
    lines
}

/// Why a table that exists cannot take the rows.
fn differences(captured: &TableRows, there: &TableRows) -> impl Iterator<Item = String> {
    let columns = |t: &TableRows| {
        let mut columns: Vec<ColumnRow> = t.columns.clone();
        columns.sort_by(|a, b| a.name.cmp(&b.name));
        columns
    };
    let other = (columns(captured) != columns(there)).then(|| "the table exists with other columns".to_owned());
    let dropped: Vec<String> = there
        .dropped
        .iter()
        .filter(|d| captured.columns.iter().any(|c| c.name == d.name))
        .map(|d| format!("column {:?} was dropped and added again: values older than the drop would not show", d.name))
        .collect();
    other.into_iter().chain(dropped)
}

/// Whether a new keyspace can have this replication.
pub fn replication(keyspace: &str, options: &BTreeMap<String, String>, nodes: &[ObservedNode]) -> Vec<Line> {
    const HINT: &str = "say how the keyspace is to be replicated at the destination";
    let Some(class) = options.get("class") else {
        return vec![Line::fail("keyspace", keyspace, "its replication names no class", HINT)];
    };
    let fail = |why: String| vec![Line::fail("keyspace", keyspace, why, HINT)];
    let others = options.iter().filter(|(name, _)| *name != "class");
    let factors: Vec<(&String, Option<usize>)> = others.map(|(name, factor)| (name, factor.parse().ok())).collect();
    if let Some((name, _)) = factors.iter().find(|(_, factor)| factor.is_none()) {
        return fail(format!("its replication for {name:?} is not a plain number"));
    }
    let dcs: BTreeSet<&str> = nodes.iter().map(|n| n.dc.as_str()).collect();
    let by_dc = class.ends_with("NetworkTopologyStrategy");
    for (name, factor) in factors {
        let members = nodes.iter().filter(|n| name == "replication_factor" || n.dc == *name).count();
        if by_dc && name != "replication_factor" && !dcs.contains(name.as_str()) {
            return fail(format!("data centre {name:?} is not at the destination, which has {dcs:?}"));
        }
        if factor.unwrap_or(0) > members {
            return fail(format!("{} replicas for {name:?} on {members} nodes", factor.unwrap_or(0)));
        }
    }
    vec![Line::ok("keyspace", keyspace, format!("will be made with replication {options:?}"))]
}

#[cfg(test)]
mod tests {
    use tidemark_listener_core::check::Status;

    use super::*;

    fn nodes() -> Vec<ObservedNode> {
        let node = |n: u8, dc: &str| ObservedNode { address: format!("10.0.0.{n}:9042"), dc: dc.into(), up: true };
        vec![node(1, "a"), node(2, "a"), node(3, "b")]
    }

    fn options(of: &[(&str, &str)]) -> BTreeMap<String, String> {
        of.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect()
    }

    #[test]
    fn replication_must_fit_to_the_nodes() {
        let nts = "org.apache.cassandra.locator.NetworkTopologyStrategy";
        let table = [
            (options(&[("class", "SimpleStrategy"), ("replication_factor", "3")]), Status::Ok),
            (options(&[("class", "SimpleStrategy"), ("replication_factor", "4")]), Status::Fail),
            (options(&[("class", nts), ("a", "2"), ("b", "1")]), Status::Ok),
            (options(&[("class", nts), ("a", "2"), ("b", "2")]), Status::Fail),
            (options(&[("class", nts), ("c", "1")]), Status::Fail),
            (options(&[("class", nts), ("a", "3/1")]), Status::Fail),
            (options(&[("replication_factor", "1")]), Status::Fail),
        ];
        for (options, status) in table {
            assert_eq!(replication("ks", &options, &nodes())[0].status, status, "{options:?}");
        }
    }

    #[test]
    fn custom_types_and_compact_tables_are_named() {
        let column = |name: &str, cql_type: &str| ColumnRow {
            name: name.into(),
            kind: "regular".into(),
            position: -1,
            clustering_order: "none".into(),
            cql_type: cql_type.into(),
        };
        let mut table = TableRows {
            name: "t".into(),
            id: "0".repeat(32),
            flags: vec!["compound".into()],
            gc_grace_seconds: 0,
            default_time_to_live: 0,
            columns: vec![column("a", "int")],
            dropped: vec![],
        };
        assert!(not_restorable(&table).is_empty());
        table.columns.push(column("x", "'org.example.Type'"));
        assert!(not_restorable(&table)[0].contains("\"x\""));
        table.flags.clear();
        assert_eq!(not_restorable(&table).len(), 2);
    }
}
