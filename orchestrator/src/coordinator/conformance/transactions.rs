//! Conditions, operations and bounds.

use super::{
    super::{Applied, Cmp, Error, MAX_OPS, MAX_PUT_BYTES, MAX_VALUE_BYTES, Op},
    Subject, delete, keys, put,
};

pub(super) async fn only_one_of_two_creators_wins(Subject { coordinator: c, .. }: &Subject) {
    let create = |who: &str| {
        c.txn(vec![Cmp::CreateRevision("k".to_owned(), 0)], vec![Op::put("k", who)], vec![Op::Get("k".to_owned())])
    };
    let (one, two) = tokio::join!(create("one"), create("two"));
    let (one, two) = (one.unwrap(), two.unwrap());
    assert!(one.succeeded != two.succeeded);
    let loser = if one.succeeded { &two } else { &one };
    assert_eq!(loser.gets[0].as_ref(), c.get("k").await.unwrap().as_ref());
}

pub(super) async fn a_stale_mod_revision_changes_nothing(Subject { coordinator: c, .. }: &Subject) {
    let old = put(&**c, "k", "1").await;
    let new = put(&**c, "k", "2").await;
    let at = |revision| c.txn(vec![Cmp::ModRevision("k".to_owned(), revision)], vec![Op::put("k", "3")], vec![]);
    assert!(!at(old).await.unwrap().succeeded);
    assert_eq!(c.get("k").await.unwrap().unwrap().value, b"2");
    assert!(at(new).await.unwrap().succeeded);
    assert_eq!(c.get("k").await.unwrap().unwrap().value, b"3");
}

pub(super) async fn a_revision_of_zero_stands_for_absence(Subject { coordinator: c, .. }: &Subject) {
    let absent = || vec![Cmp::CreateRevision("k".to_owned(), 0), Cmp::ModRevision("k".to_owned(), 0)];
    assert!(c.txn(absent(), vec![], vec![]).await.unwrap().succeeded);
    put(&**c, "k", "").await;
    for condition in absent() {
        assert!(!c.txn(vec![condition], vec![], vec![]).await.unwrap().succeeded);
    }
    delete(&**c, "k").await;
    assert!(c.txn(absent(), vec![], vec![]).await.unwrap().succeeded);
}

pub(super) async fn values_are_compared_and_absent_keys_have_none(Subject { coordinator: c, .. }: &Subject) {
    put(&**c, "k", "1").await;
    let ask = |key: &str, value: &str| c.txn(vec![Cmp::Value(key.to_owned(), value.into())], vec![], vec![]);
    assert!(ask("k", "1").await.unwrap().succeeded);
    assert!(!ask("k", "2").await.unwrap().succeeded);
    assert!(!ask("absent", "").await.unwrap().succeeded);
}

pub(super) async fn all_conditions_must_hold(Subject { coordinator: c, .. }: &Subject) {
    put(&**c, "a", "1").await;
    let when = vec![Cmp::Value("a".to_owned(), b"1".to_vec()), Cmp::Value("a".to_owned(), b"2".to_vec())];
    let outcome = c.txn(when, vec![Op::put("won", "")], vec![Op::put("lost", "")]).await.unwrap();
    assert!(!outcome.succeeded);
    assert_eq!(keys(&**c, "").await, ["a", "lost"]);
}

pub(super) async fn no_conditions_hold_always(Subject { coordinator: c, .. }: &Subject) {
    let outcome = c.txn(vec![], vec![Op::put("won", "")], vec![Op::put("lost", "")]).await.unwrap();
    assert!(outcome.succeeded);
    assert_eq!(keys(&**c, "").await, ["won"]);
}

pub(super) async fn what_does_not_hold_runs_the_other_operations(Subject { coordinator: c, .. }: &Subject) {
    let seen = put(&**c, "k", "1").await;
    let when = vec![Cmp::CreateRevision("k".to_owned(), 0)];
    let otherwise = vec![Op::Get("k".to_owned()), Op::put("k", "2"), Op::Get("k".to_owned()), Op::delete("gone")];
    let outcome = c.txn(when, vec![Op::put("k", "3")], otherwise).await.unwrap();
    let gets: Vec<_> = outcome.gets.iter().flatten().map(|kv| (kv.value.as_slice(), kv.mod_revision)).collect();
    assert!(!outcome.succeeded);
    assert_eq!(gets, [(b"1".as_slice(), seen), (b"2".as_slice(), outcome.revision)]);
}

pub(super) async fn operations_of_a_transaction_share_a_revision(Subject { coordinator: c, .. }: &Subject) {
    let outcome = c.txn(vec![], vec![Op::put("a", ""), Op::put("b", "")], vec![]).await.unwrap();
    for key in ["a", "b"] {
        assert_eq!(c.get(key).await.unwrap().unwrap().mod_revision, outcome.revision);
    }
}

pub(super) async fn a_get_sees_the_operations_before_it(Subject { coordinator: c, .. }: &Subject) {
    let ops = vec![Op::put("a", "1"), Op::Get("a".to_owned()), Op::delete("a"), Op::Get("a".to_owned())];
    let gets = c.txn(vec![], ops, vec![]).await.unwrap().gets;
    assert_eq!(gets[0].as_ref().unwrap().value, b"1");
    assert_eq!(gets[1], None);
}

