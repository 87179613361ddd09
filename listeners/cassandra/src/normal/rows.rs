//! What two versions of a row differ in.

use bytes::Bytes;
use tidemark_cassandra_format::{
    model::{Cell, Clustering, ColumnData, ColumnIndex, Deletion, PathCell, Row},
    order::compare_paths,
    schema::TableSchema,
};

use super::{Atom, Place};
use crate::collapse::merge_walk;

/// Collects differences at one position of a partition.
pub(super) struct Finder<'a> {
    pub(super) schema: &'a TableSchema,
    pub(super) found: Vec<(Place, Option<Atom>, Option<Atom>)>,
}

impl Finder<'_> {
    /// Compares two deletions of one place.
    pub(super) fn deletions(&mut self, place: Place, left: Deletion, right: Deletion) {
        let atom = |deletion: Deletion| (!deletion.is_live()).then_some(Atom::Deletion(deletion));
        self.atoms(place, atom(left), atom(right));
    }

    /// Compares two versions of a row; `row` is its clustering, none for the static row.
    pub(super) fn rows(&mut self, row: Option<Clustering>, left: Option<&Row>, right: Option<&Row>) {
        let deletion = |of: Option<&Row>| of.map_or(Deletion::LIVE, |row| row.deletion.time);
        self.deletions(Place::RowDeletion { row: row.clone() }, deletion(left), deletion(right));
        let marker = |of: Option<&Row>| of.and_then(|row| row.liveness).map(Atom::Marker);
        self.atoms(Place::Marker { row: row.clone() }, marker(left), marker(right));
        merge_walk(
            columns_of(left),
            columns_of(right),
            |(left, _), (right, _)| left.cmp(right),
            |left, right| {
                let index = left.or(right).map_or(0, |(index, _)| *index);
                self.columns(&row, index, left.map(|(_, data)| data), right.map(|(_, data)| data));
            },
        );
    }

    fn columns(
        &mut self,
        row: &Option<Clustering>,
        column: ColumnIndex,
        left: Option<&ColumnData>,
        right: Option<&ColumnData>,
    ) {
        let (left, right) = (Parts::of(left), Parts::of(right));
        self.cells(row, column, None, left.cell, right.cell);
        self.deletions(Place::ColumnDeletion { row: row.clone(), column }, left.deletion, right.deletion);
        let columns = if row.is_some() { &self.schema.regulars } else { &self.schema.statics };
        let cql_type = &columns[usize::from(column)].cql_type;
        merge_walk(
            left.cells,
            right.cells,
            |left, right| compare_paths(cql_type, &left.path, &right.path),
            |left, right| {
                let path = left.or(right).map(|at| at.path.clone());
                self.cells(row, column, path, left.map(|at| &at.cell), right.map(|at| &at.cell));
            },
        );
    }

    fn cells(
        &mut self,
        row: &Option<Clustering>,
        column: ColumnIndex,
        path: Option<Bytes>,
        left: Option<&Cell>,
        right: Option<&Cell>,
    ) {
        if left != right {
            let atom = |cell: Option<&Cell>| cell.cloned().map(Atom::Cell);
            self.atoms(Place::Cell { row: row.clone(), column, path }, atom(left), atom(right));
        }
    }

    fn atoms(&mut self, place: Place, left: Option<Atom>, right: Option<Atom>) {
        if left != right {
            self.found.push((place, left, right));
        }
    }
}

fn columns_of(row: Option<&Row>) -> &[(ColumnIndex, ColumnData)] {
    row.map_or(&[], |row| &row.columns)
}

/// The atoms of one column, of whatever kind it is.
struct Parts<'a> {
    cell: Option<&'a Cell>,
    deletion: Deletion,
    cells: &'a [PathCell],
}

impl<'a> Parts<'a> {
    fn of(data: Option<&'a ColumnData>) -> Self {
        match data {
            None => Self { cell: None, deletion: Deletion::LIVE, cells: &[] },
            Some(ColumnData::Simple(cell)) => Self { cell: Some(cell), deletion: Deletion::LIVE, cells: &[] },
            Some(ColumnData::Complex { deletion, cells }) => Self { cell: None, deletion: *deletion, cells },
        }
    }
}
