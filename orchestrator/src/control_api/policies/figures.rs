//! How policies stand: their newest versions, from the stores; their times, from their schedules.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    time::Duration,
};

use jiff::{SignedDuration, Timestamp};
use serde_json::json;
use tidemark_catalog::{ids::ObjectName, pattern::Patterns};
use tidemark_gateway::causes::joined;
use tidemark_web::api::{FailedRun, Policy, PolicyDetail, PolicyStatus, Problem};

use super::super::{
    Api, limits,
    problems::{answer, refused},
    versions,
};
use crate::{
    registrations::{self, PolicyRecord, SOURCES, SourceRecord},
    schedule::{Run, Schedule, SlotId},
    scheduler::{self, SlotRecord, is_ahead},
    tasks::{Kind, State, TaskRecord},
};

/// What the coordinator knows around policies.
#[derive(Debug, Default)]
pub(super) struct Around {
    /// Operations that make versions and are not done, by subject: one that runs before one that waits.
    running: HashMap<String, String>,
    /// The run that failed last, by subject.
    failed: HashMap<String, FailedRun>,
    /// What their slots came to, by policy.
    slots: BTreeMap<String, SlotRecord>,
    /// Sources that nobody has confirmed.
    unconfirmed: BTreeSet<String>,
}

impl Around {
    pub(super) async fn read(api: &Api) -> Result<Self, Problem> {
        let mut tasks = api.tasks().list().await.map_err(answer)?;
        tasks.retain(|task| task.kind == Kind::Protect);
        let failed = last_failed(&tasks);
        tasks.retain(|task| !task.state.is_done());
        tasks.sort_by_key(|task| task.state == State::Running);
        let slots = scheduler::records(&api.coordinator).await;
        let sources: Vec<SourceRecord> = api.registrations().list(SOURCES).await.map_err(answer)?;
        Ok(Self {
            running: tasks.into_iter().map(|task| (task.subject, task.id.to_string())).collect(),
            failed,
            slots: slots.map_err(|error| refused(503, "TM-TASK-0002", &error))?,
            unconfirmed: sources
                .into_iter()
                .filter(|source| !source.is_confirmed())
                .map(|source| source.name)
                .collect(),
        })
    }

    /// The coming runs of a policy with this schedule: what the scheduler will do, not what the schedule says alone.
    pub(super) fn coming(&self, policy: &PolicyRecord, schedule: &Schedule, now: Timestamp, count: usize) -> Vec<Run> {
        let name = policy.name.as_str();
        if scheduler::why_not_confirmed(policy, self.unconfirmed.contains(policy.source.as_str())).is_some() {
            return Vec::new();
        }
        match self.slots.get(name) {
            Some(record) => record.coming(schedule, name, now, count),
            None => schedule.next(name, now, count),
        }
    }

    /// Since when its runs are awaited.
    fn since(&self, policy: &PolicyRecord, now: Timestamp) -> Option<Timestamp> {
        scheduler::awaited_since(policy.active_since, self.slots.get(policy.name.as_str()), now)
    }

    /// Why it does not run by itself although it should.
    fn why_stopped(&self, policy: &PolicyRecord, now: Timestamp) -> Option<String> {
        let schedule = match policy.active_schedule() {
            Ok(schedule) => schedule?,
            Err(error) => return Some(joined(&error)),
        };
        if let Some(why) = scheduler::why_not_confirmed(policy, self.unconfirmed.contains(policy.source.as_str())) {
            return Some(why);
        }
        let name = policy.name.as_str();
        scheduler::why_stopped(&schedule, name, self.slots.get(name), now)
    }
}

/// Of each subject the run that failed last.
fn last_failed(tasks: &[TaskRecord]) -> HashMap<String, FailedRun> {
    let mut failed: HashMap<String, FailedRun> = HashMap::new();
    for task in tasks.iter().filter(|task| task.state == State::Failed) {
        let Some(run) = failed_run(task) else { continue };
        let known = failed.entry(task.subject.clone()).or_insert_with(|| run.clone());
        if known.at < run.at {
            *known = run;
        }
    }
    failed
}

fn failed_run(task: &TaskRecord) -> Option<FailedRun> {
    let error = task.error.as_ref()?;
    let message = error.message.lines().next().unwrap_or_default().to_owned();
    Some(FailedRun { operation: task.id.to_string(), at: task.finished?, code: error.code.clone(), message })
}

