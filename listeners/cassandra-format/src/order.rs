//! The order of serialised values, clusterings, bounds and cell paths: Cassandra's comparators.
//!
//! Values are compared as Cassandra 5.0 compares them, on their bytes. A value that is malformed for its type, which
//! Cassandra would refuse, is greater than every well-formed one and ordered by its bytes: nothing panics on any input.

mod nested;
mod number;
mod position;

use std::cmp::Ordering;

pub use position::{Position, compare_paths};

use crate::types::CqlType;

/// Compares two serialised values of a type; empty values come first.
///
/// `duration`, `counter` and custom types are not comparable in Cassandra; their bytes are compared here.
pub fn compare_values(cql_type: &CqlType, a: &[u8], b: &[u8]) -> Ordering {
    if a.is_empty() || b.is_empty() {
        return b.is_empty().cmp(&a.is_empty());
    }
    match cql_type {
        CqlType::List { element, .. } | CqlType::Set { element, .. } => nested::compare_lists(element, a, b),
        CqlType::Map { key, value, .. } => nested::compare_maps(key, value, a, b),
        CqlType::Tuple(types) => nested::compare_tuples(types.len(), &|i| &types[i], a, b),
        CqlType::Udt { fields, .. } => nested::compare_tuples(fields.len(), &|i| &fields[i].1, a, b),
        CqlType::Vector { element, dimensions } => nested::compare_vectors(element, *dimensions, a, b),
        scalar => compare_scalars(scalar, a, b),
    }
}

fn compare_scalars(cql_type: &CqlType, a: &[u8], b: &[u8]) -> Ordering {
    match cql_type {
        CqlType::TinyInt => by_key(a, b, |v| Some(i8::from_be_bytes(v.try_into().ok()?))),
        CqlType::SmallInt => by_key(a, b, |v| Some(i16::from_be_bytes(v.try_into().ok()?))),
        CqlType::Int => by_key(a, b, |v| Some(i32::from_be_bytes(v.try_into().ok()?))),
        CqlType::BigInt | CqlType::Timestamp => by_key(a, b, |v| Some(i64::from_be_bytes(v.try_into().ok()?))),
        CqlType::Float => by_key(a, b, |v| Some(number::float_key(v.try_into().ok()?))),
        CqlType::Double => by_key(a, b, |v| Some(number::double_key(v.try_into().ok()?))),
        CqlType::Boolean => by_key(a, b, |v| (v.len() == 1).then(|| v[0] != 0)),
        CqlType::Uuid => by_key(a, b, uuid_key),
        CqlType::TimeUuid => by_key(a, b, time_uuid_key),
        CqlType::VarInt => number::compare_varints(a, b),
        CqlType::Decimal => number::compare_decimals(a, b),
        CqlType::Empty => Ordering::Equal,
        _ => a.cmp(b),
    }
}

/// Compares by a key; what has none is malformed, comes last and is ordered by its bytes.
fn by_key<K: Ord>(a: &[u8], b: &[u8], key: impl Fn(&[u8]) -> Option<K>) -> Ordering {
    match (key(a), key(b)) {
        (Some(a), Some(b)) => a.cmp(&b),
        (Some(_), None) => Ordering::Less,
        (None, Some(_)) => Ordering::Greater,
        (None, None) => a.cmp(b),
    }
}

/// Version first, then time for version 1, else the high half; then the low half unsigned.
fn uuid_key(value: &[u8]) -> Option<(u8, u64, u64)> {
    let (high, low) = halves(value)?;
    let version = (high >> 12) as u8 & 0xf;
    Some((version, if version == 1 { time_first(high) } else { high }, low))
}

/// Time first, then the low half byte by byte as *signed* bytes. A UUID of another version is malformed.
fn time_uuid_key(value: &[u8]) -> Option<(u64, u64)> {
    let (high, low) = halves(value)?;
    // Flipping the top bit of each byte makes unsigned comparison of the whole equal to signed comparison of the bytes.
    ((high >> 12) & 0xf == 1).then_some((time_first(high), low ^ 0x8080_8080_8080_8080))
}

fn halves(value: &[u8]) -> Option<(u64, u64)> {
    let value = u128::from_be_bytes(value.try_into().ok()?);
    Some(((value >> 64) as u64, value as u64))
}

