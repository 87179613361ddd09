//! Random writes to a table that collide.

use std::collections::BTreeSet;

use bytes::Bytes;
use rand::{Rng, SeedableRng, seq::IndexedRandom};
use rand_chacha::ChaCha8Rng;

use super::pool;
use crate::{
    journal::write::{Change, Data, Element, Key, Place, Range, Ttl, Write},
    tables::{Column, Kind, Table},
};

/// First write time, µs: 2025-06-15.
const EPOCH_MICROS: i64 = 1_750_000_000_000_000;

/// Instants (s since 1970) at which writes are executed: two long before [`PURGE_BOUNDARY_SECONDS`], two long after it.
/// With [`TTL_SECONDS`] some expiries meet although writes and TTLs differ.
const CLOCK_SECONDS: [i64; 4] = [1_600_000_000, 1_600_000_500, 1_700_000_000, 1_700_000_500];

/// Lives of values by those clocks, s. They are over in 2025 or last until 2030: no test meets an expiry.
pub const TTL_SECONDS: [u32; 6] = [500, 1000, 40_000_000, 60_000_000, 359_999_500, 360_000_000];

/// Lives of values that a server is to accept today and that no test outlives, s.
pub const SERVER_TTL_SECONDS: [u32; 3] = [90_000, 40_000_000, 60_000_000];

/// An instant (s since 1970) that is half a year and more from every local deletion time and expiry of a history. With a
/// `gc_grace_seconds` that reaches back to it, half of the deletions may be purged and half must not.
pub const PURGE_BOUNDARY_SECONDS: i64 = 1_680_000_000;

/// Before every local deletion time of a history, s since 1970.
pub const BEFORE_ALL_SECONDS: i64 = 1_500_000_000;

/// How large a history is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Shape {
    /// Writes.
    pub writes: usize,
    /// Replicas.
    pub replicas: u8,
    /// Files (flushes) of each replica.
    pub files: u8,
    /// Lives of values that have their own, s.
    pub ttl_seconds: &'static [u32],
}

/// One file of one replica.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Holder {
    /// The replica, from 0.
    pub replica: u8,
    /// Its file, from 0.
    pub file: u8,
}

/// A write, when a server executed it, and where it is.
#[derive(Clone, Debug)]
pub struct Event {
    /// The write.
    pub write: Write,
    /// Server time, s since 1970.
    pub clock_seconds: i64,
    /// The replicas that have it, at least one.
    pub holders: Vec<Holder>,
}

/// Writes to one table, a generator that does not end.
#[derive(Debug)]
pub struct History<'a> {
    table: &'a Table,
    shape: Shape,
    rng: ChaCha8Rng,
    partitions: Vec<(Key, Vec<Key>)>,
    /// Number of different write times.
    times: i64,
    past: Vec<Write>,
}

impl<'a> History<'a> {
    /// All events of a history; the same table, shape and seed give the same ones.
    pub fn of(table: &'a Table, shape: Shape, seed: u64) -> Vec<Event> {
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        let partitions = (0..table.partitions).map(|_| partition(table, &mut rng)).collect();
        let times = [4, 12, 60][rng.random_range(0..3)];
        let mut history = Self { table, shape, rng, partitions, times, past: Vec::new() };
        (0..shape.writes).map(|_| history.event()).collect()
    }

    fn event(&mut self) -> Event {
        let write = self.write();
        self.past.push(write.clone());
        let clock_seconds = CLOCK_SECONDS[self.rng.random_range(0..CLOCK_SECONDS.len())];
        Event { write, clock_seconds, holders: self.holders() }
    }

    fn holders(&mut self) -> Vec<Holder> {
        let mask = self.rng.random_range(1..1_u32 << self.shape.replicas);
        let has = (0..self.shape.replicas).filter(|replica| mask & (1 << replica) != 0);
        has.map(|replica| Holder { replica, file: self.rng.random_range(0..self.shape.files) }).collect()
    }

    fn write(&mut self) -> Write {
        if self.rng.random_range(0..4) == 0
            && let Some(earlier) = self.past.choose(&mut self.rng).cloned()
        {
            return self.echo(earlier);
        }
        let (partition, rows) = self.partitions.choose(&mut self.rng).cloned().unwrap_or_default();
        let row = rows.choose(&mut self.rng).cloned().unwrap_or_default();
        let ts = EPOCH_MICROS + self.rng.random_range(0..self.times);
        Write { partition, ts, change: self.change(row, &rows) }
    }

    /// Another write of the same time, to the same place where it has one.
    fn echo(&mut self, earlier: Write) -> Write {
        let again = self.rng.random();
        let change = match (earlier.change, again) {
            (change, true) => self.redrawn(change),
            (Change::Insert { clustering: row, .. } | Change::DeleteRow(row), false) => self.change(row, &[]),
            (Change::Update { place, .. } | Change::Add { place, .. } | Change::Field { place, .. }, false)
            | (Change::Remove { place, .. } | Change::DeleteColumn { place, .. }, false) => self.change_at(place),
            (change @ (Change::DeleteRange(_) | Change::DeletePartition), false) => change,
        };
        Write { change, ..earlier }
    }

