//! CQL literals of key columns as the bytes that Cassandra keeps.

use bytes::Bytes;
use jiff::{Timestamp, civil};
use tidemark_cassandra_format::types::CqlType;

/// The bytes of a value of this type, written as CQL writes it or as the blob of its bytes (`0x…`).
///
/// # Errors
/// In words, where it is not a value of the type.
pub(super) fn value(cql_type: &CqlType, literal: &str) -> Result<Bytes, String> {
    if let Some(digits) = literal.strip_prefix("0x").or_else(|| literal.strip_prefix("0X")) {
        let bytes = hex::decode(digits).map_err(|_| format!("{literal} is not a blob"))?;
        return match fits(cql_type, &bytes) {
            true => Ok(bytes.into()),
            false => Err(format!("{literal} are not the bytes of a value of type {}", name(cql_type))),
        };
    }
    let wrong = || format!("{literal} is not a value of type {}", name(cql_type));
    let text = unquoted(literal);
    let plain = text.as_deref().unwrap_or(literal);
    let bytes = match cql_type {
        CqlType::Ascii | CqlType::Text => text.map(String::into_bytes),
        CqlType::TinyInt => literal.parse::<i8>().ok().map(|n| n.to_be_bytes().to_vec()),
        CqlType::SmallInt => literal.parse::<i16>().ok().map(|n| n.to_be_bytes().to_vec()),
        CqlType::Int => literal.parse::<i32>().ok().map(|n| n.to_be_bytes().to_vec()),
        CqlType::BigInt => literal.parse::<i64>().ok().map(|n| n.to_be_bytes().to_vec()),
        CqlType::VarInt => literal.parse::<i128>().ok().map(varint),
        CqlType::Float => literal.parse::<f32>().ok().map(|n| n.to_be_bytes().to_vec()),
        CqlType::Double => literal.parse::<f64>().ok().map(|n| n.to_be_bytes().to_vec()),
        CqlType::Boolean => literal.to_ascii_lowercase().parse::<bool>().ok().map(|b| vec![u8::from(b)]),
        CqlType::Uuid | CqlType::TimeUuid => uuid(literal).filter(|bytes| fits(cql_type, bytes)),
        CqlType::Timestamp => timestamp(plain).map(|ms| ms.to_be_bytes().to_vec()),
        CqlType::Date => date(plain).map(|day| day.to_be_bytes().to_vec()),
        CqlType::Inet => plain.parse().ok().map(|address| match address {
            std::net::IpAddr::V4(v4) => v4.octets().to_vec(),
            // As the server has them: one that stands for an IPv4 address is that.
            std::net::IpAddr::V6(v6) => {
                v6.to_ipv4_mapped().map_or_else(|| v6.octets().to_vec(), |v4| v4.octets().to_vec())
            }
        }),
        _ => None,
    };
    bytes.map(Bytes::from).ok_or_else(|| match is_written(cql_type) {
        true => wrong(),
        false => format!("{}; write it as the blob of its bytes, 0x…", wrong()),
    })
}

/// True where a server would take the bytes for a value of the type; what it would refuse has no place in an order. Values of no
/// bytes are taken.
fn fits(cql_type: &CqlType, bytes: &[u8]) -> bool {
    let widths: &[usize] = match cql_type {
        CqlType::TinyInt | CqlType::Boolean => &[1],
        CqlType::SmallInt => &[2],
        CqlType::Int | CqlType::Float | CqlType::Date => &[4],
        CqlType::BigInt | CqlType::Double | CqlType::Timestamp | CqlType::Time | CqlType::Counter => &[8],
        CqlType::Uuid | CqlType::TimeUuid => &[16],
        CqlType::Inet => &[4, 16],
        CqlType::Ascii => return bytes.is_ascii(),
        CqlType::Text => return std::str::from_utf8(bytes).is_ok(),
        _ => return true,
    };
    let versioned = *cql_type != CqlType::TimeUuid || bytes.get(6).is_none_or(|byte| byte >> 4 == 1);
    bytes.is_empty() || widths.contains(&bytes.len()) && versioned
}

/// The text of a `'…'` or `$$…$$` literal.
fn unquoted(literal: &str) -> Option<String> {
    let dollars = literal.strip_prefix("$$").and_then(|rest| rest.strip_suffix("$$"));
    let quotes = literal.strip_prefix('\'').and_then(|rest| rest.strip_suffix('\''));
    dollars.map(str::to_owned).or_else(|| quotes.map(|text| text.replace("''", "'")))
}

/// Shortest two's complement.
fn varint(number: i128) -> Vec<u8> {
    let bytes = number.to_be_bytes();
    let sign = if number < 0 { 0xff } else { 0 };
    let keeps_sign = |next: u8| (next & 0x80 != 0) == (number < 0);
    let skip = (0..bytes.len() - 1).take_while(|n| bytes[*n] == sign && keeps_sign(bytes[n + 1])).count();
    bytes[skip..].to_vec()
}

fn uuid(literal: &str) -> Option<Vec<u8>> {
    let at = |n: usize| literal.as_bytes().get(n) == Some(&b'-');
    let shaped = literal.len() == 36 && [8, 13, 18, 23].into_iter().all(at);
    shaped.then(|| hex::decode(literal.replace('-', "")).ok().filter(|b| b.len() == 16)).flatten()
}

/// ms since 1970: as such, or `2026-01-31T10:00:00Z`, with a blank for the T; UTC where there is no offset, midnight where there
/// is no time of the day.
fn timestamp(text: &str) -> Option<i64> {
    if let Ok(millis) = text.parse() {
        return Some(millis);
    }
    let time = text.parse::<Timestamp>().ok().or_else(|| in_utc(text))?;
    (time.subsec_nanosecond() % 1_000_000 == 0).then(|| time.as_millisecond())
}

