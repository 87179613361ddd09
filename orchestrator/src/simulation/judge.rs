//! Looks at every effect as it happens, by rules of its own, and says what is wrong.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex},
    time::Duration,
};

use bytes::Bytes;
use object_store::ObjectStore;
use serde_json::Value;
use tidemark_catalog::{
    collect,
    ids::{FencingToken, VersionId},
    layout,
    manifest::Manifest,
    pages,
};
use tokio::runtime::{Builder, Runtime};

use super::{
    bucket::Bucket,
    etcd::{Etcd, Sent},
    store::Still,
    world::Place,
};
use crate::{
    coordinator::{Op, Outcome},
    scheduler::{Dealt, SlotRecord},
    tasks::{Kind, State as TaskState, TaskRecord},
};

/// What can be wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Wrong {
    /// A manifest was written over.
    ManifestReplaced,
    /// A version that was acknowledged is not there.
    VersionLost,
    /// A task made two versions.
    CommittedTwice,
    /// A manifest follows one of a later claim.
    OldToken,
    /// Two claims used one token.
    TokenTwice,
    /// A manifest was sent although the claim's lease had ended.
    WithoutLease,
    /// What belongs to a run was written by who does not hold its claim.
    NotHolder,
    /// A task, or a scope, was claimed that another one held.
    ClaimTaken,
    /// A task that is done was changed.
    DoneChanged,
    /// A slot made two tasks.
    SlotTwice,
    /// A slot's record names a task that is not there.
    SlotWithoutTask,
    /// Slots passed of which no record says what they came to.
    SlotUncounted,
    /// An object was deleted that a version needs.
    NeededDeleted,
    /// A version names what is not there.
    NamesAbsent,
    /// A claim was made under another generation than the state's.
    OldGeneration,
    /// The program failed.
    Panicked,
    /// Nothing went on although nothing was in the way.
    NoProgress,
}

/// A claim.
#[derive(Clone, Debug)]
struct Claimed {
    /// Its place among all claims.
    order: u64,
    lease: u64,
    place: Place,
    /// Which state it was made in.
    state: u32,
}

/// A manifest.
#[derive(Clone, Debug)]
struct Made {
    manifest: Manifest,
    at: Duration,
}

/// The judge.
pub(super) struct Judge {
    bucket: Arc<Mutex<Bucket>>,
    court: Runtime,
    pub(super) wrong: Vec<(Wrong, String)>,
    claims: BTreeMap<FencingToken, Claimed>,
    /// What is known once the transaction has a revision.
    pending: Vec<(u64, Claimed)>,
    /// Tokens that were drawn, and what they stand for.
    aliases: BTreeMap<FencingToken, FencingToken>,
    /// Holders by claim's key.
    holders: BTreeMap<String, Place>,
    leases_ended: BTreeMap<u64, Duration>,
    claimed: u64,
    state: u32,
    made: BTreeMap<String, Made>,
    by_task: BTreeMap<String, String>,
    /// Claims by the tokens that roots were written under.
    roots: BTreeMap<FencingToken, u64>,
    /// Versions by the objects that they need.
    needed: BTreeMap<String, Vec<String>>,
    acknowledged: BTreeMap<String, String>,
    ran: BTreeMap<(String, u64), String>,
    /// Length of policies' slots, ms.
    pub(super) every: BTreeMap<String, u64>,
}

impl Judge {
    pub(super) fn new(bucket: Arc<Mutex<Bucket>>) -> Self {
        let court = Builder::new_current_thread().enable_time().build().expect("a runtime is made");
        Self {
            bucket,
            court,
            wrong: Vec::new(),
            claims: BTreeMap::new(),
            pending: Vec::new(),
            aliases: BTreeMap::new(),
            holders: BTreeMap::new(),
            leases_ended: BTreeMap::new(),
            claimed: 0,
            state: 0,
            made: BTreeMap::new(),
            by_task: BTreeMap::new(),
            roots: BTreeMap::new(),
            needed: BTreeMap::new(),
            acknowledged: BTreeMap::new(),
            ran: BTreeMap::new(),
            every: BTreeMap::new(),
        }
    }

    fn find(&mut self, wrong: Wrong, words: impl Into<String>) {
        self.wrong.push((wrong, words.into()));
    }

    /// The state was put back, or is new: what it says of leases is another matter.
    pub(super) fn another_state(&mut self) {
        self.state += 1;
        self.holders.clear();
    }

    /// A lease ended.
    pub(super) fn ended(&mut self, lease: u64, now: Duration) {
        self.leases_ended.entry(lease).or_insert(now);
    }

