//! What a row of the target differs in from the version's: pure.
//!
//! Values are compared byte by byte, cell by cell, elements of sets and maps and fields of user-defined types by their path,
//! lists as a whole; expiries within [`EXPIRY_TOLERANCE`]. What expires about now is right either way. Times of elements can
//! be read from Cassandra 5.0 on; before, elements are compared by value alone. CQL does not show INSERT markers: a row that
//! is there reads the same with and without one.
//!
//! What the target has and the version does not is told apart from what differs, because it stays unless it is asked to go.
//! What is newer than the instant of the undo is neither: it stays in any case.

use std::cmp::Ordering;

use bytes::Bytes;
use tidemark_cassandra_format::{
    model::{Cell, ColumnData, ColumnIndex, Deletion, Expiry, Liveness, PathCell, Row},
    order::compare_paths,
    schema::{Column, TableSchema},
    types::CqlType,
};
use tidemark_records::difference::standing::Standing;

use crate::{
    restore::select::Selected,
    restore::{
        values::{ordered, raw::Element},
        verify::rows::elements,
        write::statements::rows::{lives, value_expiry},
    },
};

/// Atoms that expire within this time around the reading may be there or not, s.
const EXPIRY_SLACK: u32 = 5;

/// Expiries as far apart are equal, s.
const EXPIRY_TOLERANCE: u32 = 2;

/// By what a row is compared.
#[derive(Clone, Copy, Debug)]
pub(super) struct Comparison<'a> {
    /// The version's schema.
    pub(super) schema: &'a TableSchema,
    /// The chosen columns.
    pub(super) selected: &'a Selected,
    /// Write time of what the undo writes, µs: what is newer stays.
    pub(super) stamp: i64,
    /// Newest write time that an element of a replaced list may have, µs.
    pub(super) list_stamp: i64,
    /// True where the target tells the times of elements.
    pub(super) element_times: bool,
    /// Time before the row was read, s since 1970.
    pub(super) before: u32,
    /// Time after it, s since 1970.
    pub(super) after: u32,
    /// True where the row was written by the undo just now: what still is another value then is newer.
    pub(super) written: bool,
}

/// What the target has and the version does not.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Extra {
    /// A row.
    Row,
    /// A column of a row.
    Column(ColumnIndex),
    /// Elements of a set, keys of a map, or fields of a user-defined type (2-byte indexes).
    Elements(ColumnIndex, Vec<Bytes>),
    /// Elements of a list besides the version's.
    List(ColumnIndex, Vec<PathCell>),
}

/// What a row differs in.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Difference {
    /// How it stands.
    pub(super) standing: Standing,
    /// The version's INSERT marker, if it lives: it goes along with whatever is written or removed.
    pub(super) marker: Option<Liveness>,
    /// Cells to write, stamped; no lists.
    pub(super) columns: Vec<(ColumnIndex, ColumnData)>,
    /// Lists to replace, with the elements that they get.
    pub(super) lists: Vec<(ColumnIndex, Vec<PathCell>)>,
    /// What the version does not have.
    pub(super) extras: Vec<Extra>,
    /// Lists in which elements that are newer than the instant stand before, or are to stand before, those of the version.
    pub(super) mixed: Vec<ColumnIndex>,
    /// True where something is newer than the instant and another than in the version.
    pub(super) newer: bool,
    /// True where something equal was written by this undo.
    pub(super) ours: bool,
    /// Newest write time of what differs or is extra, µs.
    pub(super) newest: Option<i64>,
}

impl Difference {
    /// True where something of the version has to be written.
    pub(super) fn writes(&self) -> bool {
        matches!(self.standing, Standing::Absent | Standing::Changed)
    }

    fn note_time(&mut self, ts: Option<i64>) {
        self.newest = self.newest.max(ts);
    }
}

/// An atom of the version that lives.
struct Atom<'a> {
    path: Bytes,
    cell: &'a Cell,
    /// True where it expires about now.
    ending: bool,
}

impl Atom<'_> {
    fn stamped(&self, ts: i64) -> Cell {
        Cell { ts, state: self.cell.state, value: self.cell.value.clone() }
    }
}