/// A date, or a date and a time of the day, and nothing else.
fn in_utc(text: &str) -> Option<Timestamp> {
    let time: civil::DateTime = of_date(text, "-:.Tt ").and_then(|text| text.parse().ok())?;
    time.to_zoned(jiff::tz::TimeZone::UTC).ok().map(|zoned| zoned.timestamp())
}

/// The text where it has the dashes of `2026-01-31` and no other characters than digits and these: its parsers leave a zone, or
/// a time of the day, away without a word.
fn of_date<'t>(text: &'t str, others: &str) -> Option<&'t str> {
    let known = text.chars().all(|c| c.is_ascii_digit() || others.contains(c));
    (known && text.matches('-').count() == 2).then_some(text)
}

/// Days since 1970 with the middle of the range, 2^31, as zero.
fn date(text: &str) -> Option<u32> {
    let day: civil::Date = of_date(text, "-").and_then(|text| text.parse().ok())?;
    let epoch = civil::date(1970, 1, 1);
    let days = i64::from(day.since(epoch).ok()?.get_days());
    u32::try_from(days + (1 << 31)).ok()
}

/// True where values are written in a way of their own here.
fn is_written(cql_type: &CqlType) -> bool {
    !matches!(
        cql_type,
        CqlType::Blob
            | CqlType::Decimal
            | CqlType::Duration
            | CqlType::Time
            | CqlType::List { .. }
            | CqlType::Set { .. }
            | CqlType::Map { .. }
            | CqlType::Tuple(_)
            | CqlType::Udt { .. }
            | CqlType::Vector { .. }
            | CqlType::Custom(_)
            | CqlType::Counter
            | CqlType::Empty
    )
}

/// First word of the type's name.
fn name(cql_type: &CqlType) -> String {
    let debug = format!("{cql_type:?}").to_lowercase();
    debug.split([' ', '(']).next().unwrap_or_default().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hex_of(cql_type: CqlType, literal: &str) -> String {
        value(&cql_type, literal).map_or_else(|why| why, hex::encode)
    }

    #[test]
    fn literals_have_the_bytes_that_cassandra_keeps() {
        assert_eq!(hex_of(CqlType::Int, "-2"), "fffffffe");
        assert_eq!(hex_of(CqlType::Text, "'it''s'"), "69742773");
        assert_eq!(hex_of(CqlType::Text, "$$a'b$$"), "612762");
        assert_eq!(hex_of(CqlType::VarInt, "128"), "0080");
        assert_eq!(hex_of(CqlType::VarInt, "-128"), "80");
        assert_eq!(hex_of(CqlType::VarInt, "-129"), "ff7f");
        assert_eq!(hex_of(CqlType::VarInt, "0"), "00");
        assert_eq!(hex_of(CqlType::Boolean, "TRUE"), "01");
        assert_eq!(hex_of(CqlType::Timestamp, "'1970-01-01T00:00:01Z'"), "00000000000003e8");
        assert_eq!(hex_of(CqlType::Timestamp, "'1970-01-02'"), "0000000005265c00");
        assert_eq!(hex_of(CqlType::Timestamp, "1"), "0000000000000001");
        for literal in ["'1970-01-02 00:00:01'", "'1970-01-02T00:00:01.000'", "'1970-01-02 01:00:01+01:00'"] {
            assert_eq!(hex_of(CqlType::Timestamp, literal), "0000000005265fe8", "{literal}");
        }
        assert_eq!(hex_of(CqlType::Date, "'1970-01-01'"), "80000000");
        assert_eq!(hex_of(CqlType::Date, "'1969-12-31'"), "7fffffff");
        assert_eq!(hex_of(CqlType::Inet, "'127.0.0.1'"), "7f000001");
        assert_eq!(hex_of(CqlType::Inet, "'::ffff:127.0.0.1'"), "7f000001");
        assert_eq!(hex_of(CqlType::Int, "0x00000010"), "00000010");
        assert_eq!(hex_of(CqlType::Int, "0x"), "", "a value of no bytes");
        let uuid = "123e4567-e89b-12d3-a456-426614174000";
        assert_eq!(hex_of(CqlType::Uuid, uuid), uuid.replace('-', ""));
        assert_eq!(hex_of(CqlType::Decimal, "0x0000000105"), "0000000105");
    }

    #[test]
    fn what_is_not_of_the_type_is_refused() {
        for (cql_type, literal) in [
            (CqlType::Int, "'5'"),
            (CqlType::Int, "5000000000"),
            (CqlType::Text, "five"),
            (CqlType::Uuid, "123e4567"),
            (CqlType::Blob, "0x1"),
            (CqlType::Int, "0x10"),
            (CqlType::Int, "0x0000000010"),
            (CqlType::Boolean, "0x0001"),
            (CqlType::Inet, "0x7f0000"),
            (CqlType::Text, "0xff"),
            (CqlType::TimeUuid, "00000000-0000-0000-0000-000000000000"),
            (CqlType::TimeUuid, "0x00000000000040000000000000000000"),
            (CqlType::Timestamp, "'yesterday'"),
            (CqlType::Timestamp, "'1970-01-02T00:00:01[Europe/Berlin]'"),
            (CqlType::Timestamp, "'1970-01-02 00:00:00.0001'"),
            (CqlType::Date, "'1970-01-02 00:00:01'"),
            (CqlType::Date, "'1970-01-02T00:00:00Z'"),
            (CqlType::Date, "'19700102'"),
        ] {
            assert!(value(&cql_type, literal).is_err(), "{literal}");
        }
        assert!(value(&CqlType::Decimal, "1.5").unwrap_err().contains("0x"));
    }
}
