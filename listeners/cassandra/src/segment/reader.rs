//! Reads a segment back as a stream of partitions.
//!
//! One row group is in memory at a time, fetched in one request. Callers prove the file's digest before they read it
//! (`segment::stored`); beyond that nothing is taken on trust: schema, states and order are checked, and damaged pages become
//! an error ([`SegmentFile`]).

mod error;
mod projection;

use std::sync::Arc;

use arrow_array::RecordBatch;
use tidemark_cassandra_format::model::{Deletion, Partition, PartitionReader, Row, Unfiltered};
use tidemark_records::segments::{Batches, Fetch, SegmentFile};

pub use self::error::ReadError;
use self::projection::Projection;
use super::{
    KIND, Kind, SEGMENT_FORMAT,
    decode::{Bad, Records},
    key::SegmentKey,
    layout::Layout,
};

/// Reads partitions of one file, in the columns of one layout.
pub struct SegmentReader {
    file: SegmentFile,
    layout: Arc<Layout>,
    projection: Projection,
    next_group: usize,
    batches: Option<Batches>,
    batch: Option<Records>,
    at: usize,
    /// Records of the row group before the batch.
    before: usize,
    current: Option<SegmentKey>,
}

impl SegmentReader {
    /// Opens a file, whose name is for errors, to be read in the columns of `layout`.
    ///
    /// # Errors
    /// [`ReadError`]: not a segment, of another format, or its columns have not the layout's types.
    pub fn open(source: Arc<dyn Fetch>, layout: Arc<Layout>, file: impl Into<String>) -> Result<Self, ReadError> {
        Self::of(SegmentFile::open(source, file)?, &layout)
    }

    /// Reads an opened file in the columns of `layout`.
    ///
    /// # Errors
    /// [`ReadError`]: not a segment, of another format, or its columns have not the layout's types.
    pub fn of(file: SegmentFile, layout: &Arc<Layout>) -> Result<Self, ReadError> {
        let format = file.format(KIND, 1..=SEGMENT_FORMAT)?;
        let layout = layout.of_format(format).ok_or_else(|| file.refused(format!("no layout has format {format}")))?;
        let projection = Projection::of(file.metadata(), layout.schema(), file.name())?;
        Ok(Self {
            file,
            layout,
            projection,
            next_group: 0,
            batches: None,
            batch: None,
            at: 0,
            before: 0,
            current: None,
        })
    }

    /// Number of row groups.
    pub fn row_groups(&self) -> usize {
        self.file.row_groups()
    }

    /// Records (Parquet rows) of the file.
    pub fn records(&self) -> u64 {
        self.file.records()
    }

    /// Records of a row group; 0 where there is none of that number.
    pub fn records_of_row_group(&self, row_group: usize) -> u64 {
        self.file.records_of_row_group(row_group)
    }

    /// The row group, from 0, that the last record came from; before the first record, the one it will come from.
    pub fn row_group(&self) -> usize {
        if self.batches.is_some() { self.next_group - 1 } else { self.next_group }
    }

    /// Goes on with the first record of a row group, from 0. Where it cuts a partition, the partition's rest comes as a
    /// partition without deletion and static row: those stood in an earlier row group.
    ///
    /// # Errors
    /// [`ReadError::File`] where there is no such row group.
    pub fn read_from_row_group(&mut self, row_group: usize) -> Result<(), ReadError> {
        if row_group > self.row_groups() {
            return Err(self.file.refused(format!("there is no row group {row_group}")).into());
        }
        self.next_group = row_group;
        (self.batches, self.batch, self.current) = (None, None, None);
        Ok(())
    }

