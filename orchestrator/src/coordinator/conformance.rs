//! What every backend of [`Coordinator`] must do, written over the trait. `cases!` makes a test of each case.
//!
//! Cases about the end of leases wait for that end, with a time to live far below a second.

use std::time::Duration;

use super::{
    Applied, Cmp, Coordinator, Error, Event, EventKind, MAX_OPS, MAX_VALUE_BYTES, Op, Watch, WatchEvent, list_all,
};

const TTL: Duration = Duration::from_millis(200);

/// Makes a test of every case; `$make` is an expression that makes a fresh coordinator and what keeps it alive.
macro_rules! cases {
    ($make:expr; $($case:ident),* $(,)?) => {$(
        #[tokio::test]
        async fn $case() {
            let (coordinator, _guard) = $make;
            crate::coordinator::conformance::$case(&coordinator).await;
        }
    )*};
}
pub(crate) use cases;

async fn put(c: &impl Coordinator, key: &str, value: &str) -> u64 {
    c.txn(vec![], vec![Op::put(key, value)], vec![]).await.unwrap().revision
}

async fn keys(c: &impl Coordinator, prefix: &str) -> Vec<String> {
    list_all(c, prefix).await.unwrap().0.into_iter().map(|kv| kv.key).collect()
}

async fn next(watch: &mut Watch) -> Event {
    match watch.next().await {
        Some(WatchEvent::Changed(event)) => event,
        other => panic!("expected a change, got {other:?}"),
    }
}

fn event(key: &str, revision: u64, kind: EventKind) -> Event {
    Event { key: key.to_owned(), revision, kind }
}

pub(crate) async fn an_absent_key_is_none(c: &impl Coordinator) {
    assert_eq!(c.get("a").await.unwrap(), None);
}

pub(crate) async fn a_put_is_read_back_with_its_revisions(c: &impl Coordinator) {
    let first = put(c, "a", "1").await;
    let second = put(c, "a", "2").await;
    let kv = c.get("a").await.unwrap().unwrap();
    assert_eq!((kv.value.as_slice(), kv.create_revision, kv.mod_revision), (b"2".as_slice(), first, second));
    assert!(second > first);
}

pub(crate) async fn revisions_rise_over_all_keys(c: &impl Coordinator) {
    let revisions = [put(c, "b", "1").await, put(c, "a", "1").await, put(c, "c", "1").await];
    assert!(revisions.is_sorted_by(|a, b| a < b), "{revisions:?}");
}

pub(crate) async fn a_key_made_again_has_a_new_create_revision(c: &impl Coordinator) {
    let first = put(c, "a", "1").await;
    c.txn(vec![], vec![Op::delete("a")], vec![]).await.unwrap();
    put(c, "a", "1").await;
    assert!(c.get("a").await.unwrap().unwrap().create_revision > first);
}

pub(crate) async fn only_one_of_two_creators_wins(c: &impl Coordinator) {
    let create = |who: &str| {
        c.txn(vec![Cmp::CreateRevision("k".to_owned(), 0)], vec![Op::put("k", who)], vec![Op::Get("k".to_owned())])
    };
    let (one, two) = tokio::join!(create("one"), create("two"));
    let (one, two) = (one.unwrap(), two.unwrap());
    assert!(one.succeeded != two.succeeded);
    let loser = if one.succeeded { &two } else { &one };
    assert_eq!(loser.gets[0].as_ref(), c.get("k").await.unwrap().as_ref());
}

pub(crate) async fn a_transaction_of_an_older_generation_changes_nothing(c: &impl Coordinator) {
    let create = |generation| c.txn(vec![Cmp::Generation(generation)], vec![Op::put("k", "1")], vec![]);
    c.raise_generation(2).await.unwrap();
    assert!(!create(1).await.unwrap().succeeded && !create(3).await.unwrap().succeeded);
    assert_eq!(c.get("k").await.unwrap(), None);
    assert!(create(c.generation()).await.unwrap().succeeded);
}

