//! The join of two versions of a row, and the removal of what deletions shadow.
//!
//! Versions are first joined as they are and then settled once: the winner of a place has the greatest write time of all
//! its versions, so if a deletion removes the winner it removes every version, and the order of the two steps is free.
//! Counters are the exception: a tombstone wins whatever its write time, and merged shards have the greatest of theirs. So
//! versions of counter rows are cleared of what is deleted before they are joined ([`clear`]), as Cassandra does.

use tidemark_cassandra_format::{
    model::{Cell, CellState, ColumnData, ColumnIndex, Deletion, PathCell, Row, RowDeletion},
    order::compare_paths,
    schema::Column,
    types::CqlType,
};

use super::atoms::{cell_wins, join_liveness, join_row_deletions, normal};
use crate::counter::{self, Refused};

type Columns = Vec<(ColumnIndex, ColumnData)>;

/// Joins `right` into `left`; both are versions of one row, whose columns are indexes into `columns`.
///
/// # Errors
/// Where counters do not merge, with the column's name.
pub(crate) fn join(columns: &[Column], left: &mut Row, right: Row) -> Result<(), (String, Refused)> {
    // Equal clusterings may differ in bytes (decimals); one choice for every order of sources.
    if right.clustering > left.clustering {
        left.clustering = right.clustering;
    }
    left.liveness = join_liveness(left.liveness, right.liveness);
    left.deletion = join_row_deletions(left.deletion, right.deletion);
    let same = |left: &Columns, right: &Columns| {
        left.len() == right.len() && left.iter().zip(right).all(|((left, _), (right, _))| left == right)
    };
    if same(&left.columns, &right.columns) {
        for ((index, left), (_, right)) in left.columns.iter_mut().zip(right.columns) {
            join_data(&columns[usize::from(*index)], left, right)?;
        }
    } else {
        left.columns = join_columns(columns, std::mem::take(&mut left.columns), right.columns)?;
    }
    Ok(())
}

fn join_columns(columns: &[Column], left: Columns, right: Columns) -> Result<Columns, (String, Refused)> {
    let mut joined = Columns::with_capacity(left.len() + right.len());
    let mut left = left.into_iter().peekable();
    let mut right = right.into_iter().peekable();
    while let (Some((a, _)), Some((b, _))) = (left.peek(), right.peek()) {
        let (take_left, take_right) = (a <= b, b <= a);
        let from_left = if take_left { left.next() } else { None };
        let from_right = if take_right { right.next() } else { None };
        joined.extend(match (from_left, from_right) {
            (Some((index, mut left)), Some((_, right))) => {
                join_data(&columns[usize::from(index)], &mut left, right)?;
                Some((index, left))
            }
            (one, other) => one.or(other),
        });
    }
    joined.extend(left);
    joined.extend(right);
    Ok(joined)
}

/// Joins two versions of one column. The intake has checked that both are of the column's kind.
fn join_data(column: &Column, left: &mut ColumnData, right: ColumnData) -> Result<(), (String, Refused)> {
    match (left, right) {
        (ColumnData::Simple(left), ColumnData::Simple(right)) if column.cql_type == CqlType::Counter => {
            join_counters(left, right).map_err(|refused| (column.name.clone(), refused))?;
        }
        (ColumnData::Simple(left), ColumnData::Simple(right)) => {
            if !cell_wins(left, &right) {
                *left = right;
            }
        }
        (ColumnData::Complex { deletion, cells }, ColumnData::Complex { deletion: other, cells: right }) => {
            *deletion = normal(*deletion).max(normal(other));
            join_cells(&column.cql_type, cells, right);
        }
        _ => unreachable!("the intake refuses columns of another kind than the table's"),
    }
    Ok(())
}

