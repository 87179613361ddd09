mod attempts;
mod claims;
mod disk;
mod draining;
mod large;
mod unreadable;

use std::{
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    },
    time::Duration,
};

use async_trait::async_trait;
use serde_json::{Value, json};
use tidemark_catalog::ids::TaskId;
use tidemark_gateway::Env;
use tokio_util::sync::CancellationToken;

use super::{
    Completion, Error, Execute, Failure, Kind, Runner, RunnerConfig, State, Status, Submit, TaskContext, Tasks,
    claim::Claim, keys,
};
use crate::{
    coordinator::{Coordinator as _, Op, embedded::Embedded},
    failure::Away,
};

/// Longest wait for a state; a test that needs it fails.
const BOUND: Duration = Duration::from_secs(20);

struct Bench {
    tasks: Tasks,
    coordinator: Embedded,
    directory: tempfile::TempDir,
}

fn bench() -> Bench {
    let directory = tempfile::tempdir().unwrap();
    on(directory)
}

fn on(directory: tempfile::TempDir) -> Bench {
    let coordinator = Embedded::open(directory.path(), Env::system()).unwrap();
    Bench { tasks: Tasks::new(Arc::new(coordinator.clone()), Env::system()), coordinator, directory }
}

fn submit(body: Value) -> Submit {
    let exclusive = Some("source/a".to_owned());
    Submit { kind: Kind::Protect, subject: "a".to_owned(), body: body.clone(), spec: body, exclusive }
}

fn config() -> RunnerConfig {
    let (backoff, longest_backoff) = (Duration::from_millis(1), Duration::from_millis(5));
    RunnerConfig { backoff, longest_backoff, ..RunnerConfig::default() }
}

impl Bench {
    /// Runs a runner until the task is done.
    async fn until_done(&self, execute: impl Execute, id: &TaskId) -> Status {
        let shutdown = CancellationToken::new();
        let runner = Runner::new(self.tasks.clone(), Arc::new(execute), config()).run(shutdown.clone());
        let waiting = async {
            let status = self.tasks.wait(id, BOUND).await.unwrap().unwrap();
            shutdown.cancel();
            status
        };
        let (ended, status) = tokio::join!(runner, waiting);
        ended.unwrap();
        status
    }
}

/// An executor made of a function.
struct Does<F>(F);

#[async_trait]
impl<F, Fut> Execute for Does<F>
where
    F: Fn(TaskContext) -> Fut + Send + Sync + 'static,
    Fut: Future<Output = Result<Completion, Failure>> + Send,
{
    async fn execute(&self, context: TaskContext) -> Result<Completion, Failure> {
        (self.0)(context).await
    }
}

fn well(result: Value) -> Result<Completion, Failure> {
    Ok(Completion { result, warnings: false })
}

#[tokio::test]
async fn one_key_makes_one_task_and_another_body_is_refused() {
    let bench = bench();
    let first = bench.tasks.submit(submit(json!({"n": 1})), "key").await.unwrap();
    let again = bench.tasks.submit(submit(json!({"n": 1})), "key").await.unwrap();
    assert_eq!(first, again);
    let other = bench.tasks.submit(submit(json!({"n": 2})), "key").await.unwrap_err();
    assert!(matches!(other, Error::KeyReused { task } if task == first.id.to_string()));
    assert_eq!(bench.tasks.list().await.unwrap().len(), 1);
}

#[tokio::test]
async fn a_task_runs_and_leaves_nothing_but_its_record() {
    let bench = bench();
    let task = bench.tasks.submit(submit(json!({})), "key").await.unwrap();
    let done = bench
        .until_done(
            Does(|context: TaskContext| async move {
                context.checkpoints.save("part", &json!("x".repeat(200_000))).await?;
                let back: Value = context.checkpoints.load("part").await?.unwrap();
                well(json!({"length": back.as_str().unwrap().len()}))
            }),
            &task.id,
        )
        .await;
    assert_eq!((done.task.state, done.task.result), (State::Succeeded, Some(json!({"length": 200_000}))));
    for prefix in [keys::QUEUE, keys::CHECKPOINTS, "claim/", "exclusive/"] {
        assert!(bench.coordinator.list(prefix, 1, None).await.unwrap().0.is_empty(), "{prefix}");
    }
}

#[tokio::test]
async fn retryable_failures_are_tried_again_within_bounds() {
    let bench = bench();
    let task = bench.tasks.submit(submit(json!({})), "key").await.unwrap();
    let runs = Arc::new(AtomicU32::new(0));
    let counter = Arc::clone(&runs);
    let execute = Does(move |_| {
        counter.fetch_add(1, Ordering::SeqCst);
        async { Err(Failure::retryable("TM-TEST-0001", "not now")) }
    });
    let done = bench.until_done(execute, &task.id).await;
    assert_eq!((done.task.state, runs.load(Ordering::SeqCst)), (State::Failed, 5));
    assert_eq!(done.task.error.unwrap().code, "TM-TEST-0001");
}

