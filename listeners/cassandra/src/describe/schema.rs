//! The schema of user keyspaces: rows of `system_schema`, and `DESCRIBE`.

use std::collections::BTreeMap;

use scylla::{client::session::Session, value::CqlTimestamp};
use uuid::Uuid;

use super::{Error, rows};
use crate::{
    cluster::{ColumnRow, CreateStatement, DroppedColumnRow, KeyspaceSchema, TableRows, UdtSchema},
    restore::schema::cql::literal,
};

/// Kind of the statements of triggers among those of a keyspace.
pub const TRIGGER: &str = "trigger";

/// Keyspaces of Cassandra itself, whose tables are never objects. A user's keyspace may begin with `system` too.
const SYSTEM_KEYSPACES: [&str; 12] = [
    "system",
    "system_accord",
    "system_accord_debug",
    "system_accord_debug_remote",
    "system_auth",
    "system_cluster_metadata",
    "system_distributed",
    "system_metrics",
    "system_schema",
    "system_traces",
    "system_views",
    "system_virtual_schema",
];

/// True for keyspaces of Cassandra itself.
pub fn is_system_keyspace(name: &str) -> bool {
    SYSTEM_KEYSPACES.contains(&name)
}

/// The query for one keyspace, its name written out: see [`rows`].
fn of_keyspace(query: &str, keyspace: &str) -> String {
    format!("{query} WHERE keyspace_name = {}", literal(keyspace))
}

/// Names of the user's keyspaces, sorted.
///
/// # Errors
/// [`Error`].
pub async fn keyspace_names(session: &Session) -> Result<Vec<String>, Error> {
    let query = "SELECT keyspace_name FROM system_schema.keyspaces";
    let found: Vec<(String,)> = rows(session, "system_schema.keyspaces", query, ()).await?;
    let mut names: Vec<String> =
        found.into_iter().map(|(name,)| name).filter(|name| !is_system_keyspace(name)).collect();
    names.sort();
    Ok(names)
}

/// Names of the materialised views of a keyspace, sorted.
///
/// # Errors
/// [`Error`].
pub async fn views(session: &Session, keyspace: &str) -> Result<Vec<String>, Error> {
    let query = of_keyspace("SELECT view_name FROM system_schema.views", keyspace);
    let found: Vec<(String,)> = rows(session, "system_schema.views", query, ()).await?;
    Ok(found.into_iter().map(|(name,)| name).collect())
}

/// Everything needed to make a keyspace again.
///
/// # Errors
/// [`Error`]; [`Error::Missing`] where there is no such keyspace.
pub async fn keyspace_schema(session: &Session, keyspace: &str) -> Result<KeyspaceSchema, Error> {
    let what = "system_schema.keyspaces";
    let query = of_keyspace("SELECT replication, durable_writes FROM system_schema.keyspaces", keyspace);
    let found: Vec<(BTreeMap<String, String>, bool)> = rows(session, what, query, ()).await?;
    let missing = || Error::Missing { what, subject: format!("keyspace {keyspace}") };
    let (replication, durable_writes) = found.into_iter().next().ok_or_else(missing)?;
    Ok(KeyspaceSchema {
        name: keyspace.to_owned(),
        replication,
        durable_writes,
        types: types(session, keyspace).await?,
        tables: tables(session, keyspace).await?,
        statements: statements(session, keyspace).await?,
    })
}

async fn types(session: &Session, keyspace: &str) -> Result<Vec<UdtSchema>, Error> {
    let query = of_keyspace("SELECT type_name, field_names, field_types FROM system_schema.types", keyspace);
    let found: Vec<(String, Vec<String>, Vec<String>)> = rows(session, "system_schema.types", query, ()).await?;
    let udt = |(name, field_names, field_types)| UdtSchema { name, field_names, field_types };
    Ok(found.into_iter().map(udt).collect())
}

#[derive(scylla::DeserializeRow)]
struct TableRow {
    table_name: String,
    id: Uuid,
    flags: Option<Vec<String>>,
    gc_grace_seconds: Option<i32>,
    default_time_to_live: Option<i32>,
}

async fn tables(session: &Session, keyspace: &str) -> Result<Vec<TableRows>, Error> {
    let query = "SELECT table_name, id, flags, gc_grace_seconds, default_time_to_live FROM system_schema.tables";
    let found: Vec<TableRow> = rows(session, "system_schema.tables", of_keyspace(query, keyspace), ()).await?;
    let mut columns = columns(session, keyspace).await?;
    let mut dropped = dropped_columns(session, keyspace).await?;
    let table = |row: TableRow| TableRows {
        columns: columns.remove(&row.table_name).unwrap_or_default(),
        dropped: dropped.remove(&row.table_name).unwrap_or_default(),
        id: row.id.simple().to_string(),
        flags: row.flags.unwrap_or_default(),
        // What Cassandra takes where the row says nothing.
        gc_grace_seconds: row.gc_grace_seconds.unwrap_or(864_000),
        default_time_to_live: row.default_time_to_live.unwrap_or(0),
        name: row.table_name,
    };
    Ok(found.into_iter().map(table).collect())
}

