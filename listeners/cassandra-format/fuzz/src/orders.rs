//! The order of values: it is one, whatever the bytes.

use std::cmp::Ordering;

use tidemark_cassandra_format::model::{CellState, ColumnData, Row, Unfiltered};
use tidemark_cassandra_format::order::{compare_paths, compare_values};
use tidemark_cassandra_format::types::{CqlType, MarshalType};

use crate::input::{Input, framed};
use crate::tables;

/// A type in marshal notation and two values, each with its length before it, then a third value.
pub(crate) fn run(bytes: &[u8]) {
    let mut input = Input(bytes);
    let Ok(text) = std::str::from_utf8(input.piece()) else { return };
    let Ok(MarshalType { cql_type, .. }) = MarshalType::parse(text) else { return };
    let values = [input.piece(), input.piece(), input.0];
    expect_order(&cql_type, values, |a, b| compare_values(&cql_type, a, b));
    expect_order(cql_type.path_type().unwrap_or(&CqlType::Blob), values, |a, b| compare_paths(&cql_type, a, b));
}

fn expect_order(cql_type: &CqlType, values: [&[u8]; 3], compare: impl Fn(&[u8], &[u8]) -> Ordering) {
    for a in values {
        assert_eq!(compare(a, a), Ordering::Equal, "{cql_type:?}: {a:02x?} with itself");
        for b in values {
            assert_eq!(compare(a, b), compare(b, a).reverse(), "{cql_type:?}: {a:02x?} and {b:02x?}");
            for c in values {
                let follows =
                    has_tuples(cql_type) || compare(a, b).is_gt() || compare(b, c).is_gt() || compare(a, c).is_le();
                assert!(follows, "{cql_type:?}: {a:02x?} up to {b:02x?} up to {c:02x?}");
            }
        }
    }
}

/// Tuples that lack fields equal those with empty ones and those with nulls, which differ: as in Cassandra.
pub(crate) fn has_tuples(cql_type: &CqlType) -> bool {
    match cql_type {
        CqlType::Tuple(_) | CqlType::Udt { .. } => true,
        CqlType::List { element, .. } | CqlType::Set { element, .. } | CqlType::Vector { element, .. } => {
            has_tuples(element)
        }
        CqlType::Map { key, value, .. } => has_tuples(key) || has_tuples(value),
        _ => false,
    }
}

/// Values of each type, as they lie in files.
pub(crate) fn seeds() -> Vec<Vec<u8>> {
    let mut found: Vec<(String, Vec<u8>)> = Vec::new();
    for table in tables::all() {
        let content = table.fixture.read().expect("a real file");
        let rows = content.iter().flat_map(|(_, rest)| rest);
        let rows = rows.filter_map(|next| if let Unfiltered::Row(row) = next { Some(row) } else { None });
        rows.for_each(|row| values(&table.fixture.schema, row, &mut found));
    }
    found.sort();
    found.dedup();
    let near = found.windows(3).filter(|three| three.iter().all(|(text, _)| *text == three[0].0));
    near.step_by(7)
        .map(|three| {
            [framed(three[0].0.as_bytes()), framed(&three[0].1), framed(&three[1].1), three[2].1.clone()].concat()
        })
        .collect()
}

fn values(schema: &tidemark_cassandra_format::schema::TableSchema, row: &Row, found: &mut Vec<(String, Vec<u8>)>) {
    for (column, value) in schema.clustering.iter().zip(&row.clustering) {
        let text = marshal(&column.column.cql_type);
        found.extend(text.zip(value.as_ref().map(|value| value.to_vec())));
    }
    for (index, data) in &row.columns {
        let cql_type = &schema.regulars[usize::from(*index)].cql_type;
        match data {
            ColumnData::Simple(cell) if matches!(cell.state, CellState::Live) => {
                found.extend(marshal(cql_type).map(|text| (text, cell.value.to_vec())));
            }
            ColumnData::Simple(_) => {}
            ColumnData::Complex { cells, .. } => {
                let text = cql_type.path_type().and_then(marshal);
                found.extend(
                    text.into_iter().flat_map(|text| cells.iter().map(move |at| (text.clone(), at.path.to_vec()))),
                );
            }
        }
    }
}

/// Marshal notation of a type, where it is not a class of its own.
fn marshal(cql_type: &CqlType) -> Option<String> {
    let simple = |name: &str| Some(name.to_owned());
    match cql_type {
        CqlType::Ascii => simple("AsciiType"),
        CqlType::BigInt => simple("LongType"),
        CqlType::Blob => simple("BytesType"),
        CqlType::Boolean => simple("BooleanType"),
        CqlType::Date => simple("SimpleDateType"),
        CqlType::Decimal => simple("DecimalType"),
        CqlType::Double => simple("DoubleType"),
        CqlType::Duration => simple("DurationType"),
        CqlType::Float => simple("FloatType"),
        CqlType::Inet => simple("InetAddressType"),
        CqlType::Int => simple("Int32Type"),
        CqlType::SmallInt => simple("ShortType"),
        CqlType::Text => simple("UTF8Type"),
        CqlType::Time => simple("TimeType"),
        CqlType::Timestamp => simple("TimestampType"),
        CqlType::TimeUuid => simple("TimeUUIDType"),
        CqlType::TinyInt => simple("ByteType"),
        CqlType::Uuid => simple("UUIDType"),
        CqlType::VarInt => simple("IntegerType"),
        CqlType::List { element, .. } => Some(format!("ListType({})", marshal(element)?)),
        CqlType::Set { element, .. } => Some(format!("SetType({})", marshal(element)?)),
        CqlType::Map { key, value, .. } => Some(format!("MapType({},{})", marshal(key)?, marshal(value)?)),
        CqlType::Tuple(types) => Some(format!("TupleType({})", list(types.iter())?)),
        CqlType::Udt { fields, .. } => Some(format!("TupleType({})", list(fields.iter().map(|(_, field)| field))?)),
        CqlType::Vector { element, dimensions } => Some(format!("VectorType({} , {dimensions})", marshal(element)?)),
        CqlType::Counter | CqlType::Empty | CqlType::Custom(_) => None,
    }
}

fn list<'t>(types: impl Iterator<Item = &'t CqlType>) -> Option<String> {
    types.map(marshal).collect::<Option<Vec<_>>>().map(|types| types.join(","))
}
