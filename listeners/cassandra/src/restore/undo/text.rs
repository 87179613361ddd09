//! Keys for people: `pk = 5 AND ck = 'a'`.

use bytes::Bytes;
use tidemark_cassandra_format::{schema::Column, types::CqlType};

use crate::restore::schema::cql::{literal, quote};

/// Longest value that is shown, bytes of text.
const LONGEST: usize = 200;

/// A column and its value, as a condition of CQL where the type is a simple one, else with the blob of the value's bytes.
pub(super) fn comparison(column: &Column, value: Option<&Bytes>) -> String {
    let plain = column.name.starts_with(|c: char| c.is_ascii_lowercase())
        && column.name.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_');
    let name = if plain { column.name.clone() } else { quote(&column.name) };
    let Some(value) = value else { return format!("{name} = null") };
    format!("{name} = {}", text(&column.cql_type, value).unwrap_or_else(|| blob(value)))
}

fn blob(value: &Bytes) -> String {
    match value.len() * 2 > LONGEST {
        true => format!("0x{}… ({} bytes)", hex::encode(&value[..LONGEST / 2]), value.len()),
        false => format!("0x{}", hex::encode(value)),
    }
}

fn text(cql_type: &CqlType, value: &Bytes) -> Option<String> {
    match cql_type {
        CqlType::Text | CqlType::Ascii if value.len() <= LONGEST => {
            std::str::from_utf8(value).ok().filter(|text| !text.chars().any(char::is_control)).map(literal)
        }
        CqlType::TinyInt => Some(i8::from_be_bytes(value.as_ref().try_into().ok()?).to_string()),
        CqlType::SmallInt => Some(i16::from_be_bytes(value.as_ref().try_into().ok()?).to_string()),
        CqlType::Int => Some(i32::from_be_bytes(value.as_ref().try_into().ok()?).to_string()),
        CqlType::BigInt => Some(i64::from_be_bytes(value.as_ref().try_into().ok()?).to_string()),
        CqlType::Uuid | CqlType::TimeUuid => {
            let hex = hex::encode(<[u8; 16]>::try_from(value.as_ref()).ok()?);
            Some(format!("{}-{}-{}-{}-{}", &hex[..8], &hex[8..12], &hex[12..16], &hex[16..20], &hex[20..]))
        }
        CqlType::Timestamp => {
            let millis = i64::from_be_bytes(value.as_ref().try_into().ok()?);
            jiff::Timestamp::from_millisecond(millis).ok().map(|time| format!("'{time}'"))
        }
        CqlType::Boolean => Some((value.as_ref() != [0]).to_string()),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::restore::samples::{column, int};

    #[test]
    fn keys_are_shown_as_conditions() {
        let of = |name, cql_type, value: &Bytes| comparison(&column(name, cql_type), Some(value));
        assert_eq!(of("pk", CqlType::Int, &int(-5)), "pk = -5");
        assert_eq!(of("Pk", CqlType::Text, &Bytes::from_static(b"it's")), "\"Pk\" = 'it''s'");
        assert_eq!(of("u", CqlType::Uuid, &Bytes::from(vec![1; 16])), "u = 01010101-0101-0101-0101-010101010101");
        assert_eq!(of("b", CqlType::Blob, &Bytes::from_static(&[1, 2])), "b = 0x0102");
        assert_eq!(of("t", CqlType::Text, &Bytes::from_static(&[0xff])), "t = 0xff");
        assert_eq!(comparison(&column("c", CqlType::Int), None), "c = null");
    }
}
