//! What is recorded of the slots of policies: key `slot/<policy>` in the coordinator, one value for each policy.

use std::{collections::BTreeMap, sync::Arc};

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::json;
use tidemark_catalog::ids::{SetId, SourceId, StoreId, TaskId};
use tidemark_gateway::Digest;

use super::{Error, Planned, leader::Leader};
use crate::{
    coordinator::{Cmp, Coordinator, Op, Revision, list_all},
    schedule::{Due, Run, Schedule, SlotId},
    tasks,
};

const SLOTS: &str = "slot/";

/// A day, ms.
const DAY_MILLIS: u64 = 24 * 3_600_000;

/// How far apart clocks may be although neither is wrong, s.
const APART_SECONDS: i64 = 60;

/// Most runs of slots that are kept of clocks that were wrong.
const MOST_AHEAD: usize = 64;

/// What is known of the slots of a policy. A field that a newer build added is passed over.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SlotRecord {
    /// The newest slot that was dealt with: none up to it comes any more.
    pub last: SlotId,
    /// What it came to.
    pub dealt: Dealt,
    /// Slots that were left out right before it, because nobody was there when they began.
    pub missed: u64,
    /// All slots that were left out so.
    pub missed_in_all: u64,
    /// All slots that were skipped because an earlier run was not done.
    pub skipped_in_all: u64,
    /// Since when the policy has been looked at.
    pub since: Timestamp,
    /// From which slot on none was left out for a day or more.
    pub steady_from: SlotId,
    /// Slots that were dealt with under a clock that was far ahead, or before one was far behind: first and last of each run.
    #[serde(default)]
    pub ahead: Vec<(SlotId, SlotId)>,
    /// The newest version that is known of.
    #[serde(default)]
    pub success: Option<Success>,
    /// What the slots are of; absent where an older build wrote it.
    #[serde(default)]
    pub of: Option<Of>,
}

/// What slots are of: where a policy of the same name has another schedule, source or store, they are others.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Of {
    /// Where its versions are.
    #[serde(flatten)]
    pub place: Place,
    /// Digest of its schedule, or of there being none.
    pub schedule: Digest,
}

/// Where the versions of a policy are.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Place {
    /// Its source.
    pub source: SourceId,
    /// Its store.
    pub store: StoreId,
}

impl Of {
    /// Those of this policy as it is now.
    pub(super) fn policy(policy: &Planned) -> Self {
        let place = Place { source: policy.source.clone(), store: policy.store.clone() };
        let schedule = json!(policy.schedule.as_ref().map(Schedule::spec)).to_string();
        Self { place, schedule: Digest::of(schedule.as_bytes()) }
    }
}

/// A version that was made.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Success {
    /// When the task that made it ended.
    pub at: Timestamp,
    /// Every write acknowledged before this is in it, or in an earlier one; absent where none was complete.
    #[serde(default)]
    pub complete_until: Option<Timestamp>,
}

impl Success {
    /// True where its time is [ahead](is_ahead): it says nothing about how old the newest version is.
    pub(crate) fn is_ahead(&self, now: Timestamp) -> bool {
        is_ahead(self.at, now)
    }

    /// Both together: the newest times of each.
    pub(crate) fn and(self, other: Self) -> Self {
        Self { at: self.at.max(other.at), complete_until: self.complete_until.max(other.complete_until) }
    }
}

/// True where a time of the past lies more than a minute after this: one of the clocks is or was wrong.
pub(crate) fn is_ahead(past: Timestamp, now: Timestamp) -> bool {
    past.duration_since(now).as_secs() > APART_SECONDS
}

/// What a slot came to.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Dealt {
    /// Nothing: the policy was seen first, or what was recorded of it could not be read; slots count from then on.
    Began,
    /// A task was made.
    Ran {
        /// The task.
        task: TaskId,
    },
    /// It was let pass, because a run of the policy was not done.
    Skipped {
        /// The task of that run.
        task: TaskId,
    },
    /// It was let pass, because the policy was paused.
    Paused,
    /// It had been dealt with already, by another clock.
    Known,
}

impl SlotRecord {
    /// A policy that is seen first: its slots count from now on.
    pub(super) fn begun(now: Timestamp) -> Self {
        Self {
            last: SlotId::at(now),
            dealt: Dealt::Began,
            missed: 0,
            missed_in_all: 0,
            skipped_in_all: 0,
            since: now,
            steady_from: SlotId::at(now),
            ahead: Vec::new(),
            success: None,
            of: None,
        }
    }

