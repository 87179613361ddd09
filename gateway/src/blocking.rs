//! Reading parts of an object from threads that may block.

use std::{
    io::{Error, ErrorKind},
    sync::Arc,
};

use bytes::Bytes;
use object_store::{ObjectStore, ObjectStoreExt, path::Path};
use tokio::runtime::Handle;

/// One object, read in ranges by decoders that run outside the async runtime. Cheap to clone; reads nothing ahead.
#[derive(Clone, Debug)]
pub struct ObjectReader {
    store: Arc<dyn ObjectStore>,
    path: Path,
    size: u64,
    runtime: Handle,
}

impl ObjectReader {
    /// A reader of the first `size` bytes of `path`, whose requests run on `runtime`.
    pub fn new(store: Arc<dyn ObjectStore>, path: Path, size: u64, runtime: Handle) -> Self {
        Self { store, path, size, runtime }
    }

    /// Size of the object, bytes, as told to [`ObjectReader::new`].
    pub fn size(&self) -> u64 {
        self.size
    }

    /// The object's name.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Exactly the `len` bytes from `offset` on.
    ///
    /// # Errors
    /// `UnexpectedEof` where the range reaches past the object's end or the store answers with fewer bytes; `NotFound`; else
    /// `Other` with the store's error as its source. Each names the object and the range.
    ///
    /// # Panics
    /// Within an async task: call it from `spawn_blocking` or a thread of its own.
    pub fn read_at(&self, offset: u64, len: usize) -> Result<Bytes, Error> {
        let end = self.end(offset, len)?;
        if len == 0 {
            return Ok(Bytes::new());
        }
        let range = offset..end;
        let found = self.runtime.block_on(self.store.get_ranges(&self.path, std::slice::from_ref(&range)));
        let failed = |source| self.cut(offset, len).unwrap_or_else(|| self.failed(offset, len, source));
        let bytes = found.map_err(failed)?.pop().unwrap_or_default();
        if bytes.len() == len { Ok(bytes) } else { Err(self.short(offset, len, bytes.len() as u64)) }
    }

    /// Where the range ends, within the object.
    pub(crate) fn end(&self, offset: u64, len: usize) -> Result<u64, Error> {
        let end = offset.checked_add(len as u64).filter(|end| *end <= self.size);
        end.ok_or_else(|| self.short(offset, len, self.size.saturating_sub(offset)))
    }

    /// The error of a range that ends behind the object's end. Each store words that in its own way, so its size is asked for.
    fn cut(&self, offset: u64, len: usize) -> Option<Error> {
        let stored = self.runtime.block_on(self.store.head(&self.path)).ok()?.size;
        (stored < offset + len as u64).then(|| self.short(offset, len, stored.saturating_sub(offset)))
    }

    fn short(&self, offset: u64, len: usize, found: u64) -> Error {
        let text = format!("{}: asked for {len} bytes at {offset}, there are {found}", self.path);
        Error::new(ErrorKind::UnexpectedEof, text)
    }

    fn failed(&self, offset: u64, len: usize, source: object_store::Error) -> Error {
        let kind = match source {
            object_store::Error::NotFound { .. } => ErrorKind::NotFound,
            _ => ErrorKind::Other,
        };
        Error::new(kind, ReadAt { path: self.path.clone(), offset, len, source })
    }
}

#[derive(Debug, thiserror::Error)]
#[error("read {len} bytes at {offset} of {path}")]
struct ReadAt {
    path: Path,
    offset: u64,
    len: usize,
    source: object_store::Error,
}

#[cfg(test)]
mod tests {
    use object_store::{local::LocalFileSystem, memory::InMemory};

    use super::*;

    async fn read(size: u64, offset: u64, len: usize) -> Result<Bytes, Error> {
        let (store, path) = (Arc::new(InMemory::new()), Path::from("o"));
        store.put(&path, "0123456789".into()).await.unwrap();
        let reader = ObjectReader::new(store, path, size, Handle::current());
        tokio::task::spawn_blocking(move || reader.read_at(offset, len)).await.unwrap()
    }

    #[tokio::test]
    async fn ranges_are_exact() {
        assert_eq!(read(10, 0, 10).await.unwrap(), "0123456789");
        assert_eq!(read(10, 7, 3).await.unwrap(), "789");
        assert_eq!(read(10, 10, 0).await.unwrap(), "");
    }

    #[tokio::test]
    async fn reading_past_the_end_is_an_error_not_a_short_answer() {
        for (size, offset, len) in [(10, 8, 3), (10, 11, 0), (10, u64::MAX, 2), (20, 5, 10)] {
            let error = read(size, offset, len).await.unwrap_err();
            assert_eq!(error.kind(), ErrorKind::UnexpectedEof, "{offset}+{len}: {error}");
        }
    }

    #[tokio::test]
    async fn an_object_on_disk_that_was_cut_is_too_short_and_not_unreachable() {
        let directory = tempfile::tempdir().unwrap();
        let store = Arc::new(LocalFileSystem::new_with_prefix(directory.path()).unwrap());
        std::fs::write(directory.path().join("o"), "0123456789").unwrap();
        let reader = ObjectReader::new(store, Path::from("o"), 20, Handle::current());
        for (offset, len) in [(0, 20), (5, 10), (15, 3)] {
            let reader = reader.clone();
            let read = tokio::task::spawn_blocking(move || reader.read_at(offset, len)).await.unwrap();
            assert_eq!(read.unwrap_err().kind(), ErrorKind::UnexpectedEof, "{offset}+{len}");
        }
    }

    #[tokio::test]
    async fn an_absent_object_is_named() {
        let reader = ObjectReader::new(Arc::new(InMemory::new()), Path::from("gone"), 5, Handle::current());
        let error = tokio::task::spawn_blocking(move || reader.read_at(0, 5)).await.unwrap().unwrap_err();
        assert!(error.kind() == ErrorKind::NotFound && error.to_string().contains("gone"), "{error}");
    }
}
