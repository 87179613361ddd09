//! Tables as the decoder and the merge see them.

mod build;

pub(crate) use build::storage_order;
pub use build::{ColumnRow, SchemaError, TableRows};

use crate::types::CqlType;

/// A column of a table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Column {
    /// Name as stored (case-sensitive).
    pub name: String,
    /// Type with frozenness; for clustering columns without the reversal.
    pub cql_type: CqlType,
    /// Set where a column of this name was dropped, µs: cells written at or before are not there for Cassandra.
    pub dropped_at: Option<i64>,
}

/// A clustering column and its direction.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClusteringColumn {
    /// The column.
    pub column: Column,
    /// True for `DESC`.
    pub reversed: bool,
}

/// A table: key columns in position order; statics and regulars simple columns first, then multi-cell ones, each by name
/// bytes, as Cassandra orders them. [`crate::model::ColumnIndex`] indexes `statics` or `regulars`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TableSchema {
    /// Keyspace name.
    pub keyspace: String,
    /// Table name.
    pub table: String,
    /// Partition key columns.
    pub partition_key: Vec<Column>,
    /// Clustering columns.
    pub clustering: Vec<ClusteringColumn>,
    /// Static columns.
    pub statics: Vec<Column>,
    /// Regular columns.
    pub regulars: Vec<Column>,
    /// Dropped columns that were not added again: (name, dropped at µs). Their cells are skipped.
    pub dropped: Vec<(String, i64)>,
}

impl TableSchema {
    /// True where a column is a counter: its cells are contexts of shards, which merge by their own rules.
    pub fn has_counters(&self) -> bool {
        self.statics.iter().chain(&self.regulars).any(|column| column.cql_type == CqlType::Counter)
    }

    /// When a column of this name was dropped and not added again, µs.
    pub fn dropped_at(&self, name: &str) -> Option<i64> {
        self.dropped.iter().find(|(dropped, _)| dropped == name).map(|(_, at)| *at)
    }
}