    /// The same change with other values and another life.
    fn redrawn(&mut self, change: Change) -> Change {
        let table = self.table;
        let columns_of = |place: &Place| if *place == Place::Static { &table.statics } else { &table.regulars };
        match change {
            Change::Insert { clustering, columns, .. } => {
                let columns = self.redrawn_columns(&table.regulars, &columns);
                Change::Insert { clustering, ttl: self.ttl(), columns }
            }
            Change::Update { place, columns, .. } => {
                let columns = self.redrawn_columns(columns_of(&place), &columns);
                Change::Update { place, ttl: self.ttl(), columns }
            }
            Change::Add { place, column, mut elements, .. } => {
                if let Kind::Map(_, value) = &columns_of(&place)[column].kind {
                    elements.iter_mut().for_each(|element| element.value = pool::element(value, &mut self.rng));
                }
                Change::Add { place, column, ttl: self.ttl(), elements }
            }
            Change::Field { place, column, field, .. } => self.field(place, column, field),
            other => other,
        }
    }

    fn redrawn_columns(&mut self, columns: &[Column], written: &[(usize, Data)]) -> Vec<(usize, Data)> {
        written.iter().map(|(index, _)| (*index, self.data(&columns[*index].kind))).collect()
    }

    fn change(&mut self, row: Key, rows: &[Key]) -> Change {
        match self.rng.random_range(0..100) {
            0..22 => self.insert(row),
            22..36 if !self.table.statics.is_empty() => self.change_at(Place::Static),
            36..42 => Change::DeleteRow(row),
            42..52 if !row.is_empty() => self.delete_range(&row, rows),
            52..54 => Change::DeletePartition,
            _ => self.change_at(Place::Row(row)),
        }
    }

    fn insert(&mut self, clustering: Key) -> Change {
        let table = self.table;
        let columns = self.data_of(&table.regulars);
        Change::Insert { clustering, ttl: self.ttl(), columns }
    }

    /// A change of one or several columns of a row or static row.
    fn change_at(&mut self, place: Place) -> Change {
        let table = self.table;
        let columns = if place == Place::Static { &table.statics } else { &table.regulars };
        match (&place, columns.len()) {
            (Place::Row(row), 0) => self.insert(row.clone()),
            (_, 0) => Change::DeletePartition,
            (_, count) if self.rng.random_range(0..10) < 6 => {
                let column = self.rng.random_range(0..count);
                self.change_column(place, column, &columns[column].kind)
            }
            _ => {
                let columns = self.data_of(columns);
                Change::Update { place, ttl: self.ttl(), columns }
            }
        }
    }

    fn change_column(&mut self, place: Place, column: usize, kind: &Kind) -> Change {
        match kind {
            _ if self.rng.random_range(0..6) == 0 => Change::DeleteColumn { place, column },
            Kind::Udt(_, fields) => {
                let field = self.rng.random_range(0..fields.len());
                self.field(place, column, field)
            }
            Kind::Set(path) | Kind::Map(path, _) if self.rng.random_range(0..3) == 0 => {
                Change::Remove { place, column, path: pool::key(path, &mut self.rng) }
            }
            kind if kind.is_multi_cell() => {
                Change::Add { place, column, ttl: self.ttl(), elements: self.elements(kind) }
            }
            kind => {
                let columns = vec![(column, self.data(kind))];
                Change::Update { place, ttl: self.ttl(), columns }
            }
        }
    }

    fn field(&mut self, place: Place, column: usize, field: usize) -> Change {
        let table = self.table;
        let columns = if place == Place::Static { &table.statics } else { &table.regulars };
        let value = match &columns[column].kind {
            Kind::Udt(_, fields) if self.rng.random_range(0..4) > 0 => {
                Some(pool::element(&fields[field].1, &mut self.rng))
            }
            _ => None,
        };
        Change::Field { place, column, field, ttl: self.ttl(), value }
    }

    /// Data of some columns, at least one where there is any: of few columns most, of many a few.
    fn data_of(&mut self, columns: &[Column]) -> Vec<(usize, Data)> {
        let share = if columns.len() > 40 { 0.1 } else { 0.6 };
        let mut chosen: BTreeSet<usize> = (0..columns.len()).filter(|_| self.rng.random_bool(share)).collect();
        if chosen.is_empty() && !columns.is_empty() {
            chosen.insert(self.rng.random_range(0..columns.len()));
        }
        chosen.into_iter().map(|index| (index, self.data(&columns[index].kind))).collect()
    }

    fn data(&mut self, kind: &Kind) -> Data {
        match kind {
            _ if self.rng.random_range(0..12) == 0 => Data::Null,
            kind if kind.is_multi_cell() => Data::Elements(self.elements(kind)),
            kind => Data::Value(pool::value(kind, &mut self.rng)),
        }
    }

