//! Segments of records, format 1: the columns `key` and `value`, texts, and `time`. A record is a row; that of a deletion has no value.

use std::{convert::Infallible, sync::Arc};

use arrow_array::{
    Array, RecordBatch,
    builder::{Int64Builder, StringBuilder},
    cast::AsArray,
    types::Int64Type,
};
use arrow_schema::{ArrowError, DataType, Field, Schema, SchemaRef};
use parquet::{
    arrow::{ProjectionMask, arrow_writer::ArrowWriterOptions},
    errors::ParquetError,
};
use serde_json::{
    Value, json,
    value::{RawValue, to_raw_value},
};
use tidemark_catalog::{content::ColumnId, figures::Counts, ids::ObjectName};
use tidemark_records::segments::{Label, ReadError, RecordBuilder, SegmentFile};

use super::{KIND, record::Record};

/// The format's number.
const FORMAT: u32 = 1;

/// The columns, in order; their ids count from 1.
const COLUMNS: [&str; 3] = ["key", "time", "value"];

/// The kind's own count.
const DELETIONS: &str = "deletions";

/// The schema of all objects.
pub fn schema() -> Value {
    json!({ "columns": COLUMNS })
}

/// The columns with their ids.
pub fn column_ids() -> Vec<ColumnId> {
    (1..).zip(COLUMNS).map(|(id, name)| ColumnId { id, name: name.to_owned() }).collect()
}

/// Collects records as columns.
pub struct Columns {
    object: String,
    schema: SchemaRef,
    keys: StringBuilder,
    times: Int64Builder,
    values: StringBuilder,
    records: usize,
    bytes: usize,
}

impl Columns {
    /// Of an object.
    pub fn new(object: &ObjectName) -> Self {
        let types = [(DataType::Utf8, false), (DataType::Int64, false), (DataType::Utf8, true)];
        let field = |(name, (of, nullable)): (&str, (DataType, bool))| Field::new(name, of, nullable);
        let fields: Vec<Field> = COLUMNS.into_iter().zip(types).map(field).collect();
        Self {
            object: object.to_string(),
            schema: Arc::new(Schema::new(fields)),
            keys: StringBuilder::new(),
            times: Int64Builder::new(),
            values: StringBuilder::new(),
            records: 0,
            bytes: 0,
        }
    }

    /// Adds a record.
    ///
    /// # Errors
    /// None.
    pub fn push(&mut self, record: &Record) -> Result<(), Infallible> {
        let value = record.value.get();
        self.keys.append_value(&record.key);
        self.times.append_value(record.time);
        self.values.append_option((!record.is_deletion()).then_some(value));
        self.records += 1;
        self.bytes += record.key.len() + size_of::<i64>() + value.len();
        Ok(())
    }
}

impl RecordBuilder for Columns {
    type Error = Infallible;

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
        let (keys, times, values) = (self.keys.finish(), self.times.finish(), self.values.finish());
        RecordBatch::try_new(self.schema.clone(), vec![Arc::new(keys), Arc::new(times), Arc::new(values)])
    }
}

/// What records come to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counted {
    /// Those that a reader sees.
    pub alive: u64,
    /// Deletions.
    pub deletions: u64,
}

impl Counted {
    /// Counts a record.
    pub fn see(&mut self, record: &Record) {
        *(if record.is_deletion() { &mut self.deletions } else { &mut self.alive }) += 1;
    }

    /// What only this kind counts.
    pub fn own(self) -> Counts {
        Counts::from([(DELETIONS.to_owned(), self.deletions)])
    }
}

/// Gives the records of a segment, in order, a batch at a time, until `take` answers false.
///
/// # Errors
/// Where it is no segment of this kind and format, or cannot be read.
pub fn read(file: &SegmentFile, mut take: impl FnMut(Vec<Record>) -> bool) -> Result<(), ReadError> {
    file.format(KIND, FORMAT..=FORMAT)?;
    for group in 0..file.row_groups() {
        for batch in file.batches(group, ProjectionMask::all())? {
            let records = records(&batch?).map_err(|why| file.refused(why))?;
            if !take(records) {
                return Ok(());
            }
        }
    }
    Ok(())
}

fn records(batch: &RecordBatch) -> Result<Vec<Record>, String> {
    let column = |name: &str| batch.column_by_name(name).ok_or_else(|| format!("it has no column {name}"));
    let (keys, values) = (column("key")?.as_string_opt::<i32>(), column("value")?.as_string_opt::<i32>());
    let times = column("time")?.as_primitive_opt::<Int64Type>();
    let (Some(keys), Some(times), Some(values)) = (keys, times, values) else {
        return Err("its columns are of other types".to_owned());
    };
    let record = |row: usize| {
        if keys.is_null(row) || times.is_null(row) {
            return Err(format!("row {row} of a batch has no key or no time"));
        }
        let value = if values.is_null(row) { to_raw_value(&()) } else { raw(values.value(row)) };
        let value = value.map_err(|error| format!("key {}: its value is no JSON: {error}", keys.value(row)))?;
        Ok(Record { key: keys.value(row).to_owned(), time: times.value(row), value })
    };
    (0..batch.num_rows()).map(record).collect()
}

fn raw(text: &str) -> Result<Box<RawValue>, serde_json::Error> {
    RawValue::from_string(text.to_owned())
}
