//! Names of keys in the coordinator.

use tidemark_catalog::ids::TaskId;
use tidemark_gateway::Digest;

/// Records of tasks.
pub(super) const TASKS: &str = "task/";
/// Entries of tasks that are not done, by the time they are due.
pub(super) const QUEUE: &str = "queue/";
/// Wishes to cancel.
pub(super) const CANCEL: &str = "cancel/";
/// What callers' keys were used for.
pub(super) const IDEMPOTENCY: &str = "idempotency/";
/// Put to take a token that is later than a run's claim.
pub(super) const LATER: &str = "later-token";
/// Claims.
pub(super) const CLAIMS: &str = "claim/";
/// Checkpoints.
pub(super) const CHECKPOINTS: &str = "checkpoint/";

pub(super) fn task(id: &TaskId) -> String {
    format!("{TASKS}{id}")
}

pub(super) fn queue(due_millis: u64, id: &TaskId) -> String {
    format!("{QUEUE}{due_millis:020}/{id}")
}

/// Due time (ms since 1970) and task of a queue key.
pub(super) fn parse_queue(key: &str) -> Option<(u64, TaskId)> {
    let (due, id) = key.strip_prefix(QUEUE)?.split_once('/')?;
    Some((due.parse().ok()?, id.parse().ok()?))
}

pub(super) fn claim(id: &TaskId) -> String {
    format!("{CLAIMS}{id}")
}

pub(super) fn exclusive(scope: &str) -> String {
    format!("exclusive/{scope}")
}

pub(super) fn cancel(id: &TaskId) -> String {
    format!("{CANCEL}{id}")
}

pub(super) fn progress(id: &TaskId) -> String {
    format!("progress/{id}")
}

/// Caller's keys are hashed: they may be of any length and hold any character.
pub(super) fn idempotency(key: &str) -> String {
    format!("{IDEMPOTENCY}{}", Digest::of(key.as_bytes()))
}

pub(super) fn checkpoints(id: &TaskId) -> String {
    format!("{CHECKPOINTS}{id}/")
}

/// What all keys of a checkpoint start with.
pub(super) fn chunks(id: &TaskId, part: &str) -> String {
    format!("{CHECKPOINTS}{id}/{part}#")
}

/// The reference of a checkpoint that is in a store, in the place of its chunks.
pub(super) fn kept(id: &TaskId, part: &str) -> String {
    format!("{CHECKPOINTS}{id}/{part}#kept")
}

/// What all keys of a specification start with that is too large for its task's record.
pub(super) fn spec(id: &TaskId) -> String {
    format!("spec/{id}#")
}
