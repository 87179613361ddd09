//! Records out of a record batch: the mirror of `batch` and `cells`, for files that may be anything.

use std::{sync::Arc, vec};

use arrow_array::{
    Array, ArrayRef, ArrowPrimitiveType, BooleanArray, Int8Array, Int32Array, Int64Array, ListArray, PrimitiveArray,
    StructArray, UInt32Array,
};
use bytes::Bytes;
use tidemark_cassandra_format::model::{
    BoundKind, Cell, CellState, Clustering, ColumnData, ColumnIndex, Deletion, Expiry, Liveness, Marker, PathCell, Row,
    RowDeletion,
};

use super::{
    Kind,
    cells::{RowTimes, state},
    key::{SegmentKey, join},
    layout::{DataColumn, KeyColumn, Layout, Shape},
    physical::Physical,
    values::{Flat, place},
};

/// What is wrong with a record or a column, and where.
#[derive(Debug)]
pub(super) struct Bad {
    pub(super) column: String,
    pub(super) reason: &'static str,
}

impl Bad {
    fn new(column: &str, reason: &'static str) -> Self {
        Self { column: column.to_owned(), reason }
    }
}

/// The value at a row, `None` where it is null.
fn at<T: ArrowPrimitiveType>(array: &PrimitiveArray<T>, row: usize) -> Option<T::Native> {
    array.is_valid(row).then(|| array.value(row))
}

/// A decoded batch.
pub(super) struct Records {
    layout: Arc<Layout>,
    count: usize,
    token: Int64Array,
    kind: Int8Array,
    key: Vec<Flat>,
    key_raw: Flat,
    clustering: Vec<(Flat, Flat)>,
    row: RowArrays,
    marker: MarkerArrays,
    statics: Vec<Option<ColumnArrays>>,
    regulars: Vec<Option<ColumnArrays>>,
}

impl Records {
    /// The records of a batch whose arrays stand in the layout's order; `None` where the file has not the column.
    pub(super) fn of(layout: &Arc<Layout>, count: usize, arrays: Vec<Option<ArrayRef>>) -> Result<Self, Bad> {
        let mut arrays = Arrays { layout, next: 0, arrays: arrays.into_iter() };
        Ok(Self {
            layout: layout.clone(),
            count,
            token: arrays.take()?,
            kind: arrays.take()?,
            key: layout.partition_key.iter().map(|c| arrays.flat(c.physical)).collect::<Result<_, _>>()?,
            key_raw: arrays.flat(Physical::Binary)?,
            clustering: layout.clustering.iter().map(|c| arrays.pair(c)).collect::<Result<_, _>>()?,
            row: RowArrays::of(&mut arrays)?,
            marker: MarkerArrays::of(&mut arrays)?,
            statics: layout.statics.iter().map(|c| arrays.column(c)).collect::<Result<_, _>>()?,
            regulars: layout.regulars.iter().map(|c| arrays.column(c)).collect::<Result<_, _>>()?,
        })
    }

    pub(super) fn count(&self) -> usize {
        self.count
    }

    pub(super) fn kind(&self, i: usize) -> Result<Kind, Bad> {
        let kind = at(&self.kind, i).and_then(Kind::of);
        kind.ok_or_else(|| Bad::new("__kind", "the kind is unknown"))
    }

    pub(super) fn key(&self, i: usize) -> Result<SegmentKey, Bad> {
        let token = at(&self.token, i).ok_or_else(|| Bad::new("__token", "the token is null"))?;
        let key = match self.key_raw.get(i) {
            Some(raw) => raw,
            None => self.joined_key(i)?,
        };
        Ok(SegmentKey { token, key })
    }

    fn joined_key(&self, i: usize) -> Result<Bytes, Bad> {
        let part = |(flat, column): (&Flat, &KeyColumn)| {
            flat.get(i).ok_or_else(|| Bad::new(&column.name, "a key column is null without a raw key"))
        };
        let parts = self.key.iter().zip(&self.layout.partition_key).map(part).collect::<Result<Vec<_>, _>>()?;
        join(&parts).ok_or_else(|| Bad::new(&self.layout.partition_key[0].name, "the key is too long"))
    }

    pub(super) fn head(&self, i: usize) -> Result<Deletion, Bad> {
        Ok(self.row.deletion.get(i)?.unwrap_or(Deletion::LIVE))
    }

    pub(super) fn static_row(&self, i: usize) -> Result<Row, Bad> {
        let columns = columns(&self.statics, &self.layout.statics, i, self.row.times(i))?;
        self.with_columns(i, Vec::new(), columns)
    }

    pub(super) fn row(&self, i: usize) -> Result<Row, Bad> {
        let columns = columns(&self.regulars, &self.layout.regulars, i, self.row.times(i))?;
        self.with_columns(i, self.clustering(i, self.clustering.len()), columns)
    }

