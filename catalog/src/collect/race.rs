//! Collection raced against all others, with a scheduler that picks by a seed whose store call is next, kills at any of them and
//! moves the clock. What is proven in [`super`] is looked at here; with any of its rules switched off, data is lost.

mod others;
mod stage;
mod world;
mod writer;

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
const STEPS: u64 = 900;

/// Actors at a time.
const ACTORS: usize = 7;

/// Somebody who makes store calls.
struct Actor {
    number: usize,
    course: Pin<Box<dyn Future<Output = ()>>>,
    /// The step before which nothing is done.
    frozen: u64,
    /// The task that ends with it, where it is killed.
    reader: Option<TaskId>,
    collects: bool,
}

struct Race {
    world: Arc<World>,
    actors: Vec<Actor>,
    made: usize,
    step: u64,
}

impl Race {
    fn new(inner: Arc<dyn ObjectStore>, off: Off, seed: u64) -> Self {
        Self { world: World::new(inner, off, seed), actors: Vec::new(), made: 0, step: 0 }
    }

    fn enter(&mut self, reader: Option<TaskId>, collects: bool, course: impl FnOnce(Other) -> Course) {
        self.made += 1;
        let (number, world) = (self.made, self.world.clone());
        let other = Other { store: world.store(Some(number)), env: world.env(), world };
        self.actors.push(Actor { number, course: course(other), frozen: 0, reader, collects });
    }

    fn enter_writer(&mut self, task: TaskId, set: SetId) {
        self.enter(None, false, |Other { world, store, env }| Box::pin(Writer { world, store, env, task, set }.run()));
    }

    /// A new actor of a kind that is drawn.
    fn enter_any(&mut self) {
        let world = self.world.clone();
        match world.roll(10) {
            0..3 => {
                let set: SetId = ["daily", "hourly", "kept"][world.roll(3) as usize].parse().unwrap();
                let task: TaskId = format!("task-{}", self.made).parse().unwrap();
                world.with_task(&task, |task| task.set = Some(set.clone()));
                self.enter_writer(task, set);
            }
            3 | 4 => {
                let task: TaskId = format!("task-{}", self.made).parse().unwrap();
                world.with_task(&task, |task| task.reads = true);
                self.enter(Some(task.clone()), false, |other| Box::pin(other.read(task)));
            }
            5 | 6 => self.enter(None, false, |other| Box::pin(other.operate())),
            _ => {
                let generation = world.generation();
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

    async fn step(&mut self) {
        let world = self.world.clone();
        self.step += 1;
        self.weather().await;
        self.resume();
        while self.actors.len() < ACTORS {
            self.enter_any();
        }
        let able: Vec<usize> = (0..self.actors.len()).filter(|at| self.actors[*at].frozen <= self.step).collect();
        let Some(at) = able.get(world.roll(able.len().max(1) as u64) as usize).copied() else { return };
        if world.chance(60) {
            self.kill(at);
        } else if world.chance(40) {
            self.actors[at].frozen = self.step + 20 + world.roll(300);
        } else if self.go_on(at).await {
            self.actors.swap_remove(at);
        }
    }

    /// Time passes, and sometimes a new coordinator takes over.
    async fn weather(&mut self) {
        let world = self.world.clone();
        match world.roll(120) {
            0..4 => world.shared.advance(12),
            4 | 5 => world.shared.advance(45),
            6 if world.generation() < 3 && world.chance(3) => {
                let generation = world.generation() + 1;
                let path = layout::generation(generation);
                world.store(None).put(&path, "generation".into()).await.unwrap();
                world.state.lock().unwrap().generation = generation;
            }
            _ => {}
        }
    }

    /// Tasks whose process was killed go on in another one.
    fn resume(&mut self) {
        let world = self.world.clone();
        if !world.chance(20) {
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

    /// The whole race.
    async fn run(&mut self) -> Result<(), String> {
        for _ in 0..STEPS {
            let collectors = self.actors.iter().filter(|actor| actor.collects).count();
            self.step().await;
            if self.actors.iter().filter(|actor| actor.collects).count() < collectors {
                self.require_whole().await?;
            }
            self.require_right()?;
        }
        self.drain().await;
        for (task, set) in self.world.unfinished() {
            self.enter_writer(task, set);
        }
        self.drain().await;
        self.require_right()?;
        self.require_whole().await?;
        self.settle().await
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

    /// After everybody is done, two collections leave what versions need, to the byte.
    async fn settle(&mut self) -> Result<(), String> {
        self.world.state.lock().unwrap().early = None;
        for _ in 0..3 {
            self.world.shared.advance(50);
            let generation = self.world.generation();
            let other = Other { store: self.world.store(None), env: self.world.env(), world: self.world.clone() };
            other.collect(generation, false).await;
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
async fn race(inner: Arc<dyn ObjectStore>, off: Off, seed: u64) -> (Result<(), String>, Arc<World>) {
    let mut race = Race::new(inner, off, seed);
    let store = race.world.store(None);
    store.put(&Path::from("sources/east/segments/foreign"), "x".into()).await.unwrap();
    store.put(&layout::generation(1), "generation".into()).await.unwrap();
    let ended = race.run().await;
    (ended, race.world.clone())
}

/// How many races there are, on each of memory and directory.
fn rounds() -> u64 {
    std::env::var("TIDEMARK_COLLECT_ROUNDS").ok().and_then(|rounds| rounds.parse().ok()).unwrap_or(ROUNDS)
}

const ROUNDS: u64 = 100;

/// Runs the races and requires that nothing was lost and that all that is to be raced did happen.
async fn race_all(place: impl Fn() -> (Arc<dyn ObjectStore>, Option<tempfile::TempDir>)) {
    let mut counts = std::collections::BTreeMap::new();
    for seed in 0..rounds() {
        let (inner, _directory) = place();
        let (ended, world) = race(inner, Off::Nothing, seed).await;
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
    for seed in 0..2 * ROUNDS {
        if let (Err(lost), _) = race(Arc::new(InMemory::new()), off, seed).await {
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
