//! The one instant of an undo, fixed once per task.
//!
//! It must lie after the damage. What a person asks to be undone was written before they asked, by clients whose clocks are
//! off by at most the declared bound: so the instant is taken again until it lies that much after the moment it was asked
//! for. Then writes that were sent before it get the time to land that the destination allows them.

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};
use tidemark_listener_core::{driver::UndoInstant, progress::Progress};
use tidemark_web::api::Restore;

use super::{Prepared, bound_micros};
use crate::tasks::{Failure, TaskContext};

/// Part of the checkpoint that holds the instant.
const PART: &str = "instant";

/// Longest wait for an instant that lies after the damage, beyond the bound of the clients' clocks.
const LONGEST_WAIT: SignedDuration = SignedDuration::from_secs(30);

/// Time between two looks at the clocks.
const LOOK: Duration = Duration::from_millis(200);

/// An instant, and when it was fixed by our clock.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Fixed {
    /// The instant.
    pub(super) instant: UndoInstant,
    /// When.
    pub(super) at: Timestamp,
}

/// The instant of this task, by this run or an earlier one; returns when no write from before it can land any more.
///
/// # Errors
/// The driver's; `TM-REST-0013` where a clock stays so far behind that the damage would not be undone.
pub(super) async fn fixed(prepared: &Prepared, restore: &Restore, context: &TaskContext) -> Result<Fixed, Failure> {
    let fixed = match context.checkpoints.load(PART).await? {
        Some(fixed) => fixed,
        None => {
            let fixed = fix(prepared, restore, context).await?;
            context.checkpoints.save(PART, &fixed).await?;
            fixed
        }
    };
    let settled = fixed.at + SignedDuration::from_millis(i64::try_from(fixed.instant.settle_millis).unwrap_or(0));
    while prepared.job.env.now() < settled {
        let left = settled.duration_since(prepared.job.env.now()).unsigned_abs();
        pause(context, "wait for writes in flight", left.min(Duration::from_secs(1))).await?;
    }
    Ok(fixed)
}

async fn fix(prepared: &Prepared, restore: &Restore, context: &TaskContext) -> Result<Fixed, Failure> {
    let bound = bound_micros(restore);
    let asked = context.task.created;
    let began = prepared.job.env.now();
    loop {
        let instant = prepared.driver.undo_instant(&prepared.job).await?;
        let at = prepared.job.env.now();
        let short = asked.as_microsecond().saturating_add(bound).saturating_sub(instant.micros);
        if short <= 0 {
            tracing::info!(task = %context.task.id, instant_micros = instant.micros, lowest = instant.lowest, "instant of the undo fixed");
            return Ok(Fixed { instant, at });
        }
        if at.duration_since(began) > LONGEST_WAIT + SignedDuration::from_micros(bound.saturating_mul(2)) {
            return Err(behind(&instant, short));
        }
        pause(context, "wait until the damage lies before the instant", LOOK).await?;
    }
}

fn behind(instant: &UndoInstant, short_micros: i64) -> Failure {
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
        () = context.cancel.cancelled() => Err(Failure::cancelled()),
        () = tokio::time::sleep(time) => Ok(()),
    }
}
