//! Waiting for a state, within a bound.
//!
//! The only place of this crate that lets time pass: everything else says what it waits for, and a wait that fails
//! prints the last state it saw.

use std::time::Duration;

use anyhow::{Result, bail};
use tidemark_gateway::Env;

/// Least time between two looks.
const INTERVAL: Duration = Duration::from_millis(50);
/// So many times what a look took passes before the next: a look that is dear, such as a command, must not take a processor for itself.
const REST: u32 = 4;
/// Greatest time between two looks.
const LONGEST: Duration = Duration::from_secs(1);

/// What a look saw.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Look<T> {
    /// The state that was waited for.
    Ready(T),
    /// Another state, for people.
    Not(String),
}

impl Look<()> {
    /// Ready iff `ready`; otherwise `state` says what was seen.
    pub fn when(ready: bool, state: impl FnOnce() -> String) -> Self {
        if ready { Self::Ready(()) } else { Self::Not(state()) }
    }
}

/// Looks until the state is there; returns what the last look found.
///
/// # Errors
/// The look's own error at once; after `bound`, an error naming `what` and the last state seen.
pub async fn until<T>(what: &str, bound: Duration, mut look: impl AsyncFnMut() -> Result<Look<T>>) -> Result<T> {
    let env = Env::system();
    loop {
        let began = env.monotonic();
        let seen = match look().await? {
            Look::Ready(found) => return Ok(found),
            Look::Not(seen) => seen,
        };
        if env.monotonic() >= bound {
            bail!("{what}: not within {} s; last seen: {seen}", bound.as_secs());
        }
        tokio::time::sleep(INTERVAL.max((env.monotonic() - began) * REST).min(LONGEST)).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_wait_ends_with_what_the_last_look_found() {
        let mut looks = 0;
        let found = until("three looks", Duration::from_secs(5), async || {
            looks += 1;
            Ok(if looks == 3 { Look::Ready(looks) } else { Look::Not(format!("{looks} looks")) })
        });
        assert_eq!(found.await.unwrap(), 3);
    }

    #[tokio::test]
    async fn a_wait_that_fails_names_the_last_state() {
        let error = until("never", Duration::ZERO, async || Ok(Look::<()>::Not("still red".into()))).await.unwrap_err();
        assert_eq!(error.to_string(), "never: not within 0 s; last seen: still red");
    }
}
