mod clocks;
mod properties;

use jiff::{Timestamp, tz::TimeZone};
use serde_json::json;

use super::*;
use crate::{ids::VersionNumber, manifest::WorstQuality};

fn keep(text: &str) -> Retention {
    text.parse().unwrap()
}

fn vienna() -> TimeZone {
    TimeZone::get("Europe/Vienna").unwrap()
}

fn version(number: u64, at: &str) -> Candidate {
    let (at, quality) = (at.parse().unwrap(), WorstQuality::Cut);
    Candidate { number: VersionNumber(number), at, held: vec![], quality }
}

/// Versions 1, 2, … of these times.
fn versions(times: &[&str]) -> Vec<Candidate> {
    (1..).zip(times).map(|(number, at)| version(number, at)).collect()
}

/// Version 1, 2, … at noon of the first, second, … of November.
fn days(count: usize) -> Vec<Candidate> {
    let at = |day| format!("2026-11-{day:02}T12:00:00Z");
    (1..=count).map(|day| version(u64::try_from(day).unwrap(), &at(day))).collect()
}

fn now() -> Timestamp {
    "2026-11-29T12:00:00Z".parse().unwrap()
}

fn kept_at(retention: &str, candidates: &[Candidate], now: Timestamp) -> Vec<u64> {
    let decisions = plan(&keep(retention), &vienna(), candidates, now);
    decisions.iter().filter(|decision| decision.keep).map(|decision| decision.number.0).collect()
}

fn kept(retention: &str, candidates: &[Candidate]) -> Vec<u64> {
    kept_at(retention, candidates, now())
}

fn reasons(retention: &str, candidates: &[Candidate], number: u64) -> Vec<String> {
    let decisions = plan(&keep(retention), &vienna(), candidates, now());
    let decision = decisions.into_iter().find(|decision| decision.number.0 == number).unwrap();
    decision.reasons.iter().map(ToString::to_string).collect()
}

#[test]
fn rules_are_read_from_an_object_and_from_words() {
    let object = json!({"last": 3, "within": "7d", "daily": 7});
    let retention: Retention = serde_json::from_value(object.clone()).unwrap();
    assert_eq!(retention, keep("last=3,within=7d,daily=7"));
    assert_eq!(retention, keep(" daily = 7, within=P7D ,last=3"));
    assert_eq!(serde_json::to_value(&retention).unwrap(), object, "stored as it was given");
    assert_eq!(retention.to_string(), "last=3,within=7d,daily=7");
    let all = "last=1,within=PT36H,hourly=2,daily=3,weekly=4,monthly=5,yearly=6";
    assert_eq!(keep(all).to_string(), all);
}

#[test]
fn rules_that_keep_nothing_are_refused() {
    for text in ["", " ", ",", "last=0", "last=0,daily=0"] {
        assert_eq!(text.parse::<Retention>().unwrap_err(), Error::Empty, "{text:?}");
    }
    for object in [json!({}), json!({"last": 0}), json!({"daily": null})] {
        let error = serde_json::from_value::<Retention>(object).unwrap_err();
        assert!(error.to_string().starts_with("no rule keeps anything"), "{error}");
    }
    assert_eq!(keep("last=0,daily=1").rules().last(), 0);
}

#[test]
fn a_misspelt_rule_is_refused_with_the_word_that_is_wrong() {
    let error = |text: &str| text.parse::<Retention>().unwrap_err();
    assert_eq!(error("last=3,dayly=7"), Error::Unknown { word: "dayly".to_owned() });
    assert_eq!(error("Last=3"), Error::Unknown { word: "Last".to_owned() });
    assert_eq!(error("last"), Error::Shape("last".to_owned()));
    assert_eq!(error("last=3,last=4"), Error::Twice("last".to_owned()));
    for value in ["", "x", "-1", "1.5", "4294967296"] {
        let number = Error::Number { rule: "daily".to_owned(), value: value.to_owned() };
        assert_eq!(error(&format!("daily={value}")), number);
    }
    assert!(error("within=soon").to_string().contains("\"soon\""));
    for (object, word) in [
        (json!({"last": 3, "dayly": 7}), "dayly"),
        (json!({"within": "soon"}), "soon"),
        (json!({"last": -1}), "-1"),
        (json!({"last": "3"}), "\"3\""),
    ] {
        let error = serde_json::from_value::<Retention>(object).unwrap_err().to_string();
        assert!(error.contains(word), "{error}");
    }
}

