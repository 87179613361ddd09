//! Tasks that a slot of a schedule makes: their ids are the caller's, so that a slot makes one task however often it is tried.

use std::collections::HashMap;

use tidemark_catalog::ids::TaskId;
use tidemark_gateway::Digest;

use super::{Error, Kind, Submit, TaskRecord, Tasks, keys, queue::decode, submit::beside};
use crate::coordinator::{Cmp, Op, list_all};

/// The id of a slot's task: a UUID of version 7 whose time is the slot's and whose other bits are a digest of what names the slot,
/// so that ids go on to sort by time.
pub(crate) fn slot_task_id(slot: &str, at_millis: u64) -> TaskId {
    let digest = Digest::of(slot.as_bytes());
    let random: [u8; 10] = std::array::from_fn(|byte| digest.as_bytes()[byte]);
    let id = uuid::Builder::from_unix_timestamp_millis(at_millis, &random).into_uuid().simple().to_string();
    id.parse().expect("hexadecimal digits are a name")
}

impl Tasks {
    /// Records and queues a task under this id and does `then`, as one, iff all of `when` hold and no task has the id; `None`
    /// where they do not.
    ///
    /// # Errors
    /// [`Error::Coordinator`], after which it may have happened or not; [`Error::Size`] for a specification that is too large.
    pub(crate) async fn submit_as(
        &self,
        id: &TaskId,
        submit: &Submit,
        mut when: Vec<Cmp>,
        mut then: Vec<Op>,
    ) -> Result<Option<TaskRecord>, Error> {
        let (task, spec) = beside(TaskRecord { id: id.clone(), ..self.new_record(submit) })?;
        then.extend(spec);
        when.push(Cmp::CreateRevision(keys::task(id), 0));
        then.extend(task.queued());
        let succeeded = self.txn(when, then, vec![], "submit the task of a slot").await?.succeeded;
        Ok(succeeded.then_some(task))
    }

    /// True where there is a task of this id.
    ///
    /// # Errors
    /// [`Error::Coordinator`].
    pub(crate) async fn exists(&self, id: &TaskId) -> Result<bool, Error> {
        Ok(self.read(&keys::task(id)).await?.is_some())
    }

    /// The protect tasks that are not done, one for each subject. What cannot be read is left out.
    ///
    /// # Errors
    /// [`Error::Coordinator`].
    pub(crate) async fn unfinished_protects(&self) -> Result<HashMap<String, TaskId>, Error> {
        let (queued, _) =
            list_all(&*self.coordinator, keys::QUEUE).await.map_err(Error::coordinator("list the queue"))?;
        let mut found = HashMap::new();
        for (_, id) in queued.iter().filter_map(|kv| keys::parse_queue(&kv.key)) {
            let Some(kv) = self.read(&keys::task(&id)).await? else { continue };
            match decode::<TaskRecord>(&kv) {
                Ok(task) if task.kind == Kind::Protect && !task.state.is_done() => {
                    found.insert(task.subject, id);
                }
                _ => {}
            }
        }
        Ok(found)
    }

    /// The records of all tasks that can be read, in no order.
    ///
    /// # Errors
    /// [`Error::Coordinator`].
    pub(crate) async fn readable(&self) -> Result<Vec<TaskRecord>, Error> {
        let (found, _) = list_all(&*self.coordinator, keys::TASKS).await.map_err(Error::coordinator("list tasks"))?;
        Ok(found.iter().filter_map(|kv| decode(kv).ok()).collect())
    }
}
