//! Checkpoints of a running task: named parts, each saved as a whole.
//!
//! A part larger than a value of the coordinator is cut into chunks, which are written in one transaction.

use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};

use async_trait::async_trait;
use serde::{Serialize, de::DeserializeOwned};
use serde_json::Value;
use tidemark_listener_core::{failure, restorer::CheckpointSaver};

use super::{Error, TaskRecord, claim::Claim, keys, queue};
use crate::coordinator::{Kv, Op, list_all};

/// Bytes of a chunk.
const CHUNK_BYTES: usize = 60 << 10;

/// Largest part, bytes: a transaction of the coordinator's larger backends holds 1.5 MiB.
const PART_BYTES: usize = 1 << 20;

/// Checkpoints of one run; saving compares its claim.
#[derive(Clone)]
pub struct Checkpoints {
    claim: Claim,
    /// The task's record from its first progress in this run on: attempts are counted anew even if the run is killed later.
    progress: Arc<TaskRecord>,
    progressed: Arc<AtomicBool>,
}

impl Checkpoints {
    /// Of a run of a task, as it was claimed.
    pub(super) fn new(claim: Claim, task: &TaskRecord) -> Self {
        Self { claim, progress: Arc::new(task.clone().after_progress()), progressed: Arc::default() }
    }

    /// True once something new was saved by this run.
    pub(super) fn progressed(&self) -> bool {
        self.progressed.load(Ordering::SeqCst)
    }

    /// A part as it was last saved, by this or an earlier run.
    ///
    /// # Errors
    /// [`Error::Coordinator`], [`Error::Decode`].
    pub async fn load<T: DeserializeOwned>(&self, part: &str) -> Result<Option<T>, Error> {
        let chunks = self.chunks(part).await?;
        let Some(first) = chunks.first() else { return Ok(None) };
        let (key, value) = (first.key.clone(), chunks.iter().flat_map(|kv| &kv.value).copied().collect());
        let whole = Kv { key, value, ..first.clone() };
        queue::decode(&whole).map(Some)
    }

    /// Saves a part, replacing what it was; durable when it returns. A part that is another than before is progress: attempts are
    /// counted anew.
    ///
    /// # Errors
    /// [`Error::ClaimLost`] where another run has the task; [`Error::CheckpointSize`] above 1 MiB; [`Error::Coordinator`].
    pub async fn save(&self, part: &str, value: &impl Serialize) -> Result<(), Error> {
        let (mut ops, same) = self.ops(part, value).await?;
        if !same && !self.progressed() {
            ops.push(Op::put(keys::task(self.claim.id()), queue::encode(&*self.progress)));
        }
        self.claim.write(ops, "save a checkpoint").await?;
        self.progressed.fetch_or(!same, Ordering::SeqCst);
        Ok(())
    }

    /// As [`save`](Self::save), of what every run writes anew: it is no progress.
    ///
    /// # Errors
    /// As [`save`](Self::save).
    pub async fn note(&self, part: &str, value: &impl Serialize) -> Result<(), Error> {
        let (ops, _) = self.ops(part, value).await?;
        self.claim.write(ops, "save a checkpoint").await
    }

    /// What saves a part, and whether it was the same before.
    async fn ops(&self, part: &str, value: &impl Serialize) -> Result<(Vec<Op>, bool), Error> {
        let bytes = queue::encode(value);
        if bytes.len() > PART_BYTES {
            let (task, part) = (self.claim.id().to_string(), part.to_owned());
            return Err(Error::CheckpointSize { task, part, size: bytes.len(), limit: PART_BYTES });
        }
        let old = self.chunks(part).await?;
        let same = old.iter().flat_map(|kv| &kv.value).eq(&bytes);
        let name = |index: usize| format!("{}{index:04}", keys::chunks(self.claim.id(), part));
        let mut ops: Vec<Op> =
            bytes.chunks(CHUNK_BYTES).enumerate().map(|(index, chunk)| Op::put(name(index), chunk)).collect();
        ops.extend(old.into_iter().skip(ops.len()).map(|kv| Op::Delete(kv.key)));
        Ok((ops, same))
    }

    async fn chunks(&self, part: &str) -> Result<Vec<Kv>, Error> {
        let prefix = keys::chunks(self.claim.id(), part);
        let found = list_all(&*self.claim.tasks().coordinator, &prefix).await;
        Ok(found.map_err(Error::coordinator(prefix))?.0)
    }
}

/// The part that restorers' own checkpoints are kept in.
pub(crate) const RESTORER_PART: &str = "driver";

#[async_trait]
impl CheckpointSaver for Checkpoints {
    async fn save(&self, checkpoint: Value) -> Result<(), failure::Failure> {
        self.save(RESTORER_PART, &checkpoint).await.map_err(|error| unsaved(&error))
    }

    async fn note(&self, checkpoint: Value) -> Result<(), failure::Failure> {
        self.note(RESTORER_PART, &checkpoint).await.map_err(|error| unsaved(&error))
    }
}

fn unsaved(error: &Error) -> failure::Failure {
    let retryable = !matches!(error, Error::CheckpointSize { .. });
    failure::Failure { retryable, ..failure::Failure::new("TM-TASK-0006", tidemark_gateway::causes::joined(error)) }
}
