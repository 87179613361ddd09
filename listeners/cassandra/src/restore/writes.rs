//! From a row of a segment to the writes that make it again: pure.
//!
//! A write is one execution of one prepared statement. A row's live atoms are grouped by (write time, expiry); each group is
//! one UPDATE, and the group of the INSERT marker is an INSERT with the simple columns that share its times. List elements
//! keep their order: a new group starts where the next element has other times. Executed in order, by one coordinator.

use std::collections::BTreeMap;

use bytes::{BufMut, Bytes, BytesMut};
use tidemark_cassandra_format::{
    model::{Cell, CellState, ColumnData, ColumnIndex, Expiry, PathCell, Row},
    schema::{Column, TableSchema},
    types::CqlType,
};

use crate::{
    connect::Raw,
    restore::{
        shapes::{STATEMENT_SLOTS, Shape, Shapes, Slot, StatementId, slots},
        ttl::{self, Lifetimes},
    },
};

/// Most bytes of one collection in one write: a write must fit into a mutation (by default 16 MiB).
const COLLECTION_BYTES: usize = 4 << 20;

/// Why a row cannot be written by CQL.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// CQL does not take an empty value of this type.
    #[error("column {column:?}: an empty value of type {cql_type} cannot be written by CQL")]
    Empty {
        /// The column.
        column: String,
        /// Its type, or that of the element.
        cql_type: String,
    },
    /// CQL does not take a null clustering value.
    #[error("clustering column {column:?} is null, as only compact tables allow")]
    NullClustering {
        /// The column.
        column: String,
    },
    /// The data is not of the schema's shape.
    #[error("column {column:?}: {reason}")]
    Shape {
        /// The column.
        column: String,
        /// What is wrong.
        reason: &'static str,
    },
    /// The destination cannot hold an expiry of the row.
    #[error("it cannot be restored with its expiry")]
    Ttl(#[from] ttl::Refused),
}

/// One execution of one statement, without its keys.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Write {
    /// Which statement.
    pub statement: StatementId,
    /// Write time, µs.
    pub ts: i64,
    /// Remaining time to live, s; 0 for ever.
    pub ttl: i32,
    /// Values of the statement's slots.
    pub values: Vec<Raw>,
    /// True where it appends to a list.
    pub appends: bool,
    /// Bytes of the values.
    pub bytes: usize,
}

impl Write {
    /// The statement's values in the order of its markers.
    pub fn bind(&self, partition_key: &[Bytes], clustering: &[Bytes]) -> Vec<Raw> {
        let times = [Bytes::copy_from_slice(&self.ts.to_be_bytes()), Bytes::copy_from_slice(&self.ttl.to_be_bytes())];
        let times = times.into_iter().map(Raw::Bytes);
        let clustering = if matches!(self.statement, StatementId::Static(_)) { &[] } else { clustering };
        let key = partition_key.iter().chain(clustering).cloned().map(Raw::Bytes);
        let values = self.values.iter().cloned();
        match self.statement {
            StatementId::Insert => key.chain(values).chain(times).collect(),
            _ => times.chain(values).chain(key).collect(),
        }
    }

    /// The write without its appends to lists; `None` where nothing else is in it.
    pub fn without_appends(mut self, shape: &Shape) -> Option<Self> {
        let mut left = self.statement == StatementId::Insert;
        for (value, slot) in self.values.iter_mut().zip(&shape.slots) {
            match slot {
                Slot::List(_) => *value = empty_list(),
                _ => left |= *value != Raw::Unset,
            }
        }
        self.appends = false;
        left.then_some(self)
    }
}

/// True iff an atom with this expiry lives at `now`, s.
pub fn lives(expiry: Option<Expiry>, now: u32) -> bool {
    // Cassandra marks an expired liveness of a materialised view by the greatest TTL.
    expiry.is_none_or(|e| e.at > now && e.ttl != i32::MAX as u32)
}

/// The cell's expiry if it is a value (`Some(None)`: for ever), `None` for a tombstone.
pub fn value_expiry(cell: &Cell) -> Option<Option<Expiry>> {
    match cell.state {
        CellState::Live => Some(None),
        CellState::Expiring(expiry) => Some(Some(expiry)),
        CellState::Tombstone { .. } => None,
    }
}

