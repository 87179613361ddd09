//! A source in memory that tests collect.

use std::{collections::BTreeMap, sync::Arc};

use futures::TryStreamExt;
use object_store::{ObjectStore, memory::InMemory};
use tidemark_gateway::Env;

use super::super::{
    Class, Collector, Error, Line, Live, Round, Survey, Swept,
    race::{
        world::{Claims, Held, Off, World},
        writer::Writer,
    },
};
use crate::{
    ids::{SetId, TaskId, VersionId},
    states::{By, Change, VersionState, VersionStates},
    testing::token,
};

/// A source with a clock that only the test moves.
pub(in crate::collect) struct Bench {
    pub(in crate::collect) world: Arc<World>,
    pub(in crate::collect) store: Arc<dyn ObjectStore>,
    pub(in crate::collect) env: Env,
}

impl Bench {
    pub(in crate::collect) fn new() -> Self {
        Self::of(Off::Nothing, 1, 2)
    }

    /// Whose needs blocks have so many numbers.
    pub(in crate::collect) fn of(off: Off, seed: u64, numbers: u64) -> Self {
        let world = World::new(Arc::new(InMemory::new()), off, seed, numbers);
        Self { store: world.store(None), env: world.env(), world }
    }

    pub(in crate::collect) async fn commit(&self, set: &str, task: &str) {
        self.commit_version(set, task, false).await;
    }

    /// As [`commit`](Self::commit); what it can share with the versions before it does share.
    pub(in crate::collect) async fn commit_sharing(&self, set: &str, task: &str) {
        self.commit_version(set, task, true).await;
    }

    async fn commit_version(&self, set: &str, task: &str, shares: bool) {
        let (world, store, env) = (self.world.clone(), self.store.clone(), self.world.env());
        let (set, task): (SetId, TaskId) = (set.parse().unwrap(), task.parse().unwrap());
        world.with_task(&task, |task| task.set = Some(set.clone()));
        Writer { world, store, env, task, set, shares }.run().await;
    }

    pub(in crate::collect) async fn change(&self, version: &str, change: Change) -> VersionState {
        let id: VersionId = version.parse().unwrap();
        let states = VersionStates::new(self.store.clone(), id.source, id.set);
        let by = By { token: token(1), who: "ops", env: &self.env };
        states.change(id.number, &change, by).await.unwrap()
    }

    pub(in crate::collect) async fn expire(&self, version: &str) {
        self.change(version, Change::Expire { reason: "test".to_owned() }).await;
    }

    pub(in crate::collect) fn live(&self) -> Live {
        self.world.live(self.world.shared.now(), false)
    }

    pub(in crate::collect) async fn with<T>(&self, of: impl AsyncFnOnce(&Collector<'_>) -> T) -> T {
        let live = self.live();
        of(&self.world.collector(&self.store, &live, &self.env)).await
    }

    pub(in crate::collect) async fn free(&self) -> Result<Swept, Error> {
        let claim = Held(self.world.claim_of(1));
        self.with(async |collector| collector.free_staged(&claim).await).await
    }

    pub(in crate::collect) async fn mark(&self) -> Result<Option<Round>, Error> {
        let claim = Held(self.world.claim_of(1));
        self.with(async |collector| collector.mark(&claim).await).await
    }

    pub(in crate::collect) async fn sweep(&self) -> Result<Option<Swept>, Error> {
        let claims = Claims { world: &self.world, generation: 1 };
        self.with(async |collector| collector.sweep(&claims).await).await
    }

    /// Frees, marks, waits and sweeps until nothing is marked any more; what was deleted of pages and segments.
    pub(in crate::collect) async fn collect(&self) -> u64 {
        let mut bytes = 0;
        self.free().await.unwrap();
        while self.mark().await.unwrap().is_some() {
            self.world.shared.advance(12);
            bytes += self.sweep().await.unwrap().unwrap().bytes;
        }
        bytes
    }

    pub(in crate::collect) async fn survey(&self, without: &[&str]) -> (Survey, BTreeMap<String, Class>) {
        let without = without.iter().map(|id| id.parse().unwrap()).collect();
        let mut lines = BTreeMap::new();
        let mut note = |line: Line| drop(lines.insert(line.path.to_string(), line.class));
        let survey = self.with(async |collector| collector.survey(&without, &mut note).await).await.unwrap();
        (survey, lines)
    }

    pub(in crate::collect) async fn names(&self) -> Vec<String> {
        let listed: Vec<_> = self.store.list(None).try_collect().await.unwrap();
        listed.into_iter().map(|meta| meta.location.to_string()).collect()
    }
}
