//! The loop that claims due tasks and runs them.
//!
//! It is level triggered: each pass lists the queue and the wishes to cancel, and does what follows from them; watches only
//! make a pass come sooner. All claims of a process hang on one lease. When that is lost, or about to be, all its runs are
//! interrupted before their claims can go to another process; what they still try to write is refused by the compare.

mod run;

use std::{
    collections::HashMap,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use async_trait::async_trait;
use serde::Serialize;
use serde_json::Value;
use tidemark_catalog::ids::{FencingToken, TaskId};
use tidemark_listener_core::progress::ProgressSink;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use super::{Checkpoints, Error, Failure, State, TaskRecord, Tasks, claim::Claim, keys, prune};
use crate::coordinator::{Lease, Watch, WatchEvent, list_all};
use run::Run;

/// Does what tasks say.
#[async_trait]
pub trait Execute: Send + Sync + 'static {
    /// Runs a task from its checkpoints on; stops soon after [`TaskContext::cancel`].
    ///
    /// # Errors
    /// [`Failure`]; a retryable one is tried again later, within bounds.
    async fn execute(&self, context: TaskContext) -> Result<Completion, Failure>;
}

/// Handles of a run.
#[derive(Clone)]
pub struct TaskContext {
    /// The task as it was claimed.
    pub task: TaskRecord,
    /// Orders this run among all runs.
    pub token: FencingToken,
    /// Receives progress.
    pub progress: ProgressSink,
    /// Stops the run.
    pub cancel: CancellationToken,
    /// Fires before `cancel` where the task is over for good because a person asked; not where the run is only interrupted and
    /// another one will go on.
    pub over: CancellationToken,
    /// Where it stood, and where it stands.
    pub checkpoints: Checkpoints,
    /// Runs that only wait, this one among them or not.
    waiting: Arc<AtomicUsize>,
}

impl TaskContext {
    /// Until the guard is dropped this run only waits for another task, which may have its place: to be called before that
    /// task is submitted. Without it, tasks that wait could take all places of those that they wait for.
    #[must_use]
    pub fn waits(&self) -> Waits {
        self.waiting.fetch_add(1, Ordering::SeqCst);
        Waits(Arc::clone(&self.waiting))
    }
}

/// A run only waits while this lives.
pub struct Waits(Arc<AtomicUsize>);

impl Drop for Waits {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::SeqCst);
    }
}

/// What came out of a run.
#[derive(Clone, Debug, PartialEq)]
pub struct Completion {
    /// The result; the kind's own shape.
    pub result: Value,
    /// True where somebody should read it.
    pub warnings: bool,
}

impl Completion {
    /// With this result, in its kind's own shape.
    pub fn of(result: &impl Serialize, warnings: bool) -> Self {
        Self { result: serde_json::to_value(result).expect("results are plain data with text keys"), warnings }
    }
}

/// Bounds of the runner.
#[derive(Clone, Debug)]
pub struct RunnerConfig {
    /// Name of this node, for people.
    pub node: String,
    /// Tasks at the same time, from 1.
    pub max_running: usize,
    /// Failures in a row that may go away, and runs in a row without an end, before a task is given up, from 1. Those by the
    /// absence of source, store or destination do not count.
    pub max_attempts: u32,
    /// How long a source, store or destination may be away before a task that needs it is given up.
    pub longest_absence: Duration,
    /// Time to live of the lease.
    pub lease_ttl: Duration,
    /// Time before the lease's deadline at which runs are interrupted.
    pub lease_margin: Duration,
    /// Wait before the second attempt; doubles with each.
    pub backoff: Duration,
    /// Longest wait before an attempt.
    pub longest_backoff: Duration,
}

impl Default for RunnerConfig {
    /// 4 tasks, 5 attempts, 4 h of absence, a lease of 10 s with a margin of 3 s, waits from 2 s to a minute.
    fn default() -> Self {
        Self {
            node: "tidemarkd".to_owned(),
            max_running: 4,
            max_attempts: 5,
            longest_absence: Duration::from_secs(4 * 3600),
            lease_ttl: Duration::from_secs(10),
            lease_margin: Duration::from_secs(3),
            backoff: Duration::from_secs(2),
            longest_backoff: Duration::from_secs(60),
        }
    }
}

