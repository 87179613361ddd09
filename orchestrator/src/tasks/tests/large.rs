//! Specifications, checkpoints and results beyond the bounds of the coordinator, over one that watches what is put into it.

use std::sync::{
    Arc, Mutex,
    atomic::{AtomicUsize, Ordering},
};

use object_store::ObjectStoreExt as _;
use tidemark_gateway::Env;

use super::*;
use crate::{
    coordinator::{self, Cmp, Coordinator, Kv, Lease, MAX_OPS, MAX_VALUE_BYTES, Outcome, Revision, Watch},
    registrations::{CommitMode, Registrations, STORES, StoreRecord},
    stores::{OpenStore, Stores},
    tasks::{Cut, RESULT, Shelf},
};

/// Keeps the largest of what was asked of a coordinator.
struct Watched {
    inner: Embedded,
    value: AtomicUsize,
    ops: AtomicUsize,
    bytes: AtomicUsize,
}

#[async_trait]
impl Coordinator for Watched {
    fn generation(&self) -> u64 {
        self.inner.generation()
    }

    fn opening(&self) -> &str {
        self.inner.opening()
    }

    async fn raise_generation(&self, to: u64) -> Result<(), coordinator::Error> {
        self.inner.raise_generation(to).await
    }

    async fn get(&self, key: &str) -> Result<Option<Kv>, coordinator::Error> {
        self.inner.get(key).await
    }

    async fn list(
        &self,
        prefix: &str,
        limit: usize,
        after: Option<&str>,
    ) -> Result<(Vec<Kv>, Revision), coordinator::Error> {
        self.inner.list(prefix, limit, after).await
    }

    async fn txn(&self, when: Vec<Cmp>, then: Vec<Op>, otherwise: Vec<Op>) -> Result<Outcome, coordinator::Error> {
        let size = |op: &Op| if let Op::Put { value, .. } = op { value.len() } else { 0 };
        self.value.fetch_max(then.iter().map(size).max().unwrap_or(0), Ordering::SeqCst);
        self.bytes.fetch_max(then.iter().map(size).sum(), Ordering::SeqCst);
        self.ops.fetch_max(then.len() + when.len(), Ordering::SeqCst);
        self.inner.txn(when, then, otherwise).await
    }

    async fn watch(&self, prefix: &str, from: Revision) -> Result<Watch, coordinator::Error> {
        self.inner.watch(prefix, from).await
    }

    async fn lease(&self, ttl: Duration) -> Result<Lease, coordinator::Error> {
        self.inner.lease(ttl).await
    }
}

/// A bench over a coordinator that is watched, and a store whose objects tasks are given.
struct Large {
    watched: Arc<Watched>,
    tasks: Tasks,
    stores: Stores,
    store: OpenStore,
    _directory: tempfile::TempDir,
}

async fn large() -> Large {
    let Bench { coordinator, directory, .. } = bench();
    let (value, ops, bytes) = (AtomicUsize::new(0), AtomicUsize::new(0), AtomicUsize::new(0));
    let watched = Arc::new(Watched { inner: coordinator, value, ops, bytes });
    let coordinator: Arc<dyn Coordinator> = watched.clone();
    let registrations = Registrations::new(Arc::clone(&coordinator));
    let stores = Stores::new(registrations.clone(), Env::system());
    let record = StoreRecord {
        name: "s".to_owned(),
        url: format!("file://{}", directory.path().join("store").display()),
        credentials: None,
        listener_credentials: None,
        repository: String::new(),
        commit_mode: CommitMode::AtomicCreate,
        checksums: false,
        limits: crate::limits::LimitsSpec::default(),
    };
    let store = stores.open_new(record).unwrap();
    let made = tidemark_catalog::repository::create_or_open(&store.objects, &Env::system()).await.unwrap();
    let store = OpenStore { record: StoreRecord { repository: made.id.to_string(), ..store.record }, ..store };
    registrations.create(STORES, "s", &store.record).await.unwrap();
    let repository = store.record.repository.clone();
    crate::generation::attach(&*coordinator, &repository, &store.objects, &Env::system()).await.unwrap();
    Large { watched, tasks: Tasks::new(coordinator, Env::system()), stores, store, _directory: directory }
}

