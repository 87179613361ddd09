//! Order of frozen collections, tuples, user-defined types and vectors: element by element, then by length.

use std::cmp::Ordering;

use super::compare_values;
use crate::types::CqlType;

/// What stands next in a nested value; the variants' order is the order of values.
#[derive(PartialEq, Eq, PartialOrd, Ord)]
enum Item<'a> {
    End,
    Null,
    Value(&'a [u8]),
    /// The rest of a malformed value.
    Broken(&'a [u8]),
}

impl Item<'_> {
    fn compare(&self, other: &Self, cql_type: &CqlType) -> Ordering {
        match (self, other) {
            (Self::Value(a), Self::Value(b)) => compare_values(cql_type, a, b),
            _ => self.cmp(other),
        }
    }

    /// True where nothing follows that could decide.
    fn is_last(&self) -> bool {
        matches!(self, Self::End | Self::Broken(_))
    }
}

/// Elements of a nested value.
struct Items<'a> {
    rest: &'a [u8],
    left: usize,
    length: Length,
}

#[derive(Clone, Copy)]
enum Length {
    Int,
    VarInt,
    Fixed(usize),
}

impl<'a> Items<'a> {
    /// A collection: i32 count, then per element i32 length and bytes.
    fn of_collection(value: &'a [u8], per_entry: usize) -> Self {
        let Some((count, rest)) = split_int(value) else { return Self::broken(value) };
        let Ok(count) = usize::try_from(count) else { return Self::broken(value) };
        Self { rest, left: count.saturating_mul(per_entry), length: Length::Int }
    }

    /// A malformed value: its first item is broken.
    fn broken(value: &'a [u8]) -> Self {
        Self { rest: value, left: 1, length: Length::Fixed(usize::MAX) }
    }

    fn next(&mut self) -> Item<'a> {
        if self.left == 0 {
            return Item::End;
        }
        self.left -= 1;
        let Some((length, rest)) = self.split_length() else { return self.fail() };
        let Some(length) = length else {
            self.rest = rest;
            return Item::Null;
        };
        let Some((value, rest)) = rest.split_at_checked(length) else { return self.fail() };
        self.rest = rest;
        Item::Value(value)
    }

    /// The next element's length (`None` for null) and what follows it.
    fn split_length(&self) -> Option<(Option<usize>, &'a [u8])> {
        match self.length {
            Length::Fixed(length) => Some((Some(length), self.rest)),
            Length::Int => split_int(self.rest).map(|(length, rest)| (usize::try_from(length).ok(), rest)),
            Length::VarInt => {
                let (length, size) = crate::vint::peek(self.rest)?;
                Some((Some(usize::try_from(length).ok()?), &self.rest[size..]))
            }
        }
    }

    fn fail(&mut self) -> Item<'a> {
        self.left = 0;
        Item::Broken(self.rest)
    }
}

fn split_int(value: &[u8]) -> Option<(i32, &[u8])> {
    value.split_first_chunk::<4>().map(|(length, rest)| (i32::from_be_bytes(*length), rest))
}

fn compare_items<'t>(mut a: Items<'_>, mut b: Items<'_>, type_at: impl Fn(usize) -> &'t CqlType) -> Ordering {
    for i in 0.. {
        let (x, y) = (a.next(), b.next());
        let order = x.compare(&y, type_at(i));
        if order.is_ne() || x.is_last() {
            return order;
        }
    }
    Ordering::Equal
}

pub(super) fn compare_lists(element: &CqlType, a: &[u8], b: &[u8]) -> Ordering {
    compare_items(Items::of_collection(a, 1), Items::of_collection(b, 1), |_| element)
}

pub(super) fn compare_maps(key: &CqlType, value: &CqlType, a: &[u8], b: &[u8]) -> Ordering {
    let type_at = |i| if i % 2 == 0 { key } else { value };
    compare_items(Items::of_collection(a, 2), Items::of_collection(b, 2), type_at)
}

pub(super) fn compare_vectors(element: &CqlType, dimensions: u16, a: &[u8], b: &[u8]) -> Ordering {
    let length = element.fixed_length().map_or(Length::VarInt, Length::Fixed);
    let items = |rest| Items { rest, left: dimensions.into(), length };
    compare_items(items(a), items(b), |_| element)
}

/// Compares tuples and user-defined types: i32 length (negative for null) and bytes per field; trailing fields may be
/// missing and then equal nulls. As in Cassandra, missing fields also equal trailing *empty* ones.
pub(super) fn compare_tuples<'t>(
    fields: usize,
    type_at: &dyn Fn(usize) -> &'t CqlType,
    a: &[u8],
    b: &[u8],
) -> Ordering {
    let (mut a, mut b) = (fields_of(a), fields_of(b));
    for i in 0..fields {
        if a.rest.is_empty() || b.rest.is_empty() {
            break;
        }
        let order = a.next().compare(&b.next(), type_at(i));
        if order.is_ne() {
            return order;
        }
    }
    trailing(a).cmp(&trailing(b))
}

