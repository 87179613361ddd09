//! Records as a record batch, column by column.

mod row;
mod shape;

use std::sync::Arc;

use arrow_array::{
    ArrayRef, RecordBatch,
    builder::{BinaryBuilder, Int8Builder, Int64Builder},
};
use arrow_schema::{ArrowError, Field, SchemaRef};
use parquet::{arrow::arrow_writer::ArrowWriterOptions, errors::ParquetError};
use tidemark_cassandra_format::model::{Clustering, Marker, Partition, Row, RowDeletion};
use tidemark_records::segments::RecordBuilder;

pub use self::shape::ShapeError;
use self::{
    row::{MarkerBuilder, RowBuilder},
    shape::{check_clustering, check_row},
};
use super::{
    Kind,
    cells::{ColumnBuilder, RowTimes, weight},
    key::split,
    layout::{DataColumn, Layout},
    properties::writer_options,
    values::{HeldBuilder, TypedBuilder},
};

/// Bytes of a record's own columns, for bounding a batch.
const RECORD_BYTES: usize = 96;

/// Collects records until they are taken as one batch.
pub(super) struct BatchBuilder {
    layout: Arc<Layout>,
    token: Int64Builder,
    kind: Int8Builder,
    key: Vec<HeldBuilder>,
    key_raw: BinaryBuilder,
    clustering: Vec<TypedBuilder>,
    row: RowBuilder,
    marker: MarkerBuilder,
    statics: Vec<ColumnBuilder>,
    regulars: Vec<ColumnBuilder>,
    records: usize,
    bytes: usize,
}

impl BatchBuilder {
    pub(super) fn new(layout: Arc<Layout>) -> Self {
        let mut fields = layout.schema().fields().iter().map(AsRef::as_ref).skip(column_offset(&layout));
        let statics = column_builders(&layout.statics, &mut fields);
        let regulars = column_builders(&layout.regulars, &mut fields);
        Self {
            token: Int64Builder::new(),
            kind: Int8Builder::new(),
            key: layout.partition_key.iter().map(|c| HeldBuilder::new(&c.physical)).collect(),
            key_raw: BinaryBuilder::new(),
            clustering: layout.clustering.iter().map(|c| TypedBuilder::new(&c.physical)).collect(),
            row: RowBuilder::new(),
            marker: MarkerBuilder::new(),
            statics,
            regulars,
            layout,
            records: 0,
            bytes: 0,
        }
    }

    /// Appends the partition's deletion.
    pub(super) fn head(&mut self, partition: &Partition) {
        self.start(partition, Kind::Head);
        self.no_clustering();
        self.row.append(None, RowDeletion { time: partition.deletion, shadowable: false });
        self.marker.append_null();
        absent(&mut self.statics);
        absent(&mut self.regulars);
    }

    /// Appends the static row.
    pub(super) fn static_row(&mut self, partition: &Partition, row: &Row) -> Result<(), ShapeError> {
        check_row(row, 0, &self.layout.statics)?;
        self.start(partition, Kind::Static);
        self.no_clustering();
        absent(&mut self.regulars);
        self.bytes += fill(&mut self.statics, row, &self.layout.statics)?;
        self.end_row(row);
        Ok(())
    }

    /// Appends a row.
    pub(super) fn row(&mut self, partition: &Partition, row: &Row) -> Result<(), ShapeError> {
        check_row(row, self.clustering.len(), &self.layout.regulars)?;
        self.start(partition, Kind::Row);
        self.clustering(&row.clustering);
        absent(&mut self.statics);
        self.bytes += fill(&mut self.regulars, row, &self.layout.regulars)?;
        self.end_row(row);
        Ok(())
    }

    /// Appends a range tombstone marker.
    pub(super) fn marker(&mut self, partition: &Partition, marker: &Marker) -> Result<(), ShapeError> {
        check_clustering(&marker.prefix, marker.prefix.len() <= self.clustering.len(), self.clustering.len())?;
        self.start(partition, Kind::Marker);
        self.clustering(&marker.prefix);
        self.row.append(None, RowDeletion::default());
        self.marker.append(marker);
        absent(&mut self.statics);
        absent(&mut self.regulars);
        Ok(())
    }

