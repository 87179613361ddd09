//! What a listener is working on: the state behind the control protocol, free of any connection.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, PoisonError},
};

use tidemark_catalog::{ids::SourceId, stored::StoredRef};
use tidemark_gateway::limits::Limits;
use tokio::{
    sync::{Semaphore, mpsc},
    task::{JoinHandle, JoinSet},
};
use tokio_util::sync::CancellationToken;

use crate::{
    assignment::{Assignment, CheckRequest, Work as Asked},
    failure::Failure,
    listener::Listener,
    needs,
    progress::{Progress, ProgressSink},
    proto::{self, ToListener, from_listener::Message, to_listener},
};

/// Code of work for another source or store than that of the listener's start.
const OTHER_STORE: &str = "TM-CTRL-0105";

/// Code of work that ended in a panic.
const PANICKED: &str = "TM-CTRL-0102";

/// What a task of the desk reports.
pub(super) enum Event {
    /// A piece of work ended.
    Worked {
        /// Key of the work.
        task: String,
        /// How.
        outcome: Result<StoredRef, Failure>,
    },
    /// A check ended.
    Checked {
        /// Id of the request.
        id: String,
        /// The lines as JSON.
        json: String,
    },
}

/// One piece of work that runs or waits for its turn.
struct Work {
    /// Id of the newest assignment of it: the one that is answered.
    id: String,
    cancel: CancellationToken,
    progress: Arc<Mutex<Option<Progress>>>,
    runs: JoinHandle<()>,
}

impl Work {
    /// Where it stands, where that changed since it was last asked.
    fn news(&self) -> Option<proto::Progress> {
        let now = self.progress.lock().unwrap_or_else(PoisonError::into_inner).take()?;
        let id = self.id.clone();
        Some(proto::Progress { id, phase: now.phase, bytes_done: now.done, bytes_total: now.total })
    }
}

/// What all work of a listener process is for, since its start.
pub(super) struct Bounds {
    pub(super) source: SourceId,
    /// Of the store; without one nothing is captured.
    pub(super) repository: Option<String>,
    /// Of the store, as the orchestrator says.
    pub(super) limits: Limits,
}

impl Bounds {
    /// # Errors
    /// `TM-CTRL-0105` where the work is for another source or store.
    fn admit(&self, assignment: &Assignment) -> Result<(), Failure> {
        let Assignment { source, repository, .. } = assignment;
        if *source == self.source && Some(repository) == self.repository.as_ref() {
            return Ok(());
        }
        let own = self.repository.as_deref().unwrap_or("none");
        let words = format!(
            "the work is for source {source} and repository {repository}; this listener was started for source {} and \
             repository {own}",
            self.source
        );
        Err(Failure::new(OTHER_STORE, words))
    }
}

/// Owns all work of a listener.
pub(super) struct Desk {
    bounds: Bounds,
    listener: Arc<dyn Listener>,
    events: mpsc::Sender<Event>,
    work: BTreeMap<String, Work>,
    checks: JoinSet<()>,
    /// One piece of work at a time: the bound on memory is the process's.
    turn: Arc<Semaphore>,
}

impl Desk {
    pub(super) fn new(bounds: Bounds, listener: Arc<dyn Listener>, events: mpsc::Sender<Event>) -> Self {
        Self {
            bounds,
            listener,
            events,
            work: BTreeMap::new(),
            checks: JoinSet::new(),
            turn: Arc::new(Semaphore::new(1)),
        }
    }

    /// Takes a message of the orchestrator; what is to be answered at once is returned.
    pub(super) fn take(&mut self, message: ToListener) -> Vec<Message> {
        match message.message {
            Some(to_listener::Message::Assignment(proto::Assignment { id, json })) => match self.accept(&json) {
                Ok(assignment) => self.assign(assignment),
                Err(failure) => return vec![failed(id, failure)],
            },
            Some(to_listener::Message::Check(proto::Check { id, json })) => {
                match needs::read(&json, self.listener.features()) {
                    Ok(request) => self.check(id, request),
                    Err(failure) => return vec![failed(id, failure)],
                }
            }
            Some(to_listener::Message::Cancel(proto::Cancel { id })) => self.cancel(&id),
            Some(to_listener::Message::Limits(limits)) => {
                tracing::info!(
                    bytes_per_second = limits.bytes_per_second,
                    requests = limits.requests,
                    "limits are set"
                );
                self.bounds.limits.set(limits.into());
            }
            // Shutdown ends the connection before it comes here, welcome begins it; a message of a later protocol has no
            // meaning yet.
            Some(to_listener::Message::Shutdown(_) | to_listener::Message::Welcome(_)) | None => {}
        }
        Vec::new()
    }

    /// The assignment, where this listener knows what it needs, and was started for its source and store.
    fn accept(&self, json: &str) -> Result<Assignment, Failure> {
        let known = self.listener.features();
        let assignment: Assignment = needs::read(json, known)?;
        needs::require(assignment.work.needs(), known)?;
        self.bounds.admit(&assignment)?;
        Ok(assignment)
    }

