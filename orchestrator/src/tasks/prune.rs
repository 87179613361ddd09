//! What is kept of tasks that are done, and for how long.
//!
//! A task that is done goes 30 days after its end, or when 1,000 tasks have ended since; never within the first day, in which
//! the key that made it still answers with it. One that did a part of another goes after a day, but not before the other one is over.
//! Keys go after 24 hours. What a crash leaves goes the next time.

use std::{collections::HashSet, time::Duration};

use tidemark_catalog::ids::TaskId;

use super::{
    Error, State, TaskRecord, Tasks, keys,
    queue::{decode, encode},
    submit::KeyUse,
};
use crate::coordinator::{Cmp, Kv, MAX_OPS, Op, list_all};

/// How long the key of a request is kept.
const KEY_AGE: Duration = Duration::from_secs(24 * 3600);

/// How long a task that is done is kept.
const TASK_AGE: Duration = Duration::from_secs(30 * 24 * 3600);

/// How many tasks that are done are kept.
const TASKS: usize = 1000;

/// Time between two looks.
pub(super) const EVERY: Duration = Duration::from_secs(3600);

/// True where a key is no longer kept.
pub(super) fn key_is_over(key: &KeyUse, now_millis: u64) -> bool {
    is_over(key.at_millis, now_millis, KEY_AGE)
}

fn is_over(at_millis: u64, now_millis: u64, age: Duration) -> bool {
    u128::from(now_millis.saturating_sub(at_millis)) > age.as_millis()
}

/// The tasks to delete.
fn plan(mut tasks: Vec<TaskRecord>, now_millis: u64) -> Vec<TaskId> {
    let ended = |task: &TaskRecord| {
        let at = task.finished.filter(|_| task.state.is_done())?;
        u64::try_from(at.as_millisecond()).ok()
    };
    tasks.sort_by_key(|task| std::cmp::Reverse(ended(task)));
    let open: HashSet<TaskId> = tasks.iter().filter(|task| may_go_on(task)).map(|task| task.id.clone()).collect();
    let mut newer = 0;
    let goes = |task: &TaskRecord| {
        let Some(at) = ended(task) else { return false };
        if task.parent.as_ref().is_some_and(|parent| open.contains(parent)) {
            return false;
        }
        newer += usize::from(task.parent.is_none());
        is_over(at, now_millis, KEY_AGE)
            && (task.parent.is_some() || newer > TASKS || is_over(at, now_millis, TASK_AGE))
    };
    tasks.into_iter().filter(goes).map(|task| task.id).collect()
}

/// Whether a run of the task may come: it is not done, or failed and can be resumed.
fn may_go_on(task: &TaskRecord) -> bool {
    !task.state.is_done() || task.state == State::Failed
}

impl Tasks {
    /// Deletes what is no longer kept; returns how many tasks and keys.
    ///
    /// # Errors
    /// [`Error::Coordinator`], [`Error::Decode`].
    pub async fn prune(&self) -> Result<(usize, usize), Error> {
        let now = self.now_millis();
        let tasks = plan(self.list().await?, now);
        // The record goes last: what a crash leaves is then found again by it. Only tasks that failed still have checkpoints.
        for id in &tasks {
            self.delete_checkpoints(id).await?;
            self.delete_below(&keys::spec(id)).await?;
        }
        let of_task = |id: &TaskId| [keys::task(id), keys::progress(id), keys::cancel(id)].map(Op::delete);
        for ops in tasks.iter().flat_map(of_task).collect::<Vec<_>>().chunks(MAX_OPS) {
            self.txn(vec![], ops.to_vec(), vec![], "delete old tasks").await?;
        }
        let (found, _) =
            list_all(&*self.coordinator, keys::IDEMPOTENCY).await.map_err(Error::coordinator("list keys"))?;
        let mut over = 0;
        for kv in &found {
            // One that cannot be read is left: what it was used for is not known.
            let Ok(key) = decode::<KeyUse>(kv) else { continue };
            if key_is_over(&key, now) {
                over += usize::from(self.delete_seen(kv).await?);
            } else if key.at_millis > now {
                self.set_back(kv, KeyUse { at_millis: now, ..key }).await?;
            }
        }
        Ok((tasks.len(), over))
    }

