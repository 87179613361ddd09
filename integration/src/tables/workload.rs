//! A generator of writes to a table: first all rows, then changes of every kind that meet them.
//!
//! Write times are all different and only roughly follow the order of the writes, so that some arrive after newer ones.

use std::collections::BTreeSet;

use bytes::Bytes;
use rand::{Rng, SeedableRng, seq::IndexedRandom};
use rand_chacha::ChaCha8Rng;

use super::{Column, Kind, Table, values};
use crate::journal::write::{Change, Data, Element, Key, Place, Range, Ttl, Write};

/// One end of a range of clustering values: the value and whether it is inside; none for no bound.
type End = Option<(Bytes, bool)>;

/// First write time, µs: 2025-06-15.
const EPOCH_MICROS: i64 = 1_750_000_000_000_000;
/// How far, in writes, the time of a write may be from its turn.
const DISORDER: i64 = 40;

/// A seeded generator for one table.
#[derive(Debug)]
pub struct Workload<'a> {
    table: &'a Table,
    rng: ChaCha8Rng,
    partitions: Vec<(Key, Vec<Key>)>,
    turn: i64,
}

impl<'a> Workload<'a> {
    /// A workload; the same seed and table give the same writes.
    pub fn new(table: &'a Table, seed: u64) -> Self {
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        let partitions = (0..table.partitions).map(|number| partition(table, number, &mut rng)).collect();
        Self { table, rng, partitions, turn: 0 }
    }

    /// Inserts every row once, and the static columns of most partitions.
    pub fn load(&mut self) -> Vec<Write> {
        let mut writes = Vec::new();
        for (partition, rows) in self.partitions.clone() {
            if !self.table.statics.is_empty() && self.rng.random_range(0..10) < 7 {
                let change = self.update_statics();
                writes.push(self.at(&partition, change));
            }
            for row in rows {
                let change = self.insert(row);
                writes.push(self.at(&partition, change));
            }
        }
        writes
    }

    /// `count` changes of rows that may or may not be there.
    pub fn changes(&mut self, count: usize) -> Vec<Write> {
        (0..count).map(|_| self.change()).collect()
    }

    fn change(&mut self) -> Write {
        let pick = self.rng.random_range(0..self.partitions.len());
        let (partition, rows) = self.partitions[pick].clone();
        let row = rows.choose(&mut self.rng).cloned().unwrap_or_default();
        let change = match self.rng.random_range(0..100) {
            0..12 => self.insert(row),
            12..24 if !self.table.statics.is_empty() => self.change_static(),
            24..29 => Change::DeleteRow(row),
            29..34 => self.delete_range(&rows),
            34 => Change::DeletePartition,
            _ => self.change_row(row),
        };
        self.at(&partition, change)
    }

    fn at(&mut self, partition: &Key, change: Change) -> Write {
        self.turn += 1;
        let place = self.turn + self.rng.random_range(-DISORDER..=DISORDER);
        // Two turns that share a place are at most 80 apart, so that their remainders differ.
        let ts = EPOCH_MICROS + place * 1000 + (self.turn % 89) * 10;
        Write { partition: partition.clone(), ts, change }
    }

    fn insert(&mut self, clustering: Key) -> Change {
        let table = self.table;
        let columns = self.data_of(&table.regulars, if table.regulars.len() > 40 { 0.1 } else { 0.8 });
        Change::Insert { clustering, ttl: self.ttl(), columns }
    }

    fn update_statics(&mut self) -> Change {
        let table = self.table;
        Change::Update { place: Place::Static, ttl: self.ttl(), columns: self.data_of(&table.statics, 0.8) }
    }

    fn change_static(&mut self) -> Change {
        let table = self.table;
        if self.rng.random_range(0..3) == 0 {
            self.update_statics()
        } else {
            self.change_cells(Place::Static, &table.statics)
        }
    }

    fn change_row(&mut self, row: Key) -> Change {
        let table = self.table;
        match self.rng.random_range(0..10) {
            _ if table.regulars.is_empty() => self.insert(row),
            0..4 => {
                let columns = self.data_of(&table.regulars, 2.0 / table.regulars.len() as f64);
                Change::Update { place: Place::Row(row), ttl: self.ttl(), columns }
            }
            _ => self.change_cells(Place::Row(row), &table.regulars),
        }
    }

