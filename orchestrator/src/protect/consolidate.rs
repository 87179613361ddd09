//! One object after another, each finished one checkpointed.

use std::sync::Arc;

use futures::{FutureExt as _, StreamExt as _, TryStreamExt as _, stream};
use serde_json::json;
use tidemark_catalog::{
    entry::{Cut, Entry, ObjectLine, PartitionCut, Quality, Totals},
    ids::ObjectName,
    slice::SliceManifest,
    work::{self, WorkRoot},
};
use tidemark_gateway::pause;
use tidemark_listener_core::driver::{self, ConsolidateJob, Declared, NameSource};

use super::{Captured, Inputs, Job};
use crate::tasks::Failure;

impl Job<'_> {
    /// Lines of all objects, in their order; those of an earlier run are taken as they are while what they name is there.
    pub(super) async fn consolidate_all(
        &self,
        objects: &[ObjectName],
        inputs: &Inputs,
    ) -> Result<Vec<ObjectLine>, Failure> {
        let mut lines = Vec::with_capacity(objects.len());
        for object in objects {
            lines.push(self.line(object, inputs).boxed());
        }
        stream::iter(lines).buffered(self.with.consolidations.max(1)).try_collect().await
    }

    async fn line(&self, object: &ObjectName, inputs: &Inputs) -> Result<ObjectLine, Failure> {
        let part = format!("object/{object}");
        if let Some(line) = self.context.checkpoints.load::<ObjectLine>(&part).await?
            && self.stands(&line).await?
        {
            return Ok(line);
        }
        if self.context.cancel.is_cancelled() {
            return Err(Failure::cancelled());
        }
        let line = self.consolidate(object, inputs).await?;
        self.write_root().await?;
        self.context.checkpoints.save(&part, &line).await?;
        pause::point("mid-consolidation");
        Ok(line)
    }

    /// Whether the entry of an earlier run's line can be read: the store may have been put back to before it since.
    async fn stands(&self, line: &ObjectLine) -> Result<bool, Failure> {
        let Some(entry) = &line.entry else { return Ok(true) };
        Ok(self.previous_entry(entry).await?.is_some())
    }

    /// The line of an object; one that is damaged for good is missing, with the reason.
    async fn consolidate(&self, object: &ObjectName, inputs: &Inputs) -> Result<ObjectLine, Failure> {
        let previous = match inputs.previous.get(object) {
            Some(entry) => self.previous_entry(entry).await?,
            None => None,
        };
        let job = self.consolidate_job(object, inputs, previous);
        match self.driver.consolidate(job).await {
            Ok(line) => Ok(line),
            Err(error) if error.retryable || error.cancelled => Err(Failure::from(error).by_absence_of("store")),
            Err(error) => {
                tracing::error!(source_id = %self.source_id, %object, code = error.code, %error, "object is missing from the version");
                missing(object, &inputs.slices, &error)
            }
        }
    }

    fn consolidate_job(&self, object: &ObjectName, inputs: &Inputs, previous: Option<Arc<Entry>>) -> ConsolidateJob {
        ConsolidateJob {
            source: self.source_id.clone(),
            object: object.clone(),
            slices: Arc::clone(&inputs.slices),
            absent: Arc::clone(&inputs.absent),
            previous,
            store: Arc::clone(&self.store.objects),
            names: Arc::clone(&self.names) as Arc<dyn NameSource>,
            token: self.context.token,
            declared: Declared { write_level: self.policy.write_level.clone(), repaired: self.policy.repaired },
            limits: self.with.consolidate_limits.clone(),
            env: self.with.env.clone(),
            progress: Arc::clone(&self.context.progress),
            cancel: self.context.cancel.clone(),
        }
    }

    /// Takes over what earlier runs of this task wrote, and the slices, so that the next root names them too. A slice
    /// manifest stands for all that it names.
    pub(super) async fn adopt_roots(&self, captured: &Captured) -> Result<(), Failure> {
        self.names.adopt(captured.slices.iter().map(|slice| slice.key.clone()));
        let root = work::newest(&self.store.objects, &self.source_id, &self.set, &self.context.task.id).await?;
        self.names.adopt(root.into_iter().flat_map(|root| root.objects));
        self.write_root().await
    }

    /// Writes a work root that names everything this task has written so far.
    pub(super) async fn write_root(&self) -> Result<(), Failure> {
        let root = WorkRoot {
            task: self.context.task.id.clone(),
            token: self.context.token,
            node: self.with.node.clone(),
            written: self.with.env.now(),
            objects: self.names.all(),
            checkpoint: json!(null),
        };
        work::write(&self.store.objects, self.names.names(), &self.set, &root).await?;
        Ok(())
    }
}

/// The line of an object that could not be consolidated: its cut is that of the captures it would have been made of.
fn missing(object: &ObjectName, slices: &[SliceManifest], error: &driver::Error) -> Result<ObjectLine, Failure> {
    let partitions: Vec<_> = slices
        .iter()
        .map(|s| PartitionCut { partition: s.partition.clone(), started: s.started, finished: s.finished })
        .collect();
    let from = partitions.iter().map(|p| p.started).min();
    let through = partitions.iter().map(|p| p.finished).max();
    let (Some(from), Some(through)) = (from, through) else {
        return Err(Failure::permanent(error.code, error.message.clone()));
    };
    Ok(ObjectLine {
        object: object.clone(),
        entry: None,
        cut: Cut { from, through, partitions },
        quality: Quality::Missing { reason: format!("{}: {}", error.code, error.message) },
        topology: None,
        totals: Totals::default(),
        left_out: Vec::new(),
    })
}
