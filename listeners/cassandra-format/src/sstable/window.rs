//! A window over the uncompressed data that grows until what is decoded fits in.

use bytes::Bytes;

use super::Error;
use super::cursor::{Cursor, Decoded, Fault};
use super::data::DataReader;

/// The uncompressed data from some offset on. Decoded values are slices of the window: it lives as long as they do.
pub(super) struct Window {
    data: DataReader,
    bytes: Bytes,
    /// Index in `bytes` of what is decoded next.
    at: usize,
    /// Offset in the data of the start of `bytes`.
    base: u64,
    window_bytes: usize,
    max_row_bytes: usize,
}

impl Window {
    pub(super) fn new(data: DataReader, window_bytes: usize, max_row_bytes: usize) -> Self {
        Self { data, bytes: Bytes::new(), at: 0, base: 0, window_bytes, max_row_bytes }
    }

    /// Offset in the uncompressed data of what is decoded next.
    pub(super) fn offset(&self) -> u64 {
        self.base + self.at as u64
    }

    pub(super) fn is_at_end(&self) -> bool {
        self.offset() == self.data.data_bytes()
    }

    pub(super) fn corrupt(&self, offset: u64, reason: impl Into<String>) -> Error {
        Error::corrupt(self.data.file(), offset, reason)
    }

    /// The error of a reader that has failed before.
    pub(super) fn failed(&self) -> Error {
        Error::Failed { file: self.data.file().to_owned() }
    }

    /// Decodes one thing; where the window ends too early, decodes it anew in a larger one.
    pub(super) fn decode<T>(&mut self, decoder: impl Fn(&mut Cursor<'_>) -> Decoded<T>) -> Result<T, Error> {
        loop {
            let mut cursor = Cursor::new(&self.bytes, self.at);
            match decoder(&mut cursor) {
                Ok(decoded) => {
                    self.at = cursor.position();
                    return Ok(decoded);
                }
                Err(Fault::Incomplete(needed)) => self.grow(needed)?,
                Err(Fault::Corrupt(index, reason)) => return Err(self.corrupt(self.base + index as u64, reason)),
            }
        }
    }

    /// Reads on until the window reaches `needed`, dropping what has been decoded.
    fn grow(&mut self, needed: usize) -> Result<(), Error> {
        let length = needed - self.at;
        let left = self.data.data_bytes() - self.offset();
        if length as u64 > left {
            return Err(self.corrupt(self.offset(), "the data ends before this ends"));
        }
        if length > self.max_row_bytes {
            let (file, offset) = (self.data.file().to_owned(), self.offset());
            return Err(Error::RowTooLarge { file, offset, limit: self.max_row_bytes });
        }
        let mut bytes = Vec::with_capacity(left.min(self.window_bytes.max(length) as u64) as usize);
        bytes.extend_from_slice(&self.bytes[self.at..]);
        self.base = self.offset();
        self.at = 0;
        let target = self.target(length);
        while bytes.len() < target && self.data.append_chunk(&mut bytes)? {}
        self.bytes = bytes.into();
        if self.bytes.len() < length { Err(self.corrupt(self.base, "the data ends before this ends")) } else { Ok(()) }
    }

    /// How far to read: the window's size; for something larger than that, half as much again, so that a large row is
    /// not decoded anew for each of its cells.
    fn target(&self, length: usize) -> usize {
        if length <= self.window_bytes / 2 { self.window_bytes } else { length.saturating_add(length / 2) }
    }

    /// Verifies that the data ended here, with the file's digest.
    pub(super) fn finish(&mut self) -> Result<(), Error> {
        self.data.finish()
    }
}
