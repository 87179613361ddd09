//! Races of few around what is expiring.

use std::sync::atomic::Ordering;

use super::{Race, Victim};
use crate::ids::{SetId, TaskId, VersionId};

impl Race {
    /// Three versions of which two are expired, and a task that was killed half way.
    pub(super) async fn set_the_scene(&mut self) -> Result<(), String> {
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
        if world.chance(3) {
            // What expires next is in needs blocks already.
            self.other().collect(1, true).await;
        }
        for _ in 0..world.roll(3) {
            self.other().spoil().await;
        }
        self.other().keep_last(1).await.map_err(|error| error.to_string())?;
        world.shared.advance(12 + 45 * world.roll(2));
        if world.chance(4) {
            self.other().collect(1, true).await;
        }
        Ok(())
    }

    /// A race of one who may be hurt with one collector: they take turns a few times, each for as long as it happens.
    pub(super) async fn run_duel(&mut self, victim: Victim) -> Result<(), String> {
        self.set_the_scene().await?;
        let world = self.world.clone();
        world.lags.store(matches!(victim, Victim::Lagging), Ordering::SeqCst);
        self.enter(None, true, |other| Box::pin(other.collect(1, true)));
        let collector = self.made;
        self.go_far(collector, world.roll(150)).await;
        if world.chance(4) {
            self.take_over().await;
        }
        self.enter_victim(victim);
        let victim = self.made;
        for _ in 0..3 {
            let calls = [5, 20, 40][world.roll(3) as usize];
            self.go_far(victim, world.roll(calls)).await;
            self.go_far(collector, world.roll(150)).await;
        }
        self.drain().await;
        world.lags.store(false, Ordering::SeqCst);
        world.shared.set_lag(0);
        self.require_right()?;
        self.require_whole().await.map(drop)
    }

    /// So many store calls of one actor.
    pub(super) async fn go_far(&mut self, number: usize, calls: u64) {
        for _ in 0..calls {
            let Some(at) = self.actors.iter().position(|actor| actor.number == number) else { return };
            if self.go_on(at).await {
                self.actors.swap_remove(at);
            }
        }
    }

    pub(super) fn enter_victim(&mut self, victim: Victim) {
        match victim {
            Victim::Resumed => self.enter_resumed(),
            Victim::Sharing | Victim::Lagging => self.enter_new_writer("late-0", &"late-0".parse().unwrap()),
            Victim::Cut => self.enter_new_writer("late", &"daily".parse().unwrap()),
            Victim::Reader => self.enter_reader("reader-1", "east.daily.1"),
            Victim::Undoing => {
                let of: VersionId = "east.daily.1".parse().unwrap();
                self.enter(None, false, |other| Box::pin(other.undo(of)));
            }
        }
    }

    /// A race of few.
    pub(super) async fn run_narrow(&mut self) -> Result<(), String> {
        self.set_the_scene().await?;
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
}