/// A policy of which only the name is known.
pub(super) fn unreadable(name: String, error: &registrations::Error) -> PolicyDetail {
    let policy = Policy {
        name,
        source: String::new(),
        objects: Vec::new(),
        excludes: Vec::new(),
        store: String::new(),
        schedule: None,
        keep: None,
        zone: None,
        options: json!({}),
        paused: false,
        keep_staged: false,
        limits: None,
    };
    let why = format!("it cannot be read: {}", joined(error));
    PolicyDetail {
        policy,
        status: PolicyStatus { note: Some(why.clone()), stopped: Some(why), ..PolicyStatus::default() },
        unconfirmed: None,
    }
}

/// A policy and how it stands. A store that cannot be looked into hides nothing of what is known without it.
pub(super) async fn detail(api: &Api, policy: PolicyRecord, around: &Around) -> PolicyDetail {
    let (of, mut notes) = OfPolicy::new(&policy);
    let newest = versions::newest(api, &policy).await.unwrap_or_else(|problem| {
        notes.push(format!("versions are not known: {}: {}", problem.code, problem.detail));
        versions::Newest::default()
    });
    let known = notes.is_empty();
    let mut status = of.status(newest.committed(), around, api.with.env.now());
    status.late &= known;
    status.newest_version = newest.any.map(|version| version.id);
    status.recoverable_until = newest.complete.and_then(|version| version.cut_from);
    status.note = (!notes.is_empty()).then(|| notes.join("; "));
    PolicyDetail { unconfirmed: policy.imported_from.clone(), policy: policy.into(), status }
}

/// What a policy says of objects and times.
pub(in super::super) struct OfPolicy<'a> {
    pub(in super::super) policy: &'a PolicyRecord,
    patterns: Option<Patterns>,
    schedule: Option<Schedule>,
}

impl<'a> OfPolicy<'a> {
    /// With what of it cannot be understood on this host, in words.
    pub(in super::super) fn new(policy: &'a PolicyRecord) -> (Self, Vec<String>) {
        let mut notes = Vec::new();
        let patterns = policy.patterns().map_err(|error| notes.push(joined(&error))).ok();
        let schedule = policy.active_schedule().map_err(|error| notes.push(joined(&error))).ok().flatten();
        (Self { policy, patterns, schedule }, notes)
    }

    /// True where it names the object.
    pub(in super::super) fn names(&self, object: &ObjectName) -> bool {
        self.patterns.as_ref().is_some_and(|patterns| patterns.matches(object.parts()))
    }

    /// Longest time between two versions about `now`; `None` where it does not run by itself.
    pub(in super::super) fn expected_interval(&self, now: Timestamp) -> Option<Duration> {
        self.schedule.as_ref()?.expected_interval(now)
    }

    /// True where the newest version, committed then, is older than 1.5 times what is expected, or there is none, and the policy was
    /// made or resumed before that time too: its first run may come an interval later and takes a while. Of what is from a time that is
    /// still to come nobody knows how old it is: it is late.
    pub(in super::super) fn is_late(&self, newest: Option<Timestamp>, now: Timestamp) -> bool {
        let Some(expected) = self.expected_interval(now) else { return false };
        let bound = SignedDuration::try_from(expected * 3 / 2).unwrap_or(SignedDuration::MAX);
        let is_past = |at| is_ahead(at, now) || now.duration_since(at) > bound;
        newest.is_none_or(is_past) && self.policy.active_since.is_none_or(is_past)
    }

    fn status(&self, newest: Option<Timestamp>, around: &Around, now: Timestamp) -> PolicyStatus {
        let PolicyRecord { name, source, .. } = self.policy;
        let runs = self.schedule.as_ref().map(|schedule| around.coming(self.policy, schedule, now, 1));
        let runs = runs.unwrap_or_default();
        let subject = format!("{source}/{name}");
        let running = around.running.get(&subject).cloned();
        PolicyStatus {
            newest_version: None,
            last_success: newest,
            recoverable_until: None,
            expected_interval_seconds: self.expected_interval(now).map(|expected| expected.as_secs()),
            late: self.is_late(newest, now),
            next_run: runs.first().map(|run| run.at),
            missed_slots: self.missed(newest, around.since(self.policy, now), running.is_some(), now),
            running,
            last_failure: around.failed.get(&subject).cloned(),
            stopped: around.why_stopped(self.policy, now),
            limit_now: limits::now(&self.policy.limits(), now),
            note: None,
        }
    }