    /// Of the policy as it is now. Of another schedule, source or store nothing was missed before this: slots count from those on that
    /// have begun, so that what has run does not run again, and what was counted of another place is forgotten.
    pub(super) fn of_now(self, policy: &Planned, now: Timestamp) -> Self {
        let of = Some(Of::policy(policy));
        match self.of.clone() {
            // Nothing says that it was another one.
            None => Self { of, ..self },
            Some(known) if Some(&known) == of.as_ref() => self,
            Some(known) => {
                let begun = policy.schedule.as_ref().and_then(|schedule| schedule.begun(policy.name.as_str(), now));
                let last = begun.map_or(self.last, |begun| begun.max(self.last));
                let is_steady = last.0 < self.last.0.saturating_add(DAY_MILLIS);
                let same_place = of.as_ref().is_some_and(|of| of.place == known.place);
                let steady_from = if is_steady { self.steady_from } else { last };
                let begun = Self { last, dealt: Dealt::Began, missed: 0, since: now, steady_from, of, ..self };
                if same_place { begun } else { Self { missed_in_all: 0, skipped_in_all: 0, success: None, ..begun } }
            }
        }
    }

    /// True where it was written under a clock that is more than a day ahead of this one: then either of them is wrong.
    pub(super) fn is_ahead(&self, now: Timestamp) -> bool {
        self.last.0 > SlotId::at(now).0.saturating_add(DAY_MILLIS)
    }

    /// The same for a clock that is far behind: slots count from now on, but for those that were dealt with.
    pub(super) fn behind(mut self, now: Timestamp) -> Self {
        self.ahead.push((self.steady_from, self.last));
        let surplus = self.ahead.len().saturating_sub(MOST_AHEAD);
        self.ahead.drain(..surplus);
        let (last, dealt) = (SlotId::at(now), Dealt::Began);
        Self { last, dealt, missed: 0, since: now, steady_from: last, ..self }
    }

    /// True where a slot has been dealt with, although it is above the last one.
    pub(super) fn knows(&self, slot: SlotId) -> bool {
        self.known_until(slot).is_some()
    }

    /// The end of the run of slots with this one that were dealt with, although they are above the last one.
    fn known_until(&self, slot: SlotId) -> Option<SlotId> {
        let with = self.ahead.iter().filter(|(first, last)| (*first..=*last).contains(&slot));
        with.map(|(_, last)| *last).max()
    }

    /// As the scheduler takes it at this time.
    fn as_of(&self, now: Timestamp) -> Self {
        if self.is_ahead(now) { self.clone().behind(now) } else { self.clone() }
    }

    /// Until when no slot comes, because those up to it were dealt with under a clock that was ahead of this one; `None` where slots
    /// come as the schedule says.
    pub(crate) fn held_until(&self, now: Timestamp) -> Option<SlotId> {
        let (known, now) = (self.as_of(now), SlotId::at(now));
        let mut until = known.last.max(now);
        while let Some(later) = known.known_until(until).filter(|later| *later > until) {
            until = later;
        }
        (until > now).then_some(until)
    }

    /// The `count` runs that come after `now`, in order, those left out that were dealt with already.
    pub(crate) fn coming(&self, schedule: &Schedule, policy: &str, now: Timestamp, count: usize) -> Vec<Run> {
        let known = self.as_of(now);
        let (mut after, mut runs) = (known.last, Vec::new());
        while runs.len() < count {
            // One more: that of `after` itself may still wait, by its jitter.
            let found = schedule.next(policy, now.max(after.nominal()), count - runs.len() + 1);
            let before = after;
            for run in found.into_iter().filter(|run| run.slot > before).take(count - runs.len()) {
                after = run.slot;
                if let Some(end) = known.known_until(run.slot) {
                    after = end;
                    break;
                }
                runs.push(run);
            }
            if after == before {
                break;
            }
        }
        runs
    }

    /// After a slot.
    pub(super) fn passed(self, due: Due, dealt: Dealt) -> Self {
        // Nobody misses what passes while a policy rests.
        let missed = if dealt == Dealt::Paused { 0 } else { due.missed };
        let skipped = u64::from(matches!(dealt, Dealt::Skipped { .. }));
        let is_steady = due.slot.0 < self.last.0.saturating_add(DAY_MILLIS);
        Self {
            steady_from: if is_steady { self.steady_from } else { due.slot },
            last: due.slot,
            dealt,
            missed,
            missed_in_all: self.missed_in_all.saturating_add(missed),
            skipped_in_all: self.skipped_in_all.saturating_add(skipped),
            ..self
        }
    }
}

