//! Checks of what sources deliver: the merge relies on order and shape, and says so instead of losing data.

use std::cmp::Ordering;

use tidemark_cassandra_format::{
    model::{BoundKind, Cell, CellState, ColumnData, ColumnIndex, Marker, Partition, PathCell, Row, Unfiltered},
    order::compare_paths,
    schema::{Column, TableSchema},
    types::CqlType,
};

use super::markers;
use crate::counter::{self, Refused};

type Checked = Result<(), &'static str>;

/// Checks the counters of a row whose columns are indexes into `columns`; the error names the column.
pub(crate) fn check_counters(columns: &[Column], row: &Row) -> Result<(), (String, Refused)> {
    for (index, data) in &row.columns {
        let column = columns.get(usize::from(*index)).filter(|column| column.cql_type == CqlType::Counter);
        if let (Some(column), ColumnData::Simple(cell)) = (column, data) {
            check_counter(cell).map_err(|refused| (column.name.clone(), refused))?;
        }
    }
    Ok(())
}

fn check_counter(cell: &Cell) -> Result<(), Refused> {
    match cell.state {
        CellState::Live => counter::check(&cell.value),
        CellState::Expiring(_) => Err(Refused::Malformed("a counter cannot expire")),
        CellState::Tombstone { .. } => Ok(()),
    }
}

/// True iff `next` may follow `previous` within a source.
///
/// Positions ascend strictly, but one range tombstone may start where another ends without a boundary marker.
pub(crate) fn ascends(schema: &TableSchema, previous: &Unfiltered, next: &Unfiltered) -> bool {
    match schema.compare_positions(previous.position(), next.position()) {
        Ordering::Less => true,
        Ordering::Equal => matches!((previous, next), (Unfiltered::Marker(end), Unfiltered::Marker(start))
            if is_pure_end(end) && is_pure_start(start)),
        Ordering::Greater => false,
    }
}

fn is_pure_end(marker: &Marker) -> bool {
    matches!(marker.kind, BoundKind::ExclEnd | BoundKind::InclEnd)
}

fn is_pure_start(marker: &Marker) -> bool {
    matches!(marker.kind, BoundKind::InclStart | BoundKind::ExclStart)
}

/// Checks a partition's static row.
pub(crate) fn check_static(schema: &TableSchema, head: &Partition) -> Checked {
    head.static_row.as_ref().map_or(Ok(()), |row| check_row(&schema.statics, 0, row))
}

/// Checks a row or marker.
pub(crate) fn check(schema: &TableSchema, unfiltered: &Unfiltered) -> Checked {
    match unfiltered {
        Unfiltered::Row(row) => check_row(&schema.regulars, schema.clustering.len(), row),
        Unfiltered::Marker(marker) => check_marker(schema, marker),
    }
}

fn check_marker(schema: &TableSchema, marker: &Marker) -> Checked {
    if marker.prefix.len() > schema.clustering.len() {
        return Err("a marker with more values than clustering columns");
    }
    if markers::is_whole(marker) { Ok(()) } else { Err("a marker without the deletions of its kind") }
}

fn check_row(columns: &[Column], clustering: usize, row: &Row) -> Checked {
    if row.clustering.len() != clustering {
        return Err("a row with a wrong number of clustering values");
    }
    let mut previous = None;
    for (index, data) in &row.columns {
        if previous >= Some(*index) {
            return Err("a row with columns out of order");
        }
        previous = Some(*index);
        check_column(columns, *index, data)?;
    }
    Ok(())
}

fn check_column(columns: &[Column], index: ColumnIndex, data: &ColumnData) -> Checked {
    let column = columns.get(usize::from(index)).ok_or("a column beyond the table's columns")?;
    match data {
        ColumnData::Simple(_) if !column.cql_type.is_multi_cell() => Ok(()),
        ColumnData::Complex { cells, .. } if column.cql_type.is_multi_cell() => check_paths(&column.cql_type, cells),
        _ => Err("a column of one cell where the table has many, or the other way round"),
    }
}

fn check_paths(cql_type: &CqlType, cells: &[PathCell]) -> Checked {
    let ascending = cells.is_sorted_by(|left, right| compare_paths(cql_type, &left.path, &right.path).is_lt());
    if ascending { Ok(()) } else { Err("a multi-cell column with paths out of order") }
}
