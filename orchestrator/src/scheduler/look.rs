//! One look at all policies: what is due becomes tasks, and each policy's figures are told.

use std::collections::{BTreeMap, HashMap};

use jiff::Timestamp;
use tidemark_catalog::ids::TaskId;
use tidemark_gateway::pause;

use super::{
    Dealt, Error, Looked, Planned, Scheduler, SlotRecord, Success, awaited_since, leader::Leader, slots::Stored,
    task_id, why_stopped,
};
use crate::{metrics::PolicyFigures, schedule::Due};

/// One look at all policies.
pub(super) struct Look<'a> {
    pub(super) by: &'a Scheduler,
    pub(super) leader: &'a Leader,
    pub(super) now: Timestamp,
    /// Subjects of protect tasks that are not done; read when something is due.
    pub(super) busy: Option<HashMap<String, TaskId>>,
    pub(super) looked: Looked,
    /// Policies that do not run although they should, with the reason.
    pub(super) stopped: BTreeMap<String, String>,
}

impl Look<'_> {
    /// Looks at one policy; returns its figures where it has a schedule that does not rest.
    pub(super) async fn at(
        &mut self,
        policy: &Planned,
        stored: Option<Stored>,
    ) -> Result<Option<PolicyFigures>, Error> {
        let Some(schedule) = &policy.schedule else { return self.rests(policy, stored.as_ref()).await.map(|()| None) };
        let (known, news) = self.known(policy, stored.as_ref());
        let last = known.as_ref().map(|record| record.last);
        let record = match (known, schedule.due(policy.name.as_str(), last, self.now)) {
            (Some(known), _) if known.is_ahead(self.now) => {
                tracing::warn!(policy = policy.name.as_str(), last = %known.last.nominal(), now = %self.now,
                    "slots were counted by a clock that is more than a day ahead of this one; they count from now on");
                self.put(policy, stored.as_ref(), known.behind(self.now)).await?
            }
            (Some(known), Some(due)) => self.deal(policy, stored.as_ref(), known, due).await?,
            (Some(known), None) if news => self.put(policy, stored.as_ref(), known).await?,
            (Some(known), None) => Some(known),
            // A policy runs at its next slot: who wants a version at once asks for it, and what was lost makes no storm of runs.
            (None, _) => {
                let begun = SlotRecord::begun(self.now).of_now(policy, self.now);
                self.put(policy, stored.as_ref(), begun).await?
            }
        };
        let held = || why_stopped(schedule, policy.name.as_str(), record.as_ref(), self.now);
        let stopped = if policy.paused { policy.stopped.clone() } else { held() };
        self.stopped.extend(stopped.map(|why| (policy.name.to_string(), why)));
        if policy.paused {
            return Ok(None);
        }
        let next = record.as_ref().map(|record| record.coming(schedule, policy.name.as_str(), self.now, 1));
        let next = next.unwrap_or_default();
        self.looked.next = self.looked.next.into_iter().chain(next.first().map(|run| run.at)).min();
        Ok(Some(PolicyFigures {
            source: policy.source.clone(),
            policy: policy.name.clone(),
            expected_interval: schedule.expected_interval(self.now),
            since: awaited_since(policy.active_since, record.as_ref(), self.now),
            success: record.and_then(|record| record.success),
        }))
    }

    /// What is known of the slots of a policy as it is now, with its newest version; true where that is news.
    fn known(&self, policy: &Planned, stored: Option<&Stored>) -> (Option<SlotRecord>, bool) {
        let Some(record) = stored.and_then(|stored| stored.record.clone()) else { return (None, false) };
        let known = record.clone().of_now(policy, self.now);
        let heard = self.by.metrics.success(&policy.submit.subject, &policy.store);
        let both = known.success.into_iter().chain(heard).filter(|success| !success.is_ahead(self.now));
        let known = SlotRecord { success: both.reduce(Success::and), ..known };
        let news = known != record;
        (Some(known), news)
    }

    /// Records that a policy has no schedule: what passes until it has one again is not missed, also where that is the same.
    async fn rests(&mut self, policy: &Planned, stored: Option<&Stored>) -> Result<(), Error> {
        let Some(record) = stored.and_then(|stored| stored.record.clone()) else { return Ok(()) };
        let known = record.clone().of_now(policy, self.now);
        if known == record {
            return Ok(());
        }
        self.put(policy, stored, known).await.map(drop)
    }

    /// Deals with a slot: runs it, or lets it pass.
    async fn deal(
        &mut self,
        policy: &Planned,
        stored: Option<&Stored>,
        known: SlotRecord,
        due: Due,
    ) -> Result<Option<SlotRecord>, Error> {
        if known.knows(due.slot) {
            return self.put(policy, stored, known.passed(due, Dealt::Known)).await;
        }
        if policy.paused {
            return self.put(policy, stored, known.passed(due, Dealt::Paused)).await;
        }
        if let Some(task) = self.busy(&policy.submit.subject).await? {
            let record = self.put(policy, stored, known.passed(due, Dealt::Skipped { task: task.clone() })).await?;
            if record.is_some() {
                let (name, slot) = (policy.name.as_str(), due.nominal);
                tracing::warn!(policy = name, %slot, %task, "slot skipped: the run before is not done");
                self.by.metrics.skipped(&policy.source, &policy.name, due.missed);
                self.looked.skipped.push((policy.name.clone(), due.slot));
            }
            return Ok(record);
        }
        self.fire(policy, stored, known, due).await
    }

    async fn fire(
        &mut self,
        policy: &Planned,
        stored: Option<&Stored>,
        known: SlotRecord,
        due: Due,
    ) -> Result<Option<SlotRecord>, Error> {
        let id = task_id(policy, due.slot);
        let record = known.passed(due, Dealt::Ran { task: id.clone() });
        let (when, then) = self.by.slots.writing(self.leader, &policy.name, stored, &record);
        let when = when.into_iter().chain(policy.guard.clone()).collect();
        pause::point("slot-before-task");
        let made = self.by.tasks.submit_as(&id, &policy.submit, when, then).await.map_err(Error::Tasks)?;
        pause::point("slot-after-task");
        if made.is_none() {
            return self.refused(policy, stored, record, &id).await;
        }
        tracing::info!(policy = policy.name.as_str(), slot = %due.nominal, task = %id, missed = due.missed, "slot runs");
        if due.missed > 0 {
            tracing::warn!(
                policy = policy.name.as_str(),
                missed = due.missed,
                "slots before it were missed and are left out"
            );
        }
        self.by.metrics.fired(&policy.source, &policy.name, due.missed);
        self.looked.fired.push((policy.name.clone(), due.slot, id));
        Ok(Some(record))
    }

    /// Finds out why a slot could not be fired.
    async fn refused(
        &mut self,
        policy: &Planned,
        stored: Option<&Stored>,
        record: SlotRecord,
        id: &TaskId,
    ) -> Result<Option<SlotRecord>, Error> {
        // A policy of this name and source was removed and came back within one slot: that slot has run.
        if self.by.tasks.exists(id).await.map_err(Error::Tasks)? {
            return self.put(policy, stored, record).await;
        }
        self.changed().await
    }

    /// Records what a slot came to without a task; `None` where something changed meanwhile.
    async fn put(
        &mut self,
        policy: &Planned,
        stored: Option<&Stored>,
        record: SlotRecord,
    ) -> Result<Option<SlotRecord>, Error> {
        let (when, then) = self.by.slots.writing(self.leader, &policy.name, stored, &record);
        let when = when.into_iter().chain(policy.guard.clone()).collect();
        match self.by.slots.txn(when, then).await? {
            true => Ok(Some(record)),
            false => self.changed().await,
        }
    }

    /// A transaction was refused: either another one leads, or something it is about changed.
    async fn changed(&mut self) -> Result<Option<SlotRecord>, Error> {
        self.leader.require(&*self.by.coordinator).await?;
        self.looked.again = true;
        Ok(None)
    }

    async fn busy(&mut self, subject: &str) -> Result<Option<TaskId>, Error> {
        if self.busy.is_none() {
            self.busy = Some(self.by.tasks.unfinished_protects().await.map_err(Error::Tasks)?);
        }
        Ok(self.busy.as_ref().and_then(|busy| busy.get(subject).cloned()))
    }
}
