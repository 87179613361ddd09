//! The outcome of writes, by Cassandra's documented rules and nothing else: the newest write of a cell wins, a deletion
//! covers what was written at or before its time, a value is gone when its life has passed and still hides older ones.
//!
//! Write times of a workload all differ, so there are no ties to break. Knows nothing of files, merges or replicas.

use std::{
    cmp::Ordering,
    collections::{BTreeMap, BTreeSet},
};

use bytes::Bytes;

use super::write::{Change, Data, Element, Key, Place, Range, Ttl, Write};
use crate::{
    compare::image::Expiry,
    tables::{Kind, Table},
};

/// Time before all others.
const NEVER: i64 = i64::MIN;

/// A value or its deletion.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Atom {
    /// Write time, µs.
    pub ts: i64,
    /// When it dies.
    pub expiry: Option<Expiry>,
    /// The value; none for a deletion.
    pub value: Option<Bytes>,
}

/// Cells of one column by path; one cell with an empty path where the column has one.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Cells {
    deleted_at: Option<i64>,
    atoms: BTreeMap<Bytes, Atom>,
}

/// A row, or a static row.
#[derive(Clone, Debug, Default)]
struct Row {
    deleted_at: Option<i64>,
    marker: Option<Atom>,
    columns: BTreeMap<usize, Cells>,
}

/// A partition.
#[derive(Clone, Debug, Default)]
struct Partition {
    deleted_at: Option<i64>,
    ranges: Vec<(Range, i64)>,
    static_row: Row,
    rows: BTreeMap<Key, Row>,
}

/// All that is alive of a row at one moment: what must be equal on two replicas that agree about it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LiveRow {
    /// Marker of an INSERT.
    pub marker: Option<Atom>,
    /// Live cells by column and path.
    pub columns: BTreeMap<usize, BTreeMap<Bytes, Atom>>,
}

impl LiveRow {
    fn is_live(&self) -> bool {
        self.marker.is_some() || !self.columns.is_empty()
    }
}

/// Live rows of a table by partition and clustering; static rows have no clustering.
pub type LiveRows = BTreeMap<(Key, Option<Key>), LiveRow>;

/// The state of one table after some writes.
#[derive(Clone, Debug)]
pub struct Model<'a> {
    table: &'a Table,
    partitions: BTreeMap<Key, Partition>,
}

impl<'a> Model<'a> {
    /// An empty table.
    pub fn new(table: &'a Table) -> Self {
        Self { table, partitions: BTreeMap::new() }
    }

    /// Applies a write that a server executed within `executed` (s since 1970, both ends included); `turn` orders
    /// appends to lists.
    pub fn apply(&mut self, write: &Write, executed: (i64, i64), turn: u64) {
        let expiry = |ttl: Ttl| self.expiry(ttl, executed);
        let ts = write.ts;
        let stamp = |ttl: Ttl| Stamp { ts, expiry: expiry(ttl), turn };
        let (table, change) = (self.table, &write.change);
        let stamp = match change {
            Change::Insert { ttl, .. }
            | Change::Update { ttl, .. }
            | Change::Add { ttl, .. }
            | Change::Field { ttl, .. } => stamp(*ttl),
            _ => stamp(Ttl::Forever),
        };
        self.partitions.entry(write.partition.clone()).or_default().apply(table, change, &stamp);
    }

    fn expiry(&self, ttl: Ttl, (earliest, latest): (i64, i64)) -> Option<Expiry> {
        let seconds = match ttl {
            Ttl::Forever => 0,
            Ttl::Default => self.table.default_ttl,
            Ttl::Seconds(seconds) => seconds,
        };
        let life = i64::from(seconds);
        (seconds > 0).then_some(Expiry { earliest: earliest + life, latest: latest + life })
    }

    /// What is alive at `now`, s since 1970.
    pub fn live(&self, now: i64) -> LiveRows {
        let mut live = LiveRows::new();
        for (key, partition) in &self.partitions {
            for (clustering, row) in partition.live(self.table, now) {
                live.insert((key.clone(), clustering), row);
            }
        }
        live
    }

    /// Latest moment at which something expires within `horizon` seconds of `now`.
    pub fn last_expiry_before(&self, horizon: i64) -> Option<i64> {
        let rows =
            self.partitions.values().flat_map(|partition| partition.rows.values().chain([&partition.static_row]));
        let atoms = rows.flat_map(|row| row.columns.values().flat_map(|cells| cells.atoms.values()).chain(&row.marker));
        atoms.filter_map(|atom| atom.expiry).map(|expiry| expiry.latest).filter(|latest| *latest < horizon).max()
    }
}

/// What all atoms of one write share.
struct Stamp {
    ts: i64,
    expiry: Option<Expiry>,
    turn: u64,
}

