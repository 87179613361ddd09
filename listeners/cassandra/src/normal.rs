//! The normal form of a table at an instant, and what two copies of a table differ in.
//!
//! Two streams of atoms may say the same in different ways: a compaction drops what is shadowed, turns expired cells into
//! tombstones, joins range tombstones, and forgets deletions that are old enough. The normal form takes the ways apart from
//! what is said. It is for comparing only; what is stored stays raw.
//!
//! **Normal form at T** (whole seconds) of any stream:
//! 1. It is merged with itself as [`crate::merge`] does: every atom that a deletion of its partition shadows is gone, range
//!    tombstones are disjoint, coalesced and closed.
//! 2. A cell with TTL whose expiry is not after T is a tombstone of the same write time; its local time is `expiry − TTL`, the
//!    second of the write, and its value is empty. (Compaction writes the same.) An expired INSERT marker stays as it is,
//!    because there are no tombstones of markers: it is a dead atom, and its local time is its expiry.
//! 3. Range tombstones are minimal: where one says no more than the partition's deletion, equal ones included, it is gone.
//!
//! **Dead** is what no reader can see at T: deletions of every kind, tombstones, expired markers. Each has a local time (s).
//! **The same atom** is at the same place with the same write time, value, TTL and expiry or local time. Places are equal
//! where Cassandra's comparators say so (a decimal clustering of 1.0 and one of 1.00 are one row, and which bytes survive a
//! merge is open). What range tombstones say is compared at every place between the rows, not by their bounds, which move
//! where a neighbour is purged.
//!
//! Two relations stand on it, see [`Relation`]. Normal forms of one set of atoms are equal, in whatever order and in however
//! many parts the atoms were merged. What the normal form cannot undo is a compaction of a part after an expiry, where cells of
//! one place and one write time have different expiries: the cell that expired first is a tombstone then, and a tombstone
//! beats the other cell, which a merge of both before the compaction would have kept. Cassandra itself answers such ties by
//! whichever came first.
//!
//! Memory: one row or marker of each stream, and the differences of one row.

use std::sync::Arc;

use tidemark_cassandra_format::{
    model::{Cell, CellState, ColumnData, Deletion, Marker, Partition, PartitionReader, Row, Unfiltered},
    schema::TableSchema,
};

use crate::{
    merge::{self, MergeReader, boundary},
    view,
};

mod atoms;
mod differences;
#[cfg(test)]
mod properties;
mod rows;
#[cfg(test)]
mod tests;

pub use atoms::{Atom, Difference, Place, Relation};
pub use differences::{Differences, Error};

/// Reads the normal form of a stream at an instant.
pub struct NormalReader<R: PartitionReader> {
    merge: MergeReader<R>,
    at_seconds: u32,
    /// Deletion of the current partition.
    deletion: Deletion,
    /// Open range deletion behind the current position, as far as it says more than `deletion`.
    open: Deletion,
}

impl<R: PartitionReader> NormalReader<R> {
    /// The normal form at `at_seconds` (s since 1970) of a stream of `schema`'s table.
    pub fn new(schema: Arc<TableSchema>, reader: R, at_seconds: u32) -> Self {
        let merge = MergeReader::new(schema, vec![reader]);
        Self { merge, at_seconds, deletion: Deletion::LIVE, open: Deletion::LIVE }
    }

    fn marker(&mut self, marker: Marker) -> Option<Marker> {
        let said = marker.open.filter(|open| open.supersedes(self.deletion)).unwrap_or(Deletion::LIVE);
        let previous = std::mem::replace(&mut self.open, said);
        boundary(marker, previous, said)
    }
}

impl<R: PartitionReader> PartitionReader for NormalReader<R> {
    type Error = merge::Error<R::Error>;

    fn next_partition(&mut self) -> Result<Option<Partition>, Self::Error> {
        let Some(mut partition) = self.merge.next_partition()? else { return Ok(None) };
        self.deletion = partition.deletion;
        self.open = Deletion::LIVE;
        partition.static_row = partition.static_row.map(|row| buried(row, self.at_seconds));
        Ok(Some(partition))
    }

    fn next_unfiltered(&mut self) -> Result<Option<Unfiltered>, Self::Error> {
        while let Some(next) = self.merge.next_unfiltered()? {
            match next {
                Unfiltered::Row(row) => return Ok(Some(Unfiltered::Row(buried(row, self.at_seconds)))),
                Unfiltered::Marker(marker) => {
                    if let Some(marker) = self.marker(marker) {
                        return Ok(Some(Unfiltered::Marker(marker)));
                    }
                }
            }
        }
        Ok(None)
    }
}

/// The row with its expired cells as tombstones.
fn buried(mut row: Row, at_seconds: u32) -> Row {
    for (_, data) in &mut row.columns {
        match data {
            ColumnData::Simple(cell) => bury(cell, at_seconds),
            ColumnData::Complex { cells, .. } => cells.iter_mut().for_each(|at| bury(&mut at.cell, at_seconds)),
        }
    }
    row
}

fn bury(cell: &mut Cell, at_seconds: u32) {
    if let CellState::Expiring(expiry) = cell.state
        && !view::cell_is_live(cell, at_seconds)
    {
        // Wrapping: an expiry before its own TTL does not come from a server, and must not stop a comparison.
        cell.state = CellState::Tombstone { local_time: expiry.at.wrapping_sub(expiry.ttl) };
        cell.value.clear();
    }
}
