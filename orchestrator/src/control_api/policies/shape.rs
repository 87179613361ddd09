//! A policy of the API and the one that is stored, one from the other.

use tidemark_catalog::{
    duration::Lasting,
    pattern::{self, Patterns},
    retention::{Retention, Rules},
};
use tidemark_gateway::causes::joined;
use tidemark_web::api::{self, Keep, Policy, Problem};

use super::super::{limits, problems::check_name};
use crate::{
    registrations::PolicyRecord,
    schedule::{self, Schedule, ScheduleSpec},
    sources::Driver,
};

impl TryFrom<Policy> for PolicyRecord {
    /// Status 400: `TM-API-0400` for what is no name, `TM-POL-0400` for patterns, schedule and retention. Options are for the
    /// source to check.
    type Error = Problem;

    fn try_from(policy: Policy) -> Result<Self, Problem> {
        let Policy { name, source, objects, excludes, store, schedule, keep, zone, .. } = policy;
        let (name, source) = (check_name("policy", &name)?, check_name("source", &source)?);
        let store = check_name("store", &store)?;
        check_objects(&objects, &excludes)?;
        zone.as_deref().map(schedule::zone).transpose().map_err(|error| wrong("zone", &error))?;
        let schedule = schedule.map(|schedule| read_schedule(schedule, zone.clone())).transpose()?;
        let keep = keep.map(read_keep).transpose()?;
        let limits = limits::read(policy.limits).map_err(|error| wrong_limits(&error))?;
        let (options, paused, keep_staged) = (policy.options, policy.paused, policy.keep_staged);
        let plain = Self::new(name, source, objects, store);
        Ok(Self { excludes, schedule, keep, zone, options, paused, keep_staged, limits, ..plain })
    }
}

impl From<PolicyRecord> for Policy {
    fn from(record: PolicyRecord) -> Self {
        let PolicyRecord { objects, excludes, zone, options, paused, keep_staged, .. } = record;
        Self {
            name: record.name.to_string(),
            source: record.source.to_string(),
            objects,
            excludes,
            store: record.store.to_string(),
            schedule: record.schedule.map(show_schedule),
            keep: record.keep.map(show_keep),
            zone,
            options,
            paused,
            keep_staged,
            limits: limits::show(record.limits),
        }
    }
}

fn read_schedule(schedule: api::Schedule, zone: Option<String>) -> Result<ScheduleSpec, Problem> {
    let api::Schedule { every, cron, windows, jitter } = schedule;
    let spec = ScheduleSpec {
        every: lasting("schedule.every", every)?,
        cron,
        zone,
        windows,
        jitter: lasting("schedule.jitter", jitter)?,
    };
    let sound = Schedule::try_from(spec).map_err(|error| wrong("schedule", &error))?;
    sound.require_jitter().map_err(|error| wrong("schedule", &error))?;
    Ok(sound.into())
}

fn show_schedule(spec: ScheduleSpec) -> api::Schedule {
    let ScheduleSpec { every, cron, zone: _, windows, jitter } = spec;
    let text = |lasting: Option<Lasting>| lasting.map(|lasting| lasting.to_string());
    api::Schedule { every: text(every), cron, windows, jitter: text(jitter) }
}

fn read_keep(keep: Keep) -> Result<Retention, Problem> {
    let Keep { last, within, hourly, daily, weekly, monthly, yearly } = keep;
    let rules = Rules { last, within: lasting("keep.within", within)?, hourly, daily, weekly, monthly, yearly };
    Retention::try_from(rules).map_err(|error| wrong("keep", &error))
}

fn show_keep(retention: Retention) -> Keep {
    let Rules { last, within, hourly, daily, weekly, monthly, yearly } = retention.into();
    let within = within.map(|within| within.to_string());
    Keep { last, within, hourly, daily, weekly, monthly, yearly }
}

