//! Collection raced against all others, with a scheduler that picks by a seed whose store call is next, kills at any of them and
//! moves the clock. What is proven in [`super`] is looked at here; with any of its rules switched off, data is lost.

mod others;
pub(super) mod stage;
pub(super) mod world;
pub(super) mod writer;

use std::{collections::BTreeSet, future::Future, pin::Pin, sync::Arc, task::Poll};

use futures::future::poll_fn;
use object_store::{ObjectStore, ObjectStoreExt, local::LocalFileSystem, memory::InMemory, path::Path};

use self::{
    others::Other,
    world::{AGES, Off, World},
    writer::Writer,
};
use super::{Collector, Survey, needs, rules::Rule};
use crate::{
    chain::VersionSet,
    find,
    ids::{SetId, TaskId},
    layout, pages,
    states::VersionStates,
};

/// Store calls of a round, before all come to their end.
const STEPS: u64 = 1000;

/// Actors at a time: most of them lie still most of the time.
const ACTORS: usize = 9;

/// Somebody who makes store calls.
struct Actor {
    number: usize,
    course: Pin<Box<dyn Future<Output = ()>>>,
    /// Who has the highest goes on.
    priority: u64,
    /// The task that ends with it, where it is killed.
    reader: Option<TaskId>,
    collects: bool,
}

struct Race {
    world: Arc<World>,
    actors: Vec<Actor>,
    made: usize,
}

impl Race {
    fn new(inner: Arc<dyn ObjectStore>, off: Off, seed: u64) -> Self {
        Self { world: World::new(inner, off, seed), actors: Vec::new(), made: 0 }
    }

    fn enter(&mut self, reader: Option<TaskId>, collects: bool, course: impl FnOnce(Other) -> Course) {
        self.made += 1;
        let (number, world) = (self.made, self.world.clone());
        let other = Other { store: world.store(Some(number)), env: world.env(), world };
        self.actors.push(Actor { number, course: course(other), priority: self.world.roll(1 << 32), reader, collects });
    }

    fn enter_writer(&mut self, task: TaskId, set: SetId) {
        let shares = set.as_str().starts_with("late");
        self.enter(None, false, |Other { world, store, env }| {
            Box::pin(Writer { world, store, env, task, set, shares }.run())
        });
    }

    /// A new actor of a kind that is drawn.
    fn enter_any(&mut self) {
        let world = self.world.clone();
        match world.roll(10) {
            0..2 => {
                let set: SetId = ["daily", "kept"][world.roll(2) as usize].parse().unwrap();
                let task: TaskId = format!("task-{}", self.made).parse().unwrap();
                world.with_task(&task, |task| task.set = Some(set.clone()));
                self.enter_writer(task, set);
            }
            2 | 3 => {
                let task: TaskId = format!("task-{}", self.made).parse().unwrap();
                self.enter(Some(task.clone()), false, |other| Box::pin(other.read(task, None)));
            }
            4 | 5 => self.enter(None, false, |other| Box::pin(other.operate())),
            _ => {
                // A daemon whose generation is not the newest may not know it.
                let generation = world.generation() - world.roll(3).min(1).min(world.generation() - 1);
                self.enter(None, true, move |other| Box::pin(other.collect(generation, true)));
            }
        }
    }

    /// Lets an actor make its next store call; true where it has come to its end.
    async fn go_on(&mut self, at: usize) -> bool {
        let (shared, actor) = (self.world.shared.clone(), &mut self.actors[at]);
        shared.grant(actor.number);
        poll_fn(|context| match actor.course.as_mut().poll(context) {
            Poll::Ready(()) => Poll::Ready(true),
            Poll::Pending if shared.is_waiting(actor.number) => Poll::Ready(false),
            Poll::Pending => Poll::Pending,
        })
        .await
    }

    /// The actor with the highest priority makes a call. Priorities change seldom, so that some come far while others lie still at
    /// the worst of places.
    async fn step(&mut self) {
        let world = self.world.clone();
        self.weather().await;
        self.resume();
        while self.actors.len() < ACTORS {
            self.enter_any();
        }
        if world.chance(30) {
            let any = world.roll(self.actors.len() as u64) as usize;
            self.actors[any].priority = world.roll(1 << 32);
        }
        let Some(at) = (0..self.actors.len()).max_by_key(|at| self.actors[*at].priority) else { return };
        if world.chance(150) {
            self.kill(at);
        } else if world.chance(20) {
            self.actors[at].priority = world.roll(1 << 30);
        } else if self.go_on(at).await {
            self.actors.swap_remove(at);
        }
    }

