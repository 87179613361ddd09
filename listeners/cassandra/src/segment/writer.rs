//! Writes a stream of partitions as segments.
//!
//! A segment ends at the first partition boundary after [`WriteLimits::segment_bytes`]; it collects in memory and spills to an
//! unnamed temporary file beyond [`WriteLimits::spool_bytes`], so that a giant partition costs disk, not memory. A crash
//! leaves nothing behind: unnamed files vanish with the process.

use std::{
    fs::File,
    io::{self, Seek},
    sync::Arc,
};

use bytes::Bytes;
use parquet::{arrow::ArrowWriter, errors::ParquetError};
use tempfile::{SpooledData, SpooledTempFile};
use tidemark_cassandra_format::model::{Deletion, Partition, PartitionReader, Unfiltered};

pub use super::batch::ShapeError;
use super::{batch::BatchBuilder, key::SegmentKey, layout::Layout, properties::writer_options};

/// Records of a batch at most: beyond that larger batches win nothing.
const BATCH_RECORDS: usize = 4096;

/// Bounds of a writer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WriteLimits {
    /// Stored bytes at which a segment ends at the next partition boundary.
    pub segment_bytes: usize,
    /// Encoded bytes at which a row group ends, within a partition too; at a boundary it ends from three quarters on.
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

/// Why a stream could not be written. `E` is the stream's own error.
#[derive(Debug, thiserror::Error)]
pub enum WriteError<E: std::error::Error + 'static> {
    /// The stream failed.
    #[error("read the stream to write")]
    Stream(#[source] E),
    /// An atom is not of the layout's table.
    #[error("partition {token} {key}: an atom does not fit table {table}")]
    Shape {
        /// Keyspace and table.
        table: String,
        /// Token of the partition.
        token: i64,
        /// Its key, hexadecimal.
        key: String,
        /// What does not fit.
        source: ShapeError,
    },
    /// A partition came after one that sorts behind it, or twice.
    #[error("partition {token} {key} came out of order")]
    Order {
        /// Token of the partition.
        token: i64,
        /// Its key, hexadecimal.
        key: String,
    },
    /// Encoding failed.
    #[error("encode a segment of {table}")]
    Encode {
        /// Keyspace and table.
        table: String,
        /// Why.
        source: ParquetError,
    },
    /// The temporary file failed.
    #[error("spool a segment of {table}")]
    Spool {
        /// Keyspace and table.
        table: String,
        /// Why.
        source: io::Error,
    },
}

/// A segment to be stored.
#[derive(Debug)]
pub struct FinishedSegment {
    /// First partition.
    pub first: SegmentKey,
    /// Last partition.
    pub last: SegmentKey,
    /// Parquet rows.
    pub records: u64,
    /// Bytes.
    pub size: u64,
    /// Its bytes.
    pub content: Content,
}

/// Where the bytes of a finished segment are.
#[derive(Debug)]
pub enum Content {
    /// In memory.
    Memory(Bytes),
    /// In an unnamed temporary file, at its start.
    File(File),
}

impl Content {
    fn of(mut spool: SpooledTempFile) -> io::Result<(u64, Self)> {
        let size = spool.stream_position()?;
        spool.rewind()?;
        let content = match spool.into_inner() {
            SpooledData::InMemory(bytes) => Self::Memory(bytes.into_inner().into()),
            SpooledData::OnDisk(file) => Self::File(file),
        };
        Ok((size, content))
    }
}

/// Writes partitions in order, and hands out segments as they end.
pub struct SegmentWriter {
    layout: Arc<Layout>,
    limits: WriteLimits,
    builder: BatchBuilder,
    open: Option<Open>,
    last: Option<SegmentKey>,
}

struct Open {
    file: ArrowWriter<SpooledTempFile>,
    first: SegmentKey,
    records: u64,
    /// Encoded bytes of the row group in progress, as of the last batch.
    group_bytes: usize,
}

impl SegmentWriter {
    /// A writer of segments of this layout.
    pub fn new(layout: Arc<Layout>, limits: WriteLimits) -> Self {
        let builder = BatchBuilder::new(layout.clone());
        Self { layout, limits, builder, open: None, last: None }
    }

    /// Writes `partition` and its unfiltereds, which are the next of `stream`; returns the segment that ended with it.
    ///
    /// # Errors
    /// [`WriteError`]; the writer is of no use afterwards.
    pub fn write_partition<R>(
        &mut self,
        partition: &Partition,
        stream: &mut R,
    ) -> Result<Option<FinishedSegment>, WriteError<R::Error>>
    where
        R: PartitionReader + ?Sized,
        R::Error: std::error::Error + 'static,
    {
        self.start_partition(partition)?;
        let mut records = self.write_head(partition)?;
        while let Some(unfiltered) = stream.next_unfiltered().map_err(WriteError::Stream)? {
            self.append(partition, |builder| match &unfiltered {
                Unfiltered::Row(row) => builder.row(partition, row),
                Unfiltered::Marker(marker) => builder.marker(partition, marker),
            })?;
            records += 1;
        }
        if records == 0 {
            self.append_head(partition)?;
        }
        self.end_partition()
    }

