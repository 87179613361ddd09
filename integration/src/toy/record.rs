//! Records: the documents of a replica, and which of two wins.
//!
//! The winner is the greatest by time, then by the bytes of the value: a maximum of a total order, so that merging is commutative,
//! associative and idempotent. Deletions are records and are kept.

use std::collections::{BTreeMap, btree_map::Entry};

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use tidemark_catalog::{keys::Key, opaque::Opaque};

/// Largest document, bytes.
pub const DOCUMENT_BYTES: u64 = 1 << 20;

/// A document: what a key was set to, and when.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Record {
    /// The key.
    pub key: String,
    /// When, in the source's own unit; greater is later.
    pub time: i64,
    /// Any JSON, byte by byte as it was written; `null` where the key was deleted.
    pub value: Box<RawValue>,
}

impl Record {
    /// The record in a document.
    ///
    /// # Errors
    /// Where the bytes are not a document, with line and column.
    pub fn parse(document: &[u8]) -> Result<Self, serde_json::Error> {
        serde_json::from_slice(document)
    }

    /// The document of the record.
    pub fn to_document(&self) -> Vec<u8> {
        serde_json::to_vec(self).expect("a record has string keys only, so that it is always JSON")
    }

    /// True where a reader finds nothing under the key.
    pub fn is_deletion(&self) -> bool {
        self.value.get() == "null"
    }

    /// The key as segments have it: its UTF-8 bytes, which order as the text does.
    pub fn segment_key(&self) -> Key {
        Key { bytes: Opaque::new(self.key.clone().into_bytes()), text: self.key.clone() }
    }

    /// True where this record of a key hides the other one.
    pub fn beats(&self, other: &Self) -> bool {
        self.rank() > other.rank()
    }

    fn rank(&self) -> (i64, &[u8]) {
        (self.time, self.value.get().as_bytes())
    }
}

impl PartialEq for Record {
    fn eq(&self, other: &Self) -> bool {
        (&self.key, self.rank()) == (&other.key, other.rank())
    }
}

/// The winners by key.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Winners(BTreeMap<String, Record>);

impl Winners {
    /// Takes a record, if it is the winner of its key so far. Gives the record that it hides or that hides it.
    pub fn add(&mut self, record: Record) -> Option<Record> {
        match self.0.entry(record.key.clone()) {
            Entry::Vacant(place) => {
                place.insert(record);
                None
            }
            Entry::Occupied(mut place) if record.beats(place.get()) => Some(place.insert(record)),
            Entry::Occupied(_) => Some(record),
        }
    }

    /// What a reader finds: values by key, without what was deleted.
    pub fn seen(&self) -> BTreeMap<&str, (i64, &str)> {
        let alive = self.0.values().filter(|record| !record.is_deletion());
        alive.map(|record| (record.key.as_str(), (record.time, record.value.get()))).collect()
    }
}

impl IntoIterator for Winners {
    type Item = Record;
    type IntoIter = std::collections::btree_map::IntoValues<String, Record>;

    /// Ascending by key, deletions too.
    fn into_iter(self) -> Self::IntoIter {
        self.0.into_values()
    }
}

#[cfg(test)]
mod tests {
    use std::array;

    use rand::{Rng, SeedableRng, rngs::StdRng};

    use super::*;

    fn record(key: &str, time: i64, value: &str) -> Record {
        Record { key: key.to_owned(), time, value: RawValue::from_string(value.to_owned()).unwrap() }
    }

    fn merged(records: impl IntoIterator<Item = Record>) -> Winners {
        let mut winners = Winners::default();
        records.into_iter().for_each(|record| drop(winners.add(record)));
        winners
    }

    /// Few keys, times and values: most collide.
    fn drawn(random: &mut StdRng) -> Record {
        let value = ["null", "1", "[1]", "\"x\""][random.random_range(0..4)];
        record(["a", "b", "ä"][random.random_range(0..3)], random.random_range(0..3), value)
    }

    #[test]
    fn merging_is_commutative_associative_and_idempotent() {
        let mut random = StdRng::seed_from_u64(1);
        for _ in 0..500 {
            let [a, b, c]: [Vec<Record>; 3] = array::from_fn(|_| (0..4).map(|_| drawn(&mut random)).collect());
            let whole = merged([a.clone(), b.clone(), c.clone()].concat());
            assert_eq!(whole, merged([c.clone(), a.clone(), b.clone()].concat()));
            let left = merged(merged([a.clone(), b.clone()].concat()).into_iter().chain(c.clone()));
            let right = merged(a.clone().into_iter().chain(merged([b, c].concat())));
            assert_eq!((&left, &right), (&whole, &whole));
            assert_eq!(merged([whole.clone(), whole.clone()].into_iter().flatten()), whole);
        }
    }

    #[test]
    fn keys_order_as_their_texts_do() {
        let mut keys = ["", "a", "a\0", "aa", "b", "ä", "\u{10ffff}", "\u{ffff}", "Z"];
        keys.sort_unstable();
        let keys = keys.map(|key| record(key, 0, "1").segment_key());
        assert!(keys.is_sorted_by(|a, b| a < b), "{keys:?}");
    }

    #[test]
    fn a_document_comes_back_byte_by_byte_and_others_are_refused() {
        let document = br#"{"key":"k","time":-3,"value":{"n": 1.000000000000000000001}}"#;
        let record = Record::parse(document).unwrap();
        assert_eq!((record.to_document().as_slice(), record.is_deletion()), (&document[..], false));
        assert!(Record::parse(br#"{"key":"k","time":1,"value":null}"#).unwrap().is_deletion());
        for wrong in [r#"{"key":"k","time":1}"#, r#"{"key":"k","time":1.5,"value":1}"#, r#"{"key":"k","#, "[]"] {
            assert!(Record::parse(wrong.as_bytes()).is_err(), "{wrong}");
        }
    }
}
