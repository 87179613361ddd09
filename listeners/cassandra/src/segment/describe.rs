//! What a segment says about itself in the file's key-value metadata.

use serde::Serialize;
use tidemark_cassandra_format::{
    schema::{Column, TableSchema},
    types::CqlType,
};
use tidemark_catalog::ids::ObjectName;

use super::layout::Layout;

/// The kind of source that understands the segment.
pub const KIND: &str = "cassandra";

#[derive(Serialize)]
struct Described<'a> {
    keyspace: &'a str,
    table: &'a str,
    partition_key: Vec<DescribedColumn<'a>>,
    clustering: Vec<DescribedColumn<'a>>,
    statics: Vec<DescribedColumn<'a>>,
    regulars: Vec<DescribedColumn<'a>>,
}

#[derive(Serialize)]
struct DescribedColumn<'a> {
    id: u32,
    name: &'a str,
    #[serde(rename = "type")]
    cql_type: String,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    reversed: bool,
}

/// The name of the object.
pub(super) fn object(layout: &Layout) -> String {
    let table = layout.table();
    ObjectName::new([&table.keyspace, &table.table]).map(|object| object.to_string()).unwrap_or_default()
}

/// The table's columns with their ids, as JSON.
pub(super) fn schema(layout: &Layout) -> String {
    // A described table holds text and numbers only, which JSON can always say.
    serde_json::to_string(&described(layout)).unwrap_or_default()
}

fn described(layout: &Layout) -> Described<'_> {
    let table: &TableSchema = layout.table();
    let key = table.partition_key.iter().zip(&layout.partition_key).map(|(c, k)| column(k.id, c, false)).collect();
    let clustering = table.clustering.iter().zip(&layout.clustering);
    Described {
        keyspace: &table.keyspace,
        table: &table.table,
        partition_key: key,
        clustering: clustering.map(|(c, k)| column(k.id, &c.column, c.reversed)).collect(),
        statics: table.statics.iter().zip(&layout.statics).map(|(c, d)| column(d.id, c, false)).collect(),
        regulars: table.regulars.iter().zip(&layout.regulars).map(|(c, d)| column(d.id, c, false)).collect(),
    }
}

fn column(id: u32, column: &Column, reversed: bool) -> DescribedColumn<'_> {
    DescribedColumn { id, name: &column.name, cql_type: cql_text(&column.cql_type), reversed }
}

/// The type as CQL text, for people.
fn cql_text(cql: &CqlType) -> String {
    match cql {
        CqlType::List { element, frozen } => wrapped(format!("list<{}>", cql_text(element)), *frozen),
        CqlType::Set { element, frozen } => wrapped(format!("set<{}>", cql_text(element)), *frozen),
        CqlType::Map { key, value, frozen } => wrapped(format!("map<{}, {}>", cql_text(key), cql_text(value)), *frozen),
        CqlType::Tuple(types) => format!("tuple<{}>", types.iter().map(cql_text).collect::<Vec<_>>().join(", ")),
        CqlType::Udt { name, frozen, .. } => wrapped(format!("\"{}\"", name.replace('"', "\"\"")), *frozen),
        CqlType::Vector { element, dimensions } => format!("vector<{}, {dimensions}>", cql_text(element)),
        CqlType::Custom(class) => format!("'{}'", class.replace('\'', "''")),
        plain => format!("{plain:?}").to_lowercase(),
    }
}

fn wrapped(text: String, frozen: bool) -> String {
    if frozen { format!("frozen<{text}>") } else { text }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn types_are_named_as_in_cql() {
        let element = Box::new(CqlType::TimeUuid);
        let map = CqlType::Map {
            key: Box::new(CqlType::Text),
            value: Box::new(CqlType::List { element, frozen: true }),
            frozen: false,
        };
        assert_eq!(cql_text(&map), "map<text, frozen<list<timeuuid>>>");
    }
}
