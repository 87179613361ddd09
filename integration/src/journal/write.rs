//! One write, as data: what the journal executes and what its model applies.

use bytes::Bytes;

/// Values of all columns of a partition key or of a clustering.
pub type Key = Vec<Bytes>;

/// A write with its own time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Write {
    /// Partition.
    pub partition: Key,
    /// Write time, µs; no two writes of a workload have times less than 10 µs apart.
    pub ts: i64,
    /// What it does.
    pub change: Change,
}

/// What a write does.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Change {
    /// `INSERT`: the row's marker, and these columns; collections are overwritten.
    Insert {
        /// Row.
        clustering: Key,
        /// Life of marker and values.
        ttl: Ttl,
        /// Regular columns by index.
        columns: Vec<(usize, Data)>,
    },
    /// `UPDATE`: these columns and no marker; collections are overwritten.
    Update {
        /// The cells' place.
        place: Place,
        /// Life of the values.
        ttl: Ttl,
        /// Columns by index.
        columns: Vec<(usize, Data)>,
    },
    /// `c = c + {…}`: elements are added to a set or map, or appended to a list.
    Add {
        /// The cells' place.
        place: Place,
        /// Column by index.
        column: usize,
        /// Life of the values.
        ttl: Ttl,
        /// Elements.
        elements: Vec<Element>,
    },
    /// `c.f = v`: one field of a user-defined type; no value deletes it.
    Field {
        /// The cells' place.
        place: Place,
        /// Column by index.
        column: usize,
        /// Field by index.
        field: usize,
        /// Life of the value.
        ttl: Ttl,
        /// Value.
        value: Option<Bytes>,
    },
    /// `DELETE c[k]`: one element of a set or map.
    Remove {
        /// The cells' place.
        place: Place,
        /// Column by index.
        column: usize,
        /// Element or key.
        path: Bytes,
    },
    /// `DELETE c`: one column.
    DeleteColumn {
        /// The cells' place.
        place: Place,
        /// Column by index.
        column: usize,
    },
    /// `DELETE` of a row.
    DeleteRow(Key),
    /// `DELETE` of a range of rows.
    DeleteRange(Range),
    /// `DELETE` of a partition.
    DeletePartition,
}

/// Where cells are: in a row or in the static row.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Place {
    /// The static row; column indexes are of the statics.
    Static,
    /// A row; column indexes are of the regulars.
    Row(Key),
}

/// Life of a value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ttl {
    /// As the table's default says.
    Default,
    /// None, whatever the table's default is.
    Forever,
    /// Seconds.
    Seconds(u32),
}

/// What is written to a column.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Data {
    /// Null: the column is deleted.
    Null,
    /// A value of one cell.
    Value(Bytes),
    /// Cells of a collection or user-defined type.
    Elements(Vec<Element>),
}

/// A cell of a collection or user-defined type. Set: `path` is the element, `value` is empty; map: key and value; list:
/// `path` is empty; user-defined type: `path` is the index of the field as one byte.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Element {
    /// Where in the column.
    pub path: Bytes,
    /// What.
    pub value: Bytes,
}

/// A range of rows: those whose clustering starts with `prefix` and whose next column lies within the bounds, by value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Range {
    /// Leading clustering columns; the range is within the partition if empty.
    pub prefix: Key,
    /// Lower bound of the next column, and whether it is included.
    pub lower: Option<(Bytes, bool)>,
    /// Upper bound of the next column, and whether it is included.
    pub upper: Option<(Bytes, bool)>,
}