    /// Makes sure that there is a record at `at`; false at the end of the file.
    fn fill(&mut self) -> Result<bool, ReadError> {
        while self.batch.as_ref().is_none_or(|batch| self.at >= batch.count()) {
            if let Some(batch) = self.batch.take() {
                self.before += batch.count();
            }
            if !self.next_batch()? {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// The next batch, from the next row group where this one is at its end; false at the end of the file.
    fn next_batch(&mut self) -> Result<bool, ReadError> {
        loop {
            let Some(batches) = &mut self.batches else {
                if self.next_group == self.row_groups() {
                    return Ok(false);
                }
                self.batches = Some(self.file.batches(self.next_group, self.projection.mask.clone())?);
                (self.next_group, self.before) = (self.next_group + 1, 0);
                continue;
            };
            match batches.next().transpose()? {
                Some(batch) => {
                    self.batch = Some(self.records_of(&batch)?);
                    self.at = 0;
                    return Ok(true);
                }
                None => self.batches = None,
            }
        }
    }

    fn records_of(&self, batch: &RecordBatch) -> Result<Records, ReadError> {
        let arrays = self.projection.places.iter().map(|place| place.map(|place| batch.column(place).clone()));
        Records::of(&self.layout, batch.num_rows(), arrays.collect())
            .map_err(|Bad { column, reason }| self.column(column, reason))
    }

    fn column(&self, column: String, reason: &str) -> ReadError {
        ReadError::Column { file: self.file.name().to_owned(), column, reason: reason.to_owned() }
    }

    /// Decodes the record at `at`, which [`Self::fill`] made sure of.
    fn decode<T>(&self, decode: impl FnOnce(&Records, usize) -> Result<T, Bad>) -> Result<T, ReadError> {
        let Some(batch) = &self.batch else {
            return Err(self.record(Bad { column: String::new(), reason: "no record" }));
        };
        decode(batch, self.at).map_err(|bad| self.record(bad))
    }

    fn record(&self, Bad { column, reason }: Bad) -> ReadError {
        let record = self.before + self.at;
        ReadError::Record { file: self.file.name().to_owned(), row_group: self.row_group(), record, column, reason }
    }

    fn misplaced<T>(&self, reason: &'static str) -> Result<T, ReadError> {
        Err(self.record(Bad { column: "__kind".to_owned(), reason }))
    }

    /// The kind of the next record, where it is of the current partition.
    fn next_kind(&mut self) -> Result<Option<Kind>, ReadError> {
        if self.current.is_none() || !self.fill()? {
            return Ok(None);
        }
        let key = self.decode(Records::key)?;
        if self.current.as_ref() != Some(&key) {
            return Ok(None);
        }
        self.decode(Records::kind).map(Some)
    }

    /// The partition's deletion, if one comes next.
    fn read_head(&mut self) -> Result<Deletion, ReadError> {
        if self.next_kind()? != Some(Kind::Head) {
            return Ok(Deletion::LIVE);
        }
        let deletion = self.decode(Records::head)?;
        self.at += 1;
        Ok(deletion)
    }

    /// The partition's static row, if one comes next.
    fn read_static(&mut self) -> Result<Option<Row>, ReadError> {
        if self.next_kind()? != Some(Kind::Static) {
            return Ok(None);
        }
        let row = self.decode(Records::static_row)?;
        self.at += 1;
        Ok(Some(row))
    }
}

impl PartitionReader for SegmentReader {
    type Error = ReadError;

    fn next_partition(&mut self) -> Result<Option<Partition>, ReadError> {
        while self.next_kind()?.is_some() {
            self.at += 1;
        }
        if !self.fill()? {
            self.current = None;
            return Ok(None);
        }
        let key = self.decode(Records::key)?;
        if self.current.as_ref().is_some_and(|current| *current >= key) {
            return self.misplaced("partitions are out of order");
        }
        self.current = Some(key.clone());
        let deletion = self.read_head()?;
        let static_row = self.read_static()?;
        Ok(Some(Partition { token: key.token, key: key.key, deletion, static_row }))
    }

    fn next_unfiltered(&mut self) -> Result<Option<Unfiltered>, ReadError> {
        let unfiltered = match self.next_kind()? {
            None => return Ok(None),
            Some(Kind::Row) => Unfiltered::Row(self.decode(Records::row)?),
            Some(Kind::Marker) => Unfiltered::Marker(self.decode(Records::marker)?),
            Some(Kind::Head | Kind::Static) => return self.misplaced("a head or static row comes after rows"),
        };
        self.at += 1;
        Ok(Some(unfiltered))
    }
}
