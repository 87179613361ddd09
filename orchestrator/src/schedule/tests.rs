mod clocks;

use serde_json::{Value, json};

use super::*;

fn at(text: &str) -> Timestamp {
    text.parse().unwrap()
}

fn schedule(spec: Value) -> Schedule {
    serde_json::from_value(spec).unwrap()
}

fn refused(spec: Value) -> Error {
    Schedule::try_from(serde_json::from_value::<ScheduleSpec>(spec).unwrap()).unwrap_err()
}

fn vienna(cron: &str) -> Schedule {
    schedule(json!({"cron": cron, "zone": "Europe/Vienna"}))
}

/// When the next runs begin.
fn coming(schedule: &Schedule, now: &str, count: usize) -> Vec<String> {
    schedule.next("daily", at(now), count).iter().map(|run| run.at.to_string()).collect()
}

#[test]
fn a_schedule_is_stored_as_it_was_given() {
    let spec = json!({
        "every": "PT5M", "zone": "Europe/Vienna", "windows": ["mon-fri 20:00-06:00", "sat,sun"], "jitter": "30s",
    });
    let schedule = schedule(spec.clone());
    assert_eq!(serde_json::to_value(&schedule).unwrap(), spec);
    assert_eq!(serde_json::from_value::<Schedule>(spec).unwrap(), schedule);
}

#[test]
fn what_is_no_schedule_is_refused_with_what_is_wrong() {
    assert_eq!(refused(json!({})), Error::Cadence);
    assert_eq!(refused(json!({"every": "5m", "cron": "0 3 * * *"})), Error::Cadence);
    assert_eq!(refused(json!({"every": "999ms"})), Error::TooShort("999ms".to_owned()));
    assert_eq!(refused(json!({"every": "600w"})), Error::TooLong("600w".to_owned()));
    assert_eq!(refused(json!({"every": "5m", "zone": "Vienna"})), Error::Zone("Vienna".to_owned()));
    for cron in ["", "x", "* * * *", "61 * * * *", "0 3 * * * * 2030", "0 3 1 1 * 2030"] {
        assert!(matches!(refused(json!({"cron": cron})), Error::Cron { text, .. } if text == cron), "{cron}");
    }
    for window in
        ["", "mon-fri 20:00", "mo-fr", "20:00", "25:00-26:00", "10:00-10:00", "24:00-02:00", "1:00-2:00", "a b c"]
    {
        let error = refused(json!({"every": "5m", "windows": [window]}));
        assert!(matches!(error, Error::Window { text, .. } if text == window), "{window}");
    }
    for unknown in [json!({"evry": "5m"}), json!({"every": "often"}), json!({"every": 5})] {
        assert!(serde_json::from_value::<Schedule>(unknown).is_err());
    }
}

#[test]
fn a_schedule_that_would_never_run_is_refused() {
    let error = refused(json!({"cron": "0 3 * * *", "windows": ["20:00-22:00"]}));
    assert_eq!(error.to_string(), "cron \"0 3 * * *\" has no time that is in 20:00-22:00: it would never run");
    assert!(matches!(refused(json!({"cron": "0 0 30 2 *"})), Error::Never { .. }));
    assert!(matches!(refused(json!({"every": "1d", "windows": ["10:00-12:00"]})), Error::Never { .. }));
    schedule(json!({"cron": "0 0 29 2 *"}));
}

#[test]
fn every_counts_from_1970_on() {
    let every = schedule(json!({"every": "20s"}));
    let due = every.due("daily", None, at("2026-11-29T12:00:33.5Z")).unwrap();
    assert_eq!(due, Due { slot: SlotId::at(due.nominal), nominal: at("2026-11-29T12:00:20Z"), missed: 0 });
    assert_eq!(coming(&every, "2026-11-29T12:00:33.5Z", 2), ["2026-11-29T12:00:40Z", "2026-11-29T12:01:00Z"]);
    assert_eq!(coming(&every, "2026-11-29T12:00:40Z", 1), ["2026-11-29T12:01:00Z"]);
}