impl Large {
    fn shelf(&self) -> Shelf {
        Shelf::new(&self.stores, &self.store, &"src".parse().unwrap())
    }

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

    /// The largest value, the most operations and compares, and the most bytes of a transaction.
    fn largest(&self) -> (usize, usize, usize) {
        let Watched { value, ops, bytes, .. } = &*self.watched;
        (value.load(Ordering::SeqCst), ops.load(Ordering::SeqCst), bytes.load(Ordering::SeqCst))
    }

    /// The whole of a result, by what its record says.
    async fn whole(&self, status: &Status) -> Result<Value, Failure> {
        let Some(Cut { kept: Some(kept), .. }) = &status.task.cut else { panic!("{:?}", status.task.cut) };
        kept.read(&self.stores, &status.task.id, RESULT).await
    }
}

fn texts(count: usize, bytes: usize) -> Value {
    (0..count).map(|number| json!(format!("{number:07}{}", "x".repeat(bytes)))).collect()
}

#[tokio::test]
async fn what_is_large_keeps_the_bounds_of_the_coordinator_and_comes_back_whole() {
    let bench = large().await;
    let spec = texts(9_000, 90);
    let task = bench.tasks.submit(submit(spec.clone()), "key").await.unwrap();
    let (shelf, runs) = (bench.shelf(), AtomicU32::new(0));
    let execute = Does(move |context: TaskContext| {
        let (shelf, spec, run) = (shelf.clone(), spec.clone(), runs.fetch_add(1, Ordering::SeqCst));
        async move {
            assert_eq!(context.task.spec, spec);
            context.checkpoints.keep_at(shelf);
            let (small, middle, large) = (json!(1), texts(9_000, 90), texts(30_000, 90));
            let sizes = [&small, &large, &middle, &large, &small, &middle];
            if run == 0 {
                for size in sizes {
                    context.checkpoints.save("part", size).await?;
                    assert_eq!(context.checkpoints.load::<Value>("part").await?.as_ref(), Some(size));
                }
                context.checkpoints.save("kept", &large).await?;
                return Err(Failure::retryable("TM-TEST-0001", "x".repeat(1 << 20)).with_hint("y".repeat(1 << 20)));
            }
            assert_eq!(context.checkpoints.load::<Value>("part").await?, Some(middle));
            assert_eq!(context.checkpoints.load::<Value>("kept").await?, Some(large.clone()));
            well(json!({"version": "src.daily.1", "notes": large}))
        }
    });
    let done = bench.until_done(execute, &task.id).await;
    assert_eq!((done.task.state, done.task.attempt), (State::Succeeded, 2), "{:?}", done.task.error);
    assert_eq!(done.task.result.as_ref().unwrap()["version"], "src.daily.1");
    assert_eq!(done.task.cut.as_ref().unwrap().lists["/notes"], 30_000);
    assert_eq!(bench.whole(&done).await.unwrap()["notes"], texts(30_000, 90));
    let (value, ops, bytes) = bench.largest();
    assert!(value <= MAX_VALUE_BYTES && ops <= MAX_OPS && bytes < 1_200_000, "{value} {ops} {bytes}");
    let left = bench.tasks.prune().await.unwrap();
    assert_eq!(left, (0, 0));
    for prefix in ["checkpoint/", "queue/"] {
        assert!(bench.watched.list(prefix, 1, None).await.unwrap().0.is_empty(), "{prefix}");
    }
}

