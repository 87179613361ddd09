//! Opens segments of tables in the store.

use std::sync::Arc;

use object_store::ObjectStore;
use tidemark_catalog::{content::SegmentRef, door};
use tidemark_records::segments;
use tokio::runtime::Handle;

use super::{Layout, ReadError, SegmentReader};

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

impl From<segments::OpenError> for OpenError {
    fn from(error: segments::OpenError) -> Self {
        match error {
            segments::OpenError::Stored { key, source } => Self::Stored { key, source },
            segments::OpenError::Read(source) => Self::Read(source.into()),
        }
    }
}

/// A segment in the store.
#[derive(Clone)]
pub struct StoredSegment(segments::StoredSegment);

impl StoredSegment {
    /// The segment that `reference` names; requests run on `runtime`.
    pub fn new(store: &Arc<dyn ObjectStore>, reference: SegmentRef, runtime: Handle) -> Self {
        Self(segments::StoredSegment::new(store, reference, runtime))
    }

    /// Opens it for reading in the columns of `layout`; all bytes that are read are proven. Blocking: call it off the runtime.
    ///
    /// # Errors
    /// [`OpenError::Stored`] where the bytes are others or cannot be had; [`OpenError::Read`] where they are no segment of this
    /// layout.
    ///
    /// # Panics
    /// Within an async task.
    pub fn open(&self, layout: &Arc<Layout>) -> Result<SegmentReader, OpenError> {
        Ok(SegmentReader::of(self.0.open()?, layout)?)
    }
}