#[test]
fn the_newest_missed_slot_is_due_and_the_others_are_counted() {
    let last = Some(SlotId::at(at("2026-11-29T12:00:00Z")));
    let missed = |spec: Value| {
        let due = schedule(spec).due("daily", last, at("2026-11-30T12:00:05Z")).unwrap();
        (due.nominal.to_string(), due.missed)
    };
    assert_eq!(missed(json!({"every": "20s"})), ("2026-11-30T12:00:00Z".to_owned(), 4319));
    assert_eq!(missed(json!({"every": "1h"})), ("2026-11-30T12:00:00Z".to_owned(), 23));
    assert_eq!(missed(json!({"cron": "30 * * * *"})), ("2026-11-30T11:30:00Z".to_owned(), 23));
    let twice = json!({"every": "1h", "windows": ["08:00-10:00", "12:00-13:00"]});
    assert_eq!(missed(twice), ("2026-11-30T12:00:00Z".to_owned(), 2));
    assert_eq!(missed(json!({"every": "1s"})).1, MOST_MISSED);
    assert_eq!(missed(json!({"cron": "* * * * * *"})).1, MOST_MISSED);
}

#[test]
fn a_slot_is_due_once() {
    for spec in [json!({"every": "1h"}), json!({"cron": "0 * * * *"}), json!({"every": "1h", "jitter": "20m"})] {
        let schedule = schedule(spec);
        let first = schedule.due("daily", None, at("2026-11-29T12:30:00Z")).unwrap();
        for now in ["2026-11-29T12:30:00Z", "2026-11-29T12:59:59Z", "2026-11-29T11:00:00Z", "1990-01-01T00:00:00Z"] {
            assert_eq!(schedule.due("daily", Some(first.slot), at(now)), None, "{now}");
        }
        let second = schedule.due("daily", Some(first.slot), at("2026-11-29T13:59:00Z")).unwrap();
        assert_eq!((second.nominal, second.missed), (at("2026-11-29T13:00:00Z"), 0));
    }
}

#[test]
fn a_schedule_that_changes_goes_on_behind_the_last_slot_of_the_other() {
    let last = schedule(json!({"cron": "0 12 * * *"})).due("daily", None, at("2026-11-29T12:00:00Z")).unwrap().slot;
    let every = schedule(json!({"every": "5m"}));
    assert_eq!(every.due("daily", Some(last), at("2026-11-29T12:04:59Z")), None);
    assert_eq!(every.due("daily", Some(last), at("2026-11-29T12:05:00Z")).unwrap().missed, 0);
}

#[test]
fn what_is_outside_of_all_windows_is_no_slot() {
    let windows = ["mon-fri 20:00-06:00", "sat,sun"];
    let night = schedule(json!({"every": "2h", "zone": "Europe/Vienna", "windows": windows}));
    // Friday, 5 o'clock in Vienna, until Saturday.
    let saturday = ["2026-11-27T20:00:00Z", "2026-11-27T22:00:00Z", "2026-11-28T00:00:00Z", "2026-11-28T02:00:00Z"];
    assert_eq!(coming(&night, "2026-11-27T04:00:00Z", 4), saturday);
    let monday: Vec<_> = night.next("daily", at("2026-11-29T20:00:00Z"), 6);
    let monday: Vec<_> = monday.iter().map(|run| run.at.to_string()).collect();
    assert_eq!(
        monday,
        [
            "2026-11-29T22:00:00Z",
            "2026-11-30T20:00:00Z",
            "2026-11-30T22:00:00Z",
            "2026-12-01T00:00:00Z",
            "2026-12-01T02:00:00Z",
            "2026-12-01T04:00:00Z"
        ],
        "the weekend ends at midnight, the night at six"
    );
    let due = night.due("daily", None, at("2026-11-27T04:59:59Z")).unwrap();
    assert_eq!(due.nominal, at("2026-11-27T04:00:00Z"));
    assert_eq!(night.expected_interval(at("2026-11-27T18:00:00Z")), Some(Duration::from_secs(16 * 3600)));
    assert_eq!(night.expected_interval(at("2026-11-28T12:00:00Z")), Some(Duration::from_secs(2 * 3600)));
}

