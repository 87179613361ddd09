//! A segment's file: its footer, its row groups and where they lie. Nothing of it is taken on trust.
//!
//! One row group is in memory at a time, fetched in one request. Who opens a file proves its bytes first
//! ([`super::StoredSegment`]); beyond that a panic of the Parquet decoder on damaged pages is caught and becomes an error.

mod error;

use std::{
    ops::RangeInclusive,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::Arc,
};

use arrow_array::RecordBatch;
use arrow_schema::ArrowError;
use parquet::{
    arrow::{
        ProjectionMask,
        arrow_reader::{
            ArrowReaderMetadata, ArrowReaderOptions, ParquetRecordBatchReader, ParquetRecordBatchReaderBuilder,
        },
    },
    file::metadata::RowGroupMetaData,
};

pub use self::error::ReadError;
use super::{
    fetch::{Fetch, Window},
    label::{FORMAT_KEY, KIND_KEY},
};

/// Bytes fetched from the end of a file in the hope that its footer is among them.
const FOOTER_BYTES: u64 = 64 << 10;

/// Decoded bytes of a batch, about.
const BATCH_BYTES: u64 = 1 << 20;

/// A row group of several records that is larger was not written by us.
const MAX_ROW_GROUP_BYTES: u64 = 256 << 20;

/// A file whose footer was read.
pub struct SegmentFile {
    name: String,
    source: Arc<dyn Fetch>,
    metadata: ArrowReaderMetadata,
}

impl SegmentFile {
    /// Reads the footer of a file, whose name is for errors.
    ///
    /// # Errors
    /// [`ReadError::Fetch`], [`ReadError::Decode`], [`ReadError::Panicked`].
    pub fn open(source: Arc<dyn Fetch>, name: impl Into<String>) -> Result<Self, ReadError> {
        let name = name.into();
        let metadata = footer(&source, &name)?;
        Ok(Self { name, source, metadata })
    }

    /// Its name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Its schema and row groups, as they stand in the footer.
    pub fn metadata(&self) -> &ArrowReaderMetadata {
        &self.metadata
    }

    /// The number of its format, which its [`super::Label`] says.
    ///
    /// # Errors
    /// [`ReadError::NotASegment`] where it is of another kind of source, or its format is none of `known`.
    pub fn format(&self, kind: &str, known: RangeInclusive<u32>) -> Result<u32, ReadError> {
        let (format, found) = (self.says(FORMAT_KEY), self.says(KIND_KEY));
        let number = format.parse().ok().filter(|format| known.contains(format) && found == kind);
        number.ok_or_else(|| {
            let (least, most) = known.into_inner();
            self.refused(format!("its format is {format} of {found}; this build reads {least} to {most} of {kind}"))
        })
    }

    /// The beginning of what the label says.
    fn says(&self, key: &str) -> String {
        let values = self.metadata.metadata().file_metadata().key_value_metadata();
        let found = values.into_iter().flatten().find(|pair| pair.key == key);
        found.and_then(|pair| pair.value.as_deref()).unwrap_or("none").chars().take(80).collect()
    }

    /// Number of row groups.
    pub fn row_groups(&self) -> usize {
        self.metadata.metadata().num_row_groups()
    }

    /// Records (Parquet rows) of the file.
    pub fn records(&self) -> u64 {
        u64::try_from(self.metadata.metadata().file_metadata().num_rows()).unwrap_or(0)
    }

    /// Records of a row group; 0 where there is none of that number.
    pub fn records_of_row_group(&self, row_group: usize) -> u64 {
        let groups = self.metadata.metadata().row_groups();
        groups.get(row_group).map_or(0, |group| u64::try_from(group.num_rows()).unwrap_or(0))
    }