    /// A change of one column, as its type allows.
    fn change_cells(&mut self, place: Place, columns: &[Column]) -> Change {
        let column = self.rng.random_range(0..columns.len());
        let delete = self.rng.random_range(0..10) == 0;
        match &columns[column].kind {
            _ if delete => Change::DeleteColumn { place, column },
            Kind::Udt(_, fields) => self.change_field(place, column, fields),
            Kind::Set(element) => self.change_element(place, column, element),
            Kind::Map(key, _) => self.change_element_of(place, column, key, &columns[column].kind),
            Kind::List(element) => {
                let elements =
                    (0..self.rng.random_range(1..3)).map(|_| unkeyed(values::filled(element, &mut self.rng)));
                let elements = elements.collect();
                Change::Add { place, column, ttl: self.ttl(), elements }
            }
            kind => {
                let value = Data::Value(values::value(kind, &mut self.rng));
                Change::Update { place, ttl: self.ttl(), columns: vec![(column, value)] }
            }
        }
    }

    fn change_field(&mut self, place: Place, column: usize, fields: &[(&'static str, Kind)]) -> Change {
        let field = self.rng.random_range(0..fields.len());
        let value = values::filled(&fields[field].1, &mut self.rng);
        let value = (self.rng.random_range(0..4) > 0).then_some(value);
        Change::Field { place, column, field, ttl: self.ttl(), value }
    }

    fn change_element(&mut self, place: Place, column: usize, element: &Kind) -> Change {
        self.change_element_of(place, column, element, &Kind::set(element.clone()))
    }

    fn change_element_of(&mut self, place: Place, column: usize, key: &Kind, whole: &Kind) -> Change {
        if self.rng.random_range(0..3) == 0 {
            return Change::Remove { place, column, path: values::key(key, &mut self.rng) };
        }
        let elements = elements(whole, &mut self.rng);
        Change::Add { place, column, ttl: self.ttl(), elements }
    }

    /// Values for a share of the columns; now and then null.
    fn data_of(&mut self, columns: &[Column], share: f64) -> Vec<(usize, Data)> {
        let mut data = Vec::new();
        for (index, column) in columns.iter().enumerate() {
            if self.rng.random_bool(share.min(1.0)) {
                data.push((index, self.data(&column.kind)));
            }
        }
        data
    }

    fn data(&mut self, kind: &Kind) -> Data {
        match kind {
            _ if self.rng.random_range(0..25) == 0 => Data::Null,
            kind if kind.is_multi_cell() => Data::Elements(elements(kind, &mut self.rng)),
            kind => Data::Value(values::value(kind, &mut self.rng)),
        }
    }

    fn ttl(&mut self) -> Ttl {
        match self.rng.random_range(0..40) {
            0..28 => {
                if self.table.default_ttl == 0 {
                    Ttl::Forever
                } else {
                    Ttl::Default
                }
            }
            28..33 => Ttl::Forever,
            33..36 => Ttl::Seconds(self.rng.random_range(1..4)),
            _ => Ttl::Seconds(self.rng.random_range(100_000..10_000_000)),
        }
    }

    fn delete_range(&mut self, rows: &[Key]) -> Change {
        let Some(row) = rows.choose(&mut self.rng).filter(|row| !row.is_empty()) else {
            return Change::DeletePartition;
        };
        let length = self.rng.random_range(0..row.len());
        let prefix = row[..length].to_vec();
        let kind = &self.table.clustering[length].column.kind;
        let bounds = orders_by_value(kind).then(|| self.bounds(rows, length));
        // Where the next column's order is not the generator's business, the range is all that shares the prefix.
        let (lower, upper) = bounds.unwrap_or_default();
        if lower.is_none() && upper.is_none() && length == 0 {
            return Change::DeleteRow(row.clone());
        }
        Change::DeleteRange(Range { prefix, lower, upper })
    }

    fn bounds(&mut self, rows: &[Key], column: usize) -> (End, End) {
        let mut bound = || {
            let row = rows.choose(&mut self.rng)?;
            let included = self.rng.random();
            self.rng.random_range(0..5).ne(&0).then(|| (row[column].clone(), included))
        };
        (bound(), bound())
    }
}

/// Types of clustering columns that [`crate::journal`] can compare: those of fixed-length signed numbers, and text.
fn orders_by_value(kind: &Kind) -> bool {
    matches!(kind, Kind::Int | Kind::BigInt | Kind::Timestamp | Kind::Text | Kind::Date | Kind::Boolean)
}

fn unkeyed(value: Bytes) -> Element {
    Element { path: Bytes::new(), value }
}

/// Cells for a column of several.
fn elements(kind: &Kind, rng: &mut ChaCha8Rng) -> Vec<Element> {
    let count = rng.random_range(0..4);
    match kind {
        Kind::List(element) => (0..count).map(|_| unkeyed(values::filled(element, rng))).collect(),
        Kind::Set(element) => keyed((0..count).map(|_| (values::key(element, rng), Bytes::new()))),
        Kind::Map(key, value) => keyed((0..count).map(|_| (values::key(key, rng), values::filled(value, rng)))),
        Kind::Udt(_, fields) => fields_of(fields, rng),
        other => unreachable!("{other} has one cell"),
    }
}

fn keyed(pairs: impl Iterator<Item = (Bytes, Bytes)>) -> Vec<Element> {
    let unique: std::collections::BTreeMap<Bytes, Bytes> = pairs.collect();
    unique.into_iter().map(|(path, value)| Element { path, value }).collect()
}

fn fields_of(fields: &[(&'static str, Kind)], rng: &mut ChaCha8Rng) -> Vec<Element> {
    let mut elements = Vec::new();
    for (index, (_, kind)) in fields.iter().enumerate() {
        if rng.random_range(0..4) > 0 {
            elements.push(Element { path: Bytes::copy_from_slice(&[index as u8]), value: values::filled(kind, rng) });
        }
    }
    elements
}

fn partition(table: &Table, number: usize, rng: &mut ChaCha8Rng) -> (Key, Vec<Key>) {
    let key = table.partition_key.iter().map(|column| key_part(&column.kind, number, rng)).collect();
    let rows: BTreeSet<Key> = (0..rng.random_range(1..=table.rows)).map(|_| clustering(table, rng)).collect();
    (key, rows.into_iter().collect())
}

/// Partition keys must differ: integers are the partition's number, everything else is random.
fn key_part(kind: &Kind, number: usize, rng: &mut ChaCha8Rng) -> Bytes {
    match kind {
        Kind::Int => Bytes::copy_from_slice(&(number as i32 * 7 - 50).to_be_bytes()),
        Kind::BigInt => Bytes::copy_from_slice(&(number as i64 * 1_000_003).to_be_bytes()),
        Kind::Text => Bytes::from(format!("partition {number}")),
        other => values::filled(other, rng),
    }
}

fn clustering(table: &Table, rng: &mut ChaCha8Rng) -> Key {
    let part = |kind: &Kind, rng: &mut ChaCha8Rng| match kind {
        Kind::Text if rng.random_range(0..20) == 0 => Bytes::new(),
        Kind::Timestamp => Bytes::copy_from_slice(&(rng.random_range(-4..8_i64) * 86_400_000).to_be_bytes()),
        Kind::Int => Bytes::copy_from_slice(&rng.random_range(-6..6_i32).to_be_bytes()),
        kind => values::key(kind, rng),
    };
    table.clustering.iter().map(|clustering| part(&clustering.column.kind, rng)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tables::all;

    #[test]
    fn write_times_are_all_at_least_ten_microseconds_apart() {
        for table in all() {
            let mut workload = Workload::new(&table, 7);
            let writes = [workload.load(), workload.changes(500)].concat();
            let mut times: Vec<i64> = writes.iter().map(|write| write.ts).collect();
            times.sort_unstable();
            assert!(times.windows(2).all(|pair| pair[1] - pair[0] >= 10), "{}", table.name);
        }
    }

    #[test]
    fn partition_keys_differ() {
        for table in all() {
            let workload = Workload::new(&table, 7);
            let keys: BTreeSet<&Key> = workload.partitions.iter().map(|(key, _)| key).collect();
            assert_eq!(keys.len(), table.partitions, "{}", table.name);
        }
    }
}
