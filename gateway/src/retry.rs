//! Which failures of a store are worth another try, and how long to wait before it.
//!
//! Waiting is full jitter: any time between zero and a bound that doubles with each failure. The budget is time, not a
//! number of tries, so that an outage is outlasted whatever the store's answers cost.

use std::time::Duration;

use object_store::client::{HttpError, HttpErrorKind};

use crate::{
    Env,
    backoff::{self, Jitter},
    causes, local,
};

/// How long to keep trying.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Retry {
    /// From the first try of an operation until none is started any more.
    pub budget: Duration,
    /// Bound of the first wait; doubles with each failure.
    pub first: Duration,
    /// Greatest bound of a wait.
    pub longest: Duration,
}

impl Default for Retry {
    /// 15 minutes, waits from 100 ms to 30 s.
    fn default() -> Self {
        Self {
            budget: Duration::from_secs(15 * 60),
            first: Duration::from_millis(100),
            longest: Duration::from_secs(30),
        }
    }
}

impl Retry {
    pub(crate) fn wait(&self, failures: u32, env: &Env) -> Duration {
        backoff::wait(self.first, self.longest, failures, Jitter::Full(env.noise()))
    }
}

/// The tries of one operation.
#[derive(Debug)]
pub(crate) struct Tries<'a> {
    retry: &'a Retry,
    env: &'a Env,
    started: Duration,
    waited: Duration,
    failures: u32,
}

impl<'a> Tries<'a> {
    pub(crate) fn new(retry: &'a Retry, env: &'a Env) -> Self {
        Self { retry, env, started: env.monotonic(), waited: Duration::ZERO, failures: 0 }
    }

    /// How long to wait before the next try; `None` when the budget is spent.
    pub(crate) fn next_wait(&mut self) -> Option<Duration> {
        // Waits count by themselves too, so that the budget ends even where the clock stands (in simulations).
        let spent = self.env.monotonic().saturating_sub(self.started).max(self.waited);
        if spent >= self.retry.budget {
            return None;
        }
        let wait = self.retry.wait(self.failures, self.env);
        self.failures += 1;
        self.waited += wait.max(Duration::from_millis(1));
        Some(wait)
    }
}

/// Whether the same request may succeed later: no answer came, the server said that it is at fault or busy, or a local disk did
/// not take what was written.
pub fn is_transient(error: &object_store::Error) -> bool {
    match error {
        object_store::Error::Generic { source, .. } => {
            local::is_unsynced(error) || transport(source.as_ref()) || busy(&error.to_string())
        }
        _ => false,
    }
}

fn transport(error: &(dyn std::error::Error + 'static)) -> bool {
    let http = causes::of(error).find_map(|cause| cause.downcast_ref::<HttpError>());
    http.is_some_and(|http| !matches!(http.kind(), HttpErrorKind::Decode))
}

/// The library's type that carries the status is private, its text is all there is; `integration/tests/servers/stores.rs` and the
/// tests below hold it to that. A text that is not recognised only means that nothing is tried again.
fn busy(text: &str) -> bool {
    const STATUS: &str = "status code: ";
    let status = text.find(STATUS).and_then(|at| text[at + STATUS.len()..].get(..3)?.parse::<u16>().ok());
    match status {
        Some(code) => code >= 500 || code == 429 || code == 408,
        None => text.contains("Server returned error response"),
    }
}

#[cfg(test)]
mod tests {
    use jiff::Timestamp;

    use super::*;

    fn generic(text: &str) -> object_store::Error {
        object_store::Error::Generic { store: "S3", source: text.into() }
    }

    #[test]
    fn a_busy_server_is_tried_again_and_a_refusing_one_is_not() {
        let status = |code: u16| generic(&format!("Server returned non-2xx status code: {code} Some Text: body"));
        for code in [408, 429, 500, 502, 503, 504] {
            assert!(is_transient(&status(code)), "{code}");
        }
        for code in [400, 405, 411, 416, 499] {
            assert!(!is_transient(&status(code)), "{code}");
        }
        assert!(!is_transient(&generic("disk full")));
        assert!(!is_transient(&object_store::Error::NotFound { path: "x".into(), source: "status code: 503".into() }));
    }

    #[test]
    fn waits_grow_within_bounds_and_the_budget_ends_even_if_the_clock_stands() {
        let env = Env::seeded(7, Timestamp::UNIX_EPOCH);
        let retry = Retry { budget: Duration::from_secs(60), ..Retry::default() };
        let mut tries = Tries::new(&retry, &env);
        let waits: Vec<_> = std::iter::from_fn(|| tries.next_wait()).collect();
        assert!(waits.len() > 5 && waits.iter().all(|w| *w <= retry.longest), "{waits:?}");
        assert!(waits.iter().sum::<Duration>() <= retry.budget + retry.longest);
    }
}