#[derive(scylla::DeserializeRow)]
struct ColumnsRow {
    table_name: String,
    column_name: String,
    kind: String,
    position: i32,
    clustering_order: String,
    #[scylla(rename = "type")]
    cql_type: String,
}

async fn columns(session: &Session, keyspace: &str) -> Result<BTreeMap<String, Vec<ColumnRow>>, Error> {
    let query = "SELECT table_name, column_name, kind, position, clustering_order, type FROM system_schema.columns";
    let found: Vec<ColumnsRow> = rows(session, "system_schema.columns", of_keyspace(query, keyspace), ()).await?;
    let mut by_table: BTreeMap<String, Vec<ColumnRow>> = BTreeMap::new();
    for row in found {
        by_table.entry(row.table_name).or_default().push(ColumnRow {
            name: row.column_name,
            kind: row.kind,
            position: row.position,
            clustering_order: row.clustering_order,
            cql_type: row.cql_type,
        });
    }
    Ok(by_table)
}

#[derive(scylla::DeserializeRow)]
struct DroppedRow {
    table_name: String,
    column_name: String,
    kind: Option<String>,
    #[scylla(rename = "type")]
    cql_type: String,
    dropped_time: CqlTimestamp,
}

async fn dropped_columns(session: &Session, keyspace: &str) -> Result<BTreeMap<String, Vec<DroppedColumnRow>>, Error> {
    let query = "SELECT table_name, column_name, kind, type, dropped_time FROM system_schema.dropped_columns";
    let query = of_keyspace(query, keyspace);
    let found: Vec<DroppedRow> = rows(session, "system_schema.dropped_columns", query, ()).await?;
    let mut by_table: BTreeMap<String, Vec<DroppedColumnRow>> = BTreeMap::new();
    for row in found {
        by_table.entry(row.table_name).or_default().push(DroppedColumnRow {
            name: row.column_name,
            kind: row.kind.unwrap_or_else(|| "regular".to_owned()),
            cql_type: row.cql_type,
            dropped_micros: micros(row.dropped_time).to_string(),
        });
    }
    Ok(by_table)
}

/// Cassandra keeps the time of a drop in ms and compares write times, in µs, with its thousandfold.
fn micros(time: CqlTimestamp) -> i64 {
    time.0.saturating_mul(1000)
}

async fn statements(session: &Session, keyspace: &str) -> Result<Vec<CreateStatement>, Error> {
    let query = format!("DESCRIBE KEYSPACE {} WITH INTERNALS", quoted(keyspace));
    let found: Vec<(String, String, String, String)> = rows(session, "DESCRIBE KEYSPACE", query.as_str(), ()).await?;
    let statement = |(_, kind, name, statement)| CreateStatement { kind, name, statement };
    let described = found.into_iter().map(statement);
    Ok(described.chain(triggers(session, keyspace).await?).collect())
}

/// Triggers of the keyspace's tables, which DESCRIBE does not tell: they are kept for people, never made again, because their
/// code is in files of each node.
async fn triggers(session: &Session, keyspace: &str) -> Result<Vec<CreateStatement>, Error> {
    let query = of_keyspace("SELECT table_name, trigger_name, options FROM system_schema.triggers", keyspace);
    let found: Vec<(String, String, BTreeMap<String, String>)> =
        rows(session, "system_schema.triggers", query, ()).await?;
    let trigger = |(table, name, options): (String, String, BTreeMap<String, String>)| {
        let class = options.get("class").map_or("", String::as_str).replace('\'', "''");
        let [quoted_name, keyspace, table] = [name.as_str(), keyspace, &table].map(quoted);
        let statement = format!("CREATE TRIGGER {quoted_name} ON {keyspace}.{table} USING '{class}'");
        CreateStatement { kind: TRIGGER.to_owned(), name, statement }
    };
    Ok(found.into_iter().map(trigger).collect())
}

/// `name` as a quoted CQL identifier.
fn quoted(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_keyspaces_of_cassandra_itself_are_left_out() {
        assert!(is_system_keyspace("system") && is_system_keyspace("system_auth"));
        assert!(!is_system_keyspace("system_of_ours") && !is_system_keyspace("shop"));
    }

    #[test]
    fn names_are_quoted() {
        assert_eq!(quoted("Shop"), "\"Shop\"");
        assert_eq!(quoted("a\"b"), "\"a\"\"b\"");
    }

    #[test]
    fn names_are_written_out_as_strings() {
        assert_eq!(of_keyspace("SELECT a FROM t", "it's"), "SELECT a FROM t WHERE keyspace_name = 'it''s'");
    }

    #[test]
    fn times_of_drops_are_write_times() {
        assert_eq!(micros(CqlTimestamp(1_700_000_000_123)), 1_700_000_000_123_000);
    }
}
