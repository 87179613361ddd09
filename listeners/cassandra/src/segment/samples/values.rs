//! Values as they come: what Cassandra writes of each type, and bytes that no type has.

use bytes::Bytes;
use proptest::{collection::vec as many, prelude::*};
use tidemark_cassandra_format::types::CqlType;

/// Bytes of any kind: the lengths of fixed types, text, broken text, nothing.
pub(crate) fn any_value() -> impl Strategy<Value = Bytes> {
    let raw = (prop_oneof![Just(0), Just(1), Just(2), Just(4), Just(8), Just(16), 0..40_usize])
        .prop_flat_map(|length| many(any::<u8>(), length));
    let special = prop_oneof![
        Just(vec![0]),
        Just(vec![1]),
        Just(0x7fc0_0001_u32.to_be_bytes().to_vec()),
        Just(0x7ff0_0000_0000_0001_u64.to_be_bytes().to_vec()),
        Just((-0.0_f64).to_be_bytes().to_vec()),
        Just(0.0_f64.to_be_bytes().to_vec()),
        (0..1_i64 << 40).prop_map(|millis: i64| millis.to_be_bytes().to_vec()),
        "[a-zß]{0,12}".prop_map(String::into_bytes),
    ];
    prop_oneof![raw, special].prop_map(Bytes::from)
}

/// A value of the type, or bytes of any kind.
pub(crate) fn value(cql: &CqlType) -> BoxedStrategy<Bytes> {
    prop_oneof![proper(cql).prop_map(Bytes::from), any_value()].boxed()
}

/// Bytes as Cassandra writes them of values of this type.
pub(crate) fn proper(cql: &CqlType) -> BoxedStrategy<Vec<u8>> {
    match cql {
        CqlType::TinyInt => any::<[u8; 1]>().prop_map(Vec::from).boxed(),
        CqlType::SmallInt => any::<[u8; 2]>().prop_map(Vec::from).boxed(),
        CqlType::Int => any::<[u8; 4]>().prop_map(Vec::from).boxed(),
        CqlType::BigInt => any::<[u8; 8]>().prop_map(Vec::from).boxed(),
        CqlType::Time => (0..86_400_000_000_000_i64).prop_map(|v| v.to_be_bytes().to_vec()).boxed(),
        CqlType::Timestamp => (-1_i64 << 40..1 << 42).prop_map(|v: i64| v.to_be_bytes().to_vec()).boxed(),
        CqlType::Date => (0x8000_0000_u32 - 900..0x8000_0000 + 40_000).prop_map(|v| v.to_be_bytes().to_vec()).boxed(),
        CqlType::Float => any::<f32>().prop_map(|v| v.to_be_bytes().to_vec()).boxed(),
        CqlType::Double => any::<f64>().prop_map(|v| v.to_be_bytes().to_vec()).boxed(),
        CqlType::Boolean => (0..2_u8).prop_map(|v| vec![v]).boxed(),
        CqlType::Uuid => any::<[u8; 16]>().prop_map(Vec::from).boxed(),
        CqlType::TimeUuid => (any::<[u8; 16]>(), 0x10..0x20_u8).prop_map(version_1).boxed(),
        CqlType::Text | CqlType::Ascii => "[a-z]{0,12}".prop_map(String::into_bytes).boxed(),
        CqlType::VarInt => integer().boxed(),
        CqlType::Decimal => {
            (any::<i32>(), integer()).prop_map(|(scale, v)| join([scale.to_be_bytes().into(), v])).boxed()
        }
        CqlType::List { element, .. } | CqlType::Set { element, .. } => {
            many(part(element), 0..4).prop_map(counted).boxed()
        }
        CqlType::Map { key, value, .. } => {
            many((part(key), part(value)).prop_map(|(key, value)| join([key, value])), 0..4).prop_map(counted).boxed()
        }
        CqlType::Tuple(types) => types.iter().map(part).collect::<Vec<_>>().prop_map(join).boxed(),
        CqlType::Udt { fields, .. } => {
            fields.iter().map(|(_, cql)| part(cql)).collect::<Vec<_>>().prop_map(join).boxed()
        }
        _ => many(any::<u8>(), 0..20).boxed(),
    }
}

fn join(parts: impl IntoIterator<Item = Vec<u8>>) -> Vec<u8> {
    parts.into_iter().flatten().collect()
}

fn version_1((mut bytes, version): ([u8; 16], u8)) -> Vec<u8> {
    bytes[6] = version;
    bytes.to_vec()
}

/// Two's complement as short as possible.
fn integer() -> impl Strategy<Value = Vec<u8>> {
    let value = prop_oneof![any::<i8>().prop_map(i64::from), any::<i32>().prop_map(i64::from), any::<i64>()];
    value.prop_map(|value| {
        let mut bytes = value.to_be_bytes().to_vec();
        while matches!(bytes[..], [0, 0..0x80, ..] | [0xff, 0x80..=0xff, ..]) {
            bytes.remove(0);
        }
        bytes
    })
}

/// A value behind its length, or null.
fn part(cql: &CqlType) -> BoxedStrategy<Vec<u8>> {
    let value = proper(cql).prop_map(|value| join([i32::try_from(value.len()).unwrap().to_be_bytes().into(), value]));
    prop_oneof![4 => value, 1 => Just(vec![0xff; 4])].boxed()
}

fn counted(elements: Vec<Vec<u8>>) -> Vec<u8> {
    let count = i32::try_from(elements.len()).unwrap().to_be_bytes();
    join([count.into(), elements.concat()])
}
