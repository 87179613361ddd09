//! Records that cannot be read, and clocks that were ahead: neither stops what they are not about.

use super::*;

#[tokio::test]
async fn records_that_cannot_be_read_stop_nothing_else_and_are_named() {
    let bench = bench();
    let broken = bench.tasks.submit(submit(json!(1)), "broken").await.unwrap();
    let other = bench.tasks.submit(Submit { exclusive: None, ..submit(json!(2)) }, "other").await.unwrap();
    let (task, key) = (keys::task(&broken.id), keys::idempotency("broken"));
    let puts = [task.as_str(), &key, "queue/never/x", "queue/00000000000000000001/nobody", "task/none"]
        .map(|key| Op::put(key, "{"))
        .to_vec();
    bench.coordinator.txn(vec![], puts, vec![]).await.unwrap();
    let saved = format!("{}part#0000", keys::checkpoints(&broken.id));
    bench.coordinator.txn(vec![], vec![Op::put(&saved, "1")], vec![]).await.unwrap();
    let done = bench.until_done(Does(|_| async { well(json!({})) }), &other.id).await;
    assert_eq!(done.task.state, State::Succeeded);
    let listed: Vec<_> = bench.tasks.list().await.unwrap().into_iter().map(|task| task.id).collect();
    assert_eq!(listed, std::slice::from_ref(&other.id));
    let asked = bench.tasks.get(&broken.id).await.unwrap_err();
    assert!(matches!(&asked, Error::Decode { key, .. } if *key == task), "{asked}");
    let mut named: Vec<_> = bench.tasks.unreadable().await.unwrap().into_iter().map(|(key, _)| key).collect();
    named.sort();
    let mut expected = vec![task, key, "queue/never/x".to_owned(), "task/none".to_owned()];
    expected.sort();
    assert_eq!(named, expected);
    assert_eq!(
        bench.tasks.unfinished("source/a").await.unwrap(),
        std::slice::from_ref(&broken.id),
        "its scope is unknown"
    );
    assert_eq!(bench.tasks.prune().await.unwrap(), (0, 0));
    assert!(bench.coordinator.get(&saved).await.unwrap().is_some(), "its checkpoints may be read by another build");
    let refused = bench.tasks.submit(submit(json!(1)), "broken").await.unwrap_err();
    assert!(matches!(refused, Error::Decode { .. }), "{refused}");
}

#[tokio::test]
async fn a_task_that_was_queued_while_the_clock_was_ahead_runs_once_it_is_right() {
    let bench = bench();
    let ahead = Env::seeded(1, "2099-01-02T03:04:05Z".parse().unwrap());
    let ahead = Tasks::new(Arc::new(bench.coordinator.clone()), ahead);
    let task = ahead.submit(submit(json!({})), "key").await.unwrap();
    let runs = AtomicU32::new(0);
    let execute = Does(move |_| {
        let run = runs.fetch_add(1, Ordering::SeqCst);
        async move { if run < 3 { Err(away()) } else { well(json!({})) } }
    });
    let done = bench.until_done(execute, &task.id).await;
    assert_eq!((done.task.state, done.task.attempt), (State::Succeeded, 4));
}

#[tokio::test]
async fn a_key_that_was_used_while_the_clock_was_ahead_is_kept_for_a_day_from_now() {
    let bench = bench();
    let at = |text: &str| {
        let env = Env::seeded(7, text.parse().unwrap());
        Tasks::new(Arc::new(bench.coordinator.clone()), env)
    };
    let first = at("2099-01-02T03:04:05Z").submit(submit(json!(1)), "key").await.unwrap();
    let right = at("2026-01-02T03:04:05Z");
    assert_eq!(right.submit(submit(json!(1)), "key").await.unwrap().id, first.id, "a retry is the same request");
    assert_eq!(right.prune().await.unwrap(), (0, 0));
    assert_eq!(at("2026-01-03T03:04:05Z").earlier(&json!(1), "key").await.unwrap().map(|task| task.id), Some(first.id));
    assert!(at("2026-01-03T03:04:06Z").earlier(&json!(1), "key").await.unwrap().is_none());
}
