//! The scheduler over a real coordinator and a clock that tests set; kills are coordinators that stop at a transaction.

mod kills;

use std::sync::atomic::{AtomicUsize, Ordering};

use serde_json::json;

use super::*;
use crate::{
    coordinator::{Kv, Op, Outcome, embedded::Embedded, list_all},
    schedule::ScheduleSpec,
    tasks::{Kind, State, TaskRecord},
    totals::Totals,
};

fn at(text: &str) -> Timestamp {
    text.parse().unwrap()
}

/// Policies as a test sets them.
#[derive(Default)]
struct Fixed(Mutex<Vec<Result<Planned, Unreadable>>>);

#[async_trait]
impl Policies for Fixed {
    async fn planned(&self) -> Result<Vec<Result<Planned, Unreadable>>, registrations::Error> {
        Ok(self.0.lock().unwrap().clone())
    }
}

impl Fixed {
    fn set(&self, policies: impl IntoIterator<Item = Planned>) {
        *self.0.lock().unwrap() = policies.into_iter().map(Ok).collect();
    }
}

fn policy(name: &str, schedule: serde_json::Value) -> Planned {
    let spec: ScheduleSpec = serde_json::from_value(schedule).unwrap();
    let subject = format!("shop/{name}");
    Planned {
        name: name.parse().unwrap(),
        source: "shop".parse().unwrap(),
        store: "main".parse().unwrap(),
        active_since: None,
        schedule: Some(spec.try_into().unwrap()),
        paused: false,
        stopped: None,
        submit: Submit { kind: Kind::Protect, subject, body: json!(null), spec: json!({}), exclusive: None },
        guard: vec![],
    }
}

fn every(name: &str, every: &str) -> Planned {
    policy(name, json!({ "every": every }))
}

struct Bench {
    coordinator: Embedded,
    policies: Arc<Fixed>,
    metrics: Arc<Metrics>,
    _directory: tempfile::TempDir,
}

fn bench(policies: impl IntoIterator<Item = Planned>) -> Bench {
    let directory = tempfile::tempdir().unwrap();
    let coordinator = Embedded::open(directory.path(), Env::system()).unwrap();
    let fixed = Arc::new(Fixed::default());
    fixed.set(policies);
    Bench { coordinator, policies: fixed, metrics: Arc::default(), _directory: directory }
}

impl Bench {
    fn scheduler(&self) -> Scheduler {
        self.over(Arc::new(self.coordinator.clone()))
    }

    fn over(&self, coordinator: Arc<dyn Coordinator>) -> Scheduler {
        let policies = Arc::clone(&self.policies) as Arc<dyn Policies>;
        Scheduler::new(policies, coordinator, Env::system(), Arc::clone(&self.metrics), "test".to_owned())
    }

    async fn leader(&self) -> Leader {
        Leader::take(&self.coordinator, "test").await.unwrap().unwrap()
    }

    /// A leader that has seen all policies at this time.
    async fn led(&self, since: &str) -> Leader {
        let leader = self.leader().await;
        let looked = self.scheduler().look(&leader, at(since)).await.unwrap();
        assert!(looked.fired.is_empty(), "a policy that is new runs at its next slot");
        leader
    }

    async fn tasks(&self) -> Vec<TaskRecord> {
        Tasks::new(Arc::new(self.coordinator.clone()), Env::system()).list().await.unwrap()
    }

    async fn record(&self, policy: &str) -> SlotRecord {
        let kv = self.coordinator.get(&format!("slot/{policy}")).await.unwrap().unwrap();
        serde_json::from_slice(&kv.value).unwrap()
    }

    /// Ends all tasks, as a runner would.
    async fn finish(&self) {
        for mut task in self.tasks().await {
            let queue = Op::delete(format!("queue/{:020}/{}", task.due_millis, task.id));
            (task.state, task.finished) = (State::Succeeded, Some(at("2026-11-29T12:00:30Z")));
            task.result = Some(json!({
                "version": "shop.daily.1", "quality": "cut", "objects": 1, "totals": Totals::default(), "store": "main",
            }));
            let put = Op::put(format!("task/{}", task.id), serde_json::to_vec(&task).unwrap());
            self.coordinator.txn(vec![], vec![queue, put], vec![]).await.unwrap();
            self.metrics.remember(&[task], Timestamp::MAX);
        }
    }
}

