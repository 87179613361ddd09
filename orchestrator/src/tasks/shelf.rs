//! Documents in a store for what the coordinator does not take: large checkpoints, and results of which it keeps a summary.
//!
//! A document is named by its task and by the token of the claim that wrote it (`docs/format.md`, "Task part"), so that collection
//! leaves it alone while the task is alive and takes it like all else that the task staged. Nothing depends on it once the task
//! is done: of a result the summary stays.

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};

use futures::FutureExt as _;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use tidemark_catalog::{
    document::{self, Document},
    ids::{FencingToken, SourceId, TaskId},
    layout,
    stored::StoredRef,
};
use tidemark_gateway::Digest;

use crate::{
    failure::Failure,
    stores::{OpenStore, Stores},
};

/// A document of a task.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct TaskPart {
    /// The task.
    task: TaskId,
    /// What of it: the name of a checkpoint, or `result`.
    part: String,
    /// The value.
    value: Value,
}

impl Document for TaskPart {
    const KIND: &'static str = "task-part";
}

/// A document that a task keeps in a store.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Kept {
    /// The repository that it is in.
    repository: String,
    /// Where in it.
    stored: StoredRef,
    /// BLAKE3 of the value's JSON.
    json: Digest,
}

/// Where a run keeps what the coordinator does not take.
#[derive(Clone)]
pub struct Shelf {
    stores: Stores,
    store: OpenStore,
    source: SourceId,
    next: Arc<AtomicU64>,
}

impl Shelf {
    /// Below what tasks stage of `source` in `store`.
    pub fn new(stores: &Stores, store: &OpenStore, source: &SourceId) -> Self {
        Self { stores: stores.clone(), store: store.clone(), source: source.clone(), next: Arc::default() }
    }

    /// Keeps a value under a new name; `json` are its bytes.
    pub(super) async fn put(
        &self,
        task: &TaskId,
        token: FencingToken,
        part: &str,
        json: &[u8],
    ) -> Result<Kept, Failure> {
        let value = serde_json::from_slice(json)
            .map_err(|error| Failure::permanent("TM-TASK-0005", format!("{part} of task {task}: {error}")))?;
        self.stores.reach(&self.store, token).boxed().await?;
        let path = layout::task_part(&self.source, task, token, self.next.fetch_add(1, Ordering::Relaxed));
        let document = TaskPart { task: task.clone(), part: part.to_owned(), value };
        let stored = document::write(&self.store.objects, &path, &document).boxed().await?;
        Ok(Kept { repository: self.store.record.repository.clone(), stored, json: Digest::of(json) })
    }

    /// A value that this task keeps.
    pub(super) async fn get(&self, task: &TaskId, part: &str, kept: &Kept) -> Result<Value, Failure> {
        if kept.repository == self.store.record.repository {
            return kept.read_from(&self.store, task, part).await;
        }
        kept.read(&self.stores, task, part).await
    }
}

impl Kept {
    /// True where the value is this one.
    pub(super) fn is(&self, json: &[u8]) -> bool {
        self.json == Digest::of(json)
    }

    /// Its name in the store.
    pub fn key(&self) -> &str {
        &self.stored.key
    }

    /// The value, from whichever registered store holds the repository.
    ///
    /// # Errors
    /// `TM-TASK-0010` where it is gone or damaged, or no store is registered that holds it; those of a store that does not answer.
    pub async fn read(&self, stores: &Stores, task: &TaskId, part: &str) -> Result<Value, Failure> {
        let records = stores.records().await?;
        let Some(record) = records.into_iter().find(|record| record.repository == self.repository) else {
            let words = format!("{part} of task {task} is in repository {}, which is not registered", self.repository);
            return Err(Failure::permanent("TM-TASK-0010", words));
        };
        let store = stores.same_soon(record).await?;
        self.read_from(&store, task, part).await
    }

    async fn read_from(&self, store: &OpenStore, task: &TaskId, part: &str) -> Result<Value, Failure> {
        let read = document::read::<TaskPart>(&store.objects, &self.stored).boxed().await;
        match read {
            Ok(found) if found.task == *task && found.part == part => Ok(found.value),
            Ok(found) => {
                let words = format!("{} is {} of task {}", self.stored.key, found.part, found.task);
                Err(Failure::permanent("TM-TASK-0010", words))
            }
            Err(error) if error.is_of_the_store() => Err(error.into()),
            Err(error) => {
                let words = format!("{part} of task {task} is lost: {}", tidemark_gateway::causes::joined(&error));
                Err(Failure::permanent("TM-TASK-0010", words).with_hint("start it anew"))
            }
        }
    }
}