    /// Cells for a column of several.
    fn elements(&mut self, kind: &Kind) -> Vec<Element> {
        let count = self.rng.random_range(1..4);
        let rng = &mut self.rng;
        let mut made: Vec<Element> = match kind {
            Kind::List(of) => (0..count).map(|_| element(Bytes::new(), pool::element(of, rng))).collect(),
            Kind::Set(of) => (0..count).map(|_| element(pool::key(of, rng), Bytes::new())).collect(),
            Kind::Map(key, of) => (0..count).map(|_| element(pool::key(key, rng), pool::element(of, rng))).collect(),
            Kind::Udt(_, fields) => {
                let all = fields.iter().enumerate();
                all.map(|(at, (_, of))| element(Bytes::copy_from_slice(&[at as u8]), pool::element(of, rng))).collect()
            }
            other => unreachable!("{other} has one cell"),
        };
        if !matches!(kind, Kind::List(_)) {
            made.sort_by(|left, right| left.path.cmp(&right.path));
            made.dedup_by(|left, right| left.path == right.path);
        }
        made
    }

    fn ttl(&mut self) -> Ttl {
        match self.rng.random_range(0..10) {
            0..5 => Ttl::Default,
            5 => Ttl::Forever,
            _ => self.shape.ttl_seconds.choose(&mut self.rng).map_or(Ttl::Forever, |seconds| Ttl::Seconds(*seconds)),
        }
    }

    /// All rows that share some of the row's leading columns, and lie between the values of other rows in the next one.
    fn delete_range(&mut self, row: &Key, rows: &[Key]) -> Change {
        let length = self.rng.random_range(0..row.len());
        let bounded = !matches!(self.table.clustering[length].column.kind, Kind::Frozen(_) | Kind::Tuple(_));
        let mut bound = || {
            let value = rows.choose(&mut self.rng).unwrap_or(row)[length].clone();
            (bounded && self.rng.random_range(0..4) > 0).then(|| (value, self.rng.random()))
        };
        let (lower, upper) = (bound(), bound());
        if lower.is_none() && upper.is_none() && length == 0 {
            return Change::DeletePartition;
        }
        Change::DeleteRange(Range { prefix: row[..length].to_vec(), lower, upper })
    }
}

fn element(path: Bytes, value: Bytes) -> Element {
    Element { path, value }
}

fn partition(table: &Table, rng: &mut ChaCha8Rng) -> (Key, Vec<Key>) {
    let key = table.partition_key.iter().map(|column| pool::partition_key(&column.kind, rng)).collect();
    let clustering = |rng: &mut ChaCha8Rng| -> Key {
        table.clustering.iter().map(|clustering| pool::clustering(&clustering.column.kind, rng)).collect()
    };
    let rows: BTreeSet<Key> = (0..table.rows).map(|_| clustering(rng)).collect();
    (key, rows.into_iter().collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::generate::{Schema, schema::DEFAULT_TTL_SECONDS};

    const SHAPE: Shape = Shape { writes: 200, replicas: 3, files: 2, ttl_seconds: &TTL_SECONDS };

    #[test]
    fn a_seed_has_one_history() {
        let schema = Schema::of(3);
        let text = |seed| format!("{:?}", History::of(&schema.table, SHAPE, seed));
        assert_eq!(text(1), text(1));
        assert_ne!(text(1), text(2));
    }

    #[test]
    fn local_times_and_expiries_stay_away_from_the_boundary_and_from_today() {
        let half_a_year = 15_768_000;
        for clock in CLOCK_SECONDS {
            assert!(clock > BEFORE_ALL_SECONDS + half_a_year);
            for ttl in TTL_SECONDS.into_iter().chain(DEFAULT_TTL_SECONDS) {
                for instant in [clock, clock + i64::from(ttl)] {
                    assert!((instant - PURGE_BOUNDARY_SECONDS).abs() > half_a_year, "{instant}");
                    assert!(!(1_765_000_000..1_893_456_000).contains(&instant), "{instant} is from 2025-12 to 2029");
                    assert!(instant < i64::from(i32::MAX), "{instant}");
                }
            }
        }
    }

    #[test]
    fn many_writes_of_a_row_share_their_time() {
        let schema = Schema::of(3);
        let events = History::of(&schema.table, SHAPE, 1);
        let mut times = std::collections::BTreeMap::new();
        for event in &events {
            *times.entry((event.write.partition.clone(), event.write.ts)).or_insert(0) += 1;
        }
        let tied: usize = times.values().filter(|count| **count > 1).sum();
        assert!(tied > 50, "{tied} of {} writes", events.len());
    }

    #[test]
    fn replicas_differ_and_every_file_gets_something() {
        let schema = Schema::of(3);
        let events = History::of(&schema.table, SHAPE, 1);
        for replica in 0..SHAPE.replicas {
            for file in 0..SHAPE.files {
                let holder = Holder { replica, file };
                assert!(events.iter().any(|event| event.holders.contains(&holder)), "{holder:?}");
            }
            let lacks = |event: &Event| event.holders.iter().all(|holder| holder.replica != replica);
            assert!(events.iter().any(lacks));
        }
    }
}