impl Bench {
    /// Forgets all tasks, as happens after a while.
    async fn forget(&self) {
        for prefix in ["task/", "queue/"] {
            for kv in list_all(&self.coordinator, prefix).await.unwrap().0 {
                self.coordinator.txn(vec![], vec![Op::delete(kv.key)], vec![]).await.unwrap();
            }
        }
    }
}

fn names(looked: &Looked) -> Vec<(&str, String)> {
    looked.fired.iter().map(|(name, slot, _)| (name.as_str(), slot.nominal().to_string())).collect()
}

#[tokio::test]
async fn a_slot_becomes_one_task_however_often_it_is_looked_at() {
    let bench = bench([every("daily", "20s")]);
    let (scheduler, leader) = (bench.scheduler(), bench.led("2026-11-29T12:00:05Z").await);
    let first = scheduler.look(&leader, at("2026-11-29T12:00:25Z")).await.unwrap();
    assert_eq!(names(&first), [("daily", "2026-11-29T12:00:20Z".to_owned())]);
    assert_eq!(first.next, Some(at("2026-11-29T12:00:40Z")));
    for now in ["2026-11-29T12:00:25Z", "2026-11-29T12:00:39Z", "2026-11-29T11:00:00Z", "2026-11-28T13:00:00Z"] {
        assert!(scheduler.look(&leader, at(now)).await.unwrap().fired.is_empty(), "{now}");
    }
    let tasks = bench.tasks().await;
    assert_eq!(tasks.len(), 1);
    assert_eq!((tasks[0].id.clone(), tasks[0].subject.as_str()), (first.fired[0].2.clone(), "shop/daily"));
    assert_eq!(bench.record("daily").await.dealt, Dealt::Ran { task: tasks[0].id.clone() });
}

#[tokio::test]
async fn the_id_of_a_task_follows_from_policy_and_slot_and_sorts_by_time() {
    let (daily, hourly) = (every("daily", "20s"), every("hourly", "20s"));
    let slot = SlotId::at(at("2026-11-29T12:00:20Z"));
    assert_eq!(task_id(&daily, slot), task_id(&daily, slot));
    assert_ne!(task_id(&daily, slot), task_id(&hourly, slot));
    assert!(task_id(&daily, slot) < task_id(&hourly, SlotId(slot.0 + 1)));
    assert_eq!(task_id(&daily, slot).as_str().len(), 32);
}

#[tokio::test]
async fn while_a_run_is_not_done_slots_are_skipped_and_counted() {
    let bench = bench([every("daily", "20s"), every("hourly", "1h")]);
    let (scheduler, leader) = (bench.scheduler(), bench.led("2026-11-29T12:00:00Z").await);
    let first = scheduler.look(&leader, at("2026-11-29T12:00:20Z")).await.unwrap().fired[0].2.clone();
    for now in ["2026-11-29T12:00:40Z", "2026-11-29T12:01:00Z"] {
        let looked = scheduler.look(&leader, at(now)).await.unwrap();
        assert_eq!((looked.fired.len(), looked.skipped.len()), (0, 1));
    }
    let record = bench.record("daily").await;
    assert_eq!((record.skipped_in_all, record.dealt), (2, Dealt::Skipped { task: first }));
    assert!(bench.metrics.text().contains("slots_skipped_total{source=\"shop\",policy=\"daily\"} 2"));
    bench.finish().await;
    let looked = scheduler.look(&leader, at("2026-11-29T12:01:10Z")).await.unwrap();
    assert!(looked.fired.is_empty(), "a slot that was skipped is not made up for");
    assert!(bench.record("daily").await.success.is_some(), "the version is recorded with the slots");
    let looked = scheduler.look(&leader, at("2026-11-29T12:01:20Z")).await.unwrap();
    assert_eq!(names(&looked), [("daily", "2026-11-29T12:01:20Z".to_owned())]);
    assert_eq!(bench.tasks().await.len(), 2);
}

