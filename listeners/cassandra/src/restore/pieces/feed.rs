//! Cuts a segment's stream into pieces of work: rows of one partition, few enough for one batch.
//!
//! A piece says where it starts and ends, so that a restore can go on after it. Rows that hold nothing but deletions, and
//! range tombstones, are passed over: a restore writes what lives.

use bytes::Bytes;
use tidemark_cassandra_format::{
    key,
    model::{CellState, Clustering, ColumnData, Partition, PartitionReader, Row, Unfiltered},
    schema::TableSchema,
};
use tidemark_records::restore::{checkpoint::Mark, pipeline};

/// Most rows of a piece.
const PIECE_ROWS: usize = 200;

/// Bytes at which a piece is full.
const PIECE_BYTES: usize = 128 << 10;

/// Rows of one partition, which is a group of the restore's marks; range tombstones count among its records.
#[derive(Clone, Debug)]
pub struct Piece {
    /// Where it starts.
    pub at: Mark,
    /// Where the work stands once it is done.
    pub end: Mark,
    /// Token of the partition.
    pub token: i64,
    /// Values of the partition key's columns.
    pub key: Vec<Bytes>,
    /// The partition's static row; in its first piece only.
    pub static_row: Option<Row>,
    /// Rows in clustering order.
    pub rows: Vec<Row>,
    /// Clustering of the last row of the piece before, in the same partition.
    pub after: Option<Clustering>,
    /// True where the partition has no further piece.
    pub last: bool,
    /// Bytes of the rows' values, about.
    pub bytes: usize,
}

/// Why the stream could not be cut.
#[derive(Debug, thiserror::Error)]
pub enum Error<E: std::error::Error + 'static> {
    /// The stream failed.
    #[error("read the segment")]
    Read(#[source] E),
    /// A partition key is not of the table's shape.
    #[error("partition key {key}")]
    Key {
        /// The key, hexadecimal.
        key: String,
        /// Why.
        source: key::Error,
    },
}

/// Reads a segment from `from` on and hands out its pieces in order, until `take` answers false. `from.segment` is the
/// index of this segment. Blocking.
///
/// # Errors
/// [`Error`]; the pieces before it have been handed out.
pub fn feed<R: PartitionReader + ?Sized>(
    reader: &mut R,
    schema: &TableSchema,
    from: Mark,
    mut take: impl FnMut(Piece) -> bool,
) -> Result<(), Error<R::Error>>
where
    R::Error: std::error::Error + 'static,
{
    let mut at = Mark { group: 0, records: 0, ..from };
    while let Some(partition) = reader.next_partition().map_err(Error::Read)? {
        if at.group >= from.group {
            let skip = if at.group == from.group { from.records } else { 0 };
            if !feed_partition(reader, schema, partition, at, skip, &mut take)? {
                return Ok(());
            }
        }
        at.group += 1;
    }
    Ok(())
}

/// Hands out the pieces of one partition; false where `take` has had enough.
fn feed_partition<R: PartitionReader + ?Sized>(
    reader: &mut R,
    schema: &TableSchema,
    partition: Partition,
    at: Mark,
    skip: u64,
    take: &mut impl FnMut(Piece) -> bool,
) -> Result<bool, Error<R::Error>>
where
    R::Error: std::error::Error + 'static,
{
    let mut piece = first_piece(schema, partition, Mark { records: skip, ..at })?;
    if skip > 0 {
        piece.static_row = None;
    }
    let mut seen = 0;
    while let Some(unfiltered) = reader.next_unfiltered().map_err(Error::Read)? {
        seen += 1;
        let Unfiltered::Row(row) = unfiltered else { continue };
        if seen <= skip {
            piece.after = Some(row.clustering);
        } else if has_value(&row) {
            if piece.is_full() {
                let next = piece.followed(Mark { records: seen - 1, ..at });
                if !take(std::mem::replace(&mut piece, next)) {
                    return Ok(false);
                }
            }
            piece.push(row);
        }
    }
    piece.last = true;
    piece.end = Mark { group: at.group + 1, records: 0, ..at };
    Ok(piece.is_empty() || take(piece))
}

fn first_piece<E: std::error::Error>(schema: &TableSchema, partition: Partition, at: Mark) -> Result<Piece, Error<E>> {
    let hex = || hex::encode(&partition.key);
    let key = key::split(schema, &partition.key).map_err(|source| Error::Key { key: hex(), source })?;
    let static_row = partition.static_row.filter(has_value);
    let bytes = static_row.as_ref().map_or(0, row_bytes);
    Ok(Piece { at, end: at, token: partition.token, key, static_row, rows: vec![], after: None, last: false, bytes })
}

impl pipeline::Piece for Piece {
    fn end(&self) -> Mark {
        self.end
    }

    fn records(&self) -> usize {
        self.row_count()
    }

