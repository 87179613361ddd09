//! Resuming a task that failed, where its checkpoints are.

use tidemark_catalog::ids::TaskId;

use super::{Error, State, Status, TaskRecord, Tasks, keys, queue::decode};
use crate::coordinator::{Cmp, Op};

impl Tasks {
    /// Queues a failed task again, to go on from its checkpoints; `None` where there is no such task.
    ///
    /// # Errors
    /// [`Error::NotResumable`] where it did not fail or saved no checkpoint; [`Error::Coordinator`], [`Error::Decode`].
    pub async fn resume(&self, id: &TaskId) -> Result<Option<Status>, Error> {
        let Some(kv) = self.read(&keys::task(id)).await? else { return Ok(None) };
        let task: TaskRecord = decode(&kv)?;
        let refuse = |reason: String| Error::NotResumable { task: id.to_string(), reason };
        if task.state != State::Failed {
            return Err(refuse(format!("it is {}", task.state.as_str())));
        }
        if !self.has_checkpoints(id).await? {
            return Err(refuse("it failed before it had done anything that is kept; start it anew".to_owned()));
        }
        let due_millis = self.now_millis();
        let task = TaskRecord {
            state: State::Queued,
            finished: None,
            result: None,
            cut: None,
            due_millis,
            ..task.after_progress()
        };
        let when = vec![Cmp::ModRevision(kv.key.clone(), kv.mod_revision), Cmp::CreateRevision(keys::claim(id), 0)];
        let then = vec![
            Op::put(&kv.key, task.encode()),
            Op::delete(keys::cancel(id)),
            Op::put(keys::queue(due_millis, id), ""),
        ];
        if !self.txn(when, then, vec![], "resume a task").await?.succeeded {
            return Err(refuse("somebody else resumed it".to_owned()));
        }
        self.get(id).await
    }

    async fn has_checkpoints(&self, id: &TaskId) -> Result<bool, Error> {
        let found = self.coordinator.list(&keys::checkpoints(id), 1, None).await;
        Ok(!found.map_err(Error::coordinator("list checkpoints"))?.0.is_empty())
    }
}