#[test]
fn a_slot_that_nobody_began_in_its_window_waits_for_none_and_is_counted() {
    let evening = schedule(json!({"every": "1h", "windows": ["20:00-22:00"]}));
    let last = SlotId::at(at("2026-11-29T20:00:00Z"));
    assert_eq!(
        evening.due("daily", Some(last), at("2026-11-29T21:30:00Z")).unwrap().nominal,
        at("2026-11-29T21:00:00Z")
    );
    assert_eq!(evening.due("daily", Some(last), at("2026-11-30T08:00:00Z")), None, "not in the morning");
    assert_eq!(evening.begun_since("daily", last, at("2026-11-30T08:00:00Z")), 1);
    assert_eq!(evening.begun_since("daily", last, at("2026-11-29T20:59:00Z")), 0);
    let due = evening.due("daily", Some(last), at("2026-11-30T20:00:00Z")).unwrap();
    assert_eq!((due.nominal, due.missed), (at("2026-11-30T20:00:00Z"), 1));
    let end = schedule(json!({"every": "30s", "windows": ["20:00-22:00"]}));
    let due = end.due("daily", Some(last), at("2026-11-29T22:00:01Z")).unwrap();
    assert_eq!(due.nominal, at("2026-11-29T21:59:30Z"), "who looks a little late still runs it");
    let jitter = schedule(json!({"every": "1h", "windows": ["20:00-21:10"], "jitter": "1h"}));
    for run in jitter.next("daily", at("2026-11-29T00:00:00Z"), 100) {
        let local = run.at.to_zoned(TimeZone::UTC);
        assert!(local.hour() == 20 || local.hour() == 21 && local.minute() < 10, "{local}");
    }
}

#[test]
fn a_window_over_a_rare_time_finds_it() {
    let rare = schedule(json!({"cron": "0 3 1 * *", "windows": ["sat,sun"]}));
    assert_eq!(coming(&rare, "2026-03-02T00:00:00Z", 2), ["2026-08-01T03:00:00Z", "2026-11-01T03:00:00Z"]);
    assert_eq!(rare.due("daily", None, at("2026-03-07T23:00:00Z")).unwrap().nominal, at("2026-03-01T03:00:00Z"));
}

#[test]
fn jitter_depends_on_policy_and_slot_and_stays_before_the_next_slot() {
    let (hour, minute) =
        (schedule(json!({"every": "1h", "jitter": "10m"})), schedule(json!({"every": "1m", "jitter": "1h"})));
    let now = at("2026-11-29T12:00:00Z");
    let runs = hour.next("daily", now, 50);
    assert_eq!(runs, hour.next("daily", now, 50));
    assert_ne!(runs, hour.next("other", now, 50));
    let late: Vec<_> = runs.iter().map(|run| run.at.duration_since(run.slot.nominal()).as_secs()).collect();
    assert!(late.iter().all(|late| (0..600).contains(late)) && late.iter().any(|late| *late > 300), "{late:?}");
    for pair in minute.next("daily", now, 200).windows(2) {
        assert!(pair[0].at < pair[1].slot.nominal());
    }
    let run = runs.iter().find(|run| run.at > run.slot.nominal()).unwrap();
    let before = run.at.checked_sub(Duration::from_millis(1)).unwrap();
    assert!(hour.due("daily", None, before).unwrap().slot < run.slot);
    assert_eq!(hour.due("daily", None, run.at).unwrap().slot, run.slot);
    assert_eq!(hour.next("daily", before, 1), [*run], "a slot that has come and not begun is still coming");
}

#[test]
fn jitter_that_the_next_run_would_cut_short_is_refused_and_what_is_stored_still_runs() {
    let said = |spec: Value| schedule(spec).require_jitter().map_err(|error| error.to_string());
    let refused = |jitter: &str, gap: &str| {
        Err(format!("jitter {jitter} is longer than the shortest time between two runs, {gap}"))
    };
    assert_eq!(said(json!({"every": "1h", "jitter": "1h"})), Ok(()));
    assert_eq!(said(json!({"every": "1h", "jitter": "61m"})), refused("61m", "1h"));
    assert_eq!(said(json!({"cron": "0 3 * * *", "jitter": "24h"})), Ok(()));
    assert_eq!(said(json!({"cron": "0 3 * * *", "jitter": "25h"})), refused("25h", "24h"));
    assert_eq!(said(json!({"cron": "0,10 3 * * *", "jitter": "11m"})), refused("11m", "10m"));
    assert_eq!(said(json!({"cron": "0 0 29 2 *", "jitter": "7d"})), Ok(()));
    assert_eq!(said(json!({"every": "1h"})), Ok(()));
    assert_eq!(coming(&schedule(json!({"every": "1h", "jitter": "2h"})), "2026-11-29T12:00:00Z", 2).len(), 2);
}
