//! How policies stand: their newest versions, from the stores; their times, from their schedules.

use std::{collections::HashMap, time::Duration};

use jiff::{SignedDuration, Timestamp};
use tidemark_catalog::{ids::ObjectName, pattern::Patterns};
use tidemark_gateway::causes::joined;
use tidemark_web::api::{PolicyDetail, PolicyStatus, Problem};

use super::super::{Api, problems::answer, versions};
use crate::{
    registrations::PolicyRecord,
    schedule::{Schedule, SlotId},
    tasks::{Kind, State},
};

/// Operations that make versions and are not done, by subject: one that runs before one that waits.
pub(super) type Running = HashMap<String, String>;

/// Operations that make versions and are not done.
pub(super) async fn running(api: &Api) -> Result<Running, Problem> {
    let mut tasks = api.tasks().list().await.map_err(answer)?;
    tasks.retain(|task| task.kind == Kind::Protect && !task.state.is_done());
    tasks.sort_by_key(|task| task.state == State::Running);
    Ok(tasks.into_iter().map(|task| (task.subject, task.id.to_string())).collect())
}

/// A policy and how it stands. A store that cannot be looked into hides nothing of what is known without it.
pub(super) async fn detail(api: &Api, policy: PolicyRecord, running: &Running) -> PolicyDetail {
    let (of, mut notes) = OfPolicy::new(&policy);
    let newest = versions::newest(api, &policy).await.unwrap_or_else(|problem| {
        notes.push(format!("versions are not known: {}: {}", problem.code, problem.detail));
        versions::Newest::default()
    });
    let known = notes.is_empty();
    let mut status = of.status(newest.committed(), running, api.with.env.now());
    status.late &= known;
    status.newest_version = newest.any.map(|version| version.id);
    status.recoverable_until = newest.complete.and_then(|version| version.cut_from);
    status.note = (!notes.is_empty()).then(|| notes.join("; "));
    PolicyDetail { policy: policy.into(), status }
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

    /// True where the newest version, committed then, is older than 1.5 times what is expected; there should be one.
    pub(in super::super) fn is_late(&self, newest: Option<Timestamp>, now: Timestamp) -> bool {
        let Some(expected) = self.expected_interval(now) else { return false };
        let bound = SignedDuration::try_from(expected * 3 / 2).unwrap_or(SignedDuration::MAX);
        newest.is_none_or(|newest| now.duration_since(newest) > bound)
    }

    fn status(&self, newest: Option<Timestamp>, running: &Running, now: Timestamp) -> PolicyStatus {
        let PolicyRecord { name, source, .. } = self.policy;
        let runs = self.schedule.as_ref().map(|schedule| schedule.next(name.as_str(), now, 1)).unwrap_or_default();
        let running = running.get(&format!("{source}/{name}")).cloned();
        PolicyStatus {
            newest_version: None,
            last_success: newest,
            recoverable_until: None,
            expected_interval_seconds: self.expected_interval(now).map(|expected| expected.as_secs()),
            late: self.is_late(newest, now),
            next_run: runs.first().map(|run| run.at),
            missed_slots: self.missed(newest, running.is_some(), now),
            running,
            note: None,
        }
    }

    /// Slots since the newest version, but for the one that runs.
    fn missed(&self, newest: Option<Timestamp>, runs: bool, now: Timestamp) -> u64 {
        let (Some(schedule), Some(newest)) = (&self.schedule, newest) else { return 0 };
        let begun = schedule.begun_since(self.policy.name.as_str(), SlotId::at(newest), now);
        begun.saturating_sub(u64::from(runs))
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

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
    fn slots_without_a_version_are_missed_but_for_the_one_that_runs() {
        let (hourly, now) = (policy(json!({"every": "1h"})), at("2026-05-05T12:10:00Z"));
        let missed = |newest: &str, runs| {
            let running = if runs { Running::from([("src/p".to_owned(), "op".to_owned())]) } else { Running::new() };
            let status = OfPolicy::new(&hourly).0.status(Some(at(newest)), &running, now);
            assert_eq!((status.running.is_some(), status.next_run), (runs, Some(at("2026-05-05T13:00:00Z"))));
            status.missed_slots
        };
        assert_eq!(missed("2026-05-05T12:01:00Z", false), 0);
        assert_eq!(missed("2026-05-05T11:01:00Z", true), 0);
        assert_eq!(missed("2026-05-05T11:01:00Z", false), 1);
        assert_eq!(missed("2026-05-05T08:01:00Z", false), 4);
        assert_eq!(missed("2026-05-05T08:01:00Z", true), 3);
    }

    #[test]
    fn a_zone_that_this_host_does_not_know_is_said_and_stops_nothing() {
        let record = policy(json!({"cron": "0 3 * * *", "zone": "Mars/Olympus"}));
        let (of, notes) = OfPolicy::new(&record);
        assert!(notes[0].contains("Mars/Olympus"), "{notes:?}");
        assert!(of.names(&"ks/a".parse().unwrap()) && !of.names(&"ks/tmp".parse().unwrap()));
        assert_eq!(of.expected_interval(at("2026-05-05T12:10:00Z")), None);
    }
}
