//! What Prometheus is told: `GET /metrics`.
//!
//! Names have base units, and counters end in `_total`; labels take few values. What is said of policies is said by the daemon that
//! leads only, and only of those with a schedule that does not rest: a series that is gone raises no alarm, and
//! `docs/alerts/tidemark.rules.yml` works for every policy as it is. A policy that should run and does not has a series that says
//! so, also where nothing else can be said of it.

mod names;

use std::{
    collections::{BTreeSet, HashMap},
    sync::{Mutex, MutexGuard, PoisonError, atomic::AtomicU64},
    time::Duration,
};

use jiff::Timestamp;
use prometheus_client::{
    encoding::{EncodeLabelSet, text},
    metrics::{
        counter::Counter,
        family::Family,
        gauge::Gauge,
        histogram::{Histogram, exponential_buckets},
    },
    registry::{Metric, Registry},
};
use serde::Deserialize;
use tidemark_catalog::ids::{SetId, SourceId, StoreId};

use crate::{
    protect::result::ProtectResult,
    scheduler::Success,
    tasks::{Kind, Observe, State, TaskRecord},
};
use names::Named;

/// Labels of what is said of a policy.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, EncodeLabelSet)]
struct OfPolicy {
    source: String,
    policy: String,
}

/// Labels of what is said of a policy of which only the name is known.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, EncodeLabelSet)]
struct OfName {
    policy: String,
}

/// Labels of what is said of operations.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct OfKind {
    kind: &'static str,
}

/// Labels of counts of operations.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Outcome {
    kind: &'static str,
    result: &'static str,
}

type Seconds = Gauge<f64, AtomicU64>;

/// How a policy with a schedule stands.
#[derive(Clone, Debug, PartialEq)]
pub struct PolicyFigures {
    /// Its source.
    pub source: SourceId,
    /// Its name.
    pub policy: SetId,
    /// Longest time between two versions about now.
    pub expected_interval: Option<Duration>,
    /// Since when its runs are awaited.
    pub since: Option<Timestamp>,
    /// Its newest version.
    pub success: Option<Success>,
}

/// The metrics of a daemon.
pub struct Metrics {
    registry: Registry,
    expected_interval: Family<OfPolicy, Seconds>,
    since: Family<OfPolicy, Seconds>,
    last_success: Family<OfPolicy, Seconds>,
    recoverable_until: Family<OfPolicy, Seconds>,
    stopped: Family<OfName, Gauge>,
    slots_missed: Family<OfPolicy, Counter>,
    slots_skipped: Family<OfPolicy, Counter>,
    operations: Family<Outcome, Counter>,
    operation_duration: Family<OfKind, Histogram>,
    leader: Gauge,
    state: Mutex<Told>,
}

/// Subject of a task and the store that its version is in: a policy of the same name may have had another one.
type Heard = (String, StoreId);

/// What the series are made of.
#[derive(Default)]
struct Told {
    /// Policies of which there are series.
    policies: BTreeSet<OfPolicy>,
    /// Policies that are stopped.
    stopped: BTreeSet<OfName>,
    /// Newest versions by subject of their tasks and store, as far as this process heard of them.
    successes: HashMap<Heard, Success>,
}

impl Default for Metrics {
    fn default() -> Self {
        Self::new()
    }
}

impl Metrics {
    /// Metrics of a daemon that has done nothing yet.
    pub fn new() -> Self {
        let duration: Family<OfKind, Histogram> =
            Family::new_with_constructor(|| Histogram::new(exponential_buckets(1.0, 2.0, 17)));
        let mut metrics = Self {
            registry: Registry::with_prefix("tidemark"),
            expected_interval: Family::default(),
            since: Family::default(),
            last_success: Family::default(),
            recoverable_until: Family::default(),
            stopped: Family::default(),
            slots_missed: Family::default(),
            slots_skipped: Family::default(),
            operations: Family::default(),
            operation_duration: duration,
            leader: Gauge::default(),
            state: Mutex::default(),
        };
        metrics.register();
        metrics
    }

    fn register(&mut self) {
        let Self { registry, .. } = self;
        add(registry, names::POLICY_EXPECTED_INTERVAL, &self.expected_interval);
        add(registry, names::POLICY_SCHEDULED_SINCE, &self.since);
        add(registry, names::VERSION_LAST_SUCCESS, &self.last_success);
        add(registry, names::RECOVERABLE_UNTIL, &self.recoverable_until);
        add(registry, names::POLICY_STOPPED, &self.stopped);
        add(registry, names::POLICY_SLOTS_MISSED, &self.slots_missed);
        add(registry, names::POLICY_SLOTS_SKIPPED, &self.slots_skipped);
        add(registry, names::OPERATIONS, &self.operations);
        add(registry, names::OPERATION_DURATION, &self.operation_duration);
        add(registry, names::LEADER, &self.leader);
    }

    /// The text that Prometheus reads, version 0.0.4.
    pub fn text(&self) -> String {
        let mut open_metrics = String::new();
        text::encode(&mut open_metrics, &self.registry).expect("a text takes whatever is written to it");
        plain(&open_metrics)
    }

    fn state(&self) -> MutexGuard<'_, Told> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// This daemon leads, and so stand all policies with a schedule that does not rest; those that are `stopped` do not run although
    /// they should.
    pub(crate) fn lead(&self, policies: Vec<PolicyFigures>, stopped: BTreeSet<String>) {
        self.leader.set(1);
        let told = policies.into_iter().map(|figures| self.tell(figures)).collect();
        self.keep_only(told);
        self.tell_stopped(stopped);
    }

