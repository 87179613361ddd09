//! The course of an undo, or of its counting: spans are done side by side, and the place moves over them in order.

use std::{future::Future, time::Duration};

use futures::{Stream, StreamExt, stream};
use tidemark_gateway::Env;
use tidemark_listener_core::{
    failure::Failure,
    progress::{Progress, ProgressSink},
};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use crate::difference::{
    keep::Keeper,
    state::{Outcome, Place, State},
};

/// Time between two saves.
const SAVE_INTERVAL: Duration = Duration::from_secs(1);

/// How spans are done.
pub struct Course<'a> {
    /// Spans in work at a time, from 1.
    pub in_work: usize,
    /// For people: `compare ks/t`.
    pub phase: String,
    /// Rows in all, about.
    pub rows: u64,
    /// Progress in rows.
    pub progress: &'a ProgressSink,
    /// Stops the work.
    pub cancel: &'a CancellationToken,
    /// Clocks.
    pub env: &'a Env,
}

impl Course<'_> {
    /// Does all spans that come, in their order, and moves the keeper's place over those that are done without a hole. `work`
    /// answers where the next span starts and what came of its own. Saves after the first span, then at most every second.
    ///
    /// # Errors
    /// The first error of the stream or of a span; that of the saver; [`Failure::cancelled`].
    pub async fn drive<S, P, W>(
        &self,
        keeper: &Keeper<P>,
        mut spans: mpsc::Receiver<Result<S, Failure>>,
        work: impl Fn(S) -> W,
    ) -> Result<(), Failure>
    where
        P: Place,
        W: Future<Output = Result<(P, Outcome), Failure>>,
    {
        let spans = stream::poll_fn(|context| spans.poll_recv(context));
        let done = spans.map(|span| {
            let done = span.map(&work);
            async move { done?.await }
        });
        self.advance(keeper, done.buffered(self.in_work.max(1))).await
    }

    /// Takes what was done in order.
    async fn advance<P: Place>(
        &self,
        keeper: &Keeper<P>,
        done: impl Stream<Item = Result<(P, Outcome), Failure>>,
    ) -> Result<(), Failure> {
        let mut done = std::pin::pin!(done);
        let mut saved_at: Option<Duration> = None;
        loop {
            let next = tokio::select! {
                biased;
                () = self.cancel.cancelled() => return Err(Failure::cancelled()),
                next = done.next() => next,
            };
            let Some(next) = next else { return Ok(()) };
            let (place, outcome) = next?;
            {
                let mut state = keeper.state();
                state.place = place;
                state.outcome.add(outcome);
                self.tell(&state);
            }
            let now = self.env.monotonic();
            if keeper.writes() && saved_at.is_none_or(|at| now.saturating_sub(at) >= SAVE_INTERVAL) {
                keeper.save().await?;
                saved_at = Some(now);
                tidemark_gateway::pause::point("mid-undo");
            }
        }
    }

    fn tell<P>(&self, state: &State<P>) {
        (self.progress)(Progress {
            phase: self.phase.clone(),
            done: state.outcome.totals.read,
            total: self.rows,
            unit: "rows".to_owned(),
        });
    }
}
