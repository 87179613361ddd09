//! One reading of a source: its versions with what became of them, its tasks, and what they need.
//!
//! The order is fixed: states, then roots, then manifests. A version whose state says `collected` and that no root read after it pins
//! is read by nobody.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

use jiff::Timestamp;
use object_store::path::Path;

use super::{
    Collector, Error, Live,
    blocks::Group,
    needs::Needs,
    roots::Roots,
    served::{Lot, Served},
    set::{By, Known, OfSet},
};
use crate::{
    find,
    ids::{SetId, TaskId, VersionId, VersionNumber},
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

/// What is known of a source after one reading.
#[derive(Debug)]
pub(super) struct Reading<'a> {
    pub(super) now: Timestamp,
    pub(super) gone: Gone,
    /// The sets, in order.
    pub(super) sets: Vec<OfSet>,
    pub(super) versions: Vec<(VersionId, Fate)>,
    /// By the number of the name.
    served: Vec<Served>,
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
    /// Sets of the source in the store, those that policies name, and those that are known.
    pub(super) async fn sets(&self) -> Result<BTreeSet<SetId>, Error> {
        let mut sets: BTreeSet<SetId> = self.live.sets.iter().chain(self.live.known.keys()).cloned().collect();
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
        for set in sets {
            let of = self.of_set(set, &reading.gone, states, None, &mut reading.needs).await?;
            reading.note_tasks(&of, self.live);
            reading.sets.push(of);
        }
        reading.alive = self.alive(&reading);
        let pins = reading.pins();
        let sets = std::mem::take(&mut reading.sets);
        for of in &sets {
            let none = BTreeMap::new();
            let states = states.get(&of.set).unwrap_or(&none);
            reading.give_up(of, states);
            let mut fates = Vec::with_capacity(of.known.len());
            for known in &of.known {
                let (id, state) = (of.id(self, known.number), states.get(&known.number).cloned().unwrap_or_default());
                let (fate, outside) = (self.fate(known, &id, &state, &pins), !without.contains(&id));
                fates.push((id, fate, outside));
            }
            reading.add(of, fates).await?;
        }
        reading.sets = sets;
        Ok(reading)
    }

    fn fate(&self, known: &Known, id: &VersionId, state: &VersionState, pins: &BTreeSet<VersionId>) -> Fate {
        match state {
            _ if known.is_barrier => Fate::Gone,
            state if state.collected && pins.contains(id) => Fate::Pinned,
            state if state.collected => Fate::Gone,
            state if state.expired.is_some() => Fate::Expired(state.collectable(self.ages.undo)),
            _ => Fate::Plain,
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

impl<'a> Reading<'a> {
    fn new(needs: Needs<'a>, now: Timestamp, gone: Gone, roots: Roots) -> Self {
        let (sets, versions, served, committed) = (Vec::new(), Vec::new(), Vec::new(), HashMap::new());
        let (keeping, alive) = (HashSet::new(), BTreeSet::new());
        Self { now, gone, sets, versions, served, needs, roots, committed, keeping, alive }
    }

    /// Notes which task committed what; the places are those that [`add`](Self::add) will give.
    fn note_tasks(&mut self, of: &OfSet, live: &Live) {
        let first: usize = self.sets.iter().map(|of| of.known.len()).sum();
        for (place, known) in (first..).zip(&of.known) {
            self.committed.insert(known.task.clone(), u32::try_from(place).unwrap_or(u32::MAX));
            if live.keeps_staged(&of.set, known.keeps_staged) {
                self.keeping.insert(known.task.clone());
            }
        }
    }

    /// What was collected and cannot be read any more is gone: nobody can say what it needed.
    fn give_up(&mut self, of: &OfSet, states: &BTreeMap<VersionNumber, VersionState>) {
        let known: BTreeSet<_> = of.known.iter().map(|known| known.number).collect();
        let collected = states.iter().filter(|(_, state)| state.collected).map(|(number, _)| *number);
        collected.filter(|number| !known.contains(number)).for_each(|number| self.gone.insert(&of.set, number));
    }

    fn pins(&self) -> BTreeSet<VersionId> {
        let alive = self.alive.iter().filter_map(|task| self.roots.tasks.get(task));
        alive.flat_map(|of| of.pins.iter().cloned()).collect()
    }

    /// Adds the versions of a set with what they need; the fates are in the order of what is known.
    async fn add(&mut self, of: &OfSet, fates: Vec<(VersionId, Fate, bool)>) -> Result<(), Error> {
        let mut lots = of.blocks.used.iter().map(|block| vec![None; block.versions.len()]).collect::<Vec<_>>();
        for (known, (id, fate, outside)) in of.known.iter().zip(fates) {
            let place = u32::try_from(self.versions.len()).unwrap_or(u32::MAX);
            self.versions.push((id, fate));
            if fate == Fate::Gone {
                self.gone.insert(&of.set, known.number);
            }
            let lot = Lot { place, fate, outside };
            match known.by {
                By::Block(block, at) => lots[block][at as usize] = Some(lot),
                By::Manifest(at) => self.serve_version(&of.manifests[at].manifest, lot).await?,
            }
        }
        for (block, lots) in of.blocks.used.iter().zip(&lots) {
            block.groups.iter().for_each(|group| self.serve_group(group, lots));
        }
        Ok(())
    }

    async fn serve_version(&mut self, manifest: &Manifest, lot: Lot) -> Result<(), Error> {
        let named = match self.needs.of_version(manifest).await {
            Ok(named) => named,
            // It only says why something is garbage.
            Err(error) if lot.fate == Fate::Gone && !error.is_retryable() => Vec::new(),
            Err(error) => return Err(error),
        };
        for (name, object) in named {
            self.serve(name, Served { object, ..lot.into() });
        }
        Ok(())
    }

    fn serve_group(&mut self, group: &Group, lots: &[Option<Lot>]) {
        let lots = group.places().filter_map(|place| lots.get(place as usize).copied().flatten());
        let joined = lots.map(Served::from).reduce(|a, b| a.join(b, &self.versions));
        let Some(joined) = joined else { return };
        for name in &group.names {
            self.serve(*name, Served { object: group.object, ..joined });
        }
    }

    fn serve(&mut self, name: u32, more: Served) {
        let name = name as usize;
        if self.served.len() <= name {
            self.served.resize(name + 1, Served::default());
        }
        self.served[name] = self.served[name].join(more, &self.versions);
    }

    /// Which versions need the object of this name; `None` where none is known to.
    pub(super) fn served(&self, path: &Path) -> Option<&Served> {
        self.served.get(self.needs.known(Key::of(path.as_ref()))? as usize)
    }
}
