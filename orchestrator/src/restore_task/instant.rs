//! The one instant of an undo, fixed once per task.
//!
//! It must lie after the damage. What a person asks to be undone was written before they asked, by clients whose clocks are
//! off by at most the declared bound: so the instant is taken again until it lies that much after the moment it was asked
//! for. A node whose clock cannot be read may be up for others and stamp their writes: unless the undo is to do without a
//! replica, it is waited for as well. Then writes that were sent before the instant get the time to land that the destination
//! allows them.

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};
use tidemark_listener_core::{progress::Progress, restorer::UndoInstant};

use super::{Prepared, spec::Restore};
use crate::{failure::Failure, tasks::TaskContext};

/// Part of the checkpoint that holds the instant.
const PART: &str = "instant";

/// Longest wait for an instant that lies after the damage and below all clocks, beyond the bound of the clients' clocks.
const LONGEST_WAIT: SignedDuration = SignedDuration::from_secs(30);

/// Time between two looks at the clocks.
const LOOK: Duration = Duration::from_millis(200);

/// An instant, and when it was fixed by our clock.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Fixed {
    /// The instant.
    pub(super) instant: Instant,
    /// When.
    pub(super) at: Timestamp,
}

/// The instant, and what was known when it was taken.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Instant {
    /// µs since 1970.
    pub(super) micros: i64,
    /// Whose clock was the lowest, for people.
    pub(super) lowest: String,
    /// Nodes whose clocks could not be read, with the reason.
    pub(super) unread: Vec<String>,
    /// True where the undo cannot do without them.
    #[serde(default)]
    pub(super) needs_all_clocks: bool,
    /// Time after which a write that was not acknowledged cannot land any more, ms.
    pub(super) settle_millis: u64,
}

impl From<UndoInstant> for Instant {
    fn from(instant: UndoInstant) -> Self {
        let UndoInstant { micros, lowest, unread, needs_all_clocks, settle_millis } = instant;
        Self { micros, lowest, unread, needs_all_clocks, settle_millis }
    }
}

impl Instant {
    /// Time after which a write that was not acknowledged cannot land any more.
    fn settle(&self) -> SignedDuration {
        SignedDuration::from_millis(i64::try_from(self.settle_millis).unwrap_or(0))
    }
}

/// The instant of this task, by this run or an earlier one; returns when no write from before it can land any more.
///
/// # Errors
/// The restorer's; `TM-REST-0011` where a clock cannot be read and every replica is asked, `TM-REST-0013` where one stays so far
/// behind that the damage would not be undone.
pub(super) async fn fixed(prepared: &Prepared, restore: &Restore, context: &TaskContext) -> Result<Fixed, Failure> {
    let fixed = match context.checkpoints.load(PART).await? {
        Some(fixed) => fixed,
        None => {
            let fixed = fix(prepared, restore, context).await?;
            context.checkpoints.save(PART, &fixed).await?;
            fixed
        }
    };
    let env = &prepared.job.env;
    let end = env.monotonic() + unsettled(&fixed, env.now());
    while let Some(left) = end.checked_sub(env.monotonic()).filter(|left| !left.is_zero()) {
        pause(context, "wait for writes in flight", left.min(Duration::from_secs(1))).await?;
    }
    Ok(fixed)
}

/// How long writes from before the instant may still land: never longer than from when it was fixed, also where the clock stepped
/// back since.
fn unsettled(fixed: &Fixed, now: Timestamp) -> Duration {
    let settle = fixed.instant.settle();
    let left = (fixed.at + settle).duration_since(now).min(settle);
    Duration::try_from(left).unwrap_or_default()
}

async fn fix(prepared: &Prepared, restore: &Restore, context: &TaskContext) -> Result<Fixed, Failure> {
    let bound = restore.client_clock_bound();
    let asked = context.task.created;
    let env = &prepared.job.env;
    let longest = Duration::try_from(LONGEST_WAIT + bound.saturating_mul(2)).unwrap_or(Duration::MAX);
    let began = env.monotonic();
    loop {
        let instant = Instant::from(prepared.driver.restorer().undo_instant(&prepared.job).await?);
        let at = env.now();
        let Some(why) = obstacle(&instant, asked, bound) else {
            tracing::info!(task = %context.task.id, instant_micros = instant.micros, lowest = instant.lowest, "instant of the undo fixed");
            return Ok(Fixed { instant, at });
        };
        if env.monotonic().saturating_sub(began) > longest {
            return Err(why);
        }
        pause(context, "wait until the damage lies before the instant", LOOK).await?;
    }
}