#[tokio::test]
async fn a_run_that_somebody_asked_for_holds_slots_up_too() {
    let bench = bench([every("daily", "20s")]);
    let tasks = Tasks::new(Arc::new(bench.coordinator.clone()), Env::system());
    tasks.submit(every("daily", "20s").submit, "by hand").await.unwrap();
    let looked =
        bench.scheduler().look(&bench.led("2026-11-29T12:00:00Z").await, at("2026-11-29T12:00:20Z")).await.unwrap();
    assert_eq!((looked.fired.len(), looked.skipped.len()), (0, 1));
}

#[tokio::test]
async fn after_a_pause_of_the_daemon_the_newest_slot_runs_and_the_others_are_counted() {
    let bench = bench([every("daily", "1h")]);
    let (scheduler, leader) = (bench.scheduler(), bench.led("2026-11-28T23:30:00Z").await);
    scheduler.look(&leader, at("2026-11-29T00:00:00Z")).await.unwrap();
    bench.finish().await;
    let looked = bench.scheduler().look(&leader, at("2026-11-29T12:30:00Z")).await.unwrap();
    assert_eq!(names(&looked), [("daily", "2026-11-29T12:00:00Z".to_owned())]);
    let record = bench.record("daily").await;
    assert_eq!((record.missed, record.missed_in_all), (11, 11));
}

#[tokio::test]
async fn a_new_policy_runs_at_its_next_slot() {
    let bench = bench([every("paced", "1d"), policy("timed", json!({"cron": "0 3 * * *"}))]);
    let (scheduler, leader) = (bench.scheduler(), bench.led("2026-11-29T12:00:00Z").await);
    assert_eq!(bench.record("timed").await.dealt, Dealt::Began);
    let looked = scheduler.look(&leader, at("2026-11-30T02:59:00Z")).await.unwrap();
    assert_eq!(names(&looked), [("paced", "2026-11-30T00:00:00Z".to_owned())]);
    let looked = scheduler.look(&leader, at("2026-11-30T03:00:00Z")).await.unwrap();
    assert_eq!(names(&looked), [("timed", "2026-11-30T03:00:00Z".to_owned())]);
}

#[tokio::test]
async fn runs_are_awaited_since_a_policy_was_resumed_and_also_where_none_of_its_slots_was_recorded() {
    let since = |bench: &Bench| {
        let told = bench.metrics.text();
        let series = told.lines().find(|line| line.starts_with("tidemark_policy_scheduled_since_timestamp_seconds{"));
        series.unwrap().rsplit_once(' ').unwrap().1.parse::<f64>().unwrap()
    };
    let bench = bench([every("daily", "1h")]);
    let (scheduler, leader) = (bench.scheduler(), bench.led("2026-11-29T12:00:05Z").await);
    let seen = at("2026-11-29T12:00:05Z").as_second() as f64;
    assert_eq!(since(&bench), seen);
    let resumed = at("2026-11-29T12:30:00Z");
    bench.policies.set([Planned { active_since: Some(resumed), ..every("daily", "1h") }]);
    scheduler.look(&leader, at("2026-11-29T12:40:00Z")).await.unwrap();
    assert_eq!(since(&bench), resumed.as_second() as f64);
    bench.policies.set([Planned { active_since: Some(at("2036-11-29T12:30:00Z")), ..every("daily", "1h") }]);
    scheduler.look(&leader, at("2026-11-29T12:41:00Z")).await.unwrap();
    assert_eq!(since(&bench), seen, "a clock that was ahead puts no alarm off");
}

