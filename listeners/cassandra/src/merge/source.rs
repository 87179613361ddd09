//! One input of a merge: its reader, and what has been read ahead of it.

use bytes::Bytes;
use tidemark_cassandra_format::{
    model::{Partition, PartitionReader, Row, Unfiltered},
    schema::{Column, TableSchema},
};

use super::{Error, intake};

/// Where a source's next partition stands in the order of all; ties are broken by index, which changes nothing but makes
/// runs repeatable.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Head {
    token: i64,
    key: Bytes,
    index: usize,
}

impl Head {
    pub(crate) fn index(&self) -> usize {
        self.index
    }

    pub(crate) fn same_key(&self, other: &Self) -> bool {
        self.token == other.token && self.key == other.key
    }
}

pub(crate) struct Source<R> {
    index: usize,
    reader: R,
    /// True where the table has counters, which are checked one by one.
    counters: bool,
    /// Token and key of the newest partition.
    last: Option<(i64, Bytes)>,
    head: Option<Partition>,
    next: Option<Unfiltered>,
}

impl<R: PartitionReader> Source<R> {
    pub(crate) fn new(index: usize, reader: R, counters: bool) -> Self {
        Self { index, reader, counters, last: None, head: None, next: None }
    }

    pub(crate) fn reader(&self) -> &R {
        &self.reader
    }

    /// Moves to the next partition, whose head waits to be taken.
    pub(crate) fn advance(&mut self, schema: &TableSchema) -> Result<Option<Head>, Error<R::Error>> {
        self.next = None;
        let index = self.index;
        let Some(head) = self.reader.next_partition().map_err(|source| Error::Source { index, source })? else {
            return Ok(None);
        };
        self.check_head(schema, &head)?;
        let (token, key) = (head.token, head.key.clone());
        self.last = Some((token, key.clone()));
        self.head = Some(head);
        Ok(Some(Head { token, key, index }))
    }

    fn check_head(&self, schema: &TableSchema, head: &Partition) -> Result<(), Error<R::Error>> {
        let (index, token) = (self.index, head.token);
        match &self.last {
            Some((previous, key)) if (*previous, key) >= (token, &head.key) => {
                Err(Error::PartitionOrder { index, previous: *previous, token })
            }
            _ => intake::check_static(schema, head).map_err(|what| Error::Shape { index, token, what }),
        }?;
        self.check_counters(&schema.statics, head.static_row.as_ref(), &head.key)
    }

    fn check_counters(&self, columns: &[Column], row: Option<&Row>, key: &[u8]) -> Result<(), Error<R::Error>> {
        let Some(row) = row.filter(|_| self.counters) else { return Ok(()) };
        intake::check_counters(columns, row).map_err(|(column, source)| Error::Counter {
            index: Some(self.index),
            key: hex::encode(key),
            column,
            source,
        })
    }

    pub(crate) fn take_head(&mut self) -> Option<Partition> {
        self.head.take()
    }

    pub(crate) fn next(&self) -> Option<&Unfiltered> {
        self.next.as_ref()
    }

    /// Reads the first row or marker of the partition; false if there is none.
    pub(crate) fn prime(&mut self, schema: &TableSchema) -> Result<bool, Error<R::Error>> {
        self.next = self.read(schema)?;
        Ok(self.next.is_some())
    }

    /// Takes the next row or marker, which must be there, and reads the one behind it.
    pub(crate) fn take(&mut self, schema: &TableSchema) -> Result<Unfiltered, Error<R::Error>> {
        let behind = self.read(schema)?;
        let taken = std::mem::replace(&mut self.next, behind).ok_or(Error::Failed)?;
        match &self.next {
            Some(next) if !intake::ascends(schema, &taken, next) => {
                Err(Error::RowOrder { index: self.index, token: self.token() })
            }
            _ => Ok(taken),
        }
    }

    fn read(&mut self, schema: &TableSchema) -> Result<Option<Unfiltered>, Error<R::Error>> {
        let index = self.index;
        let next = self.reader.next_unfiltered().map_err(|source| Error::Source { index, source })?;
        if let Some(next) = &next {
            let token = self.token();
            intake::check(schema, next).map_err(|what| Error::Shape { index, token, what })?;
        }
        if let Some(Unfiltered::Row(row)) = &next {
            self.check_counters(&schema.regulars, Some(row), self.key())?;
        }
        Ok(next)
    }

    /// Key of the newest partition.
    pub(crate) fn key(&self) -> &[u8] {
        self.last.as_ref().map_or(&[], |(_, key)| key)
    }

    fn token(&self) -> i64 {
        self.last.as_ref().map_or(i64::MIN, |(token, _)| *token)
    }
}