#[test]
fn the_last_so_many_stay() {
    assert_eq!(kept("last=3", &days(9)), [9, 8, 7]);
    assert_eq!(kept("last=9", &days(3)), [3, 2, 1]);
    assert_eq!(reasons("last=3", &days(9), 8), ["last 2 of 3"]);
    assert_eq!(reasons("last=3", &days(9), 6), ["none of the rules"]);
    assert!(plan(&keep("last=3"), &vienna(), &[], now()).is_empty());
}

#[test]
fn within_is_counted_back_from_the_newest_version() {
    assert_eq!(kept("within=3d", &days(9)), [9, 8, 7, 6], "both ends are in it");
    assert_eq!(kept_at("within=3d", &days(9), "2036-01-01T00:00:00Z".parse().unwrap()), [9, 8, 7, 6]);
    assert_eq!(reasons("within=3d", &days(9), 6), ["within 3d"]);
}

#[test]
fn the_newest_version_of_each_period_stays() {
    let times = [
        "2025-06-01T00:00:00Z",
        "2026-10-31T22:59:59Z",
        "2026-10-31T23:00:00Z",
        "2026-11-22T22:59:59Z",
        "2026-11-22T23:00:00Z",
        "2026-11-29T09:10:00Z",
        "2026-11-29T09:50:00Z",
        "2026-11-29T10:00:00Z",
    ];
    let versions = versions(&times);
    assert_eq!(kept("hourly=2", &versions), [8, 7]);
    assert_eq!(kept("daily=3", &versions), [8, 5, 4]);
    assert_eq!(kept("weekly=2", &versions), [8, 4], "a week begins on Monday");
    assert_eq!(kept("monthly=2", &versions), [8, 2], "midnight is that of the zone");
    assert_eq!(kept("yearly=2", &versions), [8, 1]);
    assert_eq!(reasons("hourly=2", &versions, 7), ["hourly 2026-11-29 10:00+01"]);
    assert_eq!(reasons("daily=3,weekly=2", &versions, 4), ["daily 2026-11-22", "weekly 2026-W47"]);
    assert_eq!(reasons("monthly=2,yearly=2", &versions, 2), ["monthly 2026-10"]);
    assert_eq!(reasons("yearly=2", &versions, 1), ["yearly 2025"]);
}

#[test]
fn periods_without_a_version_take_no_place() {
    let sparse = versions(&["2026-03-01T12:00:00Z", "2026-05-05T12:00:00Z", "2026-11-29T09:00:00Z"]);
    assert_eq!(kept("daily=3", &sparse), [3, 2, 1]);
}

#[test]
fn what_is_held_stays() {
    let mut versions = days(5);
    versions[1].held = vec!["audit of May".to_owned(), "case 7".to_owned()];
    assert_eq!(kept("last=1", &versions), [5, 2]);
    assert_eq!(reasons("last=1", &versions, 2), ["held: audit of May", "held: case 7"]);
}

#[test]
fn the_newest_version_and_the_newest_complete_one_stay_whatever_the_rules_say() {
    let mut versions = days(9);
    for version in &mut versions[5..] {
        version.quality = WorstQuality::Degraded;
    }
    versions[8].quality = WorstQuality::Missing;
    versions[4].quality = WorstQuality::Exact;
    assert_eq!(kept("last=2", &versions), [9, 8, 5]);
    assert_eq!(reasons("last=2", &versions, 5), ["newest complete version is always kept"]);
    assert_eq!(reasons("last=2", &versions, 9), ["last 1 of 2", "newest version is always kept"]);
}

#[test]
fn a_version_that_is_not_complete_takes_no_place_of_one_that_is() {
    let mut versions =
        versions(&["2026-11-28T08:00:00Z", "2026-11-28T09:00:00Z", "2026-11-28T10:00:00Z", "2026-11-29T09:00:00Z"]);
    versions[2].quality = WorstQuality::Missing;
    assert_eq!(kept("daily=2", &versions), [4, 3, 2]);
    assert_eq!(reasons("daily=2", &versions, 2), ["daily 2026-11-28, newest complete version"]);
}

#[test]
fn an_hour_that_a_change_of_the_clock_repeats_is_two_and_a_day_of_25_hours_is_one() {
    let autumn = versions(&[
        "2026-10-24T22:00:00Z",
        "2026-10-25T00:30:00Z",
        "2026-10-25T01:30:00Z",
        "2026-10-25T22:59:59Z",
        "2026-10-25T23:00:00Z",
    ]);
    assert_eq!(kept("hourly=4", &autumn), [5, 4, 3, 2]);
    assert_eq!(reasons("hourly=4", &autumn, 2), ["hourly 2026-10-25 02:00+02"]);
    assert_eq!(reasons("hourly=4", &autumn, 3), ["hourly 2026-10-25 02:00+01"]);
    assert_eq!(kept("daily=2", &autumn), [5, 4]);
}
