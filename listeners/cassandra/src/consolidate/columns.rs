//! Ids of a table's columns, which are never reused.
//!
//! Cassandra gives columns no ids; what a column *is* over time follows from what a schema change may do. A key column keeps
//! its place in the key for ever and may be renamed. Any other column keeps its name, until it is dropped: what is added under
//! the same name later is another column, told apart by the time of the newest drop. A table that was dropped and created
//! again has another id, and nothing of it is the same.

use std::collections::BTreeMap;

use tidemark_cassandra_format::schema::{Column, TableSchema};
use tidemark_catalog::{content::ColumnId, entry::Entry};

use super::schema::{EntrySchema, SchemaError};
use crate::cluster::{ColumnRow, TableRows};

/// Columns of a table with their ids.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Columns {
    /// Partition key, clustering, static and regular columns; the last two simple before multi-cell ones, each by name.
    pub(super) ids: Vec<ColumnId>,
    /// Greatest id ever given.
    pub(super) last: u32,
}

/// What makes two columns of two schemas of one table the same.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Identity<'a> {
    Key { kind: &'a str, position: i32, cql_type: &'a str },
    Data { kind: &'a str, name: &'a str, cql_type: &'a str, dropped: Option<i64> },
}

/// Ids of the columns of a table that has no state before: from 1 on.
pub(super) fn fresh(rows: &TableRows, table: &TableSchema) -> Columns {
    give(rows, table, &BTreeMap::new(), 0)
}

/// Ids of the columns of `rows`: those that the table had in `previous` keep theirs, others get new ones.
///
/// # Errors
/// [`SchemaError`] where the schema of `previous` cannot be understood.
pub(super) fn carried_on(
    rows: &TableRows,
    table: &TableSchema,
    previous: Option<&Entry>,
) -> Result<Columns, SchemaError> {
    let Some(previous) = previous else { return Ok(fresh(rows, table)) };
    let schema = EntrySchema::of_entry(previous)?;
    let before = schema.rows()?;
    let Some(records) = previous.content.records() else { return Err(SchemaError::Blocks) };
    let last = records.columns.iter().map(|column| column.id).chain(schema.last_column_id).max().unwrap_or(0);
    if before.id != rows.id {
        return Ok(give(rows, table, &BTreeMap::new(), last));
    }
    Ok(give(rows, table, &by_identity(before, &schema.table()?, &records.columns), last))
}

fn by_identity<'a>(rows: &'a TableRows, table: &TableSchema, ids: &[ColumnId]) -> BTreeMap<Identity<'a>, u32> {
    let ids: BTreeMap<_, _> = ids.iter().map(|column| (column.name.as_str(), column.id)).collect();
    let known = |(row, column): (&'a ColumnRow, &Column)| Some((identity(row, column), *ids.get(row.name.as_str())?));
    in_order(rows, table).into_iter().filter_map(known).collect()
}

fn give(rows: &TableRows, table: &TableSchema, known: &BTreeMap<Identity<'_>, u32>, mut last: u32) -> Columns {
    let mut ids = Vec::with_capacity(rows.columns.len());
    for (row, column) in in_order(rows, table) {
        let id = known.get(&identity(row, column)).copied().unwrap_or_else(|| {
            last += 1;
            last
        });
        ids.push(ColumnId { id, name: row.name.clone() });
    }
    Columns { ids, last }
}

fn identity<'a>(row: &'a ColumnRow, column: &Column) -> Identity<'a> {
    let (kind, cql_type) = (row.kind.as_str(), row.cql_type.as_str());
    match row.position {
        position @ 0.. => Identity::Key { kind, position, cql_type },
        _ => Identity::Data { kind, name: &row.name, cql_type, dropped: column.dropped_at },
    }
}

