//! The loop that claims due tasks and runs them.
//!
//! It is level triggered: each pass lists the queue and the wishes to cancel, and does what follows from them; watches only
//! make a pass come sooner. What fails of a pass, a full disk under the coordinator for one, is tried again by the next: nothing of
//! it ends the loop, and what runs goes on. A record that cannot be read is passed over and named.
//!
//! Times in the queue are those of the wall clock. No wait is longer than [`RunnerConfig::longest_backoff`], so what is due later than
//! that was queued while the clock was ahead: it is due now.
//! All claims of a process hang on one lease. When that is lost, or about to be, all its runs are
//! interrupted before their claims can go to another process; what they still try to write is refused by the compare.

mod run;

use std::{
    collections::{BTreeMap, HashSet},
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
use tidemark_gateway::causes;
use tidemark_listener_core::progress::ProgressSink;
use tokio::{sync::watch, task::JoinSet};
use tokio_util::sync::CancellationToken;

use super::{Checkpoints, Error, Failure, State, TaskRecord, Tasks, claim::Claim, keys, prune};
use crate::coordinator::{Event, EventKind, Hold, Lease, LeaseId, Watch, WatchEvent, list_all};
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

/// Hears of tasks that are done.
pub trait Observe: Send + Sync + 'static {
    /// A run has ended its task, and that is recorded. Of a daemon that is killed right then nobody hears.
    fn done(&self, task: &TaskRecord);
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
    /// Its claim's lease.
    pub hold: Hold,
    /// Runs that only wait, this one among them or not.
    waiting: Arc<AtomicUsize>,
}

impl TaskContext {
    /// True while what cannot be taken back may be begun: commits, deletions, claims. Nothing of that is begun once the run is told to
    /// stop or its lease is about to end, whichever is known first.
    pub fn holds(&self) -> bool {
        !self.cancel.is_cancelled() && self.hold.lasts()
    }

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
    observer: Option<Arc<dyn Observe>>,
    /// While it is true nothing new is claimed.
    drains: watch::Receiver<bool>,
}

/// Longest time between two passes.
const RECONCILE: Duration = Duration::from_secs(30);

/// Time until what failed of the loop is tried again.
const AFTER_FAILURE: Duration = Duration::from_secs(1);

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
    /// True where it does a part of another task.
    is_part: bool,
    /// Cancelled too where a person asked, not where the run is only interrupted.
    by_person: CancellationToken,
}

/// The turn of a due task.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Turn {
    is_part: bool,
    /// ms since 1970.
    at: u64,
    id: TaskId,
}

/// What one life of the lease holds.
struct Session {
    lease: Lease,
    queue: Watch,
    wishes: Watch,
    claims: Watch,
    running: BTreeMap<TaskId, Stop>,
    runs: JoinSet<TaskId>,
    /// While it is true nothing is claimed.
    drains: watch::Receiver<bool>,
    /// True while passes fail: the first failure is logged.
    failing: bool,
    /// Keys that were named because they cannot be read.
    named: HashSet<String>,
}

impl Runner {
    /// A runner of these tasks.
    pub fn new(tasks: Tasks, execute: Arc<dyn Execute>, config: RunnerConfig) -> Self {
        // Without a sender it stays as it is.
        let (_, drains) = watch::channel(false);
        Self { tasks, execute, config: Arc::new(config), waiting: Arc::default(), observer: None, drains }
    }

    /// The same, and while this is true it claims nothing; what it runs goes on.
    #[must_use]
    pub fn draining(self, drains: watch::Receiver<bool>) -> Self {
        Self { drains, ..self }
    }

    /// The same, and this hears of tasks that are done.
    #[must_use]
    pub fn observed_by(self, observer: Arc<dyn Observe>) -> Self {
        Self { observer: Some(observer), ..self }
    }

    /// Runs tasks until `shutdown`; then interrupts what runs, waits for it and gives up its claims. A coordinator that fails is asked
    /// again, for as long as it takes.
    ///
    /// # Errors
    /// None: whoever runs it treats its end before `shutdown` as a failure.
    pub async fn run(self, shutdown: CancellationToken) -> Result<(), Error> {
        tokio::select! {
            biased;
            () = self.run_tasks(&shutdown) => Ok(()),
            () = self.prune_for_ever() => Ok(()),
        }
    }

    /// Deletes what is no longer kept, now and every hour. A failure costs space until the next time.
    async fn prune_for_ever(&self) {
        loop {
            if let Err(error) = self.delete_left_checkpoints().await {
                tracing::warn!(error = %causes::joined(&error), "checkpoints of tasks that are done not deleted");
            }
            match self.tasks.prune().await {
                Ok((0, 0)) => {}
                Ok((tasks, keys)) => tracing::info!(tasks, keys, "old tasks and idempotency keys deleted"),
                Err(error) => {
                    tracing::warn!(error = %causes::joined(&error), "old tasks and idempotency keys not deleted");
                }
            }
            tokio::time::sleep(prune::EVERY).await;
        }
    }

