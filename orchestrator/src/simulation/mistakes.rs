//! Mistakes that are planted, one at a time, in the stores and coordinators of all machines: the judge has to find each.

use bytes::Bytes;
use object_store::{Result, path::Path};
use tidemark_gateway::Env;

use super::{bucket::Object, etcd::Sent, judge::Wrong, store::SimStore, world::State};
use crate::coordinator::{Cmp, Op, Outcome};

/// A rule that is not kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Mistake {
    /// Manifests are put, not created.
    ManifestIsOverwritten,
    /// A number that is taken is believed to be taken by oneself: what is read back is what was sent.
    TakenIsOwn,
    /// A lease is believed beyond its deadline, and its loss is not heard of.
    LeaseIsBelieved,
    /// The same, and tokens are drawn instead of counted: comparing them at the commit says nothing.
    TokenIsDrawn,
    /// The end of a run does not compare its claim.
    DoneIsNotCompared,
    /// A checkpoint is saved without comparing the claim.
    CheckpointIsNotCompared,
    /// The task of a slot has an id that is drawn, and the slot's record is not compared.
    SlotIsDrawn,
    /// The record of a slot is a transaction of its own, before that of its task.
    SlotIsBeside,
    /// A claim does not compare the generation.
    GenerationIsNotCompared,
    /// A task is claimed that another one runs.
    ClaimIsTakenAnyway,
    /// Before what cannot be taken back the clock is not asked: only timers say that a lease has ended.
    ClockIsNotAsked,
    /// That etcd was rolled back is not seen in its answers, nor when it is opened.
    RollbackIsNotSeen,
}

impl Mistake {
    /// What the judge has to find.
    pub(super) fn shows(self) -> Wrong {
        match self {
            Self::ManifestIsOverwritten => Wrong::ManifestReplaced,
            Self::TakenIsOwn => Wrong::VersionLost,
            Self::LeaseIsBelieved | Self::ClockIsNotAsked => Wrong::WithoutLease,
            Self::RollbackIsNotSeen => Wrong::TokenTwice,
            Self::TokenIsDrawn => Wrong::OldToken,
            Self::DoneIsNotCompared | Self::CheckpointIsNotCompared => Wrong::NotHolder,
            Self::SlotIsDrawn => Wrong::SlotTwice,
            Self::SlotIsBeside => Wrong::SlotWithoutTask,
            Self::GenerationIsNotCompared => Wrong::OldGeneration,
            Self::ClaimIsTakenAnyway => Wrong::ClaimTaken,
        }
    }

    /// In which weather it does harm, where that is another one than usual.
    pub(super) fn climate(self) -> Climate {
        match self {
            Self::ClockIsNotAsked => Climate::Freezes("get sources/east/marks/"),
            Self::RollbackIsNotSeen => Climate::PutBack,
            _ => Climate::Usual,
        }
    }

    /// True where leases are believed beyond their deadline.
    pub(super) fn believes_leases(self) -> bool {
        matches!(self, Self::LeaseIsBelieved | Self::TokenIsDrawn)
    }
}

/// What weather there is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Climate {
    /// All that can happen.
    Usual,
    /// Nothing but that machines freeze after they did this.
    Freezes(&'static str),
    /// Nothing but that etcd is put back, again and again.
    PutBack,
}

fn is_claim(cmp: &Cmp) -> bool {
    matches!(cmp, Cmp::ModRevision(key, _) | Cmp::CreateRevision(key, _) if key.starts_with("claim/"))
}

fn puts(sent: &Sent, prefix: &str) -> bool {
    sent.then.iter().any(|op| matches!(op, Op::Put { key, .. } if key.starts_with(prefix)))
}