fn fields_of(value: &[u8]) -> Items<'_> {
    Items { rest: value, left: usize::MAX, length: Length::Int }
}

/// The rest of a tuple from its first field that is neither null nor empty.
fn trailing(mut items: Items<'_>) -> Item<'_> {
    while !items.rest.is_empty() && items.left > 0 {
        match items.next() {
            Item::Null | Item::Value([]) => {}
            other => return other,
        }
    }
    Item::End
}

#[cfg(test)]
mod tests {
    use super::super::tests::assert_ascending;
    use super::*;
    use proptest::prelude::*;

    fn value(bytes: &[u8]) -> Vec<u8> {
        [&(bytes.len() as i32).to_be_bytes()[..], bytes].concat()
    }

    fn ints(values: &[i32]) -> Vec<u8> {
        let count = (values.len() as i32).to_be_bytes().to_vec();
        values.iter().fold(count, |list, n| [list, value(&n.to_be_bytes())].concat())
    }

    fn list(element: CqlType) -> CqlType {
        CqlType::List { element: Box::new(element), frozen: true }
    }

    #[test]
    fn lists_compare_by_elements_then_length() {
        let mut broken = ints(&[5, 6]);
        broken.truncate(14);
        let values = [vec![], ints(&[]), ints(&[-1]), ints(&[5]), ints(&[5, -6]), ints(&[5, 6]), broken, ints(&[6])];
        assert_ascending(&list(CqlType::Int), &values);
    }

    #[test]
    fn maps_compare_key_by_key_then_value() {
        let map = CqlType::Map { key: Box::new(CqlType::Int), value: Box::new(CqlType::Text), frozen: true };
        let entry = |k: i32, v: &str| [value(&k.to_be_bytes()), value(v.as_bytes())].concat();
        let of = |entries: &[Vec<u8>]| [(entries.len() as i32).to_be_bytes().to_vec(), entries.concat()].concat();
        let values =
            [of(&[entry(-2, "z")]), of(&[entry(1, "a")]), of(&[entry(1, "a"), entry(2, "")]), of(&[entry(1, "b")])];
        assert_ascending(&map, &values);
    }

    #[test]
    fn tuples_compare_nulls_first_and_missing_fields_as_null() {
        let tuple = CqlType::Tuple(vec![CqlType::Int, CqlType::Text]);
        let null = (-1_i32).to_be_bytes().to_vec();
        let (one, a) = (value(&1_i32.to_be_bytes()), value(b"a"));
        let values =
            [[&null[..], &a].concat(), one.clone(), [&one[..], &a].concat(), [&one[..], &value(b"b")].concat()];
        assert_ascending(&tuple, &values);
        assert_eq!(compare_values(&tuple, &one, &[&one[..], &null].concat()), Ordering::Equal);
        assert_eq!(compare_values(&tuple, &one, &[&one[..], &value(b"")].concat()), Ordering::Equal);
    }

    #[test]
    fn vectors_compare_element_by_element() {
        let vector = |element| CqlType::Vector { element: Box::new(element), dimensions: 2 };
        let ints = |a: i32, b: i32| [a.to_be_bytes(), b.to_be_bytes()].concat();
        assert_ascending(&vector(CqlType::Int), &[ints(-1, 5), ints(0, -1), ints(0, 1)]);
        let texts = |a: &[u8], b: &[u8]| [&[a.len() as u8][..], a, &[b.len() as u8], b].concat();
        let values = [texts(b"", b"z"), texts(b"a", b"b"), texts(b"ab", b""), texts(b"b", b"")];
        assert_ascending(&vector(CqlType::Text), &values);
    }

    fn any_type() -> impl Strategy<Value = CqlType> {
        let scalar = prop_oneof![
            Just(CqlType::Int),
            Just(CqlType::Decimal),
            Just(CqlType::TimeUuid),
            Just(CqlType::Float),
            Just(CqlType::Text)
        ];
        scalar.prop_recursive(3, 8, 3, |inner| {
            prop_oneof![
                inner.clone().prop_map(list),
                (inner.clone(), inner.clone()).prop_map(|(key, value)| CqlType::Map {
                    key: Box::new(key),
                    value: Box::new(value),
                    frozen: true
                }),
                prop::collection::vec(inner.clone(), 1..3).prop_map(CqlType::Tuple),
                (inner, 1_u16..4).prop_map(|(e, dimensions)| CqlType::Vector { element: Box::new(e), dimensions }),
            ]
        })
    }

    proptest! {
        #[test]
        fn any_bytes_compare_without_panic_and_antisymmetrically(
            cql_type in any_type(),
            a in prop::collection::vec(prop_oneof![Just(0_u8), Just(1), Just(4), any::<u8>()], 0..40),
            b in prop::collection::vec(prop_oneof![Just(0_u8), Just(1), Just(4), any::<u8>()], 0..40),
        ) {
            prop_assert_eq!(compare_values(&cql_type, &a, &b), compare_values(&cql_type, &b, &a).reverse());
            prop_assert_eq!(compare_values(&cql_type, &a, &a), Ordering::Equal);
        }
    }
}
