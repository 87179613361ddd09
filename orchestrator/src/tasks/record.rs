//! The record of a task.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use tidemark_catalog::ids::TaskId;

use super::{Kept, keys, queue, summary};
use crate::{
    coordinator::Op,
    failure::{Away, Failure},
};

/// Longest specification in a record, bytes of JSON; a larger one is beside it.
pub(super) const SPEC_BYTES: usize = 16 << 10;

/// Longest result in a record, bytes of JSON; of a larger one there is a summary.
pub(super) const RESULT_BYTES: usize = 24 << 10;

/// Longest message of a failure in a record, bytes of JSON.
const MESSAGE_BYTES: usize = 10 << 10;

/// Longest other text in a record, bytes of JSON.
const TEXT_BYTES: usize = 2 << 10;

/// Everything that is recorded about a task but its checkpoint and progress.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TaskRecord {
    /// Its id.
    pub id: TaskId,
    /// What it does.
    pub kind: Kind,
    /// The task that it does a part of.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub parent: Option<TaskId>,
    /// What it works on, for people.
    pub subject: String,
    /// All it needs to know; the kind's own shape. `null` where it is beside the record; what runs is given the whole.
    pub spec: Value,
    /// True where the specification is too large for the record and is beside it.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub spec_beside: bool,
    /// Tasks of one scope run one after another.
    pub exclusive: Option<String>,
    /// Where it stands.
    pub state: State,
    /// How often it was claimed. A run that was interrupted by an orderly stop does not count.
    pub attempt: u32,
    /// Runs in a row of which no end was recorded, without progress in between: the daemon was killed, or lost its claims.
    #[serde(default)]
    pub lost_runs: u32,
    /// Failures in a row that may go away and are no absence, without progress in between.
    #[serde(default)]
    pub failures: u32,
    /// What was away when it ran last; until a run makes progress.
    #[serde(default)]
    pub waiting: Option<Waiting>,
    /// When it may run, ms since 1970; names its queue entry.
    pub due_millis: u64,
    /// When it was asked for.
    pub created: Timestamp,
    /// When it ended.
    pub finished: Option<Timestamp>,
    /// Why it failed, or why the last attempt did.
    pub error: Option<Failure>,
    /// What came out; a summary of it where it is too large for the record.
    pub result: Option<Value>,
    /// What the result lacks, where it is a summary.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cut: Option<Cut>,
}

/// What a result lacks that is stored as a summary: ends of lists and of long texts.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Cut {
    /// Lists that were cut: JSON pointer → items that the whole has. Not all of them, where there are many.
    pub lists: BTreeMap<String, u64>,
    /// The whole; absent where it could not be kept.
    pub kept: Option<Kept>,
    /// Why the whole was not kept.
    pub why_not: Option<String>,
}

impl TaskRecord {
    /// The same after progress: what went wrong before it counts no more.
    #[must_use]
    pub(super) fn after_progress(self) -> Self {
        Self { lost_runs: 0, failures: 0, waiting: None, ..self }
    }

    /// What records it and queues it.
    pub(super) fn queued(&self) -> Vec<Op> {
        vec![Op::put(keys::task(&self.id), self.encode()), Op::put(keys::queue(self.due_millis, &self.id), "")]
    }

    /// Its bytes in the coordinator, never more than a value has there: what is too long ends early.
    pub(super) fn encode(&self) -> Vec<u8> {
        queue::encode(&self.clone().bounded())
    }

    fn bounded(mut self) -> Self {
        self.subject = summary::short(&self.subject, TEXT_BYTES);
        if let Some(error) = &mut self.error {
            error.code = summary::short(&error.code, TEXT_BYTES);
            error.message = summary::short(&error.message, MESSAGE_BYTES);
            error.hint = error.hint.as_ref().map(|hint| summary::short(hint, TEXT_BYTES));
            error.details = None;
        }
        if let Some(summary) = self.result.as_ref().and_then(|result| summary::of(result, RESULT_BYTES)) {
            self.result = Some(summary.value);
            self.cut.get_or_insert(Cut { lists: summary.lists, kept: None, why_not: None });
        }
        if let Some(cut) = &mut self.cut {
            cut.why_not = cut.why_not.as_ref().map(|why| summary::short(why, TEXT_BYTES));
        }
        self
    }
}

