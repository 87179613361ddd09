//! An undo within a restore.

use tidemark_listener_core::{failure::Failure, restorer::RestoreReport};
use tidemark_records::restore::{pipeline::Pipeline, within::Within};

use crate::restore::undo::{self, UndoObject};

/// Undoes an object from where the checkpoint says; afterwards, error or not, the checkpoint says where it stands.
///
/// # Errors
/// `TM-REST-0201` where no instant was fixed; else the undo's own.
pub(super) async fn run(object: &UndoObject<'_>, pipeline: &mut Pipeline<'_>) -> Result<RestoreReport, Failure> {
    let no_instant = || Failure::new("TM-REST-0201", format!("{}: no instant was fixed for it", object.planned.target));
    let instant = pipeline.control().instant.ok_or_else(no_instant)?;
    let within = Within::of(pipeline);
    let outcome = undo::run(object, instant, within.place(), &within).await;
    pipeline.checkpoint.undo = within.place();
    outcome
}