    /// Ends the last segment, if there is one.
    ///
    /// # Errors
    /// [`WriteError::Encode`] and [`WriteError::Spool`].
    pub fn finish<E: std::error::Error + 'static>(mut self) -> Result<Option<FinishedSegment>, WriteError<E>> {
        self.cut()
    }

    fn start_partition<E: std::error::Error + 'static>(&mut self, partition: &Partition) -> Result<(), WriteError<E>> {
        let key = SegmentKey { token: partition.token, key: partition.key.clone() };
        if self.last.as_ref().is_some_and(|last| *last >= key) {
            return Err(WriteError::Order { token: key.token, key: hex::encode(&key.key) });
        }
        if self.open.is_none() {
            self.open = Some(self.start_segment(key.clone())?);
        }
        self.last = Some(key);
        Ok(())
    }

    fn start_segment<E: std::error::Error + 'static>(&self, first: SegmentKey) -> Result<Open, WriteError<E>> {
        let spool = SpooledTempFile::new(self.limits.spool_bytes);
        let options = writer_options(&self.layout);
        let file = options.and_then(|o| ArrowWriter::try_new_with_options(spool, self.layout.schema().clone(), o));
        let file = file.map_err(|source| self.encode(source))?;
        Ok(Open { file, first, records: 0, group_bytes: 0 })
    }

    /// Writes the partition's deletion and static row; returns how many records that were.
    fn write_head<E: std::error::Error + 'static>(&mut self, partition: &Partition) -> Result<u64, WriteError<E>> {
        let mut records = 0;
        if partition.deletion != Deletion::LIVE {
            self.append_head(partition)?;
            records += 1;
        }
        if let Some(row) = &partition.static_row {
            self.append(partition, |builder| builder.static_row(partition, row))?;
            records += 1;
        }
        Ok(records)
    }

    fn append_head<E: std::error::Error + 'static>(&mut self, partition: &Partition) -> Result<(), WriteError<E>> {
        self.append(partition, |builder| {
            builder.head(partition);
            Ok(())
        })
    }

    fn append<E: std::error::Error + 'static>(
        &mut self,
        partition: &Partition,
        record: impl FnOnce(&mut BatchBuilder) -> Result<(), ShapeError>,
    ) -> Result<(), WriteError<E>> {
        record(&mut self.builder).map_err(|source| WriteError::Shape {
            table: self.table(),
            token: partition.token,
            key: hex::encode(&partition.key),
            source,
        })?;
        if self.builder.records() >= BATCH_RECORDS || self.builder.bytes() >= self.limits.batch_bytes {
            self.encode_batch()?;
            self.end_group_from(self.limits.row_group_bytes)?;
        }
        Ok(())
    }

    fn end_partition<E: std::error::Error + 'static>(&mut self) -> Result<Option<FinishedSegment>, WriteError<E>> {
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

    /// Ending row groups at partition boundaries where there is one near keeps partitions whole for readers of row groups.
    fn soft_group_bytes(&self) -> usize {
        self.limits.row_group_bytes / 4 * 3
    }

    fn encode_batch<E: std::error::Error + 'static>(&mut self) -> Result<(), WriteError<E>> {
        let Some(open) = &mut self.open else { return Ok(()) };
        if self.builder.records() == 0 {
            return Ok(());
        }
        open.records += self.builder.records() as u64;
        let batch = self.builder.finish().map_err(ParquetError::from);
        let written = batch.and_then(|batch| open.file.write(&batch));
        // Not what the encoders reserve: each of deltas reserves a MiB, which the kernel gives only as it is written to.
        open.group_bytes = open.file.in_progress_size();
        written.map_err(|source| self.encode(source))
    }

    fn end_group_from<E: std::error::Error + 'static>(&mut self, bytes: usize) -> Result<(), WriteError<E>> {
        let Some(open) = self.open.as_mut().filter(|open| open.group_bytes >= bytes && open.group_bytes > 0) else {
            return Ok(());
        };
        open.group_bytes = 0;
        let flushed = open.file.flush();
        flushed.map_err(|source| self.encode(source))
    }

    fn cut<E: std::error::Error + 'static>(&mut self) -> Result<Option<FinishedSegment>, WriteError<E>> {
        self.encode_batch()?;
        let (Some(open), Some(last)) = (self.open.take(), self.last.clone()) else { return Ok(None) };
        let spool = open.file.into_inner().map_err(|source| self.encode(source))?;
        let content = Content::of(spool);
        let (size, content) = content.map_err(|source| WriteError::Spool { table: self.table(), source })?;
        Ok(Some(FinishedSegment { first: open.first, last, records: open.records, size, content }))
    }

    fn table(&self) -> String {
        let table = self.layout.table();
        format!("{}.{}", table.keyspace, table.table)
    }

    fn encode<E: std::error::Error + 'static>(&self, source: ParquetError) -> WriteError<E> {
        WriteError::Encode { table: self.table(), source }
    }
}
