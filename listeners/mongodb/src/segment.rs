//! Segments of documents, format 1 (`docs/format-mongodb-segments.md`): a record is a document at rest, or an event.
//!
//! The document's bytes are exactly the source's. Beside them are its `_id` (type byte and value) and the position of
//! an event, so that the column of documents need not be read for either.

mod columns;

use std::collections::VecDeque;

use arrow_array::RecordBatch;
use parquet::arrow::ProjectionMask;
use serde_json::{Value, json};
use tidemark_catalog::{content::ColumnId, figures::Counts, keys::Key};
use tidemark_records::segments::{Batches, ReadError, SegmentFile};

pub use columns::{Columns, Unwritable};

use crate::{event::Change, key::Id, raw, time::Position};

/// The kind of source, in entries and segments.
pub const KIND: &str = "mongodb";

/// The format's number.
pub const FORMAT: u32 = 1;

/// The kind's own count.
pub const DOCUMENT_BYTES: &str = "document_bytes";

/// The columns with their ids.
pub fn column_ids() -> Vec<ColumnId> {
    (1..).zip(columns::NAMES).map(|(id, name)| ColumnId { id, name: name.to_owned() }).collect()
}

/// What segments say of their columns.
pub fn schema() -> Value {
    json!({ "columns": columns::NAMES })
}

/// A record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record {
    /// The document's `_id`.
    pub id: Id,
    /// What of it.
    pub atom: Atom,
}

/// What is stored of a document.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Atom {
    /// The document as it was at the baseline's position.
    Rest(Vec<u8>),
    /// What happened to it, and where that stands.
    Event(Position, Change),
}

impl Record {
    /// The record of a document at rest.
    ///
    /// # Errors
    /// [`crate::key::Error`].
    pub fn rest(document: Vec<u8>) -> Result<Self, crate::key::Error> {
        Ok(Self { id: Id::of(&document)?, atom: Atom::Rest(document) })
    }

    /// Bytes of the document, or of what changed in it.
    pub fn bytes(&self) -> &[u8] {
        match &self.atom {
            Atom::Rest(bytes) | Atom::Event(_, Change::Whole(bytes) | Change::Delta(bytes)) => bytes,
            Atom::Event(_, Change::Gone) => &[],
        }
    }

    /// What is wrong with it; for people.
    ///
    /// # Errors
    /// Where its document is damaged, too deep, or has another `_id`.
    pub fn check(&self) -> Result<Key, String> {
        let named = |error: &dyn std::error::Error| format!("document {}: {error}", self.id);
        let key = self.id.key().map_err(|error| named(&error))?;
        if !self.bytes().is_empty() {
            raw::check(self.bytes()).map_err(|error| named(&error))?;
        }
        if let Atom::Rest(document) | Atom::Event(_, Change::Whole(document)) = &self.atom
            && Id::of(document).as_ref() != Ok(&self.id)
        {
            return Err(format!("document {}: its own _id is another", self.id));
        }
        Ok(key)
    }
}

/// What records come to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counted {
    /// Documents at rest.
    pub documents: u64,
    /// Their bytes.
    pub bytes: u64,
}

impl Counted {
    /// Counts a record.
    pub fn see(&mut self, record: &Record) {
        if let Atom::Rest(document) = &record.atom {
            self.documents += 1;
            self.bytes += document.len() as u64;
        }
    }

    /// What only this kind counts.
    pub fn own(self) -> Counts {
        Counts::from([(DOCUMENT_BYTES.to_owned(), self.bytes)])
    }
}

/// Gives the records of a segment, in order, until `take` answers false.
///
/// # Errors
/// Where it is no segment of this kind and format, or cannot be read.
pub fn read(file: &SegmentFile, mut take: impl FnMut(Record) -> bool) -> Result<(), ReadError> {
    let mut reader = Reader::of(file)?;
    while let Some(record) = reader.next(file)? {
        if !take(record) {
            break;
        }
    }
    Ok(())
}

/// The records of a segment, in order; an error is the last.
///
/// # Errors
/// Where it is no segment of this kind and format.
pub fn records(file: SegmentFile) -> Result<impl Iterator<Item = Result<Record, ReadError>>, ReadError> {
    let (mut reader, mut over) = (Reader::of(&file)?, false);
    Ok(std::iter::from_fn(move || {
        let next = if over { None } else { reader.next(&file).transpose() };
        over = !matches!(next, Some(Ok(_)));
        next
    }))
}

/// Where a reader of a segment stands.
struct Reader {
    groups: usize,
    batches: Option<Batches>,
    /// Records of the last batch that were not given.
    records: VecDeque<Record>,
}

impl Reader {
    fn of(file: &SegmentFile) -> Result<Self, ReadError> {
        file.format(KIND, FORMAT..=FORMAT)?;
        Ok(Self { groups: 0, batches: None, records: VecDeque::new() })
    }

    fn next(&mut self, file: &SegmentFile) -> Result<Option<Record>, ReadError> {
        loop {
            if let Some(record) = self.records.pop_front() {
                return Ok(Some(record));
            }
            match self.batches.as_mut().and_then(Iterator::next) {
                Some(batch) => self.decode(file, &batch?)?,
                None if self.groups < file.row_groups() => self.group(file)?,
                None => return Ok(None),
            }
        }
    }

    fn group(&mut self, file: &SegmentFile) -> Result<(), ReadError> {
        self.batches = Some(file.batches(self.groups, ProjectionMask::all())?);
        self.groups += 1;
        Ok(())
    }

    fn decode(&mut self, file: &SegmentFile, batch: &RecordBatch) -> Result<(), ReadError> {
        let rows = columns::Rows::of(batch).map_err(|why| file.refused(why))?;
        for row in 0..batch.num_rows() {
            let record = rows.record(row).map_err(|why| file.refused(format!("row {row} of a batch: {why}")))?;
            self.records.push_back(record);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;