    fn bytes(&self) -> usize {
        self.bytes
    }
}

impl Piece {
    /// Rows in it, the static row too.
    pub fn row_count(&self) -> usize {
        self.rows.len() + usize::from(self.static_row.is_some())
    }

    /// Each row, with true for the static row.
    pub fn all_rows(&self) -> impl Iterator<Item = (&Row, bool)> {
        self.static_row.iter().map(|row| (row, true)).chain(self.rows.iter().map(|row| (row, false)))
    }

    fn is_empty(&self) -> bool {
        self.row_count() == 0
    }

    fn is_full(&self) -> bool {
        self.rows.len() >= PIECE_ROWS || (self.bytes >= PIECE_BYTES && !self.is_empty())
    }

    fn push(&mut self, row: Row) {
        self.bytes += row_bytes(&row);
        self.rows.push(row);
    }

    /// Ends the piece at `end`; the next one of the same partition.
    fn followed(&mut self, end: Mark) -> Self {
        self.end = end;
        let after = self.rows.last().map(|row| row.clustering.clone()).or_else(|| self.after.clone());
        Self {
            at: end,
            end,
            token: self.token,
            key: self.key.clone(),
            static_row: None,
            rows: vec![],
            after,
            last: false,
            bytes: 0,
        }
    }
}

/// True where the row holds a marker or a value, expired or not.
pub(crate) fn has_value(row: &Row) -> bool {
    let value = |state: CellState| !matches!(state, CellState::Tombstone { .. });
    row.liveness.is_some()
        || row.columns.iter().any(|(_, data)| match data {
            ColumnData::Simple(cell) => value(cell.state),
            ColumnData::Complex { cells, .. } => cells.iter().any(|c| value(c.cell.state)),
        })
}

/// Bytes of a row's values and paths, with a little for each.
pub(crate) fn row_bytes(row: &Row) -> usize {
    const OVERHEAD: usize = 16;
    let of = |data: &ColumnData| match data {
        ColumnData::Simple(cell) => cell.value.len() + OVERHEAD,
        ColumnData::Complex { cells, .. } => {
            cells.iter().map(|c| c.path.len() + c.cell.value.len() + OVERHEAD).sum::<usize>()
        }
    };
    let key: usize = row.clustering.iter().flatten().map(Bytes::len).sum();
    OVERHEAD + key + row.columns.iter().map(|(_, data)| of(data)).sum::<usize>()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::restore::samples::{self, MemoryReader, int, live};
    use tidemark_cassandra_format::model::{BoundKind, Marker};

    fn rows(count: i32) -> Vec<Unfiltered> {
        let columns = || vec![(0, ColumnData::Simple(live(5, int(1))))];
        (0..count).map(|ck| Unfiltered::Row(samples::row(ck, None, columns()))).collect()
    }

    fn pieces(partitions: &[(i32, Vec<Unfiltered>)], from: Mark) -> Vec<Piece> {
        let mut found = Vec::new();
        let mut reader = MemoryReader::of(partitions);
        feed(&mut reader, &samples::schema(), from, |piece| {
            found.push(piece);
            true
        })
        .unwrap();
        found
    }

    #[test]
    fn a_wide_partition_is_cut_and_goes_on_from_any_mark() {
        let whole = [(1, rows(450)), (2, rows(1))];
        let all = pieces(&whole, Mark::default());
        assert_eq!(all.iter().map(|p| p.rows.len()).collect::<Vec<_>>(), vec![200, 200, 50, 1]);
        assert_eq!(all.iter().map(|p| p.last).collect::<Vec<_>>(), vec![false, false, true, true]);
        for n in 0..all.len() {
            let rest = pieces(&whole, all[n].end);
            assert_eq!(rest.len(), all.len() - n - 1);
            let same = |(a, b): (&Piece, &Piece)| (a.at, a.end, &a.rows, &a.after) == (b.at, b.end, &b.rows, &b.after);
            assert!(rest.iter().zip(&all[n + 1..]).all(same));
        }
    }

    #[test]
    fn markers_and_dead_rows_count_as_places_but_are_not_handed_out() {
        let marker = Marker { kind: BoundKind::InclStart, prefix: vec![], close: None, open: None };
        let mut stream = rows(201);
        stream.insert(0, Unfiltered::Marker(marker));
        stream.insert(1, Unfiltered::Row(samples::row(-1, None, vec![])));
        let all = pieces(&[(1, stream)], Mark::default());
        assert_eq!(all[0].end, Mark { segment: 0, group: 0, records: 202 });
        assert_eq!(all[1].rows[0].clustering, vec![Some(int(200))]);
    }

    #[test]
    fn partitions_without_anything_live_make_no_piece() {
        assert!(pieces(&[(1, vec![]), (2, vec![])], Mark::default()).is_empty());
    }
}
