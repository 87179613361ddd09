//! The row model that readers, the merge, segments and the restore share.
//!
//! Keys and values are Cassandra's own bytes, untouched. Times are Cassandra's: write times in µs since 1970 (any `i64`),
//! local deletion times and expiries in s since 1970 as `u32` (valid until 2106).

use bytes::Bytes;

/// A deletion of everything written at or before `marked_at`. [`Deletion::LIVE`] deletes nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Deletion {
    /// Write time of the deletion, µs; `i64::MIN` means "no deletion", whatever `local_time` says.
    pub marked_at: i64,
    /// Server time of the deletion, s.
    pub local_time: u32,
}

impl Deletion {
    /// No deletion.
    pub const LIVE: Self = Self { marked_at: i64::MIN, local_time: u32::MAX };

    /// True where nothing is deleted.
    pub fn is_live(self) -> bool {
        self.marked_at == i64::MIN
    }

    /// True iff an atom written at `ts` is deleted by this.
    pub fn deletes(self, ts: i64) -> bool {
        !self.is_live() && ts <= self.marked_at
    }

    /// True iff this deletion is the stronger one: later write time, or equal write time and later local time.
    pub fn supersedes(self, other: Self) -> bool {
        match (self.is_live(), other.is_live()) {
            (true, _) => false,
            (false, true) => true,
            (false, false) => (self.marked_at, self.local_time) > (other.marked_at, other.local_time),
        }
    }

    /// The stronger of two deletions.
    pub fn max(self, other: Self) -> Self {
        if other.supersedes(self) { other } else { self }
    }
}

/// When an expiring atom dies, and the TTL it was written with.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Expiry {
    /// TTL as written, s; positive (`i32::MAX` marks an expired liveness of a materialised view).
    pub ttl: u32,
    /// Instant of expiry, s since 1970.
    pub at: u32,
}

/// The marker that an INSERT leaves on a row (Cassandra's primary key liveness).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Liveness {
    /// Write time, µs.
    pub ts: i64,
    /// Set where the INSERT carried a TTL.
    pub expiry: Option<Expiry>,
}

/// What a cell is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum CellState {
    /// A value without TTL.
    Live,
    /// A value with TTL; stays `Expiring` after its expiry, until Cassandra rewrites it.
    Expiring(Expiry),
    /// A deletion of the cell, at this server time in s; its value is empty.
    Tombstone {
        /// Server time of the deletion, s.
        local_time: u32,
    },
}

/// One cell: a value or its deletion, with its write time.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Cell {
    /// Write time, µs.
    pub ts: i64,
    /// Live, expiring or tombstone.
    pub state: CellState,
    /// The value's bytes in CQL's serialisation, possibly empty.
    pub value: Bytes,
}

/// A cell of a multi-cell column (non-frozen collection or UDT).
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct PathCell {
    /// Set: the element; map: the key; list: a 16-byte time UUID; UDT: the 2-byte field index.
    pub path: Bytes,
    /// The cell at that path.
    pub cell: Cell,
}

/// The data of one column in one row.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ColumnData {
    /// A column of one cell (including frozen collections, tuples, vectors).
    Simple(Cell),
    /// A non-frozen collection or UDT: its own deletion, then cells in the order of their paths (by the path's comparator).
    Complex {
        /// Deletion of all older cells of the column.
        deletion: Deletion,
        /// Cells in path order, no path twice.
        cells: Vec<PathCell>,
    },
}

/// Position of a column in [`TableSchema::statics`](crate::schema::TableSchema) for static rows, or in `regulars` for rows.
pub type ColumnIndex = u16;

/// Clustering values in clustering order; `None` is null (compact tables and bounds only), empty bytes are an empty value.
pub type Clustering = Vec<Option<Bytes>>;

/// One row, or the static row of a partition (then `clustering` is empty).
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct Row {
    /// All clustering values of the table, in order.
    pub clustering: Clustering,
    /// INSERT marker, absent for rows made of UPDATEs only.
    pub liveness: Option<Liveness>,
    /// Row deletion.
    pub deletion: RowDeletion,
    /// Columns present, ascending by index, each once.
    pub columns: Vec<(ColumnIndex, ColumnData)>,
}

/// The deletion of one row.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RowDeletion {
    /// What it deletes.
    pub time: Deletion,
    /// Shadowable deletions (old materialised views) end when a newer liveness appears.
    pub shadowable: bool,
}

impl Default for RowDeletion {
    fn default() -> Self {
        Self { time: Deletion::LIVE, shadowable: false }
    }
}

impl Row {
    /// True where the row holds no atom at all.
    pub fn is_empty(&self) -> bool {
        self.liveness.is_none() && self.deletion.time.is_live() && self.columns.is_empty()
    }
}

/// Kind of a range tombstone's bound; the discriminant is Cassandra's ordinal on disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum BoundKind {
    /// `)`: a deletion ends before the prefix.
    ExclEnd = 0,
    /// `[`: a deletion starts at the prefix.
    InclStart = 1,
    /// `)[`: one ends before the prefix, another starts at it.
    ExclEndInclStart = 2,
    /// `](`: one ends after the prefix, another starts after it.
    InclEndExclStart = 5,
    /// `]`: a deletion ends after the prefix.
    InclEnd = 6,
    /// `(`: a deletion starts after the prefix.
    ExclStart = 7,
}

impl BoundKind {
    /// True where a deletion ends here.
    pub fn closes(self) -> bool {
        !matches!(self, Self::InclStart | Self::ExclStart)
    }

    /// True where a deletion starts here.
    pub fn opens(self) -> bool {
        !matches!(self, Self::ExclEnd | Self::InclEnd)
    }
}

/// A range tombstone marker: where deletions of a range of rows end and start.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Marker {
    /// Which side of the prefix, and what ends or starts there.
    pub kind: BoundKind,
    /// A prefix of the clustering values; may be empty (before or after all rows).
    pub prefix: Clustering,
    /// The deletion that ends here (kinds 0, 2, 5, 6).
    pub close: Option<Deletion>,
    /// The deletion that starts here (kinds 1, 2, 5, 7).
    pub open: Option<Deletion>,
}

/// What follows a partition's head, in clustering order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Unfiltered {
    /// A row.
    Row(Row),
    /// A range tombstone marker.
    Marker(Marker),
}

/// The head of a partition.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Partition {
    /// Murmur3 token of `key`.
    pub token: i64,
    /// Raw partition key: the component's bytes, or for composite keys per component u16 length, bytes, 0x00.
    pub key: Bytes,
    /// Partition deletion.
    pub deletion: Deletion,
    /// The static row, absent where the partition has none.
    pub static_row: Option<Row>,
}

/// A stream of partitions in ascending (token, key bytes unsigned), each followed by its unfiltereds in clustering order.
///
/// SSTables, merges and segments are all read through this. Blocking; call it off the async runtime.
pub trait PartitionReader: Send {
    /// Error of the stream.
    type Error;

    /// Moves to the next partition, skipping what was not read of the current one; `None` at the end of the stream.
    fn next_partition(&mut self) -> Result<Option<Partition>, Self::Error>;

    /// The next row or marker of the current partition; `None` at its end.
    fn next_unfiltered(&mut self) -> Result<Option<Unfiltered>, Self::Error>;
}
