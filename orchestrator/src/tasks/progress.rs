//! Progress of running tasks, written to the coordinator at most once a second.

use std::{sync::Arc, time::Duration};

use serde::{Deserialize, Serialize};
use tidemark_gateway::Env;
use tidemark_listener_core::progress::{Progress, ProgressSink};
use tokio::sync::watch;

use super::{Error, claim::Claim, keys, queue, summary};
use crate::coordinator::Op;

/// Least time between two writes of one task.
const WRITE_INTERVAL: Duration = Duration::from_secs(1);

/// Longest name of a phase, bytes of JSON.
const PHASE_BYTES: usize = 1 << 10;

/// Progress as it is stored.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct StoredProgress {
    /// Where it stands.
    pub progress: Progress,
    /// Seconds left by the rate of this phase so far.
    pub eta_seconds: Option<u64>,
}

/// A sink for progress and the end that is written from; only the newest counts.
pub(super) fn channel() -> (ProgressSink, watch::Receiver<Progress>) {
    let (sender, receiver) = watch::channel(Progress::default());
    (Arc::new(move |progress| drop(sender.send_replace(progress))), receiver)
}

/// Writes progress until the claim is lost; otherwise never ends.
pub(super) async fn write(claim: &Claim, mut newest: watch::Receiver<Progress>, env: &Env) -> Error {
    let (mut phase, mut failing) = (Phase::default(), false);
    loop {
        if newest.changed().await.is_err() {
            // The work dropped its sink; it is about to end.
            return std::future::pending().await;
        }
        let progress = newest.borrow_and_update().clone();
        let phase_name = summary::short(&progress.phase, PHASE_BYTES);
        let progress = Progress { phase: phase_name, ..progress };
        let stored = phase.estimate(progress, env.monotonic());
        match claim.write(vec![Op::put(keys::progress(claim.id()), queue::encode(&stored))], "progress").await {
            Err(error @ Error::ClaimLost { .. }) => return error,
            // Said once while it lasts.
            Err(_) if failing => {}
            Err(error) => {
                failing = true;
                tracing::warn!(task = %claim.id(), error = %tidemark_gateway::causes::joined(&error), "progress not written")
            }
            Ok(()) => failing = false,
        }
        tokio::time::sleep(WRITE_INTERVAL).await;
    }
}

/// The phase that progress is in, to tell its rate.
#[derive(Default)]
struct Phase {
    name: String,
    since: Duration,
    done_then: u64,
}

impl Phase {
    fn estimate(&mut self, progress: Progress, now: Duration) -> StoredProgress {
        if self.name != progress.phase || progress.done < self.done_then {
            *self = Self { name: progress.phase.clone(), since: now, done_then: progress.done };
        }
        let eta_seconds = self.eta_seconds(&progress, now);
        StoredProgress { progress, eta_seconds }
    }

    fn eta_seconds(&self, progress: &Progress, now: Duration) -> Option<u64> {
        let left = progress.total.checked_sub(progress.done)?;
        let done = progress.done - self.done_then;
        let seconds = now.checked_sub(self.since)?.as_secs();
        if done == 0 || seconds == 0 {
            return None;
        }
        u64::try_from(u128::from(left) * u128::from(seconds) / u128::from(done)).ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(phase: &str, done: u64) -> Progress {
        Progress { phase: phase.to_owned(), done, total: 100, unit: "bytes".to_owned() }
    }

    #[test]
    fn the_estimate_starts_anew_with_each_phase() {
        let mut phase = Phase::default();
        let second = Duration::from_secs;
        assert_eq!(phase.estimate(at("upload", 10), second(0)).eta_seconds, None);
        assert_eq!(phase.estimate(at("upload", 40), second(3)).eta_seconds, Some(6));
        assert_eq!(phase.estimate(at("merge", 50), second(4)).eta_seconds, None);
        assert_eq!(phase.estimate(at("merge", 75), second(9)).eta_seconds, Some(5));
    }
}