    fn with_columns(
        &self,
        i: usize,
        clustering: Clustering,
        columns: Vec<(ColumnIndex, ColumnData)>,
    ) -> Result<Row, Bad> {
        let deletion = RowDeletion {
            time: self.row.deletion.get(i)?.unwrap_or(Deletion::LIVE),
            shadowable: self.row.shadowable.is_valid(i) && self.row.shadowable.value(i),
        };
        Ok(Row { clustering, liveness: self.row.liveness(i)?, deletion, columns })
    }

    pub(super) fn marker(&self, i: usize) -> Result<Marker, Bad> {
        let kind = at(&self.marker.kind, i).and_then(bound_kind);
        let kind = kind.ok_or_else(|| Bad::new("__marker_kind", "the kind of bound is unknown"))?;
        let length = at(&self.marker.prefix, i).and_then(|n| usize::try_from(n).ok());
        let length = length.filter(|n| *n <= self.clustering.len());
        let length = length.ok_or_else(|| Bad::new("__marker_prefix", "the prefix is longer than the clustering"))?;
        let prefix = self.clustering(i, length);
        Ok(Marker { kind, prefix, close: self.marker.close.get(i)?, open: self.marker.open.get(i)? })
    }

    fn clustering(&self, i: usize, length: usize) -> Clustering {
        self.clustering[..length].iter().map(|(typed, raw)| raw.get(i).or_else(|| typed.get(i))).collect()
    }
}

fn bound_kind(ordinal: i8) -> Option<BoundKind> {
    use BoundKind::{ExclEnd, ExclEndInclStart, ExclStart, InclEnd, InclEndExclStart, InclStart};
    let kinds = [ExclEnd, InclStart, ExclEndInclStart, InclEndExclStart, InclEnd, ExclStart];
    kinds.into_iter().find(|kind| (*kind as u8).cast_signed() == ordinal)
}

/// Columns present in a row.
fn columns(
    arrays: &[Option<ColumnArrays>],
    layout: &[DataColumn],
    i: usize,
    row: RowTimes,
) -> Result<Vec<(ColumnIndex, ColumnData)>, Bad> {
    let mut columns = Vec::new();
    for (index, (arrays, column)) in (0..).zip(arrays.iter().zip(layout)) {
        let Some(arrays) = arrays else { continue };
        if let Some(data) = arrays.get(i, row).map_err(|reason| Bad::new(&column.name, reason))? {
            columns.push((index, data));
        }
    }
    Ok(columns)
}

/// Takes arrays in the layout's order.
struct Arrays<'a> {
    layout: &'a Layout,
    next: usize,
    arrays: vec::IntoIter<Option<ArrayRef>>,
}

impl Arrays<'_> {
    fn array(&mut self) -> Result<ArrayRef, Bad> {
        self.next += 1;
        self.arrays.next().flatten().ok_or_else(|| self.bad("the column is missing"))
    }

    fn bad(&self, reason: &'static str) -> Bad {
        let field = self.layout.schema().fields().get(self.next.saturating_sub(1));
        Bad::new(field.map_or("", |field| field.name()), reason)
    }

    fn take<T: Array + Clone + 'static>(&mut self) -> Result<T, Bad> {
        let array = self.array()?;
        array.as_any().downcast_ref::<T>().cloned().ok_or_else(|| self.bad("the column has another type"))
    }

    fn flat(&mut self, physical: Physical) -> Result<Flat, Bad> {
        let array = self.array()?;
        Flat::of(&array, physical).ok_or_else(|| self.bad("the column has another type"))
    }

    fn pair(&mut self, column: &KeyColumn) -> Result<(Flat, Flat), Bad> {
        Ok((self.flat(column.physical)?, self.flat(Physical::Binary)?))
    }

    fn deletion(&mut self) -> Result<DeletionArrays, Bad> {
        Ok(DeletionArrays { ts: self.take()?, ldt: self.take()? })
    }

    /// The column's arrays, `None` where the file has not the column at all.
    fn column(&mut self, column: &DataColumn) -> Result<Option<ColumnArrays>, Bad> {
        if self.arrays.as_slice().first().is_none_or(Option::is_none) {
            let arrays = column.companions() + 1;
            self.next += arrays;
            self.arrays.nth(arrays - 1);
            return Ok(None);
        }
        match column.shape {
            Shape::Simple(physical) => self.simple(physical),
            Shape::Complex { path, value } => self.complex(path, value),
        }
        .map(Some)
    }

    fn simple(&mut self, physical: Physical) -> Result<ColumnArrays, Bad> {
        let value = self.flat(physical)?;
        let (ts, ttl, ldt, state) = (self.take()?, self.take()?, self.take()?, self.take()?);
        Ok(ColumnArrays::Simple(CellArrays { value, ts, ttl, ldt, state, raw: self.flat(Physical::Binary)? }))
    }

    fn complex(&mut self, path: Physical, value: Physical) -> Result<ColumnArrays, Bad> {
        let list: ListArray = self.take()?;
        let cells = list.values().as_any().downcast_ref::<StructArray>();
        let cells = cells.and_then(|cells| PathArrays::of(cells, path, value));
        let cells = cells.ok_or_else(|| self.bad("the column's cells have another type"))?;
        Ok(ColumnArrays::Complex { list, cells: Box::new(cells), deletion: self.deletion()? })
    }
}