/// The rule for times to live, and the time of a write, s since 1970.
#[derive(Clone, Copy, Debug)]
pub struct Clock {
    /// The rule.
    pub lifetimes: Lifetimes,
    /// Now.
    pub now: u32,
}

impl Clock {
    /// As [`Lifetimes::kept`], now.
    pub fn kept(&self, expiry: Option<Expiry>) -> Option<Option<u32>> {
        self.lifetimes.kept(expiry, self.now)
    }
}

/// True iff the row shows at `now`, s: its marker or a cell lives.
pub fn is_live(row: &Row, now: u32) -> bool {
    let marker = row.liveness.is_some_and(|l| lives(l.expiry, now));
    marker || cells(row).any(|cell| value_expiry(cell).is_some_and(|e| lives(e, now)))
}

/// All cells of a row.
fn cells(row: &Row) -> impl Iterator<Item = &Cell> {
    row.columns.iter().flat_map(|(_, data)| {
        let (one, many): (Option<&Cell>, &[PathCell]) = match data {
            ColumnData::Simple(cell) => (Some(cell), &[]),
            ColumnData::Complex { cells, .. } => (None, cells),
        };
        one.into_iter().chain(many.iter().map(|c| &c.cell))
    })
}

/// Clustering values of a row, none of them null.
///
/// # Errors
/// [`Error::NullClustering`].
pub fn clustering(schema: &TableSchema, row: &Row) -> Result<Vec<Bytes>, Error> {
    let named = row.clustering.iter().zip(&schema.clustering);
    named.map(|(v, c)| v.clone().ok_or_else(|| Error::NullClustering { column: c.column.name.clone() })).collect()
}

/// The writes that make the row again as it lives by `clock`, in the order in which they must run; none where nothing of it
/// lives. `is_static` tells the static row of a partition from a row.
///
/// # Errors
/// [`Error`] where CQL cannot express a value or the destination cannot hold an expiry.
pub fn row_writes(
    schema: &TableSchema,
    shapes: &Shapes,
    row: &Row,
    is_static: bool,
    clock: Clock,
) -> Result<Vec<Write>, Error> {
    let columns = if is_static { &schema.statics } else { &schema.regulars };
    let mut groups = Groups { groups: Vec::new(), first_slot: first_slots(columns), clock };
    let marker = row.liveness.filter(|_| !is_static);
    let marker = marker.and_then(|l| Some((l.ts, clock.kept(l.expiry)?)));
    if let Some(times) = marker {
        groups.find_or_add(times, 0, |_| true);
    }
    for (index, data) in &row.columns {
        let column = columns.get(usize::from(*index));
        groups.add_column(*index, column.ok_or_else(|| shape("?", "no such column"))?, data)?;
    }
    let mut writes = Vec::new();
    for (n, group) in groups.groups.into_iter().enumerate() {
        group.into_writes(shapes, is_static, marker.is_some() && n == 0, clock, &mut writes)?;
    }
    Ok(writes)
}

fn shape(column: &str, reason: &'static str) -> Error {
    Error::Shape { column: column.to_owned(), reason }
}

/// For each column its first slot, counted over all statements.
fn first_slots(columns: &[Column]) -> Vec<usize> {
    let width = |c: &Column| slots(&[&c.cql_type]).len();
    columns.iter().scan(0, |next, c| Some(std::mem::replace(next, *next + width(c)))).collect()
}

/// Write time and expiry (s since 1970).
type Times = (i64, Option<u32>);

/// Atoms that share their times.
struct Group {
    times: Times,
    filled: BTreeMap<usize, Filled>,
}

/// What a slot takes.
enum Filled {
    Value(Bytes),
    List(Elements),
    Collection(Elements),
}

/// Elements of a collection as CQL serialises them, without the count.
#[derive(Default)]
struct Elements {
    count: i32,
    bytes: BytesMut,
}

struct Groups {
    groups: Vec<Group>,
    first_slot: Vec<usize>,
    clock: Clock,
}

impl Groups {
    /// Index of the first group from `start` on with these times that satisfies the test, made at the end if there is none.
    fn find_or_add(&mut self, times: Times, start: usize, test: impl Fn(&Group) -> bool) -> usize {
        let found = (start..self.groups.len()).find(|n| self.groups[*n].times == times && test(&self.groups[*n]));
        found.unwrap_or_else(|| {
            self.groups.push(Group { times, filled: BTreeMap::new() });
            self.groups.len() - 1
        })
    }