    async fn run_tasks(&self, shutdown: &CancellationToken) {
        while !shutdown.is_cancelled() {
            let mut session = match self.begin().await {
                Ok(session) => session,
                Err(error) => {
                    tracing::error!(error = %causes::joined(&error), "no task can be claimed, trying again");
                    self.pause(shutdown).await;
                    continue;
                }
            };
            self.drive(&mut session, shutdown).await;
            session.interrupt_all().await;
            // A lease that is not ended runs out, and its keys go as soon as they can be deleted.
            if let Err(error) = session.lease.revoke().await {
                tracing::warn!(error = %causes::joined(&error), "claims are not given back yet");
            }
        }
    }

    async fn pause(&self, shutdown: &CancellationToken) {
        tokio::select! {
            biased;
            () = shutdown.cancelled() => {}
            () = tokio::time::sleep(AFTER_FAILURE) => {}
        }
    }

    async fn begin(&self) -> Result<Session, Error> {
        let lease = self.tasks.coordinator.lease(self.config.lease_ttl).await;
        let lease = lease.map_err(Error::coordinator("lease"))?;
        let (queue, wishes, claims) = self.watches().await?;
        let (running, runs, named) = (BTreeMap::new(), JoinSet::new(), HashSet::new());
        let drains = self.drains.clone();
        Ok(Session { lease, queue, wishes, claims, running, runs, drains, failing: false, named })
    }

    async fn watches(&self) -> Result<(Watch, Watch, Watch), Error> {
        let coordinator = &self.tasks.coordinator;
        let (_, now) = coordinator.list(keys::QUEUE, 1, None).await.map_err(Error::coordinator("read the revision"))?;
        let queue = coordinator.watch(keys::QUEUE, now + 1).await.map_err(Error::coordinator("watch the queue"))?;
        let wishes = coordinator.watch(keys::CANCEL, now + 1).await.map_err(Error::coordinator("watch wishes"))?;
        let claims = coordinator.watch(keys::CLAIMS, now + 1).await.map_err(Error::coordinator("watch claims"))?;
        Ok((queue, wishes, claims))
    }

    async fn drive(&self, session: &mut Session, shutdown: &CancellationToken) {
        loop {
            let Some(pass) = self.pass(session).await else { return };
            let pause = session.judge(pass);
            match self.step(session, shutdown, pause).await {
                Step::Stop | Step::LeaseEnds => return,
                Step::Ended(id) => drop(session.running.remove(&id)),
                Step::WatchAgain => {
                    let hold = session.lease.hold(self.config.lease_margin, self.tasks.env.clone());
                    let watches = tokio::select! {
                        biased;
                        () = hold.ended() => return,
                        watches = self.watches() => watches,
                    };
                    match watches {
                        Ok(watches) => (session.queue, session.wishes, session.claims) = watches,
                        Err(error) => {
                            session.failed(&error);
                            tokio::select! {
                                biased;
                                () = hold.ended() => return,
                                () = self.pause(shutdown) => {}
                            }
                        }
                    }
                }
                Step::Look => {}
            }
        }
    }

    /// One pass; `None` where the lease ended during it: a coordinator that does not answer must not keep runs going.
    async fn pass(&self, session: &mut Session) -> Option<Result<Duration, Error>> {
        let hold = session.lease.hold(self.config.lease_margin, self.tasks.env.clone());
        tokio::select! {
            biased;
            () = hold.ended() => None,
            pass = self.reconcile(session) => Some(pass),
        }
    }

