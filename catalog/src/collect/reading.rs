//! One reading of a source: its versions with what became of them, its tasks, and what they need.
//!
//! The order is fixed: states, then roots, then manifests. A version whose state says `collected` and that no root read after it pins
//! is read by nobody.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap, HashSet},
    sync::Arc,
};

use jiff::Timestamp;
use object_store::ObjectStore;

use super::{
    Collector, Error,
    needs::{Named, Needs, version_id},
    roots::Roots,
};
use crate::{
    chain::VersionSet,
    find,
    ids::{SetId, SourceId, TaskId, VersionId, VersionNumber},
    manifest::Manifest,
    marks::{Gone, Key, Round},
    states::{VersionState, VersionStates, after},
};

/// States of versions that are not gone, by set.
pub(super) type States = BTreeMap<SetId, BTreeMap<VersionNumber, VersionState>>;

/// What a version is to collection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fate {
    /// It is kept.
    Plain,
    /// It can be collected from this time on; never while it is held.
    Expired(Option<Timestamp>),
    /// It is collected, but somebody reads it.
    Pinned,
    /// Nothing of it is needed.
    Gone,
}

/// Which versions need an object. Versions are by their place in [`Reading::versions`].
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Served {
    /// The object it is of, by its number.
    pub(super) object: Option<u32>,
    /// How many plain versions need it, and the first of them.
    pub(super) plain: u32,
    pub(super) first: u32,
    /// The expired version that can be collected last.
    pub(super) expired: Option<u32>,
    /// A pinned version.
    pub(super) pinned: Option<u32>,
    /// The first version that is gone.
    pub(super) gone: Option<u32>,
    /// How many versions need it that are not gone, and one of them.
    pub(super) holders: u32,
    pub(super) holder: u32,
    /// A version needs it that is not among those of which is asked what deleting them frees.
    pub(super) outside: bool,
}

/// What is known of a source after one reading.
#[derive(Debug)]
pub(super) struct Reading<'a> {
    pub(super) now: Timestamp,
    pub(super) gone: Gone,
    pub(super) versions: Vec<(VersionId, Fate)>,
    pub(super) served: HashMap<Key, Served>,
    pub(super) needs: Needs<'a>,
    pub(super) roots: Roots,
    /// The version that each task has committed, as far as it is not gone for long.
    pub(super) committed: HashMap<String, u32>,
    /// Of these tasks, those whose staged files stay with their version.
    pub(super) keeping: HashSet<String>,
    /// Tasks that may still need what they wrote.
    pub(super) alive: BTreeSet<TaskId>,
}

impl<'a> Collector<'a> {
    /// Sets of the source in the store, and those that policies name.
    pub(super) async fn sets(&self) -> Result<BTreeSet<SetId>, Error> {
        let mut sets = self.live.sets.clone();
        sets.extend(find::sets(self.store, self.source).await?);
        Ok(sets)
    }

    /// The states of all versions but those that are gone already.
    pub(super) async fn states(&self, sets: &BTreeSet<SetId>, gone: &Gone) -> Result<States, Error> {
        let mut states = States::new();
        for set in sets {
            let of = VersionStates::new(self.store.clone(), self.source.clone(), set.clone());
            let all = of.survey(|number| !gone.contains(set, number)).await?;
            if let Some(error) = all.damaged.into_values().next() {
                return Err(error.into());
            }
            states.insert(set.clone(), all.known);
        }
        Ok(states)
    }

    /// Reads the source; `states` were read before.
    pub(super) async fn read(
        &self,
        round: Option<&Round>,
        sets: &BTreeSet<SetId>,
        states: &States,
        roots: Roots,
        without: &BTreeSet<VersionId>,
    ) -> Result<Reading<'a>, Error> {
        let gone = round.map(|round| round.head.gone.clone()).unwrap_or_default();
        let mut reading = Reading::new(Needs::new(self.store), self.live.as_of, gone, roots);
        let (mut chains, mut places) = (Vec::new(), 0);
        for set in sets {
            let manifests = manifests(self.store, self.source, set, &reading.gone, states).await?;
            let keeping = manifests.iter().filter(|manifest| self.live.keeps_staged(set, manifest.version()));
            reading.keeping.extend(keeping.map(|manifest| manifest.task.clone()));
            reading.note_tasks(&manifests, places);
            places += manifests.len();
            chains.push((set, manifests));
        }
        reading.alive = self.alive(&reading);
        let pins = reading.pins();
        for (set, manifests) in chains {
            let none = BTreeMap::new();
            let states = states.get(set).unwrap_or(&none);
            reading.give_up(set, states, &manifests);
            for manifest in manifests {
                let state = states.get(&manifest.number).cloned().unwrap_or_default();
                let fate = self.fate(&manifest, &state, &pins);
                reading.add(&manifest, fate, without).await?;
            }
        }
        Ok(reading)
    }

    fn fate(&self, manifest: &Manifest, state: &VersionState, pins: &BTreeSet<VersionId>) -> Fate {
        match manifest.version() {
            None => Fate::Gone,
            Some(_) if state.collected && pins.contains(&version_id(manifest)) => Fate::Pinned,
            Some(_) if state.collected => Fate::Gone,
            Some(_) if state.expired.is_some() => Fate::Expired(state.collectable(self.ages.undo)),
            Some(_) => Fate::Plain,
        }
    }

    /// Tasks that may still need what they wrote: those that are not done, and those of which nothing is known but a young root.
    fn alive(&self, reading: &Reading<'_>) -> BTreeSet<TaskId> {
        let mut alive = self.live.tasks.clone();
        for (task, of) in &reading.roots.tasks {
            let over = self.live.done.contains(task) || reading.committed.contains_key(task.as_str());
            if !over && reading.now < after(of.newest, self.ages.unclaimed) {
                alive.insert(task.clone());
            }
        }
        alive
    }
}