    fn tell_stopped(&self, stopped: BTreeSet<String>) {
        let stopped: BTreeSet<_> = stopped.into_iter().map(|policy| OfName { policy }).collect();
        for policy in &stopped {
            self.stopped.get_or_create(policy).set(1);
        }
        let before = std::mem::replace(&mut self.state().stopped, stopped.clone());
        for over in before.difference(&stopped) {
            self.stopped.remove(over);
        }
    }

    /// This daemon does not lead.
    pub(crate) fn follow(&self) {
        self.leader.set(0);
        self.keep_only(BTreeSet::new());
        self.tell_stopped(BTreeSet::new());
    }

    fn tell(&self, figures: PolicyFigures) -> OfPolicy {
        let labels = of_policy(&figures.source, &figures.policy);
        let set = |family: &Family<OfPolicy, Seconds>, value: Option<f64>| match value {
            Some(value) => drop(family.get_or_create(&labels).set(value)),
            None => drop(family.remove(&labels)),
        };
        set(&self.expected_interval, figures.expected_interval.map(|interval| interval.as_secs_f64()));
        set(&self.since, figures.since.map(seconds));
        set(&self.last_success, figures.success.map(|success| seconds(success.at)));
        set(&self.recoverable_until, figures.success.and_then(|success| success.complete_until).map(seconds));
        // A counter that is there from the beginning shows its first step.
        drop(self.slots_missed.get_or_create(&labels));
        drop(self.slots_skipped.get_or_create(&labels));
        labels
    }

    fn keep_only(&self, told: BTreeSet<OfPolicy>) {
        let before = std::mem::replace(&mut self.state().policies, told.clone());
        for gone in before.difference(&told) {
            for family in [&self.expected_interval, &self.since, &self.last_success, &self.recoverable_until] {
                family.remove(gone);
            }
            for family in [&self.slots_missed, &self.slots_skipped] {
                family.remove(gone);
            }
        }
    }

    /// A slot made a task; so many before it were missed.
    pub(crate) fn fired(&self, source: &SourceId, policy: &SetId, missed: u64) {
        self.slots_missed.get_or_create(&of_policy(source, policy)).inc_by(missed);
    }

    /// A slot was skipped; so many before it were missed.
    pub(crate) fn skipped(&self, source: &SourceId, policy: &SetId, missed: u64) {
        self.fired(source, policy, missed);
        self.slots_skipped.get_or_create(&of_policy(source, policy)).inc();
    }

    /// The newest version in this store of which this process heard, by the subject of its task.
    pub(crate) fn success(&self, subject: &str, store: &StoreId) -> Option<Success> {
        self.state().successes.get(&(subject.to_owned(), store.clone())).copied()
    }

    /// Learns of versions from tasks that were done before this process began; not of those from a future.
    pub(crate) fn remember(&self, tasks: &[TaskRecord], now: Timestamp) {
        let mut state = self.state();
        for task in tasks {
            let Some((of, success)) = success(task).filter(|(_, success)| !success.is_ahead(now)) else { continue };
            let known = state.successes.entry(of).or_insert(success);
            *known = known.and(success);
        }
    }

    /// Learns of a version that was made just now, whatever the clock said before.
    fn learn(&self, task: &TaskRecord) {
        let Some((of, success)) = success(task) else { return };
        let mut state = self.state();
        let known = state.successes.get(&of).and_then(|known| known.complete_until);
        let success = Success { complete_until: success.complete_until.or(known), ..success };
        state.successes.insert(of, success);
    }
}

impl Observe for Metrics {
    fn done(&self, task: &TaskRecord) {
        let kind = task.kind.as_str();
        self.operations.get_or_create(&Outcome { kind, result: task.state.as_str() }).inc();
        if let Some(finished) = task.finished {
            let took = finished.duration_since(task.created).as_secs_f64().max(0.0);
            self.operation_duration.get_or_create(&OfKind { kind }).observe(took);
        }
        self.learn(task);
    }
}

fn add<M: Metric + Clone>(registry: &mut Registry, Named { name, help }: Named, metric: &M) {
    registry.register(name, help, metric.clone());
}

/// The version that a task made, and where; of a result that does not say where nothing is known.
fn success(task: &TaskRecord) -> Option<(Heard, Success)> {
    if task.kind != Kind::Protect || !matches!(task.state, State::Succeeded | State::Warnings) {
        return None;
    }
    let result = ProtectResult::deserialize(task.result.as_ref()?).ok()?;
    let success = Success { at: task.finished?, complete_until: result.complete_until };
    Some(((task.subject.clone(), result.store?), success))
}

fn of_policy(source: &SourceId, policy: &SetId) -> OfPolicy {
    OfPolicy { source: source.to_string(), policy: policy.to_string() }
}

fn seconds(at: Timestamp) -> f64 {
    at.as_duration().as_secs_f64()
}

/// OpenMetrics as the older text format, which all that scrapes understands: there a counter's series bear its family's name.
fn plain(open_metrics: &str) -> String {
    let word = |line: &str, index| line.split(' ').nth(index).map(str::to_owned);
    let is_counter = |line: &&str| line.starts_with("# TYPE ") && line.ends_with(" counter");
    let counters: BTreeSet<_> = open_metrics.lines().filter(is_counter).filter_map(|line| word(line, 2)).collect();
    let mut text = String::with_capacity(open_metrics.len());
    for line in open_metrics.lines().filter(|line| *line != "# EOF" && !line.starts_with("# UNIT ")) {
        match word(line, 2).filter(|name| line.starts_with('#') && counters.contains(name)) {
            Some(name) => text += &line.replacen(&name, &format!("{name}_total"), 1),
            None => text += line,
        }
        text.push('\n');
    }
    text
}

#[cfg(test)]
mod tests;
