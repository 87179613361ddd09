//! What an entry and a version name: the one place that knows it.

use std::sync::Arc;

use object_store::ObjectStore;

use crate::{
    content::{self, Content, Records},
    document,
    entry::Entry,
    stored::StoredRef,
};

/// Every object that an entry needs, itself included.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct EntryNeeds {
    /// The entry and the range pages: they were read, and are what they were when they were written.
    pub read: Vec<StoredRef>,
    /// Segments, identity pages and leaves of blocks: nothing was asked about them.
    pub unread: Vec<StoredRef>,
}

impl EntryNeeds {
    /// All of them.
    pub fn all(&self) -> impl Iterator<Item = &StoredRef> {
        self.read.iter().chain(&self.unread)
    }
}

/// Every object that the entry which `reference` names needs, itself included.
///
/// # Errors
/// As [`document::read`], for the entry and its range pages.
pub async fn of_entry(store: &Arc<dyn ObjectStore>, reference: &StoredRef) -> Result<EntryNeeds, document::Error> {
    let entry: Entry = document::read(store, reference).await?;
    let mut needs = EntryNeeds { read: vec![reference.clone()], unread: Vec::new() };
    match entry.content {
        Content::Blocks(blocks) => needs.unread = blocks.leaves,
        Content::Records(records) => {
            let ranges = content::ranges(store, &records.baseline).await?;
            needs.unread = beside_baseline(&records);
            needs.unread.extend(ranges.into_iter().map(|range| range.stored));
            needs.read.extend(records.baseline);
        }
    }
    Ok(needs)
}

/// What records name but for their baseline: segments of increments and retractions, identity pages.
fn beside_baseline(records: &Records) -> Vec<StoredRef> {
    let increments = records.increments.iter().flat_map(|increment| &increment.segments);
    let retractions = records.retractions.iter().flat_map(|retraction| &retraction.segments);
    let segments = increments.chain(retractions).map(|segment| segment.stored.clone());
    segments.chain(records.merged.iter().map(|page| page.stored.clone())).collect()
}
