//! What a segment is proven by.

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

use super::{KIND, VERIFICATION, segment, segment::Counted};

/// Proves an entry; gives the number of its stored records.
///
/// # Errors
/// `TM-TOY-0005` naming the object, and what is wrong.
pub async fn entry(store: &Arc<dyn ObjectStore>, entry: &Entry, progress: ProgressSink) -> Result<u64, Failure> {
    if entry.schema != segment::schema() {
        let words = format!("verify {}: its schema is {}, which this kind never has", entry.object, entry.schema);
        return Err(Failure::new(VERIFICATION, words));
    }
    verify::entry(store, entry, Prover, VERIFICATION, progress).await
}

struct Prover;

impl SegmentProver for Prover {
    fn prove(&self, file: SegmentFile) -> Result<Found, Refused> {
        let (mut ends, mut counted, mut order) = (Ends::default(), Counted::default(), Ok(()));
        segment::read(&file, |records| {
            order = records.iter().try_for_each(|record| {
                counted.see(record);
                ends.see(record.segment_key())
            });
            order.is_ok()
        })?;
        order?;
        Ok(Found { ends: ends.keys(), records: counted.alive, own: counted.own() })
    }

    fn check_own(&self, figures: &Figures, counted: &Counts) -> Result<(), String> {
        match counted.iter().find(|(name, count)| figures.count(KIND, name) != **count) {
            None => Ok(()),
            Some((name, count)) => Err(format!("it has {count} {name}, its figures say {}", figures.count(KIND, name))),
        }
    }
}
