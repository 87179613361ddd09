//! Several coordinators of one state.

use futures::future::join_all;

use super::{
    super::{Cmp, Coordinator, EventKind, Op},
    Subject, event, next, put,
};

pub(super) async fn another_coordinator_reads_what_was_written(Subject { coordinator: c, other, .. }: &Subject) {
    for value in ["1", "2", "3"] {
        let revision = put(&**c, "k", value).await;
        let kv = other.get("k").await.unwrap().unwrap();
        assert_eq!((kv.value.as_slice(), kv.mod_revision), (value.as_bytes(), revision));
        assert_eq!(other.list("k", 1, None).await.unwrap().1, revision);
    }
}

pub(super) async fn all_coordinators_of_a_state_have_its_opening(Subject { coordinator: c, other, .. }: &Subject) {
    assert_eq!(c.opening(), other.opening());
    assert!(c.opening().len() >= 32);
}

pub(super) async fn one_of_many_creators_wins(Subject { coordinator: c, other, .. }: &Subject) {
    for round in 0..5 {
        let key = format!("k{round}");
        let create = |n: usize| {
            let c = if n.is_multiple_of(2) { c } else { other };
            c.txn(vec![Cmp::CreateRevision(key.clone(), 0)], vec![Op::put(&key, n.to_string())], vec![])
        };
        let outcomes = join_all((0..32).map(create)).await;
        let won: Vec<_> =
            outcomes.iter().enumerate().filter(|(_, outcome)| outcome.as_ref().unwrap().succeeded).collect();
        assert_eq!(won.len(), 1, "winners: {won:?}");
        assert_eq!(c.get(&key).await.unwrap().unwrap().value, won[0].0.to_string().as_bytes());
    }
}

async fn add(c: &dyn Coordinator, times: u32) {
    for _ in 0..times {
        loop {
            let known = c.get("n").await.unwrap().unwrap();
            let n: u32 = String::from_utf8(known.value).unwrap().parse().unwrap();
            let when = vec![Cmp::ModRevision("n".to_owned(), known.mod_revision)];
            if c.txn(when, vec![Op::put("n", (n + 1).to_string())], vec![]).await.unwrap().succeeded {
                break;
            }
        }
    }
}

pub(super) async fn no_compare_and_set_is_lost(Subject { coordinator: c, other, .. }: &Subject) {
    put(&**c, "n", "0").await;
    tokio::join!(add(&**c, 15), add(&**other, 15), add(&**c, 15), add(&**other, 15));
    assert_eq!(c.get("n").await.unwrap().unwrap().value, b"60");
}

pub(super) async fn changes_of_another_coordinator_are_heard_of(Subject { coordinator: c, other, .. }: &Subject) {
    let before = put(&**c, "w/a", "").await;
    let mut watch = other.watch("w/", before + 1).await.unwrap();
    let after = put(&**c, "w/b", "").await;
    assert_eq!(next(&mut watch).await, event("w/b", after, EventKind::Put));
}

pub(super) async fn a_generation_that_rose_elsewhere_refuses_and_is_known_then(
    Subject { coordinator: c, other, .. }: &Subject,
) {
    c.raise_generation(1).await.unwrap();
    other.raise_generation(4).await.unwrap();
    let create = |generation| c.txn(vec![Cmp::Generation(generation)], vec![Op::put("k", "")], vec![]);
    assert!(!create(1).await.unwrap().succeeded);
    assert_eq!(c.generation(), 4);
    assert!(create(4).await.unwrap().succeeded);
}

pub(super) async fn generations_raised_at_once_end_with_the_highest(Subject { coordinator: c, other, .. }: &Subject) {
    let raise = |n: u64| if n.is_multiple_of(2) { c.raise_generation(n) } else { other.raise_generation(n) };
    join_all((1..=9).map(raise)).await.into_iter().collect::<Result<Vec<_>, _>>().unwrap();
    c.raise_generation(0).await.unwrap();
    other.raise_generation(0).await.unwrap();
    assert_eq!((c.generation(), other.generation()), (9, 9));
}