    /// Time passes, and sometimes a new coordinator takes over.
    async fn weather(&mut self) {
        let world = self.world.clone();
        match world.roll(200) {
            0..8 => world.shared.advance(12),
            8..=11 => world.shared.advance(45),
            12 if world.generation() < 3 && world.chance(3) => self.take_over().await,
            _ => {}
        }
    }

    async fn take_over(&self) {
        let generation = self.world.generation() + 1;
        let path = layout::generation(generation);
        self.world.store(None).put(&path, "generation".into()).await.unwrap();
        self.world.state.lock().unwrap().generation = generation;
    }

    /// Tasks whose process was killed go on in another one.
    fn resume(&mut self) {
        let world = self.world.clone();
        if !world.chance(15) {
            return;
        }
        let open = world.unfinished();
        let Some((task, set)) = open.get(world.roll(open.len().max(1) as u64) as usize).cloned() else { return };
        // Where it still runs, there are two of it for a while, as after a lease was lost.
        if self.actors.len() <= ACTORS {
            self.enter_writer(task, set);
        }
    }

    fn kill(&mut self, at: usize) {
        let killed = self.actors.swap_remove(at);
        self.world.count("an actor was killed");
        if let Some(task) = killed.reader {
            self.world.with_task(&task, |task| task.done = true);
        }
    }

    /// All come to their end, and tasks that were killed too.
    async fn drain(&mut self) {
        while !self.actors.is_empty() {
            let at = self.world.roll(self.actors.len() as u64) as usize;
            if self.go_on(at).await {
                self.actors.swap_remove(at);
            }
        }
    }

    /// A race of few around one task that is resumed, while what its versions are made of expires.
    async fn run_narrow(&mut self) -> Result<(), String> {
        let world = self.world.clone();
        let daily: SetId = "daily".parse().unwrap();
        for task in ["one", "two", "three"] {
            self.enter_new_writer(task, &daily);
            self.drain().await;
        }
        self.enter_new_writer("resumed", &daily);
        for _ in 0..4 + world.roll(16) {
            if self.go_on(0).await {
                break;
            }
        }
        self.actors.clear();
        self.other().keep_last(1).await.map_err(|error| error.to_string())?;
        world.shared.advance(12 + 45 * world.roll(2));
        if world.chance(4) {
            self.other().collect(1, true).await;
        }
        self.enter_cast();
        while !self.actors.is_empty() {
            self.step_narrow().await;
            self.require_right()?;
        }
        self.require_whole().await.map(drop)
    }

    /// A collector with one or two of those who may get in its way, or with all of them.
    fn enter_cast(&mut self) {
        let who = self.world.roll(8);
        let all = who > 4;
        if who == 0 || all {
            self.enter_resumed();
        }
        if who <= 1 || all {
            self.enter_new_writer("late-0", &"late-0".parse().unwrap());
        }
        if who == 2 || all {
            self.enter_reader("reader-1", "east.daily.1");
        }
        if who == 3 || all {
            self.enter_reader("reader-2", "east.daily.2");
            self.enter(None, false, |other| Box::pin(other.operate()));
        }
        if who == 4 {
            self.enter_resumed();
        }
        self.enter(None, true, |other| Box::pin(other.collect(1, true)));
        if all && self.world.chance(2) {
            self.enter_new_writer("late-1", &"late-1".parse().unwrap());
            self.enter(None, true, |other| Box::pin(other.collect(1, true)));
        }
    }

    fn enter_resumed(&mut self) {
        let task: TaskId = "resumed".parse().unwrap();
        if !self.world.with_task(&task, |task| task.done) {
            self.enter_writer(task, "daily".parse().unwrap());
        }
    }

    fn enter_reader(&mut self, task: &str, of: &str) {
        let (task, of): (TaskId, _) = (task.parse().unwrap(), of.parse().unwrap());
        self.enter(Some(task.clone()), false, |other| Box::pin(other.read(task, Some(of))));
    }

    async fn step_narrow(&mut self) {
        let world = self.world.clone();
        if world.chance(80) && world.generation() == 1 {
            self.take_over().await;
        }
        let Some(at) = (0..self.actors.len()).max_by_key(|at| self.actors[*at].priority) else { return };
        if world.chance(400) {
            self.kill(at);
        } else if world.chance(12) {
            self.actors[at].priority = world.roll(1 << 32);
        } else if self.go_on(at).await {
            self.actors.swap_remove(at);
        }
    }

    fn other(&self) -> Other {
        Other { store: self.world.store(None), env: self.world.env(), world: self.world.clone() }
    }

