//! Tasks that do a part of another: any worker may claim them. The one that they are a part of waits for them, and what they give
//! counts only where it is made use of there.

use serde_json::Value;
use tidemark_catalog::ids::TaskId;

use super::{Checkpoints, Error, Kind, Submit, TaskRecord, slot::slot_task_id, submit::beside};

/// A part of a task, to be done by whoever claims it.
#[derive(Clone, Debug)]
pub(crate) struct Part {
    /// What it does.
    pub(crate) kind: Kind,
    /// What it works on, for people.
    pub(crate) subject: String,
    /// All that it needs to know.
    pub(crate) spec: Value,
}

impl Checkpoints {
    /// Queues a part of the task, and says true; with a name that was used before, by this run or an earlier one, gives the task of that
    /// time, and says false.
    ///
    /// # Errors
    /// [`Error::ClaimLost`] where another run has the task; [`Error::Size`] of a specification above 1 MiB; [`Error::Coordinator`].
    pub(crate) async fn submit_part(&self, name: &str, part: Part) -> Result<(TaskId, bool), Error> {
        let (tasks, of) = (self.claim().tasks(), self.claim().id());
        let at = u64::try_from(self.task().created.as_millisecond()).unwrap_or(0);
        let id = slot_task_id(&format!("{of}/{name}"), at);
        if tasks.exists(&id).await? {
            return Ok((id, false));
        }
        let Part { kind, subject, spec } = part;
        let submit = Submit { kind, subject, body: Value::Null, spec, exclusive: None };
        let record = TaskRecord { id: id.clone(), parent: Some(of.clone()), ..tasks.new_record(&submit) };
        let (record, beside) = beside(record)?;
        let mut ops = record.queued();
        ops.extend(beside);
        self.claim().write(ops, "submit a part of a task").await?;
        Ok((id, true))
    }
}
