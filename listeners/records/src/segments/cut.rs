//! Cuts a stream of records into segments.
//!
//! A segment ends with the key that reaches [`WriteLimits::segment_bytes`]; it collects in memory and spills to an
//! unnamed temporary file beyond [`WriteLimits::spool_bytes`], so that a giant key costs disk, not memory. A crash leaves
//! nothing behind: unnamed files vanish with the process.

use std::io;

use arrow_array::RecordBatch;
use arrow_schema::{ArrowError, SchemaRef};
use parquet::{
    arrow::{ArrowWriter, arrow_writer::ArrowWriterOptions},
    errors::ParquetError,
};
use tempfile::SpooledTempFile;
use tidemark_catalog::keys::Key;

use super::finished::{Content, FinishedSegment};

/// Records of a batch at most: beyond that larger batches win nothing.
const BATCH_RECORDS: usize = 4096;

/// Bounds of a cutter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WriteLimits {
    /// Stored bytes at which a segment ends with the key that reaches them.
    pub segment_bytes: usize,
    /// Encoded bytes at which a row group ends, within a key too; at the end of a key it ends from three quarters on.
    pub row_group_bytes: usize,
    /// Bytes of values collected before they are encoded.
    pub batch_bytes: usize,
    /// Bytes of a segment held in memory; what is beyond goes to a temporary file.
    pub spool_bytes: usize,
}

impl Default for WriteLimits {
    /// Segments of 32 MiB in memory, row groups of 8 MiB, batches of 1 MiB.
    fn default() -> Self {
        Self { segment_bytes: 32 << 20, row_group_bytes: 8 << 20, batch_bytes: 1 << 20, spool_bytes: 40 << 20 }
    }
}

/// Collects records of one layout until they are taken as one batch: what a source brings to make segments.
pub trait RecordBuilder {
    /// Why a record does not fit the layout.
    type Error: std::error::Error + 'static;

    /// The columns of the batches.
    fn schema(&self) -> &SchemaRef;

    /// How a segment is written, asked for each. Best begun with [`super::Label::properties`]: row groups must not end by a
    /// number of rows, and no Arrow schema is read back.
    ///
    /// # Errors
    /// Where Parquet cannot say the columns.
    fn options(&self) -> Result<ArrowWriterOptions, ParquetError>;

    /// Records collected: rows of the next batch.
    fn records(&self) -> usize;

    /// Bytes collected, estimated from above the values.
    fn bytes(&self) -> usize;

    /// The records as a batch, in the order they came; the builder is empty again.
    ///
    /// # Errors
    /// Where the columns are of different lengths or not those of the schema.
    fn finish(&mut self) -> Result<RecordBatch, ArrowError>;
}

