//! Tasks whose coordinator's disk is full for a while.

use std::sync::atomic::AtomicU64;

use tokio::sync::Notify;

use super::*;
use crate::coordinator::embedded::disk::{Space, small};

fn on_small_disk() -> (Bench, Space) {
    let (directory, space) = (tempfile::tempdir().unwrap(), Space::new(AtomicU64::new(u64::MAX)));
    let coordinator = small(directory.path(), &space);
    (Bench { tasks: Tasks::new(Arc::new(coordinator.clone()), Env::system()), coordinator, directory }, space)
}

/// Runs a runner until the task is done, which is looked at once `space` is there again.
async fn until_done(bench: &Bench, execute: impl Execute, id: &TaskId, space: impl Future<Output = ()>) -> Status {
    let shutdown = CancellationToken::new();
    let runner = Runner::new(bench.tasks.clone(), Arc::new(execute), config()).run(shutdown.clone());
    let watched = async {
        space.await;
        let status = bench.tasks.wait(id, BOUND).await.unwrap().unwrap();
        shutdown.cancel();
        status
    };
    let (ended, status) = tokio::join!(runner, watched);
    ended.unwrap();
    status
}

#[tokio::test]
async fn a_run_that_ends_while_nothing_can_be_written_is_recorded_when_there_is_space_and_not_done_again() {
    let (bench, space) = on_small_disk();
    let task = bench.tasks.submit(submit(json!({})), "key").await.unwrap();
    let (runs, full) = (Arc::new(AtomicU32::new(0)), Arc::new(Notify::new()));
    let execute = {
        let (runs, full, space) = (Arc::clone(&runs), Arc::clone(&full), Arc::clone(&space));
        Does(move |context: TaskContext| {
            runs.fetch_add(1, Ordering::SeqCst);
            let (full, space) = (Arc::clone(&full), Arc::clone(&space));
            async move {
                space.store(0, Ordering::SeqCst);
                assert!(context.checkpoints.save("part", &1).await.is_err());
                full.notify_one();
                well(json!({"version": "src.daily.1"}))
            }
        })
    };
    let space_again = async {
        full.notified().await;
        assert!(bench.tasks.submit(submit(json!(2)), "other").await.is_err());
        space.store(u64::MAX, Ordering::SeqCst);
    };
    let done = until_done(&bench, execute, &task.id, space_again).await;
    assert_eq!((done.task.state, done.task.attempt, runs.load(Ordering::SeqCst)), (State::Succeeded, 1, 1));
    assert_eq!(bench.tasks.list().await.unwrap().len(), 1, "what was refused was not recorded");
}

#[tokio::test]
async fn tasks_are_claimed_and_tried_again_when_there_is_space() {
    let (bench, space) = on_small_disk();
    let task = bench.tasks.submit(submit(json!({})), "key").await.unwrap();
    let runs = AtomicU32::new(0);
    let execute = {
        let space = Arc::clone(&space);
        Does(move |context: TaskContext| {
            let (run, space) = (runs.fetch_add(1, Ordering::SeqCst), Arc::clone(&space));
            async move {
                if run == 0 {
                    space.store(0, Ordering::SeqCst);
                    let saved = context.checkpoints.save("part", &1).await;
                    space.store(u64::MAX, Ordering::SeqCst);
                    saved?;
                }
                well(json!(run))
            }
        })
    };
    space.store(0, Ordering::SeqCst);
    let space_later = async {
        // The runner finds the disk full first, and goes on.
        while bench.tasks.get(&task.id).await.is_ok() {
            tokio::task::yield_now().await;
        }
        space.store(u64::MAX, Ordering::SeqCst);
    };
    let done = until_done(&bench, execute, &task.id, space_later).await;
    assert_eq!((done.task.state, done.task.attempt, done.task.result), (State::Succeeded, 2, Some(json!(1))));
}