/// Manifests that are not gone, proven; those of versions that were collected only where they can be read.
pub(super) async fn manifests(
    store: &Arc<dyn ObjectStore>,
    source: &SourceId,
    set: &SetId,
    gone: &Gone,
    states: &States,
) -> Result<Vec<Manifest>, Error> {
    let chain = VersionSet::new(store.clone(), source.clone(), set.clone());
    let collected = |number| is_collected(states, set, number);
    let proven = chain.proven(|number| gone.contains(set, number), collected).await;
    proven.map_err(|source| Error::Chain { set: set.clone(), source })
}

fn is_collected(states: &States, set: &SetId, number: VersionNumber) -> bool {
    states.get(set).and_then(|of| of.get(&number)).is_some_and(|state| state.collected)
}

impl<'a> Reading<'a> {
    fn new(needs: Needs<'a>, now: Timestamp, gone: Gone, roots: Roots) -> Self {
        let (versions, served, committed) = (Vec::new(), HashMap::new(), HashMap::new());
        let (keeping, alive) = (HashSet::new(), BTreeSet::new());
        Self { now, gone, versions, served, needs, roots, committed, keeping, alive }
    }

    /// Notes which task committed what; the places are those that [`add`](Self::add) will give.
    fn note_tasks(&mut self, manifests: &[Manifest], first: usize) {
        for (place, manifest) in (first..).zip(manifests) {
            self.committed.insert(manifest.task.clone(), u32::try_from(place).unwrap_or(u32::MAX));
        }
    }

    /// What was collected and cannot be read any more is gone: nobody can say what it needed.
    fn give_up(&mut self, set: &SetId, states: &BTreeMap<VersionNumber, VersionState>, read: &[Manifest]) {
        let read: BTreeSet<_> = read.iter().map(|manifest| manifest.number).collect();
        let collected = states.iter().filter(|(_, state)| state.collected).map(|(number, _)| *number);
        collected.filter(|number| !read.contains(number)).for_each(|number| self.gone.insert(set, number));
    }

    fn pins(&self) -> BTreeSet<VersionId> {
        let alive = self.alive.iter().filter_map(|task| self.roots.tasks.get(task));
        alive.flat_map(|of| of.pins.iter().cloned()).collect()
    }

    async fn add(&mut self, manifest: &Manifest, fate: Fate, without: &BTreeSet<VersionId>) -> Result<(), Error> {
        let id = version_id(manifest);
        if fate == Fate::Gone {
            self.gone.insert(&id.set, id.number);
        }
        let place = u32::try_from(self.versions.len()).unwrap_or(u32::MAX);
        let outside = !without.contains(&id);
        self.versions.push((id, fate));
        let named = match self.needs.of_version(manifest).await {
            Ok(named) => named,
            // It only says why something is garbage.
            Err(error) if fate == Fate::Gone && !error.is_retryable() => Vec::new(),
            Err(error) => return Err(error),
        };
        self.serve(place, fate, outside, named);
        Ok(())
    }

    fn serve(&mut self, place: u32, fate: Fate, outside: bool, mut named: Vec<Named>) {
        named.sort_unstable_by_key(|(key, _)| *key);
        named.dedup_by_key(|(key, _)| *key);
        for (key, object) in named {
            let mut served = self.served.get(&key).copied().unwrap_or_default();
            served.object = served.object.or(object);
            match fate {
                Fate::Plain if served.plain == 0 => (served.plain, served.first) = (1, place),
                Fate::Plain => served.plain += 1,
                Fate::Expired(_) => served.expired = Some(self.later(served.expired, place)),
                Fate::Pinned => served.pinned = served.pinned.or(Some(place)),
                Fate::Gone => served.gone = served.gone.or(Some(place)),
            }
            if fate != Fate::Gone {
                served.holders += 1;
                served.holder = place;
                served.outside |= outside;
            }
            self.served.insert(key, served);
        }
    }

    /// Of two expired versions the one that can be collected last.
    fn later(&self, known: Option<u32>, place: u32) -> u32 {
        let when = |place: u32| match self.versions.get(place as usize) {
            Some((_, Fate::Expired(Some(after)))) => *after,
            _ => Timestamp::MAX,
        };
        known.filter(|known| when(*known) >= when(place)).unwrap_or(place)
    }
}
