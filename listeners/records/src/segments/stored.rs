//! Opens segments in the store: small ones are proven whole before anything is decoded, large ones part by part as they are read.

use std::sync::Arc;

use object_store::ObjectStore;
use tidemark_catalog::{content::SegmentRef, door};
use tokio::runtime::Handle;

use super::{Fetch, ReadError, SegmentFile};

/// Segments up to this size are fetched by one request and read from memory; larger ones (of one giant key) row group by row
/// group. Segments are cut at about 32 MiB.
const WHOLE_BYTES: u64 = 48 << 20;

/// Why a stored segment could not be opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// The store failed, or the bytes are not those that were written.
    #[error("segment {key}")]
    Stored {
        /// Its name.
        key: String,
        /// Why.
        source: door::Error,
    },
    /// It is what was written, but cannot be read.
    #[error(transparent)]
    Read(#[from] ReadError),
}

impl OpenError {
    /// Whether the same call may succeed later.
    pub fn is_retryable(&self) -> bool {
        match self {
            Self::Stored { source, .. } => source.is_retryable(),
            Self::Read(source) => source.is_retryable(),
        }
    }
}

/// A segment in the store.
#[derive(Clone)]
pub struct StoredSegment {
    store: Arc<dyn ObjectStore>,
    reference: SegmentRef,
    runtime: Handle,
}

impl StoredSegment {
    /// The segment that `reference` names; requests run on `runtime`.
    pub fn new(store: &Arc<dyn ObjectStore>, reference: SegmentRef, runtime: Handle) -> Self {
        Self { store: store.clone(), reference, runtime }
    }

    /// Its reference.
    pub fn reference(&self) -> &SegmentRef {
        &self.reference
    }

    /// Opens it; all bytes that are read are proven. Blocking: call it off the runtime.
    ///
    /// # Errors
    /// [`OpenError::Stored`] where the bytes are others or cannot be had; [`OpenError::Read`] where they are no Parquet.
    ///
    /// # Panics
    /// Within an async task.
    pub fn open(&self) -> Result<SegmentFile, OpenError> {
        let key = &self.reference.stored.key;
        let source = self.source().map_err(|source| OpenError::Stored { key: key.clone(), source })?;
        Ok(SegmentFile::open(source, key)?)
    }

    fn source(&self) -> Result<Arc<dyn Fetch>, door::Error> {
        let stored = &self.reference.stored;
        if stored.size <= WHOLE_BYTES {
            return Ok(Arc::new(self.runtime.block_on(door::read(&self.store, stored))?));
        }
        Ok(Arc::new(door::open_range(&self.store, stored, self.runtime.clone())?))
    }
}