    async fn step(&self, session: &mut Session, shutdown: &CancellationToken, pause: Duration) -> Step {
        let Session { lease, queue, wishes, claims, runs, drains, .. } = session;
        tokio::select! {
            biased;
            () = shutdown.cancelled() => Step::Stop,
            () = self.lease_ends(lease) => Step::LeaseEnds,
            Some(ended) = runs.join_next() => ended.map_or(Step::LeaseEnds, Step::Ended),
            event = queue.next() => Self::look(event.as_ref()),
            event = wishes.next() => Self::look(event.as_ref()),
            event = freed(claims) => Self::look(event.as_ref()),
            Ok(()) = drains.changed() => Step::Look,
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
        lease.hold(self.config.lease_margin, self.tasks.env.clone()).ended().await;
    }

    /// Passes wishes on and claims what is due while there are places; returns how long nothing will be due.
    async fn reconcile(&self, session: &mut Session) -> Result<Duration, Error> {
        for wish in self.keys(keys::CANCEL).await? {
            let stop = wish.strip_prefix(keys::CANCEL).and_then(|id| session.running.get(&id.parse().ok()?));
            stop.inspect(|stop| stop.cancel_by_person());
        }
        let queued = self.keys(keys::QUEUE).await?;
        let (mut due, pause) = due(&queued, self.tasks.now_millis(), self.config.longest_backoff);
        for key in queued.iter().filter(|key| keys::parse_queue(key).is_none()) {
            session.name(key, "it is no entry of the queue");
        }
        if session.running.len() >= self.places() || *session.drains.borrow_and_update() {
            return Ok(pause);
        }
        let elsewhere = self.elsewhere(session.lease.id()).await?;
        due.retain(|(_, id)| !session.running.contains_key(id) && !elsewhere.contains(id));
        for Turn { is_part, id, .. } in self.in_turn(due).await? {
            if session.running.len() < self.places() && (!is_part || session.parts() < self.places_of_parts()) {
                match self.start(session, &id).await {
                    Err(Error::Decode { key, source }) => session.name(&key, &source.to_string()),
                    started => started?,
                }
            }
        }
        Ok(pause)
    }

    fn places(&self) -> usize {
        self.config.max_running + self.waiting.load(Ordering::SeqCst)
    }

    /// All places but one: other tasks need not wait until a part of a large one is done.
    fn places_of_parts(&self) -> usize {
        self.config.max_running.saturating_sub(1).max(1)
    }

    /// Tasks that other processes run: a claim on them would be refused.
    async fn elsewhere(&self, own: LeaseId) -> Result<HashSet<TaskId>, Error> {
        let claims =
            list_all(&*self.tasks.coordinator, keys::CLAIMS).await.map_err(Error::coordinator("list claims"))?;
        let others = claims.0.iter().filter(|kv| kv.lease != Some(own));
        Ok(others.filter_map(|kv| kv.key.strip_prefix(keys::CLAIMS)?.parse().ok()).collect())
    }

    /// Due tasks in the order in which they begin, parts of others last: what they are a part of has its place already. One whose
    /// source, store or destination was away when it was last run takes its turn as if it had been due later, by the longest wait: a
    /// place and a scope that others can use are not spent on finding it away again.
    async fn in_turn(&self, due: Vec<(u64, TaskId)>) -> Result<Vec<Turn>, Error> {
        let later = millis(self.config.longest_backoff);
        let mut turns = Vec::with_capacity(due.len());
        for (at, id) in due {
            let (is_part, waits) = self.tasks.turn(&id).await?;
            turns.push(Turn { is_part, at: at.saturating_add(if waits { later } else { 0 }), id });
        }
        turns.sort();
        Ok(turns)
    }

    async fn keys(&self, prefix: &str) -> Result<Vec<String>, Error> {
        let (found, _) = list_all(&*self.tasks.coordinator, prefix).await.map_err(Error::coordinator(prefix))?;
        Ok(found.into_iter().map(|kv| kv.key).collect())
    }

    async fn start(&self, session: &mut Session, id: &TaskId) -> Result<(), Error> {
        let taken = Claim::take(&self.tasks, id, session.lease.id(), &self.config.node).await?;
        let Some((claim, task)) = taken else { return Ok(()) };
        let is_part = task.parent.is_some();
        let stop = Stop { token: CancellationToken::new(), is_part, by_person: CancellationToken::new() };
        session.running.insert(id.clone(), stop.clone());
        let (execute, config) = (Arc::clone(&self.execute), Arc::clone(&self.config));
        let hold = session.lease.hold(self.config.lease_margin, self.tasks.env.clone());
        let (waiting, observer) = (Arc::clone(&self.waiting), self.observer.clone());
        let run = Run { claim, stop, hold, execute, config, waiting, observer };
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
            // One that failed keeps them, to be resumed; so does one that cannot be read.
            match self.tasks.get(&id).await {
                Err(Error::Decode { .. }) => {}
                task => {
                    let task = task?.map(|status| status.task.state);
                    if task.is_none_or(|state| state.is_done() && state != State::Failed) {
                        self.tasks.delete_checkpoints(&id).await?;
                    }
                }
            }
            last = Some(id);
        }
        Ok(())
    }
}

/// The next claim that is gone: of a task that ended, or whose daemon did. One that is taken opens nothing.
async fn freed(claims: &mut Watch) -> Option<WatchEvent> {
    loop {
        match claims.next().await {
            Some(WatchEvent::Changed(Event { kind: EventKind::Put, .. })) => {}
            other => return other,
        }
    }
}

