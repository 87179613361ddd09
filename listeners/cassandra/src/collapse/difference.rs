//! The newest atom in which two replicas' versions of a row differ.

use std::cmp::Ordering;

use tidemark_cassandra_format::{
    model::{ColumnData, ColumnIndex, Deletion, Liveness, PathCell, Row},
    order::compare_paths,
    schema::Column,
    types::CqlType,
};

/// One replica's state at a row.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Version<'a> {
    /// What the replica has of the row, nothing shadowed.
    pub(crate) row: Option<&'a Row>,
    /// The partition or range deletion that covers the row there.
    pub(crate) cover: Deletion,
}

impl Version<'_> {
    /// The strongest deletion that covers the row, its own included.
    fn deletion(&self) -> Deletion {
        self.cover.max(self.row.map_or(Deletion::LIVE, |row| row.deletion.time))
    }

    fn liveness(&self) -> Option<Liveness> {
        self.row.and_then(|row| row.liveness)
    }

    fn columns(&self) -> &[(ColumnIndex, ColumnData)] {
        self.row.map_or(&[], |row| &row.columns)
    }
}

/// Write time of the newest atom that one version has and the other has not, µs; `None` where they hold the same atoms.
pub(crate) fn newest_difference(columns: &[Column], left: Version<'_>, right: Version<'_>) -> Option<i64> {
    let mut newest = deletions(left.deletion(), right.deletion());
    if left.liveness() != right.liveness() {
        let ts = |version: Version<'_>| version.liveness().map(|liveness| liveness.ts);
        newest = newest.max(ts(left)).max(ts(right));
    }
    merge_walk(
        left.columns(),
        right.columns(),
        |(a, _), (b, _)| a.cmp(b),
        |left, right| {
            newest = newest.max(match (left, right) {
                (Some((index, left)), Some((_, right))) => data(&columns[usize::from(*index)].cql_type, left, right),
                (one, other) => one.or(other).and_then(|(_, data)| newest_of(data)),
            });
        },
    );
    newest
}

fn deletions(left: Deletion, right: Deletion) -> Option<i64> {
    let differ = left != right && !(left.is_live() && right.is_live());
    differ.then(|| left.marked_at.max(right.marked_at))
}

fn data(cql_type: &CqlType, left: &ColumnData, right: &ColumnData) -> Option<i64> {
    match (left, right) {
        (ColumnData::Simple(left), ColumnData::Simple(right)) => (left != right).then(|| left.ts.max(right.ts)),
        (
            ColumnData::Complex { deletion, cells },
            ColumnData::Complex { deletion: other_deletion, cells: other_cells },
        ) => deletions(*deletion, *other_deletion).max(paths(cql_type, cells, other_cells)),
        _ => newest_of(left).max(newest_of(right)),
    }
}

fn paths(cql_type: &CqlType, left: &[PathCell], right: &[PathCell]) -> Option<i64> {
    let mut newest = None;
    merge_walk(
        left,
        right,
        |a, b| compare_paths(cql_type, &a.path, &b.path),
        |left, right| {
            if left.map(|at| &at.cell) != right.map(|at| &at.cell) {
                newest = newest.max(left.map(|at| at.cell.ts)).max(right.map(|at| at.cell.ts));
            }
        },
    );
    newest
}

fn newest_of(data: &ColumnData) -> Option<i64> {
    match data {
        ColumnData::Simple(cell) => Some(cell.ts),
        ColumnData::Complex { deletion, cells } => {
            let deleted = (!deletion.is_live()).then_some(deletion.marked_at);
            deleted.max(cells.iter().map(|at| at.cell.ts).max())
        }
    }
}

/// Visits two ordered slices together; items at the same place are visited as a pair.
pub(crate) fn merge_walk<'a, T>(
    left: &'a [T],
    right: &'a [T],
    compare: impl Fn(&T, &T) -> Ordering,
    mut visit: impl FnMut(Option<&'a T>, Option<&'a T>),
) {
    let (mut left, mut right) = (left.iter().peekable(), right.iter().peekable());
    loop {
        let order = match (left.peek(), right.peek()) {
            (Some(a), Some(b)) => compare(a, b),
            (Some(_), None) => Ordering::Less,
            (None, Some(_)) => Ordering::Greater,
            (None, None) => return,
        };
        let first = if order.is_le() { left.next() } else { None };
        let second = if order.is_ge() { right.next() } else { None };
        visit(first, second);
    }
}
