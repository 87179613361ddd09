//! One run of a task: what it came to, and where it leaves the task.

use std::{
    panic::AssertUnwindSafe,
    sync::{Arc, atomic::AtomicUsize},
    time::Duration,
};

use futures::FutureExt as _;
use tidemark_catalog::ids::TaskId;
use tidemark_gateway::{
    backoff::{self, Jitter},
    causes, pause,
};

use super::{
    super::{
        Checkpoints, Cut, Error, Failure, RESULT, State, TaskRecord, Waiting,
        claim::{Claim, Leave},
        progress, queue,
        record::RESULT_BYTES,
        summary::{self, Summary},
    },
    Completion, Execute, Observe, RunnerConfig, Stop, TaskContext,
};
use crate::coordinator::Hold;

/// Longest time for keeping a large result in the store.
const LONGEST_KEEP: Duration = Duration::from_secs(60);

/// One run of a task under its claim.
pub(super) struct Run {
    pub(super) claim: Claim,
    pub(super) stop: Stop,
    pub(super) hold: Hold,
    pub(super) execute: Arc<dyn Execute>,
    pub(super) config: Arc<RunnerConfig>,
    pub(super) waiting: Arc<AtomicUsize>,
    pub(super) observer: Option<Arc<dyn Observe>>,
}

impl Run {
    pub(super) async fn run(self, mut task: TaskRecord) {
        let due_before = task.due_millis;
        let (id, token) = (task.id.clone(), self.claim.token());
        tracing::info!(task = %id, kind = task.kind.as_str(), subject = task.subject, attempt = task.attempt, fencing_token = %token, "task started");
        let checkpoints = Checkpoints::new(self.claim.clone(), &task);
        let outcome = self.outcome(&task, &checkpoints).await;
        task.lost_runs = 0;
        if checkpoints.progressed() {
            task = task.after_progress();
        }
        let leave = self.settle(&mut task, outcome);
        self.cut(&mut task, &checkpoints).await;
        pause::point("before-end");
        if let Err(error) = self.leave_surely(&task, due_before, leave).await {
            tracing::warn!(task = %id, fencing_token = %token, error = %causes::joined(&error), "the end of a run was not recorded");
            return;
        }
        let error = task.error.as_ref().map(ToString::to_string);
        tracing::info!(task = %id, state = task.state.as_str(), error, "run ended");
        if let Some(observer) = self.observer.iter().find(|_| task.state.is_done()) {
            observer.done(&task);
        }
    }

    /// What the run came to; a panic of its code is a failure of the task, not of the daemon.
    async fn outcome(&self, task: &TaskRecord, checkpoints: &Checkpoints) -> Result<Completion, Failure> {
        if task.lost_runs >= self.config.max_attempts {
            return Err(self.given_up(task));
        }
        if self.claim.is_cancel_asked().await? {
            self.stop.cancel_by_person();
            return Err(Failure::cancelled());
        }
        let spec = self.claim.tasks().spec(task).await?;
        let (progress, newest) = progress::channel();
        let context = TaskContext {
            task: TaskRecord { spec, ..task.clone() },
            token: self.claim.token(),
            progress,
            cancel: self.stop.token.clone(),
            over: self.stop.by_person.clone(),
            checkpoints: checkpoints.clone(),
            hold: self.hold.clone(),
            waiting: Arc::clone(&self.waiting),
        };
        let work = AssertUnwindSafe(self.execute.execute(context)).catch_unwind();
        tokio::select! {
            biased;
            done = work => done.unwrap_or_else(|panic| Err(panicked(&*panic))),
            lost = progress::write(&self.claim, newest, &self.claim.tasks().env) => Err(lost.into()),
        }
    }

    fn given_up(&self, task: &TaskRecord) -> Failure {
        let last = task.error.as_ref().map_or_else(|| "the daemon ended while it ran".to_owned(), ToString::to_string);
        Failure::permanent(
            "TM-TASK-0007",
            format!("given up after {} attempts; the last one: {last}", self.config.max_attempts),
        )
    }

    /// Writes into the record what the outcome means.
    fn settle(&self, task: &mut TaskRecord, outcome: Result<Completion, Failure>) -> Leave {
        let mut failure = match outcome {
            Ok(Completion { result, warnings }) => {
                (task.result, task.error, task.waiting) = (Some(result), None, None);
                return self.done(task, if warnings { State::Warnings } else { State::Succeeded });
            }
            Err(failure) => failure,
        };
        let details = failure.details.take();
        if self.stop.by_person.is_cancelled() {
            task.error = None;
            return self.done(task, State::Cancelled);
        }
        if self.stop.token.is_cancelled() {
            // Interrupted, by no fault of the task: the attempt does not count.
            task.attempt -= 1;
            return self.requeue(task, Duration::ZERO);
        }
        if failure.is_claim_anew() {
            let again = task.error.as_ref().is_some_and(Failure::is_claim_anew);
            (task.attempt, task.error) = (task.attempt - 1, Some(failure));
            return self.requeue(task, if again { self.config.backoff } else { Duration::ZERO });
        }
        let pause = if failure.retryable { self.pause(task, &failure) } else { None };
        let failure = match (pause, &task.waiting) {
            (None, Some(waiting)) if failure.away.is_some() => waited_too_long(failure, waiting, &task.id),
            _ => failure,
        };
        task.error = Some(failure);
        if let Some(pause) = pause {
            return self.requeue(task, pause);
        }
        task.result = details;
        self.done(task, State::Failed)
    }

