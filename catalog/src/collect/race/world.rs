//! What the actors of a race share besides the store: a coordinator that gives tokens and keeps checkpoints, and what went wrong.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, Mutex},
};

use futures::future::{BoxFuture, FutureExt};
use jiff::Timestamp;
use object_store::ObjectStore;
use tidemark_gateway::Env;

use super::{
    super::{Ages, Fence, FenceError, Live, rules::Rule},
    stage::{Shared, Stage},
};
use crate::{
    commit::Claim,
    entry::ObjectLine,
    ids::{FencingToken, SetId, SourceId, TaskId, VersionId},
    stored::StoredRef,
};

/// What is not done as it has to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Off {
    Nothing,
    /// A rule of the collector.
    Collector(Rule),
    /// The sweep's token is taken after the marks were stored.
    FenceAfterMarks,
    /// Writers read the marks.
    MarksRead,
    /// Writers hold their checkpoints against the marks.
    CheckpointHeld,
    /// Writers store their root before they read the marks.
    RootBeforeMarks,
    /// Readers pin before they read the state.
    PinBeforeState,
    /// States are created, never overwritten.
    StatesCreated,
    /// Ages are by the store's clock.
    StoresClock,
}

pub(super) const AGES: Ages = Ages { undo: seconds(10), marks: seconds(10), unclaimed: seconds(40) };

const fn seconds(n: u64) -> std::time::Duration {
    std::time::Duration::from_secs(n)
}

/// A task as the coordinator keeps it.
#[derive(Clone, Debug, Default)]
pub(super) struct Task {
    pub(super) set: Option<SetId>,
    pub(super) done: bool,
    /// A reader is always known to be alive; a writer may be forgotten.
    pub(super) reads: bool,
    pub(super) tokens: Vec<FencingToken>,
    pub(super) staged: Option<StoredRef>,
    pub(super) lines: BTreeMap<String, ObjectLine>,
}

#[derive(Debug, Default)]
pub(super) struct State {
    pub(super) revision: u64,
    pub(super) generation: u64,
    pub(super) tasks: BTreeMap<TaskId, Task>,
    /// The token that is used as a fence where it is to be taken too early.
    pub(super) early: Option<FencingToken>,
    /// Versions whose expiry was taken back, or that are held, with the record that says so.
    pub(super) told: Vec<(VersionId, u64)>,
    pub(super) wrong: Vec<String>,
    pub(super) counts: BTreeMap<&'static str, u64>,
}

/// One race.
pub(super) struct World {
    pub(super) inner: Arc<dyn ObjectStore>,
    pub(super) shared: Arc<Shared>,
    pub(super) source: SourceId,
    pub(super) off: Off,
    pub(super) state: Mutex<State>,
    dice: Env,
}

impl World {
    pub(super) fn new(inner: Arc<dyn ObjectStore>, off: Off, seed: u64) -> Arc<Self> {
        let state = State { generation: 1, ..State::default() };
        Arc::new(Self {
            inner,
            shared: Arc::default(),
            source: "east".parse().unwrap(),
            off,
            state: Mutex::new(state),
            dice: Env::seeded(seed, Timestamp::UNIX_EPOCH),
        })
    }

    /// A number below `sides`.
    pub(super) fn roll(&self, sides: u64) -> u64 {
        self.dice.noise() % sides
    }

    pub(super) fn chance(&self, one_in: u64) -> bool {
        self.roll(one_in) == 0
    }

    /// Clock and randomness of an actor; the clock is that of a node, and wrong.
    pub(super) fn env(&self) -> Env {
        Env::seeded(self.dice.noise(), Timestamp::from_second(4_000_000_000).unwrap())
    }

    /// The store as an actor sees it; without a number as the scheduler does.
    pub(super) fn store(&self, actor: Option<usize>) -> Arc<dyn ObjectStore> {
        let overwrites_states = self.off == Off::StatesCreated;
        Arc::new(Stage { inner: self.inner.clone(), shared: self.shared.clone(), actor, overwrites_states })
    }

    pub(super) fn claim_of(&self, generation: u64) -> FencingToken {
        let mut state = self.state.lock().unwrap();
        state.revision += 1;
        FencingToken { generation, revision: state.revision }
    }

    pub(super) fn generation(&self) -> u64 {
        self.state.lock().unwrap().generation
    }

    pub(super) fn count(&self, what: &'static str) {
        *self.state.lock().unwrap().counts.entry(what).or_default() += 1;
    }

    pub(super) fn wrong(&self, what: String) {
        self.state.lock().unwrap().wrong.push(what);
    }

    pub(super) fn with_task<T>(&self, task: &TaskId, change: impl FnOnce(&mut Task) -> T) -> T {
        change(self.state.lock().unwrap().tasks.entry(task.clone()).or_default())
    }

    /// Writers that are not done.
    pub(super) fn unfinished(&self) -> Vec<(TaskId, SetId)> {
        let state = self.state.lock().unwrap();
        let open = state.tasks.iter().filter(|(_, task)| !task.done);
        open.filter_map(|(id, task)| Some((id.clone(), task.set.clone()?))).collect()
    }

    /// What a collector is told; a writer may be left out.
    pub(super) fn live(&self, as_of: Timestamp, forgetful: bool) -> Live {
        let tasks = self.state.lock().unwrap().tasks.clone();
        let mut live = Live { as_of, keep_staged: ["kept".parse().unwrap()].into(), ..Live::default() };
        let (done, open): (BTreeMap<_, _>, BTreeMap<_, _>) = tasks.into_iter().partition(|(_, task)| task.done);
        live.done = done.into_keys().collect();
        let known = open.into_iter().filter(|(_, task)| task.reads || !forgetful || !self.chance(2));
        live.tasks = known.map(|(id, _)| id).collect::<BTreeSet<_>>();
        live
    }
}

/// A claim that is never known to be lost: only its token counts.
pub(super) struct Held(pub(super) FencingToken);

impl Claim for Held {
    fn token(&self) -> FencingToken {
        self.0
    }

    fn holds(&self) -> bool {
        true
    }
}

/// Claims of a collector's generation.
pub(super) struct Claims<'a> {
    pub(super) world: &'a World,
    pub(super) generation: u64,
}

impl Fence for Claims<'_> {
    fn claim(&self) -> BoxFuture<'_, Result<Arc<dyn Claim>, FenceError>> {
        let early = self.world.state.lock().unwrap().early;
        let token = early.unwrap_or_else(|| self.world.claim_of(self.generation));
        async move { Ok(Arc::new(Held(token)) as Arc<dyn Claim>) }.boxed()
    }
}