    fn enter_new_writer(&mut self, task: &str, set: &SetId) {
        let task: TaskId = task.parse().unwrap();
        self.world.with_task(&task, |task| task.set = Some(set.clone()));
        self.enter_writer(task, set.clone());
    }

    /// The whole race, narrow or wide; then all is brought to its end.
    async fn run(&mut self, wide: bool) -> Result<(), String> {
        if wide {
            self.run_wide().await?
        } else {
            self.run_narrow().await?
        }
        for (task, set) in self.world.unfinished() {
            self.enter_writer(task, set);
        }
        self.drain().await;
        self.require_right()?;
        self.require_whole().await?;
        if self.world.off == Off::Nothing { self.settle().await } else { Ok(()) }
    }

    /// A race of many.
    async fn run_wide(&mut self) -> Result<(), String> {
        for _ in 0..STEPS {
            let collectors = self.actors.iter().filter(|actor| actor.collects).count();
            self.step().await;
            if self.actors.iter().filter(|actor| actor.collects).count() < collectors {
                self.require_whole().await?;
            }
            self.require_right()?;
        }
        self.drain().await;
        Ok(())
    }

    fn require_right(&self) -> Result<(), String> {
        match self.world.state.lock().unwrap().wrong.first() {
            Some(wrong) => Err(wrong.clone()),
            None => Ok(()),
        }
    }

    /// Every object is there that a version needs which is not collected.
    async fn require_whole(&self) -> Result<u64, String> {
        let (store, source) = (self.world.store(None), &self.world.source);
        let mut needed: BTreeSet<(Path, u64)> = BTreeSet::new();
        for set in find::sets(&store, source).await.unwrap() {
            let states = VersionStates::new(store.clone(), source.clone(), set.clone()).all().await.unwrap();
            let chain = VersionSet::new(store.clone(), source.clone(), set.clone());
            self.require_undone(&set, &store).await?;
            for manifest in chain.verify_chain().await.map_err(|error| error.to_string())? {
                if states.get(&manifest.number).is_some_and(|state| state.collected) {
                    continue;
                }
                let lost = |error: String| format!("version {} lost: {error}", needs::version_id(&manifest));
                let pages = manifest.version().map(|version| version.pages.clone()).unwrap_or_default();
                needed.extend(pages.iter().map(|page| (page.path(), page.size)));
                let lines = pages::read_lines(&store, &manifest).await.map_err(|error| lost(chain_of(&error)))?;
                for entry in lines.iter().filter_map(|line| line.entry.as_ref()) {
                    let needs = needs::of_entry(&store, entry).await.map_err(|error| lost(chain_of(&error)))?;
                    for stored in needs.all() {
                        store.head(&stored.path()).await.map_err(|error| lost(error.to_string()))?;
                        needed.insert((stored.path(), stored.size));
                    }
                }
            }
        }
        Ok(needed.iter().map(|(_, bytes)| bytes).sum())
    }

    /// What an operator was told to be undone or held was not collected by that same record.
    async fn require_undone(&self, set: &SetId, store: &Arc<dyn ObjectStore>) -> Result<(), String> {
        let told = self.world.state.lock().unwrap().told.clone();
        for (id, revision) in told.iter().filter(|(id, _)| id.set == *set) {
            let states = VersionStates::new(store.clone(), id.source.clone(), set.clone());
            let listed = crate::states::Listed { revision: *revision, since: self.world.shared.now() };
            if states.read(id.number, listed).await.map_err(|error| error.to_string())?.collected {
                return Err(format!("version {id} was collected by the record that took its expiry back"));
            }
        }
        Ok(())
    }

    /// After everybody is done, two collections leave what versions need, to the byte.
    async fn settle(&mut self) -> Result<(), String> {
        self.world.state.lock().unwrap().early = None;
        for _ in 0..3 {
            self.world.shared.advance(50);
            let generation = self.world.generation();
            self.other().collect(generation, false).await;
        }
        let needed = self.require_whole().await?;
        let survey = self.survey().await;
        let left = survey.versions.bytes + survey.expired.bytes;
        let rest = [survey.pinned, survey.tasks, survey.marked, survey.garbage, survey.young];
        if left != needed || rest.iter().any(|sum| sum.objects > 0) {
            return Err(format!("{needed} bytes are needed, and left is {survey:?}"));
        }
        if survey.foreign.objects != 1 {
            return Err("what is foreign was deleted".to_owned());
        }
        Ok(())
    }