/// Claims and runs tasks.
pub struct Runner {
    tasks: Tasks,
    execute: Arc<dyn Execute>,
    config: Arc<RunnerConfig>,
    /// Runs that only wait for another task.
    waiting: Arc<AtomicUsize>,
}

/// Longest time between two passes.
const RECONCILE: Duration = Duration::from_secs(30);

/// What woke the loop.
enum Step {
    Stop,
    LeaseEnds,
    Look,
    Ended(TaskId),
    WatchAgain,
}

/// A run in progress, as the loop sees it.
#[derive(Clone)]
struct Stop {
    token: CancellationToken,
    /// Cancelled too where a person asked, not where the run is only interrupted.
    by_person: CancellationToken,
}

/// What one life of the lease holds.
struct Session {
    lease: Lease,
    queue: Watch,
    wishes: Watch,
    running: HashMap<TaskId, Stop>,
    runs: JoinSet<TaskId>,
}

impl Runner {
    /// A runner of these tasks.
    pub fn new(tasks: Tasks, execute: Arc<dyn Execute>, config: RunnerConfig) -> Self {
        Self { tasks, execute, config: Arc::new(config), waiting: Arc::default() }
    }

    /// Runs tasks until `shutdown`; then interrupts what runs, waits for it and gives up its claims.
    ///
    /// # Errors
    /// [`Error::Coordinator`] where the coordinator cannot be used at all.
    pub async fn run(self, shutdown: CancellationToken) -> Result<(), Error> {
        self.delete_left_checkpoints().await?;
        let pruning = self.prune_for_ever();
        tokio::select! {
            outcome = self.run_tasks(&shutdown) => outcome,
            never = pruning => never,
        }
    }

    /// Deletes what is no longer kept, now and every hour. A failure costs space until the next time.
    async fn prune_for_ever(&self) -> Result<(), Error> {
        loop {
            match self.tasks.prune().await {
                Ok((0, 0)) => {}
                Ok((tasks, keys)) => tracing::info!(tasks, keys, "old tasks and idempotency keys deleted"),
                Err(error) => {
                    tracing::warn!(error = %tidemark_gateway::causes::joined(&error), "old tasks and idempotency keys not deleted");
                }
            }
            tokio::time::sleep(prune::EVERY).await;
        }
    }

    async fn run_tasks(&self, shutdown: &CancellationToken) -> Result<(), Error> {
        while !shutdown.is_cancelled() {
            let mut session = self.begin().await?;
            let outcome = self.drive(&mut session, shutdown).await;
            session.interrupt_all().await;
            session.lease.revoke().await.map_err(Error::coordinator("revoke the lease"))?;
            outcome?;
        }
        Ok(())
    }

    async fn begin(&self) -> Result<Session, Error> {
        let lease = self.tasks.coordinator.lease(self.config.lease_ttl).await;
        let lease = lease.map_err(Error::coordinator("lease"))?;
        let (queue, wishes) = self.watches().await?;
        Ok(Session { lease, queue, wishes, running: HashMap::new(), runs: JoinSet::new() })
    }

    async fn watches(&self) -> Result<(Watch, Watch), Error> {
        let coordinator = &self.tasks.coordinator;
        let (_, now) = coordinator.list(keys::QUEUE, 1, None).await.map_err(Error::coordinator("read the revision"))?;
        let queue = coordinator.watch(keys::QUEUE, now + 1).await.map_err(Error::coordinator("watch the queue"))?;
        let wishes = coordinator.watch(keys::CANCEL, now + 1).await.map_err(Error::coordinator("watch wishes"))?;
        Ok((queue, wishes))
    }

    async fn drive(&self, session: &mut Session, shutdown: &CancellationToken) -> Result<(), Error> {
        loop {
            let pause = self.reconcile(session).await?;
            match self.step(session, shutdown, pause).await {
                Step::Stop | Step::LeaseEnds => return Ok(()),
                Step::Ended(id) => drop(session.running.remove(&id)),
                Step::WatchAgain => (session.queue, session.wishes) = self.watches().await?,
                Step::Look => {}
            }
        }
    }

