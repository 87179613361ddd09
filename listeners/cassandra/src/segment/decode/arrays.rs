//! The arrays of a batch in the layout's order, and those of rows and markers.

use std::vec;

use arrow_array::{
    Array, ArrayRef, BooleanArray, Int8Array, Int32Array, Int64Array, ListArray, StructArray, UInt32Array,
};
use tidemark_cassandra_format::model::{Deletion, Liveness};

use super::{
    Bad, at,
    columns::{CellArrays, ColumnArrays, PathArrays},
};
use crate::segment::{
    cells::{RowTimes, expiry},
    layout::{DataColumn, KeyColumn, Layout, Shape},
    nested::Values,
    physical::Physical,
};

/// Takes arrays in the layout's order.
pub(super) struct Arrays<'a> {
    layout: &'a Layout,
    next: usize,
    arrays: vec::IntoIter<Option<ArrayRef>>,
}

impl<'a> Arrays<'a> {
    pub(super) fn new(layout: &'a Layout, arrays: Vec<Option<ArrayRef>>) -> Self {
        Self { layout, next: 0, arrays: arrays.into_iter() }
    }

    fn array(&mut self) -> Result<ArrayRef, Bad> {
        self.next += 1;
        self.arrays.next().flatten().ok_or_else(|| self.bad("the column is missing"))
    }

    fn bad(&self, reason: &'static str) -> Bad {
        let field = self.layout.schema().fields().get(self.next.saturating_sub(1));
        Bad::new(field.map_or("", |field| field.name()), reason)
    }

    pub(super) fn take<T: Array + Clone + 'static>(&mut self) -> Result<T, Bad> {
        let array = self.array()?;
        array.as_any().downcast_ref::<T>().cloned().ok_or_else(|| self.bad("the column has another type"))
    }

    pub(super) fn values(&mut self, physical: &Physical) -> Result<Values, Bad> {
        let array = self.array()?;
        Values::of(&array, physical).ok_or_else(|| self.bad("the column has another type"))
    }

    pub(super) fn pair(&mut self, column: &KeyColumn) -> Result<(Values, Values), Bad> {
        Ok((self.values(&column.physical)?, self.values(&Physical::Binary)?))
    }

    fn deletion(&mut self) -> Result<DeletionArrays, Bad> {
        Ok(DeletionArrays { ts: self.take()?, ldt: self.take()? })
    }

    /// The column's arrays, `None` where the file has not the column at all.
    pub(super) fn column(&mut self, column: &DataColumn) -> Result<Option<ColumnArrays>, Bad> {
        if self.arrays.as_slice().first().is_none_or(Option::is_none) {
            let arrays = column.companions() + 1;
            self.next += arrays;
            self.arrays.nth(arrays - 1);
            return Ok(None);
        }
        match &column.shape {
            Shape::Simple(physical) => self.simple(physical),
            Shape::Complex { path, value } => self.complex(path, value),
        }
        .map(Some)
    }

    fn simple(&mut self, physical: &Physical) -> Result<ColumnArrays, Bad> {
        let value = self.values(physical)?;
        let (ts, ttl, ldt, state) = (self.take()?, self.take()?, self.take()?, self.take()?);
        let (raw, format) = (self.values(&Physical::Binary)?, self.layout.format());
        Ok(ColumnArrays::Simple(CellArrays { value, ts, ttl, ldt, state, raw, format }))
    }

    fn complex(&mut self, path: &Physical, value: &Physical) -> Result<ColumnArrays, Bad> {
        let list: ListArray = self.take()?;
        let cells = list.values().as_any().downcast_ref::<StructArray>();
        let cells = cells.and_then(|cells| PathArrays::of(cells, path, value, self.layout.format()));
        let cells = cells.ok_or_else(|| self.bad("the column's cells have another type"))?;
        Ok(ColumnArrays::Complex { list, cells: Box::new(cells), deletion: self.deletion()? })
    }
}

pub(super) struct DeletionArrays {
    ts: Int64Array,
    ldt: UInt32Array,
}

impl DeletionArrays {
    pub(super) fn get(&self, i: usize) -> Result<Option<Deletion>, Bad> {
        match (at(&self.ts, i), at(&self.ldt, i)) {
            (None, None) => Ok(None),
            (Some(marked_at), Some(local_time)) => Ok(Some(Deletion { marked_at, local_time })),
            _ => Err(Bad::new("__row_del_ts", "a deletion has only one of its two times")),
        }
    }
}

pub(super) struct RowArrays {
    format: u32,
    ts: Int64Array,
    ttl: UInt32Array,
    ldt: UInt32Array,
    pub(super) deletion: DeletionArrays,
    pub(super) shadowable: BooleanArray,
}

impl RowArrays {
    pub(super) fn of(arrays: &mut Arrays<'_>) -> Result<Self, Bad> {
        Ok(Self {
            format: arrays.layout.format(),
            ts: arrays.take()?,
            ttl: arrays.take()?,
            ldt: arrays.take()?,
            deletion: arrays.deletion()?,
            shadowable: arrays.take()?,
        })
    }

    pub(super) fn times(&self, i: usize) -> RowTimes {
        RowTimes { ts: at(&self.ts, i), ttl: at(&self.ttl, i), ldt: at(&self.ldt, i) }
    }

    pub(super) fn liveness(&self, times: RowTimes) -> Result<Option<Liveness>, Bad> {
        match (times.ts, times.ttl, times.ldt) {
            (None, None, None) => Ok(None),
            (Some(ts), None, None) => Ok(Some(Liveness { ts, expiry: None })),
            (Some(ts), Some(ttl), Some(ldt)) => Ok(Some(Liveness { ts, expiry: Some(expiry(ttl, ldt, self.format)) })),
            _ => Err(Bad::new("__row_ts", "a liveness has only some of its times")),
        }
    }
}

pub(super) struct MarkerArrays {
    pub(super) kind: Int8Array,
    pub(super) prefix: Int32Array,
    pub(super) close: DeletionArrays,
    pub(super) open: DeletionArrays,
}

impl MarkerArrays {
    pub(super) fn of(arrays: &mut Arrays<'_>) -> Result<Self, Bad> {
        let (kind, prefix) = (arrays.take()?, arrays.take()?);
        Ok(Self { kind, prefix, close: arrays.deletion()?, open: arrays.deletion()? })
    }
}
