//! Reading and cancelling tasks.

use std::{sync::Arc, time::Duration};

use serde::{Serialize, de::DeserializeOwned};
use serde_json::Value;
use tidemark_catalog::ids::TaskId;
use tidemark_gateway::{Env, causes};

use super::{Error, State, TaskRecord, chunks, keys, progress::StoredProgress, submit::KeyUse};
use crate::coordinator::{Cmp, Coordinator, Kv, MAX_OPS, Op, WatchEvent, list_all};

/// Tasks as they are recorded in the coordinator; a cheap handle.
#[derive(Clone)]
pub struct Tasks {
    pub(super) coordinator: Arc<dyn Coordinator>,
    pub(super) env: Env,
}

/// A task and where it stands.
#[derive(Clone, Debug, PartialEq)]
pub struct Status {
    /// The record.
    pub task: TaskRecord,
    /// Progress, as last written.
    pub progress: StoredProgress,
}

impl Tasks {
    /// Tasks of this coordinator.
    pub fn new(coordinator: Arc<dyn Coordinator>, env: Env) -> Self {
        Self { coordinator, env }
    }

    /// One task.
    ///
    /// # Errors
    /// [`Error::Coordinator`], [`Error::Decode`].
    pub async fn get(&self, id: &TaskId) -> Result<Option<Status>, Error> {
        let Some(kv) = self.read(&keys::task(id)).await? else { return Ok(None) };
        self.with_progress(decode(&kv)?).await.map(Some)
    }

    /// Records of all tasks that can be read, newest first; [`Self::unreadable`] names the others.
    ///
    /// # Errors
    /// [`Error::Coordinator`].
    pub async fn list(&self) -> Result<Vec<TaskRecord>, Error> {
        let (found, _) = list_all(&*self.coordinator, keys::TASKS).await.map_err(Error::coordinator("list tasks"))?;
        let mut tasks = Vec::with_capacity(found.len());
        for kv in &found {
            match decode::<TaskRecord>(kv) {
                Ok(task) => tasks.push(task),
                Err(error) => tracing::warn!(error = %causes::joined(&error), "a task is passed over"),
            }
        }
        // Ids start with the time they were made at.
        tasks.sort_by(|a, b| b.id.cmp(&a.id));
        Ok(tasks)
    }

    /// Keys of tasks, of the queue and of requests that this program cannot read, with the reason: they are passed over.
    ///
    /// # Errors
    /// [`Error::Coordinator`].
    pub async fn unreadable(&self) -> Result<Vec<(String, String)>, Error> {
        let mut unreadable = Vec::new();
        for prefix in [keys::TASKS, keys::IDEMPOTENCY, keys::QUEUE] {
            let (found, _) = list_all(&*self.coordinator, prefix).await.map_err(Error::coordinator(prefix))?;
            let why = |kv: &Kv| match prefix {
                keys::TASKS => decode::<TaskRecord>(kv).err().map(|error| causes::joined(&error)),
                keys::IDEMPOTENCY => decode::<KeyUse>(kv).err().map(|error| causes::joined(&error)),
                _ => keys::parse_queue(&kv.key).is_none().then(|| "it is no entry of the queue".to_owned()),
            };
            unreadable.extend(found.iter().filter_map(|kv| Some((kv.key.clone(), why(kv)?))));
        }
        Ok(unreadable)
    }

    /// Ids of the tasks of a scope that are not done, by the time they are due; those too that cannot be read, whose scope nobody knows.
    ///
    /// # Errors
    /// [`Error::Coordinator`].
    pub async fn unfinished(&self, scope: &str) -> Result<Vec<TaskId>, Error> {
        self.queued(|task| task.is_none_or(|task| task.exclusive.as_deref() == Some(scope))).await
    }

    /// As [`Tasks::unfinished`], but for those that cannot be read: one of them would be in the way of every scope, for ever.
    ///
    /// # Errors
    /// [`Error::Coordinator`].
    pub(crate) async fn unfinished_known(&self, scope: &str) -> Result<Vec<TaskId>, Error> {
        self.queued(|task| task.is_some_and(|task| task.exclusive.as_deref() == Some(scope))).await
    }

    /// Ids of the queued tasks that are meant, by the time they are due; `None` is one that cannot be read.
    async fn queued(&self, is_meant: impl Fn(Option<TaskRecord>) -> bool) -> Result<Vec<TaskId>, Error> {
        let (queued, _) =
            list_all(&*self.coordinator, keys::QUEUE).await.map_err(Error::coordinator("list the queue"))?;
        let mut ids = Vec::new();
        for (_, id) in queued.iter().filter_map(|kv| keys::parse_queue(&kv.key)) {
            let Some(kv) = self.read(&keys::task(&id)).await? else { continue };
            if is_meant(decode(&kv).ok()) {
                ids.push(id);
            }
        }
        Ok(ids)
    }

    /// Whether a task does a part of another, and whether it found something away when it was last run; false of one that cannot be read.
    pub(super) async fn turn(&self, id: &TaskId) -> Result<(bool, bool), Error> {
        let task = self.read(&keys::task(id)).await?.and_then(|kv| decode::<TaskRecord>(&kv).ok());
        Ok(task.map_or((false, false), |task| (task.parent.is_some(), task.waiting.is_some())))
    }