    fn add_column(&mut self, index: ColumnIndex, column: &Column, data: &ColumnData) -> Result<(), Error> {
        let slot = self.first_slot[usize::from(index)];
        match data {
            ColumnData::Simple(_) if column.cql_type.is_multi_cell() => {
                Err(shape(&column.name, "one cell in a column of several"))
            }
            ColumnData::Simple(cell) => self.add_value(slot, cell, &column.name, &column.cql_type),
            ColumnData::Complex { cells, .. } => self.add_complex(slot, column, cells),
        }
    }

    fn live_times(&self, cell: &Cell) -> Option<Times> {
        Some((cell.ts, self.clock.kept(value_expiry(cell)?)?))
    }

    fn add_value(&mut self, slot: usize, cell: &Cell, column: &str, cql_type: &CqlType) -> Result<(), Error> {
        let Some(times) = self.live_times(cell) else { return Ok(()) };
        if cell.value.is_empty() && !takes_empty(cql_type) {
            return Err(empty(column, cql_type));
        }
        let group = self.find_or_add(times, 0, |_| true);
        self.groups[group].filled.insert(slot, Filled::Value(cell.value.clone()));
        Ok(())
    }

    fn add_complex(&mut self, slot: usize, column: &Column, cells: &[PathCell]) -> Result<(), Error> {
        match &column.cql_type {
            CqlType::List { element, frozen: false } => self.add_list(slot, column, element, cells),
            CqlType::Set { element, frozen: false } => {
                self.add_collection(slot, column, cells, |c| vec![(&c.path, element)])
            }
            CqlType::Map { key, value, frozen: false } => {
                self.add_collection(slot, column, cells, |c| vec![(&c.path, key), (&c.cell.value, value)])
            }
            CqlType::Udt { fields, frozen: false, .. } => self.add_fields(slot, column, fields, cells),
            _ => Err(shape(&column.name, "several cells in a column of one")),
        }
    }

    /// Runs of elements with the same times, each in a group after the one before.
    fn add_list(&mut self, slot: usize, column: &Column, element: &CqlType, cells: &[PathCell]) -> Result<(), Error> {
        let (mut at, mut run) = (0, None);
        for cell in cells {
            let Some(times) = self.live_times(&cell.cell) else { continue };
            check_element(&column.name, element, &cell.cell.value)?;
            if run != Some(times) || self.groups[at].is_full(slot) {
                at = self.find_or_add(times, at, |g| !g.filled.contains_key(&slot));
                run = Some(times);
                self.groups[at].filled.insert(slot, Filled::List(Elements::default()));
            }
            self.groups[at].push(slot, [&cell.cell.value]);
        }
        Ok(())
    }

    fn add_collection<'a>(
        &mut self,
        slot: usize,
        column: &Column,
        cells: &'a [PathCell],
        parts: impl Fn(&'a PathCell) -> Vec<(&'a Bytes, &'a CqlType)>,
    ) -> Result<(), Error> {
        for cell in cells {
            let Some(times) = self.live_times(&cell.cell) else { continue };
            let parts = parts(cell);
            for (bytes, cql_type) in &parts {
                check_element(&column.name, cql_type, bytes)?;
            }
            let at = self.find_or_add(times, 0, |g| !g.is_full(slot));
            self.groups[at].filled.entry(slot).or_insert_with(|| Filled::Collection(Elements::default()));
            self.groups[at].push(slot, parts.iter().map(|(bytes, _)| *bytes));
        }
        Ok(())
    }

    fn add_fields(
        &mut self,
        slot: usize,
        column: &Column,
        fields: &[(String, CqlType)],
        cells: &[PathCell],
    ) -> Result<(), Error> {
        for cell in cells {
            let index = <[u8; 2]>::try_from(cell.path.as_ref()).map(u16::from_be_bytes).map(usize::from);
            let index = index.ok().filter(|i| *i < fields.len());
            let index = index.ok_or_else(|| shape(&column.name, "the type has no such field"))?;
            self.add_value(slot + index, &cell.cell, &column.name, &fields[index].1)?;
        }
        Ok(())
    }
}

impl Group {
    fn is_full(&self, slot: usize) -> bool {
        match self.filled.get(&slot) {
            Some(Filled::List(e) | Filled::Collection(e)) => e.bytes.len() >= COLLECTION_BYTES,
            _ => false,
        }
    }

