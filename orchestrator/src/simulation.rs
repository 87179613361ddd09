//! A cluster in one process, by a seed: daemons with the product's own runner, scheduler, commit, expiry and collection, over a
//! simulated etcd, store, network and time. Machines crash, stand still, lose their ways and have wrong clocks; a judge looks at every
//! effect ([`judge`]). The same seed gives the same course, line by line.
//!
//! Each machine has a runtime of its own whose time the world moves on ([`machine`]); all that machines share are messages
//! ([`world`]). `TIDEMARK_SEED=n` runs one seed again and prints its log; `TIDEMARK_SEEDS=n` runs so many, from that one on.

mod bucket;
mod coordinator;
mod daemon;
mod etcd;
mod judge;
mod machine;
mod mistakes;
mod source;
mod store;
mod weather;
mod world;

use std::{sync::Arc, time::Duration};

use judge::Wrong;
use machine::Machine;
use mistakes::Mistake;
use weather::Weather;
use world::World;

/// Daemons.
const DAEMONS: usize = 3;

/// Longest time for which a machine is left alone.
const QUIET: Duration = Duration::from_millis(500);

/// How long things go wrong.
const TROUBLE: Duration = Duration::from_secs(45);

/// The same where a mistake is to be found, which ends the run.
const LONG_TROUBLE: Duration = Duration::from_secs(110);

/// Within which each policy has a new version after all has healed.
const PROGRESS: Duration = Duration::from_secs(150);

/// A cluster, with the world around it.
struct Cluster {
    world: World,
    machines: Vec<Machine>,
    disks: Vec<daemon::Disk>,
}

/// What came of a seed.
struct Ended {
    wrong: Vec<(Wrong, String)>,
    log: Vec<String>,
    versions: usize,
}

impl Cluster {
    fn new(seed: u64, mistake: Option<Mistake>) -> Self {
        // One more, from which an operator works.
        let machines = (0..=DAEMONS).map(Machine::new).collect();
        let world = World::new(seed, DAEMONS + 1, mistake);
        let every = daemon::PLAN.map(|(_, name, every)| (name.to_owned(), every * 1000));
        world.lock().judge.every = every.into();
        Self { world, machines, disks: (0..DAEMONS).map(|_| daemon::Disk::default()).collect() }
    }

    fn now(&self) -> Duration {
        self.world.lock().now
    }

    /// Starts a daemon, or the operator's work.
    fn start(&mut self, machine: usize) {
        let (world, disk) = (self.world.clone(), self.disks.get(machine).cloned());
        let (now, noise) = {
            let mut state = world.lock();
            state.say(&format!("m{machine}"), "starts");
            (state.now, state.roll(u64::MAX))
        };
        self.machines[machine].start(now, noise, |seat| async move {
            match disk {
                Some(disk) => daemon::run(world, seat, disk).await,
                None => daemon::set_up(world, seat).await,
            }
        });
    }

    /// One step: time goes on to what comes next, and what it is happens.
    fn step(&mut self) {
        let now = {
            let mut state = self.world.lock();
            let woken = self.machines.iter().any(|machine| machine.woken && !machine.frozen);
            let latest = if woken { state.now + Duration::from_millis(1) } else { state.now + QUIET };
            let now = state.next().unwrap_or(latest).min(latest).max(state.now + Duration::from_millis(1));
            state.now = now;
            state.expire();
            now
        };
        // None is always first.
        let (count, first) = (self.machines.len(), self.world.lock().roll(self.machines.len() as u64) as usize);
        for at in 0..count {
            let machine = &mut self.machines[(first + at) % count];
            if machine.woken || machine.lag(now) >= QUIET {
                machine.run_to(now);
                if let Some(said) = machine.failure() {
                    let who = machine.number;
                    self.world.lock().judge.wrong.push((Wrong::Panicked, format!("m{who}: {said}")));
                }
            }
        }
        loop {
            let Some(coming) = self.world.lock().due() else { break };
            if let Some(machine) = coming.to.and_then(|to| self.machines.get_mut(to)) {
                machine.run_to(now);
                machine.woken = machine.is_up();
            }
            (coming.happens)(&mut self.world.lock());
        }
    }

