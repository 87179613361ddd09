//! Watches a stream while it is written: reports progress and stops at cancellation.

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};

use tidemark_listener_core::{
    progress::{Progress, ProgressSink},
    records::ConsolidateJob,
};
use tokio_util::sync::CancellationToken;

/// Steps of the stream from one look at the token and the counter to the next.
const EVERY: u32 = 1024;

/// Why a watched stream ended before its end. What the stream itself failed of is kept in [`Watched::failed`], because the
/// writer's error type does not know it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Stopped {
    /// The work was cancelled.
    #[error("cancelled")]
    Cancelled,
    /// The stream failed.
    #[error("the stream failed")]
    Failed,
}

/// What is reported, and to whom.
#[derive(Clone)]
pub struct Watch {
    phase: String,
    bytes_read: Arc<AtomicU64>,
    total_bytes: u64,
    progress: ProgressSink,
    cancel: CancellationToken,
}

impl Watch {
    /// The watch of a job whose inputs are `total_bytes` of staged files; whoever reads them counts up `bytes_read`.
    pub fn of(job: &ConsolidateJob, total_bytes: u64, bytes_read: Arc<AtomicU64>) -> Self {
        Self {
            phase: format!("consolidate {}", job.object),
            bytes_read,
            total_bytes,
            progress: job.progress.clone(),
            cancel: job.cancel.clone(),
        }
    }

    /// Reports where the work stands.
    pub fn report(&self) {
        (self.progress)(Progress {
            phase: self.phase.clone(),
            done: self.bytes_read.load(Ordering::Relaxed).min(self.total_bytes),
            total: self.total_bytes,
            unit: "bytes".to_owned(),
        });
    }
}

/// A stream that is watched: before its first step and every 1024 steps it reports, and ends if the work was cancelled.
pub struct Watched<S, E> {
    stream: S,
    watch: Watch,
    steps: u32,
    failed: Option<E>,
}

impl<S, E> Watched<S, E> {
    /// Watches `stream`.
    pub fn new(stream: S, watch: Watch) -> Self {
        Self { stream, watch, steps: 0, failed: None }
    }

    /// Takes a step of the stream.
    ///
    /// # Errors
    /// [`Stopped::Cancelled`] before a step; [`Stopped::Failed`] where the step failed, of what [`Watched::failed`] tells.
    pub fn step<T>(&mut self, next: impl FnOnce(&mut S) -> Result<T, E>) -> Result<T, Stopped> {
        self.look()?;
        next(&mut self.stream).map_err(|error| {
            self.failed = Some(error);
            Stopped::Failed
        })
    }

    /// The stream itself.
    pub fn stream(&self) -> &S {
        &self.stream
    }

    /// The stream's own error, once.
    pub fn failed(&mut self) -> Option<E> {
        self.failed.take()
    }

    fn look(&mut self) -> Result<(), Stopped> {
        let looks = self.steps.is_multiple_of(EVERY);
        self.steps = self.steps.wrapping_add(1);
        if !looks {
            return Ok(());
        }
        self.watch.report();
        if self.watch.cancel.is_cancelled() { Err(Stopped::Cancelled) } else { Ok(()) }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use super::*;

    fn watch(progress: ProgressSink, bytes_read: u64) -> Watch {
        let (phase, cancel) = ("consolidate a/b".to_owned(), CancellationToken::new());
        Watch { phase, bytes_read: Arc::new(bytes_read.into()), total_bytes: 100, progress, cancel }
    }

    #[test]
    fn a_stream_is_reported_and_ends_where_it_is_cancelled() {
        let seen = Arc::new(Mutex::new(Vec::new()));
        let sink = seen.clone();
        let watch = watch(Arc::new(move |progress| sink.lock().unwrap().push(progress)), 170);
        let cancel = watch.cancel.clone();
        let mut stream = Watched::new(0_u32, watch);
        let next = |count: &mut u32| {
            *count += 1;
            Ok::<_, ()>(*count)
        };
        assert!((1..=2048).all(|count| stream.step(next) == Ok(count)));
        cancel.cancel();
        assert_eq!((stream.step(next), *stream.stream(), stream.failed()), (Err(Stopped::Cancelled), 2048, None));
        let seen: Vec<_> = seen.lock().unwrap().iter().map(|report| (report.done, report.total)).collect();
        assert_eq!(seen, [(100, 100); 3], "what is read ahead is no more than there is");
    }

    #[test]
    fn a_stream_of_few_steps_does_not_begin_when_it_is_cancelled() {
        let mut stream = Watched::new((), watch(Arc::new(|_| {}), 0));
        stream.watch.cancel.cancel();
        assert_eq!(stream.step(|()| Ok::<_, ()>(1)), Err(Stopped::Cancelled));
    }

    #[test]
    fn what_a_stream_failed_of_is_told_once() {
        let mut stream = Watched::new((), watch(Arc::new(|_| {}), 0));
        assert_eq!(stream.step(|()| Err::<(), _>("a bit fell")), Err(Stopped::Failed));
        assert_eq!((stream.failed(), stream.failed()), (Some("a bit fell"), None));
    }
}