#[tokio::test]
async fn a_clock_that_was_years_ahead_stops_nothing_and_makes_no_slot_run_twice() {
    let bench = bench([every("daily", "1h")]);
    let (scheduler, leader) = (bench.scheduler(), bench.led("2026-11-29T11:30:00Z").await);
    let mut fired = Vec::new();
    for (now, runs) in [
        ("2026-11-29T12:00:00Z", true),
        ("2036-01-01T10:00:00Z", true),
        ("2036-01-01T11:00:00Z", true),
        ("2026-11-29T12:10:00Z", false),
        ("2026-11-29T13:00:00Z", true),
        ("1990-01-01T00:00:00Z", false),
        ("2026-11-29T13:10:00Z", false),
        ("2026-11-29T14:00:00Z", true),
        ("2036-01-01T09:00:00Z", true),
        ("2036-01-01T10:00:00Z", false),
        ("2036-01-01T11:00:00Z", false),
        ("2036-01-01T12:00:00Z", true),
    ] {
        let looked = scheduler.look(&leader, at(now)).await.unwrap();
        assert_eq!(looked.fired.len(), usize::from(runs), "{now}: {:?}", bench.record("daily").await);
        fired.extend(looked.fired.into_iter().map(|(_, slot, _)| slot));
        bench.forget().await;
    }
    let count = fired.len();
    fired.sort();
    fired.dedup();
    assert_eq!(fired.len(), count);
}

#[tokio::test]
async fn a_clock_that_was_hours_ahead_is_told_until_it_has_passed_what_it_used_up() {
    let bench = bench([every("daily", "1h")]);
    let (scheduler, leader) = (bench.scheduler(), bench.led("2026-11-29T09:30:00Z").await);
    for now in ["2026-11-29T12:00:00Z", "2026-11-30T08:00:00Z"] {
        assert_eq!(scheduler.look(&leader, at(now)).await.unwrap().fired.len(), 1);
        bench.finish().await;
    }
    for task in bench.tasks().await {
        let finished = Some(at("2026-11-30T08:00:10Z"));
        bench.metrics.remember(&[TaskRecord { finished, ..task }], Timestamp::MAX);
    }
    let stopped = |told: &str| told.contains("tidemark_policy_stopped{policy=\"daily\"} 1\n");
    let succeeded = |told: &str| told.contains("tidemark_version_last_success_timestamp_seconds{");
    scheduler.look(&leader, at("2026-11-30T08:01:00Z")).await.unwrap();
    assert!(succeeded(&bench.metrics.text()) && !stopped(&bench.metrics.text()));
    let looked = scheduler.look(&leader, at("2026-11-29T12:10:00Z")).await.unwrap();
    assert_eq!((looked.fired.len(), looked.next), (0, Some(at("2026-11-30T09:00:00Z"))));
    let told = bench.metrics.text();
    assert!(stopped(&told) && !succeeded(&told), "how old the newest version is nobody knows: {told}");
    assert!(
        told.contains("tidemark_policy_scheduled_since_timestamp_seconds{"),
        "so that it counts as never run: {told}"
    );
    scheduler.look(&leader, at("2026-11-30T08:30:00Z")).await.unwrap();
    assert!(!stopped(&bench.metrics.text()));
    assert_eq!(scheduler.look(&leader, at("2026-11-30T09:00:00Z")).await.unwrap().fired.len(), 1);
}

#[test]
fn what_comes_is_what_the_slots_that_were_dealt_with_leave() {
    let (hourly, slot) = (every("daily", "1h").schedule.unwrap(), |text: &str| SlotId::at(at(text)));
    let record = SlotRecord {
        ahead: vec![
            (slot("2026-11-29T14:00:00Z"), slot("2026-11-29T15:00:00Z")),
            (slot("2026-11-29T15:00:00Z"), slot("2036-01-01T00:00:00Z")),
        ],
        ..SlotRecord::begun(at("2026-11-29T11:30:00Z"))
    };
    let coming = |now: &str, count| {
        let runs = record.coming(&hourly, "daily", at(now), count);
        runs.iter().map(|run| run.slot.nominal().to_string()).collect::<Vec<_>>()
    };
    let expected = ["2026-11-29T12:00:00Z", "2026-11-29T13:00:00Z", "2036-01-01T01:00:00Z", "2036-01-01T02:00:00Z"];
    assert_eq!(coming("2026-11-29T11:40:00Z", 4), expected);
    assert_eq!(coming("2026-11-29T11:40:00Z", 2), expected[..2]);
    assert_eq!(coming("2026-11-29T14:00:00Z", 1), expected[2..3]);
    let held = |now: &str| record.held_until(at(now)).map(|until| until.nominal().to_string());
    assert_eq!(held("2026-11-29T13:59:59Z"), None);
    assert_eq!(held("2026-11-29T14:30:00Z").as_deref(), Some("2036-01-01T00:00:00Z"), "the runs of slots join");
    assert_eq!(held("2036-01-01T00:00:00Z"), None);
    assert_eq!(held("2026-11-29T11:00:00Z").as_deref(), Some("2026-11-29T11:30:00Z"));
    assert_eq!(held("2026-11-27T11:00:00Z"), None, "so far behind the clock is believed");
    let jittered = policy("daily", json!({"every": "1h", "jitter": "50m"})).schedule.unwrap();
    let now = at("2026-11-29T11:30:00Z");
    let waits = record.coming(&jittered, "daily", now, 1)[0].slot;
    assert_eq!(waits, slot("2026-11-29T12:00:00Z"), "the slot of 11 o'clock is passed, whenever it begins");
}

