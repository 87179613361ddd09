//! An undo within a restore: its own place goes into the restore's checkpoint.

use std::sync::{Mutex, PoisonError};

use async_trait::async_trait;
use serde_json::Value;
use tidemark_listener_core::driver::{CheckpointSaver, Error, RestoreControl, RestoreReport};
use tidemark_records::restore::checkpoint::Checkpoint;

use crate::undo::{self, UndoObject};

/// Undoes an object from where the checkpoint says; afterwards, error or not, the checkpoint says where it stands.
///
/// # Errors
/// `TM-REST-0201` where no instant was fixed; else the undo's own.
pub(super) async fn run(
    object: &UndoObject<'_>,
    control: &RestoreControl,
    checkpoint: &mut Checkpoint,
) -> Result<RestoreReport, Error> {
    let no_instant = || Error::new("TM-REST-0201", format!("{}: no instant was fixed for it", object.planned.target));
    let instant = control.instant.ok_or_else(no_instant)?;
    let saved = checkpoint.undo.clone();
    let within = Within { control, whole: checkpoint.clone(), last: Mutex::new(saved.clone()) };
    let outcome = undo::run(object, instant, saved, &within).await;
    checkpoint.undo = within.last.into_inner().unwrap_or_else(PoisonError::into_inner);
    outcome
}

/// Saves the undo's place as part of the restore's checkpoint.
struct Within<'a> {
    control: &'a RestoreControl,
    whole: Checkpoint,
    last: Mutex<Option<Value>>,
}

#[async_trait]
impl CheckpointSaver for Within<'_> {
    async fn save(&self, checkpoint: Value) -> Result<(), Error> {
        let mut whole = self.whole.clone();
        whole.undo = Some(checkpoint.clone());
        self.control.save.save(whole.to_value()).await?;
        *self.last.lock().unwrap_or_else(PoisonError::into_inner) = Some(checkpoint);
        Ok(())
    }
}