fn away() -> Failure {
    Failure::retryable("TM-TEST-0003", "connection refused").by_absence_of(Away::Destination)
}

#[tokio::test]
async fn what_is_away_is_waited_for_beyond_the_attempts_and_shown() {
    let bench = bench();
    let task = bench.tasks.submit(submit(json!({})), "key").await.unwrap();
    let runs = Arc::new(AtomicU32::new(0));
    let counter = Arc::clone(&runs);
    let execute = Does(move |context: TaskContext| {
        let run = counter.fetch_add(1, Ordering::SeqCst);
        async move {
            let waiting = context.task.waiting;
            assert_eq!(waiting.as_ref().map_or(0, |waiting| waiting.tries), run);
            assert!(waiting.is_none_or(|waiting| waiting.what == Away::Destination));
            if run < 20 { Err(away()) } else { well(json!({})) }
        }
    });
    let done = bench.until_done(execute, &task.id).await;
    assert_eq!(
        (done.task.state, done.task.attempt, done.task.waiting),
        (State::Succeeded, 21, None),
        "{:?}",
        done.task.error
    );
}

/// The number of runs that a task has whose destination never comes back, within 300 ms, and how it ends; the first `new` runs
/// save something new.
async fn waits_in_vain(new: u32) -> (u32, Status, Bench) {
    let bench = bench();
    let task = bench.tasks.submit(submit(json!({})), "key").await.unwrap();
    let runs = Arc::new(AtomicU32::new(0));
    let counter = Arc::clone(&runs);
    let execute = Does(move |context: TaskContext| {
        let run = counter.fetch_add(1, Ordering::SeqCst);
        async move {
            context.checkpoints.note("root", &run).await.unwrap();
            context.checkpoints.save("part", &run.min(new)).await?;
            Err(away())
        }
    });
    let pause = Duration::from_millis(100);
    let bounds = RunnerConfig { backoff: pause, longest_backoff: pause, ..config() };
    let config = RunnerConfig { longest_absence: Duration::from_millis(300), ..bounds };
    let shutdown = CancellationToken::new();
    let runner = Runner::new(bench.tasks.clone(), Arc::new(execute), config).run(shutdown.clone());
    let waiting = async {
        let status = bench.tasks.wait(&task.id, BOUND).await.unwrap().unwrap();
        shutdown.cancel();
        status
    };
    let (ended, status) = tokio::join!(runner, waiting);
    ended.unwrap();
    (runs.load(Ordering::SeqCst), status, bench)
}

#[tokio::test]
async fn a_wait_ends_by_time_and_progress_starts_it_anew() {
    let (runs, ended, _bench) = waits_in_vain(0).await;
    assert!((2..=5).contains(&runs), "{runs}");
    let error = ended.task.error.unwrap();
    assert_eq!((ended.task.state, error.code.as_str()), (State::Failed, "TM-TEST-0003"));
    assert!(error.message.contains("destination was away since"), "{error}");
    assert!(error.hint.unwrap().contains("op resume"));
    let (runs, ..) = waits_in_vain(6).await;
    assert!(runs >= 8, "{runs}");
}

#[tokio::test]
async fn a_task_that_failed_is_resumed_at_its_checkpoint_and_nothing_else_is() {
    let (_, failed, bench) = waits_in_vain(0).await;
    let id = failed.task.id;
    let resumed = bench.tasks.resume(&id).await.unwrap().unwrap();
    assert_eq!((resumed.task.state, resumed.task.finished), (State::Queued, None));
    let again = bench.tasks.resume(&id).await.unwrap_err();
    assert!(matches!(&again, Error::NotResumable { reason, .. } if reason.contains("queued")), "{again}");
    let execute =
        Does(|context: TaskContext| async move { well(json!(context.checkpoints.load::<u32>("part").await?)) });
    let done = bench.until_done(execute, &id).await;
    assert_eq!((done.task.state, done.task.result), (State::Succeeded, Some(json!(0))));
    assert!(matches!(bench.tasks.resume(&id).await, Err(Error::NotResumable { .. })));
    let task = bench.tasks.submit(submit(json!({})), "other").await.unwrap();
    bench.until_done(Does(|_| async { Err(Failure::permanent("TM-TEST-0002", "never")) }), &task.id).await;
    let nothing = bench.tasks.resume(&task.id).await.unwrap_err();
    assert!(matches!(&nothing, Error::NotResumable { reason, .. } if reason.contains("anew")), "{nothing}");
    assert!(bench.tasks.resume(&"none".parse().unwrap()).await.unwrap().is_none());
}