impl Comparison<'_> {
    /// Compares a row, or a static row: the version's, and the chosen columns of the target's as they were read (value, then
    /// write time and time to live where the column tells them).
    ///
    /// # Errors
    /// In words, where what was read is not of the columns' types.
    pub(super) fn row(
        &self,
        is_static: bool,
        version: Option<&Row>,
        found: Option<&[Option<Bytes>]>,
    ) -> Result<Difference, String> {
        let mut difference = Difference { marker: self.marker(is_static, version), ..Difference::default() };
        let marker_ends = difference.marker.and_then(|m| self.is_ending(m.expiry));
        let mut life = Life { some: marker_ends.is_some(), certain: marker_ends == Some(false) };
        let columns = self.columns(is_static);
        let mut at = found.unwrap_or_default().iter();
        for (index, column) in columns {
            let value = at.next().and_then(Option::as_ref);
            let timed = self.is_timed(column);
            let times = if timed { [at.next(), at.next()].map(|v| v.and_then(Option::as_ref)) } else { [None, None] };
            let found = elements(&column.cql_type, value, times[0], times[1])
                .ok_or_else(|| format!("column {:?}: its bytes are not of its type", column.name))?;
            let data = version.and_then(|row| row.columns.iter().find(|(i, _)| *i == index)).map(|(_, data)| data);
            let atoms = self.atoms(data);
            life.some |= !atoms.is_empty();
            life.certain |= atoms.iter().any(|atom| !atom.ending);
            match &column.cql_type {
                CqlType::List { frozen: false, .. } => self.list(index, timed, &atoms, found, &mut difference),
                _ => self.column(index, column, timed, &atoms, found, &mut difference),
            }
        }
        self.stand(is_static, life, found.is_some(), &mut difference);
        Ok(difference)
    }

    /// The chosen columns with their indexes, in the order in which they are read.
    pub(super) fn columns(&self, is_static: bool) -> impl Iterator<Item = (ColumnIndex, &Column)> {
        let columns = if is_static { &self.schema.statics } else { &self.schema.regulars };
        (0..).zip(columns).filter(move |(index, _)| self.selected.takes_column(*index, is_static))
    }

    /// True where the target tells the column's times.
    pub(super) fn is_timed(&self, column: &Column) -> bool {
        self.element_times || !column.cql_type.is_multi_cell()
    }

    fn marker(&self, is_static: bool, version: Option<&Row>) -> Option<Liveness> {
        let whole = !is_static && self.selected.takes_all_columns();
        let marker = version?.liveness.filter(|_| whole)?;
        self.is_ending(marker.expiry).map(|_| Liveness { ts: self.stamp, ..marker })
    }

    /// Whether an atom with this expiry ends about now; `None` where it is gone.
    fn is_ending(&self, expiry: Option<Expiry>) -> Option<bool> {
        if !lives(expiry, self.before.saturating_sub(EXPIRY_SLACK)) {
            return None;
        }
        Some(!lives(expiry, self.after.saturating_add(EXPIRY_SLACK)))
    }

    fn atoms<'d>(&self, data: Option<&'d ColumnData>) -> Vec<Atom<'d>> {
        let atom = |path: Bytes, cell: &'d Cell| {
            let ending = self.is_ending(value_expiry(cell)?)?;
            Some(Atom { path, cell, ending })
        };
        match data {
            None => Vec::new(),
            Some(ColumnData::Simple(cell)) => atom(Bytes::new(), cell).into_iter().collect(),
            Some(ColumnData::Complex { cells, .. }) => {
                cells.iter().filter_map(|at| atom(at.path.clone(), &at.cell)).collect()
            }
        }
    }

    /// Compares the cells of a column that is no list; both come in the order of their paths.
    fn column(
        &self,
        index: ColumnIndex,
        column: &Column,
        timed: bool,
        atoms: &[Atom<'_>],
        found: Vec<Element>,
        difference: &mut Difference,
    ) {
        let (mut writes, mut extras, mut kept) = (Vec::new(), Vec::new(), 0);
        let mut atoms = atoms.iter().peekable();
        let mut found = found.into_iter().peekable();
        loop {
            let order = match (atoms.peek(), found.peek()) {
                (None, None) => break,
                (Some(_), None) => Ordering::Less,
                (None, Some(_)) => Ordering::Greater,
                (Some(atom), Some(here)) => path_order(&column.cql_type, &atom.path, &here.key),
            };
            let atom = if order.is_le() { atoms.next() } else { None };
            let here = if order.is_ge() { found.next() } else { None };
            match (atom, here) {
                (Some(atom), None) if !atom.ending => writes.push(atom),
                (Some(atom), Some(here)) => {
                    kept += 1;
                    self.cell(column, timed, atom, &here, &mut writes, difference);
                }
                (None, Some(here)) if self.is_newer(&here) => (kept, difference.newer) = (kept + 1, true),
                (None, Some(here)) => {
                    difference.note_time(here.ts);
                    extras.push(here.key);
                }
                _ => {}
            }
        }
        if !writes.is_empty() {
            difference.columns.push((index, self.data(column, &writes)));
        }
        if !extras.is_empty() {
            let whole = !column.cql_type.is_multi_cell() || (kept == 0 && writes.is_empty());
            difference.extras.push(if whole { Extra::Column(index) } else { Extra::Elements(index, extras) });
        }
    }

    /// Compares a cell that both have.
    fn cell<'a>(
        &self,
        column: &Column,
        timed: bool,
        atom: &'a Atom<'a>,
        here: &Element,
        writes: &mut Vec<&'a Atom<'a>>,
        difference: &mut Difference,
    ) {
        let same =
            is_same(&column.cql_type, &atom.path, &atom.cell.value, here) && self.expires_right(timed, atom, here);
        if atom.ending || same {
            difference.ours |= same && here.ts == Some(self.stamp);
        } else if self.is_newer(here) {
            difference.newer = true;
        } else {
            difference.note_time(here.ts);
            writes.push(atom);
        }
    }

    fn data(&self, column: &Column, writes: &[&Atom<'_>]) -> ColumnData {
        if let ([atom], false) = (writes, column.cql_type.is_multi_cell()) {
            return ColumnData::Simple(atom.stamped(self.stamp));
        }
        let cell = |atom: &&Atom<'_>| PathCell { path: atom.path.clone(), cell: atom.stamped(self.stamp) };
        ColumnData::Complex { deletion: Deletion::LIVE, cells: writes.iter().map(cell).collect() }
    }

    /// Compares a list. What was added to it after the instant stays and is not looked at.
    fn list(
        &self,
        index: ColumnIndex,
        timed: bool,
        atoms: &[Atom<'_>],
        found: Vec<Element>,
        difference: &mut Difference,
    ) {
        let is_mixed = self.written && self.is_mixed(timed, atoms, &found);
        let count = found.len();
        let mine: Vec<Element> = found.into_iter().filter(|e| e.ts.is_none_or(|ts| ts <= self.list_stamp)).collect();
        let newer = mine.len() < count;
        difference.newer |= newer;
        let cells = || {
            let cell = |atom: &Atom<'_>| PathCell { path: atom.path.clone(), cell: atom.stamped(self.stamp) };
            atoms.iter().map(cell).collect::<Vec<_>>()
        };
        let newest = mine.iter().filter_map(|e| e.ts).max();
        let alignment = self.align(timed, atoms, &mine);
        if is_mixed || (newer && alignment != Alignment::Same) {
            difference.mixed.push(index);
        }
        match alignment {
            Alignment::Same => difference.ours |= newest.is_some_and(|ts| ts >= self.stamp),
            Alignment::More if self.written && !timed => difference.newer = true,
            Alignment::More => {
                difference.note_time(newest);
                difference.extras.push(match atoms.is_empty() {
                    true => Extra::Column(index),
                    false => Extra::List(index, cells()),
                });
            }
            Alignment::Other => {
                difference.note_time(newest);
                difference.lists.push((index, cells()));
            }
        }
    }

    /// True where other elements stand among the version's, and not only behind them: what is appended to a list after it was
    /// replaced is no fault.
    fn is_mixed(&self, timed: bool, atoms: &[Atom<'_>], found: &[Element]) -> bool {
        let first = &found[..atoms.len().min(found.len())];
        self.align(timed, atoms, found) == Alignment::More && self.align(timed, atoms, first) != Alignment::Same
    }

    /// Looks for the version's elements among those of the target, in order.
    fn align(&self, timed: bool, atoms: &[Atom<'_>], found: &[Element]) -> Alignment {
        let (mut more, mut next) = (false, 0);
        for here in found {
            let same = |atom: &Atom<'_>| atom.cell.value == here.value && self.expires_right(timed, atom, here);
            let mut at = next;
            while atoms.get(at).is_some_and(|atom| atom.ending && !same(atom)) {
                at += 1;
            }
            match atoms.get(at).is_some_and(same) {
                true => next = at + 1,
                false => more = true,
            }
        }
        match atoms[next..].iter().all(|atom| atom.ending) {
            false => Alignment::Other,
            true if more => Alignment::More,
            true => Alignment::Same,
        }
    }

    /// True where the remaining time leads to the version's expiry, or neither has one, or it cannot be read.
    fn expires_right(&self, timed: bool, atom: &Atom<'_>, here: &Element) -> bool {
        let expiry = value_expiry(atom.cell).flatten().map(|expiry| i64::from(expiry.at));
        match (expiry, here.ttl) {
            _ if !timed => true,
            (None, None) => true,
            (Some(at), Some(ttl)) => {
                let from = i64::from(self.before) + i64::from(ttl) - i64::from(EXPIRY_TOLERANCE);
                let to = i64::from(self.after) + i64::from(ttl) + i64::from(EXPIRY_TOLERANCE);
                (from..=to).contains(&at)
            }
            _ => false,
        }
    }

    /// True where a cell is newer than what the undo writes: it would win, and is to win. A cell without a time that is
    /// another than what was written just now has won already.
    fn is_newer(&self, here: &Element) -> bool {
        here.ts.map_or(self.written, |ts| ts > self.stamp)
    }

    /// Draws the sum of a row.
    fn stand(&self, is_static: bool, life: Life, is_there: bool, difference: &mut Difference) {
        let differs = !difference.columns.is_empty() || !difference.lists.is_empty();
        let whole = !is_static && self.selected.takes_all_columns();
        difference.standing = match is_there {
            false if life.certain => Standing::Absent,
            true if differs => Standing::Changed,
            true if whole && !life.some => self.extra_row(difference),
            _ => Standing::Same,
        };
    }

    /// A row that is not in the version. One that holds newer cells only is the application's.
    fn extra_row(&self, difference: &mut Difference) -> Standing {
        let has_old = !difference.extras.is_empty();
        if difference.newer && !has_old {
            return Standing::Same;
        }
        if self.written && !has_old {
            // Only a marker is left, and one that a deletion at the instant would have taken is gone.
            difference.newer = true;
            return Standing::Same;
        }
        difference.extras = vec![Extra::Row];
        Standing::Extra
    }
}

/// Whether the version has anything alive in a row.
#[derive(Clone, Copy)]
struct Life {
    /// Something, even if it ends about now.
    some: bool,
    /// Something that lives on.
    certain: bool,
}

/// How a list stands to the version's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Alignment {
    Same,
    /// All of the version's elements, and others.
    More,
    Other,
}

fn path_order(cql_type: &CqlType, a: &Bytes, b: &Bytes) -> Ordering {
    if cql_type.is_multi_cell() { compare_paths(cql_type, a, b) } else { Ordering::Equal }
}

/// True where the value was found: byte by byte, or of a field what a server makes of it.
fn is_same(cql_type: &CqlType, path: &Bytes, value: &Bytes, here: &Element) -> bool {
    match cql_type {
        CqlType::Udt { fields, frozen: false, .. } => {
            let index = <[u8; 2]>::try_from(path.as_ref()).map(u16::from_be_bytes);
            let field = index.ok().and_then(|index| fields.get(usize::from(index)));
            field.is_some_and(|(_, field)| ordered::same_but_for_order(field, value, &here.value))
        }
        _ => *value == here.value,
    }
}

#[cfg(test)]
mod tests;
