//! Cuts of streams, at any byte.
//!
//! FastCDC (Xia et al., 2020, two bytes at a time) of the library, with a gear table that is derived whole from the repository's
//! key: a seed that is only added to a public table would leave the differences between its entries public.

use std::{
    fmt,
    io::{self, Read},
};

use bytes::{Bytes, BytesMut};
use fastcdc::v2020::{Normalization, cut_gear, select_masks};

use super::{AVERAGE_BYTES, ChunkingKey, LEAST_BYTES, MOST_BYTES, Table};

/// Bytes that are read from a stream at a time.
const READ_BYTES: usize = 1 << 20;

/// Cuts streams.
#[derive(Clone, Debug)]
pub struct StreamCutter {
    gear: Table<u64, 256>,
    /// The same, one bit to the left.
    doubled: Table<u64, 256>,
    masks: (u64, u64),
}

impl StreamCutter {
    /// By the repository's key.
    pub fn new(key: &ChunkingKey) -> Self {
        let gear = key.words::<256>("tidemark chunks v1 stream gear");
        let doubled = Table(Box::new(gear.map(|word| word << 1)));
        Self { gear, doubled, masks: select_masks(AVERAGE_BYTES, Normalization::Level1) }
    }

    /// Length of the chunk that `bytes` begins with; `None` where that takes more bytes: there are fewer than [`MOST_BYTES`] and
    /// these are not the `last` of the stream, or there is none.
    pub fn next(&self, bytes: &[u8], last: bool) -> Option<usize> {
        if bytes.is_empty() || (bytes.len() < MOST_BYTES && !last) {
            return None;
        }
        let (strict, loose) = self.masks;
        let sizes = (LEAST_BYTES, AVERAGE_BYTES, MOST_BYTES);
        let (_, cut) = cut_gear(
            bytes,
            sizes.0,
            sizes.1,
            sizes.2,
            strict,
            loose,
            strict << 1,
            loose << 1,
            &*self.gear,
            &*self.doubled,
        );
        // The library cuts before the byte that decided. Cut behind it, and a chunk's own bytes decide alone.
        Some((cut + 1).min(bytes.len()).min(MOST_BYTES))
    }

    /// The chunks of all that `reader` gives, in order. Memory: about 1 MiB.
    pub fn chunks<R: Read>(&self, reader: R) -> StreamChunks<'_, R> {
        StreamChunks { cutter: self, reader, buffer: BytesMut::new(), ended: false }
    }
}

/// The chunks of a stream; see [`StreamCutter::chunks`]. Behind an error there is nothing more.
pub struct StreamChunks<'a, R> {
    cutter: &'a StreamCutter,
    reader: R,
    buffer: BytesMut,
    ended: bool,
}

impl<R> fmt::Debug for StreamChunks<'_, R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "StreamChunks({} bytes at hand)", self.buffer.len())
    }
}

impl<R: Read> StreamChunks<'_, R> {
    fn fill(&mut self) -> io::Result<()> {
        let held = self.buffer.len();
        self.buffer.resize(held + READ_BYTES, 0);
        let read = read_some(&mut self.reader, &mut self.buffer[held..]);
        self.buffer.truncate(held + *read.as_ref().unwrap_or(&0));
        self.ended = read? == 0;
        Ok(())
    }

    fn try_next(&mut self) -> io::Result<Option<Bytes>> {
        loop {
            if let Some(length) = self.cutter.next(&self.buffer, self.ended) {
                return Ok(Some(Bytes::copy_from_slice(&self.buffer.split_to(length))));
            }
            if self.ended {
                return Ok(None);
            }
            self.fill()?;
        }
    }
}

impl<R: Read> Iterator for StreamChunks<'_, R> {
    type Item = io::Result<Bytes>;

    fn next(&mut self) -> Option<Self::Item> {
        let next = self.try_next();
        if next.is_err() {
            self.ended = true;
            self.buffer.clear();
        }
        next.transpose()
    }
}

fn read_some(reader: &mut impl Read, buffer: &mut [u8]) -> io::Result<usize> {
    loop {
        match reader.read(buffer) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            read => return read,
        }
    }
}
