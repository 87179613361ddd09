//! Random access to the bytes of a file, wherever they are.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;

use bytes::Bytes;

/// Bytes that can be read at any offset. Blocking.
pub trait ReadAt: Send {
    /// Length of the whole, in bytes; does not change.
    fn size(&self) -> u64;

    /// Reads exactly `len` bytes from `offset`.
    ///
    /// # Errors
    /// Any I/O error; [`io::ErrorKind::UnexpectedEof`] where the bytes end before `offset + len`.
    fn read_at(&self, offset: u64, len: usize) -> io::Result<Bytes>;
}

impl ReadAt for Bytes {
    fn size(&self) -> u64 {
        self.len() as u64
    }

    fn read_at(&self, offset: u64, len: usize) -> io::Result<Bytes> {
        let range = usize::try_from(offset).ok().and_then(|from| Some(from..from.checked_add(len)?));
        let range = range.filter(|range| range.end <= self.len()).ok_or(io::ErrorKind::UnexpectedEof)?;
        Ok(self.slice(range))
    }
}

/// A file on a local disk.
#[derive(Debug)]
pub struct FileReader {
    file: File,
    size: u64,
}

impl FileReader {
    /// Takes an open file; its size is that of now.
    ///
    /// # Errors
    /// Where the file's metadata cannot be read.
    pub fn new(file: File) -> io::Result<Self> {
        let size = file.metadata()?.len();
        Ok(Self { file, size })
    }
}

impl ReadAt for FileReader {
    fn size(&self) -> u64 {
        self.size
    }

    fn read_at(&self, offset: u64, len: usize) -> io::Result<Bytes> {
        // Checked before the allocation: lengths may come from the file itself.
        if offset.checked_add(len as u64).is_none_or(|end| end > self.size) {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        let mut buffer = vec![0; len];
        self.file.read_exact_at(&mut buffer, offset)?;
        Ok(buffer.into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_is_read_within_its_bounds_only() {
        let bytes = Bytes::from_static(b"abc");
        assert_eq!(bytes.read_at(1, 2).unwrap(), "bc");
        assert_eq!(bytes.read_at(3, 0).unwrap(), "");
        for (offset, len) in [(2, 2), (4, 0), (u64::MAX, 2), (1, usize::MAX)] {
            assert_eq!(bytes.read_at(offset, len).unwrap_err().kind(), io::ErrorKind::UnexpectedEof);
        }
    }
}
