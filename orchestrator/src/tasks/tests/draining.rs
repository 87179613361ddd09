//! Daemons that take no new work, and parts that a task asks for.

use tokio::sync::watch;

use super::{
    super::{Part, TaskRecord},
    *,
};

#[tokio::test]
async fn who_drains_ends_what_it_runs_and_claims_nothing_until_that_is_taken_back() {
    let bench = bench();
    let (drain, drains) = watch::channel(false);
    let drain = Arc::new(drain);
    let mut tasks = Vec::new();
    for name in ["drains", "goes on", "waits"] {
        let submit = Submit { exclusive: None, ..submit(json!(name)) };
        tasks.push(bench.tasks.submit(submit, name).await.unwrap().id);
    }
    let own = Arc::clone(&drain);
    let execute = Does(move |context: TaskContext| {
        let own = Arc::clone(&own);
        async move {
            match context.task.spec.as_str().unwrap() {
                "drains" => drop(own.send_replace(true)),
                "goes on" => context.cancel.cancelled().await,
                _ => {}
            }
            well(json!(null))
        }
    });
    let shutdown = CancellationToken::new();
    let two = RunnerConfig { max_running: 2, ..config() };
    let runner = Runner::new(bench.tasks.clone(), Arc::new(execute), two).draining(drains).run(shutdown.clone());
    let story = async {
        let ended = async |n: usize| bench.tasks.wait(&tasks[n], BOUND).await.unwrap().unwrap().task.state;
        assert_eq!(ended(0).await, State::Succeeded);
        // The runner looks, for this wish, and has a place.
        bench.tasks.cancel(&tasks[1]).await.unwrap();
        assert_eq!(ended(1).await, State::Succeeded);
        assert_eq!(bench.tasks.get(&tasks[2]).await.unwrap().unwrap().task.state, State::Queued);
        drain.send_replace(false);
        assert_eq!(ended(2).await, State::Succeeded);
        shutdown.cancel();
    };
    let (outcome, ()) = tokio::join!(runner, story);
    outcome.unwrap();
}

fn part(spec: Value) -> Part {
    Part { kind: Kind::Consolidate, subject: "a part".to_owned(), spec }
}

/// A run of a new task, whose claim stands.
async fn claimed(bench: &Bench) -> (super::super::Checkpoints, TaskRecord, crate::coordinator::Lease) {
    let task = bench.tasks.submit(submit(json!({})), "whole").await.unwrap();
    let lease = bench.coordinator.lease(BOUND).await.unwrap();
    let (claim, task) = Claim::take(&bench.tasks, &task.id, lease.id(), "n").await.unwrap().unwrap();
    (super::super::Checkpoints::new(claim, &task), task, lease)
}

#[tokio::test]
async fn a_name_makes_one_part_however_often_it_is_asked_for_and_by_whichever_run() {
    let bench = bench();
    let (run, whole, lease) = claimed(&bench).await;
    let (one, is_new) = run.submit_part("one", part(json!("x".repeat(100_000)))).await.unwrap();
    assert!(is_new);
    let made = bench.tasks.get(&one).await.unwrap().unwrap().task;
    assert_eq!((made.parent.as_ref(), made.state, made.kind), (Some(&whole.id), State::Queued, Kind::Consolidate));
    assert_eq!(bench.tasks.spec(&made).await.unwrap(), json!("x".repeat(100_000)));
    assert_ne!(run.submit_part("two", part(json!(2))).await.unwrap().0, one);
    lease.revoke().await.unwrap();
    let lease = bench.coordinator.lease(BOUND).await.unwrap();
    let (claim, task) = Claim::take(&bench.tasks, &whole.id, lease.id(), "m").await.unwrap().unwrap();
    let next = super::super::Checkpoints::new(claim, &task);
    assert_eq!(next.submit_part("one", part(json!("another"))).await.unwrap(), (one.clone(), false));
    assert_eq!(bench.tasks.get(&one).await.unwrap().unwrap().task, made, "it is as it was");
    // The run that lost its claim asks for nothing any more.
    let late = run.submit_part("three", part(json!(3))).await.unwrap_err();
    assert!(matches!(late, Error::ClaimLost { .. }), "{late:?}");
    assert_eq!(bench.tasks.list().await.unwrap().len(), 3);
}

#[tokio::test]
async fn parts_of_a_task_leave_a_place_to_others() {
    let bench = bench();
    let (whole, _, lease) = claimed(&bench).await;
    let mut parts = Vec::new();
    for name in ["a", "b", "c"] {
        parts.push(whole.submit_part(name, part(json!("waits"))).await.unwrap().0);
    }
    // It comes after them.
    let other = bench.tasks.submit(Submit { exclusive: None, ..submit(json!("ends")) }, "other").await.unwrap().id;
    let begun = Arc::new(AtomicU32::new(0));
    let counter = Arc::clone(&begun);
    let execute = Does(move |context: TaskContext| {
        let counter = Arc::clone(&counter);
        async move {
            if context.task.spec == json!("waits") {
                counter.fetch_add(1, Ordering::SeqCst);
                context.cancel.cancelled().await;
            }
            well(json!(null))
        }
    });
    let shutdown = CancellationToken::new();
    let three = RunnerConfig { max_running: 3, ..config() };
    let runner = Runner::new(bench.tasks.clone(), Arc::new(execute), three).run(shutdown.clone());
    let story = async {
        let ended = async |id: &TaskId| bench.tasks.wait(id, BOUND).await.unwrap().unwrap().task.state;
        assert_eq!(ended(&other).await, State::Succeeded);
        // One more that needs a place, while two parts have theirs.
        let more =
            bench.tasks.submit(Submit { exclusive: None, ..submit(json!("ends too")) }, "more").await.unwrap().id;
        assert_eq!(ended(&more).await, State::Succeeded);
        assert_eq!(begun.load(Ordering::SeqCst), 2);
        for id in &parts {
            bench.tasks.cancel(id).await.unwrap();
        }
        for id in &parts {
            assert!(ended(id).await.is_done());
        }
        lease.revoke().await.unwrap();
        shutdown.cancel();
    };
    let (outcome, ()) = tokio::join!(runner, story);
    outcome.unwrap();
}
