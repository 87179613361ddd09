//! Values made of values: collections, tuples, user-defined types, decimals; their typed forms and how their bytes are cut.
//!
//! Cassandra writes a collection as a count and its elements, a tuple or user-defined type as its fields, each behind its
//! length (−1: null); a decimal as a scale of four bytes and an integer. In Parquet they are lists and structs of the typed
//! forms of what is in them. A value is held whole or not at all: one part that is not held keeps the whole value raw.

use std::sync::Arc;

use arrow_schema::{Field, FieldRef, Fields};
use tidemark_cassandra_format::types::CqlType;

use super::physical::Physical;

/// Types of more parts than this are kept as bytes: each part costs a Parquet column.
const MOST_LEAVES: usize = 64;

/// Bytes of the scale of a decimal.
const SCALE_BYTES: usize = 4;

/// A frozen collection.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct ListForm {
    pub(super) element: Physical,
    /// True for maps: an element is a key and a value, which it holds as a struct does.
    pub(super) pairs: bool,
}

/// A value of a fixed number of parts.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct StructForm {
    pub(super) members: Vec<(String, Physical)>,
    /// Where two parts without lengths meet; `None` where each part stands behind its length.
    pub(super) cut: Option<usize>,
}

/// Typed form of a composite type; `None` for other types, and for those of too many parts.
pub(super) fn form(cql: &CqlType, format: u32) -> Option<Physical> {
    let of = |cql| Physical::of(cql, format);
    let list = |element, pairs| Physical::List(Arc::new(ListForm { element, pairs }));
    let form = match cql {
        CqlType::List { element, .. } | CqlType::Set { element, .. } => list(of(element), false),
        CqlType::Map { key, value, .. } => list(parts([("key", of(key)), ("value", of(value))], None)?, true),
        CqlType::Tuple(types) => parts((1..).zip(types).map(|(i, cql)| (format!("_{i}"), of(cql))), None)?,
        CqlType::Udt { fields, .. } => parts(fields.iter().map(|(name, cql)| (name, of(cql))), None)?,
        CqlType::Decimal => parts([("scale", Physical::Int32), ("unscaled", Physical::VarInt)], Some(SCALE_BYTES))?,
        _ => return None,
    };
    (form.leaves() <= MOST_LEAVES).then_some(form)
}

/// The form of a value of these parts; `None` where there are none.
fn parts(members: impl IntoIterator<Item = (impl ToString, Physical)>, cut: Option<usize>) -> Option<Physical> {
    let members: Vec<_> = members.into_iter().map(|(name, member)| (name.to_string(), member)).collect();
    (!members.is_empty()).then(|| Physical::Struct(Arc::new(StructForm { members, cut })))
}

impl ListForm {
    pub(super) fn element_field(&self) -> FieldRef {
        Arc::new(Field::new("element", self.element.data_type(), true))
    }

    /// Shows each element's bytes, `None` where it is null, as long as `visit` says true. False where it did not, or where
    /// the bytes are no collection.
    pub(super) fn each<'a>(&self, bytes: &'a [u8], mut visit: impl FnMut(Option<&'a [u8]>) -> bool) -> bool {
        let Some((count, mut rest)) = bytes.split_first_chunk::<4>() else { return false };
        let Ok(count) = u32::try_from(i32::from_be_bytes(*count)) else { return false };
        (0..count).all(|_| self.take(&mut rest).is_some_and(&mut visit)) && rest.is_empty()
    }

    fn take<'a>(&self, rest: &mut &'a [u8]) -> Option<Option<&'a [u8]>> {
        if !self.pairs {
            return take(rest);
        }
        let pair = *rest;
        take(rest)?;
        take(rest)?;
        Some(Some(&pair[..pair.len() - rest.len()]))
    }
}

impl StructForm {
    pub(super) fn fields(&self) -> Fields {
        self.members.iter().map(|(name, member)| Field::new(name, member.data_type(), true)).collect()
    }

    /// Shows each part's index and bytes, `None` where it is null, as long as `visit` says true. False where it did not, or
    /// where the bytes are not exactly so many parts.
    pub(super) fn each<'a>(&self, bytes: &'a [u8], mut visit: impl FnMut(usize, Option<&'a [u8]>) -> bool) -> bool {
        if let Some(cut) = self.cut {
            return bytes.split_at_checked(cut).is_some_and(|(a, b)| visit(0, Some(a)) && visit(1, Some(b)));
        }
        let mut rest = bytes;
        (0..self.members.len()).all(|i| take(&mut rest).is_some_and(|part| visit(i, part))) && rest.is_empty()
    }
}

/// Takes a value behind its length off the front; `None` where there is none, null where the length is −1.
fn take<'a>(rest: &mut &'a [u8]) -> Option<Option<&'a [u8]>> {
    let (length, tail) = rest.split_first_chunk::<4>()?;
    let length = i32::from_be_bytes(*length);
    let (value, tail) = if length == -1 { (None, tail) } else { split(tail, length)? };
    *rest = tail;
    Some(value)
}

fn split(bytes: &[u8], length: i32) -> Option<(Option<&[u8]>, &[u8])> {
    let (value, tail) = bytes.split_at_checked(usize::try_from(length).ok()?)?;
    Some((Some(value), tail))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn set(element: CqlType) -> CqlType {
        CqlType::Set { element: Box::new(element), frozen: true }
    }

    #[test]
    fn collections_are_held_where_count_and_lengths_fit() {
        let form = form(&set(CqlType::TinyInt), 2).unwrap();
        for held in [&[0, 0, 0, 0][..], &[0, 0, 0, 1, 0, 0, 0, 1, 7], &[0, 0, 0, 1, 0xff, 0xff, 0xff, 0xff]] {
            assert!(form.holds(held), "{held:?}");
        }
        let other: [&[u8]; 6] = [
            &[],
            &[0, 0, 0, 0, 0],
            &[0, 0, 0, 1],
            &[0, 0, 0, 1, 0, 0, 0, 2, 7, 7],
            &[0, 0, 0, 1, 0xff, 0xff, 0xff, 0xfe],
            &[0xff, 0xff, 0xff, 0xff],
        ];
        assert!(other.iter().all(|bytes| !form.holds(bytes)));
    }

    #[test]
    fn decimals_are_held_where_the_integer_is_short() {
        let form = form(&CqlType::Decimal, 2).unwrap();
        assert!(form.holds(&[0, 0, 0, 2, 0, 128]) && form.holds(&[0xff, 0xff, 0xff, 0xff, 0]));
        assert!(!form.holds(&[0, 0, 0, 2]) && !form.holds(&[0, 0, 0]) && !form.holds(&[0, 0, 0, 2, 0, 1]));
    }

    #[test]
    fn types_of_very_many_parts_stay_bytes() {
        let tuple = |count| CqlType::Tuple(vec![CqlType::Int; count]);
        assert!(form(&tuple(MOST_LEAVES), 2).is_some());
        assert_eq!(form(&tuple(MOST_LEAVES + 1), 2), None);
        assert_eq!(form(&CqlType::Tuple(Vec::new()), 2), None);
    }
}