impl Stamp {
    fn atom(&self, value: &Bytes) -> Atom {
        Atom { ts: self.ts, expiry: self.expiry, value: Some(value.clone()) }
    }

    fn deletion(&self) -> Atom {
        Atom { ts: self.ts, expiry: None, value: None }
    }
}

impl Partition {
    fn apply(&mut self, table: &Table, change: &Change, stamp: &Stamp) {
        match change {
            Change::DeletePartition => raise(&mut self.deleted_at, stamp.ts),
            Change::DeleteRange(range) => self.ranges.push((range.clone(), stamp.ts)),
            Change::DeleteRow(key) => raise(&mut self.row(key).deleted_at, stamp.ts),
            Change::Insert { clustering, columns, .. } => {
                let row = self.row(clustering);
                newest(&mut row.marker, stamp.atom(&Bytes::new()));
                columns
                    .iter()
                    .for_each(|(column, data)| row.cells(*column).write(&table.regulars[*column].kind, data, stamp));
            }
            Change::Update { place, columns, .. } => {
                let (row, kinds) = self.place(table, place);
                columns.iter().for_each(|(column, data)| row.cells(*column).write(&kinds[*column].kind, data, stamp));
            }
            Change::Add { place, column, elements, .. } => {
                let (row, kinds) = self.place(table, place);
                row.cells(*column).add(&kinds[*column].kind, elements, stamp);
            }
            Change::Field { place, column, field, value, .. } => {
                let atom = value.as_ref().map_or_else(|| stamp.deletion(), |value| stamp.atom(value));
                let path = Bytes::copy_from_slice(&[*field as u8]);
                self.place(table, place).0.cells(*column).put(path, atom);
            }
            Change::Remove { place, column, path } => {
                self.place(table, place).0.cells(*column).put(path.clone(), stamp.deletion());
            }
            Change::DeleteColumn { place, column } => {
                let (row, kinds) = self.place(table, place);
                row.cells(*column).delete(&kinds[*column].kind, stamp);
            }
        }
    }

    fn row(&mut self, key: &Key) -> &mut Row {
        self.rows.entry(key.clone()).or_default()
    }

    fn place<'t>(&mut self, table: &'t Table, place: &Place) -> (&mut Row, &'t [crate::tables::Column]) {
        match place {
            Place::Static => (&mut self.static_row, &table.statics),
            Place::Row(key) => (self.row(key), &table.regulars),
        }
    }

    fn live(&self, table: &Table, now: i64) -> Vec<(Option<Key>, LiveRow)> {
        // Deletions of ranges and rows do not reach the static row.
        let own = self.deleted_at.unwrap_or(NEVER);
        let static_row = (None, self.static_row.live(own, now));
        let rows = self.rows.iter().map(|(key, row)| {
            let covering = self.ranges.iter().filter(|(range, _)| covers(table, range, key)).map(|(_, ts)| *ts);
            (Some(key.clone()), row.live(covering.fold(own, i64::max), now))
        });
        rows.chain([static_row]).filter(|(_, row)| row.is_live()).collect()
    }
}

impl Row {
    fn cells(&mut self, column: usize) -> &mut Cells {
        self.columns.entry(column).or_default()
    }

    fn live(&self, covered: i64, now: i64) -> LiveRow {
        let deleted = covered.max(self.deleted_at.unwrap_or(NEVER));
        let marker = self.marker.clone().filter(|atom| atom.is_live(deleted, now));
        let columns = self.columns.iter().map(|(column, cells)| (*column, cells.live(deleted, now)));
        LiveRow { marker, columns: columns.filter(|(_, cells)| !cells.is_empty()).collect() }
    }
}

impl Cells {
    fn write(&mut self, kind: &Kind, data: &Data, stamp: &Stamp) {
        if kind.is_multi_cell() {
            // An overwrite deletes what was there a microsecond before the new cells.
            raise(&mut self.deleted_at, stamp.ts - 1);
        }
        match data {
            Data::Elements(elements) => self.add(kind, elements, stamp),
            Data::Value(value) => self.put(Bytes::new(), stamp.atom(value)),
            Data::Null if kind.is_multi_cell() => {}
            Data::Null => self.put(Bytes::new(), stamp.deletion()),
        }
    }

    fn add(&mut self, kind: &Kind, elements: &[Element], stamp: &Stamp) {
        for (index, element) in elements.iter().enumerate() {
            let path = match kind {
                // Elements of a list stand in the order in which they were appended.
                Kind::List(_) => Bytes::from([stamp.turn.to_be_bytes(), (index as u64).to_be_bytes()].concat()),
                _ => element.path.clone(),
            };
            self.put(path, stamp.atom(&element.value));
        }
    }

    fn put(&mut self, path: Bytes, atom: Atom) {
        let mut slot = self.atoms.remove(&path);
        newest(&mut slot, atom);
        self.atoms.extend(slot.map(|atom| (path, atom)));
    }

