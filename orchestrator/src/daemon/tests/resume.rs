//! Protects whose daemon was killed: what is taken over from the killed run, and what is not.

use tidemark_catalog::{
    chain::VersionSet,
    collect::{self, Ages, Collector, Live},
    commit::{Claim, ManifestDraft},
    entry::Cut,
    ids::FencingToken,
    manifest::{Holds, Version},
};
use tidemark_gateway::open;

use super::*;

/// Starts a protect, kills its daemon where the fake hangs, and returns the operation.
fn killed(state: &Path, bucket: &Path, world: fake::World) -> String {
    let hung = Arc::clone(&world.hung);
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let id = runtime.block_on(async {
        let daemon = super::super::Daemon::open(config(state), Env::system(), world.parts()).await.unwrap();
        let api = daemon.api();
        tokio::spawn(daemon.serve(CancellationToken::new()));
        set_up(&api, bucket).await;
        let asked = api.protect(Protect { policy: policy() }, "one", None).await.unwrap();
        tokio::time::timeout(Duration::from_secs(30), hung.notified()).await.unwrap();
        asked.id
    });
    runtime.shutdown_timeout(Duration::from_secs(30));
    id
}

/// Runs a daemon on the same state.
fn again<Fut: Future<Output = ()>>(state: &Path, world: fake::World, work: impl FnOnce(Api) -> Fut) {
    tokio::runtime::Runtime::new().unwrap().block_on(with_daemon(state, world, work));
}

/// A world that hangs when the second object is consolidated.
fn hangs_at_b() -> fake::World {
    fake::World { hang_at: Some("ks/b".to_owned()), ..fake::World::default() }
}

#[test]
fn a_killed_protect_is_resumed_and_finished_objects_are_not_redone() {
    let (state, bucket, world) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap(), hangs_at_b());
    let log = Arc::clone(&world.consolidated);
    let id = killed(state.path(), bucket.path(), world);
    let world = fake::World { consolidated: Arc::clone(&log), ..fake::World::default() };
    again(state.path(), world, async |api| {
        let ended = api.operation(&id, 30).await.unwrap();
        assert_eq!((ended.state.as_str(), ended.attempt), ("succeeded", 2), "{ended:?}");
        assert_eq!(versions(&api).await.len(), 1);
    });
    assert_eq!(*log.lock().unwrap(), ["ks/a", "ks/b", "ks/b"]);
}

#[test]
fn a_finished_object_whose_entry_is_gone_with_a_part_of_the_store_is_redone() {
    let (state, bucket, world) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap(), hangs_at_b());
    let log = Arc::clone(&world.consolidated);
    let id = killed(state.path(), bucket.path(), world);
    std::fs::remove_dir_all(bucket.path().join("sources/src/pages")).unwrap();
    let world = fake::World { consolidated: Arc::clone(&log), ..fake::World::default() };
    again(state.path(), world, async |api| {
        let ended = api.operation(&id, 30).await.unwrap();
        assert_eq!(ended.state, OperationState::Succeeded, "{ended:?}");
        let verify = api.verify_version("src.daily.1", "v").await.unwrap();
        assert_eq!(done(&api, verify).await.state, OperationState::Succeeded);
    });
    assert_eq!(*log.lock().unwrap(), ["ks/a", "ks/b", "ks/a", "ks/b"]);
}

/// Another daemon, whose claim is older than that of any resumed run.
struct Another;

impl Claim for Another {
    fn token(&self) -> FencingToken {
        FencingToken { generation: 1, revision: 1 }
    }

    fn holds(&self) -> bool {
        true
    }
}

/// Commits a version of the policy that was captured after all that the fake captures.
async fn commit_newer(bucket: &Path) {
    let url = format!("file://{}", bucket.display()).parse().unwrap();
    let store = open::open(&url, None, &open::OpenOptions::default(), &Env::system()).unwrap();
    let at = "2026-01-02T04:00:00Z".parse().unwrap();
    let cut = Some(Cut { from: at, through: at, partitions: vec![] });
    let holds = Holds::Version(Box::new(Version { cut, ..Version::empty("fake") }));
    let draft = ManifestDraft { task: "another".to_owned(), node: "n".to_owned(), holds, in_order: false };
    let set = VersionSet::new(store, "src".parse().unwrap(), "daily".parse().unwrap());
    set.commit(draft, &Another, &Env::system()).await.unwrap();
}

