use proptest::prelude::*;

use super::*;

const HOUR: i64 = 3600;

/// Versions an hour to three days apart, some held, some not complete.
fn versions() -> impl Strategy<Value = Vec<Candidate>> {
    let quality = prop_oneof![3 => Just(WorstQuality::Cut), 1 => Just(WorstQuality::Missing)];
    prop::collection::vec((1_i64..72, prop::bool::weighted(0.1), quality), 0..40).prop_map(|gaps| {
        let mut at = 1_790_000_000;
        let version = |(number, (gap, held, quality)): (u64, (i64, bool, WorstQuality))| {
            at += gap * HOUR;
            let held = if held { vec!["because".to_owned()] } else { vec![] };
            Candidate { number: VersionNumber(number), at: Timestamp::from_second(at).unwrap(), held, quality }
        };
        (1..).zip(gaps).map(version).collect()
    })
}

fn rules() -> impl Strategy<Value = Rules> {
    let count = || prop::option::of(0_u32..9);
    let within = prop::option::of((1_u32..300).prop_map(|hours| format!("{hours}h").parse().unwrap()));
    (1_u32..9, within, count(), count(), count(), count(), count()).prop_map(
        |(last, within, hourly, daily, weekly, monthly, yearly)| Rules {
            last: Some(last),
            within,
            hourly,
            daily,
            weekly,
            monthly,
            yearly,
        },
    )
}

/// The same rules or shorter ones.
fn shorter(rules: &Rules, by: u32) -> Rules {
    let less = |count: Option<u32>| count.map(|count| count.saturating_sub(by));
    let hours = rules.within.as_ref().map(|within| within.length().as_secs() / 3600);
    let within = hours.map(|hours| hours.saturating_sub(u64::from(by))).filter(|hours| *hours > 0);
    Rules {
        last: rules.last.map(|last| last.saturating_sub(by).max(1)),
        within: within.map(|hours| format!("{hours}h").parse().unwrap()),
        hourly: less(rules.hourly),
        daily: less(rules.daily),
        weekly: less(rules.weekly),
        monthly: less(rules.monthly),
        yearly: less(rules.yearly),
    }
}

fn kept(rules: &Rules, versions: &[Candidate], now: i64) -> Vec<VersionNumber> {
    let retention = Retention::try_from(rules.clone()).unwrap();
    let decisions = plan(&retention, &vienna(), versions, Timestamp::from_second(now).unwrap());
    decisions.into_iter().filter(|decision| decision.keep).map(|decision| decision.number).collect()
}

fn is_part(part: &[VersionNumber], whole: &[VersionNumber]) -> bool {
    part.iter().all(|number| whole.contains(number))
}

/// Some time around those of the versions.
fn time() -> impl Strategy<Value = i64> {
    1_789_000_000_i64..1_797_000_000
}

/// Versions of which any number have any time.
fn any_times() -> impl Strategy<Value = Vec<Candidate>> {
    (versions(), prop::collection::vec(prop::option::weighted(0.2, time()), 40)).prop_map(|(mut versions, times)| {
        for (version, at) in versions.iter_mut().zip(times) {
            version.at = at.map_or(version.at, |at| Timestamp::from_second(at).unwrap());
        }
        versions
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn shorter_rules_keep_a_part_of_what_longer_ones_keep(
        versions in any_times(), rules in rules(), by in 0_u32..9, now in time(),
    ) {
        prop_assert!(is_part(&kept(&shorter(&rules, by), &versions, now), &kept(&rules, &versions, now)));
    }

    #[test]
    fn time_that_goes_on_keeps_a_part(versions in any_times(), rules in rules(), now in time(), later in 0..3_000_000_i64) {
        prop_assert!(is_part(&kept(&rules, &versions, now + later), &kept(&rules, &versions, now)));
    }

    #[test]
    fn held_versions_the_last_ones_and_the_newest_complete_one_stay(
        versions in any_times(), rules in rules(), now in time(),
    ) {
        let kept = kept(&rules, &versions, now);
        let last = versions.iter().rev().take(rules.last());
        let complete = versions.iter().rev().find(|version| version.quality == WorstQuality::Cut);
        let held = versions.iter().filter(|version| !version.held.is_empty());
        for version in last.chain(complete).chain(held) {
            prop_assert!(kept.contains(&version.number), "{}", version.number);
        }
    }

    #[test]
    fn every_version_is_decided_once_with_a_reason(mut versions in any_times(), rules in rules(), now in time()) {
        versions.reverse();
        let retention = Retention::try_from(rules).unwrap();
        let decisions = plan(&retention, &vienna(), &versions, Timestamp::from_second(now).unwrap());
        let (decided, given): (Vec<_>, Vec<_>) = (
            decisions.iter().map(|decision| decision.number).collect(), versions.iter().map(|version| version.number).collect(),
        );
        prop_assert_eq!(decided, given);
        for decision in decisions {
            prop_assert!(!decision.reasons.is_empty());
            prop_assert_eq!(decision.keep, decision.reasons != [Reason::NoRule]);
        }
    }

    #[test]
    fn one_time_that_does_not_fit_lets_nothing_go(
        versions in versions(), rules in rules(), place in any::<prop::sample::Index>(), at in time(), later in 0..3_000_000_i64,
    ) {
        prop_assume!(!versions.is_empty());
        let now = versions.last().unwrap().at.as_second() + later;
        let (mut wrong, place) = (versions.clone(), place.index(versions.len()));
        wrong[place].at = Timestamp::from_second(at).unwrap();
        // Where it contradicts one other time only, either of the two may be the wrong one.
        let contradicts = |index: usize| match index < place {
            true => wrong[index].at > wrong[place].at,
            false => wrong[index].at < wrong[place].at,
        };
        let contradicted = (0..wrong.len()).filter(|index| contradicts(*index)).count();
        prop_assume!(contradicted > 1 || contradicted == 0 && at > now);
        let (before, after) = (kept(&rules, &versions, now), kept(&rules, &wrong, now));
        prop_assert!(is_part(&before, &after), "{before:?} {after:?}");
    }
}
