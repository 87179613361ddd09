//! Building a table from the rows of `system_schema`.

use std::collections::{BTreeMap, BTreeSet};

use super::{ClusteringColumn, Column, TableSchema};
use crate::types::{CqlType, ParseError, UserTypes};

/// A row of `system_schema.columns`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ColumnRow {
    /// `column_name`.
    pub name: String,
    /// `kind`: `partition_key`, `clustering`, `static` or `regular`.
    pub kind: String,
    /// `position`: of key columns from 0, else −1.
    pub position: i32,
    /// `clustering_order`: `asc`, `desc` or `none`.
    pub clustering_order: String,
    /// `type`, in CQL notation.
    pub cql_type: String,
}

/// Times of drops in µs, by name.
type Drops<'a> = BTreeMap<&'a str, i64>;

/// What `system_schema` says of one table.
#[derive(Clone, Debug)]
pub struct TableRows<'a> {
    /// Keyspace name.
    pub keyspace: &'a str,
    /// Table name.
    pub table: &'a str,
    /// All columns, in any order.
    pub columns: &'a [ColumnRow],
    /// The keyspace's user-defined types.
    pub user_types: &'a UserTypes,
    /// Rows of `system_schema.dropped_columns`: name and time of the drop in µs.
    pub dropped: &'a [(String, i64)],
}

/// Why a table's rows make no schema.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SchemaError {
    /// A column's type does not parse.
    #[error("column {column:?} of {keyspace}.{table}")]
    Type {
        /// Keyspace name.
        keyspace: String,
        /// Table name.
        table: String,
        /// Column name.
        column: String,
        /// What is wrong.
        source: ParseError,
    },
    /// A kind, position, order or name that Cassandra does not write.
    #[error("column {column:?} of {keyspace}.{table}: {reason}")]
    Column {
        /// Keyspace name.
        keyspace: String,
        /// Table name.
        table: String,
        /// Column name.
        column: String,
        /// What is wrong.
        reason: &'static str,
    },
    /// The table has no partition key.
    #[error("{keyspace}.{table} has no partition key")]
    NoPartitionKey {
        /// Keyspace name.
        keyspace: String,
        /// Table name.
        table: String,
    },
}

impl TableSchema {
    /// Builds a table from its `system_schema` rows, in any order.
    ///
    /// # Errors
    /// [`SchemaError`]: unparsable types, unknown kinds, key positions that are not 0, 1, 2…, equal names, multi-cell key
    /// columns, no partition key, more than 65,535 columns.
    pub fn build(rows: &TableRows<'_>) -> Result<Self, SchemaError> {
        let drops = rows.last_drops();
        let schema = Self {
            keyspace: rows.keyspace.to_owned(),
            table: rows.table.to_owned(),
            partition_key: rows.key_columns("partition_key", &drops)?.into_iter().map(|(column, _)| column).collect(),
            clustering: rows.clustering(&drops)?,
            statics: rows.plain_columns("static", &drops)?,
            regulars: rows.plain_columns("regular", &drops)?,
            dropped: rows.dropped_for_good(&drops),
        };
        rows.check(&schema)?;
        Ok(schema)
    }
}

