//! Which listeners are expected, which are attached, and who waits for what they answer.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use tidemark_gateway::Env;
use tidemark_listener_core::{
    failure::Failure,
    proto::{ToListener, to_listener},
};
use tokio::sync::{Notify, mpsc, watch};
use tokio_util::sync::CancellationToken;
use tonic::Status;

use super::token::{ListenerToken, TokenHash};

/// A listener: its source and its id within it.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Key {
    /// The protected system.
    pub source: String,
    /// Id within the source.
    pub listener: String,
}

/// How a listener stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Attachment {
    /// It is there.
    Attached {
        /// Version of its binary.
        version: String,
    },
    /// It was started and is waited for.
    Starting,
    /// It is not wanted now.
    Stopped,
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
    expected: HashMap<Key, Expectation>,
    attached: HashMap<Key, Session>,
    waiting: HashMap<(Key, String), mpsc::Sender<Reply>>,
}

/// A listener that may attach.
#[derive(Default)]
struct Expectation {
    users: u32,
    /// Hash of the token that its newest process was given.
    token: Option<TokenHash>,
    /// True once that process had a stream.
    attached: bool,
    /// Said where that process speaks another protocol: no start of its program will do better.
    other: Option<OtherProtocol>,
    /// Told where its process is to be ended and started again.
    restart: Arc<Notify>,
}

/// What a listener said of itself that speaks another protocol than this daemon.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct OtherProtocol {
    /// Release of its program.
    pub(super) version: String,
    /// Number of its protocol.
    pub(super) protocol: u32,
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

    /// Lets a listener attach while the returned value lives, once its process was given a token.
    pub(super) fn expect_listener(self: &Arc<Self>, key: Key) -> Expected {
        self.lock().expected.entry(key.clone()).or_default().users += 1;
        Expected { registry: Arc::clone(self), key }
    }

    /// A token for a new process of an expected listener. Those of earlier processes are worth nothing any more, and their
    /// stream ends.
    pub(super) fn issue(&self, key: &Key, env: &Env) -> ListenerToken {
        let token = ListenerToken::generate(env);
        let mut state = self.lock();
        if let Some(expected) = state.expected.get_mut(key) {
            // What was told about the process before is not about this one.
            *expected = Expectation { users: expected.users, token: Some(token.hash()), ..Expectation::default() };
        }
        if let Some(old) = state.attached.remove(key) {
            old.gone.cancel();
        }
        token
    }

    /// Has an expected listener's process ended and started again: it is there, and its work gets nowhere. Its stream ends now.
    pub(super) fn restart(&self, key: &Key) {
        let mut state = self.lock();
        if let Some(old) = state.attached.remove(key) {
            old.gone.cancel();
        }
        if let Some(expected) = state.expected.get(key) {
            expected.restart.notify_one();
        }
    }

    /// Comes back where an expected listener's process is to be started again.
    pub(super) async fn restarted(&self, key: &Key) {
        let told = self.lock().expected.get(key).map(|expected| Arc::clone(&expected.restart));
        match told {
            Some(told) => told.notified().await,
            None => std::future::pending().await,
        }
    }

    /// Records that the process with this token speaks another protocol, where it is that of this listener.
    pub(super) fn refuse(&self, key: &Key, token: &TokenHash, other: OtherProtocol) {
        if let Some(expected) = self.lock().expected.get_mut(key).filter(|known| known.token.as_ref() == Some(token)) {
            expected.other = Some(other);
        }
        self.notify();
    }

    /// Comes back where an expected listener's newest process speaks another protocol.
    pub(super) async fn refused(&self, key: &Key) -> OtherProtocol {
        let mut changed = self.changed.subscribe();
        loop {
            let other = self.lock().expected.get(key).and_then(|expected| expected.other.clone());
            match other {
                Some(other) => return other,
                None if changed.changed().await.is_ok() => {}
                None => std::future::pending().await,
            }
        }
    }

    /// True where an expected listener's newest process had a stream, and it is gone.
    pub(super) fn lost(&self, key: &Key) -> bool {
        let state = self.lock();
        !state.attached.contains_key(key) && state.expected.get(key).is_some_and(|expected| expected.attached)
    }

    /// True where it is the token of any expected listener.
    pub(super) fn knows(&self, token: &TokenHash) -> bool {
        self.lock().expected.values().any(|expected| expected.token.as_ref() == Some(token))
    }

    /// Takes a stream in, where the token is that of this listener; one of the same listener that was there is told and dropped.
    pub(super) fn attach(
        &self,
        key: &Key,
        token: TokenHash,
        version: &str,
        outbox: mpsc::Sender<Result<ToListener, Status>>,
    ) -> Result<Session, Status> {
        let mut state = self.lock();
        match state.expected.get_mut(key) {
            Some(expected) if expected.token == Some(token) => expected.attached = true,
            _ => return Err(Status::permission_denied("the token is not that of the listener that the hello names")),
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

    pub(super) fn state(&self, key: &Key) -> Attachment {
        let state = self.lock();
        match state.attached.get(key) {
            Some(session) => Attachment::Attached { version: session.version.clone() },
            None if state.expected.contains_key(key) => Attachment::Starting,
            None => Attachment::Stopped,
        }
    }

    /// Receives the replies of a listener to a piece of work while the returned value lives.
    pub(super) fn expect_replies(self: &Arc<Self>, key: &Key, id: &str) -> Replies {
        let (sender, receiver) = mpsc::channel(REPLIES);
        let work = (key.clone(), id.to_owned());
        self.lock().waiting.insert(work.clone(), sender);
        Replies { registry: Arc::clone(self), work, receiver }
    }

    /// Hands a listener's reply to who waits for it; nobody waits for work that was given up, or for that of another listener.
    pub(super) async fn deliver(&self, key: &Key, id: &str, reply: Reply) {
        let waiting = self.lock().waiting.get(&(key.clone(), id.to_owned())).cloned();
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
        if let Some(expected) = state.expected.get_mut(&self.key) {
            expected.users -= 1;
            if expected.users == 0 {
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
    work: (Key, String),
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
        self.registry.lock().waiting.remove(&self.work);
    }
}