/// Why records could not be cut into segments. `E` is why a record does not fit the layout.
#[derive(Debug, thiserror::Error)]
pub enum CutError<E: std::error::Error + 'static> {
    /// A record does not fit the layout.
    #[error("a record does not fit its segment")]
    Record(#[source] E),
    /// A key came after one that sorts behind it, or twice.
    #[error("key {} came out of order", .0.text)]
    Order(Key),
    /// Encoding failed.
    #[error("encode a segment")]
    Encode(#[source] ParquetError),
    /// The temporary file failed.
    #[error("spool a segment")]
    Spool(#[source] io::Error),
}

/// Writes records in the order of their keys, and hands out segments as they end: [`SegmentCutter::begin`] each key,
/// [`SegmentCutter::append`] its records, [`SegmentCutter::end`] it, and [`SegmentCutter::finish`] behind the last.
///
/// `K` is a key as the source has it; its order must be that of the bytes of the [`Key`] that it becomes.
pub struct SegmentCutter<B, K = Key> {
    builder: B,
    limits: WriteLimits,
    open: Option<Open<K>>,
    last: Option<K>,
}

struct Open<K> {
    file: ArrowWriter<SpooledTempFile>,
    first: K,
    records: u64,
    /// Encoded bytes of the row group in progress, as of the last batch.
    group_bytes: usize,
}

impl<B: RecordBuilder, K: Ord + Clone + Into<Key>> SegmentCutter<B, K> {
    /// A cutter of what `builder` collects.
    pub fn new(builder: B, limits: WriteLimits) -> Self {
        Self { builder, limits, open: None, last: None }
    }

    /// Begins the records of a key, which is greater than all before it.
    ///
    /// # Errors
    /// [`CutError::Order`] where it is not, [`CutError::Encode`]; the cutter is of no use afterwards.
    pub fn begin(&mut self, key: K) -> Result<(), CutError<B::Error>> {
        if self.last.as_ref().is_some_and(|last| *last >= key) {
            return Err(CutError::Order(key.into()));
        }
        if self.open.is_none() {
            self.open = Some(self.start_segment(key.clone())?);
        }
        self.last = Some(key);
        Ok(())
    }

    /// Appends one record of the key that was begun.
    ///
    /// # Errors
    /// [`CutError::Record`] with the error of `record`, [`CutError::Encode`]; the cutter is of no use afterwards.
    pub fn append(&mut self, record: impl FnOnce(&mut B) -> Result<(), B::Error>) -> Result<(), CutError<B::Error>> {
        record(&mut self.builder).map_err(CutError::Record)?;
        if self.builder.records() >= BATCH_RECORDS || self.builder.bytes() >= self.limits.batch_bytes {
            self.encode_batch()?;
            self.end_group_from(self.limits.row_group_bytes)?;
        }
        Ok(())
    }

    /// Ends the key that was begun; gives the segment that ended with it.
    ///
    /// # Errors
    /// [`CutError::Encode`] and [`CutError::Spool`]; the cutter is of no use afterwards.
    pub fn end(&mut self) -> Result<Option<FinishedSegment>, CutError<B::Error>> {
        let written = self.open.as_ref().map_or(0, |open| open.file.bytes_written() + open.group_bytes);
        if written + self.builder.bytes() >= self.limits.segment_bytes {
            return self.cut();
        }
        if self.open.as_ref().is_some_and(|open| open.group_bytes >= self.soft_group_bytes()) {
            self.encode_batch()?;
        }
        self.end_group_from(self.soft_group_bytes())?;
        Ok(None)
    }

    /// Ends the last segment, if there is one.
    ///
    /// # Errors
    /// [`CutError::Encode`] and [`CutError::Spool`].
    pub fn finish(mut self) -> Result<Option<FinishedSegment>, CutError<B::Error>> {
        self.cut()
    }

    fn start_segment(&self, first: K) -> Result<Open<K>, CutError<B::Error>> {
        let spool = SpooledTempFile::new(self.limits.spool_bytes);
        let schema = self.builder.schema().clone();
        let options = self.builder.options();
        let file = options.and_then(|options| ArrowWriter::try_new_with_options(spool, schema, options));
        Ok(Open { file: file.map_err(CutError::Encode)?, first, records: 0, group_bytes: 0 })
    }

    /// Ending row groups at the ends of keys where there is one near keeps keys whole for readers of row groups.
    fn soft_group_bytes(&self) -> usize {
        self.limits.row_group_bytes / 4 * 3
    }

    fn encode_batch(&mut self) -> Result<(), CutError<B::Error>> {
        let Some(open) = &mut self.open else { return Ok(()) };
        if self.builder.records() == 0 {
            return Ok(());
        }
        open.records += self.builder.records() as u64;
        let batch = self.builder.finish().map_err(ParquetError::from);
        let written = batch.and_then(|batch| open.file.write(&batch));
        // Not what the encoders reserve: each of deltas reserves a MiB, which the kernel gives only as it is written to.
        open.group_bytes = open.file.in_progress_size();
        written.map_err(CutError::Encode)
    }

    fn end_group_from(&mut self, bytes: usize) -> Result<(), CutError<B::Error>> {
        let Some(open) = self.open.as_mut().filter(|open| open.group_bytes >= bytes && open.group_bytes > 0) else {
            return Ok(());
        };
        open.group_bytes = 0;
        open.file.flush().map_err(CutError::Encode)
    }

    fn cut(&mut self) -> Result<Option<FinishedSegment>, CutError<B::Error>> {
        self.encode_batch()?;
        let (Some(open), Some(last)) = (self.open.take(), self.last.clone()) else { return Ok(None) };
        let spool = open.file.into_inner().map_err(CutError::Encode)?;
        let (size, content) = Content::of(spool).map_err(CutError::Spool)?;
        let (first, last) = (open.first.into(), last.into());
        Ok(Some(FinishedSegment { first, last, records: open.records, size, content }))
    }
}
