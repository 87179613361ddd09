//! Large tables by digests: a few dozen bytes a row instead of its contents.

use std::collections::HashMap;

use super::image::{Cell, Expiry, RowImage, RowKey};

/// Digest of some bytes, cut to 16 bytes.
type Short = [u8; 16];

/// A whole table: per row a digest of its values, and their write times or not, and its expiries.
#[derive(Clone, Debug, Default)]
pub struct TableDigest {
    rows: HashMap<Short, (Short, Vec<Expiry>)>,
}

/// How two tables differ, in rows.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Differences {
    /// Rows that only the first has.
    pub missing: usize,
    /// Rows that only the second has.
    pub unexpected: usize,
    /// Rows with another value, write time or expiry.
    pub changed: usize,
}

impl Differences {
    /// True where there are none.
    pub fn is_empty(self) -> bool {
        self == Self::default()
    }

    /// Sums of both.
    #[must_use]
    pub fn plus(self, other: Self) -> Self {
        Self {
            missing: self.missing + other.missing,
            unexpected: self.unexpected + other.unexpected,
            changed: self.changed + other.changed,
        }
    }
}

impl TableDigest {
    /// Adds a row.
    pub fn insert(&mut self, key: &RowKey, row: &RowImage) {
        self.insert_as(key, row, true);
    }

    /// Adds a row by its values and expiries, whenever they were written.
    pub fn insert_values(&mut self, key: &RowKey, row: &RowImage) {
        self.insert_as(key, row, false);
    }

    fn insert_as(&mut self, key: &RowKey, row: &RowImage, timed: bool) {
        let expiries = row.columns.values().flatten().filter_map(|cell| cell.expiry).collect();
        self.rows.insert(key_digest(key), (row_digest(row, timed), expiries));
    }

    /// Rows, static rows among them.
    pub fn len(&self) -> usize {
        self.rows.len()
    }

    /// True where there are no rows.
    pub fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    /// How `found` differs.
    pub fn differences(&self, found: &Self) -> Differences {
        let both = self.rows.iter().filter_map(|(key, row)| found.rows.get(key).map(|other| (row, other)));
        let (mut shared, mut changed) = (0, 0);
        for (row, other) in both {
            shared += 1;
            changed += usize::from(!agree(row, other));
        }
        Differences { missing: self.len() - shared, unexpected: found.len() - shared, changed }
    }
}

fn agree(left: &(Short, Vec<Expiry>), right: &(Short, Vec<Expiry>)) -> bool {
    let pairs = || left.1.iter().zip(&right.1);
    left.0 == right.0 && left.1.len() == right.1.len() && pairs().all(|(left, right)| left.agrees(*right))
}

fn key_digest(key: &RowKey) -> Short {
    let mut hasher = Hasher::default();
    key.partition.iter().for_each(|value| hasher.part(value));
    hasher.part(if key.clustering.is_some() { b"row" } else { b"static" });
    key.clustering.iter().flatten().for_each(|value| hasher.part(value));
    hasher.finish()
}

fn row_digest(row: &RowImage, timed: bool) -> Short {
    let mut hasher = Hasher::default();
    for (name, cells) in &row.columns {
        hasher.part(name.as_bytes());
        hasher.part(&(cells.len() as u64).to_be_bytes());
        cells.iter().for_each(|cell| hasher.cell(cell, timed));
    }
    hasher.finish()
}

/// Parts with their lengths, so that no two sequences of parts look alike.
#[derive(Default)]
struct Hasher(blake3::Hasher);

impl Hasher {
    fn part(&mut self, bytes: &[u8]) {
        self.0.update(&(bytes.len() as u64).to_be_bytes()).update(bytes);
    }

    fn cell(&mut self, cell: &Cell, timed: bool) {
        self.part(&cell.path);
        self.part(&cell.value);
        self.part(&cell.writetime.to_be_bytes()[..if timed { 8 } else { 0 }]);
        self.part(&[u8::from(cell.expiry.is_some())]);
    }

    fn finish(&self) -> Short {
        let mut short = [0; 16];
        short.copy_from_slice(&self.0.finalize().as_bytes()[..16]);
        short
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use bytes::Bytes;

    use super::*;

    fn digest(rows: &[(&'static str, &'static str, i64)]) -> TableDigest {
        let mut digest = TableDigest::default();
        for (key, value, expires) in rows {
            let expiry = Some(Expiry { earliest: *expires, latest: *expires });
            let cell = Cell { path: Bytes::new(), value: Bytes::from(*value), writetime: 1, expiry };
            let row = RowImage { columns: BTreeMap::from([("v".to_owned(), vec![cell])]) };
            digest.insert(&RowKey { partition: vec![Bytes::from(*key)], clustering: Some(vec![]) }, &row);
        }
        digest
    }

    #[test]
    fn rows_that_are_gone_new_or_changed_are_counted() {
        let before = digest(&[("a", "1", 10), ("b", "2", 10), ("c", "3", 10), ("d", "4", 10)]);
        let after = digest(&[("a", "1", 11), ("b", "9", 10), ("c", "3", 12), ("e", "5", 10)]);
        assert_eq!(before.differences(&after), Differences { missing: 1, unexpected: 1, changed: 2 });
        assert!(before.differences(&before.clone()).is_empty());
    }

    #[test]
    fn values_may_be_compared_whenever_they_were_written() {
        let of = |writetime, insert: fn(&mut TableDigest, &RowKey, &RowImage)| {
            let cell = Cell { path: Bytes::new(), value: Bytes::from("v"), writetime, expiry: None };
            let row = RowImage { columns: BTreeMap::from([("v".to_owned(), vec![cell])]) };
            let mut digest = TableDigest::default();
            insert(&mut digest, &RowKey { partition: vec![], clustering: Some(vec![]) }, &row);
            digest
        };
        assert!(of(1, TableDigest::insert_values).differences(&of(2, TableDigest::insert_values)).is_empty());
        assert_eq!(of(1, TableDigest::insert).differences(&of(2, TableDigest::insert)).changed, 1);
    }
}
