//! Bounds on what a store is asked for, changeable while work runs.
//!
//! One [`Limits`] may stand for several stores, which then share it. Bytes are counted before they are sent and as they are
//! read; who comes first goes first. A request may begin as soon as all that went before it is paid for by time, and
//! pays for itself afterwards, so that the rate holds on average whatever the size of a request is. What waits hears of a new
//! limit at once.
//!
//! Why not the crate `governor`: its rate is fixed when a limiter is made, and who waits on a limiter that was replaced
//! waits at the old rate to the end.

pub mod hours;

use std::{
    fmt,
    num::NonZeroU64,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU8, Ordering},
    },
    time::Duration,
};

use serde::{Deserialize, Serialize};
use tokio::sync::{Notify, watch};

use crate::Env;

/// What may be unused and is not lost, as a part of a second.
const SAVED_SECONDS: f64 = 0.1;

/// What a store may be asked for at most. `None` is no bound.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Limit {
    /// Bytes sent and read in a second, on average; headers and listings do not count.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bytes_per_second: Option<NonZeroU64>,
    /// Requests at a time, bodies of reads not included; 0 counts as 1. What the store was opened with is a bound too.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub requests: Option<usize>,
}

/// A handle on a limit; clones are the same limit.
#[derive(Clone)]
pub struct Limits(Arc<Inner>);

struct Inner {
    held: watch::Sender<Held>,
    /// Who waits for bytes, in the order they came. Each holds it until it is paid for.
    turn: tokio::sync::Mutex<Budget>,
    /// Who waits for a request.
    door: tokio::sync::Mutex<()>,
    running: Mutex<usize>,
    left: Notify,
}

#[derive(Clone, Copy, Debug, Default)]
struct Held {
    limit: Limit,
    /// How often there was no bound on bytes: what was sent before such a time is paid for.
    lifted: u64,
}

/// Bytes that may be sent now; below zero what was sent ahead of its time.
#[derive(Debug, Default)]
struct Budget {
    bytes: f64,
    /// When it was last brought up to date, by [`Env::monotonic`], and the rate since then.
    at: Duration,
    rate: Option<NonZeroU64>,
    lifted: u64,
}

impl Limit {
    /// What both allow.
    #[must_use]
    pub fn least(self, other: Self) -> Self {
        fn least<T: Ord>(one: Option<T>, other: Option<T>) -> Option<T> {
            match (one, other) {
                (Some(one), Some(other)) => Some(one.min(other)),
                (one, other) => one.or(other),
            }
        }
        Self {
            bytes_per_second: least(self.bytes_per_second, other.bytes_per_second),
            requests: least(self.requests, other.requests),
        }
    }
}

impl Default for Limits {
    /// No bounds.
    fn default() -> Self {
        Self::new(Limit::default())
    }
}

impl Limits {
    /// A limit to begin with.
    pub fn new(limit: Limit) -> Self {
        Self(Arc::new(Inner {
            held: watch::Sender::new(Held { limit, lifted: 0 }),
            turn: tokio::sync::Mutex::default(),
            door: tokio::sync::Mutex::default(),
            running: Mutex::default(),
            left: Notify::new(),
        }))
    }

    /// Sets another limit, also for what waits. Requests that run already are not stopped.
    pub fn set(&self, limit: Limit) {
        self.0.held.send_if_modified(|held| {
            held.lifted += u64::from(limit.bytes_per_second.is_none());
            std::mem::replace(&mut held.limit, limit) != limit
        });
    }

    /// The limit in force.
    pub fn get(&self) -> Limit {
        self.0.held.borrow().limit
    }

    /// Waits until `bytes` may be sent or handed on, and counts them. Dropped while it waits, it counts nothing.
    pub(crate) async fn take(&self, bytes: u64, env: &Env) {
        if bytes == 0 || self.get().bytes_per_second.is_none() {
            return;
        }
        let mut budget = self.0.turn.lock().await;
        let mut held = self.0.held.subscribe();
        loop {
            let now = *held.borrow_and_update();
            budget.bring_up(env.monotonic(), now);
            let Some(wait) = budget.wait() else { break };
            // An error would mean that the limit is gone, and it is held here.
            let _ = tokio::time::timeout(wait, held.changed()).await;
        }
        budget.bytes -= bytes as f64;
    }

    /// Waits until one more request may run; it runs until what is given is dropped.
    pub(crate) async fn enter(&self) -> Running {
        let running = || self.0.running.lock().unwrap_or_else(PoisonError::into_inner);
        let _turn = self.0.door.lock().await;
        let mut held = self.0.held.subscribe();
        loop {
            let most = held.borrow_and_update().limit.requests.map_or(usize::MAX, |most| most.max(1));
            let free = {
                let mut running = running();
                let free = *running < most;
                *running += usize::from(free);
                free
            };
            if free {
                return Running(self.clone());
            }
            tokio::select! {
                () = self.0.left.notified() => {}
                _ = held.changed() => {}
            }
        }
    }
}

impl fmt::Debug for Limits {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Limits").field(&self.get()).finish()
    }
}

impl Budget {
    /// What time has paid until `now`, at the rate so far; from then on `held` is in force.
    fn bring_up(&mut self, now: Duration, held: Held) {
        let seconds = now.saturating_sub(self.at).as_secs_f64();
        self.bytes = match self.rate.filter(|_| self.lifted == held.lifted) {
            Some(rate) => (self.bytes + seconds * rate.get() as f64).min(rate.get() as f64 * SAVED_SECONDS),
            None => 0.0,
        };
        (self.at, self.rate, self.lifted) = (now, held.limit.bytes_per_second, held.lifted);
    }

    /// How long to wait until all is paid; `None` where it is, or nothing has to be.
    fn wait(&self) -> Option<Duration> {
        let rate = self.rate?.get() as f64;
        let wait = Duration::from_secs_f64((-self.bytes / rate).clamp(0.0, 1e9));
        (self.bytes < 0.0).then(|| wait.max(Duration::from_millis(1)))
    }
}

/// One request under way.
pub(crate) struct Running(Limits);

impl Drop for Running {
    fn drop(&mut self) {
        *self.0.0.running.lock().unwrap_or_else(PoisonError::into_inner) -= 1;
        self.0.0.left.notify_one();
    }
}

/// Says whether a request waits for its turn, so that this is not taken for a store that does not answer; among the extensions
/// of a request.
#[derive(Clone, Debug, Default)]
pub(crate) struct Queue(Arc<AtomicU8>);

const WAITS: u8 = 1;
const WAITED: u8 = 2;

impl Queue {
    /// Runs `wait` as a time in which the store is not to be blamed.
    pub(crate) async fn during<T>(&self, wait: impl Future<Output = T>) -> T {
        self.0.store(WAITS, Ordering::SeqCst);
        let done = wait.await;
        self.0.store(WAITED, Ordering::SeqCst);
        done
    }

    /// Whether the request waits, or did since the last call.
    pub(crate) fn waits(&self) -> bool {
        self.0.compare_exchange(WAITED, 0, Ordering::SeqCst, Ordering::SeqCst) != Err(0)
    }
}

#[cfg(test)]
mod tests;
