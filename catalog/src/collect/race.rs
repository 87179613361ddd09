//! Collection raced against all others, with a scheduler that picks by a seed whose store call is next, kills at any of them and
//! moves the clock. What is proven in [`super`] is looked at here; with any of its rules switched off, data is lost.

mod checks;
mod cut;
mod narrow;
mod others;
mod spoil;
pub(super) mod stage;
pub(super) mod world;
pub(super) mod writer;

use std::{future::Future, pin::Pin, sync::Arc, task::Poll};

use futures::future::poll_fn;
use object_store::{ObjectStore, ObjectStoreExt, local::LocalFileSystem, memory::InMemory, path::Path};

use self::{
    others::Other,
    world::{Off, World},
    writer::Writer,
};
use super::rules::Rule;
use crate::{
    ids::{SetId, TaskId},
    layout,
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
        Self { world: World::new(inner, off, seed, 2 + seed / 8 % 3), actors: Vec::new(), made: 0 }
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
        if world.chance(30) {
            return self.enter(None, false, |other| Box::pin(other.spoil()));
        }
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

    fn other(&self) -> Other {
        Other { store: self.world.store(None), env: self.world.env(), world: self.world.clone() }
    }

    fn enter_new_writer(&mut self, task: &str, set: &SetId) {
        let task: TaskId = task.parse().unwrap();
        self.world.with_task(&task, |task| task.set = Some(set.clone()));
        self.enter_writer(task, set.clone());
    }

    /// The whole race; then all is brought to its end.
    async fn run(&mut self, how: How) -> Result<(), String> {
        match how {
            How::Wide => self.run_wide().await?,
            How::Narrow => self.run_narrow().await?,
            How::Duel(Victim::Cut) => self.run_cut().await?,
            How::Duel(victim) => self.run_duel(victim).await?,
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
}

/// How a race is run.
#[derive(Clone, Copy, Debug)]
enum How {
    Wide,
    Narrow,
    Duel(Victim),
}

/// Who may be hurt by a collector.
#[derive(Clone, Copy, Debug)]
enum Victim {
    /// A task that goes on from its checkpoint.
    Resumed,
    /// A task of a new set that refers to what others made.
    Sharing,
    /// The same, on a store whose lists lag.
    Lagging,
    /// A reader of what is expired.
    Reader,
    /// An operator who takes an expiry back.
    Undoing,
    /// A task whose set has lost its newest manifest.
    Cut,
}

impl How {
    fn of(seed: u64) -> Self {
        match seed % 8 {
            0 => Self::Wide,
            1..4 => Self::Narrow,
            4 => Self::Duel(Victim::Resumed),
            5 if seed / 8 % 2 == 1 => Self::Duel(Victim::Lagging),
            5 => Self::Duel(Victim::Sharing),
            6 => Self::Duel(Victim::Reader),
            _ if seed / 8 % 2 == 1 => Self::Duel(Victim::Cut),
            _ => Self::Duel(Victim::Undoing),
        }
    }
}

type Course = Pin<Box<dyn Future<Output = ()>>>;

/// Runs one race; what was lost, and how often what happened.
async fn race(inner: Arc<dyn ObjectStore>, off: Off, seed: u64, how: How) -> (Result<(), String>, Arc<World>) {
    let mut race = Race::new(inner, off, seed);
    let store = race.world.store(None);
    store.put(&Path::from("sources/east/segments/foreign"), "x".into()).await.unwrap();
    store.put(&layout::generation(1), "generation".into()).await.unwrap();
    let ended = race.run(how).await;
    (ended, race.world.clone())
}

/// How many races there are, on each of memory and directory.
fn rounds() -> u64 {
    std::env::var("TIDEMARK_COLLECT_ROUNDS").ok().and_then(|rounds| rounds.parse().ok()).unwrap_or(ROUNDS)
}

fn first_seed() -> u64 {
    std::env::var("TIDEMARK_SEED").ok().and_then(|seed| seed.parse().ok()).unwrap_or(0)
}

const ROUNDS: u64 = 100;

/// Duels within which a rule that is not kept is seen to lose data.
const LOSING_ROUNDS: u64 = 6000;

/// Runs the races and requires that nothing was lost and that all that is to be raced did happen.
async fn race_all(place: impl Fn() -> (Arc<dyn ObjectStore>, Option<tempfile::TempDir>)) {
    let mut counts = std::collections::BTreeMap::new();
    for seed in (0..rounds()).map(|round| first_seed() + round) {
        let (inner, _directory) = place();
        let (ended, world) = race(inner, Off::Nothing, seed, How::of(seed)).await;
        assert!(ended.is_ok(), "seed {seed}: {}", ended.unwrap_err());
        world.shared.count_blocks(|what, count| *counts.entry(what).or_insert(0) += count);
        for (what, count) in &world.state.lock().unwrap().counts {
            *counts.entry(*what).or_insert(0) += count;
        }
    }
    println!("{counts:#?}");
    if rounds() < ROUNDS {
        return;
    }
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
        "a number that was lost was not given again",
        "an actor was killed",
        "a needs block was read",
        "a needs block was written",
        "a needs block was damaged",
        "a foreign needs block was put",
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
async fn loses(off: Off, victim: Victim) {
    for seed in 0..LOSING_ROUNDS {
        if let (Err(lost), _) = race(Arc::new(InMemory::new()), off, seed, How::Duel(victim)).await {
            println!("{off:?}: seed {seed}: {lost}");
            return;
        }
    }
    panic!("{off:?}: nothing was lost");
}

macro_rules! rules {
    ($($name:ident: $off:expr, $victim:ident;)*) => {$(
        #[tokio::test]
        async fn $name() {
            loses($off, Victim::$victim).await;
        }
    )*};
}

rules! {
    data_is_lost_without_barriers: Off::Collector(Rule::Barrier), Sharing;
    data_is_lost_without_a_second_reading: Off::Collector(Rule::SecondReading), Sharing;
    data_is_lost_where_an_old_generation_goes_on: Off::Collector(Rule::NewestGeneration), Sharing;
    data_is_lost_where_roots_are_read_before_versions_are_collected: Off::Collector(Rule::RootsAfterRecords), Reader;
    data_is_lost_where_needs_blocks_of_another_chain_are_used: Off::Collector(Rule::BlockLink), Sharing;
    data_is_lost_where_damaged_needs_blocks_say_that_nothing_is_needed: Off::Collector(Rule::BlockRead), Sharing;
    data_is_lost_where_the_second_reading_lists_no_barrier: Off::Collector(Rule::ListReaches), Lagging;
    data_is_lost_where_a_number_is_given_again_that_marks_tell_of: Off::GivenNumbers, Cut;
    data_is_lost_where_the_fence_is_older_than_the_marks: Off::FenceAfterMarks, Sharing;
    data_is_lost_where_writers_do_not_read_the_marks: Off::MarksRead, Sharing;
    data_is_lost_where_resumed_writers_do_not_check_their_checkpoint: Off::CheckpointHeld, Resumed;
    data_is_lost_where_writers_read_the_marks_before_they_write_their_root: Off::RootBeforeMarks, Sharing;
    data_is_lost_where_readers_read_the_state_before_they_pin: Off::PinBeforeState, Reader;
    data_is_lost_where_states_are_overwritten: Off::StatesCreated, Undoing;
    data_is_lost_where_ages_are_by_a_nodes_clock: Off::StoresClock, Reader;
}
