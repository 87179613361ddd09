//! What a reader sees of a merged row at an instant.
//!
//! A cell is live iff it is no tombstone and has not expired: `now < expiry`, in whole seconds, as Cassandra reads. A row is
//! there iff its INSERT marker or any of its cells is live; a static row counts on its own. Rows must come from a merge:
//! nothing here looks at deletions, because a merged row holds nothing that its deletions shadow.

use tidemark_cassandra_format::model::{Cell, CellState, Clustering, ColumnData, ColumnIndex, Expiry, Liveness, Row};

/// True iff the cell is visible at `now_seconds` (s since 1970).
pub fn cell_is_live(cell: &Cell, now_seconds: u32) -> bool {
    match cell.state {
        CellState::Live => true,
        CellState::Expiring(expiry) => now_seconds < expiry.at,
        CellState::Tombstone { .. } => false,
    }
}

/// True iff the INSERT marker is live at `now_seconds` (s since 1970).
pub fn liveness_is_live(liveness: &Liveness, now_seconds: u32) -> bool {
    liveness.expiry.is_none_or(|expiry| expiry.ttl != crate::merge::EXPIRED_LIVENESS_TTL && now_seconds < expiry.at)
}

/// The row as a reader sees it at `now_seconds` (s since 1970); `None` where there is no row for a reader.
pub fn live_row(row: &Row, now_seconds: u32) -> Option<LiveRow<'_>> {
    let live = LiveRow { row, now_seconds };
    (live.liveness().is_some() || live.cells().next().is_some()).then_some(live)
}

/// True iff a reader sees the row at `now_seconds` (s since 1970).
pub fn is_visible(row: &Row, now_seconds: u32) -> bool {
    live_row(row, now_seconds).is_some()
}

/// The live part of a row at an instant. Equal iff the live marker and the live cells are, with values, write times and
/// expiries (the clustering is not compared).
#[derive(Clone, Copy, Debug)]
pub struct LiveRow<'a> {
    row: &'a Row,
    now_seconds: u32,
}

impl<'a> LiveRow<'a> {
    /// Clustering values, empty for a static row.
    pub fn clustering(&self) -> &'a Clustering {
        &self.row.clustering
    }

    /// The INSERT marker, if it is live.
    pub fn liveness(&self) -> Option<Liveness> {
        self.row.liveness.filter(|liveness| liveness_is_live(liveness, self.now_seconds))
    }

    /// Live cells, by column, then in path order.
    pub fn cells(&self) -> impl Iterator<Item = LiveCell<'a>> + use<'a> {
        let now = self.now_seconds;
        self.row.columns.iter().flat_map(column_cells).filter(move |live| cell_is_live(live.cell, now))
    }
}

impl PartialEq for LiveRow<'_> {
    fn eq(&self, other: &Self) -> bool {
        self.liveness() == other.liveness() && self.cells().eq(other.cells())
    }
}

/// A live cell and its place in the row.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LiveCell<'a> {
    /// The column, as in [`Row::columns`].
    pub column: ColumnIndex,
    /// The path within a multi-cell column, `None` in a column of one cell.
    pub path: Option<&'a [u8]>,
    /// The cell, live or expiring.
    pub cell: &'a Cell,
}

impl LiveCell<'_> {
    /// TTL and expiry, if the cell has them.
    pub fn expiry(&self) -> Option<Expiry> {
        match self.cell.state {
            CellState::Expiring(expiry) => Some(expiry),
            CellState::Live | CellState::Tombstone { .. } => None,
        }
    }
}

fn column_cells((column, data): &(ColumnIndex, ColumnData)) -> impl Iterator<Item = LiveCell<'_>> {
    let column = *column;
    let (simple, complex) = match data {
        ColumnData::Simple(cell) => (Some(cell), [].as_slice()),
        ColumnData::Complex { cells, .. } => (None, cells.as_slice()),
    };
    let simple = simple.into_iter().map(move |cell| LiveCell { column, path: None, cell });
    simple.chain(complex.iter().map(move |at| LiveCell { column, path: Some(&at.path), cell: &at.cell }))
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use tidemark_cassandra_format::model::{Deletion, PathCell};

    use super::*;

    fn cell(state: CellState) -> Cell {
        Cell { ts: 1, state, value: Bytes::from_static(b"v") }
    }

    fn expiring(at: u32) -> CellState {
        CellState::Expiring(Expiry { ttl: 5, at })
    }

    fn row(columns: Vec<(ColumnIndex, ColumnData)>) -> Row {
        Row { columns, ..Row::default() }
    }

    #[test]
    fn a_cell_dies_in_the_second_of_its_expiry() {
        assert!(cell_is_live(&cell(CellState::Live), u32::MAX));
        assert!(cell_is_live(&cell(expiring(10)), 9));
        assert!(!cell_is_live(&cell(expiring(10)), 10));
        assert!(!cell_is_live(&cell(CellState::Tombstone { local_time: 50 }), 9));
    }

    #[test]
    fn a_row_is_there_while_its_marker_or_a_cell_lives() {
        let marker = |expiry| Row { liveness: Some(Liveness { ts: 1, expiry }), ..Row::default() };
        assert!(is_visible(&marker(None), 9));
        assert!(!is_visible(&marker(Some(Expiry { ttl: 5, at: 9 })), 9));
        assert!(is_visible(&marker(Some(Expiry { ttl: 5, at: 10 })), 9));
        assert!(!is_visible(&marker(Some(Expiry { ttl: i32::MAX as u32, at: 10 })), 9));
        assert!(is_visible(&row(vec![(0, ColumnData::Simple(cell(CellState::Live)))]), 9));
        assert!(!is_visible(&row(vec![(0, ColumnData::Simple(cell(expiring(9))))]), 9));
        assert!(!is_visible(&Row::default(), 9));
    }

    #[test]
    fn live_cells_leave_out_what_is_dead() {
        let at = |path: &'static str, state| PathCell { path: Bytes::from_static(path.as_bytes()), cell: cell(state) };
        let cells =
            vec![at("a", expiring(3)), at("b", CellState::Live), at("c", CellState::Tombstone { local_time: 1 })];
        let deletion = Deletion { marked_at: 0, local_time: 0 };
        let row = row(vec![(0, ColumnData::Simple(cell(expiring(7)))), (3, ColumnData::Complex { deletion, cells })]);
        let live = live_row(&row, 5).unwrap();
        let places: Vec<_> = live.cells().map(|live| (live.column, live.path)).collect();
        assert_eq!(places, [(0, None), (3, Some(b"b".as_slice()))]);
        assert_eq!(live.cells().next().unwrap().expiry(), Some(Expiry { ttl: 5, at: 7 }));
    }

    #[test]
    fn views_compare_without_what_is_dead() {
        let dead = row(vec![
            (0, ColumnData::Simple(cell(CellState::Live))),
            (1, ColumnData::Simple(cell(CellState::Tombstone { local_time: 1 }))),
        ]);
        let purged = row(vec![(0, ColumnData::Simple(cell(CellState::Live)))]);
        assert_eq!(live_row(&dead, 5), live_row(&purged, 5));
        let other = row(vec![(0, ColumnData::Simple(cell(expiring(9))))]);
        assert_ne!(live_row(&other, 5), live_row(&purged, 5));
    }
}