    /// Slots since the newest version and since its schedule holds, but for the one that runs.
    fn missed(&self, newest: Option<Timestamp>, holds: Option<Timestamp>, runs: bool, now: Timestamp) -> u64 {
        let (Some(schedule), Some(newest)) = (&self.schedule, newest) else { return 0 };
        let since = holds.map_or(newest, |holds| holds.max(newest));
        let begun = schedule.begun_since(self.policy.name.as_str(), SlotId::at(since), now);
        begun.saturating_sub(u64::from(runs))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn policy(schedule: serde_json::Value) -> PolicyRecord {
        let policy = json!({
            "name": "p", "source": "src", "objects": ["ks/*"], "excludes": ["ks/tmp"], "store": "s", "schedule": schedule,
        });
        serde_json::from_value(policy).unwrap()
    }

    fn at(text: &str) -> Timestamp {
        text.parse().unwrap()
    }

    #[test]
    fn a_policy_is_late_after_one_and_a_half_of_its_intervals() {
        let (hourly, now) = (policy(json!({"every": "1h"})), at("2026-05-05T12:10:00Z"));
        let late = |newest| OfPolicy::new(&hourly).0.is_late(newest, now);
        assert!(!late(Some(at("2026-05-05T10:40:00Z"))));
        assert!(late(Some(at("2026-05-05T10:39:59Z"))));
        assert!(late(None), "there is none yet");
        let paused = PolicyRecord { paused: true, ..hourly.clone() };
        let by_hand = PolicyRecord { schedule: None, ..hourly.clone() };
        for never in [paused, by_hand] {
            assert!(!OfPolicy::new(&never).0.is_late(None, now));
        }
    }

    #[test]
    fn a_policy_that_was_just_made_or_resumed_is_late_only_when_a_run_should_have_come() {
        let (hourly, now) = (policy(json!({"every": "1h"})), at("2026-05-05T12:10:00Z"));
        let late = |since: &str, newest: Option<&str>, now| {
            let policy = PolicyRecord { active_since: Some(at(since)), ..hourly.clone() };
            OfPolicy::new(&policy).0.is_late(newest.map(at), now)
        };
        assert!(!late("2026-05-05T12:10:00Z", None, now), "the very second");
        assert!(!late("2026-05-05T11:10:00Z", None, now), "its first run may have begun just now");
        assert!(!late("2026-05-05T10:40:00Z", None, now));
        assert!(late("2026-05-05T10:39:59Z", None, now), "no scheduler, or a run that fails: it never ran");
        let before_the_pause = Some("2026-05-01T00:00:00Z");
        assert!(!late("2026-05-05T12:10:00Z", before_the_pause, now));
        assert!(late("2026-05-05T10:39:59Z", before_the_pause, now));
        assert!(!late("2026-05-01T00:00:00Z", Some("2026-05-05T12:01:00Z"), now));
        assert!(late("2026-06-01T00:00:00Z", None, now), "a clock that was ahead hides nothing");
    }

    #[test]
    fn the_run_that_failed_last_is_told_by_its_first_line_also_when_others_came_after_it() {
        let task = |id: &str, state: &str, finished: &str, error: serde_json::Value| -> TaskRecord {
            let task = json!({
                "id": id, "kind": "protect", "subject": "src/p", "spec": {}, "exclusive": null, "state": state, "attempt": 1,
                "due_millis": 0, "created": "2026-05-05T00:00:00Z", "finished": finished, "error": error, "result": null,
            });
            serde_json::from_value(task).unwrap()
        };
        let error = |message: &str| json!({"code": "TM-SRC-0002", "message": message, "hint": null, "retryable": false, "cancelled": false});
        let tasks = [
            task("b", "failed", "2026-05-05T11:00:00Z", error("away\nwhere it was\n")),
            task("a", "failed", "2026-05-05T10:00:00Z", error("earlier")),
            task("c", "succeeded", "2026-05-05T12:00:00Z", error("an attempt before")),
            task("d", "cancelled", "2026-05-05T12:00:00Z", error("somebody asked")),
        ];
        let around = Around { failed: last_failed(&tasks), ..Around::default() };
        let policy = policy(json!({"every": "1h"}));
        let status = OfPolicy::new(&policy).0.status(None, &around, at("2026-05-05T12:10:00Z"));
        let run = status.last_failure.unwrap();
        assert_eq!((run.operation.as_str(), run.at), ("b", at("2026-05-05T11:00:00Z")));
        assert_eq!((run.code.as_str(), run.message.as_str()), ("TM-SRC-0002", "away"));
    }

    #[test]
    fn what_passed_while_a_policy_rested_was_not_missed() {
        let (hourly, now) = (policy(json!({"every": "1h"})), at("2026-05-05T12:10:00Z"));
        let resumed = PolicyRecord { active_since: Some(at("2026-05-05T10:30:00Z")), ..hourly };
        let status = OfPolicy::new(&resumed).0.status(Some(at("2026-05-01T00:00:00Z")), &Around::default(), now);
        assert_eq!(status.missed_slots, 2);
    }

    #[test]
    fn slots_without_a_version_are_missed_but_for_the_one_that_runs() {
        let (hourly, now) = (policy(json!({"every": "1h"})), at("2026-05-05T12:10:00Z"));
        let missed = |newest: &str, runs: bool| {
            let running: Option<(String, String)> = runs.then(|| ("src/p".to_owned(), "op".to_owned()));
            let around = Around { running: running.into_iter().collect(), ..Around::default() };
            let status = OfPolicy::new(&hourly).0.status(Some(at(newest)), &around, now);
            assert_eq!((status.running.is_some(), status.next_run), (runs, Some(at("2026-05-05T13:00:00Z"))));
            status.missed_slots
        };
        assert_eq!(missed("2026-05-05T12:01:00Z", false), 0);
        assert_eq!(missed("2026-05-05T11:01:00Z", true), 0);
        assert_eq!(missed("2026-05-05T11:01:00Z", false), 1);
        assert_eq!(missed("2026-05-05T08:01:00Z", false), 4);
        assert_eq!(missed("2026-05-05T08:01:00Z", true), 3);
        let holds = Some(at("2026-05-05T10:30:00Z"));
        let changed = OfPolicy::new(&hourly).0.missed(Some(at("2026-05-05T02:00:00Z")), holds, false, now);
        assert_eq!(changed, 2, "before it held nothing was missed");
    }

    #[test]
    fn a_zone_that_this_host_does_not_know_is_said_and_stops_nothing() {
        let record = policy(json!({"cron": "0 3 * * *", "zone": "Mars/Olympus"}));
        let (of, notes) = OfPolicy::new(&record);
        assert!(notes[0].contains("Mars/Olympus"), "{notes:?}");
        assert!(of.names(&"ks/a".parse().unwrap()) && !of.names(&"ks/tmp".parse().unwrap()));
        assert_eq!(of.expected_interval(at("2026-05-05T12:10:00Z")), None);
        let status = of.status(None, &Around::default(), at("2026-05-05T12:10:00Z"));
        assert!(status.stopped.unwrap().contains("Mars/Olympus"));
    }

    /// What is known after a slot.
    fn dealt_with(last: &str) -> Around {
        let record = json!({
            "last": SlotId::at(at(last)), "dealt": "began", "missed": 0, "missed_in_all": 0, "skipped_in_all": 0,
            "since": "2026-05-01T00:00:00Z", "steady_from": 0,
        });
        Around { slots: [("p".to_owned(), serde_json::from_value(record).unwrap())].into(), ..Around::default() }
    }

    #[test]
    fn runs_that_a_clock_which_was_ahead_has_used_up_are_not_promised() {
        let (hourly, now) = (policy(json!({"every": "1h"})), at("2026-05-05T12:10:00Z"));
        let status = |around: &Around, newest: &str| OfPolicy::new(&hourly).0.status(Some(at(newest)), around, now);
        let sound = status(&dealt_with("2026-05-05T12:00:00Z"), "2026-05-05T12:01:00Z");
        assert_eq!((sound.next_run, sound.late, sound.stopped), (Some(at("2026-05-05T13:00:00Z")), false, None));
        let ahead = status(&dealt_with("2026-05-06T08:00:00Z"), "2026-05-06T08:01:00Z");
        assert_eq!((ahead.next_run, ahead.late), (Some(at("2026-05-06T09:00:00Z")), true));
        assert!(ahead.stopped.unwrap().contains("2026-05-06T08:00:00Z"));
        assert!(!OfPolicy::new(&hourly).0.is_late(Some(at("2026-05-05T12:11:00Z")), now), "clocks are never quite one");
    }

    #[test]
    fn a_policy_of_a_source_that_nobody_confirmed_is_stopped_and_one_that_rests_is_not() {
        let (hourly, now) = (policy(json!({"every": "1h"})), at("2026-05-05T12:10:00Z"));
        let around = Around { unconfirmed: ["src".to_owned()].into(), ..Around::default() };
        let status = |policy: &PolicyRecord| OfPolicy::new(policy).0.status(None, &around, now);
        assert!(status(&hourly).next_run.is_none() && status(&hourly).stopped.unwrap().contains("not confirmed"));
        let rests =
            [PolicyRecord { paused: true, ..hourly.clone() }, PolicyRecord { schedule: None, ..hourly.clone() }];
        assert!(rests.iter().all(|policy| status(policy).stopped.is_none()));
    }
}