/// Puts the fields of a time UUID's high half in order of significance: version and high, middle, low.
fn time_first(high: u64) -> u64 {
    (high << 48) | ((high << 16) & 0xffff_0000_0000) | (high >> 32)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Asserts that the values ascend strictly, pairwise.
    pub(super) fn assert_ascending(cql_type: &CqlType, values: &[Vec<u8>]) {
        for (i, a) in values.iter().enumerate() {
            for (j, b) in values.iter().enumerate() {
                assert_eq!(compare_values(cql_type, a, b), i.cmp(&j), "{cql_type:?}: {a:02x?} and {b:02x?}");
            }
        }
    }

    #[test]
    fn integers_are_signed_and_empty_comes_first() {
        let ints = |v: &[i32]| v.iter().map(|n| n.to_be_bytes().to_vec()).collect::<Vec<_>>();
        let mut values = vec![vec![]];
        values.extend(ints(&[i32::MIN, -1, 0, 1, i32::MAX]));
        values.push(vec![0; 5]); // malformed
        assert_ascending(&CqlType::Int, &values);
        assert_ascending(&CqlType::TinyInt, &[vec![], vec![0x80], vec![0xff], vec![0], vec![0x7f]]);
        assert_ascending(&CqlType::SmallInt, &[vec![0x80, 0], vec![0xff, 0xff], vec![0, 0], vec![0x7f, 0]]);
    }

    #[test]
    fn dates_and_times_are_unsigned() {
        for cql_type in [CqlType::Date, CqlType::Time, CqlType::Text, CqlType::Blob, CqlType::Inet, CqlType::Duration] {
            assert_ascending(&cql_type, &[vec![], vec![0], vec![0x7f, 1], vec![0x80], vec![0x80, 0], vec![0xff]]);
        }
    }

    #[test]
    fn floats_compare_as_java_does() {
        let all = [f64::NEG_INFINITY, -1.5, -0.0, 0.0, 1e-300, 2.0, f64::INFINITY, f64::NAN];
        assert_ascending(&CqlType::Double, &all.map(|f| f.to_be_bytes().to_vec()));
        assert_ascending(&CqlType::Float, &[-1.5_f32, -0.0, 0.0, 2.0, f32::NAN].map(|f| f.to_be_bytes().to_vec()));
        let negative_nan = (-f64::NAN).to_be_bytes();
        assert_eq!(compare_values(&CqlType::Double, &negative_nan, &f64::NAN.to_be_bytes()), Ordering::Equal);
    }

    #[test]
    fn booleans_are_true_for_any_non_zero_byte() {
        assert_ascending(&CqlType::Boolean, &[vec![], vec![0], vec![1]]);
        assert_eq!(compare_values(&CqlType::Boolean, &[1], &[2]), Ordering::Equal);
    }

    fn uuid(text: &str) -> Vec<u8> {
        (0..16).map(|i| u8::from_str_radix(&text.replace('-', "")[2 * i..2 * i + 2], 16).unwrap()).collect()
    }

    #[test]
    fn uuids_compare_by_version_then_time_or_bytes() {
        let values = [
            "00000000-0000-0000-0000-000000000000",
            "ffffffff-0000-1000-8000-000000000000",
            "00000000-0001-1000-8000-000000000000",
            "00000000-0000-1001-0000-000000000001",
            "00000000-0000-1001-8000-000000000001",
            "00000000-0000-4000-8000-000000000000",
            "10000000-0000-4000-8000-000000000000",
        ];
        assert_ascending(&CqlType::Uuid, &values.map(uuid));
    }

    #[test]
    fn time_uuids_compare_by_time_then_signed_bytes() {
        let values = [
            "ffffffff-0000-1000-8000-000000000000",
            "00000000-0001-1000-8000-000000000000",
            "00000000-0000-1001-8000-000000000000",
            "00000000-0000-1001-8000-000000000001",
            "00000000-0000-1001-0000-000000000080",
            "00000000-0000-1001-0000-000000000001",
        ];
        assert_ascending(&CqlType::TimeUuid, &values.map(uuid));
    }
}
