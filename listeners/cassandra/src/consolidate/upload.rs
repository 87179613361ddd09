//! Stores finished segments under new names, in order.

use std::sync::Arc;

use object_store::ObjectStore;
use tidemark_catalog::{content::SegmentRef, names::Names, stored::StoredRef};
use tidemark_gateway::upload::{self, UploadOptions};
use tokio::sync::mpsc;

use crate::segment::{Content, FinishedSegment};

/// Stores segments until the channel ends, and gives their references in the same order.
pub(super) async fn all(
    store: &Arc<dyn ObjectStore>,
    names: &Names,
    mut segments: mpsc::Receiver<FinishedSegment>,
) -> Result<Vec<SegmentRef>, upload::Error> {
    let mut references = Vec::new();
    while let Some(segment) = segments.recv().await {
        references.push(one(store, names, segment).await?);
    }
    Ok(references)
}

async fn one(
    store: &Arc<dyn ObjectStore>,
    names: &Names,
    segment: FinishedSegment,
) -> Result<SegmentRef, upload::Error> {
    let path = names.segment();
    let stored = match segment.content {
        // One create-only put: a multipart upload is never created conditionally and is read back whole.
        Content::Memory(bytes) => upload::put_new(store, &path, bytes).await?,
        Content::File(file) => {
            let file = tokio::fs::File::from_std(file);
            upload::put_reader_new(store, &path, file, &UploadOptions::default(), |_| {}).await?
        }
    };
    Ok(SegmentRef {
        first: segment.first.stored(),
        last: segment.last.stored(),
        stored: StoredRef::new(&path, stored),
        records: segment.records,
    })
}
