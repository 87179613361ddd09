//! The scheduler: turns the slots of policies into protect tasks.
//!
//! It runs under the leader's key (`leader`). What a slot came to is one transaction (`slots`) that compares this key, the
//! policy's registration and what was known of its slots: two leaders cannot fire a slot twice, a policy that is paused or removed
//! meanwhile is not run, and a task is there exactly where its slot is recorded. So a daemon may be killed at any instruction: what
//! was not recorded is done by the next look, which asks what is due and remembers nothing.
//!
//! Of the slots that have passed only the newest one runs; how many were missed is recorded and counted. While an earlier run of
//! the policy is not done, slots are skipped, not queued. One policy that cannot be read, or whose schedule this host does not
//! understand, stops no other. What does not run although it should is named in a warning and told as a figure, whatever the reason.

pub mod leader;
mod look;
mod registered;
mod slots;

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use async_trait::async_trait;
use jiff::Timestamp;
use tidemark_catalog::ids::{SetId, SourceId, StoreId, TaskId};
use tidemark_gateway::{Env, causes};
use tokio_util::sync::CancellationToken;

use crate::{
    coordinator::{self, Cmp, Coordinator, Watch, WatchEvent},
    metrics::Metrics,
    registrations::{self, POLICIES},
    schedule::{Schedule, SlotId},
    tasks::{self, Submit, Tasks},
};
use leader::Leader;
use look::Look;
pub(crate) use registered::why_not_confirmed;
use slots::Slots;
pub use slots::{Dealt, Of, Place, SlotRecord, Success, task_id};
pub(crate) use slots::{awaited_since, is_ahead, why_stopped};

/// Longest time between two looks: a clock that jumps ahead is noticed within it.
const LONGEST_LOOK: Duration = Duration::from_secs(10);

/// Time after a failure until the next try.
const RETRY: Duration = Duration::from_secs(2);

/// A policy as far as the scheduler asks.
#[derive(Clone, Debug)]
pub struct Planned {
    /// Its name.
    pub name: SetId,
    /// Its source.
    pub source: SourceId,
    /// Its store.
    pub store: StoreId,
    /// Since when its runs are awaited, as its registration has it.
    pub active_since: Option<Timestamp>,
    /// When it runs; `None`: only when somebody asks.
    pub schedule: Option<Schedule>,
    /// True where its slots are let pass.
    pub paused: bool,
    /// Why they are, where nobody wanted that.
    pub stopped: Option<String>,
    /// The task of a run.
    pub submit: Submit,
    /// Conditions under which this is still the policy.
    pub guard: Vec<Cmp>,
}

/// A policy that cannot be read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unreadable {
    /// Its name.
    pub name: String,
    /// Why, for people.
    pub reason: String,
}

/// Knows the policies.
#[async_trait]
pub trait Policies: Send + Sync + 'static {
    /// All policies, each by itself.
    ///
    /// # Errors
    /// [`registrations::Error::Coordinator`].
    async fn planned(&self) -> Result<Vec<Result<Planned, Unreadable>>, registrations::Error>;
}

/// Why a look was not finished. What it did stays done; the next one does the rest.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The coordinator failed.
    #[error("coordinator, {subject}")]
    Coordinator {
        /// What was being read or written.
        subject: &'static str,
        /// Why.
        source: coordinator::Error,
    },
    /// Policies cannot be read.
    #[error("read policies")]
    Policies(#[source] registrations::Error),
    /// Tasks cannot be read or written.
    #[error("tasks")]
    Tasks(#[source] tasks::Error),
    /// Another one leads.
    #[error("another scheduler leads")]
    NotLeader,
}

/// What a look did.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Looked {
    /// Tasks that were made, with their slots.
    pub fired: Vec<(SetId, SlotId, TaskId)>,
    /// Slots that were let pass because an earlier run is not done.
    pub skipped: Vec<(SetId, SlotId)>,
    /// Something changed while it was looked at: another look is due at once.
    pub again: bool,
    /// When the next run begins, as far as is known.
    pub next: Option<Timestamp>,
}

/// The scheduler of a daemon.
pub struct Scheduler {
    policies: Arc<dyn Policies>,
    tasks: Tasks,
    slots: Slots,
    metrics: Arc<Metrics>,
    coordinator: Arc<dyn Coordinator>,
    env: Env,
    node: String,
    memory: Mutex<Memory>,
}

/// What is remembered so that nothing is said twice.
#[derive(Default)]
struct Memory {
    /// Policies that were warned of, with the reason.
    warned: BTreeMap<String, String>,
    /// True while the coordinator fails.
    failing: bool,
}

/// What woke the loop.
enum Step {
    Stop,
    LeaseLost,
    Look,
    WatchAgain,
}

impl Scheduler {
    /// A scheduler of these policies.
    pub fn new(
        policies: Arc<dyn Policies>,
        coordinator: Arc<dyn Coordinator>,
        env: Env,
        metrics: Arc<Metrics>,
        node: String,
    ) -> Self {
        let (tasks, slots) = (Tasks::new(Arc::clone(&coordinator), env.clone()), Slots::new(Arc::clone(&coordinator)));
        Self { policies, tasks, slots, metrics, coordinator, env, node, memory: Mutex::default() }
    }

