//! What the actors of a race share besides the store: a coordinator that gives tokens and keeps checkpoints, and what went wrong.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
};

use futures::future::{BoxFuture, FutureExt};
use jiff::Timestamp;
use object_store::ObjectStore;
use tidemark_gateway::Env;

use super::{
    super::{Ages, Collector, Fence, FenceError, Live, rules::Rule},
    stage::{Shared, Stage},
};
use crate::{
    chain::Head,
    commit::Claim,
    entry::ObjectLine,
    ids::{FencingToken, SetId, SourceId, TaskId, VersionId},
    stored::StoredRef,
};

/// What is not done as it has to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::collect) enum Off {
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
    /// Numbers of which states or marks tell are not given again, nor are sets read that end before them.
    GivenNumbers,
}

pub(in crate::collect) const AGES: Ages = Ages { undo: seconds(10), marks: seconds(10), unclaimed: seconds(40) };

const fn seconds(n: u64) -> std::time::Duration {
    std::time::Duration::from_secs(n)
}

/// A task as the coordinator keeps it.
#[derive(Clone, Debug, Default)]
pub(in crate::collect) struct Task {
    pub(in crate::collect) set: Option<SetId>,
    pub(in crate::collect) done: bool,
    /// A reader is always known to be alive; a writer may be forgotten.
    pub(in crate::collect) reads: bool,
    pub(in crate::collect) tokens: Vec<FencingToken>,
    pub(in crate::collect) staged: Option<StoredRef>,
    pub(in crate::collect) lines: BTreeMap<String, ObjectLine>,
}

#[derive(Debug, Default)]
pub(in crate::collect) struct State {
    pub(in crate::collect) revision: u64,
    pub(in crate::collect) generation: u64,
    pub(in crate::collect) tasks: BTreeMap<TaskId, Task>,
    /// The token that is used as a fence where it is to be taken too early.
    pub(in crate::collect) early: Option<FencingToken>,
    /// Versions whose expiry was taken back, or that are held, with the record that says so.
    pub(in crate::collect) told: Vec<(VersionId, u64)>,
    /// The manifest by which a set was fenced last.
    pub(in crate::collect) fenced: BTreeMap<SetId, Head>,
    pub(in crate::collect) wrong: Vec<String>,
    pub(in crate::collect) counts: BTreeMap<&'static str, u64>,
}

/// One race.
pub(in crate::collect) struct World {
    pub(in crate::collect) inner: Arc<dyn ObjectStore>,
    pub(in crate::collect) shared: Arc<Shared>,
    pub(in crate::collect) source: SourceId,
    pub(in crate::collect) off: Off,
    /// Numbers of a needs block.
    pub(in crate::collect) numbers: u64,
    pub(in crate::collect) state: Mutex<State>,
    /// Whether lists of manifests may lag from the barriers of a sweep to the next.
    pub(in crate::collect) lags: AtomicBool,
    dice: Env,
}

impl World {
    pub(in crate::collect) fn new(inner: Arc<dyn ObjectStore>, off: Off, seed: u64, numbers: u64) -> Arc<Self> {
        let state = State { generation: 1, ..State::default() };
        Arc::new(Self {
            inner,
            shared: Arc::default(),
            source: "east".parse().unwrap(),
            off,
            numbers,
            state: Mutex::new(state),
            lags: AtomicBool::new(false),
            dice: Env::seeded(seed, Timestamp::UNIX_EPOCH),
        })
    }

    /// A number below `sides`.
    pub(in crate::collect) fn roll(&self, sides: u64) -> u64 {
        self.dice.noise() % sides
    }

    pub(in crate::collect) fn chance(&self, one_in: u64) -> bool {
        self.roll(one_in) == 0
    }

    /// Clock and randomness of an actor; the clock is that of a node, and wrong.
    pub(in crate::collect) fn env(&self) -> Env {
        Env::seeded(self.dice.noise(), Timestamp::from_second(4_000_000_000).unwrap())
    }

