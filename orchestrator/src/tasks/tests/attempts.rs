//! What counts as an attempt, and what makes attempts count anew.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    },
    time::Duration,
};

use serde_json::json;
use tidemark_catalog::ids::TaskId;

use super::{super::claim::Claim, Bench, Does, bench, submit, well};
use crate::{
    coordinator::Coordinator as _,
    tasks::{Checkpoints, Failure, State, TaskContext},
};

/// Runs that fail, at most 20, of which each of the first `new` saves something new.
async fn failing_runs(new: u32) -> u32 {
    let bench = bench();
    let task = bench.tasks.submit(submit(json!({})), "key").await.unwrap();
    let runs = Arc::new(AtomicU32::new(0));
    let counter = Arc::clone(&runs);
    let execute = Does(move |context: TaskContext| {
        let run = counter.fetch_add(1, Ordering::SeqCst);
        async move {
            context.checkpoints.save("part", &run.min(new)).await?;
            if run < 20 { Err(Failure::retryable("TM-TEST-0001", "not now")) } else { well(json!({})) }
        }
    });
    bench.until_done(execute, &task.id).await;
    runs.load(Ordering::SeqCst)
}

#[tokio::test]
async fn failures_are_counted_anew_after_progress() {
    // The first save is always new: four more runs without another one end the task.
    assert_eq!(failing_runs(0).await, 5);
    assert_eq!(failing_runs(6).await, 11);
}

/// Claims the task, saves `part` and loses the claim as a killed daemon does; the lost runs that the claim saw before it.
async fn killed_run(bench: &Bench, id: &TaskId, part: u32) -> u32 {
    let lease = bench.coordinator.lease(Duration::from_secs(10)).await.unwrap();
    let (claim, task) = Claim::take(&bench.tasks, id, lease.id(), "n").await.unwrap().unwrap();
    Checkpoints::new(claim, &task).save("part", &part).await.unwrap();
    lease.revoke().await.unwrap();
    task.lost_runs
}

#[tokio::test]
async fn killed_runs_are_counted_anew_after_progress() {
    let bench = bench();
    let task = bench.tasks.submit(submit(json!({})), "key").await.unwrap();
    for (part, lost) in [(1, 0), (2, 1), (3, 1), (3, 1), (3, 2), (3, 3), (4, 4), (4, 1)] {
        assert_eq!(killed_run(&bench, &task.id, part).await, lost, "{part}");
    }
    let left = bench.tasks.get(&task.id).await.unwrap().unwrap().task;
    assert_eq!((left.state, left.attempt), (State::Running, 8));
}
