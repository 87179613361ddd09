//! Segments of what a merge gives, stored while it goes on.

use std::sync::{Arc, atomic::AtomicU64};

use tidemark_catalog::{
    content::SegmentRef,
    keys::{Key, KeyRange},
};
use tidemark_listener_core::{failure::Failure, records::ConsolidateJob};
use tidemark_records::{
    consolidate::{
        Failed,
        budget::Budget,
        failure,
        watch::{Stopped, Watch, Watched},
    },
    segments::{
        SegmentCutter,
        upload::{SegmentSink, stored_while},
    },
};
use tokio::runtime::Handle;

use super::{
    merge::{Joined, Merge, StreamError},
    plan::Plan,
};
use crate::{
    codes::CONSOLIDATION,
    segment::{Columns, Record, Unwritable},
};

/// What is kept of what is known of each document.
pub(super) trait Make: Send + 'static {
    /// Its records, in order; none where nothing of it is kept. Documents come in the order of their keys.
    ///
    /// # Errors
    /// [`StreamError`], which ends the merge.
    fn records(&mut self, joined: Joined) -> Result<(Key, Vec<Record>), StreamError>;
}

/// What was made.
pub(super) struct Made<M> {
    pub(super) segments: Vec<SegmentRef>,
    pub(super) make: M,
    /// Why it ended before its end; then the segments are garbage.
    pub(super) failed: Option<StreamError>,
}

/// The segments of a range of a plan's keys, as `make` has them.
///
/// # Errors
/// `TM-MONGO-0201` where the store fails; cancelled.
pub(super) async fn segments<M: Make>(
    job: &ConsolidateJob,
    plan: &Plan,
    range: &KeyRange,
    mut make: M,
) -> Result<Made<M>, Failure> {
    let bytes = Arc::new(AtomicU64::new(0));
    let watch = Watch::of(job, plan.bytes(), Arc::clone(&bytes));
    let limits = Budget::of(job.limits.memory_bytes, 1).write_limits(&job.limits);
    let merge = Merge::of(job, plan, range, bytes, Handle::current());
    let builder = Columns::new(&job.object);
    let mut stream = Watched::new(merge, watch);
    let made = stored_while(&job.store, &job.names, move |sink| {
        let cutter = SegmentCutter::new(builder, limits);
        let failed = match cut(&mut stream, cutter, sink, &mut make) {
            // What the stream failed of is the outcome, with more words than the writer has.
            Err(Failed::Stopped(Stopped::Failed)) => stream.failed(),
            other => {
                other?;
                None
            }
        };
        Ok::<_, Failed<Unwritable>>((make, failed))
    });
    let (segments, (make, failed)) = made.await.map_err(|error| failure(&error, CONSOLIDATION))?;
    Ok(Made { segments, make, failed })
}

fn cut(
    stream: &mut Watched<Merge, StreamError>,
    mut cutter: SegmentCutter<Columns>,
    sink: &SegmentSink,
    make: &mut impl Make,
) -> Result<(), Failed<Unwritable>> {
    let mut next = |merge: &mut Merge| merge.next()?.map(|joined| make.records(joined)).transpose();
    while let Some((key, records)) = stream.step(&mut next)? {
        if records.is_empty() {
            continue;
        }
        cutter.begin(key)?;
        for record in &records {
            cutter.append(|columns| columns.push(record))?;
        }
        if let Some(segment) = cutter.end()? {
            sink.put(segment)?;
        }
    }
    if let Some(segment) = cutter.finish()? {
        sink.put(segment)?;
    }
    Ok(())
}
