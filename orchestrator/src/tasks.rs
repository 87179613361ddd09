//! Background tasks: recorded, queued, claimed, resumed.
//!
//! Keys in the coordinator: `task/<id>` the record; `spec/<id>#<chunk>` its specification where that is large;
//! `idempotency/<digest of key>` what a key was used for; `queue/<due>/<id>` from submission to the end; `claim/<id>` and
//! `exclusive/<scope>` leased, while it runs; `checkpoint/<id>/<part>#<chunk>`, `progress/<id>` and `cancel/<id>`.
//!
//! No value is larger than the coordinator takes, however many objects a task has. A large specification and large checkpoints
//! are cut into chunks; a checkpoint above 1 MiB is a document in the store (`shelf`), and so is a large result, of which
//! the record keeps a summary (`summary`).
//!
//! Every write of a running task compares its claim: a run that lost it changes nothing any more. Its fencing token is
//! (generation, revision of the claim), so a later run has a higher one; the generation is compared as the claim is made. A
//! daemon that is killed leaves a queue entry without a claim, which the next one takes; checkpoints tell it what is done.
//!
//! A run that finds its source, store or destination away is tried again with growing pauses while that lasts, up to a bound;
//! other failures that may go away are tried again up to a number, and so are runs of which no end was recorded. A saved
//! checkpoint with something new in it makes all three count anew, whatever becomes of its run. A task that failed keeps its
//! checkpoints, so that it can be resumed, until its record goes.

mod checkpoint;
mod chunks;
mod claim;
mod keys;
mod part;
mod progress;
mod prune;
mod queue;
mod record;
mod resume;
mod runner;
mod shelf;
mod slot;
mod submit;
mod summary;

pub use checkpoint::Checkpoints;
pub(crate) use checkpoint::RESTORER_PART;
pub(crate) use part::Part;
pub use progress::StoredProgress;
pub use queue::{Status, Tasks};
pub use record::{Cut, Kind, State, TaskRecord, Waiting};
pub use runner::{Completion, Execute, Observe, Runner, RunnerConfig, TaskContext, Waits};
pub use shelf::{Kept, Shelf};
pub(crate) use slot::slot_task_id;
pub use submit::Submit;

use tidemark_gateway::causes;

use crate::coordinator;
pub use crate::failure::Failure;

/// The name under which a large result is kept.
pub(crate) const RESULT: &str = "result";

/// Why a task could not be recorded, read or moved on.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The coordinator failed.
    #[error("coordinator, {subject}")]
    Coordinator {
        /// What was being read or written.
        subject: String,
        /// Why.
        source: coordinator::Error,
    },
    /// The claim under which a write was made is gone: another run has the task, or the lease ran out.
    #[error("the claim of task {task} is lost")]
    ClaimLost {
        /// The task.
        task: String,
    },
    /// A record cannot be read.
    #[error("record {key} is not what this program writes")]
    Decode {
        /// Its key.
        key: String,
        /// Why.
        source: serde_json::Error,
    },
    /// The idempotency key was used for another request.
    #[error("the idempotency key was used for another request, which made operation {task}")]
    KeyReused {
        /// The task of the earlier request.
        task: String,
    },
    /// There is nothing to resume.
    #[error("operation {task} cannot be resumed: {reason}")]
    NotResumable {
        /// The task.
        task: String,
        /// Why not.
        reason: String,
    },
    /// A checkpoint or a specification is larger than the coordinator takes, and there is no store for it.
    #[error("{part} of task {task} has {size} bytes, the limit is {limit}")]
    Size {
        /// The task.
        task: String,
        /// What of it.
        part: String,
        /// Its size.
        size: usize,
        /// The bound.
        limit: usize,
    },
    /// What a task keeps in a store cannot be written or read there.
    #[error(transparent)]
    Shelf(Box<Failure>),
}

impl Error {
    fn coordinator(subject: impl Into<String>) -> impl FnOnce(coordinator::Error) -> Self {
        let subject = subject.into();
        move |source| Self::Coordinator { subject, source }
    }

    fn shelf(failure: Failure) -> Self {
        Self::Shelf(Box::new(failure))
    }
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        let (code, retryable) = match &error {
            Error::Shelf(failure) => return (**failure).clone(),
            // What is too large stays so.
            Error::Coordinator { source: coordinator::Error::Limit { .. }, .. } => ("TM-TASK-0004", false),
            Error::Coordinator { .. } => ("TM-TASK-0002", true),
            Error::ClaimLost { .. } => ("TM-TASK-0003", true),
            Error::Size { .. } => ("TM-TASK-0004", false),
            Error::Decode { .. } => ("TM-TASK-0005", false),
            Error::KeyReused { .. } => ("TM-API-0422", false),
            Error::NotResumable { .. } => ("TM-TASK-0409", false),
        };
        Self::of(code, causes::joined(&error), retryable)
    }
}

#[cfg(test)]
mod tests;
