//! Reading SSTables of Cassandra 4.0 to 5.0 (`nb-big`, `oa-big`, `da-bti`): whole files, once, in order, with bounded memory.
//!
//! A backup must not take damage for data, so whatever was read is verified: every checksum that Cassandra wrote (of
//! Statistics.db, of each chunk, of the whole Data.db), lengths against file sizes, the order of partitions, rows,
//! bounds and cells, sizes of rows, flags without meaning. A damaged file is an error, at the latest when the last
//! partition has been read: what was read before an error must be discarded.
//!
//! Indexes, filters and summaries are not needed: a scan of Data.db meets everything. The formats differ in Statistics.db and
//! in how a partition's deletion is written, and nowhere else. They are described in `docs/format-cassandra.md`, with the
//! class of Apache Cassandra that settles each point.

mod cell;
mod clustering;
pub mod components;
mod compression;
mod compressor;
mod cursor;
mod data;
mod descriptor;
mod error;
mod header;
mod layout;
mod row;
mod sequence;
mod statistics;
mod stats;
mod subset;
mod window;

use std::sync::Arc;

use bytes::Bytes;

use self::cursor::{Cursor, Decoded};
use self::data::DataReader;
use self::layout::Layout;
use self::sequence::Sequence;
use self::statistics::Statistics;
use self::window::Window;
use crate::io::ReadAt;
use crate::key;
use crate::model::{Deletion, Partition, PartitionReader, Row, Unfiltered};
use crate::schema::TableSchema;
use crate::token;

pub use compressor::Compressor;
pub use descriptor::{Descriptor, Version};
pub use error::Error;
pub use stats::{CommitLogPosition, Extent, Stats};

/// The components of one SSTable.
pub struct SsTableFiles {
    /// Name of any of its files, or their common part: `nb-1-big-Data.db`, `da-3h5q_0cq5_1jnk12s5evlnm3a29l-bti`.
    pub name: String,
    /// `Data.db`.
    pub data: Box<dyn ReadAt>,
    /// `Statistics.db`, whole.
    pub statistics: Bytes,
    /// `CompressionInfo.db`, whole; absent where the data is not compressed.
    pub compression_info: Option<Bytes>,
    /// `CRC.db`, whole; absent where the data is compressed.
    pub crc: Option<Bytes>,
    /// `Digest.crc32`, whole.
    pub digest: Option<Bytes>,
    /// `TOC.txt`, whole; where given, a component that it lists and that is used here must be given too.
    pub toc: Option<Bytes>,
}

/// Bounds of a reader's memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ReadOptions {
    /// How much is read and decompressed at once, bytes.
    pub window_bytes: usize,
    /// Largest row, marker or partition head that is read, bytes of uncompressed data.
    pub max_row_bytes: usize,
}

impl Default for ReadOptions {
    /// Windows of 1 MiB, rows of 512 MiB (Cassandra refuses values above 256 MiB by default).
    fn default() -> Self {
        Self { window_bytes: 1 << 20, max_row_bytes: 512 << 20 }
    }
}

/// Stands for "no deletion" in the head of a partition.
const NO_DELETION: u8 = 0x80;

/// A reader of one SSTable. After an error it only returns errors.
pub struct SsTableReader {
    version: Version,
    schema: Arc<TableSchema>,
    layout: Layout,
    stats: Stats,
    window: Window,
    sequence: Sequence,
    state: State,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum State {
    BetweenPartitions,
    InPartition,
    Finished,
    Failed,
}

impl SsTableReader {
    /// Opens an SSTable of the table: reads all components but Data.db and verifies them.
    ///
    /// # Errors
    /// [`Error::Unsupported`] for other formats, compressors and partitioners, [`Error::Schema`] where key columns differ
    /// or a column is unknown and was not dropped, [`Error::Corrupt`] for damage and missing components.
    pub fn open(files: SsTableFiles, schema: Arc<TableSchema>, options: ReadOptions) -> Result<Self, Error> {
        let descriptor = components::describe(&files.name)?;
        let version = descriptor.supported()?;
        components::check_listed(&descriptor, &files)?;
        let statistics_file = descriptor.file_name("Statistics.db");
        let statistics = Statistics::parse(&statistics_file, &files.statistics, version)?;
        let chunking = components::chunking(&descriptor, &files)?;
        let digest = components::expected_digest(&descriptor, files.digest.as_ref())?;
        let data_file = descriptor.file_name("Data.db");
        let data = DataReader::new(data_file, files.data, chunking, digest, options.window_bytes);
        Self::new(version, &statistics_file, statistics, data, schema, options)
    }