    /// Leads whenever nobody else does, until `shutdown`. Failures are logged once and tried again.
    pub async fn run(&self, shutdown: CancellationToken) {
        while !shutdown.is_cancelled() {
            let led = self.lead(&shutdown).await;
            self.metrics.follow();
            match led {
                Ok(()) | Err(Error::NotLeader) => {}
                Err(error) => self.failed(&error),
            }
            tokio::select! {
                biased;
                () = shutdown.cancelled() => {}
                () = tokio::time::sleep(RETRY) => {}
            }
        }
    }

    /// Waits for the leader's key and leads until it is lost.
    async fn lead(&self, shutdown: &CancellationToken) -> Result<(), Error> {
        let Some(leader) = Leader::wait(&*self.coordinator, &self.node, shutdown).await? else { return Ok(()) };
        tracing::info!(node = self.node, "leads: policies run by their schedules");
        let led = self.drive(&leader, shutdown).await;
        leader.step_down().await;
        led
    }

    async fn drive(&self, leader: &Leader, shutdown: &CancellationToken) -> Result<(), Error> {
        self.metrics.remember(&self.tasks.readable().await.map_err(Error::Tasks)?, self.env.now());
        let mut changes = self.watch().await?;
        loop {
            let pause = match self.look(leader, self.env.now()).await {
                Ok(looked) => {
                    self.recovered();
                    self.pause(&looked)
                }
                Err(Error::NotLeader) => return Err(Error::NotLeader),
                Err(error) => {
                    self.failed(&error);
                    RETRY
                }
            };
            match step(leader, &mut changes, shutdown, pause).await {
                Step::Stop | Step::LeaseLost => return Ok(()),
                Step::WatchAgain => changes = self.watch().await?,
                Step::Look => {}
            }
        }
    }

    async fn watch(&self) -> Result<Watch, Error> {
        let failed = |source| Error::Coordinator { subject: "watch policies", source };
        let (_, now) = self.coordinator.list(POLICIES, 1, None).await.map_err(failed)?;
        self.coordinator.watch(POLICIES, now + 1).await.map_err(failed)
    }

    fn pause(&self, looked: &Looked) -> Duration {
        if looked.again {
            return Duration::ZERO;
        }
        let until = looked.next.map(|next| Duration::try_from(next.duration_since(self.env.now())).unwrap_or_default());
        until.map_or(LONGEST_LOOK, |until| until.min(LONGEST_LOOK))
    }

    /// Looks at all policies as of `now`, once: what is due becomes tasks. The same look again does nothing more.
    ///
    /// # Errors
    /// [`Error`]; [`Error::NotLeader`] where the key is another one's by now.
    pub async fn look(&self, leader: &Leader, now: Timestamp) -> Result<Looked, Error> {
        let (policies, mut stored) = (self.policies.planned().await.map_err(Error::Policies)?, self.slots.all().await?);
        let mut look =
            Look { by: self, leader, now, busy: None, looked: Looked::default(), stopped: BTreeMap::default() };
        let (mut names, mut figures) = (BTreeSet::new(), Vec::new());
        for policy in policies {
            let name = policy.as_ref().map_or_else(|bad| bad.name.clone(), |planned| planned.name.to_string());
            match policy {
                Ok(planned) => figures.extend(look.at(&planned, stored.remove(&name)).await?),
                Err(bad) => drop(look.stopped.insert(bad.name, bad.reason)),
            }
            names.insert(name);
        }
        // What is left is of policies that are gone; those that cannot be read are not.
        for (_, left) in stored.into_iter().filter(|(name, _)| !names.contains(name)) {
            self.slots.forget(leader, &left).await?;
        }
        self.metrics.lead(figures, look.stopped.keys().cloned().collect());
        self.say(look.stopped);
        Ok(look.looked)
    }

    fn memory(&self) -> std::sync::MutexGuard<'_, Memory> {
        self.memory.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Says once which policies do not run although they should, and again where the reason is another one.
    fn say(&self, stopped: BTreeMap<String, String>) {
        let known = std::mem::replace(&mut self.memory().warned, stopped.clone());
        for (policy, reason) in stopped.iter().filter(|(policy, reason)| known.get(*policy) != Some(*reason)) {
            tracing::warn!(policy, reason, "a policy does not run by itself");
        }
        for policy in known.keys().filter(|policy| !stopped.contains_key(*policy)) {
            tracing::info!(policy, "nothing keeps the policy from running any more, or it is gone");
        }
    }

    fn failed(&self, error: &Error) {
        if !std::mem::replace(&mut self.memory().failing, true) {
            tracing::warn!(error = %causes::joined(error), "policies do not run by themselves until this passes; it is tried again");
        }
    }

    fn recovered(&self) {
        if std::mem::take(&mut self.memory().failing) {
            tracing::info!("policies run by themselves again");
        }
    }
}

/// What is known of the slots of each policy; what cannot be read is left out.
///
/// # Errors
/// [`Error::Coordinator`].
pub(crate) async fn records(coordinator: &Arc<dyn Coordinator>) -> Result<BTreeMap<String, SlotRecord>, Error> {
    Slots::new(Arc::clone(coordinator)).readable().await
}

async fn step(leader: &Leader, changes: &mut Watch, shutdown: &CancellationToken, pause: Duration) -> Step {
    tokio::select! {
        biased;
        () = shutdown.cancelled() => Step::Stop,
        () = leader.lost() => Step::LeaseLost,
        event = changes.next() => match event {
            Some(WatchEvent::Changed(_)) => Step::Look,
            Some(WatchEvent::Resync) | None => Step::WatchAgain,
        },
        () = tokio::time::sleep(pause) => Step::Look,
    }
}

#[cfg(test)]
mod tests;
