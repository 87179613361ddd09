//! Checkpoints of a running task: named parts, each saved as a whole.
//!
//! A part larger than a value of the coordinator is cut into chunks, which are written in one transaction; one that is larger than
//! that is a document in the store of the task, and the coordinator holds its reference.

use std::sync::{
    Arc, OnceLock,
    atomic::{AtomicBool, Ordering},
};

use async_trait::async_trait;
use serde::{Serialize, de::DeserializeOwned};
use serde_json::Value;
use tidemark_catalog::ids::FencingToken;
use tidemark_listener_core::{failure, restorer::CheckpointSaver};

use super::{
    Error, Kept, Shelf, TaskRecord,
    chunks::{self, WHOLE_BYTES},
    claim::Claim,
    keys, queue,
};
use crate::coordinator::{Kv, Op, list_all};

/// Checkpoints of one run; saving compares its claim.
#[derive(Clone)]
pub struct Checkpoints {
    claim: Claim,
    /// The task's record from its first progress in this run on: attempts are counted anew even if the run is killed later.
    progress: Arc<TaskRecord>,
    progressed: Arc<AtomicBool>,
    /// Where the run keeps what the coordinator does not take, from when it knows its store on.
    shelf: Arc<OnceLock<Shelf>>,
}

/// What is saved of a part.
struct Saved {
    /// Its keys: chunks, or a reference.
    keys: Vec<Kv>,
    /// The reference.
    kept: Option<Kept>,
}

impl Saved {
    /// True where it is this value.
    fn is(&self, json: &[u8]) -> bool {
        match &self.kept {
            Some(kept) => kept.is(json),
            None => self.keys.iter().flat_map(|kv| &kv.value).eq(json),
        }
    }
}

impl Checkpoints {
    /// Of a run of a task, as it was claimed.
    pub(super) fn new(claim: Claim, task: &TaskRecord) -> Self {
        let progress = Arc::new(task.clone().after_progress());
        Self { claim, progress, progressed: Arc::default(), shelf: Arc::default() }
    }

    /// Says where what the coordinator does not take is kept: to be called before the first part is loaded that may be large. Only the
    /// first call of a run counts.
    pub fn keep_at(&self, shelf: Shelf) {
        self.shelf.get_or_init(|| shelf);
    }

    /// The claim of the run.
    pub(super) fn claim(&self) -> &Claim {
        &self.claim
    }

    /// The task as it was claimed, but for what went wrong before.
    pub(super) fn task(&self) -> &TaskRecord {
        &self.progress
    }

    /// True once something new was saved by this run.
    pub(super) fn progressed(&self) -> bool {
        self.progressed.load(Ordering::SeqCst)
    }

    /// A part as it was last saved, by this or an earlier run.
    ///
    /// # Errors
    /// [`Error::Coordinator`], [`Error::Decode`]; [`Error::Shelf`] where it is in a store and cannot be had from there.
    pub async fn load<T: DeserializeOwned>(&self, part: &str) -> Result<Option<T>, Error> {
        let Saved { keys, kept } = self.saved(part).await?;
        let Some(whole) = chunks::joined(&keys) else { return Ok(None) };
        let Some(kept) = kept else { return queue::decode(&whole).map(Some) };
        let shelf = self.shelf.get().ok_or_else(|| self.too_large(part, WHOLE_BYTES + 1))?;
        let value = shelf.get(self.claim.id(), part, &kept).await.map_err(Error::shelf)?;
        serde_json::from_value(value).map(Some).map_err(|source| Error::Decode { key: kept.key().to_owned(), source })
    }

    /// Saves a part, replacing what it was; durable when it returns. A part that is another than before is progress: attempts are
    /// counted anew.
    ///
    /// # Errors
    /// [`Error::ClaimLost`] where another run has the task; [`Error::Coordinator`]; of a part above 1 MiB [`Error::Shelf`] where the
    /// store does not take it, [`Error::Size`] where the run has none.
    pub async fn save(&self, part: &str, value: &impl Serialize) -> Result<(), Error> {
        let (mut ops, same) = self.ops(part, value).await?;
        if !same && !self.progressed() {
            ops.push(Op::put(keys::task(self.claim.id()), self.progress.encode()));
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

    /// A token above every one that was given before this call: what is claimed later is above it, what was claimed earlier
    /// below.
    ///
    /// # Errors
    /// [`Error::ClaimLost`] where another run has the task, or the generation rose; [`Error::Coordinator`].
    pub async fn later_token(&self) -> Result<FencingToken, Error> {
        self.claim.later_token().await
    }

    /// What saves a part, and whether it was the same before.
    async fn ops(&self, part: &str, value: &impl Serialize) -> Result<(Vec<Op>, bool), Error> {
        let json = queue::encode(value);
        let old = self.saved(part).await?;
        if old.is(&json) {
            return Ok((Vec::new(), true));
        }
        let mut ops = match json.len() {
            0..=WHOLE_BYTES => chunks::puts(&keys::chunks(self.claim.id(), part), &json),
            _ => vec![Op::put(keys::kept(self.claim.id(), part), queue::encode(&self.keep(part, &json).await?))],
        };
        let written: Vec<_> = ops.iter().map(|op| op.key().to_owned()).collect();
        ops.extend(old.keys.into_iter().filter(|kv| !written.contains(&kv.key)).map(|kv| Op::Delete(kv.key)));
        Ok((ops, false))
    }

    /// Keeps a value in the store of this run.
    pub(super) async fn keep(&self, part: &str, json: &[u8]) -> Result<Kept, Error> {
        let shelf = self.shelf.get().ok_or_else(|| self.too_large(part, json.len()))?;
        shelf.put(self.claim.id(), self.claim.token(), part, json).await.map_err(Error::shelf)
    }

    fn too_large(&self, part: &str, size: usize) -> Error {
        let (task, part) = (self.claim.id().to_string(), part.to_owned());
        Error::Size { task, part, size, limit: WHOLE_BYTES }
    }

    async fn saved(&self, part: &str) -> Result<Saved, Error> {
        let prefix = keys::chunks(self.claim.id(), part);
        let found = list_all(&*self.claim.tasks().coordinator, &prefix).await;
        let (keys, _) = found.map_err(Error::coordinator(prefix))?;
        let reference = keys::kept(self.claim.id(), part);
        let kept = keys.iter().find(|kv| kv.key == reference).map(queue::decode).transpose()?;
        Ok(Saved { keys, kept })
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
    let retryable = match error {
        Error::Size { .. } => false,
        Error::Shelf(failure) => failure.retryable,
        _ => true,
    };
    failure::Failure { retryable, ..failure::Failure::new("TM-TASK-0006", tidemark_gateway::causes::joined(error)) }
}
