//! Which tables can be protected, and what is worth knowing about those that can.

use tidemark_catalog::ids::ObjectName;
use tidemark_listener_core::source::LiveObject;

use crate::cluster::{KeyspaceSchema, TableRows};

/// How a table stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Support {
    /// Can be protected; the text is worth a look.
    Supported(Option<String>),
    /// Cannot be protected, and why.
    Unsupported(String),
}

/// Whether `table` can be protected, judged by its schema alone.
pub fn support(keyspace: &KeyspaceSchema, table: &TableRows) -> Support {
    if let Some((place, factor)) = keyspace.replication.iter().find(|(_, factor)| factor.contains('/')) {
        return Support::Unsupported(format!("transient replication ({place}: {factor}) is not protected"));
    }
    let notes: Vec<String> =
        [counters(table), custom_types(table), compact_storage(table), no_grace(table)].into_iter().flatten().collect();
    Support::Supported((!notes.is_empty()).then(|| notes.join("; ")))
}

fn counters(table: &TableRows) -> Option<String> {
    let text = "counters are restored into a fresh table only, and their write times are not kept";
    table.columns.iter().any(|column| column.cql_type == "counter").then(|| text.to_owned())
}

fn custom_types(table: &TableRows) -> Option<String> {
    // Types that CQL has no word for are printed as a quoted Java class name.
    let custom = table.columns.iter().find(|column| column.cql_type.contains('\''))?;
    Some(format!("column {} has the Java type {}, which CQL cannot restore", custom.name, custom.cql_type))
}

fn compact_storage(table: &TableRows) -> Option<String> {
    let compact = !table.flags.iter().any(|flag| flag == "compound") || table.flags.iter().any(|flag| flag == "dense");
    let text =
        "made WITH COMPACT STORAGE: a restore refuses it; ALTER TABLE … DROP COMPACT STORAGE at the source first";
    compact.then(|| text.to_owned())
}

fn no_grace(table: &TableRows) -> Option<String> {
    let text = "gc_grace_seconds is 0: deletes made while the nodes are captured may not be seen on all of them";
    (table.gc_grace_seconds == 0).then(|| text.to_owned())
}

/// The table as an object; `None` where it has no name.
pub(super) fn live_object(keyspace: &KeyspaceSchema, table: &TableRows) -> Option<LiveObject> {
    let object = ObjectName::new([&keyspace.name, &table.name].map(String::as_str)).ok()?;
    let (supported, note) = match support(keyspace, table) {
        Support::Supported(note) => (true, note),
        Support::Unsupported(reason) => (false, Some(reason)),
    };
    Some(LiveObject { object, object_id: table.id.clone(), supported, note })
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::cluster::ColumnRow;

    fn table(cql_type: &str) -> TableRows {
        TableRows {
            name: "t".into(),
            id: "0".repeat(32),
            flags: vec!["compound".into()],
            gc_grace_seconds: 864_000,
            default_time_to_live: 0,
            columns: vec![ColumnRow {
                name: "c".into(),
                kind: "regular".into(),
                position: -1,
                clustering_order: "none".into(),
                cql_type: cql_type.into(),
            }],
            dropped: Vec::new(),
        }
    }

    fn keyspace(factor: &str) -> KeyspaceSchema {
        KeyspaceSchema {
            name: "ks".into(),
            replication: BTreeMap::from([("dc1".into(), factor.into())]),
            durable_writes: true,
            types: Vec::new(),
            tables: Vec::new(),
            statements: Vec::new(),
        }
    }

    #[test]
    fn an_ordinary_table_is_protected_without_a_word() {
        assert_eq!(support(&keyspace("3"), &table("map<text, frozen<list<int>>>")), Support::Supported(None));
    }

    #[test]
    fn transient_replicas_are_refused() {
        assert!(matches!(support(&keyspace("3/1"), &table("int")), Support::Unsupported(_)));
        assert!(!live_object(&keyspace("3/1"), &table("int")).unwrap().supported);
    }

    #[test]
    fn doubtful_tables_are_protected_with_a_note() {
        let noted = |table: TableRows| matches!(support(&keyspace("3"), &table), Support::Supported(Some(_)));
        assert!(noted(table("'org.apache.cassandra.db.marshal.DynamicCompositeType(b=>BytesType)'")));
        assert!(noted(TableRows { flags: vec!["dense".into()], ..table("int") }));
        assert!(noted(table("counter")));
        assert!(noted(TableRows { gc_grace_seconds: 0, ..table("int") }));
    }
}