pub(crate) async fn a_stale_mod_revision_changes_nothing(c: &impl Coordinator) {
    let old = put(c, "k", "1").await;
    let new = put(c, "k", "2").await;
    let stale = c.txn(vec![Cmp::ModRevision("k".to_owned(), old)], vec![Op::put("k", "x")], vec![]).await.unwrap();
    assert!(!stale.succeeded);
    let fresh = c.txn(vec![Cmp::ModRevision("k".to_owned(), new)], vec![Op::put("k", "3")], vec![]).await.unwrap();
    assert!(fresh.succeeded);
    assert_eq!(c.get("k").await.unwrap().unwrap().value, b"3");
}

pub(crate) async fn values_are_compared_and_absent_keys_have_none(c: &impl Coordinator) {
    put(c, "k", "1").await;
    let ask = |key: &str, value: &str| c.txn(vec![Cmp::Value(key.to_owned(), value.into())], vec![], vec![]);
    assert!(ask("k", "1").await.unwrap().succeeded);
    assert!(!ask("k", "2").await.unwrap().succeeded);
    assert!(!ask("absent", "").await.unwrap().succeeded);
}

pub(crate) async fn all_conditions_must_hold(c: &impl Coordinator) {
    put(c, "a", "1").await;
    let when = vec![Cmp::Value("a".to_owned(), b"1".to_vec()), Cmp::Value("a".to_owned(), b"2".to_vec())];
    let outcome = c.txn(when, vec![Op::put("won", "")], vec![Op::put("lost", "")]).await.unwrap();
    assert!(!outcome.succeeded);
    assert_eq!(keys(c, "").await, ["a", "lost"]);
}

pub(crate) async fn operations_of_a_transaction_share_a_revision(c: &impl Coordinator) {
    let outcome = c.txn(vec![], vec![Op::put("a", ""), Op::put("b", "")], vec![]).await.unwrap();
    for key in ["a", "b"] {
        assert_eq!(c.get(key).await.unwrap().unwrap().mod_revision, outcome.revision);
    }
}

pub(crate) async fn a_get_sees_the_operations_before_it(c: &impl Coordinator) {
    let ops = vec![Op::put("a", "1"), Op::Get("a".to_owned()), Op::delete("a"), Op::Get("a".to_owned())];
    let gets = c.txn(vec![], ops, vec![]).await.unwrap().gets;
    assert_eq!(gets[0].as_ref().unwrap().value, b"1");
    assert_eq!(gets[1], None);
}

pub(crate) async fn a_transaction_without_changes_takes_no_revision(c: &impl Coordinator) {
    let before = put(c, "a", "1").await;
    let ops = vec![Op::Get("a".to_owned()), Op::delete("absent")];
    assert_eq!(c.txn(vec![], ops, vec![]).await.unwrap().revision, before);
    assert_eq!(put(c, "a", "2").await, before + 1);
}

pub(crate) async fn lists_are_sorted_bounded_by_the_prefix_and_paged(c: &impl Coordinator) {
    for key in ["p/b", "p/a", "q", "p/c", "o"] {
        put(c, key, "").await;
    }
    let (page, revision) = c.list("p/", 2, None).await.unwrap();
    assert_eq!(page.iter().map(|kv| kv.key.as_str()).collect::<Vec<_>>(), ["p/a", "p/b"]);
    assert_eq!(revision, 5);
    let (rest, _) = c.list("p/", 2, Some("p/b")).await.unwrap();
    assert_eq!(rest.iter().map(|kv| kv.key.as_str()).collect::<Vec<_>>(), ["p/c"]);
}

pub(crate) async fn a_watch_starts_with_the_past_and_goes_on(c: &impl Coordinator) {
    let first = put(c, "w/a", "1").await;
    put(c, "other", "1").await;
    let mut watch = c.watch("w/", first).await.unwrap();
    let second = c.txn(vec![], vec![Op::delete("w/a")], vec![]).await.unwrap().revision;
    assert_eq!(next(&mut watch).await, event("w/a", first, EventKind::Put));
    assert_eq!(next(&mut watch).await, event("w/a", second, EventKind::Delete));
}

