//! Where a segment's bytes come from: memory, or ranges of a stored object.

use std::{
    io::{self, Cursor, ErrorKind},
    sync::Arc,
};

use bytes::Bytes;
use parquet::{
    errors::ParquetError,
    file::reader::{ChunkReader, Length},
};
use tidemark_gateway::proven::ProvenReader;

/// A file read in ranges, by blocking calls.
pub trait Fetch: Send + Sync {
    /// Bytes of the file.
    fn size(&self) -> u64;

    /// Exactly `length` bytes from `offset` on.
    ///
    /// # Errors
    /// Where the range is outside of the file or its store fails.
    fn fetch(&self, offset: u64, length: usize) -> io::Result<Bytes>;
}

impl Fetch for Bytes {
    fn size(&self) -> u64 {
        self.len() as u64
    }

    fn fetch(&self, offset: u64, length: usize) -> io::Result<Bytes> {
        slice(self, 0, offset, length).ok_or_else(|| io::Error::from(ErrorKind::UnexpectedEof))
    }
}

impl Fetch for ProvenReader {
    fn size(&self) -> u64 {
        ProvenReader::size(self)
    }

    fn fetch(&self, offset: u64, length: usize) -> io::Result<Bytes> {
        self.read_at(offset, length)
    }
}

/// A part of a file in memory, which the Parquet decoder reads; what is outside of it is fetched.
pub(super) struct Window {
    source: Arc<dyn Fetch>,
    start: u64,
    bytes: Bytes,
}

impl Window {
    /// A window on `length` bytes from `start` on, fetched at once.
    pub(super) fn open(source: Arc<dyn Fetch>, start: u64, length: usize) -> io::Result<Self> {
        let bytes = source.fetch(start, length)?;
        Ok(Self { source, start, bytes })
    }
}

impl Length for Window {
    fn len(&self) -> u64 {
        self.source.size()
    }
}

impl ChunkReader for Window {
    type T = Cursor<Bytes>;

    fn get_read(&self, start: u64) -> Result<Self::T, ParquetError> {
        let within = start.checked_sub(self.start).and_then(|skip| usize::try_from(skip).ok());
        match within.filter(|skip| *skip <= self.bytes.len()) {
            Some(skip) => Ok(Cursor::new(self.bytes.slice(skip..))),
            None => Err(ParquetError::General(format!("offset {start} is outside of its row group"))),
        }
    }

    fn get_bytes(&self, start: u64, length: usize) -> Result<Bytes, ParquetError> {
        match slice(&self.bytes, self.start, start, length) {
            Some(bytes) => Ok(bytes),
            None => self.source.fetch(start, length).map_err(|source| ParquetError::External(Box::new(source))),
        }
    }
}

/// `length` bytes from `from` on, where `bytes` starts at `start`; `None` unless all are there.
fn slice(bytes: &Bytes, start: u64, from: u64, length: usize) -> Option<Bytes> {
    let skip = usize::try_from(from.checked_sub(start)?).ok()?;
    let end = skip.checked_add(length).filter(|end| *end <= bytes.len())?;
    Some(bytes.slice(skip..end))
}
