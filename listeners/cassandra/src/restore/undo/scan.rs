//! Reads a unit of the target and compares it, row by row, while both stream in the same order.

mod rows;

use std::sync::Arc;

use bytes::Bytes;
use tidemark_cassandra_format::model::{Clustering, Row};
use tidemark_listener_core::failure::Failure;
use tidemark_records::difference::pairs::{Pair, Pairs};

use self::rows::{Found, Rows};
use crate::{
    restore::undo::{compare::Difference, query, spans::Unit, table::Table},
    restore::write::target::WriteFailure,
};

/// Why a unit could not be read.
pub(super) enum Trouble {
    /// There is too much in it for one request: too many deleted rows, or it takes too long.
    TooMuch {
        /// The last error.
        error: Failure,
        /// True where the target gave up by itself, and not for want of time.
        gave_up: bool,
    },
    /// Anything else.
    Failed(WriteFailure),
}

impl From<Failure> for Trouble {
    fn from(error: Failure) -> Self {
        Self::Failed(error.into())
    }
}

/// A partition's key.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct PartitionKey {
    /// Its token.
    pub(super) token: i64,
    /// As Cassandra orders it.
    pub(super) raw: Bytes,
    /// Values of its columns.
    pub(super) values: Vec<Bytes>,
}

/// A row that was compared.
pub(super) struct Seen {
    /// Its partition.
    pub(super) partition: Arc<PartitionKey>,
    /// Its clustering; empty for a static row.
    pub(super) clustering: Clustering,
    /// True where the version has it, alive or not.
    pub(super) is_wanted: bool,
    /// True where the target shows it.
    pub(super) is_there: bool,
    /// What it differs in; an error in words where it cannot be compared.
    pub(super) difference: Result<Difference, String>,
}

/// A row's place in a table: its partition, then true for a row and false for the static row, and its clustering.
pub(super) type RowKey = (i64, Bytes, bool, Clustering);

impl Seen {
    /// Its place.
    pub(super) fn key(&self, is_static: bool) -> RowKey {
        (self.partition.token, self.partition.raw.clone(), !is_static, self.clustering.clone())
    }
}

/// The rows of a unit, or its static rows, as they are compared.
pub(super) struct Scan<'a> {
    table: &'a Table,
    unit: &'a Unit,
    is_static: bool,
    /// Numbers of attempts at lists so far, and whether the rows were written just now.
    attempts: u32,
    written: bool,
    pairs: Pairs<Wanted<'a>, Rows<'a>>,
    /// When the reading began, s since 1970 by the destination's clock.
    before: u32,
    last: Option<Arc<PartitionKey>>,
}

impl<'a> Scan<'a> {
    /// A reading that has not begun.
    pub(super) fn new(table: &'a Table, unit: &'a Unit, is_static: bool, attempts: u32, written: bool) -> Self {
        let conditions = query::conditions(table.schema(), unit, is_static).into();
        let (stream, last) = (None, None);
        let rows = Rows { table, is_static, attempts, written, conditions, stream, last };
        let pairs = Pairs::new(Wanted { unit, is_static, part: 0, row: 0 }, rows);
        Self { table, unit, is_static, attempts, written, pairs, before: table.now(), last: None }
    }

    /// The next row that the version or the target has; `None` at the end.
    ///
    /// # Errors
    /// [`Trouble`]; the rows before it have been handed out.
    pub(super) async fn next(&mut self) -> Result<Option<Seen>, Trouble> {
        let (table, unit, is_static) = (self.table, self.unit, self.is_static);
        let order = |(part, row): &(usize, &Row), found: &Found| {
            let part = &unit.parts[*part];
            let partition = (part.token, &part.raw_key).cmp(&(found.partition.token, &found.partition.raw));
            let rows = || table.schema().compare_clustering(&row.clustering, &found.clustering);
            if is_static { partition } else { partition.then_with(rows) }
        };
        Ok(self.pairs.next(order).await?.map(|pair| self.seen(pair)))
    }

    fn seen(&mut self, pair: Pair<(usize, &'a Row), Found>) -> Seen {
        let (wanted, found) = match pair {
            Pair::Both(wanted, found) => (Some(wanted), Some(found)),
            Pair::Version(wanted) => (Some(wanted), None),
            Pair::Target(found) => (None, Some(found)),
        };
        let comparison = self.table.comparison(self.attempts, self.before, self.table.now(), self.written);
        let values = found.as_ref().map(|found| found.values.as_slice());
        let difference = comparison.row(self.is_static, wanted.map(|(_, row)| row), values);
        let (is_wanted, is_there) = (wanted.is_some(), found.is_some());
        let (partition, clustering) = match (wanted, found) {
            (Some((part, row)), None) => (self.partition_of(part), row.clustering.clone()),
            (_, Some(found)) => (found.partition, found.clustering),
            (None, None) => unreachable!("one of both is there"),
        };
        self.last = Some(partition.clone());
        Seen { partition, clustering, is_wanted, is_there, difference }
    }

    fn partition_of(&self, part: usize) -> Arc<PartitionKey> {
        let part = &self.unit.parts[part];
        let same = |last: &&Arc<PartitionKey>| last.token == part.token && last.raw == part.raw_key;
        let key = || PartitionKey { token: part.token, raw: part.raw_key.clone(), values: part.key.clone() };
        self.last.as_ref().filter(same).cloned().unwrap_or_else(|| Arc::new(key()))
    }
}

/// The version's rows of a unit, or its static rows, each with the index of its part.
struct Wanted<'a> {
    unit: &'a Unit,
    is_static: bool,
    /// The next partition and row.
    part: usize,
    row: usize,
}

impl<'a> Iterator for Wanted<'a> {
    type Item = (usize, &'a Row);

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            let part = self.unit.parts.get(self.part)?;
            let row = match self.is_static {
                true => part.static_row.as_ref().filter(|_| self.row == 0),
                false => part.rows.get(self.row),
            };
            let at = self.part;
            match row {
                Some(row) => {
                    self.row += 1;
                    return Some((at, row));
                }
                None => (self.part, self.row) = (self.part + 1, 0),
            }
        }
    }
}
