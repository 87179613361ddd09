//! What Cassandra reads of entries: schemas, and segments, each proven by its digest.

use std::sync::Arc;

use object_store::ObjectStore;
use tidemark_catalog::{content::SegmentRef, entry::Entry};
use tidemark_gateway::causes::{self, joined};
use tidemark_listener_core::{failure::Failure, restorer::STORE_READ};
use tidemark_records::segments::{OpenError, StoredSegment};
use tokio::runtime::Handle;

use crate::{
    consolidate::EntrySchema,
    segment::{Layout, ReadError, SegmentReader},
};

/// The schema in an entry.
///
/// # Errors
/// In words, where it is not the schema of a table.
pub fn schema_of(entry: &Entry) -> Result<EntrySchema, String> {
    EntrySchema::of_entry(entry).map_err(|e| joined(&e))
}

/// Opens a segment; all bytes that are read of it are proven. Blocking: call it off the runtime.
///
/// # Errors
/// `TM-REST-0102` where it is missing or another, `TM-REST-0103` where it is not a segment of this table.
pub fn open(
    store: &Arc<dyn ObjectStore>,
    segment: &SegmentRef,
    layout: &Arc<Layout>,
    runtime: &Handle,
) -> Result<SegmentReader, Failure> {
    let file = StoredSegment::new(store, segment.clone(), runtime.clone()).open().map_err(|source| match source {
        OpenError::Stored { .. } => {
            Failure { retryable: source.is_retryable(), ..Failure::new(STORE_READ, joined(&source)) }
        }
        OpenError::Read(source) => unread(&ReadError::from(source)),
    })?;
    SegmentReader::of(file, layout).map_err(|source| unread(&source))
}

/// Why a segment cannot be read on: `TM-REST-0102`, retryable, where a [`ReadError`] among the causes is of the store; else
/// `TM-REST-0103`.
pub fn unread(source: &(dyn std::error::Error + 'static)) -> Failure {
    let read = causes::of(source).find_map(|cause| cause.downcast_ref::<ReadError>());
    match read.is_some_and(ReadError::is_retryable) {
        true => Failure::retryable(STORE_READ, joined(source)),
        false => Failure::new("TM-REST-0103", joined(source)),
    }
}
