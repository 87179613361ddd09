//! Clocks that change, step and are wrong.

use proptest::prelude::*;

use super::*;

/// All slots that are due as time goes from one instant to the other by this step, and how many were missed.
fn fired(schedule: &Schedule, from: &str, to: &str, step: Duration) -> Vec<String> {
    let (mut now, end) = (at(from), at(to));
    let (mut last, mut fired) = (Some(SlotId::at(now)), Vec::new());
    while now <= end {
        if let Some(due) = schedule.due("daily", last, now) {
            assert_eq!(due.missed, 0);
            last = Some(due.slot);
            fired.push(due.nominal.to_string());
        }
        now = now.checked_add(step).unwrap();
    }
    fired
}

fn by_minutes(schedule: &Schedule, from: &str, to: &str) -> Vec<String> {
    fired(schedule, from, to, Duration::from_secs(60))
}

#[test]
fn a_fixed_time_that_the_clock_skips_runs_once_right_after_the_change() {
    let runs = by_minutes(&vienna("30 2 * * *"), "2026-03-28T00:00:00Z", "2026-03-30T12:00:00Z");
    assert_eq!(runs, ["2026-03-28T01:30:00Z", "2026-03-29T01:00:00Z", "2026-03-30T00:30:00Z"]);
}

#[test]
fn a_fixed_time_that_the_clock_repeats_runs_once() {
    let runs = by_minutes(&vienna("30 2 * * *"), "2026-10-24T00:00:00Z", "2026-10-26T12:00:00Z");
    assert_eq!(runs, ["2026-10-24T00:30:00Z", "2026-10-25T00:30:00Z", "2026-10-26T01:30:00Z"]);
}

#[test]
fn a_pace_goes_on_through_changes_of_the_clock() {
    for (from, to) in
        [("2026-03-29T00:30:00Z", "2026-03-29T03:30:00Z"), ("2026-10-25T00:30:00Z", "2026-10-25T03:30:00Z")]
    {
        assert_eq!(by_minutes(&vienna("0 * * * *"), from, to).len(), 3, "{from}");
        assert_eq!(by_minutes(&vienna("*/30 * * * *"), from, to).len(), 6, "{from}");
        assert_eq!(by_minutes(&schedule(json!({"every": "30m"})), from, to).len(), 6, "{from}");
    }
}

#[test]
fn windows_are_as_long_as_the_clock_makes_them() {
    let spec = json!({"every": "30m", "zone": "Europe/Vienna", "windows": ["sun 01:00-04:00"]});
    let slots = |from, to| by_minutes(&schedule(spec.clone()), from, to).len();
    assert_eq!(slots("2026-03-28T20:00:00Z", "2026-03-29T12:00:00Z"), 4);
    assert_eq!(slots("2026-10-24T20:00:00Z", "2026-10-25T12:00:00Z"), 8);
}

fn any_schedule() -> impl Strategy<Value = Schedule> {
    let cadence = prop_oneof![
        Just(json!({"every": "7m"})),
        Just(json!({"every": "1h"})),
        Just(json!({"every": "1d"})),
        Just(json!({"cron": "*/20 * * * *"})),
        Just(json!({"cron": "30 2 * * *"})),
        Just(json!({"cron": "0 1,2,3 * * *"})),
        Just(json!({"cron": "15 2-4/2 * * sun"})),
    ];
    let windows = prop_oneof![
        3 => Just(json!([])),
        1 => Just(json!(["mon-fri 20:00-06:00", "sat,sun"])),
        1 => Just(json!(["00:30-04:30"])),
    ];
    let jitter = prop_oneof![Just(Value::Null), Just(json!("5m")), Just(json!("3h"))];
    let zone = prop_oneof![Just("Europe/Vienna"), Just("UTC"), Just("Australia/Lord_Howe"), Just("America/St_Johns")];
    (cadence, windows, jitter, zone).prop_filter_map("would never run", |(mut spec, windows, jitter, zone)| {
        spec["windows"] = windows;
        spec["jitter"] = jitter;
        spec["zone"] = json!(zone);
        serde_json::from_value(spec).ok()
    })
}

/// Seconds within a month around a change of the clock in each of these zones.
fn second() -> impl Strategy<Value = i64> {
    let around = |change: &str| at(change).as_second() - 15 * 86_400..at(change).as_second() + 15 * 86_400;
    prop_oneof![around("2026-03-25T00:00:00Z"), around("2026-10-28T00:00:00Z")]
}

fn instant(second: i64) -> Timestamp {
    Timestamp::from_second(second).unwrap()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(150))]

    #[test]
    fn no_slot_comes_twice_whatever_the_clock_does(
        schedule in any_schedule(), start in second(), steps in prop::collection::vec(-90_000_i64..100_000, 1..60),
    ) {
        let (mut now, mut last) = (start, None);
        for step in steps {
            now += step;
            if let Some(due) = schedule.due("daily", last, instant(now)) {
                prop_assert!(last.is_none_or(|last| due.slot > last), "a slot twice, or an earlier one");
                prop_assert!(due.nominal <= instant(now));
                last = Some(due.slot);
            }
            prop_assert_eq!(schedule.due("daily", last, instant(now)), None);
        }
    }

    #[test]
    fn none_is_lost_while_the_clock_goes_on(
        schedule in any_schedule(), start in second(), steps in prop::collection::vec(1_i64..50_000, 1..40),
    ) {
        let begin = SlotId::at(instant(start));
        let end = start + steps.iter().sum::<i64>();
        let (mut now, mut last, mut seen) = (start, begin, 0);
        for step in steps {
            now += step;
            if let Some(due) = schedule.due("daily", Some(last), instant(now)) {
                seen += 1 + due.missed;
                last = due.slot;
            }
        }
        let coming = schedule.next("daily", instant(start), 100_000_usize.min(usize::try_from((end - start) / 400 + 10).unwrap()));
        let expected = coming.iter().filter(|run| run.slot > begin && run.slot <= last).count();
        prop_assert_eq!(seen, u64::try_from(expected).unwrap());
        let waits = schedule.newest_begun("daily", instant(end)).is_some_and(|slot| slot > last.0);
        prop_assert!(!waits || !schedule.windows.are_always(), "only the end of a window keeps a slot from being due");
    }

    #[test]
    fn looking_back_finds_the_slots_that_looking_ahead_finds(schedule in any_schedule(), start in second()) {
        let ahead: Vec<_> = schedule.next("daily", instant(start), 20).iter().map(|run| run.slot.0).collect();
        for pair in ahead.windows(2) {
            prop_assert_eq!(schedule.newest_slot(pair[1] - 1), Some(pair[0]));
            prop_assert_eq!(schedule.newest_slot(pair[1]), Some(pair[1]));
        }
    }
}
