//! A segment that is made and not stored yet.

use std::{
    fs::File,
    io::{self, Seek},
};

use bytes::Bytes;
use tempfile::{SpooledData, SpooledTempFile};
use tidemark_catalog::keys::Key;

/// A segment to be stored.
#[derive(Debug)]
pub struct FinishedSegment {
    /// Its first key.
    pub first: Key,
    /// Its last key, inclusive.
    pub last: Key,
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
    /// The bytes that were written to the spool, and how many.
    pub(super) fn of(mut spool: SpooledTempFile) -> io::Result<(u64, Self)> {
        let size = spool.stream_position()?;
        spool.rewind()?;
        let content = match spool.into_inner() {
            SpooledData::InMemory(bytes) => Self::Memory(bytes.into_inner().into()),
            SpooledData::OnDisk(file) => Self::File(file),
        };
        Ok((size, content))
    }
}
