//! An undo within a restore: its own place goes into the restore's checkpoint.

use std::sync::{Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;
use serde_json::Value;
use tidemark_listener_core::{
    failure::Failure,
    restorer::{CheckpointSaver, RestoreControl},
};

use crate::restore::{checkpoint::Checkpoint, pipeline::Pipeline};

/// Saves the place of the undo of the object in work as part of the restore's checkpoint.
pub struct Within<'a> {
    control: &'a RestoreControl,
    whole: Checkpoint,
    last: Mutex<Option<Value>>,
}

impl<'a> Within<'a> {
    /// For the undo of the object in work.
    pub fn of(pipeline: &Pipeline<'a>) -> Self {
        let whole = pipeline.checkpoint.clone();
        Self { control: pipeline.control(), last: Mutex::new(whole.undo.clone()), whole }
    }

    /// The place that was saved last, by an earlier run too; the restore's checkpoint is to have it when the undo ends, error
    /// or not.
    pub fn place(&self) -> Option<Value> {
        self.last().clone()
    }

    /// The whole checkpoint with this place.
    fn with(&self, place: &Value) -> Value {
        let mut whole = self.whole.clone();
        whole.undo = Some(place.clone());
        whole.to_value()
    }

    fn last(&self) -> MutexGuard<'_, Option<Value>> {
        self.last.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[async_trait]
impl CheckpointSaver for Within<'_> {
    async fn save(&self, place: Value) -> Result<(), Failure> {
        self.control.save.save(self.with(&place)).await?;
        *self.last() = Some(place);
        Ok(())
    }

    async fn note(&self, place: Value) -> Result<(), Failure> {
        self.control.save.note(self.with(&place)).await?;
        *self.last() = Some(place);
        Ok(())
    }
}