    fn delete(&mut self, kind: &Kind, stamp: &Stamp) {
        if kind.is_multi_cell() {
            raise(&mut self.deleted_at, stamp.ts);
        } else {
            self.put(Bytes::new(), stamp.deletion());
        }
    }

    fn live(&self, covered: i64, now: i64) -> BTreeMap<Bytes, Atom> {
        let deleted = covered.max(self.deleted_at.unwrap_or(NEVER));
        let live = self.atoms.iter().filter(|(_, atom)| atom.is_live(deleted, now));
        live.map(|(path, atom)| (path.clone(), atom.clone())).collect()
    }
}

impl Atom {
    fn is_live(&self, deleted: i64, now: i64) -> bool {
        self.ts > deleted && self.value.is_some() && self.expiry.is_none_or(|expiry| expiry.latest > now)
    }
}

fn raise(deleted_at: &mut Option<i64>, ts: i64) {
    *deleted_at = (*deleted_at).max(Some(ts));
}

fn newest(slot: &mut Option<Atom>, atom: Atom) {
    if slot.as_ref().is_none_or(|old| old.ts < atom.ts) {
        *slot = Some(atom);
    }
}

fn covers(table: &Table, range: &Range, key: &Key) -> bool {
    let length = range.prefix.len();
    let Some(value) = key.get(length) else { return false };
    let kind = &table.clustering[length].column.kind;
    let inside = |bound: &Option<(Bytes, bool)>, outer: Ordering| {
        bound.as_ref().is_none_or(|(bound, included)| match order(kind, value, bound) {
            Ordering::Equal => *included,
            ordering => ordering == outer,
        })
    };
    key[..length] == range.prefix[..] && inside(&range.lower, Ordering::Greater) && inside(&range.upper, Ordering::Less)
}

/// Order of two values: numbers as two's complement of equal length, everything else by bytes.
fn order(kind: &Kind, left: &Bytes, right: &Bytes) -> Ordering {
    let signed = matches!(kind, Kind::Int | Kind::BigInt | Kind::Timestamp);
    let flipped = |bytes: &Bytes| {
        let mut bytes = bytes.to_vec();
        bytes.iter_mut().take(usize::from(signed)).for_each(|sign| *sign ^= 0x80);
        bytes
    };
    flipped(left).cmp(&flipped(right))
}

/// Rows about which two states differ: in one of them only, or with other live contents.
pub fn differing(left: &LiveRows, right: &LiveRows) -> BTreeSet<(Key, Option<Key>)> {
    let keys = left.keys().chain(right.keys());
    keys.filter(|key| left.get(*key) != right.get(*key)).cloned().collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tables::all;

    fn table(name: &str) -> Table {
        all().into_iter().find(|table| table.name == name).unwrap()
    }

    fn int(value: i32) -> Bytes {
        Bytes::copy_from_slice(&value.to_be_bytes())
    }

    fn key(a: i32) -> Key {
        vec![int(a), Bytes::from("b"), Bytes::copy_from_slice(&1_i64.to_be_bytes())]
    }

    fn insert(a: i32, ts: i64, ttl: Ttl) -> Write {
        let columns = vec![(0, Data::Value(Bytes::from("v")))];
        Write { partition: vec![int(1)], ts, change: Change::Insert { clustering: key(a), ttl, columns } }
    }

    fn rows(writes: &[Write], now: i64) -> usize {
        let table = table("deletions");
        let mut model = Model::new(&table);
        writes.iter().enumerate().for_each(|(turn, write)| model.apply(write, (100, 101), turn as u64));
        model.live(now).len()
    }

    fn range(lower: Option<i32>, upper: Option<i32>, ts: i64) -> Write {
        let bound = |bound: Option<i32>| bound.map(|value| (int(value), true));
        let range = Range { prefix: vec![], lower: bound(lower), upper: bound(upper) };
        Write { partition: vec![int(1)], ts, change: Change::DeleteRange(range) }
    }

    #[test]
    fn a_deletion_covers_older_writes_even_when_it_comes_first() {
        let writes = [range(None, None, 50), insert(1, 40, Ttl::Forever), insert(2, 60, Ttl::Forever)];
        assert_eq!(rows(&writes, 200), 1);
    }

    #[test]
    fn ranges_compare_numbers_as_numbers() {
        let writes = [insert(-2, 10, Ttl::Forever), insert(3, 20, Ttl::Forever), range(Some(-5), Some(0), 50)];
        assert_eq!(rows(&writes, 200), 1);
    }

    #[test]
    fn a_value_that_expired_still_hides_older_ones() {
        let older = insert(1, 10, Ttl::Forever);
        assert_eq!(rows(std::slice::from_ref(&older), 200), 1);
        assert_eq!(rows(&[older, insert(1, 20, Ttl::Seconds(5))], 200), 0);
    }
}