    fn new(
        version: Version,
        statistics_file: &str,
        statistics: Statistics,
        data: DataReader,
        schema: Arc<TableSchema>,
        options: ReadOptions,
    ) -> Result<Self, Error> {
        let Statistics { header, stats } = statistics;
        let layout = Layout::new(statistics_file, header, &schema)?;
        let window = Window::new(data, options.window_bytes, options.max_row_bytes);
        let (sequence, state) = (Sequence::new(stats.extent.clone()), State::BetweenPartitions);
        Ok(Self { version, schema, layout, stats, window, sequence, state })
    }

    /// What Cassandra wrote about the content.
    pub fn stats(&self) -> &Stats {
        &self.stats
    }

    /// Runs one step; a failed one is the last.
    fn step<T>(&mut self, step: impl FnOnce(&mut Self) -> Result<T, Error>) -> Result<T, Error> {
        if self.state == State::Failed {
            return Err(self.window.failed());
        }
        let result = step(self);
        if result.is_err() {
            self.state = State::Failed;
        }
        result
    }

    fn read_partition(&mut self) -> Result<Option<Partition>, Error> {
        while self.state == State::InPartition {
            self.read_unfiltered()?;
        }
        if self.state == State::Finished {
            return Ok(None);
        }
        if self.window.is_at_end() {
            self.window.finish()?;
            self.sequence.finish().map_err(|reason| self.window.corrupt(self.window.offset(), reason))?;
            self.state = State::Finished;
            return Ok(None);
        }
        self.read_head().map(Some)
    }

    fn read_head(&mut self) -> Result<Partition, Error> {
        let offset = self.window.offset();
        let version = self.version;
        let (key, deletion) = self.window.decode(|c| read_key_and_deletion(c, version))?;
        let has_statics = !self.layout.statics.is_empty();
        let layout = &self.layout;
        let row = if has_statics { Some(self.window.decode(|c| row::read_static_row(c, layout))?) } else { None };
        let token = token::murmur3(&key);
        key::split(&self.schema, &key).map_err(|error| self.window.corrupt(offset, error.to_string()))?;
        self.sequence.start_partition(token, &key).map_err(|reason| self.window.corrupt(offset, reason))?;
        self.state = State::InPartition;
        Ok(Partition { token, key, deletion, static_row: row.filter(|row: &Row| !row.is_empty()) })
    }

    /// The next row or marker. Rows of which nothing is left, because their columns were dropped, are left out.
    fn read_unfiltered(&mut self) -> Result<Option<Unfiltered>, Error> {
        loop {
            let offset = self.window.offset();
            let layout = &self.layout;
            let read = self.window.decode(|c| row::read_unfiltered(c, layout))?;
            let corrupt = |reason| self.window.corrupt(offset, reason);
            let Some((unfiltered, previous_size)) = read else {
                self.sequence.end_partition().map_err(corrupt)?;
                self.state = State::BetweenPartitions;
                return Ok(None);
            };
            self.sequence.check(&self.schema, &unfiltered, offset, previous_size).map_err(corrupt)?;
            if !matches!(&unfiltered, Unfiltered::Row(row) if row.is_empty()) {
                return Ok(Some(unfiltered));
            }
        }
    }
}

impl PartitionReader for SsTableReader {
    type Error = Error;

    fn next_partition(&mut self) -> Result<Option<Partition>, Error> {
        self.step(Self::read_partition)
    }

    fn next_unfiltered(&mut self) -> Result<Option<Unfiltered>, Error> {
        self.step(|reader| if reader.state == State::InPartition { reader.read_unfiltered() } else { Ok(None) })
    }
}

/// The head of a partition: u16 length, key, deletion.
fn read_key_and_deletion(c: &mut Cursor<'_>, version: Version) -> Decoded<(Bytes, Deletion)> {
    let key = c.short_bytes()?;
    let deletion = if version.is_of_five() { read_deletion_of_five(c)? } else { read_deletion(c)? };
    Ok((key, if deletion.is_live() { Deletion::LIVE } else { deletion }))
}

/// i32 local deletion time, i64 write time of the deletion.
fn read_deletion(c: &mut Cursor<'_>) -> Decoded<Deletion> {
    let (local_time, marked_at) = (c.u32()?, c.i64()?);
    Ok(Deletion { marked_at, local_time })
}

/// A byte 0x80 for none, else i64 write time and u32 local deletion time. Cassandra takes the sign of the write time for
/// that flag: what it writes for deletions before 1970 it cannot read, and neither is it read here.
fn read_deletion_of_five(c: &mut Cursor<'_>) -> Decoded<Deletion> {
    let flags = c.peek()?;
    if flags == NO_DELETION {
        c.u8()?;
        return Ok(Deletion::LIVE);
    }
    if flags & NO_DELETION != 0 {
        return c.corrupt("unknown flags of a partition's deletion");
    }
    let (marked_at, local_time) = (c.i64()?, c.u32()?);
    Ok(Deletion { marked_at, local_time })
}