    fn start(&mut self, partition: &Partition, kind: Kind) {
        self.token.append_value(partition.token);
        self.kind.append_value(kind as i8);
        self.append_key(&partition.key);
        self.records += 1;
        self.bytes += RECORD_BYTES + partition.key.len();
    }

    /// The key by its components, or whole and raw where one of them would not come back.
    fn append_key(&mut self, key: &[u8]) {
        let split = split(key, self.key.len());
        let held = split.filter(|parts| parts.iter().zip(&self.key).all(|(part, column)| column.holds(part)));
        self.key_raw.append_option(held.is_none().then_some(key));
        for (i, column) in self.key.iter_mut().enumerate() {
            column.append(held.as_ref().map(|parts| parts[i]));
        }
    }

    fn no_clustering(&mut self) {
        self.clustering.iter_mut().for_each(TypedBuilder::append_null);
    }

    fn clustering(&mut self, values: &Clustering) {
        let padded = values.iter().map(Option::as_ref).chain(std::iter::repeat(None));
        for (column, value) in self.clustering.iter_mut().zip(padded) {
            match value {
                Some(value) => {
                    column.append(value);
                    self.bytes += value.len();
                }
                None => column.append_null(),
            }
        }
    }

    fn end_row(&mut self, row: &Row) {
        self.row.append(Some(row), row.deletion);
        self.marker.append_null();
    }
}

impl RecordBuilder for BatchBuilder {
    type Error = ShapeError;

    fn schema(&self) -> &SchemaRef {
        self.layout.schema()
    }

    fn options(&self) -> Result<ArrowWriterOptions, ParquetError> {
        writer_options(&self.layout)
    }

    fn records(&self) -> usize {
        self.records
    }

    fn bytes(&self) -> usize {
        self.bytes
    }

    fn finish(&mut self) -> Result<RecordBatch, ArrowError> {
        let mut arrays: Vec<ArrayRef> = vec![Arc::new(self.token.finish()), Arc::new(self.kind.finish())];
        arrays.extend(self.key.iter_mut().map(HeldBuilder::finish));
        arrays.push(Arc::new(self.key_raw.finish()));
        for column in &mut self.clustering {
            let (value, raw) = column.finish();
            arrays.extend([value, raw]);
        }
        self.row.finish(&mut arrays);
        self.marker.finish(&mut arrays);
        self.statics.iter_mut().chain(&mut self.regulars).for_each(|column| column.finish(&mut arrays));
        (self.records, self.bytes) = (0, 0);
        RecordBatch::try_new(self.layout.schema().clone(), arrays)
    }
}

/// Number of arrays before those of the first static or regular column.
fn column_offset(layout: &Layout) -> usize {
    const BEFORE_AND_AFTER_KEYS: usize = 3 + 12;
    BEFORE_AND_AFTER_KEYS + layout.partition_key.len() + 2 * layout.clustering.len()
}

fn column_builders<'a>(columns: &[DataColumn], fields: &mut impl Iterator<Item = &'a Field>) -> Vec<ColumnBuilder> {
    let mut builders = Vec::with_capacity(columns.len());
    for column in columns {
        let field = fields.next().expect("the layout has fields for each of its columns");
        builders.push(ColumnBuilder::new(column, field));
        fields.nth(column.companions() - 1);
    }
    builders
}

fn absent(columns: &mut [ColumnBuilder]) {
    columns.iter_mut().for_each(ColumnBuilder::append_absent);
}

/// Appends a checked row's columns, absent ones too; returns their weight.
fn fill(builders: &mut [ColumnBuilder], row: &Row, columns: &[DataColumn]) -> Result<usize, ShapeError> {
    let times = RowTimes::of(row.liveness);
    let mut present = row.columns.iter().peekable();
    let mut bytes = 0;
    for (i, builder) in builders.iter_mut().enumerate() {
        match present.next_if(|(index, _)| usize::from(*index) == i) {
            Some((_, data)) if builder.append(data, times) => bytes += weight(data),
            Some(_) => return Err(ShapeError::Cells(columns[i].name.clone())),
            None => builder.append_absent(),
        }
    }
    Ok(bytes)
}
