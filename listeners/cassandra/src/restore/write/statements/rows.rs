//! From a row of a segment to the writes that make it again: pure.
//!
//! A write is one execution of one prepared statement. A row's live atoms are grouped by (write time, expiry); each group is
//! one UPDATE, and the group of the INSERT marker is an INSERT with the simple columns that share its times. A group that holds
//! as much as a write may is followed by another of the same times. List elements keep their order: a new group starts where
//! the next element has other times. What a server would read as another value within a collection is written by an assignment
//! of its own (`terms`). Executed in order, by one coordinator.

use bytes::Bytes;
use tidemark_cassandra_format::{
    model::{Cell, CellState, ColumnData, Expiry, PathCell, Row},
    schema::{Column, TableSchema},
    types::CqlType,
};

use super::{groups::Groups, terms};
use crate::{
    connect::Raw,
    restore::write::{
        size::WriteSizes,
        statements::{
            shapes::{Shape, Shapes, Slot, StatementId, slots},
            ttl::{self, Lifetimes},
        },
    },
};

/// Why a row cannot be written by CQL.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// CQL does not take an empty value of this type.
    #[error("column {column:?}: a value without bytes in {cql_type} cannot be written by CQL")]
    Empty {
        /// The column.
        column: String,
        /// Its type, or that of the element.
        cql_type: String,
    },
    /// CQL does not take a null clustering value.
    #[error("clustering column {column:?} is null, as only compact tables allow")]
    NullClustering {
        /// The column.
        column: String,
    },
    /// One value alone is larger than the destination takes.
    #[error("column {column:?}: a value of {bytes} bytes, and the destination takes no write of more than {limit}")]
    Large {
        /// The column.
        column: String,
        /// Size of the value, with its key in a map.
        bytes: usize,
        /// The destination's limit.
        limit: usize,
    },
    /// The data is not of the schema's shape.
    #[error("column {column:?}: {reason}")]
    Shape {
        /// The column.
        column: String,
        /// What is wrong.
        reason: &'static str,
    },
    /// The destination cannot hold an expiry of the row.
    #[error("it cannot be restored with its expiry")]
    Ttl(#[from] ttl::Refused),
}

/// One execution of one statement, without its keys.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Write {
    /// Which statement.
    pub statement: StatementId,
    /// Write time, µs.
    pub ts: i64,
    /// Remaining time to live, s; 0 for ever.
    pub ttl: i32,
    /// Values of the statement's slots.
    pub values: Vec<Raw>,
    /// True where it appends to a list.
    pub appends: bool,
    /// Bytes that it adds to a mutation, about.
    pub bytes: usize,
    /// What the statement sets instead of its slots, without markers: `"l" = "l" + [blobAsInt(0x)]`.
    pub apart: Option<String>,
}

impl Write {
    /// The statement's values in the order of its markers.
    pub fn bind(&self, partition_key: &[Bytes], clustering: &[Bytes]) -> Vec<Raw> {
        let times = [Bytes::copy_from_slice(&self.ts.to_be_bytes()), Bytes::copy_from_slice(&self.ttl.to_be_bytes())];
        let times = times.into_iter().map(Raw::Bytes);
        let clustering = if matches!(self.statement, StatementId::Static(_)) { &[] } else { clustering };
        let key = partition_key.iter().chain(clustering).cloned().map(Raw::Bytes);
        let values = self.values.iter().cloned();
        match self.statement {
            StatementId::Insert => key.chain(values).chain(times).collect(),
            _ => times.chain(values).chain(key).collect(),
        }
    }

    /// The write without its appends to lists; `None` where nothing else is in it.
    pub fn without_appends(mut self, shape: &Shape) -> Option<Self> {
        if self.apart.is_some() {
            return (!self.appends).then_some(self);
        }
        let mut left = self.statement == StatementId::Insert;
        for (value, slot) in self.values.iter_mut().zip(&shape.slots) {
            match slot {
                Slot::List(_) => *value = empty_list(),
                _ => left |= *value != Raw::Unset,
            }
        }
        self.appends = false;
        left.then_some(self)
    }
}

/// True iff an atom with this expiry lives at `now`, s.
pub fn lives(expiry: Option<Expiry>, now: u32) -> bool {
    // Cassandra marks an expired liveness of a materialised view by the greatest TTL.
    expiry.is_none_or(|e| e.at > now && e.ttl != i32::MAX as u32)
}

/// The cell's expiry if it is a value (`Some(None)`: for ever), `None` for a tombstone.
pub fn value_expiry(cell: &Cell) -> Option<Option<Expiry>> {
    match cell.state {
        CellState::Live => Some(None),
        CellState::Expiring(expiry) => Some(Some(expiry)),
        CellState::Tombstone { .. } => None,
    }
}