    /// Cuts a result that is too large for the record down to a summary, and keeps the whole of it in the store where that can be.
    async fn cut(&self, task: &mut TaskRecord, checkpoints: &Checkpoints) {
        let Some(whole) = &task.result else { return };
        let Some(Summary { value, lists }) = summary::of(whole, RESULT_BYTES) else { return };
        let json = queue::encode(whole);
        let kept = tokio::time::timeout(LONGEST_KEEP, checkpoints.keep(RESULT, &json)).await;
        let (kept, why_not) = match kept {
            Ok(Ok(kept)) => (Some(kept), None),
            Ok(Err(error)) => (None, Some(causes::joined(&error))),
            Err(_) => (None, Some("the store did not take it in time".to_owned())),
        };
        if let Some(why_not) = &why_not {
            tracing::warn!(task = %task.id, why_not, "only the summary of a large result is kept");
        }
        (task.result, task.cut) = (Some(value), Some(Cut { lists, kept, why_not }));
    }

    /// How long to wait before the next try; `None` where the task is given up.
    fn pause(&self, task: &mut TaskRecord, failure: &Failure) -> Option<Duration> {
        let Some(what) = failure.away else {
            task.failures += 1;
            return (task.failures < self.config.max_attempts).then(|| self.backoff(task.failures));
        };
        let now = self.claim.tasks().env.now();
        // A wait that began while the clock was ahead begins now.
        let (since, tries) = task.waiting.take().map_or((now, 0), |waiting| (waiting.since.min(now), waiting.tries));
        let waiting = Waiting { what, since, tries: tries + 1 };
        let away = Duration::try_from(now.duration_since(since)).unwrap_or_default();
        let pause = (away < self.config.longest_absence).then(|| self.backoff(waiting.tries));
        task.waiting = Some(waiting);
        pause
    }

    fn done(&self, task: &mut TaskRecord, state: State) -> Leave {
        (task.state, task.finished) = (state, Some(self.claim.tasks().env.now()));
        Leave::Done
    }

    fn requeue(&self, task: &mut TaskRecord, wait: Duration) -> Leave {
        task.state = State::Queued;
        task.due_millis = self.claim.tasks().now_millis() + u64::try_from(wait.as_millis()).unwrap_or(u64::MAX >> 1);
        Leave::Requeued
    }

    fn backoff(&self, failures: u32) -> Duration {
        let RunnerConfig { backoff, longest_backoff, .. } = *self.config;
        backoff::wait(backoff, longest_backoff, failures.saturating_sub(1), Jitter::None)
    }

    /// As [`Self::leave`], again and again while the coordinator fails: what was done must not be done again because a disk was full for
    /// a while. One that is interrupted tries once more.
    async fn leave_surely(&self, task: &TaskRecord, due_before: u64, leave: Leave) -> Result<(), Error> {
        let mut tries = 0;
        loop {
            let last = self.stop.token.is_cancelled() && !self.stop.by_person.is_cancelled();
            match self.leave(task, due_before, leave).await {
                Err(error @ Error::Coordinator { .. }) if !last => {
                    if tries == 0 {
                        let error = causes::joined(&error);
                        tracing::error!(task = %task.id, error, "the end of a run cannot be recorded, trying again");
                    }
                    tries += 1;
                    tokio::select! {
                        biased;
                        () = self.stop.token.cancelled(), if !self.stop.token.is_cancelled() => {}
                        () = tokio::time::sleep(self.backoff(tries)) => {}
                    }
                }
                left => return left,
            }
        }
    }

    async fn leave(&self, task: &TaskRecord, due_before: u64, leave: Leave) -> Result<(), Error> {
        // A task that failed can be resumed.
        let over = matches!(leave, Leave::Done) && task.state != State::Failed;
        self.claim.leave(task, due_before, leave).await?;
        if over {
            self.claim.tasks().delete_checkpoints(&task.id).await?;
        }
        Ok(())
    }
}

/// What was waited for did not come back within the bound.
fn waited_too_long(failure: Failure, waiting: &Waiting, id: &TaskId) -> Failure {
    let Waiting { what, since, .. } = waiting;
    let words = format!("the {what} was away since {since:.0}, longer than is waited for; {}", failure.message);
    let failure = Failure { message: words, away: None, ..failure };
    failure.with_hint(format!("when it is back: tidemark op resume {id} goes on from what is done"))
}

fn panicked(panic: &(dyn std::any::Any + Send)) -> Failure {
    let words = panic.downcast_ref::<String>().map(String::as_str).or_else(|| panic.downcast_ref::<&str>().copied());
    let words = words.unwrap_or("no message");
    Failure::permanent("TM-TASK-0008", format!("the program failed: {words}"))
        .with_hint("this is a fault of the program; please report it with the daemon's log")
}