/// Why an undo cannot have this instant yet.
fn obstacle(instant: &Instant, asked: Timestamp, bound: SignedDuration) -> Option<Failure> {
    if instant.needs_all_clocks && !instant.unread.is_empty() {
        return Some(unread(instant));
    }
    let bound_micros = i64::try_from(bound.as_micros()).unwrap_or(i64::MAX);
    let short = asked.as_microsecond().saturating_add(bound_micros).saturating_sub(instant.micros);
    (short > 0).then(|| behind(instant, short))
}

fn unread(instant: &Instant) -> Failure {
    let words = format!("clocks of the destination cannot be read: {}", instant.unread.join("; "));
    Failure::permanent("TM-REST-0011", words)
        .with_hint("let the daemon reach the node; for a node that is down: --read-level quorum")
}

fn behind(instant: &Instant, short_micros: i64) -> Failure {
    let words = format!(
        "the clock of {} is so far behind that the last {:.1} s before this undo was asked for would not be undone",
        instant.lowest,
        short_micros as f64 / 1e6
    );
    Failure::permanent("TM-REST-0013", words).with_hint("set that clock right, then start the undo again")
}

async fn pause(context: &TaskContext, phase: &str, time: Duration) -> Result<(), Failure> {
    (context.progress)(Progress { phase: phase.to_owned(), done: 0, total: 0, unit: "rows".to_owned() });
    tokio::select! {
        biased;
        () = context.cancel.cancelled() => Err(Failure::cancelled()),
        () = tokio::time::sleep(time) => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    /// Code of what is in the way of an undo that was asked for at 1 s, with a bound of 5 ms.
    fn obstacle_to(micros: i64, unread: &[&str], needs_all_clocks: bool) -> Option<String> {
        let unread = unread.iter().map(|node| (*node).to_owned()).collect();
        let instant = Instant { micros, lowest: "n1".to_owned(), unread, needs_all_clocks, settle_millis: 1 };
        obstacle(&instant, Timestamp::from_second(1).unwrap(), SignedDuration::from_millis(5))
            .map(|failure| failure.code)
    }

    #[test]
    fn an_instant_must_lie_after_the_damage() {
        assert_eq!(obstacle_to(1_004_999, &[], true).as_deref(), Some("TM-REST-0013"));
        assert_eq!(obstacle_to(1_005_000, &[], true), None);
    }

    #[test]
    fn a_clock_that_cannot_be_read_is_waited_for_where_every_replica_is_asked() {
        assert_eq!(obstacle_to(2_000_000, &["n2: refused"], true).as_deref(), Some("TM-REST-0011"));
        assert_eq!(obstacle_to(2_000_000, &["n2: refused"], false), None);
    }

    #[test]
    fn what_an_earlier_run_fixed_is_read_whole() {
        let unread = vec!["n2: down".to_owned()];
        let driver =
            UndoInstant { micros: 5, lowest: "n1".to_owned(), unread, needs_all_clocks: true, settle_millis: 7 };
        let stored = json!({"instant": driver, "at": "1970-01-01T00:00:00Z"});
        let fixed = Fixed { instant: driver.into(), at: Timestamp::UNIX_EPOCH };
        assert_eq!(serde_json::to_value(&fixed).unwrap(), stored);
        assert_eq!(serde_json::from_value::<Fixed>(stored).unwrap(), fixed);
    }

    #[test]
    fn writes_are_waited_for_no_longer_than_they_may_take_whatever_the_clock_does() {
        let at = Timestamp::from_second(1_000).unwrap();
        let instant = Instant {
            micros: 1,
            lowest: "n1".to_owned(),
            unread: vec![],
            needs_all_clocks: false,
            settle_millis: 5_000,
        };
        let fixed = Fixed { instant, at };
        let left = |second| unsettled(&fixed, Timestamp::from_second(second).unwrap()).as_secs();
        assert_eq!([1_000, 1_002, 1_005, 9_000, 1].map(left), [5, 3, 0, 0, 5]);
    }
}
