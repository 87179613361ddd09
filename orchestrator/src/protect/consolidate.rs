//! Objects are consolidated, a few at a time, each finished one checkpointed; and the work root that keeps what is written.

use std::{collections::BTreeMap, sync::Arc};

use futures::{FutureExt as _, StreamExt as _, TryStreamExt as _, stream};
use tidemark_catalog::{
    document,
    entry::{Entry, ObjectLine},
    ids::ObjectName,
    slice::{self, SliceManifest},
    stored::StoredRef,
    work::{self, WorkRoot},
};
use tidemark_gateway::pause;
use tidemark_listener_core::{blocks::SealJob, records::ConsolidateJob, source::Family};
use tokio::sync::Semaphore;

use super::{
    Inputs, Job,
    by::By,
    parts::{OpenParts, PARTS_PER_WORKER, Workers},
};
use crate::failure::{self, Away, Failure};

/// The checkpoint that holds the reference of the newest work root.
const ROOT: &str = "work-root";

impl Job<'_> {
    /// Lines of all objects, in their order; those of an earlier run are taken as they are while what they name is there.
    pub(super) async fn consolidate_all(
        &self,
        objects: &[ObjectName],
        inputs: &Inputs,
        slices: &[StoredRef],
    ) -> Result<Vec<ObjectLine>, Failure> {
        let (open, workers) = (OpenParts::default(), self.with.workers().await?);
        let permits = Semaphore::new(workers * PARTS_PER_WORKER);
        let by = By::new(Workers { job: self, inputs, slices, open: &open, permits }, workers);
        let lines: Vec<_> = objects.iter().map(|object| self.line(object, inputs, &by).boxed()).collect();
        let lines: Result<Vec<_>, Failure> = stream::iter(lines).buffered(by.at_a_time()).try_collect().await;
        open.end(self, lines.as_ref().err()).boxed().await;
        lines
    }

    async fn line(&self, object: &ObjectName, inputs: &Inputs, by: &By<'_>) -> Result<ObjectLine, Failure> {
        let part = format!("object/{object}");
        let before = self.context.checkpoints.load::<ObjectLine>(&part).await?;
        if let Some(line) = &before
            && self.lacks(line, &inputs.marked).boxed().await?.is_none()
        {
            return Ok(line.clone());
        }
        if self.context.cancel.is_cancelled() {
            return Err(Failure::cancelled());
        }
        let line = self.consolidate(object, inputs, by).await?;
        match before {
            None => self.context.checkpoints.save(&part, &line).await?,
            // What has to be made once more is no progress, or a store that loses it would be written to for ever.
            Some(_) => self.context.checkpoints.note(&part, &line).await?,
        }
        pause::point("mid-consolidation");
        Ok(line)
    }

    /// The line of an object; one that is damaged for good is missing, with the reason.
    async fn consolidate(&self, object: &ObjectName, inputs: &Inputs, by: &By<'_>) -> Result<ObjectLine, Failure> {
        let previous = match inputs.previous.get(object) {
            Some(entry) => self.previous_entry(entry).await?,
            None => None,
        };
        let made = match self.driver.family() {
            Family::Records(records) => {
                let job = self.consolidate_job(object, inputs, previous);
                by.consolidate(records, self.driver.kind(), job).await
            }
            Family::Blocks(blocks) => by.here(blocks.seal(&self.seal_job(object, inputs, previous))).await,
        };
        match made {
            Ok(line) => Ok(line),
            // One of a task is none of the object.
            Err(error) if error.code.starts_with("TM-TASK-") && !error.cancelled => Err(Failure::from(error)),
            Err(error) if error.retryable && error.answered => Err(Failure::from(error)),
            Err(error) if error.retryable || error.cancelled => Err(Failure::from(error).by_absence_of(Away::Store)),
            Err(error) => {
                tracing::error!(source_id = %self.source_id, %object, code = %error.code, %error, "object is missing from the version");
                missing(object, &inputs.slices, &error)
            }
        }
    }

    pub(super) fn consolidate_job(
        &self,
        object: &ObjectName,
        inputs: &Inputs,
        previous: Option<Arc<Entry>>,
    ) -> ConsolidateJob {
        ConsolidateJob {
            source: self.source_id.clone(),
            object: object.clone(),
            slices: Arc::clone(&inputs.slices),
            absent: Arc::clone(&inputs.absent),
            previous,
            store: Arc::clone(&self.store.objects),
            names: Arc::clone(&self.names),
            unreadable: BTreeMap::new(),
            options: self.policy.options.clone(),
            limits: self.with.consolidate_limits.clone(),
            env: self.with.env.clone(),
            progress: Arc::clone(&self.context.progress),
            cancel: self.context.cancel.clone(),
        }
    }

    fn seal_job(&self, object: &ObjectName, inputs: &Inputs, previous: Option<Arc<Entry>>) -> SealJob {
        SealJob {
            source: self.source_id.clone(),
            object: object.clone(),
            slices: Arc::clone(&inputs.slices),
            absent: Arc::clone(&inputs.absent),
            previous,
            store: Arc::clone(&self.store.objects),
            names: Arc::clone(&self.names),
            options: self.policy.options.clone(),
            env: self.with.env.clone(),
            progress: Arc::clone(&self.context.progress),
            cancel: self.context.cancel.clone(),
        }
    }

    /// Writes the work root of this run: what is stored under its token, or under that of an earlier run, is still needed.
    pub(super) async fn write_root(&self) -> Result<(), Failure> {
        let (store, task) = (&self.store.objects, &self.task);
        let mut tokens = match self.context.checkpoints.load::<StoredRef>(ROOT).await? {
            Some(root) => work::tokens(store, &root, task).boxed().await.map_err(root_failed)?,
            None => Vec::new(),
        };
        tokens.push(self.context.token);
        tokens.sort();
        tokens.dedup();
        let (node, written) = (self.with.node.clone(), self.with.env.now());
        let root = WorkRoot { task: task.clone(), tokens, pins: Vec::new(), node, written };
        let stored = work::write(store, &self.names, &self.set, &root).await.map_err(root_failed)?;
        Ok(self.context.checkpoints.note(ROOT, &stored).await?)
    }
}

fn root_failed(error: document::Error) -> Failure {
    failure::catalog::store("TM-CAT-0005", &error, error.is_retryable())
}

/// The line of an object that could not be consolidated: its cut is that of the captures it would have been made of.
fn missing(
    object: &ObjectName,
    slices: &[SliceManifest],
    error: &tidemark_listener_core::failure::Failure,
) -> Result<ObjectLine, Failure> {
    let Some(cut) = slice::cut(&slices.iter().collect::<Vec<_>>(), 0) else {
        return Err(Failure::permanent(&error.code, error.message.clone()));
    };
    Ok(ObjectLine::missing(object.clone(), cut, format!("{}: {}", error.code, error.message)))
}