/// The rule for times to live, and the time of a write, s since 1970.
#[derive(Clone, Copy, Debug)]
pub struct Clock {
    /// The rule.
    pub lifetimes: Lifetimes,
    /// Now.
    pub now: u32,
}

impl Clock {
    /// As [`Lifetimes::kept`], now.
    pub fn kept(&self, expiry: Option<Expiry>) -> Option<Option<u32>> {
        self.lifetimes.kept(expiry, self.now)
    }
}

/// True iff the row shows at `now`, s: its marker or a cell lives.
pub fn is_live(row: &Row, now: u32) -> bool {
    let marker = row.liveness.is_some_and(|l| lives(l.expiry, now));
    marker || cells(row).any(|cell| value_expiry(cell).is_some_and(|e| lives(e, now)))
}

/// All cells of a row.
fn cells(row: &Row) -> impl Iterator<Item = &Cell> {
    row.columns.iter().flat_map(|(_, data)| {
        let (one, many): (Option<&Cell>, &[PathCell]) = match data {
            ColumnData::Simple(cell) => (Some(cell), &[]),
            ColumnData::Complex { cells, .. } => (None, cells),
        };
        one.into_iter().chain(many.iter().map(|c| &c.cell))
    })
}

/// Clustering values of a row, none of them null.
///
/// # Errors
/// [`Error::NullClustering`].
pub fn clustering(schema: &TableSchema, row: &Row) -> Result<Vec<Bytes>, Error> {
    let named = row.clustering.iter().zip(&schema.clustering);
    named.map(|(v, c)| v.clone().ok_or_else(|| Error::NullClustering { column: c.column.name.clone() })).collect()
}

/// Refuses keys that a server would read as others when they are bound.
///
/// # Errors
/// [`Error::Empty`].
pub fn check_key(schema: &TableSchema, partition_key: &[Bytes], clustering: &[Bytes]) -> Result<(), Error> {
    let columns = schema.partition_key.iter().zip(partition_key);
    for (column, value) in columns.chain(schema.clustering.iter().map(|c| &c.column).zip(clustering)) {
        if terms::apart(&column.cql_type, value).map_err(|of| empty(&column.name, of))?.is_some() {
            return Err(empty(&column.name, &column.cql_type));
        }
    }
    Ok(())
}

/// The writes that make the row again as it lives by `clock`, in the order in which they must run; none where nothing of it
/// lives. `is_static` tells the static row of a partition from a row.
///
/// # Errors
/// [`Error`] where CQL cannot express a value or the destination cannot hold an expiry.
pub fn row_writes(
    schema: &TableSchema,
    shapes: &Shapes,
    row: &Row,
    is_static: bool,
    clock: Clock,
    sizes: WriteSizes,
) -> Result<Vec<Write>, Error> {
    let columns = if is_static { &schema.statics } else { &schema.regulars };
    let mut groups = Groups::new(first_slots(columns), clock, sizes);
    let marker = row.liveness.filter(|_| !is_static);
    let marker = marker.and_then(|l| Some((l.ts, clock.kept(l.expiry)?)));
    if let Some(times) = marker {
        groups.open(times);
    }
    for (index, data) in &row.columns {
        let column = columns.get(usize::from(*index));
        groups.add_column(*index, column.ok_or_else(|| shape("?", "no such column"))?, data)?;
    }
    groups.into_writes(shapes, is_static, marker.is_some())
}

pub(super) fn shape(column: &str, reason: &'static str) -> Error {
    Error::Shape { column: column.to_owned(), reason }
}

/// For each column its first slot, counted over all statements.
fn first_slots(columns: &[Column]) -> Vec<usize> {
    let width = |c: &Column| slots(&[&c.cql_type]).len();
    columns.iter().scan(0, |next, c| Some(std::mem::replace(next, *next + width(c)))).collect()
}

pub(super) fn empty_list() -> Raw {
    Raw::Bytes(Bytes::from_static(&[0; 4]))
}

pub(super) fn empty(column: &str, cql_type: &CqlType) -> Error {
    Error::Empty { column: column.to_owned(), cql_type: format!("{cql_type:?}") }
}

/// True for types of which Cassandra 5.0 takes an empty value over CQL (seen on a server, type by type).
pub(super) fn takes_empty(cql_type: &CqlType) -> bool {
    use CqlType as T;
    !matches!(
        cql_type,
        T::Date
            | T::Time
            | T::SmallInt
            | T::TinyInt
            | T::Duration
            | T::List { .. }
            | T::Set { .. }
            | T::Map { .. }
            | T::Vector { .. }
    )
}

#[cfg(test)]
mod tests;
