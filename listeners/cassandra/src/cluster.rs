//! What a node says about its cluster at capture: the `info` of a slice, JSON.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use tidemark_catalog::document::Document;

/// Everything a node said at capture, read over CQL from that node alone.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NodeCapture {
    /// Host id of the node (UUID text), the partition of its slice.
    pub host_id: String,
    /// Cluster name.
    pub cluster: String,
    /// Server version, for example `5.0.9`.
    pub release: String,
    /// Partitioner class.
    pub partitioner: String,
    /// `system.local.schema_version`.
    pub schema_version: String,
    /// `system.local.gossip_generation`, another one with each start of the node's process.
    pub generation: i32,
    /// Members that own ranges as this node sees them (those that leave or move do, those that join do not yet), sorted by
    /// host id, itself included.
    pub ring: Vec<RingNode>,
    /// What the node said of the ring before its capture, where that was something else.
    pub before: Option<View>,
    /// User keyspaces that the assignment touches, sorted by name.
    pub keyspaces: Vec<KeyspaceSchema>,
    /// Settings worth keeping (`system_views.settings`), by name.
    pub settings: BTreeMap<String, String>,
    /// Host clock minus the node's own CQL clock (`toTimestamp(now())`), ms, measured around one request.
    pub clock_offset_millis: i64,
    /// `system.local.truncated_at`: table id (32 hex) → hex of the 20-byte record.
    pub truncated_at: BTreeMap<String, String>,
}

impl Document for NodeCapture {
    const KIND: &'static str = "cassandra-node";
}

/// A node's view of what decides who owns what.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct View {
    /// Members that own ranges, sorted by host id.
    pub ring: Vec<RingNode>,
    /// Replication options by keyspace.
    pub replication: BTreeMap<String, BTreeMap<String, String>>,
}

/// A member of the ring.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RingNode {
    /// Host id, UUID text.
    pub host_id: String,
    /// Address of its native transport.
    pub address: String,
    /// Data centre.
    pub dc: String,
    /// Rack.
    pub rack: String,
    /// Tokens as text (JSON numbers are not 64-bit), ascending.
    pub tokens: Vec<String>,
}

/// A keyspace with everything needed to make it again.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct KeyspaceSchema {
    /// Name.
    pub name: String,
    /// Replication options as stored, `class` included.
    pub replication: BTreeMap<String, String>,
    /// `durable_writes`.
    pub durable_writes: bool,
    /// User-defined types.
    pub types: Vec<UdtSchema>,
    /// Tables (views left out).
    pub tables: Vec<TableRows>,
    /// Answer of `DESCRIBE KEYSPACE … WITH INTERNALS`, in its order, functions and aggregates included; behind it the triggers
    /// of `system_schema.triggers`, each as a statement of kind `trigger`.
    pub statements: Vec<CreateStatement>,
}

impl KeyspaceSchema {
    /// The table of this name.
    pub fn table(&self, name: &str) -> Option<&TableRows> {
        self.tables.iter().find(|table| table.name == name)
    }

    /// The user-defined types that the columns of `table` are made of, fields of fields included, by name.
    pub fn types_of(&self, table: &TableRows) -> BTreeMap<&str, &UdtSchema> {
        let mut used = BTreeMap::new();
        let mut words: Vec<&str> = table.columns.iter().flat_map(|column| words(&column.cql_type)).collect();
        while let Some(word) = words.pop() {
            let Some(udt) = self.types.iter().find(|udt| udt.name == word) else { continue };
            if used.insert(udt.name.as_str(), udt).is_none() {
                words.extend(udt.field_types.iter().flat_map(|of| self::words(of)));
            }
        }
        used
    }
}

/// The names in a type's CQL text. Names of types are letters, digits and `_`, quoted or not.
fn words(cql_type: &str) -> impl Iterator<Item = &str> {
    cql_type.split(|c: char| !c.is_ascii_alphanumeric() && c != '_').filter(|word| !word.is_empty())
}

/// A row of `system_schema.types`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct UdtSchema {
    /// Name.
    pub name: String,
    /// Field names in order.
    pub field_names: Vec<String>,
    /// Field types as CQL text.
    pub field_types: Vec<String>,
}

/// Rows of `system_schema` for one table.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TableRows {
    /// Name.
    pub name: String,
    /// Table id, 32 hex digits without dashes.
    pub id: String,
    /// `flags` of the table.
    pub flags: Vec<String>,
    /// `gc_grace_seconds`.
    pub gc_grace_seconds: i32,
    /// `default_time_to_live`, s.
    pub default_time_to_live: i32,
    /// Columns.
    pub columns: Vec<ColumnRow>,
    /// Dropped columns.
    pub dropped: Vec<DroppedColumnRow>,
}

/// A row of `system_schema.columns`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ColumnRow {
    /// Name.
    pub name: String,
    /// `partition_key`, `clustering`, `static` or `regular`.
    pub kind: String,
    /// Place among the key columns of its kind, −1 for others.
    pub position: i32,
    /// `asc`, `desc` or `none`.
    pub clustering_order: String,
    /// CQL type text.
    pub cql_type: String,
}

/// A row of `system_schema.dropped_columns`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DroppedColumnRow {
    /// Name.
    pub name: String,
    /// Kind it had.
    pub kind: String,
    /// CQL type text it had.
    pub cql_type: String,
    /// Time of the drop, µs as text.
    pub dropped_micros: String,
}

