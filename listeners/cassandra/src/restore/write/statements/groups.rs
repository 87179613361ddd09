//! Atoms of one row, gathered into writes: those that share their times together, up to what a write may hold.
//!
//! Each atom looks at one group only, the newest of its times, so that a row of a hundred thousand times costs no more than its
//! length.

use std::collections::{BTreeMap, HashMap};

use bytes::{BufMut, Bytes, BytesMut};
use tidemark_cassandra_format::{
    model::{Cell, ColumnData, ColumnIndex, PathCell},
    schema::Column,
    types::CqlType,
};

use super::{
    rows::{Clock, Error, Write, empty, empty_list, shape, takes_empty, value_expiry},
    terms::{self, Term},
};
use crate::{
    connect::Raw,
    restore::{
        schema::cql::quote,
        write::{
            size::WriteSizes,
            statements::{
                shapes::{STATEMENT_SLOTS, Shape, Shapes, Slot, StatementId},
                ttl,
            },
        },
    },
};

/// About what a server adds to each value: its path or place, flags, times.
const VALUE_OVERHEAD: usize = 48;

/// Write time and expiry (s since 1970).
pub(super) type Times = (i64, Option<u32>);

/// All groups of one row, in the order in which they must be written.
pub(super) struct Groups {
    groups: Vec<Group>,
    /// The newest group of these times that takes any slot.
    newest: HashMap<Times, usize>,
    first_slot: Vec<usize>,
    clock: Clock,
    sizes: WriteSizes,
}

/// Atoms that share their times.
struct Group {
    times: Times,
    filled: BTreeMap<usize, Filled>,
    /// About as the server counts them.
    bytes: usize,
}

/// What a slot takes.
enum Filled {
    Value(Bytes),
    List(Elements),
    Collection(Elements),
    /// An assignment of its own, the only one of its group; true where it appends to a list.
    Apart(Apart),
}

/// `"l" = "l" + [?]`
struct Apart {
    assignment: Term,
    appends: bool,
}

/// Elements of a collection as CQL serialises them, without the count.
#[derive(Default)]
struct Elements {
    count: i32,
    bytes: BytesMut,
}

/// One element and where it goes.
struct Placed<'a> {
    slot: usize,
    times: Times,
    parts: &'a [(&'a CqlType, &'a Bytes)],
}

impl Groups {
    pub(super) fn new(first_slot: Vec<usize>, clock: Clock, sizes: WriteSizes) -> Self {
        Self { groups: Vec::new(), newest: HashMap::new(), first_slot, clock, sizes }
    }

    /// A new group at the end.
    pub(super) fn open(&mut self, times: Times) -> usize {
        self.groups.push(Group { times, filled: BTreeMap::new(), bytes: 0 });
        self.newest.insert(times, self.groups.len() - 1);
        self.groups.len() - 1
    }

    /// The newest group of these times, where it is not before `start`, has room, and takes it; else a new one.
    fn place(&mut self, times: Times, start: usize, bytes: usize, takes: impl Fn(&Group) -> bool) -> usize {
        let fits = |at: &usize| {
            let group = &self.groups[*at];
            *at >= start && (group.bytes == 0 || group.bytes + bytes <= self.sizes.full) && takes(group)
        };
        self.newest.get(&times).copied().filter(fits).unwrap_or_else(|| self.open(times))
    }

    /// A group for one assignment alone, after all others; it is never the newest of its times.
    fn add_apart(&mut self, slot: usize, times: Times, apart: Apart) -> usize {
        let bytes = apart.assignment.text.len() + VALUE_OVERHEAD;
        self.groups.push(Group { times, filled: BTreeMap::from([(slot, Filled::Apart(apart))]), bytes });
        self.groups.len() - 1
    }

    pub(super) fn add_column(&mut self, index: ColumnIndex, column: &Column, data: &ColumnData) -> Result<(), Error> {
        let slot = self.first_slot[usize::from(index)];
        match data {
            ColumnData::Simple(_) if column.cql_type.is_multi_cell() => {
                Err(shape(&column.name, "one cell in a column of several"))
            }
            ColumnData::Simple(cell) => {
                self.add_value(slot, cell, &column.name, &quote(&column.name), &column.cql_type)
            }
            ColumnData::Complex { cells, .. } => self.add_complex(slot, column, cells),
        }
    }