pub(crate) async fn a_watch_from_the_future_skips_what_is_before(c: &impl Coordinator) {
    let first = put(c, "w/a", "1").await;
    let mut watch = c.watch("w/", first + 2).await.unwrap();
    put(c, "w/b", "1").await;
    let third = put(c, "w/c", "1").await;
    assert_eq!(next(&mut watch).await, event("w/c", third, EventKind::Put));
}

pub(crate) async fn two_watches_see_the_same_order(c: &impl Coordinator) {
    let (mut one, mut two) = (c.watch("", 1).await.unwrap(), c.watch("", 1).await.unwrap());
    for key in ["a", "b", "c"] {
        put(c, key, "").await;
    }
    for _ in 0..3 {
        assert_eq!(next(&mut one).await, next(&mut two).await);
    }
}

pub(crate) async fn a_revoked_lease_takes_its_keys_along(c: &impl Coordinator) {
    let lease = c.lease(TTL).await.unwrap();
    let lost = lease.lost();
    c.txn(vec![], vec![Op::put_leased("l/a", "", lease.id()), Op::put("l/b", "")], vec![]).await.unwrap();
    lease.revoke().await.unwrap();
    assert_eq!(keys(c, "l/").await, ["l/b"]);
    assert!(lost.is_cancelled());
}

pub(crate) async fn a_dropped_lease_runs_out_and_watchers_hear_of_it(c: &impl Coordinator) {
    let lease = c.lease(TTL).await.unwrap();
    let put = c.txn(vec![], vec![Op::put_leased("l/a", "", lease.id())], vec![]).await.unwrap().revision;
    let mut watch = c.watch("l/", put + 1).await.unwrap();
    drop(lease);
    assert_eq!(next(&mut watch).await, event("l/a", put + 1, EventKind::Delete));
    assert_eq!(c.get("l/a").await.unwrap(), None);
}

pub(crate) async fn a_held_lease_outlives_its_time_to_live(c: &impl Coordinator) {
    let lease = c.lease(TTL).await.unwrap();
    c.txn(vec![], vec![Op::put_leased("l/a", "", lease.id())], vec![]).await.unwrap();
    let ended = tokio::time::timeout(TTL * 4, lease.lost().cancelled_owned()).await;
    assert!(ended.is_err());
    assert!(c.get("l/a").await.unwrap().is_some());
}

pub(crate) async fn a_put_on_a_gone_lease_is_refused(c: &impl Coordinator) {
    let lease = c.lease(TTL).await.unwrap();
    let id = lease.id();
    lease.revoke().await.unwrap();
    let error = c.txn(vec![], vec![Op::put_leased("l/a", "", id)], vec![]).await.unwrap_err();
    assert!(matches!(error, Error::LeaseGone(gone) if gone == id), "{error}");
    assert_eq!(error.applied(), Applied::Not);
}

pub(crate) async fn a_put_without_lease_frees_the_key_of_it(c: &impl Coordinator) {
    let lease = c.lease(TTL).await.unwrap();
    c.txn(vec![], vec![Op::put_leased("k", "1", lease.id())], vec![]).await.unwrap();
    put(c, "k", "2").await;
    lease.revoke().await.unwrap();
    assert_eq!(c.get("k").await.unwrap().unwrap().value, b"2");
}

pub(crate) async fn bounds_are_kept(c: &impl Coordinator) {
    let many = (0..=MAX_OPS).map(|i| Op::put(format!("k{i}"), "")).collect::<Vec<_>>();
    let large = vec![Op::put("k", vec![0; MAX_VALUE_BYTES + 1])];
    for ops in [many, large] {
        assert!(matches!(c.txn(vec![], ops, vec![]).await, Err(Error::Limit { .. })));
    }
    assert_eq!(keys(c, "").await, Vec::<String>::new());
    put(c, "k", &"v".repeat(MAX_VALUE_BYTES)).await;
}

pub(crate) async fn the_generation_only_rises(c: &impl Coordinator) {
    c.raise_generation(7).await.unwrap();
    c.raise_generation(3).await.unwrap();
    assert_eq!(c.generation(), 7);
}
