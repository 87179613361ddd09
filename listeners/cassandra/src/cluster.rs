//! What a node says about its cluster at capture: the `info` of a slice, JSON.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// Format number of [`NodeCapture`].
pub const NODE_CAPTURE_FORMAT: u32 = 1;

/// Everything a node said at capture, read over CQL from that node alone.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NodeCapture {
    /// [`NODE_CAPTURE_FORMAT`].
    pub format: u32,
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
    /// Members of the ring as this node sees them, sorted by host id, itself included.
    pub ring: Vec<RingNode>,
    /// User keyspaces that the assignment touches, sorted by name.
    pub keyspaces: Vec<KeyspaceSchema>,
    /// Settings worth keeping (`system_views.settings`), by name.
    pub settings: BTreeMap<String, String>,
    /// Host clock minus the node's own CQL clock (`toTimestamp(now())`), ms, measured around one request.
    pub clock_offset_millis: i64,
    /// `system.local.truncated_at`: table id (32 hex) → hex of the 20-byte record.
    pub truncated_at: BTreeMap<String, String>,
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

impl CreateStatement {
    /// True where the statement is about the thing of this name: DESCRIBE quotes names that CQL has to quote.
    pub fn is_named(&self, name: &str) -> bool {
        self.name == name || self.name == crate::restore::cql::quote(name)
    }
}
