//! Readers, operators and collectors of a race.

use std::sync::Arc;

use object_store::ObjectStore;
use tidemark_gateway::{Env, fetch};

use super::{
    super::{needs::of_entry, store_now},
    world::{Claims, Held, Off, World},
};
use crate::{
    chain::VersionSet,
    document, find,
    ids::{TaskId, VersionId, VersionNumber},
    manifest::Manifest,
    names::Names,
    pages,
    states::{By, Change, VersionStates},
    work::{self, WorkRoot},
};

/// Somebody who is neither a writer.
pub(super) struct Other {
    pub(super) world: Arc<World>,
    pub(super) store: Arc<dyn ObjectStore>,
    pub(super) env: Env,
}

type Failed = Box<dyn std::error::Error>;

impl Other {
    /// Any version of the store that is committed, collected or not.
    async fn any_version(&self) -> Option<(VersionId, Manifest)> {
        let source = &self.world.source;
        let sets = find::sets(&self.store, source).await.ok()?;
        let set = sets.get(self.world.roll(sets.len().max(1) as u64) as usize)?.clone();
        let chain = VersionSet::new(self.store.clone(), source.clone(), set.clone());
        let numbers = chain.list().await.ok()?;
        // Mostly a late one: of the others most are collected.
        let late = if self.world.chance(4) { numbers.len() } else { numbers.len().min(6) };
        let number = *numbers.iter().rev().nth(self.world.roll(late.max(1) as u64) as usize)?;
        let manifest = chain.read(number).await.ok()?;
        manifest.version()?;
        Some((VersionId { source: source.clone(), set, number }, manifest))
    }

    fn states(&self, of: &VersionId) -> VersionStates {
        VersionStates::new(self.store.clone(), of.source.clone(), of.set.clone())
    }

    /// Reads a version whole, or is refused because it is collected.
    pub(super) async fn read(self, task: TaskId, of: Option<VersionId>) {
        let version = match of {
            Some(id) => {
                let chain = VersionSet::new(self.store.clone(), id.source.clone(), id.set.clone());
                chain.read(id.number).await.ok().map(|manifest| (id, manifest))
            }
            None => self.any_version().await,
        };
        if let Some((id, manifest)) = version {
            match self.read_version(&task, &id, &manifest).await {
                Ok(what) => self.world.count(what),
                Err(error) => self.world.wrong(format!("a reader of {id} found: {error}")),
            }
        }
        self.world.with_task(&task, |task| task.done = true);
    }

