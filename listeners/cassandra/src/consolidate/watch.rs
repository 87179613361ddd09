//! Watches a stream while it is written: reports progress and stops at cancellation.

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};

use tidemark_cassandra_format::model::{Partition, PartitionReader, Unfiltered};
use tidemark_listener_core::progress::{Progress, ProgressSink};
use tokio_util::sync::CancellationToken;

/// Partitions and unfiltereds between two looks at the token and the counter.
const EVERY: u32 = 1024;

/// Why a watched stream ended before its end. What the stream itself failed of is kept in [`Watched::failed`], because the
/// writer's error type does not know it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(super) enum Stopped {
    #[error("cancelled")]
    Cancelled,
    #[error("the stream failed")]
    Failed,
}

/// What is reported, and to whom.
#[derive(Clone)]
pub(super) struct Watch {
    pub(super) phase: String,
    pub(super) bytes_read: Arc<AtomicU64>,
    pub(super) total_bytes: u64,
    pub(super) progress: ProgressSink,
    pub(super) cancel: CancellationToken,
}

impl Watch {
    pub(super) fn report(&self) {
        (self.progress)(Progress {
            phase: self.phase.clone(),
            done: self.bytes_read.load(Ordering::Relaxed).min(self.total_bytes),
            total: self.total_bytes,
            unit: "bytes".to_owned(),
        });
    }
}

/// A stream that is watched.
pub(super) struct Watched<R: PartitionReader> {
    stream: R,
    watch: Watch,
    steps: u32,
    failed: Option<R::Error>,
}

impl<R: PartitionReader> Watched<R> {
    pub(super) fn new(stream: R, watch: Watch) -> Self {
        Self { stream, watch, steps: 0, failed: None }
    }

    /// The stream itself.
    pub(super) fn stream(&self) -> &R {
        &self.stream
    }

    /// What the stream failed of, once.
    pub(super) fn failed(&mut self) -> Option<R::Error> {
        self.failed.take()
    }

    fn step(&mut self) -> Result<(), Stopped> {
        self.steps = self.steps.wrapping_add(1);
        if !self.steps.is_multiple_of(EVERY) {
            return Ok(());
        }
        self.watch.report();
        if self.watch.cancel.is_cancelled() { Err(Stopped::Cancelled) } else { Ok(()) }
    }

    fn keep<T>(&mut self, result: Result<T, R::Error>) -> Result<T, Stopped> {
        result.map_err(|error| {
            self.failed = Some(error);
            Stopped::Failed
        })
    }
}

impl<R: PartitionReader> PartitionReader for Watched<R>
where
    R::Error: Send,
{
    type Error = Stopped;

    fn next_partition(&mut self) -> Result<Option<Partition>, Stopped> {
        self.step()?;
        let next = self.stream.next_partition();
        self.keep(next)
    }

    fn next_unfiltered(&mut self) -> Result<Option<Unfiltered>, Stopped> {
        self.step()?;
        let next = self.stream.next_unfiltered();
        self.keep(next)
    }
}