    async fn survey(&self) -> Survey {
        let (store, env) = (self.world.store(None), self.world.env());
        let live = self.world.live(self.world.shared.now(), false);
        let collector = Collector::new(&store, &self.world.source, &live, AGES, "n", &env);
        collector.survey(&BTreeSet::new(), &mut |_| {}).await.unwrap()
    }
}

type Course = Pin<Box<dyn Future<Output = ()>>>;

fn chain_of(error: &(dyn std::error::Error + 'static)) -> String {
    tidemark_gateway::causes::joined(error)
}

/// Runs one race; what was lost, and how often what happened.
async fn race(inner: Arc<dyn ObjectStore>, off: Off, seed: u64, wide: bool) -> (Result<(), String>, Arc<World>) {
    let mut race = Race::new(inner, off, seed);
    let store = race.world.store(None);
    store.put(&Path::from("sources/east/segments/foreign"), "x".into()).await.unwrap();
    store.put(&layout::generation(1), "generation".into()).await.unwrap();
    let ended = race.run(wide).await;
    (ended, race.world.clone())
}

/// How many races there are, on each of memory and directory.
fn rounds() -> u64 {
    std::env::var("TIDEMARK_COLLECT_ROUNDS").ok().and_then(|rounds| rounds.parse().ok()).unwrap_or(ROUNDS)
}

const ROUNDS: u64 = 100;

/// One race of so many is wide.
const WIDE: u64 = 5;

/// Narrow races within which a rule that is not kept is seen to lose data.
const LOSING_ROUNDS: u64 = 1000;

/// Runs the races and requires that nothing was lost and that all that is to be raced did happen.
async fn race_all(place: impl Fn() -> (Arc<dyn ObjectStore>, Option<tempfile::TempDir>)) {
    let mut counts = std::collections::BTreeMap::new();
    for seed in 0..rounds() {
        let (inner, _directory) = place();
        let (ended, world) = race(inner, Off::Nothing, seed, seed % WIDE == 0).await;
        assert!(ended.is_ok(), "seed {seed}: {}", ended.unwrap_err());
        for (what, count) in &world.state.lock().unwrap().counts {
            *counts.entry(*what).or_insert(0) += count;
        }
    }
    println!("{counts:#?}");
    for what in [
        "a claim was fenced",
        "a line of a checkpoint was made anew",
        "a line was shared",
        "a version was committed",
        "a reader was refused",
        "a version was read",
        "a round was marked",
        "a round was swept",
        "a change was refused",
        "an actor was killed",
    ] {
        assert!(counts.get(what).is_some_and(|count| *count > rounds() / 20), "{what}: {counts:#?}");
    }
}

#[tokio::test]
async fn nothing_that_is_needed_is_deleted_in_memory() {
    race_all(|| (Arc::new(InMemory::new()), None)).await;
}

#[tokio::test]
async fn nothing_that_is_needed_is_deleted_in_a_directory() {
    race_all(|| {
        let directory = tempfile::tempdir().unwrap();
        (Arc::new(LocalFileSystem::new_with_prefix(directory.path()).unwrap()), Some(directory))
    })
    .await;
}

/// Races until data is lost with `off`.
async fn loses(off: Off) {
    for seed in 0..LOSING_ROUNDS {
        if let (Err(lost), _) = race(Arc::new(InMemory::new()), off, seed, false).await {
            println!("{off:?}: seed {seed}: {lost}");
            return;
        }
    }
    panic!("{off:?}: nothing was lost");
}

macro_rules! rules {
    ($($name:ident: $off:expr;)*) => {$(
        #[tokio::test]
        async fn $name() {
            loses($off).await;
        }
    )*};
}

rules! {
    data_is_lost_without_barriers: Off::Collector(Rule::Barrier);
    data_is_lost_without_a_second_reading: Off::Collector(Rule::SecondReading);
    data_is_lost_where_an_old_generation_goes_on: Off::Collector(Rule::NewestGeneration);
    data_is_lost_where_roots_are_read_before_versions_are_collected: Off::Collector(Rule::RootsAfterRecords);
    data_is_lost_where_the_fence_is_older_than_the_marks: Off::FenceAfterMarks;
    data_is_lost_where_writers_do_not_read_the_marks: Off::MarksRead;
    data_is_lost_where_resumed_writers_do_not_check_their_checkpoint: Off::CheckpointHeld;
    data_is_lost_where_writers_read_the_marks_before_they_write_their_root: Off::RootBeforeMarks;
    data_is_lost_where_readers_read_the_state_before_they_pin: Off::PinBeforeState;
    data_is_lost_where_states_are_overwritten: Off::StatesCreated;
    data_is_lost_where_ages_are_by_a_nodes_clock: Off::StoresClock;
}