    fn live_times(&self, cell: &Cell) -> Option<Times> {
        Some((cell.ts, self.clock.kept(value_expiry(cell)?)?))
    }

    /// `target` is what stands before the `=`.
    fn add_value(
        &mut self,
        slot: usize,
        cell: &Cell,
        column: &str,
        target: &str,
        cql_type: &CqlType,
    ) -> Result<(), Error> {
        let Some(times) = self.live_times(cell) else { return Ok(()) };
        if cell.value.is_empty() && !takes_empty(cql_type) {
            return Err(empty(column, cql_type));
        }
        let bytes = self.size(column, cell.value.len())?;
        if let Some(term) = terms::apart(cql_type, &cell.value).map_err(|of| empty(column, of))? {
            let assignment = Term { text: format!("{target} = {}", term.text) };
            self.add_apart(slot, times, Apart { assignment, appends: false });
            return Ok(());
        }
        let at = self.place(times, 0, bytes, |_| true);
        self.groups[at].bytes += bytes;
        self.groups[at].filled.insert(slot, Filled::Value(cell.value.clone()));
        Ok(())
    }

    /// What a value adds to a write.
    fn size(&self, column: &str, bytes: usize) -> Result<usize, Error> {
        match bytes <= self.sizes.limit {
            true => Ok(bytes + VALUE_OVERHEAD),
            false => Err(Error::Large { column: column.to_owned(), bytes, limit: self.sizes.limit }),
        }
    }

    fn add_complex(&mut self, slot: usize, column: &Column, cells: &[PathCell]) -> Result<(), Error> {
        match &column.cql_type {
            CqlType::List { element, frozen: false } => self.add_list(slot, column, element, cells),
            CqlType::Set { element, frozen: false } => {
                self.add_collection(slot, column, cells, |c| vec![(&**element, &c.path)])
            }
            CqlType::Map { key, value, frozen: false } => {
                self.add_collection(slot, column, cells, |c| vec![(&**key, &c.path), (&**value, &c.cell.value)])
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
            let parts = [(element, &cell.cell.value)];
            let placed = Placed { slot, times, parts: &parts };
            if terms::is_odd(element, &cell.cell.value) {
                (at, run) = (self.add_odd(column, &placed, ['[', ']'])?, None);
                continue;
            }
            let bytes = self.size(&column.name, cell.cell.value.len())?;
            if run != Some(times) || self.groups[at].bytes + bytes > self.sizes.full {
                at = self.place(times, at, bytes, |g| !g.filled.contains_key(&slot));
                run = Some(times);
            }
            self.groups[at].push(&placed, bytes, Filled::List);
        }
        Ok(())
    }

    fn add_collection<'a>(
        &mut self,
        slot: usize,
        column: &Column,
        cells: &'a [PathCell],
        parts: impl Fn(&'a PathCell) -> Vec<(&'a CqlType, &'a Bytes)>,
    ) -> Result<(), Error> {
        for cell in cells {
            let Some(times) = self.live_times(&cell.cell) else { continue };
            let parts = parts(cell);
            let placed = Placed { slot, times, parts: &parts };
            if parts.iter().any(|(of, value)| terms::is_odd(of, value)) {
                self.add_odd(column, &placed, ['{', '}'])?;
                continue;
            }
            let bytes = self.size(&column.name, parts.iter().map(|(_, value)| value.len()).sum())?;
            let at = self.place(times, 0, bytes, |_| true);
            self.groups[at].push(&placed, bytes, Filled::Collection);
        }
        Ok(())
    }

    /// An element that is written by itself; its group.
    fn add_odd(&mut self, column: &Column, placed: &Placed<'_>, brackets: [char; 2]) -> Result<usize, Error> {
        let term = terms::element(placed.parts, brackets).map_err(|of| empty(&column.name, of))?;
        self.size(&column.name, term.text.len())?;
        let name = quote(&column.name);
        let assignment = Term { text: format!("{name} = {name} + {}", term.text) };
        let appends = brackets[0] == '[';
        Ok(self.add_apart(placed.slot, placed.times, Apart { assignment, appends }))
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
            let target = format!("{}.{}", quote(&column.name), quote(&fields[index].0));
            self.add_value(slot + index, &cell.cell, &column.name, &target, &fields[index].1)?;
        }
        Ok(())
    }