    /// Goes on until a time, or until `enough`.
    fn run_until(&mut self, until: Duration, mut enough: impl FnMut(&mut Self) -> bool) -> bool {
        while self.now() < until {
            if enough(self) {
                return true;
            }
            self.step();
        }
        enough(self)
    }

    /// Has an operator register all.
    fn set_up(&mut self) {
        self.start(DAEMONS);
        let until = self.now() + Duration::from_secs(60);
        let done = self.run_until(until, |cluster| cluster.machines[DAEMONS].has_ended());
        assert!(done, "an operator could not register anything");
        self.machines[DAEMONS].stop();
    }
}

/// Runs a seed to its end, or until `enough` is found.
fn run(seed: u64, mistake: Option<Mistake>) -> Ended {
    let mut cluster = Cluster::new(seed, mistake);
    let found = |cluster: &Cluster| match mistake {
        Some(mistake) => cluster.world.lock().judge.wrong.iter().any(|(wrong, _)| *wrong == mistake.shows()),
        None => !cluster.world.lock().judge.wrong.is_empty(),
    };
    cluster.set_up();
    (0..DAEMONS).for_each(|machine| cluster.start(machine));
    let over = cluster.now() + if mistake.is_some() { LONG_TROUBLE } else { TROUBLE };
    let mut weather = Weather::new(over, mistake);
    let stopped = cluster.run_until(over, |cluster| {
        weather.pass(cluster);
        found(cluster)
    });
    if !stopped {
        weather.clear(&mut cluster);
        let since = cluster.now();
        let progress = cluster.run_until(since + PROGRESS, |cluster| {
            weather.keep_up(cluster);
            found(cluster) || cluster.world.lock().judge.without_version_since(since).is_empty()
        });
        let mut state = cluster.world.lock();
        if !progress {
            let without = state.judge.without_version_since(since).join(", ");
            state.judge.wrong.push((Wrong::NoProgress, format!("{without} have no new version since {since:?}")));
        }
        state.judge.close();
    }
    cluster.machines.iter_mut().for_each(Machine::stop);
    let state = &mut *cluster.world.lock();
    let versions = state.judge.versions();
    Ended { wrong: std::mem::take(&mut state.judge.wrong), log: std::mem::take(&mut state.log), versions }
}

/// A number that the environment gives.
fn number(name: &str) -> Option<u64> {
    let text = std::env::var(name).ok()?;
    Some(text.parse().unwrap_or_else(|_| panic!("{name} is {text:?}, which is no number")))
}

fn require_right(seed: u64, ended: &Ended) {
    if ended.wrong.is_empty() {
        return;
    }
    let last = ended.log.len().saturating_sub(400);
    ended.log[last..].iter().for_each(|line| println!("{line}"));
    panic!("seed {seed} (TIDEMARK_SEED={seed} for the same again): {:#?}", ended.wrong);
}

/// Seeds that every run has.
const SEEDS: u64 = 300;

/// Seeds within which a mistake is found.
const FINDING: u64 = 200;

#[test]
fn whatever_happens_no_version_is_lost_and_all_goes_on() {
    let (first, count) = (number("TIDEMARK_SEED"), number("TIDEMARK_SEEDS"));
    let shows = first.is_some() && count.is_none();
    let (first, count) = (first.unwrap_or(0), count.unwrap_or(if shows { 1 } else { SEEDS }));
    let seeds = first..first + count;
    let mut versions = 0;
    for seed in seeds.clone() {
        let ended = run(seed, None);
        if shows {
            ended.log.iter().for_each(|line| println!("{line}"));
        }
        require_right(seed, &ended);
        versions += ended.versions;
    }
    println!("{versions} versions in {} seeds", seeds.end - seeds.start);
}

#[test]
fn a_seed_gives_one_course() {
    for seed in 0..5 {
        let (one, two) = (run(seed, None).log, run(seed, None).log);
        let differs = one.iter().zip(&two).position(|(one, two)| one != two);
        if let Some(at) = differs {
            panic!("seed {seed} differs at line {at}:\n{}\n{}", one[at.saturating_sub(20)..=at].join("\n"), two[at]);
        }
        assert_eq!(one.len(), two.len(), "seed {seed}");
    }
}

