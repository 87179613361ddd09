//! The seam [`Restorer`]: versions come back, by a plan that is shown before it is run.

mod options;
mod plan;
mod report;
mod undo;

use std::sync::Arc;

use async_trait::async_trait;
use object_store::ObjectStore;
use serde_json::Value;
use tidemark_catalog::entry::ObjectLine;
use tidemark_gateway::Env;
use tokio_util::sync::CancellationToken;

pub use options::{CLIENT_CLOCK_BOUND_MICROS, CommonOptions, IfExists, RestoreOptions, Selection};
pub use plan::{Action, PlannedObject, RestorePlan};
pub use report::{DIFFERING_KEPT, DifferingRow, REFUSED_NAMED, Refused, RestoreReport};
pub use undo::{UndoCounts, UndoInstant};

use crate::{failure::Failure, progress::ProgressSink, source::ListenerSpec};

/// Code of a failure to read the version: the store is away, or what it holds is absent or another. Every other failure that may
/// pass is of a destination that is away.
pub const STORE_READ: &str = "TM-REST-0102";

/// Brings versions of a kind of source back to a destination of the same kind.
#[async_trait]
pub trait Restorer: Send + Sync {
    /// Checks the source's part of a restore's options. An empty object is what a restore says that names nothing.
    ///
    /// # Errors
    /// [`Failure`] naming the field; one that is not known is refused.
    fn validate_options(&self, options: &Value) -> Result<(), Failure>;

    /// What a restore would do; the run does exactly this. Writes nothing.
    ///
    /// # Errors
    /// [`Failure`] where the version or the destination cannot be read. What would make the run fail is a `fail` line of the
    /// plan's checks.
    async fn plan(&self, job: &RestoreJob) -> Result<RestorePlan, Failure>;

    /// Where a plan is run.
    ///
    /// # Errors
    /// [`Failure`] where the destination does not say.
    async fn place(&self, job: &RestoreJob, plan: &RestorePlan) -> Result<Place, Failure> {
        let _ = (job, plan);
        Ok(Place::Daemon)
    }

    /// Runs a plan in the daemon, from its checkpoint on. Objects with [`Action::Undo`] need [`RestoreControl::instant`].
    ///
    /// # Errors
    /// [`Failure`]; retryable where the same run may succeed later.
    async fn run(
        &self,
        job: &RestoreJob,
        plan: &RestorePlan,
        control: RestoreControl,
    ) -> Result<RestoreReport, Failure>;

    /// Compares what a plan would undo with the version, object by object in the plan's order, and writes nothing.
    ///
    /// # Errors
    /// `TM-REST-0010` where the kind of source knows no undo; else as reading the version or the destination fails.
    async fn count(
        &self,
        job: &RestoreJob,
        plan: &RestorePlan,
        progress: ProgressSink,
        cancel: CancellationToken,
    ) -> Result<Vec<UndoCounts>, Failure> {
        let _ = (job, plan, progress, cancel);
        Err(undo::unsupported())
    }

    /// The instant an undo that starts now would use; asked for again, a later one.
    ///
    /// # Errors
    /// `TM-REST-0010` where the kind of source knows no undo; else as the destination cannot be reached.
    async fn undo_instant(&self, job: &RestoreJob) -> Result<UndoInstant, Failure> {
        let _ = job;
        Err(undo::unsupported())
    }
}

/// Where a plan is run.
#[derive(Clone, Debug)]
pub enum Place {
    /// In the daemon, by [`Restorer::run`].
    Daemon,
    /// Where the destination's bytes lie, by listeners there: [`Listener::restore`](crate::listener::Listener::restore). The
    /// restore is done when all have answered.
    Hosts(Vec<HostWork>),
}

/// A listener's share of a restore.
#[derive(Clone, Debug)]
pub struct HostWork {
    /// The listener, one of the destination's.
    pub listener: ListenerSpec,
    /// What it is to do, in the source kind's own words.
    pub ask: Value,
}

/// What to restore, and where to.
#[derive(Clone, Debug)]
pub struct RestoreJob {
    /// Lines of the objects to restore, all with entries.
    pub lines: Vec<ObjectLine>,
    /// Where they are.
    pub store: Arc<dyn ObjectStore>,
    /// Specification of the destination, shaped as a source's.
    pub destination: Value,
    /// Options.
    pub options: RestoreOptions,
    /// Clocks.
    pub env: Env,
}

/// Handles of a running restore.
#[derive(Clone)]
pub struct RestoreControl {
    /// Progress in rows.
    pub progress: ProgressSink,
    /// Stops the work.
    pub cancel: CancellationToken,
    /// Where it stood when it was interrupted, as last saved.
    pub checkpoint: Option<Value>,
    /// Saves where it stands; durable when it returns.
    pub save: Arc<dyn CheckpointSaver>,
    /// The instant of an undo, µs since 1970; the same in every run of one task.
    pub instant: Option<i64>,
}

/// Saves checkpoints of a running task.
#[async_trait]
pub trait CheckpointSaver: Send + Sync {
    /// Stores the checkpoint, replacing the previous one.
    ///
    /// # Errors
    /// [`Failure`] where the task's claim is lost or the coordinator cannot be reached.
    async fn save(&self, checkpoint: Value) -> Result<(), Failure>;

    /// As [`save`](Self::save), of what every run changes anew, such as the number of its attempt: it is no progress.
    ///
    /// # Errors
    /// As [`save`](Self::save).
    async fn note(&self, checkpoint: Value) -> Result<(), Failure> {
        self.save(checkpoint).await
    }
}
