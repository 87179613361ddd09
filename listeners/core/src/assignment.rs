//! What the orchestrator asks of a listener, as JSON inside the control protocol.

use serde::{Deserialize, Serialize};
use serde_json::Value;
use tidemark_catalog::ids::{FencingToken, SourceId, TaskId};

/// One step of a capture of some objects of one partition, in fresh mode. Sent again with the same `task` and step it is
/// resumed.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Assignment {
    /// Id of the assignment, unique per attempt.
    pub id: String,
    /// The protected system.
    pub source: SourceId,
    /// The task; names of staged objects are deterministic within it.
    pub task: TaskId,
    /// The claim of the task.
    pub token: FencingToken,
    /// Patterns of objects, `part/part` with `*` for any text within a part.
    pub objects: Vec<String>,
    /// Id of the repository in the store; names of what the capture holds at the source carry it and the source's name.
    pub repository: String,
    /// Tasks of this source that are not done. What captures of other tasks of this repository and source left at the source
    /// may be removed; nothing where it is absent: then another daemon may be at work on them.
    pub unfinished: Option<Vec<TaskId>>,
    /// What is to be done now.
    pub step: Step,
    /// URL of the store; credentials come to the listener process through its own environment.
    pub store: String,
    /// Whether the store has shown that it verifies checksums.
    pub store_checksums: bool,
    /// Limits.
    pub limits: CaptureLimits,
}

/// A step of a capture. All partitions are at the same step: the next one begins when each has answered, so that the source can
/// compare their answers before anything is shipped.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Step {
    /// Its place within the task, from 0. The same number asks the same thing in every run of the task.
    pub number: u32,
    /// What is asked, in the source kind's own words
    /// ([`SourceDriver::next_step`](crate::driver::SourceDriver::next_step)).
    pub ask: Value,
    /// True where the task is over for good: what its earlier steps hold at the source is given back and nothing else is done.
    /// The answer is a failure.
    pub over: bool,
}

/// Bounds on what a capture may take.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CaptureLimits {
    /// Uploads at the same time.
    pub uploads: usize,
    /// Size of one part of a large upload, bytes; `uploads * part_bytes`, and at least three parts, bounds the listener's
    /// buffers.
    pub part_bytes: usize,
}

impl Default for CaptureLimits {
    /// 2 uploads of 5 MiB parts: within the listener's 64 MiB with room to spare.
    fn default() -> Self {
        Self { uploads: 2, part_bytes: 5 << 20 }
    }
}

/// Asks for a preflight checklist.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CheckRequest {
    /// URL of a store to try as well.
    pub store: Option<String>,
    /// Patterns of objects that will be captured.
    pub objects: Vec<String>,
}
