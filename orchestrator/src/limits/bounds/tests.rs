use std::num::NonZeroU64;

use futures::FutureExt as _;
use proptest::prelude::*;
use serde_json::json;

use super::*;

/// 2026-11-30 is a Monday.
fn noon() -> Timestamp {
    "2026-11-30T12:00:00Z".parse().unwrap()
}

fn bounds() -> Bounds {
    Bounds::new(Env::seeded(1, noon()))
}

fn spec(bytes: Option<u64>, requests: Option<u32>) -> LimitsSpec {
    LimitsSpec { bytes_per_second: bytes, requests, hours: vec![] }
}

fn limit(bytes: u64, requests: usize) -> Limit {
    Limit { bytes_per_second: NonZeroU64::new(bytes), requests: Some(requests) }
}

fn store() -> Owner {
    Owner::Store("s".to_owned())
}

#[tokio::test]
async fn shares_are_divided_anew_when_listeners_come_and_go_and_when_the_limit_is_edited() {
    let bounds = bounds();
    let own = bounds.store("s", &spec(Some(120_000), Some(12)));
    assert_eq!(own.get(), limit(120_000, 12));
    let bound = bounds.bound(vec![store()]);
    let (mut one, mut two) = (bound.enter().await, bound.enter().await);
    assert_eq!([own.get(), one.now(), two.now()], [limit(40_000, 4); 3]);
    drop(two);
    assert_eq!([own.get(), one.changed().await], [limit(60_000, 6); 2]);
    bounds.define(&store(), spec(None, Some(4)));
    let half = Limit { bytes_per_second: None, requests: Some(2) };
    assert_eq!([own.get(), one.changed().await], [half; 2]);
    assert!(one.changed().now_or_never().is_none(), "nothing new");
    drop(one);
    assert_eq!(own.get().requests, Some(4));
    two = bounds.bound(vec![]).enter().await;
    assert_eq!((two.now(), own.get().requests), (Limit::default(), Some(4)), "who obeys nothing takes nothing");
}

#[tokio::test]
async fn a_listener_obeys_the_store_and_the_policy_and_a_policy_that_rests_bounds_nobody() {
    let bounds = bounds();
    let own = bounds.store("s", &spec(Some(200_000), None));
    let held = bounds.policy("p", &spec(Some(90_000), Some(9)));
    let (both, of_store) = (bounds.bound(vec![store()]).and(held.owner()), bounds.bound(vec![store()]));
    let mut share = both.enter().await;
    assert_eq!((share.now(), own.get()), (limit(80_000, 8), Limit { requests: None, ..limit(100_000, 1) }));
    assert_eq!(held.limits().get(), limit(10_000, 1), "while listeners work the daemon needs little of the policy's");
    let mut other = of_store.enter().await;
    assert_eq!(other.now(), Limit { requests: None, ..limit(66_666, 1) });
    assert_eq!(share.now(), limit(66_666, 8), "the lesser of both");
    drop((share, other));
    assert_eq!(held.limits().get(), limit(90_000, 9));
    let again = bounds.policy("p", &spec(None, None));
    assert_eq!(again.limits().get(), limit(90_000, 9), "what was said first holds until it is defined anew");
    drop(held);
    assert_eq!(bounds.owners().len(), 2);
    drop(again);
    assert_eq!(bounds.owners(), [store()]);
}

#[tokio::test]
async fn a_listener_waits_while_there_is_no_request_for_it() {
    let bounds = bounds();
    let own = bounds.store("s", &spec(None, Some(3)));
    let bound = bounds.bound(vec![store()]);
    let (one, mut two) = (bound.enter().await, bound.enter().await);
    assert_eq!([own.get().requests, two.now().requests], [Some(1); 2]);
    assert!(bound.enter().now_or_never().is_none(), "three requests for four");
    let waiting = tokio::spawn({
        let bound = bound.clone();
        async move { bound.enter().await.now() }
    });
    tokio::task::yield_now().await;
    assert!(!waiting.is_finished());
    drop(one);
    assert_eq!(waiting.await.unwrap().requests, Some(1));
    let _full = bound.enter().await;
    bounds.define(&store(), spec(None, Some(2)));
    assert!(bound.enter().now_or_never().is_none());
    assert_eq!([own.get().requests, two.now().requests], [Some(1); 2], "who works goes on");
    bounds.define(&store(), spec(None, None));
    assert_eq!(bound.enter().now_or_never().unwrap().now(), Limit::default());
}