#[tokio::test]
async fn checkpoints_of_a_failed_task_go_with_its_record() {
    let (_, failed, bench) = waits_in_vain(0).await;
    // A start of the daemon keeps them.
    let other = bench.tasks.submit(submit(json!({})), "other").await.unwrap();
    bench.until_done(Does(|_| async { well(json!({})) }), &other.id).await;
    assert!(!bench.coordinator.list(keys::CHECKPOINTS, 1, None).await.unwrap().0.is_empty());
    let later = failed.task.finished.unwrap() + jiff::Span::new().hours(24 * 31);
    let tasks = Tasks::new(Arc::new(bench.coordinator.clone()), Env::seeded(1, later));
    assert_eq!(tasks.prune().await.unwrap().0, 2);
    assert!(bench.coordinator.list(keys::CHECKPOINTS, 1, None).await.unwrap().0.is_empty());
}

#[tokio::test]
async fn a_permanent_failure_ends_the_task_at_once() {
    let bench = bench();
    let task = bench.tasks.submit(submit(json!({})), "key").await.unwrap();
    let execute = Does(|_| async { Err(Failure::permanent("TM-TEST-0002", "never")) });
    let done = bench.until_done(execute, &task.id).await;
    assert_eq!((done.task.state, done.task.attempt), (State::Failed, 1));
}

#[tokio::test]
async fn a_panic_fails_the_task_and_not_the_runner() {
    let bench = bench();
    let task = bench.tasks.submit(submit(json!({})), "key").await.unwrap();
    let execute = Does(|context: TaskContext| async move {
        assert!(context.task.attempt > 9, "planted");
        well(json!({}))
    });
    let done = bench.until_done(execute, &task.id).await;
    assert!(done.task.error.unwrap().message.contains("planted"));
}

#[tokio::test]
async fn a_running_task_stops_when_asked() {
    let bench = bench();
    let task = bench.tasks.submit(submit(json!({})), "key").await.unwrap();
    let (tasks, id) = (bench.tasks.clone(), task.id.clone());
    let execute = Does(move |context: TaskContext| {
        let (tasks, id) = (tasks.clone(), id.clone());
        async move {
            tasks.cancel(&id).await?;
            context.cancel.cancelled().await;
            Err(Failure::cancelled())
        }
    });
    let done = bench.until_done(execute, &task.id).await;
    assert_eq!((done.task.state, done.task.error), (State::Cancelled, None));
}

#[tokio::test]
async fn a_queued_task_that_is_cancelled_never_runs() {
    let bench = bench();
    let task = bench.tasks.submit(submit(json!({})), "key").await.unwrap();
    bench.tasks.cancel(&task.id).await.unwrap();
    let done = bench.until_done(Does(|_| async { well(json!({})) }), &task.id).await;
    assert_eq!(done.task.state, State::Cancelled);
}

#[tokio::test]
async fn a_stale_claim_can_neither_save_nor_end_the_task() {
    let bench = bench();
    let task = bench.tasks.submit(submit(json!({})), "key").await.unwrap();
    let first = bench.coordinator.lease(Duration::from_secs(10)).await.unwrap();
    let (stale, record) = Claim::take(&bench.tasks, &task.id, first.id(), "one").await.unwrap().unwrap();
    first.revoke().await.unwrap();
    let second = bench.coordinator.lease(Duration::from_secs(10)).await.unwrap();
    let (fresh, _) = Claim::take(&bench.tasks, &task.id, second.id(), "two").await.unwrap().unwrap();
    assert!(fresh.token() > stale.token());
    let saved = super::Checkpoints::new(stale.clone(), &record).save("part", &1).await;
    assert!(matches!(saved, Err(Error::ClaimLost { .. })), "{saved:?}");
    let left = stale.leave(&record, record.due_millis, super::claim::Leave::Done).await;
    assert!(matches!(left, Err(Error::ClaimLost { .. })), "{left:?}");
    super::Checkpoints::new(fresh, &record).save("part", &2).await.unwrap();
}

#[tokio::test]
async fn tasks_of_one_scope_do_not_run_at_the_same_time() {
    let bench = bench();
    let one = bench.tasks.submit(submit(json!(1)), "one").await.unwrap();
    let two = bench.tasks.submit(submit(json!(2)), "two").await.unwrap();
    let lease = bench.coordinator.lease(Duration::from_secs(10)).await.unwrap();
    let held = Claim::take(&bench.tasks, &one.id, lease.id(), "n").await.unwrap();
    assert!(held.is_some());
    assert!(Claim::take(&bench.tasks, &two.id, lease.id(), "n").await.unwrap().is_none());
}