#[tokio::test]
async fn a_schedule_that_is_changed_has_missed_nothing_and_runs_at_its_next_slot() {
    let daily = policy("daily", json!({"cron": "0 0 * * *"}));
    let bench = bench([daily.clone()]);
    let (scheduler, leader) = (bench.scheduler(), bench.led("2026-11-28T12:00:00Z").await);
    assert_eq!(scheduler.look(&leader, at("2026-11-29T00:00:00Z")).await.unwrap().fired.len(), 1);
    bench.finish().await;
    bench.policies.set([every("daily", "1h")]);
    let looked = scheduler.look(&leader, at("2026-11-29T10:30:00Z")).await.unwrap();
    assert_eq!((looked.fired.len(), looked.next), (0, Some(at("2026-11-29T11:00:00Z"))));
    let record = bench.record("daily").await;
    assert_eq!((record.missed_in_all, record.since), (0, at("2026-11-29T10:30:00Z")));
    assert_eq!(scheduler.look(&leader, at("2026-11-29T11:00:00Z")).await.unwrap().fired.len(), 1);
    bench.finish().await;
    // What has run does not run again, and what still waits by its jitter is not lost.
    bench.policies.set([policy("daily", json!({"every": "1h", "jitter": "59m"}))]);
    let looked = scheduler.look(&leader, at("2026-11-29T11:00:00Z")).await.unwrap();
    assert!(looked.fired.is_empty() && bench.record("daily").await.last == SlotId::at(at("2026-11-29T11:00:00Z")));
    bench.policies.set([policy("daily", json!({"every": "1h", "jitter": "58m"}))]);
    scheduler.look(&leader, at("2026-11-29T12:00:00Z")).await.unwrap();
    let looked = scheduler.look(&leader, at("2026-11-29T12:59:00Z")).await.unwrap();
    assert_eq!(names(&looked), [("daily", "2026-11-29T12:00:00Z".to_owned())]);
    // Without a schedule nothing is missed either, also where the same comes back.
    bench.finish().await;
    let none = Planned { schedule: None, ..daily.clone() };
    for (policy, now) in [(daily.clone(), "2026-11-29T13:00:00Z"), (none, "2026-11-29T14:00:00Z")] {
        bench.policies.set([policy]);
        scheduler.look(&leader, at(now)).await.unwrap();
    }
    bench.policies.set([daily]);
    let looked = scheduler.look(&leader, at("2026-12-05T14:00:00Z")).await.unwrap();
    assert!(looked.fired.is_empty(), "{looked:?}");
    assert_eq!(scheduler.look(&leader, at("2026-12-06T00:00:00Z")).await.unwrap().fired.len(), 1);
    assert_eq!(bench.record("daily").await.missed_in_all, 0);
}