    /// The writes of all groups, in order; with a marker the first is an INSERT.
    pub(super) fn into_writes(self, shapes: &Shapes, is_static: bool, with_marker: bool) -> Result<Vec<Write>, Error> {
        let (clock, mut writes) = (self.clock, Vec::new());
        for (n, group) in self.groups.into_iter().enumerate() {
            group.into_writes(shapes, is_static, with_marker && n == 0, clock, &mut writes)?;
        }
        Ok(writes)
    }
}

impl Group {
    /// Adds one element (for a map: key and value) to the collection in the slot.
    fn push(&mut self, placed: &Placed<'_>, bytes: usize, made: fn(Elements) -> Filled) {
        self.bytes += bytes;
        let filled = self.filled.entry(placed.slot).or_insert_with(|| made(Elements::default()));
        if let Filled::List(e) | Filled::Collection(e) = filled {
            e.count += 1;
            for (_, part) in placed.parts {
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
                writes.push(
                    self.take_apart(first, id, ts, ttl).unwrap_or_else(|| self.take_write(shape, id, first, ts, ttl)),
                );
            }
        }
        Ok(())
    }

    /// The write of a group's only assignment, where it is one of its own.
    fn take_apart(&mut self, first: usize, statement: StatementId, ts: i64, ttl: i32) -> Option<Write> {
        let slot = *self.filled.range(first..).next().filter(|(_, f)| matches!(f, Filled::Apart(_)))?.0;
        let Some(Filled::Apart(Apart { assignment, appends })) = self.filled.remove(&slot) else { return None };
        Some(Write { statement, ts, ttl, values: Vec::new(), appends, bytes: self.bytes, apart: Some(assignment.text) })
    }

    /// Moves what the statement takes into a write.
    fn take_write(&mut self, shape: &Shape, statement: StatementId, first: usize, ts: i64, ttl: i32) -> Write {
        // Slots that stay as they are take four bytes each.
        let (mut appends, mut bytes) = (false, VALUE_OVERHEAD + 4 * shape.slots.len());
        let mut values = Vec::with_capacity(shape.slots.len());
        for (n, slot) in (first..).zip(&shape.slots) {
            let filled = self.filled.remove(&n);
            appends |= matches!(filled, Some(Filled::List(_)));
            bytes += filled.as_ref().map_or(0, Filled::size);
            values.push(filled.map_or_else(|| untouched(*slot), Filled::into_raw));
        }
        Write { statement, ts, ttl, values, appends, bytes, apart: None }
    }
}

impl Filled {
    /// About what a server counts.
    fn size(&self) -> usize {
        match self {
            Self::Value(bytes) => bytes.len() + VALUE_OVERHEAD,
            Self::List(e) | Self::Collection(e) => e.bytes.len() + VALUE_OVERHEAD * e.count as usize,
            Self::Apart(apart) => apart.assignment.text.len() + VALUE_OVERHEAD,
        }
    }

    fn into_raw(self) -> Raw {
        match self {
            Self::Value(bytes) => Raw::Bytes(bytes),
            Self::List(e) | Self::Collection(e) => {
                let mut bytes = BytesMut::with_capacity(4 + e.bytes.len());
                bytes.put_i32(e.count);
                bytes.put_slice(&e.bytes);
                Raw::Bytes(bytes.freeze())
            }
            Self::Apart(_) => unreachable!("it is the only one of its group and has a write of its own"),
        }
    }
}

/// What a slot takes to stay as it is. Appending an unset list is a server error; appending an empty one does nothing.
fn untouched(slot: Slot) -> Raw {
    if matches!(slot, Slot::List(_)) { empty_list() } else { Raw::Unset }
}