    /// Adds one element (for a map: key and value) to the collection in the slot.
    fn push<'a>(&mut self, slot: usize, parts: impl IntoIterator<Item = &'a Bytes>) {
        if let Some(Filled::List(e) | Filled::Collection(e)) = self.filled.get_mut(&slot) {
            e.count += 1;
            for part in parts {
                e.bytes.put_u32(part.len() as u32);
                e.bytes.put_slice(part);
            }
        }
    }

    /// Appends the writes of this group; `with_marker`: the first is an INSERT.
    fn into_writes(
        mut self,
        shapes: &Shapes,
        is_static: bool,
        with_marker: bool,
        clock: Clock,
        writes: &mut Vec<Write>,
    ) -> Result<(), ttl::Refused> {
        let (ts, at) = self.times;
        let ttl = clock.lifetimes.ttl(at, clock.now)?;
        if with_marker {
            writes.push(self.take_write(&shapes.insert, StatementId::Insert, 0, ts, ttl));
        }
        let updates = if is_static { &shapes.statics } else { &shapes.regular };
        for (n, shape) in updates.iter().enumerate() {
            let first = n * STATEMENT_SLOTS;
            if self.filled.range(first..first + shape.slots.len()).next().is_some() {
                let id = if is_static { StatementId::Static(n) } else { StatementId::Regular(n) };
                writes.push(self.take_write(shape, id, first, ts, ttl));
            }
        }
        Ok(())
    }

    /// Moves what the statement takes into a write.
    fn take_write(&mut self, shape: &Shape, statement: StatementId, first: usize, ts: i64, ttl: i32) -> Write {
        let (mut appends, mut bytes) = (false, 0);
        let mut values = Vec::with_capacity(shape.slots.len());
        for (n, slot) in (first..).zip(&shape.slots) {
            let filled = self.filled.remove(&n);
            appends |= matches!(filled, Some(Filled::List(_)));
            let value = filled.map_or_else(|| untouched(*slot), Filled::into_raw);
            bytes += 4 + if let Raw::Bytes(b) = &value { b.len() } else { 0 };
            values.push(value);
        }
        Write { statement, ts, ttl, values, appends, bytes }
    }
}

impl Filled {
    fn into_raw(self) -> Raw {
        match self {
            Self::Value(bytes) => Raw::Bytes(bytes),
            Self::List(e) | Self::Collection(e) => {
                let mut bytes = BytesMut::with_capacity(4 + e.bytes.len());
                bytes.put_i32(e.count);
                bytes.put_slice(&e.bytes);
                Raw::Bytes(bytes.freeze())
            }
        }
    }
}

/// What a slot takes to stay as it is. Appending an unset list is a server error; appending an empty one does nothing.
fn untouched(slot: Slot) -> Raw {
    if matches!(slot, Slot::List(_)) { empty_list() } else { Raw::Unset }
}

fn empty_list() -> Raw {
    Raw::Bytes(Bytes::from_static(&[0; 4]))
}

fn empty(column: &str, cql_type: &CqlType) -> Error {
    Error::Empty { column: column.to_owned(), cql_type: format!("{cql_type:?}") }
}

fn check_element(column: &str, cql_type: &CqlType, bytes: &Bytes) -> Result<(), Error> {
    let text = matches!(cql_type, CqlType::Ascii | CqlType::Text | CqlType::Blob);
    if bytes.is_empty() && !text { Err(empty(column, cql_type)) } else { Ok(()) }
}

/// True for types of which Cassandra 5.0 takes an empty value over CQL (seen on a server, type by type).
fn takes_empty(cql_type: &CqlType) -> bool {
    use CqlType as T;
    !matches!(
        cql_type,
        T::Date
            | T::Time
            | T::SmallInt
            | T::TinyInt
            | T::Duration
            | T::List { .. }
            | T::Set { .. }
            | T::Map { .. }
            | T::Vector { .. }
    )
}

#[cfg(test)]
mod tests {
    use tidemark_listener_core::driver::TtlPolicy;

    use super::*;
    use crate::restore::samples::{self, complex, expiring, int, live};

    const NOW: u32 = 1_000;
    const CLOCK: Clock = Clock {
        lifetimes: Lifetimes { policy: TtlPolicy::Keep, cut: NOW, last_expiry: ttl::LAST_EXPIRY_2038 },
        now: NOW,
    };

