//! The columns of a segment, there and back.

use std::sync::Arc;

use arrow_array::{
    Array, ArrayRef, RecordBatch,
    builder::{BinaryBuilder, Int8Builder, UInt64Builder},
    cast::AsArray,
    types::{Int8Type, UInt64Type},
};
use arrow_schema::{ArrowError, DataType, Field, Schema, SchemaRef};
use parquet::{
    arrow::{PARQUET_FIELD_ID_META_KEY, arrow_writer::ArrowWriterOptions},
    errors::ParquetError,
};
use tidemark_catalog::ids::ObjectName;
use tidemark_records::segments::{Label, RecordBuilder};

use super::{Atom, FORMAT, KIND, Record, schema};
use crate::{
    event::Change,
    key::Id,
    raw::MAX_BYTES,
    time::{ClusterTime, Position},
};

/// The columns, in order; their ids count from 1.
pub(super) const NAMES: [&str; 5] = ["_id", "kind", "time", "place", "document"];

/// Their types, and whether they can be null.
const TYPES: [(DataType, bool); 5] = [
    (DataType::Binary, false),
    (DataType::Int8, false),
    (DataType::UInt64, true),
    (DataType::Binary, true),
    (DataType::Binary, true),
];

/// What a record is; the value of `kind`.
mod kind {
    pub(super) const REST: i8 = 0;
    pub(super) const WHOLE: i8 = 1;
    pub(super) const DELTA: i8 = 2;
    pub(super) const GONE: i8 = 3;
}

/// A record that no segment can hold.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("document {id} has {bytes} bytes, more than {MAX_BYTES}")]
pub struct Unwritable {
    id: String,
    bytes: usize,
}

/// Collects records as columns.
pub struct Columns {
    object: String,
    schema: SchemaRef,
    ids: BinaryBuilder,
    kinds: Int8Builder,
    times: UInt64Builder,
    places: BinaryBuilder,
    documents: BinaryBuilder,
    records: usize,
    bytes: usize,
}

impl Columns {
    /// Of an object.
    pub fn new(object: &ObjectName) -> Self {
        let field = |(index, (name, (of, nullable))): (usize, (&str, (DataType, bool)))| {
            let id = (PARQUET_FIELD_ID_META_KEY.to_owned(), (index + 1).to_string());
            Field::new(name, of, nullable).with_metadata([id].into())
        };
        let fields: Vec<Field> = NAMES.into_iter().zip(TYPES).enumerate().map(field).collect();
        Self {
            object: object.to_string(),
            schema: Arc::new(Schema::new(fields)),
            ids: BinaryBuilder::new(),
            kinds: Int8Builder::new(),
            times: UInt64Builder::new(),
            places: BinaryBuilder::new(),
            documents: BinaryBuilder::new(),
            records: 0,
            bytes: 0,
        }
    }

    /// Adds a record.
    ///
    /// # Errors
    /// [`Unwritable`].
    pub fn push(&mut self, record: &Record) -> Result<(), Unwritable> {
        let body = record.bytes();
        if body.len() > MAX_BYTES {
            return Err(Unwritable { id: record.id.to_string(), bytes: body.len() });
        }
        let (kind, at, body) = match &record.atom {
            Atom::Rest(_) => (kind::REST, None, Some(body)),
            Atom::Event(at, Change::Whole(_)) => (kind::WHOLE, Some(at), Some(body)),
            Atom::Event(at, Change::Delta(_)) => (kind::DELTA, Some(at), Some(body)),
            Atom::Event(at, Change::Gone) => (kind::GONE, Some(at), None),
        };
        let id = record.id.to_bytes();
        self.bytes += id.len() + body.map_or(0, <[u8]>::len) + at.map_or(0, |at| at.place.len()) + size_of::<u64>();
        self.records += 1;
        self.ids.append_value(id);
        self.kinds.append_value(kind);
        self.times.append_option(at.map(|at| at.time.bits()));
        self.places.append_option(at.map(|at| &at.place));
        self.documents.append_option(body);
        Ok(())
    }
}

impl RecordBuilder for Columns {
    type Error = Unwritable;

    fn schema(&self) -> &SchemaRef {
        &self.schema
    }

    fn options(&self) -> Result<ArrowWriterOptions, ParquetError> {
        let schema = schema().to_string();
        let label = Label { format: FORMAT, kind: KIND, object: &self.object, schema: &schema };
        Ok(ArrowWriterOptions::new().with_properties(label.properties()?.build()).with_skip_arrow_metadata(true))
    }

    fn records(&self) -> usize {
        self.records
    }

    fn bytes(&self) -> usize {
        self.bytes
    }

    fn finish(&mut self) -> Result<RecordBatch, ArrowError> {
        (self.records, self.bytes) = (0, 0);
        let columns: Vec<ArrayRef> = vec![
            Arc::new(self.ids.finish()),
            Arc::new(self.kinds.finish()),
            Arc::new(self.times.finish()),
            Arc::new(self.places.finish()),
            Arc::new(self.documents.finish()),
        ];
        RecordBatch::try_new(self.schema.clone(), columns)
    }
}

/// The rows of a batch.
pub(super) struct Rows<'a> {
    ids: &'a arrow_array::BinaryArray,
    kinds: &'a arrow_array::Int8Array,
    times: &'a arrow_array::UInt64Array,
    places: &'a arrow_array::BinaryArray,
    documents: &'a arrow_array::BinaryArray,
}

impl<'a> Rows<'a> {
    /// The columns of a batch; what is wrong with them, for people.
    pub(super) fn of(batch: &'a RecordBatch) -> Result<Self, String> {
        let column = |name: &str| batch.column_by_name(name).ok_or_else(|| format!("it has no column {name}"));
        let of_type = |name: &str| format!("its column {name} is of another type");
        let binary = |name| column(name)?.as_binary_opt::<i32>().ok_or_else(|| of_type(name));
        Ok(Self {
            ids: binary("_id")?,
            kinds: column("kind")?.as_primitive_opt::<Int8Type>().ok_or_else(|| of_type("kind"))?,
            times: column("time")?.as_primitive_opt::<UInt64Type>().ok_or_else(|| of_type("time"))?,
            places: binary("place")?,
            documents: binary("document")?,
        })
    }

    /// A row; what is wrong with it, for people.
    pub(super) fn record(&self, row: usize) -> Result<Record, String> {
        let id = (!self.ids.is_null(row)).then(|| Id::from_bytes(self.ids.value(row))).flatten();
        let id = id.ok_or("it has no _id")?;
        let of = if self.kinds.is_null(row) { -1 } else { self.kinds.value(row) };
        let body = (!self.documents.is_null(row)).then(|| self.documents.value(row).to_vec());
        let placed = !self.times.is_null(row) && !self.places.is_null(row);
        let at = placed.then(|| Position {
            time: ClusterTime::of_bits(self.times.value(row)),
            place: self.places.value(row).to_vec(),
        });
        let atom = match (of, at, body) {
            (kind::REST, None, Some(document)) => Atom::Rest(document),
            (kind::WHOLE, Some(at), Some(document)) => Atom::Event(at, Change::Whole(document)),
            (kind::DELTA, Some(at), Some(description)) => Atom::Event(at, Change::Delta(description)),
            (kind::GONE, Some(at), None) => Atom::Event(at, Change::Gone),
            _ => return Err(format!("document {id} of kind {of} lacks what that kind has, or has what it lacks")),
        };
        Ok(Record { id, atom })
    }
}