    /// A token that was drawn in the place of another one.
    pub(super) fn drawn(&mut self, drawn: FencingToken, of: FencingToken) {
        self.aliases.insert(drawn, of);
    }

    fn claim_of(&self, token: FencingToken) -> Option<&Claimed> {
        self.claims.get(self.aliases.get(&token).unwrap_or(&token))
    }

    /// A transaction arrived, and is about to be carried out.
    pub(super) fn asked(&mut self, place: Place, name: &str, generation: u64, etcd: &Etcd, sent: &Sent) {
        self.pending.clear();
        let Some(ops) = etcd.would_run(sent) else { return };
        for op in ops {
            match op {
                Op::Put { key, value, lease } => {
                    let lease = lease.map(|lease| lease.0);
                    self.put(Put { place, name, generation, etcd, ops, key, value, lease });
                }
                Op::Delete(key) if key.starts_with("claim/") => self.require_holder(etcd, place, key, "gives up"),
                Op::Delete(_) | Op::Get(_) => {}
            }
        }
    }

    /// The transaction was carried out.
    pub(super) fn carried_out(&mut self, outcome: &Outcome) {
        for (generation, claimed) in std::mem::take(&mut self.pending) {
            self.claims.insert(FencingToken { generation, revision: outcome.revision }, claimed);
        }
    }

    fn put(&mut self, put: Put<'_>) {
        let key = put.key;
        if let Some(task) = key.strip_prefix("task/") {
            self.task(&put, task);
        } else if key.starts_with("claim/") {
            self.claim(&put);
        } else if key.starts_with("exclusive/") {
            if put.etcd.keys.get(key).is_some_and(|kv| kv.lease.map(|lease| lease.0) != put.lease) {
                self.find(Wrong::ClaimTaken, format!("{} takes {key}, which is held", put.name));
            }
        } else if key == "later-token" {
            let task = String::from_utf8_lossy(put.value).into_owned();
            let lease = put.etcd.keys.get(&format!("claim/{task}")).and_then(|kv| kv.lease).map_or(0, |lease| lease.0);
            self.counts(put.place, put.generation, lease);
        } else if let Some(task) = key.strip_prefix("checkpoint/").or_else(|| key.strip_prefix("progress/")) {
            let task = task.split('/').next().unwrap_or_default();
            self.require_holder(put.etcd, put.place, &format!("claim/{task}"), key);
        } else if let Some(policy) = key.strip_prefix("slot/") {
            self.slot(&put, policy);
        }
    }

    fn counts(&mut self, place: Place, generation: u64, lease: u64) {
        self.claimed += 1;
        self.pending.push((generation, Claimed { order: self.claimed, lease, place, state: self.state }));
    }

    fn claim(&mut self, put: &Put<'_>) {
        if put.etcd.keys.contains_key(put.key) {
            self.find(Wrong::ClaimTaken, format!("{} takes {}, which is held", put.name, put.key));
        }
        if put.generation != put.etcd.generation {
            let words = format!(
                "{} claims {} under generation {}, it is {}",
                put.name, put.key, put.generation, put.etcd.generation
            );
            self.find(Wrong::OldGeneration, words);
        }
        self.holders.insert(put.key.clone(), put.place);
        self.counts(put.place, put.generation, put.lease.unwrap_or(0));
    }

    /// Only who made the claim that is there may do this.
    fn require_holder(&mut self, etcd: &Etcd, place: Place, claim: &str, what: &str) {
        let holds = etcd.keys.contains_key(claim) && self.holders.get(claim).is_none_or(|holder| *holder == place);
        if !holds {
            let there = etcd.keys.get(claim).map(|kv| String::from_utf8_lossy(&kv.value).into_owned());
            self.find(Wrong::NotHolder, format!("{place:?} writes {what}, and {claim} is {there:?}"));
        }
    }

    fn task(&mut self, put: &Put<'_>, id: &str) {
        let Ok(task) = serde_json::from_slice::<TaskRecord>(put.value) else { return };
        let claim = format!("claim/{id}");
        let takes = put.ops.iter().any(|op| matches!(op, Op::Put { key, .. } if *key == claim));
        if let Some(before) = put.etcd.keys.get(put.key) {
            // Whoever is asked to may end one that nobody runs.
            let ends = task.state == TaskState::Cancelled && !put.etcd.keys.contains_key(&claim);
            if !takes && !ends {
                self.require_holder(put.etcd, put.place, &claim, put.key);
            }
            let before = serde_json::from_slice::<TaskRecord>(&before.value).ok();
            if before.is_some_and(|before| before.state.is_done() && before != task) {
                self.find(Wrong::DoneChanged, format!("{} changes {}, which is done", put.name, put.key));
            }
        }
        if task.error.as_ref().is_some_and(|error| error.code == "TM-TASK-0008") {
            self.find(Wrong::Panicked, format!("{:?}", task.error));
        }
        if task.kind == Kind::Protect && matches!(task.state, TaskState::Succeeded | TaskState::Warnings) {
            self.acknowledge(&task);
        }
    }

