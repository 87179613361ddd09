//! Reads a unit of the target and compares it, row by row, while both stream in the same order.

use std::{cmp::Ordering, collections::VecDeque, sync::Arc};

use bytes::Bytes;
use futures::TryStreamExt;
use scylla::{
    client::pager::TypedRowStream,
    errors::{DbError, NextPageError, NextRowError, PagerExecutionError, RequestAttemptError, RequestError},
};
use tidemark_cassandra_format::{
    key,
    model::{Clustering, Row},
    token::murmur3,
};
use tidemark_gateway::causes::chain;
use tidemark_listener_core::driver::Error;

use crate::{
    connect::{self, Cause, Caused, Out, Retryable},
    restore::write::target::Failure,
    undo::{
        compare::Difference,
        query::{self, Condition},
        spans::Unit,
        table::Table,
    },
};

/// The target cannot be read.
const READ: &str = "TM-UNDO-0004";

/// Why a unit could not be read.
pub(super) enum Trouble {
    /// There is too much in it for one request: too many deleted rows, or it takes too long.
    TooMuch {
        /// The last error.
        error: Error,
        /// True where the target gave up by itself, and not for want of time.
        gave_up: bool,
    },
    /// Anything else.
    Failed(Failure),
}

impl From<Error> for Trouble {
    fn from(error: Error) -> Self {
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

/// A row of the target.
struct Found {
    partition: Arc<PartitionKey>,
    clustering: Clustering,
    values: Vec<Option<Bytes>>,
}

/// The rows of a unit, or its static rows, as they are compared.
pub(super) struct Scan<'a> {
    table: &'a Table,
    unit: &'a Unit,
    is_static: bool,
    /// Numbers of attempts at lists so far, and whether the rows were written just now.
    attempts: u32,
    written: bool,
    conditions: VecDeque<Condition>,
    stream: Option<TypedRowStream<Out>>,
    ahead: Option<Found>,
    /// The version's next partition and row.
    part: usize,
    row: usize,
    /// When the reading began, s since 1970 by the destination's clock.
    before: u32,
    last: Option<Arc<PartitionKey>>,
}

impl<'a> Scan<'a> {
    /// A reading that has not begun.
    pub(super) fn new(table: &'a Table, unit: &'a Unit, is_static: bool, attempts: u32, written: bool) -> Self {
        let conditions = query::conditions(table.schema(), unit, is_static).into();
        let before = table.now();
        let (stream, ahead, last) = (None, None, None);
        Self { table, unit, is_static, attempts, written, conditions, stream, ahead, part: 0, row: 0, before, last }
    }

    /// The next row that the version or the target has; `None` at the end.
    ///
    /// # Errors
    /// [`Trouble`]; the rows before it have been handed out.
    pub(super) async fn next(&mut self) -> Result<Option<Seen>, Trouble> {
        if self.ahead.is_none() {
            self.ahead = self.read().await?;
        }
        let order = match (self.wanted(), &self.ahead) {
            (None, None) => return Ok(None),
            (Some(_), None) => Ordering::Less,
            (None, Some(_)) => Ordering::Greater,
            (Some((part, row)), Some(found)) => {
                let part = &self.unit.parts[part];
                let partition = (part.token, &part.raw_key).cmp(&(found.partition.token, &found.partition.raw));
                let rows = || self.table.schema().compare_clustering(&row.clustering, &found.clustering);
                if self.is_static { partition } else { partition.then_with(rows) }
            }
        };
        let found = if order.is_ge() { self.ahead.take() } else { None };
        Ok(Some(self.seen(order.is_le(), found)))
    }

    /// The version's next row.
    fn wanted(&mut self) -> Option<(usize, &'a Row)> {
        loop {
            let part = self.unit.parts.get(self.part)?;
            let row = match self.is_static {
                true => part.static_row.as_ref().filter(|_| self.row == 0),
                false => part.rows.get(self.row),
            };
            match row {
                Some(row) => return Some((self.part, row)),
                None => (self.part, self.row) = (self.part + 1, 0),
            }
        }
    }

    fn seen(&mut self, is_wanted: bool, found: Option<Found>) -> Seen {
        let wanted = if is_wanted { self.wanted() } else { None };
        self.row += usize::from(is_wanted);
        let (before, after) = (self.before, self.table.now());
        let comparison = self.table.comparison(self.attempts, before, after, self.written);
        let values = found.as_ref().map(|found| found.values.as_slice());
        let difference = comparison.row(self.is_static, wanted.map(|(_, row)| row), values);
        let is_there = found.is_some();
        let (partition, clustering) = match (wanted, found) {
            (Some((part, row)), None) => (self.partition_of(part), row.clustering.clone()),
            (_, Some(found)) => (found.partition, found.clustering),
            (None, None) => unreachable!("one of both is there"),
        };
        Seen { partition, clustering, is_wanted, is_there, difference }
    }