#[tokio::test]
async fn other_hours_are_in_force_once_the_clock_is_looked_at() {
    let bounds = bounds();
    let hours = json!({"requests": 20, "hours": [{"when": "08:00-18:00", "requests": 4}]});
    let own = bounds.store("s", &serde_json::from_value(hours).unwrap());
    let mut share = bounds.bound(vec![store()]).enter().await;
    assert_eq!((share.now().requests, own.get().requests), (Some(2), Some(2)));
    bounds.divide_at(&mut bounds.lock(), "2026-11-30T17:59:59Z".parse().unwrap());
    assert!(share.changed().now_or_never().is_none());
    bounds.divide_at(&mut bounds.lock(), "2026-11-30T18:00:00Z".parse().unwrap());
    assert_eq!((share.changed().await.requests, own.get().requests), (Some(10), Some(10)));
    bounds.look();
    assert_eq!(share.changed().await.requests, Some(2));
}

/// What happens to the limits.
#[derive(Clone, Debug)]
enum Step {
    Enter(bool),
    Leave(usize),
    Store(Option<u64>, Option<u32>),
    Policy(Option<u64>, Option<u32>),
}

fn step() -> impl Strategy<Value = Step> {
    let limits = || (prop::option::of(64_u64 << 10..1 << 40), prop::option::of(20_u32..200));
    prop_oneof![
        4 => any::<bool>().prop_map(Step::Enter),
        2 => any::<usize>().prop_map(Step::Leave),
        1 => limits().prop_map(|(bytes, requests)| Step::Store(bytes, requests)),
        1 => limits().prop_map(|(bytes, requests)| Step::Policy(bytes, requests)),
    ]
}

/// Whether all shares of a limit fit into it, and none is nothing.
fn fits(spec: &LimitsSpec, shares: impl Iterator<Item = Limit> + Clone) -> bool {
    let within = |all: Option<u64>, parts: Vec<Option<u64>>| match all {
        None => true,
        Some(all) => {
            parts.iter().all(|part| part.is_some_and(|part| part > 0))
                && parts.into_iter().flatten().sum::<u64>() <= all
        }
    };
    let bytes = shares.clone().map(|share| share.bytes_per_second.map(NonZeroU64::get)).collect();
    let requests = shares.map(|share| share.requests.map(|requests| requests as u64)).collect();
    within(spec.bytes_per_second, bytes) && within(spec.requests.map(u64::from), requests)
}

proptest! {
    #[test]
    fn no_course_of_events_gives_more_than_the_limits(steps in prop::collection::vec(step(), 1..60)) {
        let bounds = bounds();
        let mut said = [spec(None, None), spec(None, None)];
        let (own, held) = (bounds.store("s", &said[0]), bounds.policy("p", &said[1]));
        let mut listeners: Vec<(bool, Share)> = Vec::new();
        for step in steps {
            match step {
                // Fewer than there are requests: those that work already when a limit is lowered are not stopped.
                Step::Enter(of_policy) if listeners.len() < 19 => {
                    let bound = bounds.bound(vec![store()]);
                    let bound = if of_policy { bound.and(held.owner()) } else { bound };
                    listeners.push((of_policy, bound.enter().now_or_never().unwrap()));
                }
                Step::Leave(which) if !listeners.is_empty() => {
                    let which = which % listeners.len();
                    drop(listeners.swap_remove(which));
                }
                Step::Enter(_) | Step::Leave(_) => {}
                Step::Store(bytes, requests) => said[0] = spec(bytes, requests),
                Step::Policy(bytes, requests) => said[1] = spec(bytes, requests),
            }
            bounds.define(&store(), said[0].clone());
            bounds.define(&held.owner(), said[1].clone());
            let shares: Vec<(bool, Limit)> = listeners.iter_mut().map(|(of, share)| (*of, share.now())).collect();
            let of_policy = shares.iter().filter(|(of_policy, _)| *of_policy).map(|(_, share)| *share);
            prop_assert!(fits(&said[0], shares.iter().map(|(_, share)| *share).chain([own.get()])), "{:?}", shares);
            prop_assert!(fits(&said[1], of_policy.chain([held.limits().get()])), "{:?}", shares);
        }
    }
}
