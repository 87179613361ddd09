//! Writes a stream of partitions as segments: each partition is a key of the segments, its deletion, static row, rows and range
//! tombstone markers are that key's records.

use std::{io, sync::Arc};

use parquet::errors::ParquetError;
use tidemark_cassandra_format::model::{Deletion, Partition, PartitionReader, Unfiltered};
use tidemark_records::segments::{CutError, FinishedSegment, SegmentCutter, WriteLimits};

pub use super::batch::ShapeError;
use super::{batch::BatchBuilder, key::SegmentKey, layout::Layout};

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

/// Writes partitions in order, and hands out segments as they end.
pub struct SegmentWriter {
    layout: Arc<Layout>,
    cutter: SegmentCutter<BatchBuilder, SegmentKey>,
}

impl SegmentWriter {
    /// A writer of segments of this layout.
    pub fn new(layout: Arc<Layout>, limits: WriteLimits) -> Self {
        let cutter = SegmentCutter::new(BatchBuilder::new(layout.clone()), limits);
        Self { layout, cutter }
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
        let key = SegmentKey { token: partition.token, key: partition.key.clone() };
        self.cutter.begin(key).map_err(|error| failed(&self.layout, Some(partition), error))?;
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
        self.cutter.end().map_err(|error| failed(&self.layout, Some(partition), error))
    }

    /// Ends the last segment, if there is one.
    ///
    /// # Errors
    /// [`WriteError::Encode`] and [`WriteError::Spool`].
    pub fn finish<E: std::error::Error + 'static>(self) -> Result<Option<FinishedSegment>, WriteError<E>> {
        let Self { layout, cutter } = self;
        cutter.finish().map_err(|error| failed(&layout, None, error))
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
        self.cutter.append(record).map_err(|error| failed(&self.layout, Some(partition), error))
    }
}

/// What went wrong in the layout's table, at this partition; where segments end no partition is at fault.
fn failed<E: std::error::Error + 'static>(
    layout: &Layout,
    partition: Option<&Partition>,
    error: CutError<ShapeError>,
) -> WriteError<E> {
    let table = layout.table();
    let table = format!("{}.{}", table.keyspace, table.table);
    let (token, key) = partition.map_or_else(Default::default, |p| (p.token, hex::encode(&p.key)));
    match error {
        CutError::Record(source) => WriteError::Shape { table, token, key, source },
        CutError::Order(_) => WriteError::Order { token, key },
        CutError::Encode(source) => WriteError::Encode { table, source },
        CutError::Spool(source) => WriteError::Spool { table, source },
    }
}
