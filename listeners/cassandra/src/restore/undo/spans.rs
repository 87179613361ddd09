//! Cuts the version's stream into spans of work that cover the chosen part of the ring without a gap: what lies between the
//! version's keys is in them too, because the target may have rows there.
//!
//! A span is a range of tokens with all of the version's partitions in it, or, of a partition that is too wide, a run of rows
//! from one of its clusterings to another. Each is read from the target by itself. One that the target cannot read, because
//! it is too slow or passes too many deleted rows, is halved: ranges between partitions, partitions between rows, down to one
//! row by its key and what lies between two rows. Pure.

mod cutter;
mod halving;
#[cfg(test)]
mod tests;

use bytes::Bytes;
use tidemark_cassandra_format::model::{Clustering, Row};

pub(super) use cutter::{Cutter, Place};

use crate::restore::select::Tokens;

/// A partition, or a run of its rows, in the version.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Part {
    /// Its token.
    pub(super) token: i64,
    /// Its key as Cassandra orders it.
    pub(super) raw_key: Bytes,
    /// Values of the key's columns.
    pub(super) key: Vec<Bytes>,
    /// Its static row, if it belongs to this span and there is one.
    pub(super) static_row: Option<Row>,
    /// Rows in clustering order.
    pub(super) rows: Vec<Row>,
}

impl Part {
    fn empty(&self) -> Self {
        Self { static_row: None, rows: Vec::new(), ..self.clone() }
    }
}

/// What of the target belongs to a unit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Area {
    /// All partitions of these tokens.
    Tokens(Tokens),
    /// Rows of one partition.
    Slice(Slice),
    /// One row of one partition, by its key.
    Row,
    /// The static row of one partition.
    Static,
}

/// A run of rows.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Slice {
    /// The clustering that it starts behind; the partition's start where absent.
    pub(super) after: Option<Clustering>,
    /// The clustering that it ends with; the partition's end where absent.
    pub(super) until: Option<Clustering>,
    /// True where the row at `until` is in it.
    pub(super) inclusive: bool,
    /// True where the partition's static row is in it.
    pub(super) with_static: bool,
}

/// What is read from the target at once, and what the version has there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Unit {
    /// What is read.
    pub(super) area: Area,
    /// The version's; exactly one part but for ranges of tokens.
    pub(super) parts: Vec<Part>,
}

impl Unit {
    /// Rows of the version, static ones too.
    pub(super) fn row_count(&self) -> usize {
        self.parts.iter().map(|part| part.rows.len() + usize::from(part.static_row.is_some())).sum()
    }

    /// True where the unit's static rows are read.
    pub(super) fn has_static(&self) -> bool {
        match &self.area {
            Area::Tokens(_) | Area::Static => true,
            Area::Slice(slice) => slice.with_static,
            Area::Row => false,
        }
    }

    /// True where the unit's rows are read.
    pub(super) fn has_rows(&self) -> bool {
        self.area != Area::Static
    }
}

/// A unit, and where the work stands once it is done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Span {
    /// What is to be done.
    pub(super) unit: Unit,
    /// Where the next one starts.
    pub(super) end: Place,
}
