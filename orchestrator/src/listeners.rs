//! Listeners: started beside the daemon, attached over gRPC, given work, watched, stopped.
//!
//! A listener is started when there is work for it and stopped afterwards: between captures nothing runs beside the database
//! and nobody holds credentials. It dials out to [`control`], which knows it by the [`token`] of its process, handed over in its
//! environment. When it dies it is started again and gets its assignment again; assignments are deterministic
//! within their task, so it resumes. All of that is bounded by [`ListenerConfig`]; then the capture of this partition fails,
//! and what that means for the version is the task's to decide.
//!
//! One piece of work at a time: a second user of a listener waits for the first.

pub mod control;
#[cfg(test)]
pub(crate) mod direct;
mod drive;
pub mod launch;
pub(crate) mod own;
mod registry;
mod sum;
pub mod token;

use std::{
    collections::HashMap,
    pin::pin,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use tidemark_catalog::{ids::SourceId, stored::StoredRef};
use tidemark_gateway::Env;
use tidemark_listener_core::{
    assignment::{Assignment, CheckRequest},
    check,
    progress::ProgressSink,
    proto::{PROTOCOL, Shutdown, to_listener},
    source::ListenerSpec,
};
use tokio_util::sync::CancellationToken;

use crate::{failure::Failure, limits::Share, stores::ListenerStore};
use launch::{Launch, Launcher};
use registry::OtherProtocol;
pub use registry::{Attachment, Key, Registry};
pub use sum::Sum;
use token::ListenerToken;

/// Bounds on how long listeners are waited for, and how often they are started.
#[derive(Clone, Debug)]
pub struct ListenerConfig {
    /// From the start of the process to its hello.
    pub attach_timeout: Duration,
    /// Longest silence of a listener that works: it is heard of every half second, however long its work takes.
    pub silence_timeout: Duration,
    /// Longest work that goes on, as the listener says, and does not get anywhere: twice what it may wait for its node.
    pub stall_timeout: Duration,
    /// Longest preflight check.
    pub check_timeout: Duration,
    /// From the wish to cancel a capture to its answer: it gives back what it holds at the source.
    pub cancel_timeout: Duration,
    /// From the wish to stop to the end of the process; then it is killed.
    pub stop_timeout: Duration,
    /// Failures of one piece of work, deaths included, before it is given up, from 1.
    pub max_failures: u32,
    /// Wait after the first failure; doubles with each.
    pub backoff: Duration,
}

impl Default for ListenerConfig {
    /// 20 s to attach, 1 min of silence, 30 min in one place, 60 s to check, 20 s to cancel, 5 s to stop, 4 failures, first wait 1 s.
    fn default() -> Self {
        Self {
            attach_timeout: Duration::from_secs(20),
            silence_timeout: Duration::from_secs(60),
            stall_timeout: Duration::from_secs(30 * 60),
            check_timeout: Duration::from_secs(60),
            cancel_timeout: Duration::from_secs(20),
            stop_timeout: Duration::from_secs(5),
            max_failures: 4,
            backoff: Duration::from_secs(1),
        }
    }
}

/// Starts listeners and gives them work; a cheap handle.
#[derive(Clone)]
pub struct Listeners {
    registry: Arc<Registry>,
    launcher: Arc<dyn Launcher>,
    config: Arc<ListenerConfig>,
    env: Env,
    busy: Arc<Mutex<HashMap<Key, Arc<tokio::sync::Mutex<()>>>>>,
}

/// A listener to use.
#[derive(Clone)]
pub struct Target {
    /// The protected system.
    pub source: SourceId,
    /// How it is started.
    pub spec: ListenerSpec,
    /// The store that it works for; without one it can be checked and captures nothing.
    pub store: Option<ListenerStore>,
}

/// How work is told to stop.
#[derive(Clone, Debug, Default)]
pub struct Stop {
    /// Stops it.
    pub now: CancellationToken,
    /// Fires before `now` where no other run of the task will come.
    pub over: CancellationToken,
}

impl Target {
    fn key(&self) -> Key {
        Key { source: self.source.to_string(), listener: self.spec.id.clone() }
    }

    /// A place among those that obey the limits of the store and the policy that it works for.
    async fn enter(&self) -> Share {
        self.store.as_ref().map(|store| store.bound.clone()).unwrap_or_default().enter().await
    }

    fn launch(&self, token: ListenerToken) -> Launch {
        let Self { source, spec, store } = self.clone();
        let (store, keys) = store.map(|store| (store.place, store.secrets)).unzip();
        let secrets = spec.secret_environment.clone().into_iter().chain(keys.into_iter().flatten()).collect();
        let ListenerSpec { id, program, arguments, inherited, .. } = spec;
        Launch { source, listener: id, program, arguments, token, store, secrets, inherited }
    }
}

impl Listeners {
    /// Listeners that attach to `registry` and are started by `launcher`.
    pub fn new(registry: Arc<Registry>, launcher: Arc<dyn Launcher>, config: ListenerConfig, env: Env) -> Self {
        Self { registry, launcher, config: Arc::new(config), env, busy: Arc::default() }
    }

    /// Has a listener do a piece of work; `assignment` makes the assignment of the n-th try, from 1. It is started once there is
    /// a request at a time for it in the limits that it obeys ([`crate::limits`]), and hears its share before it is given work.
    ///
    /// After `stop` the listener is ended where it stands: its snapshot stays for the next run of the task. Where the task is
    /// over for good it gives its snapshot back first.
    ///
    /// # Errors
    /// [`Failure`]: the listener's own, or why it could not be used; `cancelled` after `stop`.
    pub async fn work(
        &self,
        target: &Target,
        assignment: impl Fn(u32) -> Assignment + Send + Sync,
        progress: ProgressSink,
        stop: Stop,
    ) -> Result<StoredRef, Failure> {
        let lock = self.lock_of(&target.key());
        let _busy = lock.lock().await;
        let mut share = tokio::select! {
            biased;
            () = stop.now.cancelled() => return Err(Failure::cancelled()),
            share = target.enter() => share,
        };
        let work = drive::work(&self.registry, &self.config, target.key(), assignment, &mut share, progress, stop);
        self.with_process(target, work).await
    }

    /// The preflight checklist of one listener; where there is none, a line that says so.
    pub async fn check(&self, target: &Target, request: &CheckRequest) -> Vec<check::Line> {
        let lock = self.lock_of(&target.key());
        let Ok(_busy) = lock.try_lock() else {
            let words = "it is capturing now, which shows that it works";
            return vec![check::Line::ok("listener", &target.spec.id, words)];
        };
        let Ok(mut share) = tokio::time::timeout(self.config.check_timeout, target.enter()).await else {
            return vec![no_room(&target.spec.id)];
        };
        let work = drive::check(&self.registry, &self.config, target.key(), request, &mut share);
        self.with_process(target, work).await.unwrap_or_else(|failure| vec![unusable(&target.spec.id, &failure)])
    }

    /// How a listener stands.
    pub fn state(&self, source: &SourceId, listener: &str) -> Attachment {
        self.registry.state(&Key { source: source.to_string(), listener: listener.to_owned() })
    }

    fn lock_of(&self, key: &Key) -> Arc<tokio::sync::Mutex<()>> {
        let mut busy = self.busy.lock().unwrap_or_else(PoisonError::into_inner);
        Arc::clone(busy.entry(key.clone()).or_default())
    }

    /// Keeps the listener's process running while `work` goes on, then ends it.
    async fn with_process<T>(
        &self,
        target: &Target,
        work: impl Future<Output = Result<T, Failure>> + Send,
    ) -> Result<T, Failure> {
        let expected = self.registry.expect_listener(target.key());
        let stop = CancellationToken::new();
        let mut process = pin!(self.keep_running(target, &stop));
        let outcome = tokio::select! {
            biased;
            outcome = work => outcome,
            failure = &mut process => return Err(failure),
        };
        stop.cancel();
        if let Some(session) = self.registry.session(&target.key()) {
            session.send(to_listener::Message::Shutdown(Shutdown {})).await;
        }
        // Whatever becomes of a process that was told to stop, its work is done or given up.
        let _ = tokio::time::timeout(self.config.stop_timeout, process).await;
        drop(expected);
        outcome
    }

    /// Starts the process again whenever it ends, within bounds; ends when it ended after `stop`, or for good.
    async fn keep_running(&self, target: &Target, stop: &CancellationToken) -> Failure {
        let mut failures = 0;
        loop {
            let key = target.key();
            let launch = target.launch(self.registry.issue(&key, &self.env));
            let how = tokio::select! {
                biased;
                other = self.registry.refused(&key) => return other_release(&launch, &other),
                ended = self.launcher.run(&launch) => {
                    ended.unwrap_or_else(|error| format!("it cannot be started: {error}"))
                }
                // Dropped, a run kills its process.
                () = self.registry.restarted(&key) => "its work got nowhere".to_owned(),
            };
            if stop.is_cancelled() {
                return Failure::cancelled();
            }
            tracing::warn!(source_id = %launch.source, listener = launch.listener, how, "listener ended");
            failures += 1;
            if failures >= self.config.max_failures {
                return process_failure(&launch, failures, &how);
            }
            tokio::time::sleep(drive::backoff(&self.config, failures)).await;
        }
    }
}

fn process_failure(launch: &Launch, failures: u32, how: &str) -> Failure {
    let Launch { listener, program, .. } = launch;
    Failure::retryable(
        "TM-LIST-0001",
        format!("listener {listener}: program {program} ended {failures} times while it was needed; at last {how}"),
    )
    .with_hint(format!("{program} is looked for beside tidemarkd, then in PATH; its log is part of tidemarkd's"))
}

/// Another start of the program would say the same.
fn other_release(launch: &Launch, other: &OtherProtocol) -> Failure {
    let (Launch { listener, program, .. }, OtherProtocol { version, protocol }) = (launch, other);
    let own = env!("CARGO_PKG_VERSION");
    Failure::permanent(
        "TM-LIST-0006",
        format!(
            "listener {listener}: program {program} is of release {version} and speaks protocol {protocol}; this daemon, of release \
             {own}, needs protocol {PROTOCOL}"
        ),
    )
    .with_hint(format!("install {program} of release {own}; it is looked for beside tidemarkd, then in PATH"))
}

fn no_room(listener: &str) -> check::Line {
    let words =
        "it was not started: the requests at a time that its store may be asked for are all taken by other listeners";
    check::Line::warn("listener", listener, words, "check it when they are done, or allow more: tidemark store edit")
}

fn unusable(listener: &str, failure: &Failure) -> check::Line {
    let hint = failure.hint.as_deref().unwrap_or("see the daemon's log for what the listener said");
    check::Line::fail("listener", listener, failure.message.clone(), hint)
}

#[cfg(test)]
pub(crate) mod tests;
