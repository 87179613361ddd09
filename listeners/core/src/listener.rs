//! The seam `Listener`: work beside one partition of a source.

use async_trait::async_trait;
use tidemark_catalog::stored::StoredRef;
use tokio_util::sync::CancellationToken;

use crate::{
    assignment::{Assignment, Capture, CheckRequest, Restore},
    check,
    failure::Failure,
    progress::ProgressSink,
};

/// Code of a restore that is asked of a listener that has none.
const NO_RESTORE: &str = "TM-CTRL-0104";

/// Works on one partition. Stateless: everything it must remember is in the store or at the source.
#[async_trait]
pub trait Listener: Send + Sync {
    /// Features that work may need and that this listener knows ([`needs`](crate::needs)).
    fn features(&self) -> &'static [&'static str] {
        &[]
    }

    /// Preflight checklist; problems are lines, not errors.
    async fn check(&self, request: &CheckRequest) -> Vec<check::Line>;

    /// Does one step of a capture and returns the reference of its answer, which is stored: in the last step, which ships
    /// the objects, of the slice manifest. Run again with the same task and step it resumes: what is stored already is not
    /// sent again, and a step whose answer exists is done.
    ///
    /// # Errors
    /// [`Failure`]; objects that cannot be read are not errors but `unreadable` lines of the slice.
    ///
    /// `cancel` says that the task is over for good: what the capture holds at the source (a snapshot) is given back. A call
    /// that is dropped keeps it, for the next run of the task. Either is safe at any point: what was uploaded is garbage or
    /// is reused by the next run.
    async fn capture(
        &self,
        assignment: &Assignment<Capture>,
        progress: ProgressSink,
        cancel: CancellationToken,
    ) -> Result<StoredRef, Failure>;

    /// Restores to the source's own files and returns the reference of its report, which is stored.
    ///
    /// # Errors
    /// `TM-CTRL-0104` where the kind of source has no restore by listeners.
    async fn restore(
        &self,
        assignment: &Assignment<Restore>,
        progress: ProgressSink,
        cancel: CancellationToken,
    ) -> Result<StoredRef, Failure> {
        let _ = (assignment, progress, cancel);
        Err(Failure::new(NO_RESTORE, "listeners of this kind of source restore nothing"))
    }
}
