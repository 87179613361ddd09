//! The smallest layout there is, for tests: each record is one number, which is its key.

use std::{io::Read, sync::Arc};

use arrow_array::{Int32Array, RecordBatch, builder::Int32Builder, cast::AsArray, types::Int32Type};
use arrow_schema::{ArrowError, DataType, Field, Schema, SchemaRef};
use bytes::Bytes;
use parquet::{
    arrow::{ProjectionMask, arrow_writer::ArrowWriterOptions},
    errors::ParquetError,
};
use tidemark_catalog::{keys::Key, opaque::Opaque};

use super::{
    Content, CutError, FinishedSegment, Label, ReadError, RecordBuilder, SegmentCutter, SegmentFile, WriteLimits,
};

/// The kind of the layout.
pub(crate) const KIND: &str = "numbers";

/// Limits that make many batches, row groups and segments of few numbers.
pub(crate) fn tiny(segment_bytes: usize) -> WriteLimits {
    WriteLimits { segment_bytes, row_group_bytes: 1, batch_bytes: 40, spool_bytes: 100 }
}

/// A number that no segment holds.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0} is negative")]
pub(crate) struct Negative(i32);

/// Collects numbers.
pub(crate) struct NumberBuilder {
    schema: SchemaRef,
    numbers: Int32Builder,
    records: usize,
}

impl NumberBuilder {
    pub(crate) fn new() -> Self {
        let schema = Schema::new(vec![Field::new("number", DataType::Int32, false)]);
        Self { schema: Arc::new(schema), numbers: Int32Builder::new(), records: 0 }
    }

    pub(crate) fn append(&mut self, number: i32) -> Result<(), Negative> {
        if number < 0 {
            return Err(Negative(number));
        }
        self.numbers.append_value(number);
        self.records += 1;
        Ok(())
    }
}

impl RecordBuilder for NumberBuilder {
    type Error = Negative;

    fn schema(&self) -> &SchemaRef {
        &self.schema
    }

    fn options(&self) -> Result<ArrowWriterOptions, ParquetError> {
        let label = Label { format: 1, kind: KIND, object: "a/b", schema: "{}" };
        Ok(ArrowWriterOptions::new().with_properties(label.properties()?.build()).with_skip_arrow_metadata(true))
    }

    fn records(&self) -> usize {
        self.records
    }

    fn bytes(&self) -> usize {
        self.records * size_of::<i32>()
    }

    fn finish(&mut self) -> Result<RecordBatch, ArrowError> {
        self.records = 0;
        RecordBatch::try_new(self.schema.clone(), vec![Arc::new(self.numbers.finish())])
    }
}

/// The key of a number.
pub(crate) fn key(number: i32) -> Key {
    let place = number.cast_unsigned() ^ (1 << 31);
    Key { bytes: Opaque::new(place.to_be_bytes().to_vec()), text: number.to_string() }
}

/// The segments of these numbers, each of which is `times` records, with their bytes.
pub(crate) fn write(
    limits: WriteLimits,
    numbers: impl IntoIterator<Item = i32>,
    times: usize,
) -> Result<Vec<(FinishedSegment, Bytes)>, CutError<Negative>> {
    let mut cutter = SegmentCutter::new(NumberBuilder::new(), limits);
    let mut segments = Vec::new();
    for number in numbers {
        cutter.begin(key(number))?;
        for _ in 0..times {
            cutter.append(|builder| builder.append(number))?;
        }
        segments.extend(cutter.end()?);
    }
    segments.extend(cutter.finish()?);
    Ok(segments.into_iter().map(with_bytes).collect())
}

/// The segment, now in memory, and its bytes.
pub(crate) fn with_bytes(mut segment: FinishedSegment) -> (FinishedSegment, Bytes) {
    let bytes = match &mut segment.content {
        Content::Memory(bytes) => bytes.clone(),
        Content::File(file) => {
            let mut bytes = Vec::new();
            file.read_to_end(&mut bytes).unwrap();
            bytes.into()
        }
    };
    assert_eq!(bytes.len() as u64, segment.size);
    (FinishedSegment { content: Content::Memory(bytes.clone()), ..segment }, bytes)
}

/// All numbers of a file.
pub(crate) fn read(file: &SegmentFile) -> Result<Vec<i32>, ReadError> {
    file.format(KIND, 1..=1)?;
    let mut numbers = Vec::new();
    for group in 0..file.row_groups() {
        for batch in file.batches(group, ProjectionMask::all())? {
            numbers.extend(column(file, &batch?)?.values());
        }
    }
    Ok(numbers)
}

fn column(file: &SegmentFile, batch: &RecordBatch) -> Result<Int32Array, ReadError> {
    let found = batch.columns().first().and_then(|column| column.as_primitive_opt::<Int32Type>());
    found.cloned().ok_or_else(|| file.refused("it has no column of numbers"))
}