/// A row of DESCRIBE.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CreateStatement {
    /// `keyspace`, `type`, `table`, `index`, …
    pub kind: String,
    /// Name of the thing.
    pub name: String,
    /// CQL, possibly several statements separated by `;`.
    pub statement: String,
}

impl NodeCapture {
    /// The node's view.
    pub fn view(&self) -> View {
        let replication = |keyspace: &KeyspaceSchema| (keyspace.name.clone(), keyspace.replication.clone());
        View { ring: self.ring.clone(), replication: self.keyspaces.iter().map(replication).collect() }
    }

    /// The keyspace of this name.
    pub fn keyspace(&self, name: &str) -> Option<&KeyspaceSchema> {
        self.keyspaces.iter().find(|keyspace| keyspace.name == name)
    }

    /// What of a table is another than in `before`, an earlier description of the same node: `None` where the table, its
    /// id, the types that it is made of and the record of its last TRUNCATE are the same, or where neither has it.
    pub fn changed_since(&self, before: &Self, keyspace: &str, table: &str) -> Option<&'static str> {
        let of = |node: &'_ Self| {
            let keyspace = node.keyspace(keyspace)?;
            let rows = keyspace.table(table)?;
            let types: Vec<UdtSchema> = keyspace.types_of(rows).into_values().cloned().collect();
            Some((rows.clone(), types, node.truncated_at.get(&rows.id).cloned()))
        };
        match (of(before), of(self)) {
            (None, None) => None,
            (Some(_), None) => Some("dropped"),
            (None, Some(_)) => Some("created"),
            (Some((before, ..)), Some((now, ..))) if before.id != now.id => Some("created again"),
            (Some((.., before)), Some((.., now))) if before != now => Some("truncated"),
            (Some((before, ..)), Some((now, ..))) if before != now => Some("altered"),
            (Some((_, before, _)), Some((_, now, _))) => (before != now).then_some("made of altered types"),
        }
    }
}

impl CreateStatement {
    /// True where the statement is about the thing of this name: DESCRIBE quotes names that CQL has to quote.
    pub fn is_named(&self, name: &str) -> bool {
        self.name == name || self.name == crate::restore::schema::cql::quote(name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table(name: &str, cql_type: &str) -> TableRows {
        let column = ColumnRow {
            name: "c".into(),
            kind: "regular".into(),
            position: -1,
            clustering_order: "none".into(),
            cql_type: cql_type.into(),
        };
        TableRows {
            name: name.into(),
            id: format!("{name:0>32}"),
            flags: vec!["compound".into()],
            gc_grace_seconds: 864_000,
            default_time_to_live: 0,
            columns: vec![column],
            dropped: Vec::new(),
        }
    }

    fn udt(name: &str, field: &str) -> UdtSchema {
        UdtSchema { name: name.into(), field_names: vec!["f".into()], field_types: vec![field.into()] }
    }

    fn node() -> NodeCapture {
        let types = vec![udt("street", "text"), udt("Address", "frozen<street>"), udt("other", "int")];
        let tables = vec![table("t", "map<int, frozen<\"Address\">>"), table("u", "int")];
        let keyspace = KeyspaceSchema {
            name: "ks".into(),
            replication: BTreeMap::new(),
            durable_writes: true,
            types,
            tables,
            statements: Vec::new(),
        };
        NodeCapture {
            host_id: "a".into(),
            cluster: "c".into(),
            release: "5.0.9".into(),
            partitioner: "Murmur3Partitioner".into(),
            schema_version: "1".into(),
            generation: 1,
            ring: Vec::new(),
            before: None,
            keyspaces: vec![keyspace],
            settings: BTreeMap::new(),
            clock_offset_millis: 0,
            truncated_at: BTreeMap::new(),
        }
    }

    #[test]
    fn types_are_found_within_types_quoted_or_not() {
        let node = node();
        let keyspace = node.keyspace("ks").unwrap();
        let used: Vec<&str> = keyspace.types_of(&keyspace.tables[0]).into_keys().collect();
        assert_eq!(used, ["Address", "street"]);
    }

    #[test]
    fn a_table_has_changed_with_its_types_and_its_truncation_but_not_with_others() {
        let before = node();
        let changed = |change: &dyn Fn(&mut NodeCapture)| {
            let mut now = node();
            change(&mut now);
            now.changed_since(&before, "ks", "t")
        };
        assert_eq!(changed(&|_| {}), None);
        assert_eq!(changed(&|now| now.keyspaces[0].types[2].field_types = vec!["text".into()]), None);
        assert_eq!(changed(&|now| now.keyspaces[0].tables[1].gc_grace_seconds = 1), None);
        assert_eq!(changed(&|now| drop(now.truncated_at.insert("u".into(), "00".into()))), None);
        assert_eq!(changed(&|now| now.keyspaces[0].tables[0].gc_grace_seconds = 1), Some("altered"));
        assert_eq!(changed(&|now| now.keyspaces[0].tables[0].id = "x".into()), Some("created again"));
        assert_eq!(changed(&|now| now.keyspaces.clear()), Some("dropped"));
        let street = |now: &mut NodeCapture| now.keyspaces[0].types[0].field_types = vec!["blob".into()];
        assert_eq!(changed(&street), Some("made of altered types"));
        let id = before.keyspaces[0].tables[0].id.clone();
        assert_eq!(changed(&|now| drop(now.truncated_at.insert(id.clone(), "00".into()))), Some("truncated"));
    }
}