#[tokio::test]
async fn a_checkpoint_that_is_saved_again_as_it_was_is_no_progress_and_is_not_written_again() {
    let bench = large().await;
    let task = bench.tasks.submit(submit(json!({})), "key").await.unwrap();
    let (shelf, store) = (bench.shelf(), Arc::clone(&bench.store.objects));
    let execute = Does(move |context: TaskContext| {
        let shelf = shelf.clone();
        async move {
            context.checkpoints.keep_at(shelf);
            context.checkpoints.save("part", &texts(30_000, 90)).await?;
            Err(Failure::retryable("TM-TEST-0001", "not now"))
        }
    });
    let done = bench.until_done(execute, &task.id).await;
    assert_eq!((done.task.state, done.task.attempt), (State::Failed, 5), "only the first save was new");
    let parts: Vec<_> = futures::TryStreamExt::try_collect(store.list(None)).await.unwrap();
    let parts: Vec<_> =
        parts.into_iter().filter(|part: &object_store::ObjectMeta| part.location.as_ref().contains("_parts")).collect();
    assert_eq!(parts.len(), 1);
    let name = parts[0].location.to_string();
    assert!(name.starts_with(&format!("sources/src/staged/{}/_parts/", task.id)), "{name}");
}

#[tokio::test]
async fn a_lost_document_fails_the_task_that_needs_it_by_name() {
    let bench = large().await;
    let task = bench.tasks.submit(submit(json!({})), "key").await.unwrap();
    let (shelf, store) = (bench.shelf(), Arc::clone(&bench.store.objects));
    let execute = Does(move |context: TaskContext| {
        let (shelf, store) = (shelf.clone(), Arc::clone(&store));
        async move {
            context.checkpoints.keep_at(shelf);
            context.checkpoints.save("part", &texts(30_000, 90)).await?;
            let listed: Vec<_> = futures::TryStreamExt::try_collect(store.list(None)).await.unwrap();
            for part in
                listed.iter().filter(|part: &&object_store::ObjectMeta| part.location.as_ref().contains("_parts"))
            {
                store.delete(&part.location).await.unwrap();
            }
            well(context.checkpoints.load("part").await?.unwrap())
        }
    });
    let error = bench.until_done(execute, &task.id).await.task.error.unwrap();
    assert!(error.code == "TM-TASK-0010" && error.message.contains("_parts"), "{error}");
}

#[tokio::test]
async fn a_result_whose_store_refuses_it_leaves_its_summary_and_the_task_is_done() {
    let bench = bench();
    let task = bench.tasks.submit(submit(json!({})), "key").await.unwrap();
    let notes = Arc::new(Mutex::new(texts(30_000, 90)));
    let execute = Does(move |_| {
        let notes = notes.lock().unwrap().clone();
        async move { well(json!({"version": "src.daily.1", "notes": notes})) }
    });
    let done = bench.until_done(execute, &task.id).await;
    assert_eq!(
        (done.task.state, done.task.result.unwrap()["version"].as_str()),
        (State::Succeeded, Some("src.daily.1"))
    );
    let cut = done.task.cut.unwrap();
    assert!(cut.kept.is_none() && cut.why_not.is_some_and(|why| why.contains("the limit is")), "{:?}", cut.lists);
}

#[tokio::test]
async fn what_is_beyond_all_bounds_is_refused_once_and_by_name() {
    let bench = bench();
    let refused = bench.tasks.submit(submit(texts(20_000, 90)), "key").await.unwrap_err();
    assert!(matches!(&refused, Error::Size { part, .. } if part == "specification"), "{refused}");
    let task = bench.tasks.submit(submit(json!({})), "key").await.unwrap();
    let execute = Does(|context: TaskContext| async move {
        context.checkpoints.save("part", &texts(30_000, 90)).await?;
        well(json!({}))
    });
    let done = bench.until_done(execute, &task.id).await;
    assert_eq!((done.task.error.unwrap().code.as_str(), done.task.attempt), ("TM-TASK-0004", 1));
}
