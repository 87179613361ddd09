//! The schema of a table as its entry keeps it: what the source said, verbatim, and what follows from it.

use std::sync::Arc;

use serde::{Deserialize, Serialize};
use tidemark_cassandra_format::{
    schema::{self, TableSchema},
    types::{UserTypeDefinition, UserTypeError, UserTypes},
};
use tidemark_catalog::entry::Entry;

use crate::{
    cluster::{KeyspaceSchema, NodeCapture, TableRows, UdtSchema},
    describe::TRIGGER,
    segment::{Layout, LayoutError},
};

/// Format number of [`EntrySchema`] as it is written. Format 1 had no `last_column_id`.
pub const ENTRY_SCHEMA_FORMAT: u32 = 2;

/// The `schema` of a Cassandra table's [`Entry`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EntrySchema {
    /// 1 or [`ENTRY_SCHEMA_FORMAT`].
    pub format: u32,
    /// Greatest id that a column of the object was ever given; from format 2 on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_column_id: Option<u32>,
    /// Cluster name.
    pub cluster: String,
    /// Server version of the node that described the schema.
    pub release: String,
    /// `system.local.schema_version` of that node.
    pub schema_version: String,
    /// The keyspace with its types, and of its tables only this one; statements of other tables are left out.
    pub keyspace: KeyspaceSchema,
}

/// Why an entry's schema cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum SchemaError {
    /// It is not of this shape.
    #[error("the entry's schema is not one of Cassandra")]
    Shape(#[from] serde_json::Error),
    /// It is of another format.
    #[error("the entry's schema is of format {0}, this build reads 1 to {ENTRY_SCHEMA_FORMAT}")]
    Format(u32),
    /// It says what its format does not have, or does not say what its format has.
    #[error("the entry's schema is of format {0}, which has last_column_id from 2 on only")]
    LastColumnId(u32),
    /// The entry holds blocks.
    #[error("the entry holds blocks, not records")]
    Blocks,
    /// It has not exactly one table.
    #[error("the entry's schema has {0} tables, not one")]
    Tables(usize),
    /// A user-defined type does not resolve.
    #[error("user-defined types of the keyspace")]
    Types(#[from] UserTypeError),
    /// The table's columns make no table.
    #[error("columns of the table")]
    Columns(#[from] schema::SchemaError),
    /// The columns have no ids.
    #[error("column ids of the table")]
    Ids(#[from] LayoutError),
}

impl EntrySchema {
    /// The schema of one table as `capture` has it, no ids given yet; `None` where it has no such table.
    pub fn of(capture: &NodeCapture, keyspace: &str, table: &str) -> Option<Self> {
        let keyspace = capture.keyspaces.iter().find(|k| k.name == keyspace)?;
        let rows = keyspace.tables.iter().find(|t| t.name == table)?;
        Some(Self {
            format: ENTRY_SCHEMA_FORMAT,
            last_column_id: Some(0),
            cluster: capture.cluster.clone(),
            release: capture.release.clone(),
            schema_version: capture.schema_version.clone(),
            keyspace: of_one_table(keyspace, rows),
        })
    }

    /// The schema that an entry keeps.
    ///
    /// # Errors
    /// [`SchemaError::Shape`], [`SchemaError::Format`] and [`SchemaError::LastColumnId`].
    pub fn of_entry(entry: &Entry) -> Result<Self, SchemaError> {
        let schema = Self::deserialize(&entry.schema)?;
        match (schema.format, schema.last_column_id) {
            (1, None) | (ENTRY_SCHEMA_FORMAT, Some(_)) => Ok(schema),
            (1 | ENTRY_SCHEMA_FORMAT, _) => Err(SchemaError::LastColumnId(schema.format)),
            (format, _) => Err(SchemaError::Format(format)),
        }
    }

    /// The table's rows of `system_schema`.
    ///
    /// # Errors
    /// [`SchemaError::Tables`].
    pub fn rows(&self) -> Result<&TableRows, SchemaError> {
        match &self.keyspace.tables[..] {
            [table] => Ok(table),
            tables => Err(SchemaError::Tables(tables.len())),
        }
    }

    /// The table.
    ///
    /// # Errors
    /// [`SchemaError`] where its columns or types make no table.
    pub fn table(&self) -> Result<TableSchema, SchemaError> {
        let rows = self.rows()?;
        let types: Vec<_> = self.keyspace.types.iter().map(definition).collect();
        let columns: Vec<_> = rows.columns.iter().map(column).collect();
        let dropped: Vec<_> =
            rows.dropped.iter().map(|d| (d.name.clone(), dropped_micros(&d.dropped_micros))).collect();
        Ok(TableSchema::build(&schema::TableRows {
            keyspace: &self.keyspace.name,
            table: &rows.name,
            columns: &columns,
            user_types: &UserTypes::resolve(&self.keyspace.name, &types)?,
            dropped: &dropped,
        })?)
    }

    /// The layout of the segments of an entry.
    ///
    /// # Errors
    /// [`SchemaError`].
    pub fn layout(entry: &Entry) -> Result<Arc<Layout>, SchemaError> {
        let table = Arc::new(Self::of_entry(entry)?.table()?);
        let records = entry.content.records().ok_or(SchemaError::Blocks)?;
        Ok(Arc::new(Layout::new(table, &records.columns)?))
    }
}

fn of_one_table(keyspace: &KeyspaceSchema, rows: &TableRows) -> KeyspaceSchema {
    let concerns = |statement: &&crate::cluster::CreateStatement| match statement.kind.as_str() {
        "table" => statement.is_named(&rows.name),
        TRIGGER | "index" | "view" | "materialized view" | "materialized_view" => {
            mentions(&statement.statement, &rows.name)
        }
        _ => true,
    };
    KeyspaceSchema {
        tables: vec![rows.clone()],
        statements: keyspace.statements.iter().filter(concerns).cloned().collect(),
        ..keyspace.clone()
    }
}

/// True where the statement speaks of a table of this name, quoted or not; too many are better than too few.
fn mentions(statement: &str, table: &str) -> bool {
    let word = |c: char| c.is_alphanumeric() || c == '_';
    let quoted = format!("\"{}\"", table.replace('"', "\"\""));
    statement.contains(&quoted) || statement.split(|c| !word(c)).any(|part| part == table)
}

fn definition(udt: &UdtSchema) -> UserTypeDefinition {
    UserTypeDefinition {
        name: udt.name.clone(),
        field_names: udt.field_names.clone(),
        field_types: udt.field_types.clone(),
    }
}

fn column(row: &crate::cluster::ColumnRow) -> schema::ColumnRow {
    schema::ColumnRow {
        name: row.name.clone(),
        kind: row.kind.clone(),
        position: row.position,
        clustering_order: row.clustering_order.clone(),
        cql_type: row.cql_type.clone(),
    }
}

/// The time of a drop. What is no number hides nothing: cells of the column are then kept, never lost.
fn dropped_micros(text: &str) -> i64 {
    text.parse().unwrap_or(i64::MIN)
}
