//! The state of a simulated etcd: revisions, compares, leases by its own clock. One call is one step; there is nothing between.

use std::{collections::BTreeMap, time::Duration};

use crate::coordinator::{Cmp, Event, EventKind, Kv, LeaseId, Op, Outcome, Revision};

/// What etcd holds; a copy of it is a backup.
#[derive(Clone, Debug, Default)]
pub(super) struct Etcd {
    /// What tells this state from every other one; absent in one that nobody has opened.
    pub(super) opening: Option<String>,
    pub(super) generation: u64,
    pub(super) revision: Revision,
    /// Changes up to this revision are forgotten.
    pub(super) compacted: Revision,
    pub(super) keys: BTreeMap<String, Kv>,
    changes: Vec<Event>,
    pub(super) leases: BTreeMap<u64, Granted>,
    /// Outcomes by the numbers of transactions: what slots are for.
    done: BTreeMap<u64, Outcome>,
}

/// A lease.
#[derive(Clone, Debug)]
pub(super) struct Granted {
    pub(super) ttl: Duration,
    /// When it ends, by the world's clock.
    pub(super) until: Duration,
}

/// A transaction that was sent.
#[derive(Clone, Debug)]
pub(super) struct Sent {
    /// The same however often it is sent.
    pub(super) number: u64,
    pub(super) when: Vec<Cmp>,
    pub(super) then: Vec<Op>,
    pub(super) otherwise: Vec<Op>,
}

/// What came of a transaction.
#[derive(Clone, Debug)]
pub(super) enum Ran {
    Now(Outcome),
    /// An earlier copy of it was carried out.
    Before(Outcome),
    LeaseGone(LeaseId),
}

impl Etcd {
    fn holds(&self, cmp: &Cmp) -> bool {
        let of = |key: &String| self.keys.get(key);
        match cmp {
            Cmp::CreateRevision(key, revision) => of(key).map_or(0, |kv| kv.create_revision) == *revision,
            Cmp::ModRevision(key, revision) => of(key).map_or(0, |kv| kv.mod_revision) == *revision,
            Cmp::Value(key, value) => of(key).is_some_and(|kv| kv.value == *value),
            Cmp::Generation(generation) => self.generation == *generation,
        }
    }

    /// Runs a transaction, unless it ran before.
    pub(super) fn run(&mut self, sent: &Sent) -> Ran {
        if let Some(outcome) = self.done.get(&sent.number) {
            return Ran::Before(outcome.clone());
        }
        let succeeded = sent.when.iter().all(|cmp| self.holds(cmp));
        let ops = if succeeded { &sent.then } else { &sent.otherwise };
        let leases = ops.iter().filter_map(|op| if let Op::Put { lease, .. } = op { *lease } else { None });
        if let Some(gone) = leases.into_iter().find(|lease| !self.leases.contains_key(&lease.0)) {
            return Ran::LeaseGone(gone);
        }
        let (changed, gets) = self.overlay(ops);
        let revision = self.apply(changed);
        let outcome = Outcome { succeeded, revision, gets };
        if ops.iter().any(|op| !matches!(op, Op::Get(_))) {
            self.done.insert(sent.number, outcome.clone());
        }
        Ran::Now(outcome)
    }

    /// The operations that would run; `None` where it ran before.
    pub(super) fn would_run<'s>(&self, sent: &'s Sent) -> Option<&'s [Op]> {
        let again = self.done.contains_key(&sent.number);
        let holds = sent.when.iter().all(|cmp| self.holds(cmp));
        (!again).then_some(if holds { &sent.then } else { &sent.otherwise })
    }

    /// What operations make of keys, and what the reads among them see.
    fn overlay(&self, ops: &[Op]) -> (BTreeMap<String, Option<Kv>>, Vec<Option<Kv>>) {
        let (next, mut changed, mut gets) = (self.revision + 1, BTreeMap::<String, Option<Kv>>::new(), Vec::new());
        for op in ops {
            match op {
                Op::Put { key, value, lease } => {
                    let create_revision = self.keys.get(key).map_or(next, |kv| kv.create_revision);
                    let (key, value, lease) = (key.clone(), value.clone(), *lease);
                    let kv = Kv { key: key.clone(), value, create_revision, mod_revision: next, lease };
                    changed.insert(key, Some(kv));
                }
                Op::Delete(key) => drop(changed.insert(key.clone(), None)),
                Op::Get(key) => gets.push(changed.get(key).map_or_else(|| self.keys.get(key).cloned(), Clone::clone)),
            }
        }
        (changed, gets)
    }

    /// Applies changes as one; the revision then.
    fn apply(&mut self, changed: BTreeMap<String, Option<Kv>>) -> Revision {
        let changed: Vec<_> =
            changed.into_iter().filter(|(key, kv)| kv.is_some() || self.keys.contains_key(key)).collect();
        if !changed.is_empty() {
            self.revision += 1;
        }
        for (key, kv) in changed {
            let kind = if kv.is_some() { EventKind::Put } else { EventKind::Delete };
            self.changes.push(Event { key: key.clone(), revision: self.revision, kind });
            match kv {
                Some(kv) => drop(self.keys.insert(key, kv)),
                None => drop(self.keys.remove(&key)),
            }
        }
        self.revision
    }

    pub(super) fn list(&self, prefix: &str, limit: usize, after: Option<&str>) -> Vec<Kv> {
        let from = after.map_or(prefix, |after| after.max(prefix)).to_owned();
        let below = self.keys.range(from..).take_while(|(key, _)| key.starts_with(prefix));
        below
            .filter(|(key, _)| after.is_none_or(|after| key.as_str() > after))
            .take(limit)
            .map(|(_, kv)| kv.clone())
            .collect()
    }

    /// Raises the generation.
    pub(super) fn raise(&mut self, to: u64) -> u64 {
        if to > self.generation {
            self.revision += 1;
            self.generation = to;
        }
        self.generation
    }

    /// Ends a lease; its keys go as one.
    pub(super) fn end(&mut self, id: u64) {
        if self.leases.remove(&id).is_none() {
            return;
        }
        let of = |kv: &&Kv| kv.lease == Some(LeaseId(id));
        let keys = self.keys.values().filter(of).map(|kv| (kv.key.clone(), None)).collect();
        self.apply(keys);
    }

    /// Leases whose time has come.
    pub(super) fn over(&self, now: Duration) -> Vec<u64> {
        self.leases.iter().filter(|(_, granted)| granted.until <= now).map(|(id, _)| *id).collect()
    }

    /// Changes below a prefix from a revision on; `None` where some are forgotten.
    pub(super) fn since(&self, prefix: &str, from: Revision) -> Option<Vec<Event>> {
        if from <= self.compacted {
            return None;
        }
        let at = self.changes.partition_point(|event| event.revision < from);
        Some(self.changes[at..].iter().filter(|event| event.key.starts_with(prefix)).cloned().collect())
    }
}
