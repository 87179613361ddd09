//! Claims: the right of one run to move a task on.

use tidemark_catalog::ids::{FencingToken, TaskId};

use super::{Error, State, TaskRecord, Tasks, keys, queue};
use crate::coordinator::{Cmp, LeaseId, Op};

/// The claim of a running task; every write through it compares that it still stands.
#[derive(Clone)]
pub(super) struct Claim {
    tasks: Tasks,
    id: TaskId,
    exclusive: Option<String>,
    token: FencingToken,
}

/// Where a run leaves its task.
#[derive(Clone, Copy, Debug)]
pub(super) enum Leave {
    /// Done.
    Done,
    /// To be claimed again when it is due.
    Requeued,
}

impl Claim {
    /// Claims a queued task; `None` where another run has it or its scope, or it is done, or where this process missed that the
    /// generation rose: its token would order it below claims that it comes after.
    pub(super) async fn take(
        tasks: &Tasks,
        id: &TaskId,
        lease: LeaseId,
        node: &str,
    ) -> Result<Option<(Self, TaskRecord)>, Error> {
        loop {
            let generation = tasks.coordinator.generation();
            match Self::take_in(generation, tasks, id, lease, node).await? {
                None if tasks.coordinator.generation() != generation => {}
                taken => return Ok(taken),
            }
        }
    }

    /// Claims in this generation, or not at all.
    async fn take_in(
        generation: u64,
        tasks: &Tasks,
        id: &TaskId,
        lease: LeaseId,
        node: &str,
    ) -> Result<Option<(Self, TaskRecord)>, Error> {
        let Some(kv) = tasks.read(&keys::task(id)).await? else { return Ok(None) };
        let mut task: TaskRecord = queue::decode(&kv)?;
        if task.state.is_done() {
            return Ok(None);
        }
        task.lost_runs += u32::from(task.state == State::Running);
        (task.state, task.attempt) = (State::Running, task.attempt + 1);
        let (mut when, then) = taking(&task, (kv.key, kv.mod_revision), lease, node);
        when.push(Cmp::Generation(generation));
        let outcome = tasks.txn(when, then, vec![Op::Get(keys::claim(id))], "claim a task").await?;
        if !outcome.succeeded {
            // An earlier answer was lost: the claim is this process's own, but nobody works under it.
            if let Some(own) = outcome.gets.into_iter().flatten().next().filter(|kv| kv.lease == Some(lease)) {
                let (key, revision) = (own.key, own.mod_revision);
                let free = free(&task).into_iter().chain([Op::delete(&key)]).collect();
                tasks.txn(vec![Cmp::ModRevision(key, revision)], free, vec![], "free a claim").await?;
            }
            return Ok(None);
        }
        let token = FencingToken { generation, revision: outcome.revision };
        let claim = Self { tasks: tasks.clone(), id: id.clone(), exclusive: task.exclusive.clone(), token };
        Ok(Some((claim, task)))
    }

    /// Orders this run among all runs.
    pub(super) fn token(&self) -> FencingToken {
        self.token
    }

    pub(super) fn id(&self) -> &TaskId {
        &self.id
    }

    pub(super) fn tasks(&self) -> &Tasks {
        &self.tasks
    }

    /// Writes iff the claim stands.
    pub(super) async fn write(&self, ops: Vec<Op>, subject: &str) -> Result<(), Error> {
        let when = vec![Cmp::ModRevision(keys::claim(&self.id), self.token.revision)];
        let outcome = self.tasks.txn(when, ops, vec![], subject).await?;
        if outcome.succeeded { Ok(()) } else { Err(Error::ClaimLost { task: self.id.to_string() }) }
    }

    /// A token above every one that was given before this call, also above this claim's own; the claim stands when it is given.
    pub(super) async fn later_token(&self) -> Result<FencingToken, Error> {
        let generation = self.token.generation;
        let when = vec![Cmp::ModRevision(keys::claim(&self.id), self.token.revision), Cmp::Generation(generation)];
        let put = vec![Op::put(keys::LATER, self.id.as_str())];
        let outcome = self.tasks.txn(when, put, vec![], "take a later token").await?;
        let token = FencingToken { generation, revision: outcome.revision };
        if outcome.succeeded { Ok(token) } else { Err(Error::ClaimLost { task: self.id.to_string() }) }
    }

    /// Records where the task stands and gives up the claim, as one. `due_before` names its queue entry.
    pub(super) async fn leave(&self, task: &TaskRecord, due_before: u64, leave: Leave) -> Result<(), Error> {
        let mut ops = vec![
            Op::delete(keys::queue(due_before, &self.id)),
            Op::put(keys::task(&self.id), task.encode()),
            Op::delete(keys::claim(&self.id)),
        ];
        ops.extend(self.exclusive.as_ref().map(|scope| Op::delete(keys::exclusive(scope))));
        ops.push(match leave {
            Leave::Done => Op::delete(keys::cancel(&self.id)),
            Leave::Requeued => Op::put(keys::queue(task.due_millis, &self.id), ""),
        });
        self.write(ops, "end a run").await
    }

    /// True where somebody asked the task to stop.
    pub(super) async fn is_cancel_asked(&self) -> Result<bool, Error> {
        Ok(self.tasks.read(&keys::cancel(&self.id)).await?.is_some())
    }
}

/// Conditions and operations of a claim.
fn taking(task: &TaskRecord, seen: (String, u64), lease: LeaseId, node: &str) -> (Vec<Cmp>, Vec<Op>) {
    let claim = keys::claim(&task.id);
    let mut when = vec![Cmp::CreateRevision(claim.clone(), 0), Cmp::ModRevision(seen.0.clone(), seen.1)];
    let mut then = vec![Op::put_leased(claim, node, lease), Op::put(seen.0, task.encode())];
    if let Some(scope) = &task.exclusive {
        when.push(Cmp::CreateRevision(keys::exclusive(scope), 0));
        then.push(Op::put_leased(keys::exclusive(scope), task.id.as_str(), lease));
    }
    (when, then)
}

/// Operations that free what a claim holds besides itself.
fn free(task: &TaskRecord) -> Option<Op> {
    task.exclusive.as_ref().map(|scope| Op::delete(keys::exclusive(scope)))
}