pub(super) async fn a_get_between_changes_has_the_revision_of_the_transaction(
    Subject { coordinator: c, .. }: &Subject,
) {
    let made = put(&**c, "a", "0").await;
    let ops = vec![Op::put("a", "1"), Op::Get("a".to_owned()), Op::put("a", "2"), Op::Get("a".to_owned())];
    let outcome = c.txn(vec![], ops, vec![]).await.unwrap();
    for (get, value) in outcome.gets.iter().zip(["1", "2"]) {
        let kv = get.as_ref().unwrap();
        assert_eq!((kv.value.as_slice(), kv.create_revision), (value.as_bytes(), made));
        assert_eq!(kv.mod_revision, outcome.revision);
    }
}

pub(super) async fn of_several_changes_of_a_key_the_last_one_stays(Subject { coordinator: c, .. }: &Subject) {
    put(&**c, "b", "0").await;
    let ops = vec![
        Op::put("a", "1"),
        Op::put("a", "2"),
        Op::delete("b"),
        Op::put("b", "1"),
        Op::put("c", "1"),
        Op::delete("c"),
    ];
    c.txn(vec![], ops, vec![]).await.unwrap();
    assert_eq!(c.get("a").await.unwrap().unwrap().value, b"2");
    assert_eq!(c.get("b").await.unwrap().unwrap().value, b"1");
    assert_eq!(c.get("c").await.unwrap(), None);
}

pub(super) async fn a_transaction_without_changes_takes_no_revision(Subject { coordinator: c, .. }: &Subject) {
    let before = put(&**c, "a", "1").await;
    let ops = || vec![Op::Get("a".to_owned()), Op::Get("absent".to_owned())];
    assert_eq!(c.txn(vec![], ops(), vec![]).await.unwrap().revision, before);
    let refused = c.txn(vec![Cmp::ModRevision("a".to_owned(), 0)], vec![Op::put("a", "2")], ops()).await.unwrap();
    assert!(!refused.succeeded);
    assert_eq!(refused.revision, before);
    assert_eq!(put(&**c, "a", "2").await, before + 1);
}

pub(super) async fn bounds_are_kept(Subject { coordinator: c, .. }: &Subject) {
    let many = (0..=MAX_OPS).map(|i| Op::put(format!("k{i}"), "")).collect::<Vec<_>>();
    let large = vec![Op::put("k", vec![0; MAX_VALUE_BYTES + 1])];
    let value = vec![0; MAX_VALUE_BYTES];
    let much = (0..=MAX_PUT_BYTES / MAX_VALUE_BYTES).map(|i| Op::put(format!("k{i}"), value.clone())).collect();
    for ops in [many, large, much] {
        for (then, otherwise) in [(ops.clone(), vec![]), (vec![], ops)] {
            let error = c.txn(vec![], then, otherwise).await.unwrap_err();
            assert!(matches!(error, Error::Limit { .. }), "{error}");
            assert_eq!(error.applied(), Applied::Not);
        }
    }
    assert_eq!(keys(&**c, "").await, Vec::<String>::new());
}

pub(super) async fn a_transaction_at_its_bounds_is_taken(Subject { coordinator: c, .. }: &Subject) {
    put(&**c, "k", &"v".repeat(MAX_VALUE_BYTES)).await;
    let many = (0..MAX_OPS).map(|i| Op::put(format!("many/{i:03}"), "v".repeat(12_000))).collect();
    c.txn(vec![], many, vec![]).await.unwrap();
    let when = (0..MAX_OPS).map(|i| Cmp::Value(format!("many/{i:03}"), b"v".repeat(12_000))).take(90).collect();
    let gets = (0..MAX_OPS).map(|i| Op::Get(format!("many/{i:03}"))).collect();
    let outcome = c.txn(when, gets, vec![]).await.unwrap();
    assert!(outcome.succeeded && outcome.gets.iter().flatten().count() == MAX_OPS);
}

pub(super) async fn a_transaction_of_an_older_generation_changes_nothing(Subject { coordinator: c, .. }: &Subject) {
    let create = |generation| c.txn(vec![Cmp::Generation(generation)], vec![Op::put("k", "1")], vec![]);
    c.raise_generation(2).await.unwrap();
    for other in [0, 1, 3] {
        assert!(!create(other).await.unwrap().succeeded);
    }
    assert_eq!(c.get("k").await.unwrap(), None);
    assert!(create(c.generation()).await.unwrap().succeeded);
}

pub(super) async fn the_generation_only_rises(Subject { coordinator: c, .. }: &Subject) {
    assert_eq!(c.generation(), 0);
    assert!(c.txn(vec![Cmp::Generation(0)], vec![], vec![]).await.unwrap().succeeded);
    for (to, then) in [(0, 0), (7, 7), (3, 7), (7, 7), (10, 10)] {
        c.raise_generation(to).await.unwrap();
        assert_eq!(c.generation(), then);
    }
}