#[test]
fn a_killed_run_is_resumed_from_its_checkpoints() {
    let bench = bench();
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let (reached, wait) = std::sync::mpsc::channel();
    let id = runtime.block_on(async {
        let task = bench.tasks.submit(submit(json!({})), "key").await.unwrap();
        let execute = Does(move |context: TaskContext| {
            let reached = reached.clone();
            async move {
                context.checkpoints.save("object/a", &"done").await?;
                reached.send(()).unwrap();
                std::future::pending().await
            }
        });
        let runner = Runner::new(bench.tasks.clone(), Arc::new(execute), config());
        tokio::spawn(runner.run(CancellationToken::new()));
        task.id
    });
    wait.recv_timeout(BOUND).unwrap();
    // Everything stops where it is, as in a killed process; the claim is never given up.
    runtime.shutdown_timeout(BOUND);
    let Bench { tasks, coordinator, directory } = bench;
    drop((tasks, coordinator));
    tokio::runtime::Runtime::new().unwrap().block_on(async {
        let bench = on(directory);
        let before = bench.tasks.get(&id).await.unwrap().unwrap().task;
        assert_eq!((before.state, before.attempt), (State::Running, 1));
        let execute = Does(|context: TaskContext| async move {
            let saved: Option<String> = context.checkpoints.load("object/a").await?;
            well(json!({"saved": saved, "attempt": context.task.attempt}))
        });
        let done = bench.until_done(execute, &id).await;
        assert_eq!(done.task.result, Some(json!({"saved": "done", "attempt": 2})));
    });
}

#[tokio::test]
async fn an_orderly_stop_gives_the_claim_back_and_counts_no_attempt() {
    let bench = bench();
    let task = bench.tasks.submit(submit(json!({})), "key").await.unwrap();
    let shutdown = CancellationToken::new();
    let stop = shutdown.clone();
    let execute = Does(move |context: TaskContext| {
        stop.cancel();
        async move {
            context.cancel.cancelled().await;
            Err(Failure::cancelled())
        }
    });
    Runner::new(bench.tasks.clone(), Arc::new(execute), config()).run(shutdown).await.unwrap();
    let left = bench.tasks.get(&task.id).await.unwrap().unwrap().task;
    assert_eq!((left.state, left.attempt), (State::Queued, 0));
    assert!(bench.coordinator.list("claim/", 1, None).await.unwrap().0.is_empty());
}

#[tokio::test]
async fn checkpoints_of_tasks_that_are_done_are_swept() {
    let bench = bench();
    let orphan = format!("{}0123/part#0000", keys::CHECKPOINTS);
    bench.coordinator.txn(vec![], vec![Op::put(&orphan, "1")], vec![]).await.unwrap();
    let task = bench.tasks.submit(submit(json!({})), "key").await.unwrap();
    bench.until_done(Does(|_| async { well(json!({})) }), &task.id).await;
    assert_eq!(bench.coordinator.get(&orphan).await.unwrap(), None);
}

#[tokio::test]
async fn a_key_that_is_over_makes_a_new_task_and_old_tasks_go() {
    let bench = bench();
    let first = bench.tasks.submit(submit(json!(1)), "key").await.unwrap();
    let done = bench.until_done(Does(|_| async { well(json!({})) }), &first.id).await;
    assert_eq!(bench.tasks.prune().await.unwrap(), (0, 0));
    assert_eq!(bench.tasks.submit(submit(json!(1)), "key").await.unwrap().id, first.id);
    // The same state, looked at a day and then a month later.
    let later = |hours| {
        let now = done.task.finished.unwrap() + jiff::Span::new().hours(hours);
        Tasks::new(Arc::new(bench.coordinator.clone()), Env::seeded(u64::try_from(hours).unwrap(), now))
    };
    let second = later(25).submit(submit(json!(2)), "key").await.unwrap();
    assert_ne!(second.id, first.id);
    assert_eq!(later(25).prune().await.unwrap(), (0, 0), "the key was used anew");
    assert_eq!(later(24 * 31).prune().await.unwrap(), (1, 1));
    assert!(bench.tasks.get(&first.id).await.unwrap().is_none());
    assert_eq!(bench.tasks.get(&second.id).await.unwrap().unwrap().task.state, State::Queued, "it is not done");
    assert_eq!(bench.coordinator.list("idempotency/", 9, None).await.unwrap().0.len(), 0);
}

#[tokio::test]
async fn unfinished_tasks_of_a_scope_are_named_until_they_are_done() {
    let bench = bench();
    let one = bench.tasks.submit(submit(json!(1)), "one").await.unwrap();
    let other = Submit { exclusive: Some("source/b".to_owned()), ..submit(json!(2)) };
    bench.tasks.submit(other, "two").await.unwrap();
    assert_eq!(bench.tasks.unfinished("source/a").await.unwrap(), std::slice::from_ref(&one.id));
    bench.tasks.cancel(&one.id).await.unwrap();
    assert!(bench.tasks.unfinished("source/a").await.unwrap().is_empty());
}