/// A tombstone beats a counter, whatever their write times; two counters are merged.
fn join_counters(left: &mut Cell, right: Cell) -> Result<(), Refused> {
    let is_tombstone = |cell: &Cell| matches!(cell.state, CellState::Tombstone { .. });
    match (is_tombstone(left), is_tombstone(&right)) {
        (false, false) => {
            left.value = counter::merge(&left.value, &right.value)?;
            left.ts = left.ts.max(right.ts);
        }
        (true, false) => {}
        (false, true) => *left = right,
        (true, true) if cell_wins(left, &right) => {}
        (true, true) => *left = right,
    }
    Ok(())
}

fn join_cells(cql_type: &CqlType, left: &mut Vec<PathCell>, right: Vec<PathCell>) {
    let same = left.len() == right.len() && left.iter().zip(&right).all(|(left, right)| left.path == right.path);
    if same {
        left.iter_mut().zip(right).for_each(|(left, right)| keep_winner(left, right));
    } else {
        *left = merge_cells(cql_type, std::mem::take(left), right);
    }
}

fn merge_cells(cql_type: &CqlType, left: Vec<PathCell>, right: Vec<PathCell>) -> Vec<PathCell> {
    let mut merged = Vec::with_capacity(left.len() + right.len());
    let mut left = left.into_iter().peekable();
    let mut right = right.into_iter().peekable();
    while let (Some(a), Some(b)) = (left.peek(), right.peek()) {
        let order = compare_paths(cql_type, &a.path, &b.path);
        let from_left = if order.is_le() { left.next() } else { None };
        let from_right = if order.is_ge() { right.next() } else { None };
        merged.extend(match (from_left, from_right) {
            (Some(mut left), Some(right)) => {
                keep_winner(&mut left, right);
                Some(left)
            }
            (one, other) => one.or(other),
        });
    }
    merged.extend(left);
    merged.extend(right);
    merged
}

fn keep_winner(left: &mut PathCell, right: PathCell) {
    // The path goes with the cell, and decides last: equal paths may differ in bytes for types such as decimal.
    let right_wins = !cell_wins(&left.cell, &right.cell) || (right.path > left.path && right.cell == left.cell);
    if right_wins {
        *left = right;
    }
}

/// Removes from all versions of a counter row what `active` (partition or range deletion) or the deletion of any version
/// shadows, before they are joined.
pub(crate) fn clear(versions: &mut [(usize, Row)], active: Deletion) {
    let deletions = versions.iter().map(|(_, row)| normal(row.deletion.time));
    let active = deletions.fold(active, Deletion::max);
    for (_, row) in versions {
        row.columns.retain_mut(|(_, data)| settle_data(data, active));
    }
}

/// Removes what `active` (partition or range deletion) and the row's own deletions shadow; `None` if nothing is left.
pub(crate) fn settled(mut row: Row, active: Deletion) -> Option<Row> {
    row.deletion = effective_deletion(&row, active);
    let active = active.max(row.deletion.time);
    row.liveness = row.liveness.filter(|liveness| !active.deletes(liveness.ts));
    row.columns.retain_mut(|(_, data)| settle_data(data, active));
    (!row.is_empty()).then_some(row)
}

/// The row deletion as far as it says more than `active` and is not ended by a newer row marker.
fn effective_deletion(row: &Row, active: Deletion) -> RowDeletion {
    let RowDeletion { time, shadowable } = row.deletion;
    let ended = shadowable && row.liveness.is_some_and(|liveness| liveness.ts > time.marked_at);
    if !ended && time.supersedes(active) { row.deletion } else { RowDeletion::default() }
}

/// Removes shadowed cells of one column; false if nothing is left.
fn settle_data(data: &mut ColumnData, active: Deletion) -> bool {
    match data {
        ColumnData::Simple(cell) => !active.deletes(cell.ts),
        ColumnData::Complex { deletion, cells } => {
            if !deletion.supersedes(active) {
                *deletion = Deletion::LIVE;
            }
            let active = active.max(*deletion);
            cells.retain(|at| !active.deletes(at.cell.ts));
            !deletion.is_live() || !cells.is_empty()
        }
    }
}