    /// A task says that it made a version: it is there, and its own.
    fn acknowledge(&mut self, task: &TaskRecord) {
        let named = task.result.as_ref().and_then(|result| result["version"].as_str()).map(str::to_owned);
        let id = named.as_deref().and_then(|named| named.parse::<VersionId>().ok());
        let Some(id) = id else {
            return self.find(Wrong::VersionLost, format!("task {} names no version: {named:?}", task.id));
        };
        let path = layout::manifest(&id.source, &id.set, id.number).to_string();
        match self.made.get(&path).map(|made| made.manifest.task.clone()) {
            Some(of) if of == task.id.as_str() => drop(self.acknowledged.insert(path, of)),
            of => self.find(Wrong::VersionLost, format!("task {} acknowledges {path}, which is of {of:?}", task.id)),
        }
    }

    fn slot(&mut self, put: &Put<'_>, policy: &str) {
        let Ok(record) = serde_json::from_slice::<SlotRecord>(put.value) else { return };
        let before = put.etcd.keys.get(put.key).and_then(|kv| serde_json::from_slice::<SlotRecord>(&kv.value).ok());
        if let Dealt::Ran { task } = &record.dealt {
            let key = format!("task/{task}");
            let made = put.ops.iter().any(|op| op.key() == key) || put.etcd.keys.contains_key(&key);
            if !made {
                self.find(
                    Wrong::SlotWithoutTask,
                    format!("slot {} of {policy} names {task}, which is not there", record.last.0),
                );
            }
            let other = self.ran.insert((policy.to_owned(), record.last.0), task.to_string());
            if let Some(other) = other.filter(|other| *other != task.as_str()) {
                self.find(
                    Wrong::SlotTwice,
                    format!("slot {} of {policy} makes {task}, and made {other}", record.last.0),
                );
            }
        }
        let (Some(every), Some(before)) = (self.every.get(policy), before) else { return };
        let counts = matches!(record.dealt, Dealt::Ran { .. } | Dealt::Skipped { .. }) && record.last != before.last;
        let passed = (record.last.0 / every).saturating_sub(before.last.0 / every);
        if counts && record.missed + 1 != passed {
            let words = format!("{policy}: {passed} slots after {}, {} missed", before.last.0, record.missed);
            self.find(Wrong::SlotUncounted, words);
        }
    }

    /// A manifest is sent to the store.
    pub(super) fn sending(&mut self, name: &str, bytes: &Bytes, now: Duration) {
        let Some(manifest) = read(bytes) else { return };
        let Some(claim) = self.claim_of(manifest.token).filter(|claim| claim.state == self.state) else { return };
        if let Some(ended) = self.leases_ended.get(&claim.lease).filter(|ended| **ended < now) {
            let words =
                format!("{name} is sent under {} by {:?}, whose lease ended at {ended:?}", manifest.token, claim.place);
            self.find(Wrong::WithoutLease, words);
        }
    }

    /// An object was written.
    pub(super) fn stored(&mut self, place: Place, name: &str, bytes: &Bytes, old: Option<Bytes>, now: Duration) {
        if let Some((_, root)) = name.split_once("/work/") {
            self.root(place, name, root);
        }
        if !name.contains("/versions/") {
            return;
        }
        if old.is_some_and(|old| old != *bytes) {
            self.find(Wrong::ManifestReplaced, format!("{place:?} writes over {name}"));
        }
        let Some(manifest) = read(bytes) else { return };
        self.in_order(name, &manifest);
        if manifest.version().is_some() {
            if let Some(other) =
                self.by_task.insert(manifest.task.clone(), name.to_owned()).filter(|other| other != name)
            {
                self.find(Wrong::CommittedTwice, format!("task {} made {other} and {name}", manifest.task));
            }
            self.needs(name, &manifest);
        }
        self.made.insert(name.to_owned(), Made { manifest, at: now });
    }

    /// A root is under the token of one claim, and of no other one.
    fn root(&mut self, place: Place, name: &str, root: &str) {
        let token = root.split('/').next().and_then(|token| token.parse().ok());
        let Some((token, order)) = token.and_then(|token| Some((token, self.claim_of(token)?.order))) else { return };
        let first = *self.roots.entry(token).or_insert(order);
        if first != order {
            self.find(Wrong::TokenTwice, format!("{place:?} writes {name} under the token of another claim"));
        }
    }