/// The rows with their columns, in the order of the table.
fn in_order<'r, 't>(rows: &'r TableRows, table: &'t TableSchema) -> Vec<(&'r ColumnRow, &'t Column)> {
    let clustering = table.clustering.iter().map(|c| &c.column);
    let columns = table.partition_key.iter().chain(clustering).chain(&table.statics).chain(&table.regulars);
    let by_name: BTreeMap<&str, &ColumnRow> = rows.columns.iter().map(|row| (row.name.as_str(), row)).collect();
    columns.filter_map(|column| Some((*by_name.get(column.name.as_str())?, column))).collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;
    use tidemark_catalog::{
        content::{Content, Records},
        entry::{Cut, Quality},
        figures::Figures,
        position::Position,
    };

    use super::*;
    use crate::{
        cluster::{DroppedColumnRow, KeyspaceSchema},
        consolidate::schema::ENTRY_SCHEMA_FORMAT,
    };

    fn row(name: &str, kind: &str, position: i32) -> ColumnRow {
        let clustering_order = if kind == "clustering" { "asc" } else { "none" }.to_owned();
        let cql_type = if name.starts_with("many") { "set<int>" } else { "int" }.to_owned();
        ColumnRow { name: name.to_owned(), kind: kind.to_owned(), position, clustering_order, cql_type }
    }

    fn dropped(name: &str, micros: &str) -> DroppedColumnRow {
        let [name, kind, cql_type, dropped_micros] = [name, "regular", "int", micros].map(str::to_owned);
        DroppedColumnRow { name, kind, cql_type, dropped_micros }
    }

    /// A table with key `k`, clustering `c` and these regular columns.
    fn rows(clustering: &str, regulars: &[&str], drops: &[(&str, &str)]) -> TableRows {
        let key = [row("k", "partition_key", 0), row(clustering, "clustering", 0)];
        TableRows {
            name: "t".to_owned(),
            id: "11".repeat(16),
            flags: vec![],
            gc_grace_seconds: 0,
            default_time_to_live: 0,
            columns: key.into_iter().chain(regulars.iter().map(|name| row(name, "regular", -1))).collect(),
            dropped: drops.iter().map(|(name, micros)| dropped(name, micros)).collect(),
        }
    }

    fn schema(rows: &TableRows, last: Option<u32>) -> EntrySchema {
        let keyspace = KeyspaceSchema {
            name: "ks".to_owned(),
            replication: BTreeMap::new(),
            durable_writes: true,
            types: vec![],
            tables: vec![rows.clone()],
            statements: vec![],
        };
        let [cluster, release, schema_version] = ["c", "5.0.9", "v"].map(str::to_owned);
        let format = if last.is_some() { ENTRY_SCHEMA_FORMAT } else { 1 };
        EntrySchema { format, last_column_id: last, cluster, release, schema_version, keyspace }
    }

    fn entry(rows: &TableRows, columns: &Columns, last: Option<u32>) -> Entry {
        let now = jiff::Timestamp::UNIX_EPOCH;
        Entry {
            object: "ks/t".parse().unwrap(),
            object_id: rows.id.clone(),
            kind: "cassandra".to_owned(),
            schema: serde_json::to_value(schema(rows, last)).unwrap(),
            content: Content::Records(Records { columns: columns.ids.clone(), ..Records::default() }),
            replicas: vec![],
            cut: Cut { from: now, through: now, partitions: vec![] },
            position: Position::default(),
            quality: Quality::Cut,
            figures: Figures::default(),
        }
    }

    /// Ids after a history of schemas, each carried on from the one before.
    fn history(schemas: &[TableRows]) -> Vec<Columns> {
        let mut previous: Option<Entry> = None;
        let mut given = Vec::new();
        for rows in schemas {
            let table = schema(rows, Some(0)).table().unwrap();
            let columns = carried_on(rows, &table, previous.as_ref()).unwrap();
            previous = Some(entry(rows, &columns, Some(columns.last)));
            given.push(columns);
        }
        given
    }

    fn named(columns: &Columns) -> Vec<(u32, &str)> {
        columns.ids.iter().map(|column| (column.id, column.name.as_str())).collect()
    }

    #[test]
    fn a_new_table_is_numbered_in_its_order() {
        let given = history(&[rows("c", &["many", "z", "a"], &[])]);
        assert_eq!(named(&given[0]), [(1, "k"), (2, "c"), (3, "a"), (4, "z"), (5, "many")]);
    }

    #[test]
    fn a_column_keeps_its_id_while_others_come_and_go() {
        let given = history(&[
            rows("c", &["a", "b"], &[]),
            rows("c", &["b", "new"], &[("a", "5")]),
            rows("c", &["b", "newer"], &[("a", "5"), ("new", "6")]),
        ]);
        assert_eq!(named(&given[1]), [(1, "k"), (2, "c"), (4, "b"), (5, "new")]);
        assert_eq!(named(&given[2]), [(1, "k"), (2, "c"), (4, "b"), (6, "newer")]);
    }

    #[test]
    fn a_key_column_keeps_its_id_under_another_name() {
        let given = history(&[rows("c", &["a"], &[]), rows("renamed", &["a"], &[])]);
        assert_eq!(named(&given[1]), [(1, "k"), (2, "renamed"), (3, "a")]);
    }

    #[test]
    fn ten_thousand_drops_change_the_ids_of_what_was_dropped_only() {
        let names: Vec<String> = (0..10_000).map(|n| format!("d{n:05}")).collect();
        let names: Vec<&str> = names.iter().map(String::as_str).collect();
        let drops: Vec<(&str, &str)> = names.iter().step_by(2).map(|name| (*name, "77")).collect();
        let given = history(&[rows("c", &names, &[]), rows("c", &names, &drops)]);
        let kept = given[0].ids.iter().zip(&given[1].ids).filter(|(one, other)| one == other).count();
        assert_eq!((kept, given[1].last), (2 + 5_000, given[0].last + 5_000));
    }

    #[test]
    fn a_column_that_was_dropped_and_added_again_is_another_one() {
        let again = rows("c", &["a"], &[("a", "5")]);
        let and_again = rows("c", &["a"], &[("a", "7")]);
        let given = history(&[rows("c", &["a"], &[]), again.clone(), again, and_again]);
        assert_eq!(given.iter().map(|columns| columns.ids[2].id).collect::<Vec<_>>(), [3, 4, 4, 5]);
    }

    #[test]
    fn ids_of_columns_that_are_gone_are_not_given_again() {
        let given =
            history(&[rows("c", &["a", "b"], &[]), rows("c", &[], &[("a", "5"), ("b", "5")]), rows("c", &["d"], &[])]);
        assert_eq!(named(&given[2]), [(1, "k"), (2, "c"), (5, "d")]);
    }

    #[test]
    fn nothing_of_a_table_that_was_created_again_is_the_same() {
        let created_again = TableRows { id: "22".repeat(16), ..rows("c", &["a"], &[]) };
        let given = history(&[rows("c", &["a"], &[]), created_again]);
        assert_eq!(named(&given[1]), [(4, "k"), (5, "c"), (6, "a")]);
    }

    #[test]
    fn an_entry_of_format_1_is_carried_on_and_other_formats_are_refused() {
        let rows = rows("c", &["a"], &[]);
        let table = schema(&rows, Some(0)).table().unwrap();
        let columns = fresh(&rows, &table);
        assert_eq!(carried_on(&rows, &table, Some(&entry(&rows, &columns, None))).unwrap(), columns);
        let refused = |key: &str, value: serde_json::Value| {
            let mut entry = entry(&rows, &columns, Some(3));
            entry.schema[key] = value;
            carried_on(&rows, &table, Some(&entry)).unwrap_err()
        };
        assert!(matches!(refused("format", json!(3)), SchemaError::Format(3)));
        assert!(matches!(refused("format", json!(1)), SchemaError::LastColumnId(1)));
        assert!(matches!(refused("last_column_id", json!(null)), SchemaError::LastColumnId(2)));
        assert!(matches!(refused("more", json!(1)), SchemaError::Shape(_)));
    }
}
