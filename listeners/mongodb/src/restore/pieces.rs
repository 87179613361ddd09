//! Documents of a segment, some at a time.

use tidemark_catalog::content::SegmentRef;
use tidemark_gateway::causes::joined;
use tidemark_listener_core::{failure::Failure, restorer::RestoreJob};
use tidemark_records::{
    restore::{checkpoint::Mark, pipeline},
    segments::StoredSegment,
};
use tokio::runtime::Handle;

use crate::{
    codes::VERIFICATION,
    segment::{self, Atom, Record},
};

/// Documents of a piece at most.
const DOCUMENTS: usize = 1_000;

/// Bytes at which a piece ends.
const BYTES: usize = 2 << 20;

/// Documents that are written, or compared, together.
#[derive(Default)]
pub(super) struct Piece {
    /// In the order of their keys.
    pub(super) records: Vec<Record>,
    bytes: usize,
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
        self.bytes
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
        let (mut group, mut piece, mut events) = (0, Piece::default(), false);
        let read = segment::read(&file, |record| {
            group += 1;
            events |= !matches!(record.atom, Atom::Rest(_));
            if group <= from.group {
                return true;
            }
            piece.bytes += record.bytes().len();
            piece.records.push(record);
            piece.end = Mark { segment: from.segment, group, records: 0 };
            piece.records.len() < DOCUMENTS && piece.bytes < BYTES || take(std::mem::take(&mut piece))
        });
        read.map_err(|error| unread(&error, error.is_retryable()))?;
        if events {
            return Err(Failure::new(
                VERIFICATION,
                format!("{}: it holds events, which this build does not restore", file.name()),
            ));
        }
        if !piece.records.is_empty() {
            take(piece);
        }
        Ok(())
    }
}

fn unread(error: &(dyn std::error::Error + 'static), retryable: bool) -> Failure {
    Failure { retryable, ..Failure::new(VERIFICATION, joined(error)) }
}