    fn writes(row: &Row) -> Vec<Write> {
        let schema = samples::schema();
        row_writes(&schema, &Shapes::of(&schema, "ks", "t"), row, false, CLOCK).unwrap()
    }

    fn raw(value: impl Into<Bytes>) -> Raw {
        Raw::Bytes(value.into())
    }

    #[test]
    fn a_plain_insert_is_one_statement() {
        let columns =
            vec![(0, ColumnData::Simple(live(5, int(1)))), (1, ColumnData::Simple(live(5, Bytes::from_static(b"x"))))];
        let writes = writes(&samples::row(7, Some(5), columns));
        assert_eq!(writes.len(), 1);
        assert_eq!(writes[0].values, vec![raw(int(1)), raw(&b"x"[..])]);
        let bound = writes[0].bind(&[int(3)], &[int(7)]);
        let ts = Bytes::copy_from_slice(&5_i64.to_be_bytes());
        assert_eq!(bound, vec![raw(int(3)), raw(int(7)), raw(int(1)), raw(&b"x"[..]), raw(ts), raw(int(0))]);
    }

    #[test]
    fn cells_of_other_times_are_updates_with_the_rest_unset() {
        let columns = vec![
            (0, ColumnData::Simple(live(6, int(1)))),
            (1, ColumnData::Simple(expiring(6, NOW + 9, Bytes::from_static(b"x")))),
        ];
        let writes = writes(&samples::row(7, Some(5), columns));
        let seen: Vec<_> = writes.iter().map(|w| (w.statement, w.ts, w.ttl)).collect();
        let update = StatementId::Regular(0);
        assert_eq!(seen, vec![(StatementId::Insert, 5, 0), (update, 6, 0), (update, 6, 9)]);
        assert_eq!(writes[0].values, vec![Raw::Unset, Raw::Unset]);
        let unset = Raw::Unset;
        assert_eq!(
            writes[1].values,
            vec![raw(int(1)), unset.clone(), empty_list(), unset.clone(), unset.clone(), unset.clone(), unset,]
        );
    }

    #[test]
    fn what_has_expired_or_is_deleted_is_not_written() {
        let dead = Cell { ts: 5, state: CellState::Tombstone { local_time: 1 }, value: Bytes::new() };
        let columns = vec![(0, ColumnData::Simple(expiring(5, NOW, int(1)))), (1, ColumnData::Simple(dead))];
        let row = samples::row(7, None, columns);
        assert!(writes(&row).is_empty());
        assert!(is_live(&row, NOW - 1) && !is_live(&row, NOW));
    }

    #[test]
    fn a_row_without_its_expiries_is_one_statement_and_a_rebased_one_lives_on() {
        let columns = vec![
            (0, ColumnData::Simple(expiring(5, NOW + 9, int(1)))),
            (1, ColumnData::Simple(expiring(5, NOW - 1, int(2)))),
        ];
        let row = samples::row(7, Some(5), columns);
        let schema = samples::schema();
        let ttls = |policy| {
            let lifetimes = Lifetimes { policy, cut: NOW - 10, ..CLOCK.lifetimes };
            let clock = Clock { lifetimes, ..CLOCK };
            let writes = row_writes(&schema, &Shapes::of(&schema, "ks", "t"), &row, false, clock).unwrap();
            writes.iter().map(|w| w.ttl).collect::<Vec<_>>()
        };
        assert_eq!(ttls(TtlPolicy::Keep), [0, 9]);
        assert_eq!(ttls(TtlPolicy::Rebase), [0, 19, 9]);
        assert_eq!(ttls(TtlPolicy::Strip), [0]);
    }

    #[test]
    fn list_elements_keep_their_order_over_runs_of_times() {
        let path = |n: u8| Bytes::copy_from_slice(&[n; 16]);
        let cells = vec![
            (path(1), live(5, int(10))),
            (path(2), live(6, int(11))),
            (path(3), live(5, int(12))),
            (path(4), live(5, int(13))),
        ];
        let writes = writes(&samples::row(7, Some(5), vec![(2, complex(cells))]));
        let list = |w: &Write| w.values.get(2).cloned();
        let encoded = |values: &[i32]| {
            let mut bytes = BytesMut::new();
            bytes.put_i32(values.len() as i32);
            values.iter().for_each(|v| {
                bytes.put_i32(4);
                bytes.put_i32(*v);
            });
            Some(raw(bytes.freeze()))
        };
        assert_eq!(writes[0].statement, StatementId::Insert);
        let lists: Vec<_> = writes[1..].iter().map(list).collect();
        assert_eq!(lists, vec![encoded(&[10]), encoded(&[11]), encoded(&[12, 13])]);
        assert!(writes[1..].iter().all(|w| w.appends) && !writes[0].appends);
    }

