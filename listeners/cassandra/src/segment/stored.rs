//! Opens segments in the store, each proven by its digest before anything of it is decoded.

use std::{io, sync::Arc};

use bytes::Bytes;
use object_store::ObjectStore;
use tidemark_catalog::{content::SegmentRef, stored::StoredRef};
use tidemark_gateway::{Digest, blocking::ObjectReader};
use tokio::runtime::Handle;

use super::{Fetch, Layout, ReadError, SegmentReader};

/// Segments up to this size are fetched whole, proven and read from memory; larger ones (of one giant partition) are proven
/// by a first pass and then read row group by row group. The target is 32 MiB.
const WHOLE_BYTES: u64 = 48 << 20;

/// Bytes of a request of the first pass over a large segment.
const PASS_BYTES: u64 = 8 << 20;

/// Why a stored segment could not be opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// The store failed or holds fewer bytes.
    #[error("segment {key}: read")]
    Fetch {
        /// Its name.
        key: String,
        /// Why.
        source: io::Error,
    },
    /// The bytes are not those that were written.
    #[error("segment {key} is damaged: expected BLAKE3 {expected}, found {found}")]
    Digest {
        /// Its name.
        key: String,
        /// As written.
        expected: Digest,
        /// As stored now.
        found: Digest,
    },
    /// It is what was written, but cannot be read.
    #[error(transparent)]
    Read(#[from] ReadError),
}

impl OpenError {
    /// Whether the same call may succeed later.
    pub fn is_retryable(&self) -> bool {
        matches!(self, Self::Fetch { source, .. } if source.kind() == io::ErrorKind::Other)
    }
}

/// A segment in the store.
#[derive(Clone)]
pub struct StoredSegment {
    reference: SegmentRef,
    reader: ObjectReader,
}

impl StoredSegment {
    /// The segment that `reference` names; requests run on `runtime`.
    pub fn new(store: &Arc<dyn ObjectStore>, reference: SegmentRef, runtime: Handle) -> Self {
        let StoredRef { size, .. } = reference.stored;
        let reader = ObjectReader::new(store.clone(), reference.stored.path(), size, runtime);
        Self { reference, reader }
    }

    /// Its reference.
    pub fn reference(&self) -> &SegmentRef {
        &self.reference
    }

    /// Proves the stored bytes and opens them for reading in the columns of `layout`. Blocking: call it off the runtime.
    ///
    /// # Errors
    /// [`OpenError::Digest`] where the bytes are others; [`OpenError::Fetch`]; [`OpenError::Read`] where they are no segment
    /// of this layout.
    ///
    /// # Panics
    /// Within an async task.
    pub fn open(&self, layout: &Arc<Layout>) -> Result<SegmentReader, OpenError> {
        let source: Arc<dyn Fetch> = if self.reference.stored.size <= WHOLE_BYTES {
            Arc::new(self.whole()?)
        } else {
            self.pass()?;
            Arc::new(self.reader.clone())
        };
        Ok(SegmentReader::open(source, layout.clone(), &self.reference.stored.key)?)
    }

    fn whole(&self) -> Result<Bytes, OpenError> {
        let bytes = self.fetch(0, self.reference.stored.size)?;
        self.check(Digest::of(&bytes))?;
        Ok(bytes)
    }

    /// Reads all bytes once, keeping none, and compares their digest.
    fn pass(&self) -> Result<(), OpenError> {
        let mut hasher = blake3::Hasher::new();
        let size = self.reference.stored.size;
        let mut offset = 0;
        while offset < size {
            let length = PASS_BYTES.min(size - offset);
            hasher.update(&self.fetch(offset, length)?);
            offset += length;
        }
        self.check(hasher.finalize().into())
    }

    fn fetch(&self, offset: u64, length: u64) -> Result<Bytes, OpenError> {
        let failed = |source| OpenError::Fetch { key: self.reference.stored.key.clone(), source };
        let length = usize::try_from(length).map_err(|e| failed(io::Error::other(e)))?;
        self.reader.read_at(offset, length).map_err(failed)
    }

    fn check(&self, found: Digest) -> Result<(), OpenError> {
        let StoredRef { key, digest: expected, .. } = &self.reference.stored;
        if *expected == found {
            return Ok(());
        }
        Err(OpenError::Digest { key: key.clone(), expected: *expected, found })
    }
}
