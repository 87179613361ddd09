//! Watches.

use super::{
    super::{Event, EventKind, MAX_OPS, Op},
    Subject, delete, event, next, put,
};

pub(super) async fn a_watch_starts_with_the_past_and_goes_on(Subject { coordinator: c, .. }: &Subject) {
    let first = put(&**c, "w/a", "1").await;
    put(&**c, "other", "1").await;
    let mut watch = c.watch("w/", first).await.unwrap();
    let second = delete(&**c, "w/a").await;
    assert_eq!(next(&mut watch).await, event("w/a", first, EventKind::Put));
    assert_eq!(next(&mut watch).await, event("w/a", second, EventKind::Delete));
}

pub(super) async fn a_watch_from_the_future_skips_what_is_before(Subject { coordinator: c, .. }: &Subject) {
    let first = put(&**c, "w/a", "1").await;
    let mut watch = c.watch("w/", first + 2).await.unwrap();
    put(&**c, "w/b", "1").await;
    let third = put(&**c, "w/c", "1").await;
    assert_eq!(next(&mut watch).await, event("w/c", third, EventKind::Put));
}

pub(super) async fn a_watch_hears_of_its_prefix_only(Subject { coordinator: c, .. }: &Subject) {
    let first = put(&**c, "w", "1").await;
    let mut watch = c.watch("w/", first).await.unwrap();
    for key in ["w", "v/a", "w.", "w0", "x/w/"] {
        put(&**c, key, "").await;
    }
    let ops = vec![Op::put("v/a", "2"), Op::put("w/a", "1"), Op::put("w0", "2")];
    let revision = c.txn(vec![], ops, vec![]).await.unwrap().revision;
    assert_eq!(next(&mut watch).await, event("w/a", revision, EventKind::Put));
}

pub(super) async fn two_watches_see_the_same_order(Subject { coordinator: c, .. }: &Subject) {
    let (mut one, mut two) = (c.watch("w/", 1).await.unwrap(), c.watch("w/", 1).await.unwrap());
    for key in ["w/b", "w/a", "w/c"] {
        put(&**c, key, "").await;
    }
    for key in ["w/b", "w/a", "w/c"] {
        let seen = next(&mut one).await;
        assert_eq!(seen, next(&mut two).await);
        assert_eq!(seen.key, key);
    }
}

pub(super) async fn several_changes_of_a_key_in_a_transaction_are_one(Subject { coordinator: c, .. }: &Subject) {
    let before = put(&**c, "other", "").await;
    let mut watch = c.watch("w/", before + 1).await.unwrap();
    let revision = c.txn(vec![], vec![Op::put("w/a", "1"), Op::put("w/a", "2")], vec![]).await.unwrap().revision;
    let last = put(&**c, "w/b", "").await;
    assert_eq!(next(&mut watch).await, event("w/a", revision, EventKind::Put));
    assert_eq!(next(&mut watch).await, event("w/b", last, EventKind::Put));
}

pub(super) async fn a_delete_of_what_is_not_there_is_not_heard_of(Subject { coordinator: c, .. }: &Subject) {
    let before = put(&**c, "w/a", "").await;
    let mut watch = c.watch("w/", before + 1).await.unwrap();
    delete(&**c, "w/b").await;
    let last = put(&**c, "w/c", "").await;
    assert_eq!(next(&mut watch).await, event("w/c", last, EventKind::Put));
}

pub(super) async fn a_watch_catches_up_with_many_changes_in_order(Subject { coordinator: c, .. }: &Subject) {
    let first = put(&**c, "w/a", "0").await;
    let many = |round: usize| (0..MAX_OPS).map(|n| Op::put(format!("w/{round}/{n:03}"), "")).collect::<Vec<_>>();
    for round in 0..4 {
        c.txn(vec![], many(round), vec![]).await.unwrap();
    }
    let mut watch = c.watch("w/", first).await.unwrap();
    for round in 4..8 {
        c.txn(vec![], many(round), vec![]).await.unwrap();
    }
    let mut seen: Vec<Event> = Vec::new();
    while seen.len() < 1 + 8 * MAX_OPS {
        seen.push(next(&mut watch).await);
    }
    assert!(seen.is_sorted_by_key(|event| event.revision));
    let mut keys: Vec<_> = seen.iter().map(|event| &event.key).collect();
    keys.sort_unstable();
    keys.dedup();
    assert_eq!(keys.len(), seen.len());
}

pub(super) async fn a_watch_from_the_revision_of_a_list_misses_nothing(
    Subject { coordinator: c, other, .. }: &Subject,
) {
    let writes = async {
        for n in 0..60 {
            put(&**other, &format!("w/{n:02}"), "").await;
        }
    };
    let looks = async {
        let (mut found, mut revision) = c.list("w/", 100, None).await.unwrap();
        while found.len() < 20 {
            (found, revision) = c.list("w/", 100, None).await.unwrap();
        }
        let mut seen: Vec<String> = found.into_iter().map(|kv| kv.key).collect();
        let mut watch = c.watch("w/", revision + 1).await.unwrap();
        while seen.len() < 60 {
            seen.push(next(&mut watch).await.key);
        }
        seen
    };
    let ((), seen) = tokio::join!(writes, looks);
    assert_eq!(seen, (0..60).map(|n| format!("w/{n:02}")).collect::<Vec<_>>());
}
