//! Which listeners are expected, which are attached, and who waits for what they answer.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use tidemark_listener_core::{
    failure::Failure,
    proto::{ToListener, to_listener},
};
use tokio::sync::{mpsc, watch};
use tokio_util::sync::CancellationToken;
use tonic::Status;

/// A listener: its source and its id within it.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Key {
    /// The protected system.
    pub source: String,
    /// Id within the source.
    pub listener: String,
}

/// What a listener says about a piece of work.
#[derive(Clone, Debug)]
pub(super) enum Reply {
    /// It goes on, with nothing new to tell.
    Alive,
    /// It goes on.
    Progress { phase: String, done: u64, total: u64 },
    /// A capture is done; JSON of the slice's reference.
    Finished(String),
    /// It failed.
    Failed(Failure),
    /// A check is done; JSON of its lines.
    Checked(String),
}

/// Replies that wait to be read; a listener that sends more is slowed down.
const REPLIES: usize = 64;

/// Listeners of this run of the daemon.
#[derive(Default)]
pub struct Registry {
    state: Mutex<State>,
    changed: watch::Sender<u64>,
}

#[derive(Default)]
struct State {
    serial: u64,
    expected: HashMap<Key, u32>,
    attached: HashMap<Key, Session>,
    waiting: HashMap<String, mpsc::Sender<Reply>>,
}

/// An attached listener's stream.
#[derive(Clone)]
pub(super) struct Session {
    serial: u64,
    version: String,
    outbox: mpsc::Sender<Result<ToListener, Status>>,
    gone: CancellationToken,
}

impl Session {
    /// Sends a message; true where the stream took it.
    pub(super) async fn send(&self, message: to_listener::Message) -> bool {
        self.outbox.send(Ok(ToListener { message: Some(message) })).await.is_ok()
    }

    /// Ends when the stream is gone.
    pub(super) fn gone(&self) -> CancellationToken {
        self.gone.clone()
    }
}

impl Registry {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Lets a listener attach while the returned value lives.
    pub(super) fn expect_listener(self: &Arc<Self>, key: Key) -> Expected {
        *self.lock().expected.entry(key.clone()).or_default() += 1;
        Expected { registry: Arc::clone(self), key }
    }

    /// Takes a stream in; one of the same listener that was there is told and dropped.
    pub(super) fn attach(
        &self,
        key: &Key,
        version: &str,
        outbox: mpsc::Sender<Result<ToListener, Status>>,
    ) -> Result<Session, Status> {
        let mut state = self.lock();
        if !state.expected.contains_key(key) {
            return Err(Status::permission_denied("no listener of this id is expected"));
        }
        state.serial += 1;
        let gone = CancellationToken::new();
        let session = Session { serial: state.serial, version: version.to_owned(), outbox, gone };
        if let Some(old) = state.attached.insert(key.clone(), session.clone()) {
            // Best effort: a full outbox is that of a stream nobody reads.
            let _ =
                old.outbox.try_send(Err(Status::failed_precondition("replaced by a newer stream of this listener")));
            old.gone.cancel();
        }
        drop(state);
        self.notify();
        Ok(session)
    }

    /// Takes a stream out, unless a newer one has its place.
    pub(super) fn detach(&self, key: &Key, session: &Session) {
        let mut state = self.lock();
        if state.attached.get(key).is_some_and(|s| s.serial == session.serial) {
            state.attached.remove(key);
        }
        drop(state);
        session.gone.cancel();
        self.notify();
    }

    fn notify(&self) {
        self.changed.send_modify(|n| *n += 1);
    }

    pub(super) fn session(&self, key: &Key) -> Option<Session> {
        self.lock().attached.get(key).cloned()
    }

    /// The stream of a listener, once there is one.
    pub(super) async fn attached(&self, key: &Key) -> Session {
        let mut changed = self.changed.subscribe();
        loop {
            if let Some(session) = self.session(key) {
                return session;
            }
            if changed.changed().await.is_err() {
                std::future::pending::<()>().await;
            }
        }
    }

    pub(super) fn state(&self, key: &Key) -> (&'static str, Option<String>) {
        let state = self.lock();
        match state.attached.get(key) {
            Some(session) => ("attached", Some(session.version.clone())),
            None if state.expected.contains_key(key) => ("starting", None),
            None => ("stopped", None),
        }
    }

    /// Receives the replies to a piece of work while the returned value lives.
    pub(super) fn expect_replies(self: &Arc<Self>, id: &str) -> Replies {
        let (sender, receiver) = mpsc::channel(REPLIES);
        self.lock().waiting.insert(id.to_owned(), sender);
        Replies { registry: Arc::clone(self), id: id.to_owned(), receiver }
    }

    /// Hands a reply to who waits for it; nobody waits for work that was given up.
    pub(super) async fn deliver(&self, id: &str, reply: Reply) {
        let waiting = self.lock().waiting.get(id).cloned();
        if let Some(waiting) = waiting {
            // The receiver may have gone meanwhile; then nobody waits any more.
            let _ = waiting.send(reply).await;
        }
    }
}

/// Lets a listener attach.
pub(super) struct Expected {
    registry: Arc<Registry>,
    key: Key,
}

impl Drop for Expected {
    fn drop(&mut self) {
        let mut state = self.registry.lock();
        if let Some(count) = state.expected.get_mut(&self.key) {
            *count -= 1;
            if *count == 0 {
                state.expected.remove(&self.key);
                // Its process is gone or told to go; the next use waits for a stream of its own.
                if let Some(session) = state.attached.remove(&self.key) {
                    session.gone.cancel();
                }
            }
        }
    }
}

/// Replies to one piece of work.
pub(super) struct Replies {
    registry: Arc<Registry>,
    id: String,
    receiver: mpsc::Receiver<Reply>,
}

impl Replies {
    /// The next reply. Cancel safe.
    pub(super) async fn next(&mut self) -> Option<Reply> {
        self.receiver.recv().await
    }
}

impl Drop for Replies {
    fn drop(&mut self) {
        self.registry.lock().waiting.remove(&self.id);
    }
}
