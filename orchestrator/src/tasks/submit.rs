//! Submitting tasks: a caller's key makes one task, however often the call is repeated.
//!
//! A key is kept for 24 hours; then it makes a new task. Until then the task it made is kept too.

use serde::{Deserialize, Serialize};
use serde_json::Value;
use tidemark_catalog::ids::TaskId;
use tidemark_gateway::Digest;

use super::{
    Error, Kind, State, TaskRecord, Tasks, chunks, keys, prune,
    queue::{decode, encode},
    record::SPEC_BYTES,
};
use crate::coordinator::{Cmp, Kv, Op};

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

/// What an idempotency key was used for.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct KeyUse {
    pub(super) task: TaskId,
    pub(super) body: Digest,
    /// When, ms since 1970.
    pub(super) at_millis: u64,
}

impl Tasks {
    /// Records and queues a task; with a key that was used for the same body, returns the task of that time.
    ///
    /// # Errors
    /// [`Error::KeyReused`] where the key was used for another body; [`Error::Size`] of a specification above 1 MiB;
    /// [`Error::Coordinator`], after which the same call is safe.
    pub async fn submit(&self, submit: Submit, key: &str) -> Result<TaskRecord, Error> {
        let key_name = keys::idempotency(key);
        loop {
            let known = self.read(&key_name).await?;
            if let Some(task) = self.made_before(known.as_ref(), &submit.body).await? {
                return Ok(task);
            }
            let (task, spec) = beside(self.new_record(&submit))?;
            let key_use = KeyUse { task: task.id.clone(), body: digest(&submit.body), at_millis: task.due_millis };
            let put = [Op::put(&key_name, encode(&key_use))].into_iter().chain(task.queued()).chain(spec).collect();
            // Another call may have taken the key meanwhile: then its task is the answer.
            let when = vec![Cmp::ModRevision(key_name.clone(), known.map_or(0, |kv| kv.mod_revision))];
            if self.txn(when, put, vec![], "submit a task").await?.succeeded {
                return Ok(task);
            }
        }
    }

    /// The task that this key made for this body before; `None` where the key is new, or older than keys are kept.
    ///
    /// # Errors
    /// [`Error::KeyReused`], [`Error::Coordinator`], [`Error::Decode`].
    pub async fn earlier(&self, body: &Value, key: &str) -> Result<Option<TaskRecord>, Error> {
        let known = self.read(&keys::idempotency(key)).await?;
        self.made_before(known.as_ref(), body).await
    }

    async fn made_before(&self, known: Option<&Kv>, body: &Value) -> Result<Option<TaskRecord>, Error> {
        let Some(kv) = known else { return Ok(None) };
        let old: KeyUse = decode(kv)?;
        if prune::key_is_over(&old, self.now_millis()) {
            return Ok(None);
        }
        if old.body != digest(body) {
            return Err(Error::KeyReused { task: old.task.to_string() });
        }
        Ok(self.get(&old.task).await?.map(|status| status.task))
    }

    pub(super) fn new_record(&self, submit: &Submit) -> TaskRecord {
        let id = self.env.id().simple().to_string();
        TaskRecord {
            id: id.parse().expect("hexadecimal digits are a name"),
            kind: submit.kind,
            parent: None,
            subject: submit.subject.clone(),
            spec: submit.spec.clone(),
            spec_beside: false,
            exclusive: submit.exclusive.clone(),
            state: State::Queued,
            attempt: 0,
            lost_runs: 0,
            failures: 0,
            waiting: None,
            due_millis: self.now_millis(),
            created: self.env.now(),
            finished: None,
            error: None,
            result: None,
            cut: None,
        }
    }
}

/// The record, and what puts its specification beside it where that is too large.
pub(super) fn beside(task: TaskRecord) -> Result<(TaskRecord, Vec<Op>), Error> {
    let spec = encode(&task.spec);
    match spec.len() {
        0..=SPEC_BYTES => Ok((task, Vec::new())),
        size if size > chunks::WHOLE_BYTES => {
            let (task, part) = (task.id.to_string(), "specification".to_owned());
            Err(Error::Size { task, part, size, limit: chunks::WHOLE_BYTES })
        }
        _ => {
            let ops = chunks::puts(&keys::spec(&task.id), &spec);
            Ok((TaskRecord { spec: Value::Null, spec_beside: true, ..task }, ops))
        }
    }
}

/// Digest of what was asked for; bodies name their kind.
fn digest(body: &Value) -> Digest {
    Digest::of(body.to_string().as_bytes())
}