/// Since when runs of a policy are awaited: since it was made or resumed, and its slots count. A time that is ahead says nothing.
pub(crate) fn awaited_since(
    active_since: Option<Timestamp>,
    record: Option<&SlotRecord>,
    now: Timestamp,
) -> Option<Timestamp> {
    let counted_since = record.map(|record| record.since);
    active_since.filter(|since| !is_ahead(*since, now)).max(counted_since)
}

/// Why a policy with a schedule that does not rest does not run by itself now, for people; `None` where it does.
pub(crate) fn why_stopped(
    schedule: &Schedule,
    policy: &str,
    record: Option<&SlotRecord>,
    now: Timestamp,
) -> Option<String> {
    if let Some(until) = record.and_then(|record| record.held_until(now)) {
        let until = until.nominal();
        return Some(format!(
            "its runs up to {until} were counted by a clock that was ahead of this one, which says {now:.0}: the next one is after that"
        ));
    }
    schedule.next(policy, now, 1).is_empty().then(|| "its schedule has no time that is still to come".to_owned())
}

/// The id of a slot's task: the same for the same policy and slot.
pub fn task_id(policy: &Planned, slot: SlotId) -> TaskId {
    tasks::slot_task_id(&format!("slot/{}/{}/{}", policy.source, policy.name, slot.0), slot.0)
}

/// A record as it is stored.
pub(super) struct Stored {
    key: String,
    revision: Revision,
    /// `None` where it cannot be read.
    pub(super) record: Option<SlotRecord>,
}

/// The records.
pub(super) struct Slots {
    coordinator: Arc<dyn Coordinator>,
}

impl Slots {
    pub(super) fn new(coordinator: Arc<dyn Coordinator>) -> Self {
        Self { coordinator }
    }

    /// All records by policy.
    pub(super) async fn all(&self) -> Result<BTreeMap<String, Stored>, Error> {
        let (found, _) = list_all(&*self.coordinator, SLOTS).await.map_err(failed)?;
        let one = |kv: crate::coordinator::Kv| {
            let name = kv.key.strip_prefix(SLOTS)?.to_owned();
            let record = serde_json::from_slice(&kv.value);
            if let Err(error) = &record {
                tracing::warn!(policy = name, %error, "what is recorded of a policy's slots cannot be read; they count from now on");
            }
            Some((name, Stored { key: kv.key, revision: kv.mod_revision, record: record.ok() }))
        };
        Ok(found.into_iter().filter_map(one).collect())
    }

    /// The records that can be read, by policy.
    pub(super) async fn readable(&self) -> Result<BTreeMap<String, SlotRecord>, Error> {
        Ok(self.all().await?.into_iter().filter_map(|(name, stored)| Some((name, stored.record?))).collect())
    }

    /// What writes a record iff this one leads and nobody wrote another one since `stored` was read.
    pub(super) fn writing(
        &self,
        leader: &Leader,
        policy: &SetId,
        stored: Option<&Stored>,
        record: &SlotRecord,
    ) -> (Vec<Cmp>, Vec<Op>) {
        let key = format!("{SLOTS}{policy}");
        let when = vec![leader.condition(), Cmp::ModRevision(key.clone(), stored.map_or(0, |stored| stored.revision))];
        let value = serde_json::to_vec(record).expect("records are plain data");
        (when, vec![Op::put(key, value)])
    }

    /// True where the conditions held.
    pub(super) async fn txn(&self, when: Vec<Cmp>, then: Vec<Op>) -> Result<bool, Error> {
        Ok(self.coordinator.txn(when, then, vec![]).await.map_err(failed)?.succeeded)
    }

    /// Forgets a policy that is gone.
    pub(super) async fn forget(&self, leader: &Leader, stored: &Stored) -> Result<(), Error> {
        let when = vec![leader.condition(), Cmp::ModRevision(stored.key.clone(), stored.revision)];
        self.txn(when, vec![Op::delete(&stored.key)]).await.map(drop)
    }
}

fn failed(source: crate::coordinator::Error) -> Error {
    Error::Coordinator { subject: "slots", source }
}
