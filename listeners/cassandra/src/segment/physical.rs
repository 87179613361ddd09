//! How a CQL type is stored in Parquet, and which of its values come back byte by byte.

use std::sync::Arc;

use arrow_schema::{DataType, TimeUnit};
use tidemark_cassandra_format::types::CqlType;

use super::composite::{self, ListForm, StructForm};

/// Timestamps outside of the years 1 to 9999 are kept raw: query engines refuse or wrap them. Milliseconds since 1970.
const TIMESTAMP_MILLIS: std::ops::RangeInclusive<i64> = -62_135_596_800_000..=253_402_300_799_999;

/// Dates outside of the years 1 to 9999 are kept raw. Days since 1970.
const DATE_DAYS: std::ops::RangeInclusive<i32> = -719_162..=2_932_896;

/// Cassandra's `date` counts days from −2^31, as u32.
const DATE_SHIFT: u32 = 1 << 31;

/// Typed form of a value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Physical {
    /// `tinyint`
    Int8,
    /// `smallint`, and the field index of a UDT's cell
    Int16,
    /// `int`
    Int32,
    /// `bigint`, and `time` in ns
    Int64,
    /// `float`
    Float32,
    /// `double`
    Float64,
    /// `boolean`
    Boolean,
    /// `text`, `ascii`
    Text,
    /// `uuid`, `timeuuid`
    Uuid,
    /// `timestamp`
    Timestamp,
    /// `date`
    Date,
    /// `varint`, and the integer of a `decimal`, where 64 bits hold it
    VarInt,
    /// Frozen collections
    List(Arc<ListForm>),
    /// Tuples, frozen user-defined types, `decimal`
    Struct(Arc<StructForm>),
    /// Everything else: the CQL bytes
    Binary,
}

impl Physical {
    /// Typed form of values of this type in segments of this format.
    pub(super) fn of(cql: &CqlType, format: u32) -> Self {
        match cql {
            CqlType::TinyInt => Self::Int8,
            CqlType::SmallInt => Self::Int16,
            CqlType::Int => Self::Int32,
            CqlType::BigInt | CqlType::Time => Self::Int64,
            CqlType::Float => Self::Float32,
            CqlType::Double => Self::Float64,
            CqlType::Boolean => Self::Boolean,
            CqlType::Text | CqlType::Ascii => Self::Text,
            CqlType::Uuid | CqlType::TimeUuid => Self::Uuid,
            CqlType::Timestamp => Self::Timestamp,
            CqlType::Date => Self::Date,
            // Format 1 knows no others.
            _ if format == 1 => Self::Binary,
            CqlType::VarInt => Self::VarInt,
            other => composite::form(other, format).unwrap_or(Self::Binary),
        }
    }

    /// Typed forms of path and value of the cells of a multi-cell column; `None` for a column of one cell.
    pub(super) fn of_cells(cql: &CqlType, format: u32) -> Option<(Self, Self)> {
        let of = |cql| Self::of(cql, format);
        match cql {
            CqlType::List { element, frozen: false } => Some((Self::Uuid, of(element))),
            CqlType::Set { element, frozen: false } => Some((of(element), Self::Binary)),
            CqlType::Map { key, value, frozen: false } => Some((of(key), of(value))),
            CqlType::Udt { frozen: false, .. } => Some((Self::Int16, Self::Binary)),
            _ => None,
        }
    }

    /// Arrow type of the typed form.
    pub(super) fn data_type(&self) -> DataType {
        match self {
            Self::Int8 => DataType::Int8,
            Self::Int16 => DataType::Int16,
            Self::Int32 => DataType::Int32,
            Self::Int64 | Self::VarInt => DataType::Int64,
            Self::Float32 => DataType::Float32,
            Self::Float64 => DataType::Float64,
            Self::Boolean => DataType::Boolean,
            Self::Text => DataType::Utf8,
            Self::Uuid => DataType::FixedSizeBinary(16),
            Self::Timestamp => DataType::Timestamp(TimeUnit::Millisecond, Some("UTC".into())),
            Self::Date => DataType::Date32,
            Self::List(form) => DataType::List(form.element_field()),
            Self::Struct(form) => DataType::Struct(form.fields()),
            Self::Binary => DataType::Binary,
        }
    }

