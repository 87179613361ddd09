//! The one door to stored bytes: whoever has a reference reads what it names here, and nowhere else.
//!
//! [`read`] gives all bytes and [`open_range`] a reader of parts, both proven; [`open_unproven`] proves nothing, [`head`] reads
//! nothing. A sealed reference is refused: this build opens no seals.

use std::{io, sync::Arc};

use bytes::Bytes;
use object_store::{ObjectMeta, ObjectStore, ObjectStoreExt};
use tidemark_gateway::{blocking::ObjectReader, fetch, proven::ProvenReader};
use tokio::runtime::Handle;

use crate::stored::{Scheme, StoredRef};

/// Objects without a digest tree up to this size are held whole by [`open_range`], bytes; larger ones are read twice.
const WHOLE_BYTES: u64 = 48 << 20;

/// Why stored bytes cannot be had.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// They are encrypted.
    #[error("{key} is sealed ({scheme:?}): this build opens no seals")]
    Sealed {
        /// The object.
        key: String,
        /// How.
        scheme: Scheme,
    },
    /// They cannot be read, or are others than were written.
    #[error(transparent)]
    Fetch(#[from] fetch::Error),
    /// A reader cannot be opened: the store fails, or they are others than were written.
    #[error("open {key}")]
    Open {
        /// The object.
        key: String,
        /// Why; `InvalidData` where they are others.
        source: io::Error,
    },
}

impl Error {
    /// The object does not exist.
    pub fn is_absent(&self) -> bool {
        match self {
            Self::Sealed { .. } => false,
            Self::Fetch(source) => source.is_absent(),
            Self::Open { source, .. } => source.kind() == io::ErrorKind::NotFound,
        }
    }

    /// Whether the same call may succeed later.
    pub fn is_retryable(&self) -> bool {
        match self {
            Self::Sealed { .. } => false,
            Self::Fetch(source) => source.is_retryable(),
            Self::Open { source, .. } => may_pass(source),
        }
    }

    /// True where the store failed and so says nothing about the bytes: a refused credential, an outage.
    pub fn is_of_the_store(&self) -> bool {
        match self {
            Self::Sealed { .. } => false,
            Self::Fetch(source) => source.is_of_the_store(),
            Self::Open { source, .. } => source.kind() == io::ErrorKind::Other,
        }
    }
}

/// Whether an error of a reader that [`open_range`] gave may pass: the store failed, and says nothing about the bytes.
pub fn may_pass(error: &io::Error) -> bool {
    error.kind() == io::ErrorKind::Other
}

/// All bytes, proven to be those that were written.
///
/// # Errors
/// [`Error::Fetch`] where the object is absent, another, or the store fails; [`Error::Sealed`].
pub async fn read(store: &Arc<dyn ObjectStore>, reference: &StoredRef) -> Result<Bytes, Error> {
    refuse_sealed(reference)?;
    Ok(fetch::get(store, &reference.path(), &reference.stored()).await?)
}

/// A reader of parts, each proven to be what was written: by the reference's tree, block by block of 1 MiB; without one by
/// holding the whole or, of a large object, by reading it through here once: what is damaged after that is not noticed. Requests run on `runtime`.
///
/// # Errors
/// [`Error::Open`], [`Error::Sealed`].
///
/// # Panics
/// Within an async task: call it from `spawn_blocking` or a thread of its own.
pub fn open_range(store: &Arc<dyn ObjectStore>, reference: &StoredRef, runtime: Handle) -> Result<ProvenReader, Error> {
    refuse_sealed(reference)?;
    let stored = reference.stored();
    let opened = ProvenReader::open(store.clone(), reference.path(), &stored, WHOLE_BYTES, runtime);
    opened.map_err(|source| Error::Open { key: reference.key.clone(), source })
}

/// A reader of parts that proves nothing, for bytes whose own format has checksums for each part and whose reader holds less than
/// a block.
///
/// # Errors
/// [`Error::Sealed`].
pub fn open_unproven(
    store: &Arc<dyn ObjectStore>,
    reference: &StoredRef,
    runtime: Handle,
) -> Result<ObjectReader, Error> {
    refuse_sealed(reference)?;
    Ok(ObjectReader::new(store.clone(), reference.path(), reference.size, runtime))
}