    /// The store as an actor sees it; without a number as the scheduler does.
    pub(in crate::collect) fn store(&self, actor: Option<usize>) -> Arc<dyn ObjectStore> {
        let overwrites_states = self.off == Off::StatesCreated;
        Arc::new(Stage { inner: self.inner.clone(), shared: self.shared.clone(), actor, overwrites_states })
    }

    pub(in crate::collect) fn claim_of(&self, generation: u64) -> FencingToken {
        let mut state = self.state.lock().unwrap();
        state.revision += 1;
        FencingToken { generation, revision: state.revision }
    }

    pub(in crate::collect) fn generation(&self) -> u64 {
        self.state.lock().unwrap().generation
    }

    /// A collector of the source.
    pub(in crate::collect) fn collector<'a>(
        &'a self,
        store: &'a Arc<dyn ObjectStore>,
        live: &'a Live,
        env: &'a Env,
    ) -> Collector<'a> {
        let mut collector = Collector::new(store, &self.source, live, AGES, "n", env);
        collector.numbers = self.numbers;
        collector.broken = match self.off {
            Off::Collector(rule) => Some(rule),
            Off::GivenNumbers => Some(Rule::ToldNumbers),
            _ => None,
        };
        collector
    }

    pub(in crate::collect) fn count(&self, what: &'static str) {
        *self.state.lock().unwrap().counts.entry(what).or_default() += 1;
    }

    pub(in crate::collect) fn wrong(&self, what: String) {
        self.state.lock().unwrap().wrong.push(what);
    }

    pub(in crate::collect) fn with_task<T>(&self, task: &TaskId, change: impl FnOnce(&mut Task) -> T) -> T {
        change(self.state.lock().unwrap().tasks.entry(task.clone()).or_default())
    }

    /// Writers that are not done.
    pub(in crate::collect) fn unfinished(&self) -> Vec<(TaskId, SetId)> {
        let state = self.state.lock().unwrap();
        let open = state.tasks.iter().filter(|(_, task)| !task.done);
        open.filter_map(|(id, task)| Some((id.clone(), task.set.clone()?))).collect()
    }

    /// What a collector is told; a writer may be left out.
    pub(in crate::collect) fn live(&self, as_of: Timestamp, forgetful: bool) -> Live {
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
pub(in crate::collect) struct Held(pub(in crate::collect) FencingToken);

impl Claim for Held {
    fn token(&self) -> FencingToken {
        self.0
    }

    fn holds(&self) -> bool {
        true
    }
}

/// Claims of a collector's generation.
pub(in crate::collect) struct Claims<'a> {
    pub(in crate::collect) world: &'a World,
    pub(in crate::collect) generation: u64,
}

impl Fence for Claims<'_> {
    fn claim(&self) -> BoxFuture<'_, Result<Arc<dyn Claim>, FenceError>> {
        self.world.shared.set_lag(0);
        let early = self.world.state.lock().unwrap().early;
        let token = early.unwrap_or_else(|| self.world.claim_of(self.generation));
        async move { Ok(Arc::new(Held(token)) as Arc<dyn Claim>) }.boxed()
    }

    fn known<'a>(&'a self, set: &'a SetId) -> BoxFuture<'a, Result<Option<Head>, FenceError>> {
        // Who has lost what it knew of a set has nothing but what states and marks tell.
        let known = self.world.state.lock().unwrap().fenced.get(set).copied();
        let known = known.filter(|_| self.world.off != Off::GivenNumbers);
        async move { Ok(known) }.boxed()
    }

    fn fenced<'a>(&'a self, set: &'a SetId, head: Head) -> BoxFuture<'a, Result<(), FenceError>> {
        self.world.state.lock().unwrap().fenced.insert(set.clone(), head);
        if self.world.lags.load(Ordering::SeqCst) {
            self.world.shared.set_lag(self.world.roll(3));
        }
        async { Ok(()) }.boxed()
    }
}
