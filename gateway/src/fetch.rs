//! Reading small objects whole: pages, entries, manifests.

use std::sync::Arc;

use bytes::Bytes;
use object_store::{GetOptions, ObjectStore, path::Path};

use crate::{Digest, Stored, local::Cached};

/// Greatest object that [`get_unchecked`] reads, bytes; [`get`] is bounded by the size it is told.
pub const UNCHECKED_BYTES: u64 = 64 << 20;

/// Tries of a body that breaks off half way; the request itself is tried again by the store.
const BODY_TRIES: u32 = 3;

/// Why an object could not be read, or is not the one that was written.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The store refused or failed.
    #[error("read {path}")]
    Read {
        /// The object.
        path: Path,
        /// Why.
        source: object_store::Error,
    },
    /// The size is another.
    #[error("{path} is damaged: expected {expected} bytes, found {found}")]
    Size {
        /// The object.
        path: Path,
        /// As written.
        expected: u64,
        /// As stored now.
        found: u64,
    },
    /// The bytes are others.
    #[error("{path} is damaged: expected BLAKE3 {expected}, found {found}")]
    Digest {
        /// The object.
        path: Path,
        /// As written.
        expected: Digest,
        /// As stored now.
        found: Digest,
    },
    /// Larger than may be held in memory.
    #[error("{path} has {found} bytes, more than the {limit} that are read at once")]
    TooLarge {
        /// The object.
        path: Path,
        /// Its size.
        found: u64,
        /// The bound.
        limit: u64,
    },
}

impl Error {
    /// The object does not exist.
    pub fn is_absent(&self) -> bool {
        matches!(self, Self::Read { source: object_store::Error::NotFound { .. }, .. })
    }

    /// True where the store failed and so says nothing about the object: a refused credential, an outage.
    pub fn is_of_the_store(&self) -> bool {
        matches!(self, Self::Read { .. }) && !self.is_absent()
    }

    /// Whether the same call may succeed later.
    pub fn is_retryable(&self) -> bool {
        matches!(self, Self::Read { source, .. } if crate::retry::is_transient(source))
    }
}

/// The bytes of `path`, proven to be those that were written.
///
/// # Errors
/// [`Error::Size`] before anything is read and [`Error::Digest`] where the object is another; [`Error::Read`].
pub async fn get(store: &Arc<dyn ObjectStore>, path: &Path, expected: &Stored) -> Result<Bytes, Error> {
    proven(store, path, expected).await.map(|read| read.bytes)
}

async fn proven(store: &Arc<dyn ObjectStore>, path: &Path, expected: &Stored) -> Result<Read, Error> {
    let wrong_size = |found| Error::Size { path: path.clone(), expected: expected.size, found };
    let read = read(store, path, |size| if size == expected.size { Ok(()) } else { Err(wrong_size(size)) }).await?;
    let found = Digest::of(&read.bytes);
    if found != expected.digest {
        return Err(Error::Digest { path: path.clone(), expected: expected.digest, found });
    }
    Ok(read)
}

/// Whether `path`, which holds what was written, is known to last: not where a local store read it from memory.
///
/// # Errors
/// As [`get`].
pub(crate) async fn lasts(store: &Arc<dyn ObjectStore>, path: &Path, expected: &Stored) -> Result<bool, Error> {
    proven(store, path, expected).await.map(|read| !read.cached)
}

/// The bytes of `path` as they are, at most [`UNCHECKED_BYTES`].
///
/// # Errors
/// [`Error::TooLarge`] before anything is read; [`Error::Read`]; [`Error::Size`] where the body is not as long as announced.
pub async fn get_unchecked(store: &Arc<dyn ObjectStore>, path: &Path) -> Result<Bytes, Error> {
    let limit = UNCHECKED_BYTES;
    let too_large = |found| Error::TooLarge { path: path.clone(), found, limit };
    let read = read(store, path, |size| if size <= limit { Ok(()) } else { Err(too_large(size)) }).await?;
    Ok(read.bytes)
}

struct Read {
    bytes: Bytes,
    /// By a local store, from memory.
    cached: bool,
}

async fn read(
    store: &Arc<dyn ObjectStore>,
    path: &Path,
    admit: impl Fn(u64) -> Result<(), Error>,
) -> Result<Read, Error> {
    let failed = |source| Error::Read { path: path.clone(), source };
    let mut tries = 0;
    loop {
        tries += 1;
        let answer = store.get_opts(path, GetOptions::default()).await.map_err(failed)?;
        let (size, cached) = (answer.meta.size, answer.extensions.get::<Cached>().is_some());
        admit(size)?;
        match answer.bytes().await {
            Ok(bytes) if bytes.len() as u64 == size => return Ok(Read { bytes, cached }),
            Ok(bytes) if tries == BODY_TRIES => {
                return Err(Error::Size { path: path.clone(), expected: size, found: bytes.len() as u64 });
            }
            Err(source) if tries == BODY_TRIES => return Err(failed(source)),
            Ok(_) | Err(_) => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use object_store::{ObjectStoreExt, memory::InMemory};

    use super::*;

    async fn stored(bytes: &'static [u8]) -> (Arc<dyn ObjectStore>, Path) {
        let (store, path): (Arc<dyn ObjectStore>, _) = (Arc::new(InMemory::new()), Path::from("a/b"));
        store.put(&path, bytes.into()).await.unwrap();
        (store, path)
    }

    #[tokio::test]
    async fn the_bytes_that_were_written_are_given() {
        let (store, path) = stored(b"abc").await;
        assert_eq!(get(&store, &path, &Stored::of(b"abc")).await.unwrap(), "abc");
        assert_eq!(get_unchecked(&store, &path).await.unwrap(), "abc");
    }

    #[tokio::test]
    async fn damage_is_named_with_what_was_expected_and_found() {
        let (store, path) = stored(b"abc").await;
        let size = get(&store, &path, &Stored::of(b"abcd")).await.unwrap_err().to_string();
        assert_eq!(size, "a/b is damaged: expected 4 bytes, found 3");
        let error = get(&store, &path, &Stored::of(b"abd")).await.unwrap_err();
        let Error::Digest { expected, found, .. } = &error else { panic!("{error}") };
        assert_eq!((*expected, *found), (Digest::of(b"abd"), Digest::of(b"abc")));
        assert!(error.to_string().contains(&Digest::of(b"abc").to_string()) && !error.is_retryable());
    }

    #[tokio::test]
    async fn absence_is_told_apart() {
        let (store, _) = stored(b"abc").await;
        assert!(get_unchecked(&store, &Path::from("z")).await.unwrap_err().is_absent());
    }

    #[tokio::test]
    async fn an_empty_object_is_read() {
        let (store, path) = stored(b"").await;
        assert_eq!(get(&store, &path, &Stored::of(b"")).await.unwrap(), "");
    }
}