    /// The records of a row group, from 0, in the columns of `mask`: in one request, and in batches of about 1 MiB.
    ///
    /// # Errors
    /// [`ReadError`]: there is no such row group, it is not where a writer would have put it, or it cannot be had.
    pub fn batches(&self, row_group: usize, mask: ProjectionMask) -> Result<Batches, ReadError> {
        let groups = self.metadata.metadata().row_groups();
        let group = groups.get(row_group).ok_or_else(|| self.refused(format!("there is no row group {row_group}")))?;
        let (start, length) = extent(row_group, group, self.source.size()).map_err(|reason| self.refused(reason))?;
        let window = Window::open(self.source.clone(), start, length)
            .map_err(|source| ReadError::Fetch { file: self.name.clone(), source })?;
        let reader = guarded(&self.name, || {
            ParquetRecordBatchReaderBuilder::new_with_metadata(window, self.metadata.clone())
                .with_row_groups(vec![row_group])
                .with_projection(mask)
                .with_batch_size(batch_records(group))
                .build()
                .map_err(ArrowError::from)
        })?;
        Ok(Batches { file: self.name.clone(), reader })
    }

    /// The error that this file is no segment, and why.
    pub fn refused(&self, reason: impl Into<String>) -> ReadError {
        ReadError::NotASegment { file: self.name.clone(), reason: reason.into() }
    }
}

/// The batches of a row group, in order. After an error it is of no use.
pub struct Batches {
    file: String,
    reader: ParquetRecordBatchReader,
}

impl Iterator for Batches {
    type Item = Result<RecordBatch, ReadError>;

    fn next(&mut self) -> Option<Self::Item> {
        let Self { file, reader } = self;
        guarded(file, || reader.next().transpose()).transpose()
    }
}

/// Runs the Parquet decoder, which may panic on bytes that no writer made.
fn guarded<T>(file: &str, decode: impl FnOnce() -> Result<T, ArrowError>) -> Result<T, ReadError> {
    match catch_unwind(AssertUnwindSafe(decode)) {
        Ok(decoded) => decoded.map_err(|source| ReadError::Decode { file: file.to_owned(), source }),
        Err(_) => Err(ReadError::Panicked { file: file.to_owned() }),
    }
}

fn footer(source: &Arc<dyn Fetch>, file: &str) -> Result<ArrowReaderMetadata, ReadError> {
    let length = source.size().min(FOOTER_BYTES);
    let start = source.size() - length;
    let window = Window::open(source.clone(), start, usize::try_from(length).unwrap_or(0))
        .map_err(|source| ReadError::Fetch { file: file.to_owned(), source })?;
    // The Arrow schema that other writers embed is not trusted; Parquet's own types say everything.
    let options = ArrowReaderOptions::new().with_skip_arrow_metadata(true);
    guarded(file, || ArrowReaderMetadata::load(&window, options).map_err(ArrowError::from))
}

/// Where the column chunks of a row group lie in a file of `size` bytes: offset and length.
fn extent(index: usize, group: &RowGroupMetaData, size: u64) -> Result<(u64, usize), String> {
    let refuse = |what: &str| format!("row group {index} {what}");
    let (mut start, mut end) = (u64::MAX, 0);
    for column in group.columns() {
        let first = column.dictionary_page_offset().unwrap_or(i64::MAX).min(column.data_page_offset());
        let first = u64::try_from(first).map_err(|_| refuse("has a negative offset"))?;
        let length = u64::try_from(column.compressed_size()).map_err(|_| refuse("has a negative length"))?;
        start = start.min(first);
        end = end.max(first.saturating_add(length));
    }
    if start > end || end > size {
        return Err(refuse("lies outside of the file"));
    }
    if end - start > MAX_ROW_GROUP_BYTES && group.num_rows() > 1 {
        return Err(refuse("is larger than any that is written"));
    }
    Ok((start, usize::try_from(end - start).map_err(|_| refuse("is too large"))?))
}

/// Records of a batch of about [`BATCH_BYTES`].
fn batch_records(group: &RowGroupMetaData) -> usize {
    let rows = u64::try_from(group.num_rows()).unwrap_or(0);
    let bytes = u64::try_from(group.total_byte_size()).unwrap_or(0).max(1);
    usize::try_from(rows.saturating_mul(BATCH_BYTES) / bytes).unwrap_or(usize::MAX).clamp(16, 4096)
}
