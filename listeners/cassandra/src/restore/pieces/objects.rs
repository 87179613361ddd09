//! Reading what a restore needs from the store: entries, range pages, segments; each proven by its digest.

use std::sync::Arc;

use bytes::Bytes;
use futures::TryStreamExt;
use object_store::{ObjectStore, ObjectStoreExt};
use tidemark_catalog::{
    content::{RangePage, SegmentRef},
    document::{self, Document},
    entry::Entry,
    stored::StoredRef,
};
use tidemark_gateway::{Stored, blocking::ObjectReader, causes::chain, fetch};
use tidemark_listener_core::driver::Error;

use crate::{
    consolidate::EntrySchema,
    segment::{Fetch, Layout, SegmentReader},
};

/// Segments up to this size are read into memory at once, bytes; larger ones in ranges.
const WHOLE_SEGMENT_BYTES: u64 = 64 << 20;

fn damaged(reference: &StoredRef, why: &dyn std::fmt::Display) -> Error {
    Error::new("TM-REST-0103", format!("{} cannot be read: {why}", reference.key))
}

/// A stored document, proven by its digest.
async fn document<T: Document>(store: &Arc<dyn ObjectStore>, reference: &StoredRef) -> Result<T, Error> {
    document::read(store, reference)
        .await
        .map_err(|source| Error { retryable: source.is_retryable(), ..Error::new("TM-REST-0102", chain(&source)) })
}

/// An entry.
///
/// # Errors
/// `TM-REST-0102` where it is missing or another, `TM-REST-0103` where it is not an entry that this build reads.
pub async fn entry(store: &Arc<dyn ObjectStore>, reference: &StoredRef) -> Result<Entry, Error> {
    let entry: Entry = document(store, reference).await?;
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
    let mut found = Vec::new();
    for page in entry.content.records().map_or(&[][..], |records| &records.baseline) {
        let page: RangePage = document(store, page).await?;
        found.extend(page.ranges);
    }
    Ok(found)
}

/// The schema in an entry.
///
/// # Errors
/// In words, where it is not the schema of a table.
pub fn schema_of(entry: &Entry) -> Result<EntrySchema, String> {
    EntrySchema::of_entry(entry).map_err(|e| chain(&e))
}

/// A segment whose bytes are proven, to be opened by [`open`] off the runtime.
pub struct ProvenSegment {
    source: Arc<dyn Fetch>,
    key: String,
}

/// Reads a segment and proves its digest.
///
/// # Errors
/// `TM-REST-0102` where it is missing or another.
pub async fn prove(store: &Arc<dyn ObjectStore>, segment: &SegmentRef) -> Result<ProvenSegment, Error> {
    let reference = &segment.stored;
    let source: Arc<dyn Fetch> = match reference.size <= WHOLE_SEGMENT_BYTES {
        true => {
            let stored = Stored { size: reference.size, digest: reference.digest, tree: None };
            let read = fetch::get(store, &reference.path(), &stored).await;
            Arc::new(read.map_err(|source| Error {
                retryable: source.is_retryable(),
                ..Error::new("TM-REST-0102", chain(&source))
            })?)
        }
        false => {
            prove_stream(store, reference).await?;
            let runtime = tokio::runtime::Handle::current();
            Arc::new(ObjectReader::new(store.clone(), reference.path(), reference.size, runtime))
        }
    };
    Ok(ProvenSegment { source, key: reference.key.clone() })
}

/// Reads an object through and compares its digest, holding one buffer at a time.
async fn prove_stream(store: &Arc<dyn ObjectStore>, reference: &StoredRef) -> Result<(), Error> {
    let failed = |source: object_store::Error| {
        let error = Error::new("TM-REST-0102", format!("read {}: {}", reference.key, chain(&source)));
        Error { retryable: tidemark_gateway::retry::is_transient(&source), ..error }
    };
    let mut stream = store.get(&reference.path()).await.map_err(failed)?.into_stream();
    let mut hasher = blake3::Hasher::new();
    let mut size = 0;
    while let Some(bytes) = stream.try_next().await.map_err(failed)? {
        let bytes: Bytes = bytes;
        size += bytes.len() as u64;
        hasher.update(&bytes);
    }
    let found = hasher.finalize().to_hex().to_string();
    if size != reference.size || found != reference.digest.to_string() {
        return Err(Error::new("TM-REST-0102", format!("{} is damaged: its digest is another", reference.key)));
    }
    Ok(())
}

/// Opens a segment. Blocking.
///
/// # Errors
/// `TM-REST-0103` where it is not a segment of this table.
pub fn open(segment: &ProvenSegment, layout: &Arc<Layout>) -> Result<SegmentReader, Error> {
    SegmentReader::open(segment.source.clone(), layout.clone(), segment.key.clone())
        .map_err(|source| Error::new("TM-REST-0103", chain(&source)))
}