    #[test]
    fn maps_sets_and_fields_share_one_update() {
        let text = |s: &'static str| Bytes::from_static(s.as_bytes());
        let columns = vec![
            (3, complex(vec![(text("k"), live(5, int(1)))])),
            (4, complex(vec![(text("e"), live(5, Bytes::new()))])),
            (5, complex(vec![(Bytes::from_static(&[0, 1]), live(5, text("g")))])),
        ];
        let writes = writes(&samples::row(7, None, columns));
        assert_eq!(writes.len(), 1);
        let map = [&[0, 0, 0, 1, 0, 0, 0, 1][..], b"k", &[0, 0, 0, 4, 0, 0, 0, 1]].concat();
        assert_eq!(writes[0].values[3], raw(map));
        assert_eq!(writes[0].values[4], raw([&[0, 0, 0, 1, 0, 0, 0, 1][..], b"e"].concat()));
        assert_eq!(writes[0].values[5..], [Raw::Unset, raw(text("g"))]);
    }

    #[test]
    fn empty_values_are_written_where_cql_takes_them_and_refused_by_name_elsewhere() {
        let row = samples::row(7, None, vec![(0, ColumnData::Simple(live(5, Bytes::new())))]);
        assert_eq!(writes(&row)[0].values[0], raw(Bytes::new()));
        let mut schema = samples::schema();
        schema.regulars[0].cql_type = CqlType::Date;
        let shapes = Shapes::of(&schema, "ks", "t");
        let refused = row_writes(&schema, &shapes, &row, false, CLOCK);
        assert!(matches!(refused, Err(Error::Empty { column, .. }) if column == "a"));
        let element =
            samples::row(7, None, vec![(2, complex(vec![(Bytes::from(vec![1; 16]), live(5, Bytes::new()))]))]);
        assert!(row_writes(&samples::schema(), &shapes, &element, false, CLOCK).is_err());
    }

    #[test]
    fn a_repeated_write_without_appends_keeps_the_other_columns() {
        let cells = complex(vec![(Bytes::from(vec![1; 16]), live(5, int(1)))]);
        let row = samples::row(7, None, vec![(0, ColumnData::Simple(live(5, int(9)))), (2, cells.clone())]);
        let schema = samples::schema();
        let shapes = Shapes::of(&schema, "ks", "t");
        let kept = writes(&row).remove(0).without_appends(&shapes.regular[0]).unwrap();
        assert_eq!((kept.values[0].clone(), kept.values[2].clone(), kept.appends), (raw(int(9)), empty_list(), false));
        let only_list = samples::row(7, None, vec![(2, cells)]);
        assert!(writes(&only_list).remove(0).without_appends(&shapes.regular[0]).is_none());
    }

    #[test]
    fn a_collection_larger_than_a_write_is_cut() {
        let big = Bytes::from(vec![b'x'; 3 << 20]);
        let cells = (0..3_u8).map(|n| (Bytes::copy_from_slice(&[n]), live(5, big.clone()))).collect();
        let mut schema = samples::schema();
        schema.regulars[3].cql_type =
            CqlType::Map { key: Box::new(CqlType::Text), value: Box::new(CqlType::Blob), frozen: false };
        let row = samples::row(7, None, vec![(3, complex(cells))]);
        let writes = row_writes(&schema, &Shapes::of(&schema, "ks", "t"), &row, false, CLOCK).unwrap();
        assert_eq!(writes.len(), 2);
    }

    #[test]
    fn static_rows_bind_the_partition_key_only() {
        let schema = samples::schema();
        let row = Row { columns: vec![(0, ColumnData::Simple(live(5, Bytes::from_static(b"s"))))], ..Row::default() };
        let writes = row_writes(&schema, &Shapes::of(&schema, "ks", "t"), &row, true, CLOCK).unwrap();
        assert_eq!(writes[0].statement, StatementId::Static(0));
        assert_eq!(writes[0].bind(&[int(3)], &[]).len(), 4);
    }
}
