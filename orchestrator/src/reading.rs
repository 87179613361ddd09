//! Pins: what a run reads is kept from collection until the run has ended.
//!
//! The pin is written first, and only then it is looked whether the version was collected meanwhile; collection gives a version up
//! first and looks for pins then. So one of the two sees the other: either the run is refused, or what it reads is left alone.
//! A crash leaves a work root behind, which collection removes when its task is no longer known.
//!
//! A store that takes no writes is read without a pin, with a word in the log: a full disk must not keep a restore from being
//! made. What is collected under such a run ends it with an error that names the object.

use tidemark_catalog::{
    names::Names,
    work::{self, WorkRoot},
};
use tidemark_gateway::causes;

use crate::{
    executors::{Executors, FoundVersion},
    failure::Failure,
    tasks::TaskContext,
};

/// Keeps a version for this run.
///
/// # Errors
/// `TM-VER-0411` where it was collected; where the store does not say.
pub(crate) async fn keep(with: &Executors, context: &TaskContext, found: &FoundVersion) -> Result<(), Failure> {
    let id = found.id();
    let names = Names::new(id.source.clone(), context.token);
    let (task, node, written) = (context.task.id.clone(), with.node.clone(), with.env.now());
    let root = WorkRoot { task, tokens: vec![context.token], pins: vec![id.clone()], node, written };
    if let Err(error) = work::write(&found.store.objects, &names, &id.set, &root).await {
        tracing::warn!(version_id = %id, error = causes::joined(&error), "the version is read without a pin");
    }
    found.refuse_collected().await
}
