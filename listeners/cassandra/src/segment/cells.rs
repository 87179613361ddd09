//! Cells as Arrow arrays: value, raw value, write time, TTL, expiry and state of a column, simple or multi-cell.
//!
//! A companion that equals the row's own (its liveness) is null, so that columns written by one INSERT cost next to
//! nothing: readers take `coalesce(c__ts, __row_ts)`, likewise for TTL and server time.

use std::sync::Arc;

use arrow_array::{
    ArrayRef, StructArray,
    builder::{Int8Builder, Int64Builder, UInt32Builder},
};
use arrow_schema::{DataType, Field, Fields};
use tidemark_cassandra_format::model::{Cell, CellState, ColumnData, Deletion, Expiry, Liveness, PathCell};

use super::{
    layout::{DataColumn, Shape},
    nested::Lists,
    physical::Physical,
    values::TypedBuilder,
};

/// Values of `c__state`; 0 is an absent cell.
pub(super) mod state {
    pub(in super::super) const ABSENT: i8 = 0;
    pub(in super::super) const LIVE: i8 = 1;
    pub(in super::super) const EXPIRING: i8 = 2;
    pub(in super::super) const TOMBSTONE: i8 = 3;
    /// Added where the value is in `c__raw`.
    pub(in super::super) const RAW: i8 = 3;
}

/// The row's liveness, to which its cells' companions refer.
#[derive(Clone, Copy, Default)]
pub(super) struct RowTimes {
    pub(super) ts: Option<i64>,
    pub(super) ttl: Option<u32>,
    pub(super) ldt: Option<u32>,
}

impl RowTimes {
    pub(super) fn of(liveness: Option<Liveness>) -> Self {
        let expiry = liveness.and_then(|l| l.expiry);
        Self { ts: liveness.map(|l| l.ts), ttl: expiry.map(|e| e.ttl), ldt: expiry.map(written) }
    }
}

/// The server's time of a write with a TTL, s since 1970: of many writes at a time, where expiries are as many as TTLs. It
/// wraps, so that every expiry comes back.
fn written(expiry: Expiry) -> u32 {
    expiry.at.wrapping_sub(expiry.ttl)
}

/// The expiry that a TTL and `ldt` stand for in a format: the first one kept the expiry itself.
pub(super) fn expiry(ttl: u32, ldt: u32, format: u32) -> Expiry {
    Expiry { ttl, at: if format == 1 { ldt } else { ldt.wrapping_add(ttl) } }
}

/// `value` unless it is the row's own.
fn differing<T: PartialEq>(value: T, row: Option<T>) -> Option<T> {
    (row.as_ref() != Some(&value)).then_some(value)
}

/// Builds the arrays of one cell per row.
struct CellBuilder {
    value: TypedBuilder,
    ts: Int64Builder,
    ttl: UInt32Builder,
    ldt: UInt32Builder,
    state: Int8Builder,
}

struct CellArrays {
    value: ArrayRef,
    raw: ArrayRef,
    ts: ArrayRef,
    ttl: ArrayRef,
    ldt: ArrayRef,
    state: ArrayRef,
}

impl CellBuilder {
    fn new(physical: &Physical) -> Self {
        Self {
            value: TypedBuilder::new(physical),
            ts: Int64Builder::new(),
            ttl: UInt32Builder::new(),
            ldt: UInt32Builder::new(),
            state: Int8Builder::new(),
        }
    }

    fn append(&mut self, cell: &Cell, row: RowTimes) {
        let (state, ttl, ldt) = match cell.state {
            CellState::Live => (state::LIVE, None, None),
            CellState::Expiring(e) => (state::EXPIRING, differing(e.ttl, row.ttl), differing(written(e), row.ldt)),
            CellState::Tombstone { local_time } => (state::TOMBSTONE, None, differing(local_time, row.ldt)),
        };
        let raw = self.append_value(cell);
        self.ts.append_option(differing(cell.ts, row.ts));
        self.ttl.append_option(ttl);
        self.ldt.append_option(ldt);
        self.state.append_value(if raw { state + state::RAW } else { state });
    }

    /// Appends the value; true where it is raw. A tombstone has none, and one that has is raw.
    fn append_value(&mut self, cell: &Cell) -> bool {
        match cell.state {
            CellState::Tombstone { .. } if cell.value.is_empty() => {
                self.value.append_null();
                false
            }
            CellState::Tombstone { .. } => {
                self.value.append_raw(&cell.value);
                true
            }
            _ => !self.value.append(&cell.value),
        }
    }

    fn append_absent(&mut self) {
        self.value.append_null();
        self.ts.append_null();
        self.ttl.append_null();
        self.ldt.append_null();
        self.state.append_value(state::ABSENT);
    }

    fn finish(&mut self) -> CellArrays {
        let (value, raw) = self.value.finish();
        CellArrays {
            value,
            raw,
            ts: Arc::new(self.ts.finish()),
            ttl: Arc::new(self.ttl.finish()),
            ldt: Arc::new(self.ldt.finish()),
            state: Arc::new(self.state.finish()),
        }
    }
}