#[tokio::test]
async fn a_policy_that_is_made_again_for_another_place_has_made_no_version() {
    let bench = bench([every("daily", "1h")]);
    let (scheduler, leader) = (bench.scheduler(), bench.led("2026-11-29T11:30:00Z").await);
    scheduler.look(&leader, at("2026-11-29T12:00:00Z")).await.unwrap();
    bench.finish().await;
    scheduler.look(&leader, at("2026-11-29T12:01:00Z")).await.unwrap();
    let told =
        |name: &str| bench.metrics.text().contains(&format!("tidemark_{name}{{source=\"shop\",policy=\"daily\"}}"));
    assert!(told("version_last_success_timestamp_seconds"));
    let elsewhere = Planned { store: "other".parse().unwrap(), ..every("daily", "1h") };
    for gone in [true, false] {
        // Removed and made again within a look or between two.
        if gone {
            bench.policies.set([]);
            scheduler.look(&leader, at("2026-11-29T12:02:00Z")).await.unwrap();
        }
        bench.policies.set([elsewhere.clone()]);
        scheduler.look(&leader, at("2026-11-29T12:03:00Z")).await.unwrap();
        assert!(!told("version_last_success_timestamp_seconds"), "of that store there is none: {gone}");
        assert!(told("policy_scheduled_since_timestamp_seconds"));
        assert_eq!(bench.record("daily").await.success, None);
        bench.policies.set([every("daily", "1h")]);
        scheduler.look(&leader, at("2026-11-29T12:04:00Z")).await.unwrap();
        assert!(told("version_last_success_timestamp_seconds"), "what was heard of this one");
    }
}

#[tokio::test]
async fn slots_of_a_paused_policy_pass_and_are_not_made_up_for() {
    let bench = bench([every("daily", "1h")]);
    let (scheduler, leader) = (bench.scheduler(), bench.led("2026-11-28T23:30:00Z").await);
    scheduler.look(&leader, at("2026-11-29T00:00:00Z")).await.unwrap();
    bench.finish().await;
    bench.policies.set([Planned { paused: true, ..every("daily", "1h") }]);
    let looked = scheduler.look(&leader, at("2026-11-29T05:10:00Z")).await.unwrap();
    assert_eq!((looked.fired.len(), looked.next), (0, None));
    assert!(!bench.metrics.text().contains("expected_interval_seconds{"), "nobody is told to expect versions");
    bench.policies.set([every("daily", "1h")]);
    assert!(scheduler.look(&leader, at("2026-11-29T05:20:00Z")).await.unwrap().fired.is_empty());
    assert_eq!(scheduler.look(&leader, at("2026-11-29T06:00:00Z")).await.unwrap().fired.len(), 1);
    assert_eq!(bench.record("daily").await.missed_in_all, 0);
}

#[tokio::test]
async fn one_policy_that_cannot_be_read_stops_no_other() {
    let bench = bench([every("daily", "1h")]);
    let bad = Unreadable { name: "aaa".to_owned(), reason: "is damaged".to_owned() };
    bench.policies.0.lock().unwrap().insert(0, Err(bad));
    let put = Op::put("slot/aaa", serde_json::to_vec(&SlotRecord::begun(Timestamp::UNIX_EPOCH)).unwrap());
    bench.coordinator.txn(vec![], vec![put, Op::put("slot/daily", "{")], vec![]).await.unwrap();
    let (scheduler, leader) = (bench.scheduler(), bench.leader().await);
    scheduler.look(&leader, at("2026-11-29T12:30:00Z")).await.unwrap();
    assert_eq!(bench.record("daily").await.dealt, Dealt::Began, "what cannot be read of slots counts from now on");
    assert_eq!(scheduler.look(&leader, at("2026-11-29T13:00:00Z")).await.unwrap().fired.len(), 1);
    assert_eq!(bench.record("aaa").await.last, SlotId(0), "a policy that cannot be read keeps its slots");
    let told = bench.metrics.text();
    assert!(told.contains("tidemark_policy_stopped{policy=\"aaa\"} 1\n"), "{told}");
    assert!(!told.contains("tidemark_policy_stopped{policy=\"daily\"}"), "{told}");
    bench.policies.set([]);
    scheduler.look(&leader, at("2026-11-29T13:00:00Z")).await.unwrap();
    assert!(!bench.metrics.text().contains("tidemark_policy_stopped{"), "nothing is left to raise an alarm");
    assert!(list_all(&bench.coordinator, "slot/").await.unwrap().0.is_empty(), "those of a policy that is gone go");
}

