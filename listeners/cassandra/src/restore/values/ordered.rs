//! What of a field's value is the order in which a client happened to send it.
//!
//! A field of a non-frozen user-defined type keeps the bytes of a client that wrote the type as a whole. Written by itself, as
//! a restore must (the whole type would be a deletion of all fields, too), its value is taken apart by the server where it is
//! a collection, and put together with sets and maps in the order of their comparator, within one another as well. Tuples,
//! user-defined types and vectors stay as they are, whatever is in them. So Cassandra 5.0 does it (`Maps.Value`, `Sets.Value`,
//! `Lists.Value`), and no statement sets a field otherwise.
//!
//! The entries of a set or map that are the same in another order are the same value to whoever reads it. Anything else is
//! another one: also a map without one of two entries for one key, which a server drops.

use bytes::{BufMut, Bytes, BytesMut};
use tidemark_cassandra_format::types::CqlType;

use super::raw::{self, Element};

/// True where two values of a field are equal, but for the order of entries that a server would put in order.
pub(crate) fn same_but_for_order(cql_type: &CqlType, one: &Bytes, other: &Bytes) -> bool {
    one == other || sorted(cql_type, one).is_some_and(|one| Some(one) == sorted(cql_type, other))
}

/// The value with the entries of its sets and maps in the order of their bytes; `None` where it is not of the type.
fn sorted(cql_type: &CqlType, value: &Bytes) -> Option<Bytes> {
    match cql_type {
        CqlType::List { element, .. } => {
            let values = raw::list(Some(value), None)?.into_iter().map(|e| sorted(element, &e.value));
            Some(packed(values.map(|value| Some(vec![value?])).collect::<Option<_>>()?))
        }
        CqlType::Set { element, .. } => {
            let elements = raw::set(Some(value), None, None)?.into_iter().map(|e| sorted(element, &e.key));
            Some(packed(in_order(elements.map(|element| Some(vec![element?])).collect::<Option<_>>()?)))
        }
        CqlType::Map { key, value: of, .. } => {
            let entry = |e: Element| Some(vec![sorted(key, &e.key)?, sorted(of, &e.value)?]);
            let entries = raw::map(Some(value), None, None)?.into_iter().map(entry);
            Some(packed(in_order(entries.collect::<Option<_>>()?)))
        }
        _ => Some(value.clone()),
    }
}

fn in_order(mut entries: Vec<Vec<Bytes>>) -> Vec<Vec<Bytes>> {
    entries.sort_unstable();
    entries
}

/// A collection of these entries, as CQL serialises it.
fn packed(entries: Vec<Vec<Bytes>>) -> Bytes {
    let mut packed = BytesMut::new();
    packed.put_u32(entries.len() as u32);
    for part in entries.into_iter().flatten() {
        packed.put_u32(part.len() as u32);
        packed.put_slice(&part);
    }
    packed.freeze()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(value: &'static str) -> Bytes {
        Bytes::from_static(value.as_bytes())
    }

    fn collection(entries: &[&[Bytes]]) -> Bytes {
        packed(entries.iter().map(|entry| entry.to_vec()).collect())
    }

    fn map(key: CqlType, value: CqlType) -> CqlType {
        CqlType::Map { key: Box::new(key), value: Box::new(value), frozen: true }
    }

    fn set(element: CqlType) -> CqlType {
        CqlType::Set { element: Box::new(element), frozen: true }
    }

    fn list(element: CqlType) -> CqlType {
        CqlType::List { element: Box::new(element), frozen: true }
    }

    #[test]
    fn sets_and_maps_are_the_same_in_any_order_and_lists_are_not() {
        let (ab, ba) = (collection(&[&[text("a")], &[text("b")]]), collection(&[&[text("b")], &[text("a")]]));
        assert!(same_but_for_order(&set(CqlType::Text), &ab, &ba));
        assert!(!same_but_for_order(&list(CqlType::Text), &ab, &ba));
        let one = collection(&[&[text("a"), text("1")], &[text("b"), text("2")]]);
        let other = collection(&[&[text("b"), text("2")], &[text("a"), text("1")]]);
        assert!(same_but_for_order(&map(CqlType::Text, CqlType::Text), &one, &other));
    }

    #[test]
    fn what_is_within_a_collection_is_put_in_order_too() {
        let (ab, ba) = (collection(&[&[text("a")], &[text("b")]]), collection(&[&[text("b")], &[text("a")]]));
        let within = |inner: &Bytes| collection(&[&[text("k"), collection(&[std::slice::from_ref(inner)])]]);
        let of = map(CqlType::Text, list(set(CqlType::Text)));
        assert!(same_but_for_order(&of, &within(&ab), &within(&ba)));
        let in_tuple = map(CqlType::Text, CqlType::Tuple(vec![set(CqlType::Text)]));
        assert!(!same_but_for_order(&in_tuple, &within(&ab), &within(&ba)), "servers leave tuples alone");
    }

    #[test]
    fn other_entries_are_another_value() {
        let of = map(CqlType::Text, CqlType::Text);
        let one = collection(&[&[text("a"), text("1")], &[text("b"), text("2")]]);
        for other in [
            collection(&[&[text("b"), text("1")], &[text("a"), text("2")]]),
            collection(&[&[text("b"), text("2")]]),
            collection(&[&[text("b"), text("2")], &[text("a"), text("1")], &[text("a"), text("1")]]),
            collection(&[&[text("a")], &[text("1")], &[text("b")], &[text("2")]]),
            Bytes::new(),
        ] {
            assert!(!same_but_for_order(&of, &one, &other), "{other:?}");
            assert!(!same_but_for_order(&of, &other, &one), "{other:?}");
        }
    }
}