    /// A key that was used while the clock was ahead is kept for as long as if it had been used now.
    async fn set_back(&self, kv: &Kv, key: KeyUse) -> Result<(), Error> {
        let when = vec![Cmp::ModRevision(kv.key.clone(), kv.mod_revision)];
        self.txn(when, vec![Op::put(&kv.key, encode(&key))], vec![], "set the time of a key back").await.map(drop)
    }

    /// Deletes a key unless somebody used it anew meanwhile.
    async fn delete_seen(&self, kv: &Kv) -> Result<bool, Error> {
        let when = vec![Cmp::ModRevision(kv.key.clone(), kv.mod_revision)];
        Ok(self.txn(when, vec![Op::delete(&kv.key)], vec![], "delete an old key").await?.succeeded)
    }
}

#[cfg(test)]
mod tests {
    use jiff::Timestamp;
    use serde_json::json;

    use super::{super::Kind, *};

    const HOUR: u64 = 3_600_000;
    const NOW: u64 = 10_000 * HOUR;

    fn task(n: usize, state: State, ended_hours_ago: u64) -> TaskRecord {
        let at = Timestamp::from_millisecond(i64::try_from(NOW - ended_hours_ago * HOUR).unwrap()).unwrap();
        TaskRecord {
            id: format!("t{n}").parse().unwrap(),
            kind: Kind::Protect,
            parent: None,
            subject: String::new(),
            spec: json!(null),
            spec_beside: false,
            exclusive: None,
            state,
            attempt: 1,
            lost_runs: 0,
            failures: 0,
            waiting: None,
            due_millis: 0,
            created: at,
            finished: state.is_done().then_some(at),
            error: None,
            result: None,
            cut: None,
        }
    }

    fn planned(tasks: Vec<TaskRecord>) -> Vec<String> {
        plan(tasks, NOW).iter().map(ToString::to_string).collect()
    }

    #[test]
    fn tasks_go_by_age_and_those_that_are_not_done_never() {
        let tasks = vec![
            task(1, State::Succeeded, 24 * 30 + 1),
            task(2, State::Failed, 24 * 30),
            task(3, State::Running, 24 * 365),
            task(4, State::Queued, 24 * 365),
            task(5, State::Cancelled, 24 * 31),
        ];
        assert_eq!(planned(tasks), ["t1", "t5"]);
    }

    #[test]
    fn tasks_go_by_number_but_not_within_the_first_day() {
        let mut tasks: Vec<_> = (0..1500).map(|n| task(n, State::Succeeded, 2)).collect();
        assert!(planned(tasks.clone()).is_empty());
        tasks.push(task(7777, State::Succeeded, 25));
        assert_eq!(planned(tasks), ["t7777"]);
    }

    #[test]
    fn tasks_that_did_a_part_of_another_go_after_a_day_and_take_no_place() {
        let part_of =
            |whole: &str, n, ago| TaskRecord { parent: Some(whole.parse().unwrap()), ..task(n, State::Succeeded, ago) };
        let part = |n, ago| part_of("t0", n, ago);
        let mut tasks: Vec<_> = (10..1500).map(|n| part(n, 24)).collect();
        tasks.extend([part(1, 25), part(2, 24 * 365), task(3, State::Succeeded, 24 * 29)]);
        // What may be taken up again finds its parts.
        tasks.extend([task(4, State::Failed, 24 * 3), part_of("t4", 5, 24 * 9), part_of("t6", 7, 24 * 9)]);
        tasks.push(task(6, State::Queued, 0));
        assert_eq!(planned(tasks), ["t1", "t2"]);
    }

    #[test]
    fn keys_are_kept_for_a_day() {
        let key = KeyUse { task: "t".parse().unwrap(), body: tidemark_gateway::Digest::of(b""), at_millis: NOW };
        assert!(!key_is_over(&key, NOW + 24 * HOUR));
        assert!(key_is_over(&key, NOW + 24 * HOUR + 1));
        assert!(!key_is_over(&key, NOW - HOUR), "a clock that was set back makes no key old");
    }
}
