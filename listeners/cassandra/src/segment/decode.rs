//! Records out of a record batch: the mirror of `batch` and `cells`, for files that may be anything.

mod arrays;
mod columns;

use std::sync::Arc;

use arrow_array::{Array, ArrayRef, ArrowPrimitiveType, Int8Array, Int64Array, PrimitiveArray};
use bytes::Bytes;
use tidemark_cassandra_format::model::{
    BoundKind, Clustering, ColumnData, ColumnIndex, Deletion, Marker, Row, RowDeletion,
};

use self::{
    arrays::{Arrays, MarkerArrays, RowArrays},
    columns::ColumnArrays,
};
use super::{
    Kind,
    cells::RowTimes,
    key::{SegmentKey, join},
    layout::{DataColumn, KeyColumn, Layout},
    nested::Values,
    physical::Physical,
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
    key: Vec<Values>,
    key_raw: Values,
    clustering: Vec<(Values, Values)>,
    row: RowArrays,
    marker: MarkerArrays,
    statics: Vec<Option<ColumnArrays>>,
    regulars: Vec<Option<ColumnArrays>>,
}

impl Records {
    /// The records of a batch whose arrays stand in the layout's order; `None` where the file has not the column.
    pub(super) fn of(layout: &Arc<Layout>, count: usize, arrays: Vec<Option<ArrayRef>>) -> Result<Self, Bad> {
        let mut arrays = Arrays::new(layout, arrays);
        Ok(Self {
            layout: layout.clone(),
            count,
            token: arrays.take()?,
            kind: arrays.take()?,
            key: layout.partition_key.iter().map(|c| arrays.values(&c.physical)).collect::<Result<_, _>>()?,
            key_raw: arrays.values(&Physical::Binary)?,
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
        let part = |(values, column): (&Values, &KeyColumn)| {
            values.get(i).ok_or_else(|| Bad::new(&column.name, "a key column is null without a raw key"))
        };
        let parts = self.key.iter().zip(&self.layout.partition_key).map(part).collect::<Result<Vec<_>, _>>()?;
        join(&parts).ok_or_else(|| Bad::new(&self.layout.partition_key[0].name, "the key is too long"))
    }

    pub(super) fn head(&self, i: usize) -> Result<Deletion, Bad> {
        Ok(self.row.deletion.get(i)?.unwrap_or(Deletion::LIVE))
    }

    pub(super) fn static_row(&self, i: usize) -> Result<Row, Bad> {
        self.row_of(i, Vec::new(), &self.statics, &self.layout.statics)
    }

    pub(super) fn row(&self, i: usize) -> Result<Row, Bad> {
        self.row_of(i, self.clustering(i, self.clustering.len()), &self.regulars, &self.layout.regulars)
    }

    fn row_of(
        &self,
        i: usize,
        clustering: Clustering,
        arrays: &[Option<ColumnArrays>],
        layout: &[DataColumn],
    ) -> Result<Row, Bad> {
        let times = self.row.times(i);
        let columns = columns(arrays, layout, i, times)?;
        let deletion = RowDeletion {
            time: self.row.deletion.get(i)?.unwrap_or(Deletion::LIVE),
            shadowable: self.row.shadowable.is_valid(i) && self.row.shadowable.value(i),
        };
        Ok(Row { clustering, liveness: self.row.liveness(times)?, deletion, columns })
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