impl TableRows<'_> {
    fn of_kind(&self, kind: &str) -> Vec<&ColumnRow> {
        self.columns.iter().filter(|row| row.kind == kind).collect()
    }

    /// Of each column that was dropped, back since or not, the last drop.
    fn last_drops(&self) -> Drops<'_> {
        let mut drops = Drops::new();
        for (name, at) in self.dropped {
            let last = drops.entry(name.as_str()).or_insert(*at);
            *last = (*last).max(*at);
        }
        drops
    }

    fn column(&self, row: &ColumnRow, drops: &Drops<'_>) -> Result<Column, SchemaError> {
        let cql_type = self.user_types.parse(&row.cql_type).map_err(|source| SchemaError::Type {
            keyspace: self.keyspace.to_owned(),
            table: self.table.to_owned(),
            column: row.name.clone(),
            source,
        })?;
        let dropped_at = drops.get(row.name.as_str()).copied();
        Ok(Column { name: row.name.clone(), cql_type, dropped_at })
    }

    fn key_columns<'r>(&'r self, kind: &str, drops: &Drops<'_>) -> Result<Vec<(Column, &'r ColumnRow)>, SchemaError> {
        let mut rows = self.of_kind(kind);
        rows.sort_by_key(|row| row.position);
        let mut columns = Vec::with_capacity(rows.len());
        for (position, row) in rows.into_iter().enumerate() {
            if usize::try_from(row.position) != Ok(position) {
                return Err(self.error(row, "its position leaves a gap or is taken"));
            }
            let column = self.column(row, drops)?;
            if column.cql_type.is_multi_cell() {
                return Err(self.error(row, "a key column of several cells"));
            }
            columns.push((column, row));
        }
        Ok(columns)
    }

    fn clustering(&self, drops: &Drops<'_>) -> Result<Vec<ClusteringColumn>, SchemaError> {
        let mut clustering = Vec::new();
        for (column, row) in self.key_columns("clustering", drops)? {
            let reversed = match row.clustering_order.to_ascii_lowercase().as_str() {
                "desc" => true,
                "asc" => false,
                _ => return Err(self.error(row, "its clustering order is neither asc nor desc")),
            };
            clustering.push(ClusteringColumn { column, reversed });
        }
        Ok(clustering)
    }

    fn plain_columns(&self, kind: &str, drops: &Drops<'_>) -> Result<Vec<Column>, SchemaError> {
        let columns = self.of_kind(kind).into_iter().map(|row| self.column(row, drops));
        let mut columns = columns.collect::<Result<Vec<_>, _>>()?;
        columns.sort_by(|a, b| storage_order((&a.cql_type, &a.name), (&b.cql_type, &b.name)));
        Ok(columns)
    }

    /// Columns that are not back, by name.
    fn dropped_for_good(&self, drops: &Drops<'_>) -> Vec<(String, i64)> {
        let there: BTreeSet<&str> = self.columns.iter().map(|row| row.name.as_str()).collect();
        let gone = drops.iter().filter(|(name, _)| !there.contains(*name));
        gone.map(|(name, at)| ((*name).to_owned(), *at)).collect()
    }

    fn check(&self, schema: &TableSchema) -> Result<(), SchemaError> {
        if schema.partition_key.is_empty() {
            let (keyspace, table) = (self.keyspace.to_owned(), self.table.to_owned());
            return Err(SchemaError::NoPartitionKey { keyspace, table });
        }
        let mut taken = BTreeSet::new();
        for (i, row) in self.columns.iter().enumerate() {
            if !matches!(row.kind.as_str(), "partition_key" | "clustering" | "static" | "regular") {
                return Err(self.error(row, "unknown kind of column"));
            }
            if !taken.insert(row.name.as_str()) {
                return Err(self.error(row, "its name is taken"));
            }
            if i > usize::from(u16::MAX) {
                return Err(self.error(row, "more columns than any table has"));
            }
        }
        Ok(())
    }

    fn error(&self, row: &ColumnRow, reason: &'static str) -> SchemaError {
        let (keyspace, table) = (self.keyspace.to_owned(), self.table.to_owned());
        SchemaError::Column { keyspace, table, column: row.name.clone(), reason }
    }
}

/// Cassandra's order of static and regular columns: simple ones before multi-cell ones, then by the names' bytes.
pub(crate) fn storage_order(a: (&CqlType, &str), b: (&CqlType, &str)) -> std::cmp::Ordering {
    a.0.is_multi_cell().cmp(&b.0.is_multi_cell()).then_with(|| a.1.as_bytes().cmp(b.1.as_bytes()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(name: &str, kind: &str, position: i32, order: &str, cql_type: &str) -> ColumnRow {
        let [name, kind, clustering_order, cql_type] = [name, kind, order, cql_type].map(str::to_owned);
        ColumnRow { name, kind, position, clustering_order, cql_type }
    }

    fn build(columns: &[ColumnRow], dropped: &[(String, i64)]) -> Result<TableSchema, SchemaError> {
        let user_types = UserTypes::default();
        TableSchema::build(&TableRows { keyspace: "ks", table: "t", columns, user_types: &user_types, dropped })
    }

    fn columns() -> Vec<ColumnRow> {
        vec![
            row("z", "regular", -1, "none", "int"),
            row("m", "regular", -1, "none", "map<int, int>"),
            row("f", "regular", -1, "none", "frozen<map<int, int>>"),
            row("b", "clustering", 1, "desc", "text"),
            row("a", "clustering", 0, "asc", "int"),
            row("k", "partition_key", 0, "none", "int"),
        ]
    }

    #[test]
    fn columns_are_put_in_storage_order() {
        let schema = build(&columns(), &[]).unwrap();
        let names: Vec<_> = schema.regulars.iter().map(|c| c.name.as_str()).collect();
        assert_eq!(names, ["f", "z", "m"]);
        assert_eq!(schema.clustering.iter().map(|c| c.reversed).collect::<Vec<_>>(), [false, true]);
        assert!(!schema.has_counters());
    }

    #[test]
    fn a_column_added_again_remembers_its_drop() {
        let dropped = [("z".to_owned(), 7), ("gone".to_owned(), 8), ("gone".to_owned(), 9)];
        let schema = build(&columns(), &dropped).unwrap();
        assert_eq!(schema.regulars[1].dropped_at, Some(7));
        assert_eq!(schema.dropped, [("gone".to_owned(), 9)]);
    }

    #[test]
    fn rows_that_make_no_table_are_refused() {
        for extra in [
            row("k2", "partition_key", 2, "none", "int"),
            row("k2", "partition_key", 1, "none", "list<int>"),
            row("z", "static", -1, "none", "int"),
            row("y", "odd", -1, "none", "int"),
            row("c", "clustering", 2, "none", "int"),
        ] {
            let mut columns = columns();
            columns.push(extra.clone());
            assert!(build(&columns, &[]).is_err(), "{extra:?}");
        }
        assert!(build(&[], &[]).is_err());
    }
}