#[tokio::test]
async fn a_policy_that_comes_back_within_a_slot_does_not_run_it_again() {
    let bench = bench([every("daily", "1h")]);
    let (scheduler, leader) = (bench.scheduler(), bench.led("2026-11-29T11:30:00Z").await);
    scheduler.look(&leader, at("2026-11-29T12:00:00Z")).await.unwrap();
    bench.finish().await;
    bench.policies.set([]);
    scheduler.look(&leader, at("2026-11-29T12:01:00Z")).await.unwrap();
    bench.policies.set([every("daily", "1h")]);
    scheduler.look(&leader, at("2026-11-29T11:50:00Z")).await.unwrap();
    assert!(scheduler.look(&leader, at("2026-11-29T12:02:00Z")).await.unwrap().fired.is_empty());
    assert_eq!(bench.tasks().await.len(), 1);
    assert!(matches!(bench.record("daily").await.dealt, Dealt::Ran { .. }));
}

#[tokio::test]
async fn a_policy_that_changed_since_it_was_read_is_not_run() {
    let guard = vec![Cmp::ModRevision("policy/daily".to_owned(), 77)];
    let bench = bench([Planned { guard, ..every("daily", "1h") }]);
    let begun = SlotRecord::begun(at("2026-11-29T11:30:00Z"));
    let put = Op::put("slot/daily", serde_json::to_vec(&begun).unwrap());
    bench.coordinator.txn(vec![], vec![put], vec![]).await.unwrap();
    let looked = bench.scheduler().look(&bench.leader().await, at("2026-11-29T12:00:00Z")).await.unwrap();
    assert!(looked.again && looked.fired.is_empty() && bench.tasks().await.is_empty());
}

#[tokio::test]
async fn registered_policies_are_read_one_by_one() {
    let bench = bench([]);
    let mut policy = json!({"name": "daily", "source": "shop", "objects": ["ks/*"], "store": "s", "options": {}});
    policy["schedule"] = json!({"every": "20s"});
    policy["paused"] = json!(true);
    let put = |name: &str, value: &serde_json::Value| Op::put(format!("policy/{name}"), value.to_string());
    let mut elsewhere = policy.clone();
    elsewhere["name"] = json!("ccc");
    elsewhere["schedule"] = json!({"every": "20s", "zone": "Mars/Olympus"});
    let inert =
        json!({"name": "lent", "source": "lent", "objects": ["ks/*"], "store": "s", "schedule": {"every": "20s"}});
    let source = json!({"name": "lent", "kind": "fake", "spec": {}, "imported_from": "s"});
    let mut puts =
        vec![put("aaa", &json!("damaged")), put("bbb", &policy), put("ccc", &elsewhere), put("daily", &policy)];
    let mut imported = policy.clone();
    (imported["name"], imported["paused"], imported["imported_from"]) = (json!("eee"), json!(false), json!("s"));
    puts.extend([put("eee", &imported), put("lent", &inert), Op::put("source/lent", source.to_string())]);
    bench.coordinator.txn(vec![], puts, vec![]).await.unwrap();
    let registrations = registrations::Registrations::new(Arc::new(bench.coordinator.clone()));
    let read = registrations.planned().await.unwrap();
    let name = |policy: &Result<Planned, Unreadable>| match policy {
        Ok(planned) => planned.name.to_string(),
        Err(bad) => format!("{}: unreadable", bad.name),
    };
    let names: Vec<_> = read.iter().map(name).collect();
    assert_eq!(names, ["aaa: unreadable", "bbb: unreadable", "ccc: unreadable", "daily", "eee", "lent"]);
    let imported = read[4].as_ref().unwrap();
    assert!(imported.paused && imported.stopped.as_ref().unwrap().contains("not confirmed"), "{imported:?}");
    let daily = read[3].as_ref().unwrap();
    assert_eq!((daily.submit.subject.as_str(), daily.paused, &daily.stopped), ("shop/daily", true, &None));
    let lent = read[5].as_ref().unwrap();
    assert!(lent.paused && lent.stopped.as_ref().unwrap().contains("not confirmed"), "{lent:?}");
    bench.policies.set([lent.clone()]);
    bench.led("2026-11-29T12:00:00Z").await;
    assert!(bench.metrics.text().contains("tidemark_policy_stopped{policy=\"lent\"} 1\n"));
    assert_eq!(daily.schedule, every("daily", "20s").schedule);
}
