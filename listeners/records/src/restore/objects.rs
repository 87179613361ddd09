//! Reading what a restore needs from the store: entries and range pages; each proven by its digest.

use std::sync::Arc;

use object_store::ObjectStore;
use tidemark_catalog::{
    content::{self, SegmentRef},
    document,
    entry::Entry,
    stored::StoredRef,
};
use tidemark_gateway::causes::joined;
use tidemark_listener_core::{failure::Failure, restorer::STORE_READ};

fn damaged(reference: &StoredRef, why: &str) -> Failure {
    Failure::new("TM-REST-0103", format!("{} cannot be read: {why}", reference.key))
}

fn unloaded(source: &document::Error) -> Failure {
    Failure { retryable: source.is_retryable(), ..Failure::new(STORE_READ, joined(source)) }
}

/// An entry of records.
///
/// # Errors
/// `TM-REST-0102` where it is missing or another, `TM-REST-0103` where it is not an entry that this build restores.
pub async fn entry(store: &Arc<dyn ObjectStore>, reference: &StoredRef) -> Result<Entry, Failure> {
    let entry: Entry = document::read(store, reference).await.map_err(|source| unloaded(&source))?;
    let records = entry.content.records().ok_or_else(|| damaged(reference, "it holds blocks, not records"))?;
    if !records.increments.is_empty() || !records.retractions.is_empty() {
        return Err(damaged(reference, "it has increments or retractions, which this build does not restore"));
    }
    Ok(entry)
}

/// The segments of an entry, ascending by their keys.
///
/// # Errors
/// `TM-REST-0102` where a range page is missing or another.
pub async fn segments(store: &Arc<dyn ObjectStore>, entry: &Entry) -> Result<Vec<SegmentRef>, Failure> {
    let pages = entry.content.records().map_or(&[][..], |records| &records.baseline);
    content::ranges(store, pages).await.map_err(|source| unloaded(&source))
}

#[cfg(test)]
mod tests;
