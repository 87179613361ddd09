//! The cells of a column: the mirror of `cells`.

use arrow_array::{Array, Int8Array, Int64Array, ListArray, StructArray, UInt32Array};
use bytes::Bytes;
use tidemark_cassandra_format::model::{Cell, CellState, ColumnData, Deletion, PathCell};

use super::{arrays::DeletionArrays, at};
use crate::segment::{
    cells::{RowTimes, expiry, state},
    nested::Values,
    physical::Physical,
    values::place,
};

#[expect(clippy::large_enum_variant, reason = "a few per table, and the large one is the common one")]
pub(super) enum ColumnArrays {
    Simple(CellArrays),
    Complex { list: ListArray, cells: Box<PathArrays>, deletion: DeletionArrays },
}

impl ColumnArrays {
    pub(super) fn get(&self, i: usize, row: RowTimes) -> Result<Option<ColumnData>, &'static str> {
        match self {
            Self::Simple(cells) => Ok(cells.get(i, row)?.map(ColumnData::Simple)),
            Self::Complex { list, .. } if list.is_null(i) => Ok(None),
            Self::Complex { list, cells, deletion } => {
                let deletion = deletion.get(i).map_err(|bad| bad.reason)?.unwrap_or(Deletion::LIVE);
                let ends = list.value_offsets();
                let cells = (place(ends[i])..place(ends[i + 1])).map(|i| cells.get(i, row));
                Ok(Some(ColumnData::Complex { deletion, cells: cells.collect::<Result<_, _>>()? }))
            }
        }
    }
}

pub(super) struct CellArrays {
    pub(super) value: Values,
    pub(super) ts: Int64Array,
    pub(super) ttl: UInt32Array,
    pub(super) ldt: UInt32Array,
    pub(super) state: Int8Array,
    pub(super) raw: Values,
    pub(super) format: u32,
}

impl CellArrays {
    fn get(&self, i: usize, row: RowTimes) -> Result<Option<Cell>, &'static str> {
        let (kind, raw) = match at(&self.state, i) {
            Some(state::ABSENT) => return Ok(None),
            Some(kind @ state::LIVE..=state::TOMBSTONE) => (kind, false),
            Some(kind @ 4..=6) => (kind - state::RAW, true),
            _ => return Err("the state of a cell is unknown"),
        };
        let ts = at(&self.ts, i).or(row.ts).ok_or("a cell has no write time")?;
        let value = match (raw, kind) {
            (true, _) => self.raw.get(i).ok_or("a raw value is null")?,
            (false, state::TOMBSTONE) => Bytes::new(),
            (false, _) => self.value.get(i).ok_or("a typed value is null")?,
        };
        Ok(Some(Cell { ts, state: self.state(i, kind, row)?, value }))
    }

    fn state(&self, i: usize, kind: i8, row: RowTimes) -> Result<CellState, &'static str> {
        let local_time = || at(&self.ldt, i).or(row.ldt).ok_or("a cell has no server time");
        Ok(match kind {
            state::LIVE => CellState::Live,
            state::EXPIRING => {
                let ttl = at(&self.ttl, i).or(row.ttl).ok_or("an expiring cell has no TTL")?;
                CellState::Expiring(expiry(ttl, local_time()?, self.format))
            }
            _ => CellState::Tombstone { local_time: local_time()? },
        })
    }
}

pub(super) struct PathArrays {
    path: Values,
    path_raw: Values,
    cells: CellArrays,
}

impl PathArrays {
    /// The cells, `None` where a field is missing or has another type.
    pub(super) fn of(array: &StructArray, path: &Physical, value: &Physical, format: u32) -> Option<Self> {
        let [path_array, path_raw, value_array, ts, ttl, ldt, state, raw] = array.columns() else { return None };
        let cells = CellArrays {
            value: Values::of(value_array, value)?,
            ts: ts.as_any().downcast_ref::<Int64Array>()?.clone(),
            ttl: ttl.as_any().downcast_ref::<UInt32Array>()?.clone(),
            ldt: ldt.as_any().downcast_ref::<UInt32Array>()?.clone(),
            state: state.as_any().downcast_ref::<Int8Array>()?.clone(),
            raw: Values::of(raw, &Physical::Binary)?,
            format,
        };
        Some(Self { path: Values::of(path_array, path)?, path_raw: Values::of(path_raw, &Physical::Binary)?, cells })
    }

    fn get(&self, i: usize, row: RowTimes) -> Result<PathCell, &'static str> {
        let path = self.path_raw.get(i).or_else(|| self.path.get(i)).ok_or("a cell has no path")?;
        let cell = self.cells.get(i, row)?.ok_or("a cell of a multi-cell column is absent")?;
        Ok(PathCell { path, cell })
    }
}
