//! What the orchestrator asks of a listener, as JSON inside the control protocol.
//!
//! A listener reads it leniently: fields that it does not know are passed over. What must not be passed over is named in
//! `needs` ([`crate::needs`]), and work whose kind or mode the listener does not know is refused.

use serde::{Deserialize, Serialize};
use serde_json::Value;
use tidemark_catalog::{
    ids::{FencingToken, SourceId, TaskId},
    pattern::{self, Patterns},
    stored::StoredRef,
};

use crate::needs;

/// A piece of work on one partition. Sent again with the same task, and the same step of a capture, it is resumed.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Assignment<W = Work> {
    /// Id of the assignment, unique per attempt.
    pub id: String,
    /// Features that the listener must know; else it refuses the work.
    #[serde(default)]
    pub needs: Vec<String>,
    /// The protected system.
    pub source: SourceId,
    /// The task: what any run of it has staged is found by the next.
    pub task: TaskId,
    /// The claim of the task.
    pub token: FencingToken,
    /// Id of the repository in the store: that of the store that the listener was started for, else it refuses the work. Names of
    /// what the capture holds at the source carry it and the source's name.
    pub repository: String,
    /// What is to be done.
    pub work: W,
}

impl<W> Assignment<W> {
    /// The assignment without its work, and the work.
    pub fn parts(self) -> (Assignment<()>, W) {
        let Self { id, needs, source, task, token, repository, work } = self;
        (Assignment { id, needs, source, task, token, repository, work: () }, work)
    }
}

impl Assignment<()> {
    /// The same with this work.
    pub fn with<W>(self, work: W) -> Assignment<W> {
        let Self { id, needs, source, task, token, repository, work: () } = self;
        Assignment { id, needs, source, task, token, repository, work }
    }
}

/// Kinds of work.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "kebab-case")]
pub enum Work {
    /// From the source to the store.
    Capture(Box<Capture>),
    /// From the store to the source's own files.
    Restore(Restore),
}

impl Work {
    /// Features that this work cannot be done without, whether or not the assignment says so.
    pub fn needs(&self) -> Vec<&'static str> {
        match self {
            Self::Capture(capture) => capture.needs(),
            Self::Restore(_) => Vec::new(),
        }
    }
}

/// One step of a capture of some objects; by default the first one of none.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Capture {
    /// Patterns of objects, texts of [`Pattern`](tidemark_catalog::pattern::Pattern).
    pub objects: Vec<String>,
    /// Patterns of objects that are left alone, whatever `objects` says.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub excludes: Vec<String>,
    /// Tasks of this source that are not done. What captures of other tasks of this repository and source left at the source
    /// may be removed; nothing where it is absent: then another daemon may be at work on them.
    #[serde(default)]
    pub unfinished: Option<Vec<TaskId>>,
    /// What is to be done now.
    pub step: Step,
    /// Limits.
    pub limits: CaptureLimits,
    /// How much is to be shipped.
    #[serde(default)]
    pub mode: Mode,
    /// How far the newest version covers this partition, in the source kind's own words.
    #[serde(default)]
    pub checkpoint: Option<Value>,
    /// Pages of what is held of this partition already, as the source kind writes them. They may be passed over: then more is
    /// shipped than is needed.
    #[serde(default)]
    pub held: Option<StoredRef>,
}

impl Capture {
    /// The objects that it is about.
    ///
    /// # Errors
    /// [`pattern::Error`] for the first text that is no pattern.
    pub fn patterns(&self) -> Result<Patterns, pattern::Error> {
        Patterns::parse(&self.objects)?.without(&self.excludes)
    }

    fn needs(&self) -> Vec<&'static str> {
        let join = (self.mode == Mode::Join).then_some(needs::JOIN);
        join.into_iter().chain((!self.excludes.is_empty()).then_some(needs::EXCLUDES)).collect()
    }
}

/// How much a capture ships.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Mode {
    /// Everything.
    #[default]
    Fresh,
    /// What is not held yet.
    Join,
}

/// A restore by a listener: it writes files of the source, where a kind of source has that.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Restore {
    /// What is to be restored, and where to, in the source kind's own words.
    pub ask: Value,
}

/// A step of a capture. All partitions are at the same step: the next one begins when each has answered, so that the source can
/// compare their answers before anything is shipped.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Step {
    /// Its place within the task, from 0. The same number asks the same thing in every run of the task.
    pub number: u32,
    /// What is asked, in the source kind's own words
    /// ([`Source::next_step`](crate::source::Source::next_step)).
    pub ask: Value,
    /// True where the task is over for good: what its earlier steps hold at the source is given back and nothing else is done.
    /// The answer is a failure.
    pub over: bool,
}

/// Bounds on what a capture may take.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
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
pub struct CheckRequest {
    /// Features that the listener must know; else it refuses the check.
    #[serde(default)]
    pub needs: Vec<String>,
    /// Whether the store that the listener was started for is to be tried as well.
    pub store: bool,
    /// Patterns of objects that will be captured.
    pub objects: Vec<String>,
    /// Patterns of objects that will not, whatever `objects` says.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub excludes: Vec<String>,
}