/// The tasks of these queue keys that are due, with since when (ms since 1970), in order, and how long no other one will be. What is
/// due later than the longest wait from now was queued while the clock was ahead.
fn due(queued: &[String], now: u64, longest_wait: Duration) -> (Vec<(u64, TaskId)>, Duration) {
    let latest = now.saturating_add(millis(longest_wait));
    let (mut due, mut pause) = (Vec::new(), RECONCILE);
    for (at, id) in queued.iter().filter_map(|key| keys::parse_queue(key)) {
        if at <= now || at > latest {
            due.push((at.min(now), id));
        } else {
            pause = pause.min(Duration::from_millis(at - now));
        }
    }
    (due, pause)
}

fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

impl Session {
    /// How many of the runs do parts of others.
    fn parts(&self) -> usize {
        self.running.values().filter(|stop| stop.is_part).count()
    }

    /// How long to wait for the next pass after this one.
    fn judge(&mut self, pass: Result<Duration, Error>) -> Duration {
        match pass {
            Ok(pause) => {
                if std::mem::take(&mut self.failing) {
                    tracing::info!("the coordinator answers again");
                }
                pause
            }
            Err(error) => {
                self.failed(&error);
                AFTER_FAILURE
            }
        }
    }

    fn failed(&mut self, error: &Error) {
        if !std::mem::replace(&mut self.failing, true) {
            tracing::error!(error = %causes::joined(error), "tasks cannot be looked after, trying again; what runs goes on");
        }
    }

    /// Names a key that is passed over because it cannot be read, once.
    fn name(&mut self, key: &str, why: &str) {
        if self.named.insert(key.to_owned()) {
            tracing::error!(key, why, "passed over: the record cannot be read");
        }
    }

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

#[cfg(test)]
mod tests {
    use tidemark_gateway::Env;

    use super::*;
    use crate::{
        coordinator::{Coordinator as _, Op, embedded::Embedded},
        failure::Away,
        tasks::{Kind, Submit, Waiting},
    };

    struct Nothing;

    #[async_trait]
    impl Execute for Nothing {
        async fn execute(&self, _: TaskContext) -> Result<Completion, Failure> {
            Err(Failure::cancelled())
        }
    }

    #[tokio::test]
    async fn who_found_something_away_lets_others_go_first_and_not_for_ever() {
        let directory = tempfile::tempdir().unwrap();
        let coordinator = Arc::new(Embedded::open(directory.path(), Env::system()).unwrap());
        let tasks = Tasks::new(coordinator.clone(), Env::system());
        let mut ids = Vec::new();
        for n in 0..3 {
            let (subject, spec, body) = (String::new(), Value::Null, Value::Null);
            let submit = Submit { kind: Kind::Protect, subject, body, spec, exclusive: None };
            let task = tasks.submit(submit, &n.to_string()).await.unwrap();
            let waiting = Waiting { what: Away::Store, since: tasks.env.now(), tries: 1 };
            let record = TaskRecord { waiting: (n == 0).then_some(waiting), ..task };
            let put = vec![Op::put(keys::task(&record.id), record.encode())];
            coordinator.txn(vec![], put, vec![]).await.unwrap();
            ids.push(record.id);
        }
        let longest_backoff = Duration::from_millis(60);
        let config = RunnerConfig { longest_backoff, ..RunnerConfig::default() };
        let runner = Runner::new(tasks, Arc::new(Nothing), config);
        let order = async |dues: [u64; 3]| {
            let turns = runner.in_turn(dues.into_iter().zip(ids.clone()).collect()).await.unwrap();
            turns.iter().map(|turn| ids.iter().position(|id| *id == turn.id).unwrap()).collect::<Vec<_>>()
        };
        assert_eq!(order([100, 110, 150]).await, [1, 2, 0]);
        assert_eq!(order([100, 161, 150]).await, [2, 0, 1]);
        assert_eq!(order([100, 300, 200]).await, [0, 2, 1]);
    }

    #[test]
    fn what_is_due_later_than_any_wait_is_due_now() {
        let id = |n: u32| format!("t{n}").parse::<TaskId>().unwrap();
        let queued =
            [(5, 1), (100, 2), (130, 3), (160, 4), (161, 5), (9_999_999, 6)].map(|(at, n)| keys::queue(at, &id(n)));
        let at = |now| due(&queued, now, Duration::from_millis(60));
        let all = |since: &[(u64, u32)]| since.iter().map(|(since, n)| (*since, id(*n))).collect::<Vec<_>>();
        assert_eq!(at(100), (all(&[(5, 1), (100, 2), (100, 5), (100, 6)]), Duration::from_millis(30)));
        assert_eq!(at(0).0, all(&[(0, 2), (0, 3), (0, 4), (0, 5), (0, 6)]), "the clock stepped back");
        let late = [(5, 1), (100, 2), (130, 3), (160, 4), (161, 5), (9_999_999, 6)];
        assert_eq!(at(20_000_000), (all(&late), RECONCILE));
        assert_eq!(due(&["queue/x".to_owned()], 0, Duration::ZERO), (vec![], RECONCILE));
    }
}