struct DeletionArrays {
    ts: Int64Array,
    ldt: UInt32Array,
}

impl DeletionArrays {
    fn get(&self, i: usize) -> Result<Option<Deletion>, Bad> {
        match (at(&self.ts, i), at(&self.ldt, i)) {
            (None, None) => Ok(None),
            (Some(marked_at), Some(local_time)) => Ok(Some(Deletion { marked_at, local_time })),
            _ => Err(Bad::new("__row_del_ts", "a deletion has only one of its two times")),
        }
    }
}

struct RowArrays {
    ts: Int64Array,
    ttl: UInt32Array,
    ldt: UInt32Array,
    deletion: DeletionArrays,
    shadowable: BooleanArray,
}

impl RowArrays {
    fn of(arrays: &mut Arrays<'_>) -> Result<Self, Bad> {
        Ok(Self {
            ts: arrays.take()?,
            ttl: arrays.take()?,
            ldt: arrays.take()?,
            deletion: arrays.deletion()?,
            shadowable: arrays.take()?,
        })
    }

    fn times(&self, i: usize) -> RowTimes {
        RowTimes { ts: at(&self.ts, i), ttl: at(&self.ttl, i), ldt: at(&self.ldt, i) }
    }

    fn liveness(&self, i: usize) -> Result<Option<Liveness>, Bad> {
        match (at(&self.ts, i), at(&self.ttl, i), at(&self.ldt, i)) {
            (None, None, None) => Ok(None),
            (Some(ts), None, None) => Ok(Some(Liveness { ts, expiry: None })),
            (Some(ts), Some(ttl), Some(at)) => Ok(Some(Liveness { ts, expiry: Some(Expiry { ttl, at }) })),
            _ => Err(Bad::new("__row_ts", "a liveness has only some of its times")),
        }
    }
}

struct MarkerArrays {
    kind: Int8Array,
    prefix: Int32Array,
    close: DeletionArrays,
    open: DeletionArrays,
}

impl MarkerArrays {
    fn of(arrays: &mut Arrays<'_>) -> Result<Self, Bad> {
        let (kind, prefix) = (arrays.take()?, arrays.take()?);
        Ok(Self { kind, prefix, close: arrays.deletion()?, open: arrays.deletion()? })
    }
}

#[expect(clippy::large_enum_variant, reason = "a few per table, and the large one is the common one")]
enum ColumnArrays {
    Simple(CellArrays),
    Complex { list: ListArray, cells: Box<PathArrays>, deletion: DeletionArrays },
}

impl ColumnArrays {
    fn get(&self, i: usize, row: RowTimes) -> Result<Option<ColumnData>, &'static str> {
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

struct CellArrays {
    value: Flat,
    ts: Int64Array,
    ttl: UInt32Array,
    ldt: UInt32Array,
    state: Int8Array,
    raw: Flat,
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
        let local_time = || at(&self.ldt, i).or(row.ldt).ok_or("a cell has no expiry or local time");
        Ok(match kind {
            state::LIVE => CellState::Live,
            state::EXPIRING => {
                let ttl = at(&self.ttl, i).or(row.ttl).ok_or("an expiring cell has no TTL")?;
                CellState::Expiring(Expiry { ttl, at: local_time()? })
            }
            _ => CellState::Tombstone { local_time: local_time()? },
        })
    }
}

struct PathArrays {
    path: Flat,
    path_raw: Flat,
    cells: CellArrays,
}

impl PathArrays {
    /// The cells, `None` where a field is missing or has another type.
    fn of(array: &StructArray, path: Physical, value: Physical) -> Option<Self> {
        let [path_array, path_raw, value_array, ts, ttl, ldt, state, raw] = array.columns() else { return None };
        let cells = CellArrays {
            value: Flat::of(value_array, value)?,
            ts: ts.as_any().downcast_ref::<Int64Array>()?.clone(),
            ttl: ttl.as_any().downcast_ref::<UInt32Array>()?.clone(),
            ldt: ldt.as_any().downcast_ref::<UInt32Array>()?.clone(),
            state: state.as_any().downcast_ref::<Int8Array>()?.clone(),
            raw: Flat::of(raw, Physical::Binary)?,
        };
        Some(Self { path: Flat::of(path_array, path)?, path_raw: Flat::of(path_raw, Physical::Binary)?, cells })
    }

    fn get(&self, i: usize, row: RowTimes) -> Result<PathCell, &'static str> {
        let path = self.path_raw.get(i).or_else(|| self.path.get(i)).ok_or("a cell has no path")?;
        let cell = self.cells.get(i, row)?.ok_or("a cell of a multi-cell column is absent")?;
        Ok(PathCell { path, cell })
    }
}