    /// True where the typed form of `bytes` gives the same bytes back.
    pub(super) fn holds(&self, bytes: &[u8]) -> bool {
        match self {
            Self::Int8 => bytes.len() == 1,
            Self::Int16 => bytes.len() == 2,
            Self::Int32 => bytes.len() == 4,
            Self::Int64 => bytes.len() == 8,
            Self::Float32 => be(bytes).map(u32::from_be_bytes).is_some_and(holds_float),
            Self::Float64 => be(bytes).map(u64::from_be_bytes).is_some_and(holds_double),
            Self::Boolean => matches!(bytes, [0 | 1]),
            Self::Text => std::str::from_utf8(bytes).is_ok(),
            Self::Uuid => bytes.len() == 16,
            Self::Timestamp => be(bytes).map(i64::from_be_bytes).is_some_and(|ms| TIMESTAMP_MILLIS.contains(&ms)),
            Self::Date => days(bytes).is_some_and(|days| DATE_DAYS.contains(&days)),
            Self::VarInt => varint(bytes).is_some(),
            Self::List(form) => form.each(bytes, |element| element.is_none_or(|bytes| form.element.holds(bytes))),
            Self::Struct(form) => form.each(bytes, |i, part| part.is_none_or(|bytes| form.members[i].1.holds(bytes))),
            Self::Binary => true,
        }
    }

    /// Number of Parquet columns that hold it.
    pub(super) fn leaves(&self) -> usize {
        match self {
            Self::List(form) => form.element.leaves(),
            Self::Struct(form) => form.members.iter().map(|(_, member)| member.leaves()).sum(),
            _ => 1,
        }
    }
}

/// NaNs other than the canonical one are raw: their payload may not survive every reader's and writer's arithmetic.
fn holds_float(bits: u32) -> bool {
    !f32::from_bits(bits).is_nan() || bits == 0x7fc0_0000
}

/// As [`holds_float`].
fn holds_double(bits: u64) -> bool {
    !f64::from_bits(bits).is_nan() || bits == 0x7ff8_0000_0000_0000
}

/// Exactly `N` bytes, or nothing.
pub(super) fn be<const N: usize>(bytes: &[u8]) -> Option<[u8; N]> {
    bytes.try_into().ok()
}

/// Days since 1970 of a CQL date; `None` unless it has four bytes.
pub(super) fn days(bytes: &[u8]) -> Option<i32> {
    be(bytes).map(|bytes| u32::from_be_bytes(bytes).wrapping_sub(DATE_SHIFT).cast_signed())
}

/// The CQL date of days since 1970.
pub(super) fn date_bytes(days: i32) -> [u8; 4] {
    days.cast_unsigned().wrapping_add(DATE_SHIFT).to_be_bytes()
}

/// The integer that these bytes are the shortest two's complement of; `None` where 64 bits do not hold it.
pub(super) fn varint(bytes: &[u8]) -> Option<i64> {
    let sign = if bytes.first()? < &0x80 { 0 } else { 0xff };
    let mut wide = [sign; 8];
    wide[8_usize.checked_sub(bytes.len())?..].copy_from_slice(bytes);
    let value = i64::from_be_bytes(wide);
    (varint_length(value) == bytes.len()).then_some(value)
}

/// Bytes of the shortest two's complement of an integer: the last so many of its eight.
pub(super) fn varint_length(value: i64) -> usize {
    let signs = (value ^ (value >> 63)).leading_zeros();
    8 - (signs as usize - 1) / 8
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_count_from_the_epoch_in_the_middle() {
        assert_eq!(days(&[0x80, 0, 0, 0]), Some(0));
        assert_eq!(days(&[0x80, 0, 0, 1]), Some(1));
        assert_eq!(date_bytes(-1), [0x7f, 0xff, 0xff, 0xff]);
    }

    #[test]
    fn integers_are_as_short_as_possible() {
        for (value, bytes) in [(0, &[0][..]), (-1, &[0xff]), (127, &[127]), (128, &[0, 128]), (-129, &[0xff, 0x7f])] {
            assert_eq!((varint(bytes), varint_length(value)), (Some(value), bytes.len()));
        }
        assert_eq!((varint(&i64::MIN.to_be_bytes()), varint_length(i64::MIN)), (Some(i64::MIN), 8));
        for longer in [&b""[..], &[0, 0], &[0xff, 0xff], &[0, 127], &[1, 0, 0, 0, 0, 0, 0, 0, 0]] {
            assert_eq!(varint(longer), None);
        }
    }

    #[test]
    fn odd_values_are_not_held() {
        assert!(!Physical::Int32.holds(b""));
        assert!(!Physical::Boolean.holds(&[2]));
        assert!(!Physical::Text.holds(&[0xff]));
        assert!(!Physical::Float32.holds(&0x7fc0_0001_u32.to_be_bytes()));
        assert!(!Physical::Timestamp.holds(&i64::MAX.to_be_bytes()));
        assert!(Physical::Float32.holds(&(-0.0_f32).to_be_bytes()));
    }
}
