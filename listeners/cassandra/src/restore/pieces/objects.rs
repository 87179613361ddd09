//! Reading what a restore needs from the store: entries, range pages, segments; each proven by its digest.

use std::sync::Arc;

use object_store::ObjectStore;
use tidemark_catalog::{
    content::{self, SegmentRef},
    document,
    entry::Entry,
    stored::StoredRef,
};
use tidemark_gateway::causes::{self, chain};
use tidemark_listener_core::driver::Error;
use tokio::runtime::Handle;

use crate::{
    consolidate::EntrySchema,
    segment::{Layout, OpenError, ReadError, SegmentReader, StoredSegment},
};

fn damaged(reference: &StoredRef, why: &dyn std::fmt::Display) -> Error {
    Error::new("TM-REST-0103", format!("{} cannot be read: {why}", reference.key))
}

fn unloaded(source: &document::Error) -> Error {
    Error { retryable: source.is_retryable(), ..Error::new("TM-REST-0102", chain(source)) }
}

/// An entry.
///
/// # Errors
/// `TM-REST-0102` where it is missing or another, `TM-REST-0103` where it is not an entry that this build reads.
pub async fn entry(store: &Arc<dyn ObjectStore>, reference: &StoredRef) -> Result<Entry, Error> {
    let entry: Entry = document::read(store, reference).await.map_err(|source| unloaded(&source))?;
    let records = entry.content.records().ok_or_else(|| damaged(reference, &"it holds blocks, not records"))?;
    if !records.increments.is_empty() || !records.retractions.is_empty() {
        return Err(damaged(reference, &"it has increments or retractions, which this build does not restore"));
    }
    Ok(entry)
}

/// The segments of an entry, in order.
///
/// # Errors
/// As [`entry`].
pub async fn segments(store: &Arc<dyn ObjectStore>, entry: &Entry) -> Result<Vec<SegmentRef>, Error> {
    let pages = entry.content.records().map_or(&[][..], |records| &records.baseline);
    content::ranges(store, pages).await.map_err(|source| unloaded(&source))
}

/// The schema in an entry.
///
/// # Errors
/// In words, where it is not the schema of a table.
pub fn schema_of(entry: &Entry) -> Result<EntrySchema, String> {
    EntrySchema::of_entry(entry).map_err(|e| chain(&e))
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
) -> Result<SegmentReader, Error> {
    let opened = StoredSegment::new(store, segment.clone(), runtime.clone()).open(layout);
    opened.map_err(|source| match source {
        OpenError::Stored { .. } => {
            Error { retryable: source.is_retryable(), ..Error::new("TM-REST-0102", chain(&source)) }
        }
        OpenError::Read(source) => unread(&source),
    })
}

/// `TM-REST-0103` of a segment that cannot be read on: retryable where a [`ReadError`] among the causes is.
pub fn unread(source: &(dyn std::error::Error + 'static)) -> Error {
    let read = causes::of(source).find_map(|cause| cause.downcast_ref::<ReadError>());
    Error { retryable: read.is_some_and(ReadError::is_retryable), ..Error::new("TM-REST-0103", chain(source)) }
}