/// Runs seeds until the judge finds what a mistake does.
fn finds(mistake: Mistake) {
    let seeds = number("TIDEMARK_SEED").map_or(0..FINDING, |seed| seed..seed + 1);
    let found = seeds.clone().find_map(|seed| {
        let Ended { wrong, log, .. } = run(seed, Some(mistake));
        if seeds.end == seeds.start + 1 {
            log.iter().for_each(|line| println!("{line}"));
        }
        wrong.into_iter().find(|(wrong, _)| *wrong == mistake.shows()).map(|(_, words)| (seed, words))
    });
    let Some((seed, words)) = found else { panic!("{mistake:?} was not found in {FINDING} seeds") };
    println!("{mistake:?}: seed {seed}: {words}");
}

macro_rules! mistakes {
    ($($name:ident: $mistake:ident;)*) => {$(
        #[test]
        fn $name() {
            finds(Mistake::$mistake);
        }
    )*};
}

mistakes! {
    a_manifest_that_is_overwritten_is_found: ManifestIsOverwritten;
    a_taken_number_that_is_believed_to_be_ones_own_is_found: TakenIsOwn;
    a_lease_that_is_believed_beyond_its_deadline_is_found: LeaseIsBelieved;
    a_token_that_says_nothing_at_the_commit_is_found: TokenIsDrawn;
    an_end_of_a_run_that_does_not_compare_its_claim_is_found: DoneIsNotCompared;
    a_checkpoint_that_does_not_compare_its_claim_is_found: CheckpointIsNotCompared;
    a_slot_whose_task_has_a_drawn_id_is_found: SlotIsDrawn;
    a_slot_that_is_recorded_beside_its_task_is_found: SlotIsBeside;
    a_claim_that_does_not_compare_the_generation_is_found: GenerationIsNotCompared;
    a_claim_on_a_task_that_is_held_is_found: ClaimIsTakenAnyway;
    a_commit_that_does_not_ask_the_clock_is_found: ClockIsNotAsked;
    a_rollback_that_is_not_seen_is_found: RollbackIsNotSeen;
}

#[test]
fn a_machine_whose_work_fails_is_seen() {
    let mut cluster = Cluster::new(1, None);
    cluster.machines[0].start(Duration::ZERO, 1, |_| async {
        tokio::time::sleep(Duration::from_secs(1)).await;
        panic!("of a test");
    });
    cluster.run_until(Duration::from_secs(3), |_| false);
    assert_eq!(cluster.world.lock().judge.wrong, [(Wrong::Panicked, "m0: of a test".to_owned())]);
}

#[test]
fn an_object_that_a_version_needs_is_missed_when_it_is_deleted() {
    let mut cluster = Cluster::new(1, None);
    cluster.set_up();
    (0..DAEMONS).for_each(|machine| cluster.start(machine));
    let made = cluster.run_until(Duration::from_secs(120), |cluster| cluster.world.lock().judge.versions() >= 3);
    assert!(made, "no versions were made");
    let mut state = cluster.world.lock();
    let (needed, now) = (state.judge.all_needed(), state.now);
    // The object page, a range page, the entry and the segment of a version, of each.
    assert!(needed.len() >= 6, "{needed:?}");
    for key in &needed {
        state.judge.deleted(key, now);
    }
    let found = state.judge.wrong.iter().filter(|(wrong, _)| *wrong == Wrong::NeededDeleted).count();
    assert_eq!(found, needed.len());
}

#[test]
fn the_simulated_coordinator_keeps_the_suite() {
    use crate::coordinator::conformance::{CASES, Subject};

    for case in CASES {
        let world = World::new(1, 1, None);
        let mut machine = Machine::new(0);
        let own = world.clone();
        machine.start(Duration::ZERO, 1, |seat| async move {
            let open = async || {
                let opened = coordinator::SimCoordinator::open(own.clone(), seat.clone(), None).await;
                Arc::new(opened.expect("nothing is in the way")) as Arc<dyn crate::coordinator::Coordinator>
            };
            let (coordinator, other) = (open().await, open().await);
            case.run(&Subject { coordinator, other, ttl: Duration::from_millis(900) }).await;
        });
        let mut cluster = Cluster { world, machines: vec![machine], disks: Vec::new() };
        let done = cluster.run_until(Duration::from_secs(300), |cluster| cluster.machines[0].has_ended());
        assert!(done, "{}", case.name);
    }
}
