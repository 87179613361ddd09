//! Records of a segment, some at a time.

use tidemark_catalog::content::SegmentRef;
use tidemark_gateway::causes::joined;
use tidemark_listener_core::{failure::Failure, restorer::RestoreJob};
use tidemark_records::{
    restore::{checkpoint::Mark, pipeline},
    segments::StoredSegment,
};
use tokio::runtime::Handle;

use crate::toy::{VERIFICATION, record::Record, segment};

/// Records of a piece at most.
const RECORDS: usize = 100;

/// Records that are written, or compared, together.
pub(super) struct Piece {
    /// Without deletions.
    pub(super) records: Vec<Record>,
    end: Mark,
}

impl pipeline::Piece for Piece {
    fn end(&self) -> Mark {
        self.end
    }

    fn records(&self) -> usize {
        self.records.len()
    }

    fn bytes(&self) -> usize {
        self.records.iter().map(|record| record.key.len() + record.value.get().len()).sum()
    }
}

/// How a segment is read from a mark on, whose groups are its records. Blocking.
pub(super) fn reader(
    job: &RestoreJob,
    segment: &SegmentRef,
    from: Mark,
) -> impl FnOnce(&mut dyn FnMut(Piece) -> bool) -> Result<(), Failure> + Send + use<> {
    let segment = StoredSegment::new(&job.store, segment.clone(), Handle::current());
    move |take| {
        let file = segment.open().map_err(|error| unread(&error, error.is_retryable()))?;
        let (mut skip, mut group) = (from.group, from.group);
        let read = segment::read(&file, |mut records| {
            let passed = usize::try_from(skip).unwrap_or(usize::MAX).min(records.len());
            records.drain(..passed);
            skip -= passed as u64;
            records.chunks(RECORDS).all(|some| {
                group += some.len() as u64;
                let end = Mark { segment: from.segment, group, records: 0 };
                let alive = some.iter().filter(|record| !record.is_deletion()).cloned().collect();
                take(Piece { records: alive, end })
            })
        });
        read.map_err(|error| unread(&error, error.is_retryable()))
    }
}

fn unread(error: &(dyn std::error::Error + 'static), retryable: bool) -> Failure {
    Failure { retryable, ..Failure::new(VERIFICATION, joined(error)) }
}