    async fn read_version(&self, task: &TaskId, id: &VersionId, manifest: &Manifest) -> Result<&'static str, Failed> {
        if self.world.off == Off::PinBeforeState {
            let collected = self.states(id).get(id.number).await?.collected;
            self.pin(task, id).await?;
            if collected {
                return Ok("a reader was refused");
            }
        } else {
            self.pin(task, id).await?;
            if self.states(id).get(id.number).await?.collected {
                return Ok("a reader was refused");
            }
        }
        for line in pages::read_lines(&self.store, manifest).await? {
            let Some(entry) = &line.entry else { continue };
            for stored in of_entry(&self.store, entry).await?.unread {
                fetch::get(&self.store, &stored.path(), &stored.stored()).await?;
            }
        }
        Ok("a version was read")
    }

    async fn pin(&self, task: &TaskId, id: &VersionId) -> Result<(), document::Error> {
        self.world.with_task(task, |task| task.reads = true);
        let token = self.world.claim_of(self.world.generation());
        let names = Names::new(id.source.clone(), token);
        let (task, pins, written) = (task.clone(), vec![id.clone()], self.env.now());
        let root = WorkRoot { task, tokens: vec![token], pins, node: "n".to_owned(), written };
        work::write(&self.store, &names, &id.set, &root).await.map(drop)
    }

    /// Expires what is old, as retention does, or decides something about a version.
    pub(super) async fn operate(self) {
        if self.world.chance(2) {
            if let Err(error) = self.keep_last(2).await {
                self.world.wrong(format!("retention: {error}"));
            }
            return;
        }
        let Some((id, _)) = self.any_version().await else { return };
        let reason = "test".to_owned();
        let change = match self.world.roll(6) {
            0 => Change::Expire { reason },
            1..4 => Change::Undo,
            4 => Change::Hold { reason },
            _ => Change::Release,
        };
        if let Err(error) = self.change(&id, &change).await {
            self.world.wrong(format!("{change:?} of {id}: {error}"));
        }
    }

    /// Takes an expiry back.
    pub(super) async fn undo(self, id: VersionId) {
        if let Err(error) = self.change(&id, &Change::Undo).await {
            self.world.wrong(format!("undo of {id}: {error}"));
        }
    }

    pub(super) async fn keep_last(&self, keep: usize) -> Result<(), Failed> {
        let source = &self.world.source;
        let sets = find::sets(&self.store, source).await?;
        let Some(set) = sets.get(self.world.roll(sets.len().max(1) as u64) as usize) else { return Ok(()) };
        let chain = VersionSet::new(self.store.clone(), source.clone(), set.clone());
        let states = VersionStates::new(self.store.clone(), source.clone(), set.clone()).all().await?;
        let visible = |number: &VersionNumber| states.get(number).is_none_or(|state| state.is_visible());
        for number in chain.list().await?.into_iter().rev().filter(visible).skip(keep) {
            let id = VersionId { source: source.clone(), set: set.clone(), number };
            self.change(&id, &Change::Expire { reason: "keep last".to_owned() }).await?;
        }
        Ok(())
    }

    pub(super) async fn change(&self, id: &VersionId, change: &Change) -> Result<(), Failed> {
        let token = self.world.claim_of(self.world.generation());
        let by = By { token, who: "ops", env: &self.env };
        match self.states(id).change(id.number, change, by).await {
            Ok(state) => {
                self.world.count("a state was changed");
                if matches!(change, Change::Undo | Change::Hold { .. }) {
                    self.world.state.lock().unwrap().told.push((id.clone(), state.revision));
                }
                Ok(())
            }
            Err(error) if error.is_refusal() => {
                self.world.count("a change was refused");
                Ok(())
            }
            Err(error) => Err(error.into()),
        }
    }

    /// Collects a few times: sweeps what is due, frees what is staged, marks.
    pub(super) async fn collect(self, generation: u64, forgetful: bool) {
        for _ in 0..3 {
            if let Err(error) = self.try_collect(generation, forgetful).await {
                let what = match error {
                    super::super::Error::Chain { source: crate::chain::Error::ListingLags { .. }, .. } => {
                        "a list lagged"
                    }
                    super::super::Error::OldGeneration { .. } => "a collection found its generation old",
                    super::super::Error::OldToken { .. } => "a collection found its token old",
                    _ => "a collection stopped",
                };
                self.world.count(what);
                tracing::debug!(%error, what);
            }
            // The grace of the marks is over when it looks again.
            self.world.shared.advance(12);
        }
    }

    /// Sweeps what is due, frees and marks, so many times.
    pub(super) async fn collect_alone(&self, times: u64) -> Result<(), super::super::Error> {
        for _ in 0..times {
            self.try_collect(1, false).await?;
            self.world.shared.advance(12);
        }
        Ok(())
    }

    async fn try_collect(&self, generation: u64, forgetful: bool) -> Result<(), super::super::Error> {
        let world = &self.world;
        let as_of = match world.off {
            Off::StoresClock => self.env.now(),
            _ => store_now(&self.store, &self.env).await?,
        };
        let live = world.live(as_of, forgetful);
        let collector = world.collector(&self.store, &live, &self.env);
        let swept = collector.sweep(&Claims { world, generation }).await?;
        if swept.is_some_and(|swept| swept.objects > 0) {
            world.count("a round was swept");
        }
        let claim = Held(world.claim_of(generation));
        collector.free_staged(&claim).await?;
        let early = world.claim_of(generation);
        let marked = collector.mark(&claim).await?;
        if marked.as_ref().is_some_and(|round| round.token == claim.0) {
            world.count("a round was marked");
            if world.off == Off::FenceAfterMarks {
                world.state.lock().unwrap().early = Some(early);
            }
        }
        Ok(())
    }
}