/// Builds write time and local time of deletions; both null for [`Deletion::LIVE`].
pub(super) struct DeletionBuilder {
    ts: Int64Builder,
    ldt: UInt32Builder,
}

impl DeletionBuilder {
    pub(super) fn new() -> Self {
        Self { ts: Int64Builder::new(), ldt: UInt32Builder::new() }
    }

    pub(super) fn append(&mut self, deletion: Deletion) {
        self.append_option((deletion != Deletion::LIVE).then_some(deletion));
    }

    pub(super) fn append_option(&mut self, deletion: Option<Deletion>) {
        self.ts.append_option(deletion.map(|d| d.marked_at));
        self.ldt.append_option(deletion.map(|d| d.local_time));
    }

    pub(super) fn finish(&mut self) -> [ArrayRef; 2] {
        [Arc::new(self.ts.finish()), Arc::new(self.ldt.finish())]
    }
}

/// Builds the arrays of a multi-cell column.
struct ComplexBuilder {
    element: Arc<Field>,
    cells: Fields,
    path: TypedBuilder,
    cell: CellBuilder,
    lists: Lists,
    deletion: DeletionBuilder,
}

impl ComplexBuilder {
    fn new(path: &Physical, value: &Physical, list: &DataType) -> Option<Self> {
        let DataType::List(element) = list else { return None };
        let DataType::Struct(cells) = element.data_type() else { return None };
        Some(Self {
            element: element.clone(),
            cells: cells.clone(),
            path: TypedBuilder::new(path),
            cell: CellBuilder::new(value),
            lists: Lists::new(),
            deletion: DeletionBuilder::new(),
        })
    }

    fn append(&mut self, deletion: Deletion, cells: &[PathCell], row: RowTimes) {
        for PathCell { path, cell } in cells {
            self.path.append(path);
            self.cell.append(cell, row);
            self.lists.element();
        }
        self.end_row(true, deletion);
    }

    fn end_row(&mut self, present: bool, deletion: Deletion) {
        self.lists.end(present);
        self.deletion.append(deletion);
    }

    fn finish(&mut self) -> [ArrayRef; 3] {
        let (path, path_raw) = self.path.finish();
        let CellArrays { value, raw, ts, ttl, ldt, state } = self.cell.finish();
        let columns = vec![path, path_raw, value, ts, ttl, ldt, state, raw];
        let cells = StructArray::new(self.cells.clone(), columns, None);
        let list = self.lists.finish(self.element.clone(), Arc::new(cells));
        let [del_ts, del_ldt] = self.deletion.finish();
        [list, del_ts, del_ldt]
    }
}

/// Builds the arrays of a static or regular column.
pub(super) struct ColumnBuilder {
    inner: Inner,
}

#[expect(clippy::large_enum_variant, reason = "a few per table, and the large one is the common one")]
enum Inner {
    Simple(CellBuilder),
    Complex(Box<ComplexBuilder>),
}

impl ColumnBuilder {
    /// A builder for the column whose value has this field.
    pub(super) fn new(column: &DataColumn, field: &Field) -> Self {
        let inner = match &column.shape {
            Shape::Simple(physical) => Inner::Simple(CellBuilder::new(physical)),
            Shape::Complex { path, value } => {
                let builder = ComplexBuilder::new(path, value, field.data_type());
                Inner::Complex(Box::new(builder.expect("the layout gives multi-cell columns a list of structs")))
            }
        };
        Self { inner }
    }

    /// Appends the column's data in a row; false where it has not the column's shape (then nothing was appended).
    #[must_use]
    pub(super) fn append(&mut self, data: &ColumnData, row: RowTimes) -> bool {
        match (&mut self.inner, data) {
            (Inner::Simple(builder), ColumnData::Simple(cell)) => builder.append(cell, row),
            (Inner::Complex(builder), ColumnData::Complex { deletion, cells }) => builder.append(*deletion, cells, row),
            _ => return false,
        }
        true
    }

    /// Appends a row without the column.
    pub(super) fn append_absent(&mut self) {
        match &mut self.inner {
            Inner::Simple(builder) => builder.append_absent(),
            Inner::Complex(builder) => builder.end_row(false, Deletion::LIVE),
        }
    }

    /// Appends the arrays, in the layout's order.
    pub(super) fn finish(&mut self, arrays: &mut Vec<ArrayRef>) {
        match &mut self.inner {
            Inner::Simple(builder) => {
                let CellArrays { value, raw, ts, ttl, ldt, state } = builder.finish();
                arrays.extend([value, ts, ttl, ldt, state, raw]);
            }
            Inner::Complex(builder) => arrays.extend(builder.finish()),
        }
    }
}

/// Heap bytes that a column's data takes in the arrays, estimated from above its values.
pub(super) fn weight(data: &ColumnData) -> usize {
    const CELL: usize = 32;
    match data {
        ColumnData::Simple(cell) => CELL + cell.value.len(),
        ColumnData::Complex { cells, .. } => cells.iter().map(|c| CELL + c.path.len() + c.cell.value.len()).sum(),
    }
}