    fn in_order(&mut self, name: &str, manifest: &Manifest) {
        let number = tidemark_catalog::ids::VersionNumber(manifest.number.0.saturating_sub(1));
        let before = layout::manifest(&manifest.source, &manifest.set, number).to_string();
        let Some(before) = self.made.get(&before).map(|made| made.manifest.token) else { return };
        let order = |token| self.claim_of(token).map(|claim| claim.order);
        let inverted = matches!((order(before), order(manifest.token)), (Some(one), Some(two)) if two < one);
        if inverted || (self.aliases.is_empty() && manifest.token < before) {
            self.find(Wrong::OldToken, format!("{name} under {} follows one under {before}", manifest.token));
        }
    }

    /// What a version names is there, and stays.
    fn needs(&mut self, name: &str, manifest: &Manifest) {
        let store: Arc<dyn ObjectStore> = Arc::new(Still(Arc::clone(&self.bucket)));
        let needs = self.court.block_on(async {
            let mut needs: Vec<String> = Vec::new();
            needs
                .extend(manifest.version().into_iter().flat_map(|version| &version.pages).map(|page| page.key.clone()));
            let lines = pages::read_lines(&store, manifest).await.map_err(|error| error.to_string())?;
            for entry in lines.iter().filter_map(|line| line.entry.as_ref()) {
                let of = collect::of_entry(&store, entry).await.map_err(|error| format!("{}: {error}", entry.key))?;
                needs.extend(of.all().map(|needed| needed.key.clone()));
            }
            Ok::<_, String>(needs)
        });
        let needs = match needs {
            Ok(needs) => needs,
            Err(error) => return self.find(Wrong::NamesAbsent, format!("{name}: {error}")),
        };
        for key in needs {
            if !self.exists(&key) {
                self.find(Wrong::NeededDeleted, format!("{name} names {key}, which is not there"));
            }
            self.needed.entry(key).or_default().push(name.to_owned());
        }
    }

    fn exists(&self, key: &str) -> bool {
        self.bucket.lock().is_ok_and(|bucket| bucket.objects.contains_key(key))
    }

    /// An object was deleted.
    pub(super) fn deleted(&mut self, name: &str, now: Duration) {
        if name.contains("/versions/") {
            self.find(Wrong::VersionLost, format!("{name} was deleted"));
        }
        let kept = self.needed.get(name).into_iter().flatten().find(|version| !self.is_collected(version)).cloned();
        if let Some(version) = kept {
            self.find(Wrong::NeededDeleted, format!("{name} was deleted at {now:?}, and {version} needs it"));
        }
    }

    /// Whether a version was given up, as its newest record says.
    fn is_collected(&self, manifest: &str) -> bool {
        let states = manifest.replace("/versions/", "/states/");
        let Ok(bucket) = self.bucket.lock() else { return false };
        let newest = bucket.below(Some(&states)).pop();
        newest
            .and_then(|(_, object)| serde_json::from_slice::<Value>(&object.bytes).ok())
            .is_some_and(|record| record["body"]["collected"] == true)
    }

    /// Sets that have no version made since then.
    pub(super) fn without_version_since(&self, since: Duration) -> Vec<String> {
        let made = |policy: &String| {
            let of = |made: &&Made| made.manifest.set.as_str() == policy && made.manifest.version().is_some();
            self.made.values().filter(of).any(|made| made.at > since)
        };
        self.every.keys().filter(|policy| !made(policy)).cloned().collect()
    }

    /// The objects that versions need which are not given up.
    pub(super) fn all_needed(&self) -> Vec<String> {
        let kept = |versions: &Vec<String>| versions.iter().any(|version| !self.is_collected(version));
        self.needed.iter().filter(|(_, versions)| kept(versions)).map(|(key, _)| key.clone()).collect()
    }

    /// How many versions were made.
    pub(super) fn versions(&self) -> usize {
        self.by_task.len()
    }

    /// What was acknowledged is there at the end.
    pub(super) fn close(&mut self) {
        let gone: Vec<_> = self.acknowledged.keys().filter(|path| !self.exists(path)).cloned().collect();
        for path in gone {
            self.find(Wrong::VersionLost, format!("{path} was acknowledged and is gone"));
        }
    }
}

/// A put, and what it is part of.
struct Put<'a> {
    place: Place,
    name: &'a str,
    generation: u64,
    etcd: &'a Etcd,
    ops: &'a [Op],
    key: &'a String,
    value: &'a [u8],
    lease: Option<u64>,
}

fn read(bytes: &Bytes) -> Option<Manifest> {
    let mut document: Value = serde_json::from_slice(bytes).ok()?;
    serde_json::from_value(document["body"].take()).ok()
}