/// What the store says about the object, unread.
///
/// # Errors
/// As the store answers.
pub async fn head(store: &Arc<dyn ObjectStore>, reference: &StoredRef) -> Result<ObjectMeta, object_store::Error> {
    store.head(&reference.path()).await
}

fn refuse_sealed(reference: &StoredRef) -> Result<(), Error> {
    match &reference.seal {
        None => Ok(()),
        Some(seal) => Err(Error::Sealed { key: reference.key.clone(), scheme: seal.scheme }),
    }
}

#[cfg(test)]
mod tests {
    use object_store::{memory::InMemory, path::Path};
    use tidemark_gateway::{Digest, Stored};

    use super::*;
    use crate::{opaque::Opaque, stored::Seal};

    /// An object of 3 blocks and a little, with its reference.
    async fn stored() -> (Arc<dyn ObjectStore>, StoredRef, Vec<u8>) {
        let bytes: Vec<u8> = (0..(3_u32 << 20) + 5).map(|n| (n / 7) as u8).collect();
        let (store, path): (Arc<dyn ObjectStore>, _) = (Arc::new(InMemory::new()), Path::from("o"));
        store.put(&path, bytes.clone().into()).await.unwrap();
        (store, StoredRef::new(&path, Stored::of(&bytes)), bytes)
    }

    async fn part(store: &Arc<dyn ObjectStore>, reference: &StoredRef, at: u64, len: usize) -> Result<Bytes, String> {
        let (store, reference, runtime) = (store.clone(), reference.clone(), Handle::current());
        let read = move || {
            let reader = open_range(&store, &reference, runtime).map_err(|error| error.to_string())?;
            reader.read_at(at, len).map_err(|error| error.to_string())
        };
        tokio::task::spawn_blocking(read).await.unwrap()
    }

    #[tokio::test]
    async fn what_was_written_is_given_whole_and_in_parts() {
        let (store, reference, bytes) = stored().await;
        assert_eq!(read(&store, &reference).await.unwrap(), bytes);
        let plain = StoredRef { tree: None, ..reference.clone() };
        for reference in [reference, plain] {
            assert_eq!(part(&store, &reference, 1 << 20, 9).await.unwrap(), bytes[1 << 20..(1 << 20) + 9]);
        }
    }

    #[tokio::test]
    async fn other_bytes_are_refused_where_they_are() {
        let (store, reference, mut bytes) = stored().await;
        bytes[2 << 20] ^= 1;
        store.put(&reference.path(), bytes.clone().into()).await.unwrap();
        assert!(!read(&store, &reference).await.unwrap_err().is_of_the_store());
        assert_eq!(part(&store, &reference, 5, 9).await.unwrap(), bytes[5..14], "its own block is sound");
        let error = part(&store, &reference, (2 << 20) + 100, 9).await.unwrap_err();
        assert!(error.contains("o is damaged"), "{error}");
        let plain = StoredRef { tree: None, ..reference };
        assert!(part(&store, &plain, 5, 9).await.is_err(), "without a tree all of it is proven");
    }

    #[tokio::test]
    async fn a_seal_is_refused_by_all_ways_in() {
        let (store, reference, _) = stored().await;
        let seal = Seal {
            scheme: Scheme::Aes256Gcm,
            key_id: "k".to_owned(),
            wrapped_key: Opaque::default(),
            size: 1,
            digest: Digest::of(b"1"),
        };
        let sealed = StoredRef { seal: Some(Box::new(seal)), ..reference };
        assert!(matches!(read(&store, &sealed).await, Err(Error::Sealed { .. })));
        assert!(part(&store, &sealed, 0, 1).await.unwrap_err().contains("sealed"));
        assert!(matches!(open_unproven(&store, &sealed, Handle::current()), Err(Error::Sealed { .. })));
    }
}
