//! The rows of a unit as the target shows them.

use std::{collections::VecDeque, sync::Arc};

use bytes::Bytes;
use futures::TryStreamExt;
use scylla::{
    client::pager::TypedRowStream,
    errors::{DbError, NextPageError, NextRowError, PagerExecutionError, RequestAttemptError, RequestError},
};
use tidemark_cassandra_format::{key, model::Clustering, token::murmur3};
use tidemark_gateway::causes::joined;
use tidemark_listener_core::failure::Failure;
use tidemark_records::difference::pairs::Records;

use super::{PartitionKey, Trouble};
use crate::{
    connect::{self, Cause, Caused, Out, Retryable},
    restore::undo::{
        query::{self, Condition},
        table::Table,
    },
    restore::write::target::WriteFailure,
};

/// The target cannot be read.
const READ: &str = "TM-UNDO-0004";

/// A row of the target.
pub(super) struct Found {
    /// Its partition.
    pub(super) partition: Arc<PartitionKey>,
    /// Its clustering; empty for a static row.
    pub(super) clustering: Clustering,
    /// The chosen columns as they were read.
    pub(super) values: Vec<Option<Bytes>>,
}

/// The target's chosen rows of a unit, or its static rows.
pub(super) struct Rows<'a> {
    pub(super) table: &'a Table,
    pub(super) is_static: bool,
    /// As in the scan.
    pub(super) attempts: u32,
    pub(super) written: bool,
    /// What is left to read.
    pub(super) conditions: VecDeque<Condition>,
    pub(super) stream: Option<TypedRowStream<Out>>,
    pub(super) last: Option<Arc<PartitionKey>>,
}

impl Records for Rows<'_> {
    type Record = Found;
    type Error = Trouble;

    async fn next(&mut self) -> Result<Option<Found>, Trouble> {
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
}

impl Rows<'_> {
    async fn open(&self, (condition, values): Condition) -> Result<TypedRowStream<Out>, Trouble> {
        let comparison = self.table.comparison(self.attempts, 0, 0, self.written);
        let cql = query::select(&comparison, &self.table.target.quoted(), self.is_static, &condition);
        let mut statement = self.table.target.extra(&cql).await?;
        statement.set_consistency(self.table.read_level);
        let pager = self.table.target.session.execute_iter(statement, values).await;
        let pager = pager.map_err(|source| self.trouble(&source, page_of_pager(&source)))?;
        let odd = |source| Failure::new(READ, format!("{}: {}", self.reading(), joined(&source)));
        Ok(pager.rows_stream::<Out>().map_err(odd)?)
    }

    /// A row as it was read, if it is chosen. Of a partition that has a static row only there is a row without clustering.
    fn found(&mut self, row: Out) -> Result<Option<Found>, Failure> {
        let schema = self.table.schema();
        let (keys, clusterings) = (schema.partition_key.len(), schema.clustering.len());
        let mut values = row.0;
        let rest = values.split_off(keys);
        let key: Vec<Bytes> = values.into_iter().map(Option::unwrap_or_default).collect();
        let raw = key::join(schema, &key);
        let raw = raw.map_err(|source| Failure::new(READ, format!("{}: {source}", self.table.name())))?;
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
            _ => Trouble::Failed(WriteFailure::from(error)),
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