    fn partition_of(&mut self, part: usize) -> Arc<PartitionKey> {
        let part = &self.unit.parts[part];
        let same = |last: &&Arc<PartitionKey>| last.token == part.token && last.raw == part.raw_key;
        if let Some(last) = self.last.as_ref().filter(same) {
            return last.clone();
        }
        let key = PartitionKey { token: part.token, raw: part.raw_key.clone(), values: part.key.clone() };
        self.last.insert(Arc::new(key)).clone()
    }

    /// The target's next chosen row.
    async fn read(&mut self) -> Result<Option<Found>, Trouble> {
        loop {
            let Some(stream) = &mut self.stream else {
                let Some(condition) = self.conditions.pop_front() else { return Ok(None) };
                self.stream = Some(self.open(condition).await?);
                continue;
            };
            match stream.try_next().await {
                Ok(Some(row)) => {
                    if let Some(found) = self.found(row)? {
                        return Ok(Some(found));
                    }
                }
                Ok(None) => self.stream = None,
                Err(source) => return Err(self.trouble(&source, page_of_row(&source))),
            }
        }
    }

    async fn open(&self, (condition, values): Condition) -> Result<TypedRowStream<Out>, Trouble> {
        let comparison = self.table.comparison(self.attempts, 0, 0, self.written);
        let cql = query::select(&comparison, &self.table.target.quoted(), self.is_static, &condition);
        let mut statement = self.table.target.extra(&cql).await?;
        statement.set_consistency(self.table.read_level);
        let pager = self.table.target.session.execute_iter(statement, values).await;
        let pager = pager.map_err(|source| self.trouble(&source, page_of_pager(&source)))?;
        let odd = |source| Error::new(READ, format!("{}: {}", self.reading(), chain(&source)));
        Ok(pager.rows_stream::<Out>().map_err(odd)?)
    }

    /// A row as it was read, if it is chosen. Of a partition that has a static row only there is a row without clustering.
    fn found(&mut self, row: Out) -> Result<Option<Found>, Error> {
        let schema = self.table.schema();
        let (keys, clusterings) = (schema.partition_key.len(), schema.clustering.len());
        let mut values = row.0;
        let rest = values.split_off(keys);
        let key: Vec<Bytes> = values.into_iter().map(Option::unwrap_or_default).collect();
        let raw = key::join(schema, &key);
        let raw = raw.map_err(|source| Error::new(READ, format!("{}: {source}", self.table.name())))?;
        let token = murmur3(&raw);
        let mut clustering = rest;
        let values = clustering.split_off(if self.is_static { 0 } else { clusterings });
        let chosen = self.table.selected.takes_partition(token, &key)
            && (self.is_static || self.table.selected.takes_row(&clustering));
        // Partitions without a static row are shown with nothing in it.
        let no_static = self.is_static && values.iter().all(Option::is_none);
        if !chosen || no_static || clustering.iter().any(Option::is_none) {
            return Ok(None);
        }
        let last = self.last.as_ref().filter(|last| last.token == token && last.raw == raw).cloned();
        let partition = last.unwrap_or_else(|| Arc::new(PartitionKey { token, raw, values: key }));
        self.last = Some(partition.clone());
        Ok(Some(Found { partition, clustering, values }))
    }

    fn reading(&self) -> String {
        format!("read {}", self.table.name())
    }

    fn trouble<E>(&self, source: &E, page: Option<&RequestError>) -> Trouble
    where
        E: Caused + Retryable + std::error::Error + 'static,
    {
        let error = connect::error(READ, &self.reading(), source);
        match page {
            Some(page) if is_too_much(page) => Trouble::TooMuch { error, gave_up: page.cause() == Cause::Failed },
            // The level of writes does not fall because of what cannot be read.
            _ => Trouble::Failed(Failure::from(error)),
        }
    }
}

fn page_of_pager(error: &PagerExecutionError) -> Option<&RequestError> {
    match error {
        PagerExecutionError::NextPageError(NextPageError::RequestFailure(error)) => Some(error),
        _ => None,
    }
}

fn page_of_row(error: &NextRowError) -> Option<&RequestError> {
    match error {
        NextRowError::NextPageError(NextPageError::RequestFailure(error)) => Some(error),
        _ => None,
    }
}

/// True where less might be read: the server gave up, which it does of too many deleted rows, or ran out of time.
fn is_too_much(error: &RequestError) -> bool {
    match error {
        RequestError::RequestTimeout(_) => true,
        RequestError::LastAttemptError(RequestAttemptError::DbError(error, _)) => {
            matches!(error, DbError::ReadFailure { .. } | DbError::ReadTimeout { .. })
        }
        _ => false,
    }
}