/// What is sent instead of a transaction, one after the other.
pub(super) fn made_of(mistake: Option<Mistake>, mut sent: Sent, env: &Env) -> Vec<Sent> {
    let ends = |sent: &Sent| sent.then.iter().any(|op| matches!(op, Op::Delete(key) if key.starts_with("claim/")));
    match mistake {
        Some(Mistake::DoneIsNotCompared) if ends(&sent) && puts(&sent, "task/") => {
            sent.when.retain(|cmp| !is_claim(cmp))
        }
        Some(Mistake::CheckpointIsNotCompared) if puts(&sent, "checkpoint/") => sent.when.retain(|cmp| !is_claim(cmp)),
        Some(Mistake::GenerationIsNotCompared) => sent.when.retain(|cmp| !matches!(cmp, Cmp::Generation(_))),
        Some(Mistake::ClaimIsTakenAnyway) if puts(&sent, "claim/") => {
            sent.when.retain(|cmp| !matches!(cmp, Cmp::CreateRevision(..)));
        }
        Some(Mistake::SlotIsDrawn) if puts(&sent, "slot/") => {
            sent.when.retain(|cmp| !matches!(cmp, Cmp::ModRevision(key, _) if !key.starts_with("policy/")));
            return vec![with_drawn_id(sent, env)];
        }
        Some(Mistake::SlotIsBeside) if puts(&sent, "slot/") && puts(&sent, "task/") => return beside(sent, env),
        _ => {}
    }
    vec![sent]
}

/// The same with another task's id.
fn with_drawn_id(sent: Sent, env: &Env) -> Sent {
    let made = sent.then.iter().find_map(|op| op.key().strip_prefix("task/").map(str::to_owned));
    let Some(old) = made else { return sent };
    let new = env.id().simple().to_string();
    let value = |value: Vec<u8>| String::from_utf8_lossy(&value).replace(&old, &new).into_bytes();
    let op = |op: Op| match op {
        Op::Put { key, value: bytes, lease } => Op::Put { key: key.replace(&old, &new), value: value(bytes), lease },
        other => other,
    };
    let cmp = |cmp: Cmp| match cmp {
        Cmp::CreateRevision(key, revision) => Cmp::CreateRevision(key.replace(&old, &new), revision),
        other => other,
    };
    Sent { then: sent.then.into_iter().map(op).collect(), when: sent.when.into_iter().map(cmp).collect(), ..sent }
}

/// The slot's record first, then its task.
fn beside(sent: Sent, env: &Env) -> Vec<Sent> {
    let (slot, task): (Vec<_>, Vec<_>) = sent.then.into_iter().partition(|op| op.key().starts_with("slot/"));
    let own = |cmp: &Cmp| matches!(cmp, Cmp::CreateRevision(key, _) if key.starts_with("task/"));
    let (of_task, of_slot) = sent.when.into_iter().partition(own);
    let first = Sent { number: sent.number, when: of_slot, then: slot, otherwise: Vec::new() };
    vec![first, Sent { number: env.noise(), when: of_task, then: task, otherwise: Vec::new() }]
}

/// A transaction in the log.
pub(super) fn words(sent: &Sent, outcome: &Outcome) -> String {
    let ops = if outcome.succeeded { &sent.then } else { &sent.otherwise };
    let op = |op: &Op| match op {
        Op::Put { key, value, .. } => format!("put {key} ({})", value.len()),
        Op::Delete(key) => format!("delete {key}"),
        Op::Get(key) => format!("get {key}"),
    };
    let ops: Vec<_> = ops.iter().map(op).collect();
    let how = if outcome.succeeded { "" } else { "refused, " };
    format!("{how}revision {}: {}", outcome.revision, ops.join(", "))
}

fn is_manifest(name: &str) -> bool {
    name.contains("/versions/")
}

impl SimStore {
    pub(super) fn overwrites(&self, name: &str) -> bool {
        self.world.makes(Mistake::ManifestIsOverwritten) && is_manifest(name)
    }

    /// Has the judge see a manifest as it is sent.
    pub(super) fn sending(&self, name: &str, bytes: &Bytes) {
        if is_manifest(name) {
            let State { judge, now, .. } = &mut *self.world.lock();
            judge.sending(name, bytes, *now);
        }
    }

    /// Remembers what was sent where another one was first.
    pub(super) fn remember(&self, path: &Path, bytes: Bytes) {
        if self.world.makes(Mistake::TakenIsOwn) && is_manifest(path.as_ref()) {
            self.world.lock().believed.insert((self.seat.place, path.to_string()), bytes);
        }
    }

    /// What is believed to be read back.
    pub(super) fn mistaken_read(&self, path: &Path) -> Option<Result<Object>> {
        let bytes = self.world.lock().believed.remove(&(self.seat.place, path.to_string()))?;
        Some(Ok(Object { bytes, written: self.seat.clock.time() }))
    }
}