    /// Starts a piece of work, or gives the one that runs already its new id.
    fn assign(&mut self, assignment: Assignment) {
        let key = key(&assignment);
        if let Some(work) = self.work.get_mut(&key) {
            tracing::info!(task = %assignment.task, id = %assignment.id, "assigned again while it runs");
            work.id = assignment.id;
            return;
        }
        tracing::info!(task = %assignment.task, id = %assignment.id, "assigned");
        let (id, cancel, progress) = (assignment.id.clone(), CancellationToken::new(), Arc::default());
        let runs = tokio::spawn(self.perform(key.clone(), assignment, cancel.clone(), Arc::clone(&progress)));
        self.work.insert(key, Work { id, cancel, progress, runs });
    }

    fn perform(
        &self,
        task: String,
        assignment: Assignment,
        cancel: CancellationToken,
        progress: Arc<Mutex<Option<Progress>>>,
    ) -> impl Future<Output = ()> + Send + use<> {
        let (listener, events, turn) = (Arc::clone(&self.listener), self.events.clone(), Arc::clone(&self.turn));
        async move {
            let sink = Arc::new(move |now| *progress.lock().unwrap_or_else(PoisonError::into_inner) = Some(now));
            let _turn = turn.acquire_owned().await;
            // A task of its own, so that a panic in it is an answer too. Dropping the set ends it.
            let mut work = JoinSet::new();
            work.spawn(async move { perform(&*listener, assignment, sink, cancel).await });
            let outcome = work.join_next().await.and_then(Result::ok).unwrap_or_else(|| Err(panicked()));
            // Without a receiver the listener is ending.
            let _ = events.send(Event::Worked { task, outcome }).await;
        }
    }

    fn check(&mut self, id: String, request: CheckRequest) {
        while self.checks.try_join_next().is_some() {}
        let (listener, events) = (Arc::clone(&self.listener), self.events.clone());
        self.checks.spawn(async move {
            let lines = listener.check(&request).await;
            let json = serde_json::to_string(&lines).expect("lines are plain text and always serialise");
            let _ = events.send(Event::Checked { id, json }).await;
        });
    }

    fn cancel(&mut self, id: &str) {
        for work in self.work.values().filter(|work| work.id == id) {
            tracing::info!(id, "cancelled");
            work.cancel.cancel();
        }
    }

    /// The answer to the orchestrator that `event` makes.
    pub(super) fn done(&mut self, event: Event) -> Vec<Message> {
        match event {
            Event::Checked { id, json } => vec![Message::Checked(proto::Checked { id, json })],
            Event::Worked { task, outcome } => {
                let ended = self.work.remove(&task);
                ended.map(|work| answer(work.id, outcome)).into_iter().collect()
            }
        }
    }

    /// Every capture that is not done: where it stands, if that changed since the last tick, or that it goes on.
    pub(super) fn tick(&self) -> Vec<Message> {
        let (mut messages, mut ids) = (Vec::new(), Vec::new());
        for work in self.work.values() {
            match work.news() {
                Some(progress) => messages.push(Message::Progress(progress)),
                None => ids.push(work.id.clone()),
            }
        }
        if !ids.is_empty() {
            messages.push(Message::Heartbeat(proto::Heartbeat { ids }));
        }
        messages
    }

    /// Ends all work where it stands, and waits for its end.
    pub(super) async fn clear(mut self) {
        self.checks.shutdown().await;
        for work in self.work.into_values() {
            work.runs.abort();
            // An aborted task ends with an error, which says nothing new.
            let _ = work.runs.await;
        }
    }
}

fn panicked() -> Failure {
    Failure::retryable(PANICKED, "the work ended in a panic; the listener's log has it")
}

/// What two assignments of the same work have in common.
fn key(assignment: &Assignment) -> String {
    let Assignment { source, task, work, .. } = assignment;
    match work {
        Asked::Capture(capture) => format!("{source}/{task}/{}", capture.step.number),
        Asked::Restore(_) => format!("{source}/{task}/restore"),
    }
}

async fn perform(
    listener: &dyn Listener,
    assignment: Assignment,
    progress: ProgressSink,
    cancel: CancellationToken,
) -> Result<StoredRef, Failure> {
    let (assignment, work) = assignment.parts();
    match work {
        Asked::Capture(capture) => listener.capture(&assignment.with(*capture), progress, cancel).await,
        Asked::Restore(restore) => listener.restore(&assignment.with(restore), progress, cancel).await,
    }
}

fn failed(id: String, failure: Failure) -> Message {
    Message::Failed(proto::Failed { id, failure: Some(failure.into()) })
}

fn answer(id: String, outcome: Result<StoredRef, Failure>) -> Message {
    match outcome {
        Ok(slice) => {
            let slice = serde_json::to_string(&slice).expect("a reference is plain text and always serialises");
            Message::Finished(proto::Finished { id, slice })
        }
        Err(failure) => failed(id, failure),
    }
}
