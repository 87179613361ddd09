//! Whether atoms fit the table they are written to.

use tidemark_cassandra_format::model::{Clustering, ColumnData, ColumnIndex, Row};

use crate::segment::{cells::weight, layout::DataColumn};

/// Why an atom does not fit the table it is written to: the stream and the layout are of different tables.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum ShapeError {
    /// A row has another number of clustering values than the table, or a marker more.
    #[error("{found} clustering values, the table has {expected}")]
    Clustering {
        /// Values of the row or marker.
        found: usize,
        /// Clustering columns of the table.
        expected: usize,
    },
    /// A column index is out of range, out of order or given twice.
    #[error("column index {0} is out of range or out of order")]
    Index(ColumnIndex),
    /// A multi-cell column came as one cell or the other way round.
    #[error("column {0:?} is multi-cell on one side only")]
    Cells(String),
    /// The record is larger than a batch of 32-bit offsets can be.
    #[error("a record of {0} bytes is too large")]
    Size(usize),
}

/// Refuses a row before any of it is appended, so that the arrays stay of one length.
pub(super) fn check_row(row: &Row, clustering: usize, columns: &[DataColumn]) -> Result<(), ShapeError> {
    check_clustering(&row.clustering, row.clustering.len() == clustering, clustering)?;
    let mut next = 0;
    let mut bytes = 0_usize;
    for (index, data) in &row.columns {
        let column = columns.get(usize::from(*index)).filter(|_| *index >= next).ok_or(ShapeError::Index(*index))?;
        if column.is_complex() != matches!(data, ColumnData::Complex { .. }) {
            return Err(ShapeError::Cells(column.name.clone()));
        }
        next = index.saturating_add(1);
        bytes = bytes.saturating_add(weight(data));
    }
    check_size(bytes)
}

pub(super) fn check_clustering(values: &Clustering, fits: bool, expected: usize) -> Result<(), ShapeError> {
    if !fits {
        return Err(ShapeError::Clustering { found: values.len(), expected });
    }
    check_size(values.iter().flatten().map(bytes::Bytes::len).sum())
}

fn check_size(bytes: usize) -> Result<(), ShapeError> {
    const MOST: usize = 1 << 30;
    if bytes > MOST { Err(ShapeError::Size(bytes)) } else { Ok(()) }
}