    /// A task with its progress.
    ///
    /// # Errors
    /// [`Error::Coordinator`], [`Error::Decode`].
    pub async fn with_progress(&self, task: TaskRecord) -> Result<Status, Error> {
        let stored = self.read(&keys::progress(&task.id)).await?;
        let progress = stored.and_then(|kv| decode(&kv).ok()).unwrap_or_default();
        Ok(Status { task, progress })
    }

    /// The task once it is done, or as it is after `bound`.
    ///
    /// # Errors
    /// [`Error::Coordinator`], [`Error::Decode`].
    pub async fn wait(&self, id: &TaskId, bound: Duration) -> Result<Option<Status>, Error> {
        // However the wait ends, the answer is what is recorded then.
        match tokio::time::timeout(bound, self.until_done(id)).await {
            Ok(Err(error)) => Err(error),
            Ok(Ok(())) | Err(_) => self.get(id).await,
        }
    }

    async fn until_done(&self, id: &TaskId) -> Result<(), Error> {
        loop {
            let Some(kv) = self.read(&keys::task(id)).await? else { return Ok(()) };
            if decode::<TaskRecord>(&kv)?.state.is_done() {
                return Ok(());
            }
            let watch = self.coordinator.watch(&kv.key, kv.mod_revision + 1).await;
            let mut watch = watch.map_err(Error::coordinator(kv.key))?;
            let (WatchEvent::Changed(_) | WatchEvent::Resync) = watch.next().await.unwrap_or(WatchEvent::Resync);
        }
    }

    /// Asks a task to stop; one that is done stays as it is. Returns the task as it is now, `None` where there is none.
    ///
    /// # Errors
    /// [`Error::Coordinator`], [`Error::Decode`].
    pub async fn cancel(&self, id: &TaskId) -> Result<Option<Status>, Error> {
        let Some(kv) = self.read(&keys::task(id)).await? else { return Ok(None) };
        let task: TaskRecord = decode(&kv)?;
        if !task.state.is_done() && self.end_or_ask(&kv, task).await? {
            self.delete_checkpoints(id).await?;
        }
        self.get(id).await
    }

    /// Ends a task that nobody runs, whatever it waits for, and returns true; leaves the wish for one that runs.
    async fn end_or_ask(&self, seen: &Kv, mut task: TaskRecord) -> Result<bool, Error> {
        let wish = keys::cancel(&task.id);
        let when =
            vec![Cmp::ModRevision(seen.key.clone(), seen.mod_revision), Cmp::CreateRevision(keys::claim(&task.id), 0)];
        let waiting = Op::delete(keys::queue(task.due_millis, &task.id));
        (task.state, task.finished, task.error) = (State::Cancelled, Some(self.env.now()), None);
        let then = vec![waiting, Op::delete(&wish), Op::put(&seen.key, task.encode())];
        Ok(self.txn(when, then, vec![Op::put(wish, "")], "cancel a task").await?.succeeded)
    }

    /// Deletes all checkpoints of a task that is done.
    pub(super) async fn delete_checkpoints(&self, id: &TaskId) -> Result<(), Error> {
        self.delete_below(&keys::checkpoints(id)).await
    }

    /// Deletes all keys that start with `prefix`.
    pub(super) async fn delete_below(&self, prefix: &str) -> Result<(), Error> {
        let (found, _) = list_all(&*self.coordinator, prefix).await.map_err(Error::coordinator(prefix))?;
        for keys in found.chunks(MAX_OPS) {
            let ops = keys.iter().map(|kv| Op::delete(&kv.key)).collect();
            self.txn(vec![], ops, vec![], "delete what a task left").await?;
        }
        Ok(())
    }

    /// The specification of a task, from wherever it is.
    pub(super) async fn spec(&self, task: &TaskRecord) -> Result<Value, Error> {
        if !task.spec_beside {
            return Ok(task.spec.clone());
        }
        let prefix = keys::spec(&task.id);
        let found = list_all(&*self.coordinator, &prefix).await.map_err(Error::coordinator(prefix.clone()))?;
        let absent = || <serde_json::Error as serde::de::Error>::custom("its chunks are gone");
        let whole = chunks::joined(&found.0).ok_or_else(|| Error::Decode { key: prefix, source: absent() })?;
        decode(&whole)
    }

    pub(super) fn now_millis(&self) -> u64 {
        u64::try_from(self.env.now().as_millisecond()).unwrap_or(0)
    }

    pub(super) async fn read(&self, key: &str) -> Result<Option<Kv>, Error> {
        self.coordinator.get(key).await.map_err(Error::coordinator(key))
    }

    pub(super) async fn txn(
        &self,
        when: Vec<Cmp>,
        then: Vec<Op>,
        otherwise: Vec<Op>,
        subject: &str,
    ) -> Result<crate::coordinator::Outcome, Error> {
        self.coordinator.txn(when, then, otherwise).await.map_err(Error::coordinator(subject))
    }
}

/// The record of a key.
pub(super) fn decode<T: DeserializeOwned>(kv: &Kv) -> Result<T, Error> {
    serde_json::from_slice(&kv.value).map_err(|source| Error::Decode { key: kv.key.clone(), source })
}

/// Bytes of a record.
pub(super) fn encode(record: &impl Serialize) -> Vec<u8> {
    serde_json::to_vec(record).expect("records are plain data with text keys")
}
