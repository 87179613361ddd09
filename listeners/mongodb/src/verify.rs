//! What a segment is proven by: keys ascend, each document is whole and has the `_id` that it is stored under.

use std::sync::Arc;

use object_store::ObjectStore;
use tidemark_catalog::{
    entry::Entry,
    figures::{Counts, Figures},
};
use tidemark_listener_core::{failure::Failure, progress::ProgressSink};
use tidemark_records::{
    segments::SegmentFile,
    verify::{self, Ends, Found, Refused, SegmentProver},
};

use crate::{
    codes::VERIFICATION,
    consolidate::read_schema,
    segment::{self, Counted, DOCUMENT_BYTES, KIND},
};

/// Proves an entry; gives the number of its stored records.
///
/// # Errors
/// `TM-MONGO-0203` naming the object, and what is wrong.
pub async fn entry(store: &Arc<dyn ObjectStore>, entry: &Entry, progress: ProgressSink) -> Result<u64, Failure> {
    read_schema(&entry.schema).map_err(|why| Failure::new(VERIFICATION, format!("verify {}: {why}", entry.object)))?;
    verify::entry(store, entry, Prover, VERIFICATION, progress).await
}

struct Prover;

impl SegmentProver for Prover {
    fn prove(&self, file: SegmentFile) -> Result<Found, Refused> {
        let (mut ends, mut counted, mut wrong) = (Ends::default(), Counted::default(), None);
        segment::read(&file, |record| {
            counted.see(&record);
            let seen = record.check().map_err(Refused::Wrong).and_then(|key| ends.see(key));
            wrong = seen.err();
            wrong.is_none()
        })?;
        if let Some(wrong) = wrong {
            return Err(wrong);
        }
        Ok(Found { ends: ends.keys(), records: counted.documents, own: counted.own() })
    }

    fn check_own(&self, figures: &Figures, counted: &Counts) -> Result<(), String> {
        let (expected, found) =
            (figures.count(KIND, DOCUMENT_BYTES), counted.get(DOCUMENT_BYTES).copied().unwrap_or(0));
        if expected == found {
            return Ok(());
        }
        Err(format!("the entry counts {expected} bytes of documents, found are {found}"))
    }
}