/// A wait for something that is away.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Waiting {
    /// What is away.
    pub what: Away,
    /// When a run found it away first.
    pub since: Timestamp,
    /// Runs in a row that found it away.
    pub tries: u32,
}

/// What a task does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Kind {
    /// Makes a version.
    Protect,
    /// Writes a version to a destination.
    Restore,
    /// Reads and proves a version.
    Verify,
    /// Counts what an undo would write.
    Count,
    /// Frees space in a store.
    Collect,
    /// Collapses a range of an object's keys, for the task that makes the version.
    Consolidate,
}

impl Kind {
    /// The word of the API.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Protect => "protect",
            Self::Restore => "restore",
            Self::Verify => "verify",
            Self::Count => "count",
            Self::Collect => "collect",
            Self::Consolidate => "consolidate",
        }
    }
}

/// Where a task stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum State {
    /// Waits for its time, for another of its scope, or for a free place.
    Queued,
    /// Claimed. After a crash it still says so until it is claimed again.
    Running,
    /// Ended as it should.
    Succeeded,
    /// Ended, and somebody should read the result.
    Warnings,
    /// Ended without a result.
    Failed,
    /// Ended because somebody asked.
    Cancelled,
}

impl State {
    /// True in the last four.
    pub fn is_done(self) -> bool {
        !matches!(self, Self::Queued | Self::Running)
    }

    /// The word of the API.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Queued => "queued",
            Self::Running => "running",
            Self::Succeeded => "succeeded",
            Self::Warnings => "warnings",
            Self::Failed => "failed",
            Self::Cancelled => "cancelled",
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::coordinator::MAX_VALUE_BYTES;

    fn record(spec: Value, result: Value, text: &str) -> TaskRecord {
        TaskRecord {
            id: "0123456789abcdef0123456789abcdef".parse().unwrap(),
            kind: Kind::Protect,
            parent: Some("a".repeat(63).parse().unwrap()),
            subject: text.to_owned(),
            spec,
            spec_beside: false,
            exclusive: Some(format!("source/{}", "a".repeat(63))),
            state: State::Failed,
            attempt: u32::MAX,
            lost_runs: u32::MAX,
            failures: u32::MAX,
            waiting: Some(Waiting { what: Away::Destination, since: Timestamp::MAX, tries: u32::MAX }),
            due_millis: u64::MAX,
            created: Timestamp::MAX,
            finished: Some(Timestamp::MAX),
            error: Some(Failure::permanent(text, text).with_hint(text).with_details(json!(text))),
            result: Some(result),
            cut: None,
        }
    }

    #[test]
    fn a_record_fits_into_a_value_whatever_is_said_in_it() {
        let spec = json!("s".repeat(SPEC_BYTES - 2));
        let lists: serde_json::Map<_, _> =
            (0..60).map(|n| (format!("{n:0200}"), json!(vec!["x".repeat(500); 90]))).collect();
        for result in [json!("r".repeat(90_000)), json!(lists), json!(vec![json!({"object": "\u{1}"}); 90_000])] {
            for text in ["x", "\u{1}", "ä\""] {
                let bytes = record(spec.clone(), result.clone(), &text.repeat(60_000)).encode();
                assert!(bytes.len() <= MAX_VALUE_BYTES, "{}", bytes.len());
                let read: TaskRecord = serde_json::from_slice(&bytes).unwrap();
                assert!(read.cut.is_some() && read.spec == spec);
            }
        }
    }

    #[test]
    fn a_record_of_an_earlier_build_is_read() {
        let stored = json!({
            "id": "t", "kind": "protect", "subject": "a", "spec": {"a": 1}, "exclusive": null, "state": "succeeded", "attempt": 1,
            "due_millis": 5, "created": "2026-01-02T03:04:05Z", "finished": null, "error": null, "result": {"b": 2},
        });
        let read: TaskRecord = serde_json::from_value(stored).unwrap();
        assert_eq!((read.spec_beside, read.cut, read.result), (false, None, Some(json!({"b": 2}))));
    }
}