    async fn step(&self, session: &mut Session, shutdown: &CancellationToken, pause: Duration) -> Step {
        let Session { lease, queue, wishes, runs, .. } = session;
        tokio::select! {
            biased;
            () = shutdown.cancelled() => Step::Stop,
            () = self.lease_ends(lease) => Step::LeaseEnds,
            Some(ended) = runs.join_next() => ended.map_or(Step::LeaseEnds, Step::Ended),
            event = queue.next() => Self::look(event.as_ref()),
            event = wishes.next() => Self::look(event.as_ref()),
            () = tokio::time::sleep(pause) => Step::Look,
        }
    }

    fn look(event: Option<&WatchEvent>) -> Step {
        match event {
            Some(WatchEvent::Changed(_)) => Step::Look,
            Some(WatchEvent::Resync) | None => Step::WatchAgain,
        }
    }

    /// Ends when the lease is lost or nothing new may be started under it.
    async fn lease_ends(&self, lease: &Lease) {
        let lost = lease.lost();
        loop {
            let left = lease.deadline().saturating_sub(self.config.lease_margin + self.tasks.env.monotonic());
            if left.is_zero() {
                tracing::warn!("the lease is about to end, all runs are interrupted");
                return;
            }
            tokio::select! {
                () = lost.cancelled() => return,
                () = tokio::time::sleep(left) => {}
            }
        }
    }

    /// Passes wishes on and claims what is due while there are places; returns how long nothing will be due.
    async fn reconcile(&self, session: &mut Session) -> Result<Duration, Error> {
        for wish in self.keys(keys::CANCEL).await? {
            let stop = wish.strip_prefix(keys::CANCEL).and_then(|id| session.running.get(&id.parse().ok()?));
            stop.inspect(|stop| stop.cancel_by_person());
        }
        let now = self.tasks.now_millis();
        for (due, id) in self.keys(keys::QUEUE).await?.iter().filter_map(|key| keys::parse_queue(key)) {
            if due > now {
                return Ok(Duration::from_millis(due - now).min(RECONCILE));
            }
            let places = self.config.max_running + self.waiting.load(Ordering::SeqCst);
            if session.running.len() < places && !session.running.contains_key(&id) {
                self.start(session, &id).await?;
            }
        }
        Ok(RECONCILE)
    }

    async fn keys(&self, prefix: &str) -> Result<Vec<String>, Error> {
        let (found, _) = list_all(&*self.tasks.coordinator, prefix).await.map_err(Error::coordinator(prefix))?;
        Ok(found.into_iter().map(|kv| kv.key).collect())
    }

    async fn start(&self, session: &mut Session, id: &TaskId) -> Result<(), Error> {
        let taken = Claim::take(&self.tasks, id, session.lease.id(), &self.config.node).await?;
        let Some((claim, task)) = taken else { return Ok(()) };
        let stop = Stop { token: CancellationToken::new(), by_person: CancellationToken::new() };
        session.running.insert(id.clone(), stop.clone());
        let (execute, config) = (Arc::clone(&self.execute), Arc::clone(&self.config));
        let run = Run { claim, stop, execute, config, waiting: Arc::clone(&self.waiting) };
        let id = id.clone();
        session.runs.spawn(async move {
            run.run(task).await;
            id
        });
        Ok(())
    }

    /// A crash between the end of a task and the deletion of its checkpoints leaves them behind.
    async fn delete_left_checkpoints(&self) -> Result<(), Error> {
        let mut last = None;
        for key in self.keys(keys::CHECKPOINTS).await? {
            let id =
                key.strip_prefix(keys::CHECKPOINTS).and_then(|rest| rest.split('/').next()?.parse::<TaskId>().ok());
            let Some(id) = id.filter(|id| last.as_ref() != Some(id)) else { continue };
            let task = self.tasks.get(&id).await?;
            // One that failed keeps them, to be resumed.
            if task.is_none_or(|status| status.task.state.is_done() && status.task.state != State::Failed) {
                self.tasks.delete_checkpoints(&id).await?;
            }
            last = Some(id);
        }
        Ok(())
    }
}

impl Session {
    async fn interrupt_all(&mut self) {
        self.running.values().for_each(|stop| stop.token.cancel());
        while self.runs.join_next().await.is_some() {}
    }
}

impl Stop {
    fn cancel_by_person(&self) {
        self.by_person.cancel();
        self.token.cancel();
    }
}