fn lasting(field: &str, text: Option<String>) -> Result<Option<Lasting>, Problem> {
    text.map(|text| text.parse()).transpose().map_err(|error| wrong(field, &error))
}

fn wrong(field: &str, error: &(dyn std::error::Error + 'static)) -> Problem {
    Problem::bad_request("TM-POL-0400", format!("{field}: {}", joined(error)))
}

fn wrong_limits(error: &crate::limits::Error) -> Problem {
    Problem::bad_request("TM-POL-0400", joined(error)).with_hint(limits::HINT)
}

fn check_objects(objects: &[String], excludes: &[String]) -> Result<(), Problem> {
    let named = Patterns::parse(objects).map_err(|error| no_pattern("objects", &error))?;
    let patterns = named.without(excludes).map_err(|error| no_pattern("excludes", &error))?;
    if patterns.is_empty() {
        return Err(Problem::bad_request("TM-POL-0400", "objects is empty"));
    }
    match patterns.shadowed() {
        None => Ok(()),
        Some((pattern, exclude)) => {
            let words = format!("objects: {pattern} can match nothing: excludes has {exclude}, which wins");
            Err(Problem::bad_request("TM-POL-0400", words).with_hint("leave out one of the two"))
        }
    }
}

/// Refuses patterns that match no object of this kind of source.
pub(super) fn check_parts(policy: &PolicyRecord, driver: &Driver) -> Result<(), Problem> {
    let Some(parts) = driver.name_parts() else { return Ok(()) };
    let patterns = policy.patterns().map_err(|error| no_pattern("objects", &error))?;
    let Some(pattern) = patterns.iter().find(|pattern| pattern.depth() != parts) else { return Ok(()) };
    let (kind, found) = (driver.kind(), pattern.depth());
    let words = format!("{pattern} can match nothing: names of {kind} sources have {parts} parts, and it has {found}");
    let form = vec!["*"; parts].join("/");
    Err(Problem::bad_request("TM-POL-0400", words).with_hint(format!("{form} is every object of the source")))
}

fn no_pattern(field: &str, error: &pattern::Error) -> Problem {
    wrong(field, error).with_hint("patterns are part/part, with * for any text within a part")
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn policy() -> Policy {
        Policy {
            name: "daily".to_owned(),
            source: "shop".to_owned(),
            objects: vec!["ks/*".to_owned(), "{a,b}/t".to_owned()],
            excludes: vec!["ks/tmp_*".to_owned()],
            store: "s".to_owned(),
            schedule: Some(api::Schedule {
                every: Some("1h 30m".to_owned()),
                windows: vec!["mon-fri 20:00-06:00".to_owned()],
                jitter: Some("PT1M".to_owned()),
                ..api::Schedule::default()
            }),
            keep: Some(Keep { last: Some(3), within: Some("7d".to_owned()), daily: Some(7), ..Keep::default() }),
            zone: Some("Europe/Vienna".to_owned()),
            options: json!({"write_level": "quorum", "repaired": true}),
            paused: true,
            keep_staged: true,
            limits: Some(api::Limits {
                bytes_per_second: Some(50 << 20),
                requests: None,
                hours: vec![api::LimitHours {
                    when: "mon-fri 08:00-18:00".to_owned(),
                    requests: Some(4),
                    ..api::LimitHours::default()
                }],
            }),
        }
    }

    #[test]
    fn a_policy_comes_back_as_it_was_given() {
        assert_eq!(Policy::from(PolicyRecord::try_from(policy()).unwrap()), policy());
    }

    #[test]
    fn the_stored_policy_has_the_json_of_the_one_that_was_asked_for() {
        let stored = serde_json::to_value(PolicyRecord::try_from(policy()).unwrap()).unwrap();
        let mut asked = serde_json::to_value(policy()).unwrap();
        asked["schedule"]["zone"] = json!("Europe/Vienna");
        assert_eq!(stored, asked);
        let plain = Policy { schedule: None, keep: None, zone: None, limits: None, ..policy() };
        let plain = Policy { paused: false, keep_staged: false, ..plain };
        let stored = serde_json::to_value(PolicyRecord::try_from(plain.clone()).unwrap()).unwrap();
        assert_eq!(stored, serde_json::to_value(plain).unwrap());
    }

    #[test]
    fn a_schedule_or_retention_that_means_nothing_is_refused_by_the_name_of_its_field() {
        let said = |policy: Policy| {
            let problem = PolicyRecord::try_from(policy).unwrap_err();
            assert_eq!((problem.status, problem.code.as_str()), (400, "TM-POL-0400"), "{problem:?}");
            problem.detail
        };
        let schedule = |field: &str, text: &str| {
            let schedule = serde_json::from_value(json!({field: text})).unwrap();
            said(Policy { schedule: Some(schedule), ..policy() })
        };
        assert!(schedule("every", "often").starts_with("schedule.every: \"often\""));
        assert!(schedule("every", "10ms").starts_with("schedule: every 10ms"));
        assert!(schedule("cron", "61 * * * *").starts_with("schedule: cron"));
        assert!(schedule("jitter", "1m").starts_with("schedule: a schedule has either"));
        let jittered = serde_json::from_value(json!({"every": "1h", "jitter": "61m"})).unwrap();
        let words = said(Policy { schedule: Some(jittered), ..policy() });
        assert!(
            words.starts_with("schedule: jitter 61m is longer than the shortest time between two runs, 1h"),
            "{words}"
        );
        assert!(
            said(Policy { zone: Some("Europe/Wien".to_owned()), ..policy() }).starts_with("zone: zone \"Europe/Wien\"")
        );
        let keep = |keep: Keep| said(Policy { keep: Some(keep), ..policy() });
        assert!(keep(Keep::default()).starts_with("keep: no rule"));
        assert!(keep(Keep { last: Some(0), ..Keep::default() }).starts_with("keep: no rule"));
        assert!(keep(Keep { within: Some("1 month".to_owned()), ..Keep::default() }).starts_with("keep.within: "));
        let limits = |limits: Value| said(Policy { limits: serde_json::from_value(limits).unwrap(), ..policy() });
        assert!(limits(json!({"requests": 1})).starts_with("limits.requests: 1"));
        assert!(limits(json!({"hours": [{"when": "always"}]})).starts_with("limits.hours[0].when: \"always\""));
        assert!(serde_json::from_value::<Keep>(json!({"dayly": 7})).is_err(), "a misspelt rule");
    }

    #[test]
    fn hostile_values_are_refused_with_their_code() {
        let code = |policy: Policy| {
            let problem = PolicyRecord::try_from(policy).unwrap_err();
            assert_eq!(problem.status, 400);
            problem.code
        };
        for name in ["", "A", "../x", "a/b", "-a"] {
            let text = name.to_owned();
            assert_eq!(code(Policy { name: text.clone(), ..policy() }), "TM-API-0400");
            assert_eq!(code(Policy { source: text.clone(), ..policy() }), "TM-API-0400");
            assert_eq!(code(Policy { store: text, ..policy() }), "TM-API-0400");
        }
        for objects in [vec![], vec!["ks/{a".to_owned()]] {
            assert_eq!(code(Policy { objects, ..policy() }), "TM-POL-0400");
        }
        for objects in [vec!["ks/tmp_a".to_owned()], vec!["x/y".to_owned(), "ks/tmp_*".to_owned()]] {
            let problem = PolicyRecord::try_from(Policy { objects, ..policy() }).unwrap_err();
            assert!(problem.detail.ends_with("can match nothing: excludes has ks/tmp_*, which wins"), "{problem:?}");
        }
        for excludes in ["ks/{a", "ks/"] {
            assert_eq!(code(Policy { excludes: vec![excludes.to_owned()], ..policy() }), "TM-POL-0400");
        }
    }
}
