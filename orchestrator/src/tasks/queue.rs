//! Submitting, reading and cancelling tasks.

use std::{sync::Arc, time::Duration};

use serde::{Deserialize, Serialize, de::DeserializeOwned};
use serde_json::Value;
use tidemark_catalog::ids::TaskId;
use tidemark_gateway::{Digest, Env};

use super::{Error, Kind, State, TaskRecord, keys, progress::StoredProgress};
use crate::coordinator::{Cmp, Coordinator, Kv, Op, WatchEvent, list_all};

/// Tasks as they are recorded in the coordinator; a cheap handle.
#[derive(Clone)]
pub struct Tasks {
    pub(super) coordinator: Arc<dyn Coordinator>,
    pub(super) env: Env,
}

/// A task to record.
#[derive(Clone, Debug)]
pub struct Submit {
    /// What it does.
    pub kind: Kind,
    /// What it works on, for people.
    pub subject: String,
    /// What was asked for: the same key is accepted only with the same body.
    pub body: Value,
    /// All the task needs to know.
    pub spec: Value,
    /// Tasks of one scope run one after another.
    pub exclusive: Option<String>,
}

/// A task and where it stands.
#[derive(Clone, Debug, PartialEq)]
pub struct Status {
    /// The record.
    pub task: TaskRecord,
    /// Progress, as last written.
    pub progress: StoredProgress,
}

/// What an idempotency key was used for.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct KeyUse {
    task: TaskId,
    body: Digest,
}

impl Tasks {
    /// Tasks of this coordinator.
    pub fn new(coordinator: Arc<dyn Coordinator>, env: Env) -> Self {
        Self { coordinator, env }
    }

    /// Records and queues a task; with a key that was used for the same body, returns the task of that time.
    ///
    /// # Errors
    /// [`Error::KeyReused`] where the key was used for another body; [`Error::Coordinator`], after which the same call is
    /// safe.
    pub async fn submit(&self, submit: Submit, key: &str) -> Result<TaskRecord, Error> {
        let task = self.new_record(&submit, key);
        let key_use = KeyUse { task: task.id.clone(), body: body_digest(&submit) };
        let key_name = keys::idempotency(key);
        let put = vec![
            Op::put(&key_name, encode(&key_use)),
            Op::put(keys::task(&task.id), encode(&task)),
            Op::put(keys::queue(task.due_millis, &task.id), ""),
        ];
        let when = vec![Cmp::CreateRevision(key_name.clone(), 0)];
        let outcome = self.txn(when, put, vec![Op::Get(key_name.clone())], "submit a task").await?;
        match outcome.gets.into_iter().flatten().next() {
            _ if outcome.succeeded => Ok(task),
            Some(kv) => self.submitted_before(&decode::<KeyUse>(&kv)?, &key_use, task).await,
            None => Ok(task),
        }
    }

    /// The task that this key made for this body before; `None` where the key is new.
    ///
    /// # Errors
    /// [`Error::KeyReused`], [`Error::Coordinator`], [`Error::Decode`].
    pub async fn earlier(&self, submit: &Submit, key: &str) -> Result<Option<TaskRecord>, Error> {
        let Some(kv) = self.read(&keys::idempotency(key)).await? else { return Ok(None) };
        let task = self.new_record(submit, key);
        let key_use = KeyUse { task: task.id.clone(), body: body_digest(submit) };
        self.submitted_before(&decode::<KeyUse>(&kv)?, &key_use, task).await.map(Some)
    }

    async fn submitted_before(&self, old: &KeyUse, new: &KeyUse, task: TaskRecord) -> Result<TaskRecord, Error> {
        if old.body != new.body {
            return Err(Error::KeyReused { task: old.task.to_string() });
        }
        Ok(self.get(&old.task).await?.map_or(task, |status| status.task))
    }

    fn new_record(&self, submit: &Submit, key: &str) -> TaskRecord {
        let now = self.env.now();
        TaskRecord {
            id: task_id(submit, key),
            kind: submit.kind,
            subject: submit.subject.clone(),
            spec: submit.spec.clone(),
            exclusive: submit.exclusive.clone(),
            state: State::Queued,
            attempt: 0,
            due_millis: self.now_millis(),
            created: now,
            finished: None,
            error: None,
            result: None,
        }
    }

    /// One task.
    ///
    /// # Errors
    /// [`Error::Coordinator`], [`Error::Decode`].
    pub async fn get(&self, id: &TaskId) -> Result<Option<Status>, Error> {
        let Some(kv) = self.read(&keys::task(id)).await? else { return Ok(None) };
        self.with_progress(decode(&kv)?).await.map(Some)
    }

    /// All tasks, newest first.
    ///
    /// # Errors
    /// [`Error::Coordinator`], [`Error::Decode`].
    pub async fn list(&self) -> Result<Vec<Status>, Error> {
        let (found, _) = list_all(&*self.coordinator, keys::TASKS).await.map_err(Error::coordinator("list tasks"))?;
        let mut tasks = Vec::with_capacity(found.len());
        for kv in &found {
            tasks.push(self.with_progress(decode(kv)?).await?);
        }
        tasks.sort_by(|a, b| (b.task.created, &b.task.id).cmp(&(a.task.created, &a.task.id)));
        Ok(tasks)
    }

    async fn with_progress(&self, task: TaskRecord) -> Result<Status, Error> {
        let stored = self.read(&keys::progress(&task.id)).await?;
        let progress = stored.map(|kv| decode(&kv)).transpose()?.unwrap_or_default();
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
        if !task.state.is_done() {
            self.ask_to_stop(&kv, task).await?;
        }
        self.get(id).await
    }

    /// Leaves the wish; a task that waits for a later attempt is made due, so that the wish is seen at once.
    async fn ask_to_stop(&self, seen: &Kv, mut task: TaskRecord) -> Result<(), Error> {
        let wish = Op::put(keys::cancel(&task.id), "");
        let when =
            vec![Cmp::ModRevision(seen.key.clone(), seen.mod_revision), Cmp::CreateRevision(keys::claim(&task.id), 0)];
        let waiting = Op::delete(keys::queue(task.due_millis, &task.id));
        task.due_millis = task.due_millis.min(self.now_millis());
        let due = Op::put(keys::queue(task.due_millis, &task.id), "");
        let then = vec![wish.clone(), waiting, due, Op::put(&seen.key, encode(&task))];
        self.txn(when, then, vec![wish], "cancel a task").await.map(drop)
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

/// Ids are deterministic: the same request with the same key has the same id. Lengths keep the fields apart.
fn task_id(submit: &Submit, key: &str) -> TaskId {
    let mut hasher = blake3::Hasher::new();
    for field in [submit.kind.as_str(), &submit.body.to_string(), key] {
        hasher.update(&(field.len() as u64).to_be_bytes());
        hasher.update(field.as_bytes());
    }
    let id = hex::encode(&hasher.finalize().as_bytes()[..16]);
    id.parse().expect("hexadecimal digits are a name")
}

fn body_digest(submit: &Submit) -> Digest {
    Digest::of(format!("{} {}", submit.kind.as_str(), submit.body).as_bytes())
}
