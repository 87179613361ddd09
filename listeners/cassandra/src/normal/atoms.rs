//! Atoms in normal form, their places, and the relations between two copies of a table.

use bytes::Bytes;
use tidemark_cassandra_format::model::{Cell, CellState, Clustering, ColumnIndex, Deletion, Liveness};

use crate::view;

/// What is at a place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Atom {
    /// A deletion of a partition, range, row or multi-cell column.
    Deletion(Deletion),
    /// The INSERT marker of a row.
    Marker(Liveness),
    /// A cell.
    Cell(Cell),
}

impl Atom {
    /// Local time (s since 1970) of an atom that is dead at `at_seconds`; none of a live one.
    pub fn dead_since(&self, at_seconds: u32) -> Option<u32> {
        match self {
            Self::Deletion(deletion) => Some(deletion.local_time),
            Self::Marker(marker) if view::liveness_is_live(marker, at_seconds) => None,
            Self::Marker(marker) => marker.expiry.map(|expiry| expiry.at),
            Self::Cell(Cell { state: CellState::Tombstone { local_time }, .. }) => Some(*local_time),
            // Expired cells are tombstones in normal form.
            Self::Cell(_) => None,
        }
    }
}

/// Where an atom is in its partition. `row` is a row's clustering, none for the static row.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Place {
    /// Deletion of the partition.
    PartitionDeletion,
    /// Deletion of the rows from a bound to the next bound of either copy.
    RangeDeletion {
        /// A prefix of the clustering.
        prefix: Clustering,
        /// True iff the range starts behind the rows with the prefix, not before them.
        after: bool,
    },
    /// Deletion of a row.
    RowDeletion {
        /// The row.
        row: Option<Clustering>,
    },
    /// INSERT marker of a row.
    Marker {
        /// The row.
        row: Option<Clustering>,
    },
    /// Deletion of a multi-cell column.
    ColumnDeletion {
        /// The row.
        row: Option<Clustering>,
        /// The column, an index into the table's static or regular columns.
        column: ColumnIndex,
    },
    /// A cell.
    Cell {
        /// The row.
        row: Option<Clustering>,
        /// The column, an index into the table's static or regular columns.
        column: ColumnIndex,
        /// The path within a multi-cell column.
        path: Option<Bytes>,
    },
}

/// A place at which two copies of a table differ: each side's atom there, or none.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Difference {
    /// Token of the partition.
    pub token: i64,
    /// Raw key of the partition.
    pub key: Bytes,
    /// Place within it.
    pub place: Place,
    /// What the left copy has.
    pub left: Option<Atom>,
    /// What the right copy has.
    pub right: Option<Atom>,
}

impl Difference {
    /// True iff both sides' atoms, as far as there are any, are dead since before `purge_before_seconds`.
    pub fn is_purgeable(&self, at_seconds: u32, purge_before_seconds: u32) -> bool {
        let purgeable = |atom: &Atom| atom.dead_since(at_seconds).is_some_and(|since| since < purge_before_seconds);
        self.left.iter().chain(&self.right).all(purgeable)
    }
}

/// What two copies of a table may be to one another at an instant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Relation {
    /// Both hold the same atoms in normal form.
    Equal,
    /// Both hold the same live atoms, and every dead atom that only one of them holds has a local time before this instant
    /// (s since 1970), T − `gc_grace_seconds`: Cassandra may have purged it from the other.
    EqualButForPurgeable {
        /// First local time that must not be purged.
        purge_before_seconds: u32,
    },
}

impl Relation {
    /// True iff copies of this relation may differ so.
    pub fn allows(self, difference: &Difference, at_seconds: u32) -> bool {
        match self {
            Self::Equal => false,
            Self::EqualButForPurgeable { purge_before_seconds } => {
                difference.is_purgeable(at_seconds, purge_before_seconds)
            }
        }
    }
}