#[test]
fn a_capture_that_is_resumed_between_its_steps_does_not_become_the_newest_version() {
    let (state, bucket) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let world = |hang_at: Option<&str>| {
        let hang_at = hang_at.map(str::to_owned);
        fake::World { prepares: 1, hang_at, ..fake::World::default() }
    };
    let id = killed(state.path(), bucket.path(), world(Some("capture-1")));
    again(state.path(), world(None), async |api| {
        let ended = api.operation(&id, 30).await.unwrap();
        assert_eq!((ended.state.as_str(), ended.error), ("succeeded", None), "nothing newer is there");
    });

    let (state, bucket) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let id = killed(state.path(), bucket.path(), world(Some("capture-1")));
    tokio::runtime::Runtime::new().unwrap().block_on(commit_newer(bucket.path()));
    again(state.path(), world(None), async |api| {
        let ended = api.operation(&id, 30).await.unwrap();
        assert_eq!((ended.state.as_str(), ended.error.unwrap().code.as_str()), ("failed", "TM-CAT-0007"));
        assert_eq!(versions(&api).await.len(), 1);
    });
}

/// Marks what is left of this task, as a collection does that takes it for one that is `done`, or knows nothing of it.
async fn mark(bucket: &Path, task: &str, done: bool) {
    let url = format!("file://{}", bucket.display()).parse().unwrap();
    let (env, options) = (Env::system(), open::OpenOptions::default());
    let store = open::open(&url, None, &options, &env).unwrap();
    let as_of = collect::store_now(&store, &env).await.unwrap();
    let task = done.then(|| task.parse().unwrap()).into_iter().collect();
    let live = Live { as_of, done: task, ..Live::default() };
    let ages = Ages { undo: Duration::ZERO, marks: Duration::ZERO, unclaimed: Duration::ZERO };
    let source = "src".parse().unwrap();
    let round = Collector::new(&store, &source, &live, ages, "n", &env).mark(&Another).await.unwrap();
    assert!(round.is_some_and(|round| round.objects > 0), "nothing was marked");
}

#[test]
fn a_finished_object_that_collection_has_marked_is_redone() {
    let (state, bucket, world) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap(), hangs_at_b());
    let log = Arc::clone(&world.consolidated);
    let id = killed(state.path(), bucket.path(), world);
    tokio::runtime::Runtime::new().unwrap().block_on(mark(bucket.path(), &id, true));
    let world = fake::World { consolidated: Arc::clone(&log), ..fake::World::default() };
    again(state.path(), world, async |api| {
        let ended = api.operation(&id, 30).await.unwrap();
        assert_eq!(ended.state, OperationState::Succeeded, "{ended:?}");
    });
    assert_eq!(*log.lock().unwrap(), ["ks/a", "ks/b", "ks/a", "ks/b"]);
}

#[test]
fn a_capture_that_collection_has_marked_makes_no_version() {
    let (state, bucket) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let id = killed(state.path(), bucket.path(), hangs_at_b());
    tokio::runtime::Runtime::new().unwrap().block_on(mark(bucket.path(), &id, false));
    again(state.path(), fake::World::default(), async |api| {
        let ended = api.operation(&id, 30).await.unwrap();
        assert_eq!((ended.state.as_str(), ended.error.unwrap().code.as_str()), ("failed", "TM-PROT-0009"));
        assert!(versions(&api).await.is_empty());
    });
}

#[test]
fn a_capture_of_which_a_file_is_gone_makes_no_version() {
    let (state, bucket) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let id = killed(state.path(), bucket.path(), hangs_at_b());
    let staged = bucket.path().join("sources/src/staged").join(&id).join("n2");
    let rows = std::fs::read_dir(&staged).unwrap().map(|entry| entry.unwrap().path());
    std::fs::remove_file(rows.into_iter().find(|path| path.extension().is_some_and(|e| e == "rows")).unwrap()).unwrap();
    again(state.path(), fake::World::default(), async |api| {
        let ended = api.operation(&id, 30).await.unwrap();
        assert_eq!((ended.state.as_str(), ended.error.unwrap().code.as_str()), ("failed", "TM-PROT-0009"));
        assert!(versions(&api).await.is_empty());
    });
}
