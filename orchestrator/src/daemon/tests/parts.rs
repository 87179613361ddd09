//! Consolidations that any worker of a cluster may do. The other worker is one that says it is there and does nothing, so that this
//! daemon claims the parts itself: what is seen is that they are made, found again, made anew and ended as they have to.

use std::sync::atomic::AtomicU32;

use tidemark_gateway::Env;

use super::*;
use crate::{
    coordinator::{Coordinator as _, Op},
    nodes::{self, NodeRecord},
};

/// Parts that an object is cut into at most, where there are two workers.
const PARTS: usize = 8;

/// The state of a daemon that is told of another worker.
async fn beside_another() -> tempfile::TempDir {
    let state = tempfile::tempdir().unwrap();
    let (coordinator, env) = (Embedded::open(state.path(), Env::system()).unwrap(), Env::system());
    let another = NodeRecord {
        name: "another".to_owned(),
        address: "127.0.0.1:1".to_owned(),
        version: nodes::RELEASE.to_owned(),
        roles: vec![nodes::WORKER.to_owned()],
        started: env.now(),
    };
    let put = Op::put("node/another", serde_json::to_vec(&another).unwrap());
    coordinator.txn(vec![], vec![put], vec![]).await.unwrap();
    state
}

/// Each object is cut into so many parts as it may be at most.
fn small_parts(state: &Path) -> Config {
    RawConfig { consolidation_part_bytes: 1, ..raw(state) }.validate().unwrap().with_runner(config(state).runner)
}

async fn parts(api: &Api, of: &Operation) -> Vec<Operation> {
    api.operations(Some(&of.id), &Page::first()).await.unwrap().items
}

/// The parts of an object, once all are asked for. The operation goes on meanwhile, so that a wait for it is a second long.
async fn all_parts_of(api: &Api, of: &Operation, object: &str) -> Vec<Operation> {
    loop {
        let own: Vec<_> = parts(api, of).await.into_iter().filter(|part| part.subject.starts_with(object)).collect();
        if own.len() == PARTS {
            return own;
        }
        assert!(!api.operation(&of.id, 1).await.unwrap().done);
    }
}

async fn verified(api: &Api) -> OperationState {
    let verify = api.verify_version("src.daily.1", "v").await.unwrap();
    done(api, verify).await.state
}

#[tokio::test]
async fn ranges_of_objects_are_operations_of_their_own_and_their_parts_make_the_version() {
    let (state, bucket) = (beside_another().await, tempfile::tempdir().unwrap());
    with_config(small_parts(state.path()), fake::World::default(), async |api| {
        set_up(&api, bucket.path()).await;
        let made = protect(&api, "one").await;
        assert_eq!(made.state, OperationState::Succeeded, "{:?}", made.error);
        let parts = parts(&api, &made).await;
        let of = |object: &str| parts.iter().filter(|part| part.subject.starts_with(object)).count();
        assert!(of("ks/a ") > 1 && of("ks/b ") > 1 && of("ks/a ") + of("ks/b ") == parts.len(), "{parts:?}");
        assert!(
            parts.iter().all(|part| part.state == OperationState::Succeeded && part.part_of == Some(made.id.clone()))
        );
        let listed = api.operations(None, &Page::first()).await.unwrap().items;
        assert_eq!(listed.iter().map(|listed| &listed.id).collect::<Vec<_>>(), [&made.id]);
        assert_eq!(verified(&api).await, OperationState::Succeeded);
    })
    .await;
}

#[tokio::test]
async fn a_version_of_parts_holds_what_one_that_was_made_alone_does() {
    let mut contents = Vec::new();
    for state in [beside_another().await, tempfile::tempdir().unwrap()] {
        let bucket = tempfile::tempdir().unwrap();
        with_config(small_parts(state.path()), fake::World::default(), async |api| {
            set_up(&api, bucket.path()).await;
            protect(&api, "one").await;
            contents.push(api.version("src.daily.1").await.unwrap().contents);
        })
        .await;
    }
    assert_eq!(contents[0], contents[1]);
}

#[tokio::test]
async fn a_partition_that_cannot_be_read_and_an_object_of_none_are_judged_as_by_one_daemon() {
    let (state, bucket) = (beside_another().await, tempfile::tempdir().unwrap());
    let world = fake::World { damaged: vec!["ks/b".to_owned()], ..fake::World::default() };
    with_config(small_parts(state.path()), world, async |api| {
        set_up(&api, bucket.path()).await;
        let made = protect(&api, "one").await;
        assert_eq!(made.state, OperationState::Warnings, "{:?}", made.error);
        let missing = &made.result.as_ref().unwrap()["missing"]["list"];
        assert_eq!(missing[0]["object"], "ks/b", "{missing}");
        assert!(missing[0]["reason"].as_str().unwrap().contains("offset 7: checksum"), "{missing}");
        let open = parts(&api, &made).await.into_iter().filter(|part| !part.done).count();
        assert_eq!(open, 0, "what nobody waits for is ended");
    })
    .await;
}

#[tokio::test]
async fn what_a_part_came_to_and_cannot_be_used_is_made_by_the_operation_itself() {
    let (state, bucket) = (beside_another().await, tempfile::tempdir().unwrap());
    // The store loses the first segment that is written.
    let world = fake::World { losses: AtomicU32::new(1), ..fake::World::default() };
    with_config(small_parts(state.path()), world, async |api| {
        set_up(&api, bucket.path()).await;
        let made = protect(&api, "one").await;
        assert_eq!((made.state, made.attempt), (OperationState::Succeeded, 1), "{:?}", made.error);
        assert_eq!(verified(&api).await, OperationState::Succeeded);
    })
    .await;
}

#[tokio::test]
async fn parts_of_a_cancelled_operation_are_cancelled() {
    let (state, bucket) = (beside_another().await, tempfile::tempdir().unwrap());
    let world = fake::World { hang_at: Some("ks/b".to_owned()), ..fake::World::default() };
    let hung = Arc::clone(&world.hung);
    with_config(small_parts(state.path()), world, async |api| {
        set_up(&api, bucket.path()).await;
        let asked = api.protect(Protect { policy: policy() }, "one", None).await.unwrap();
        tokio::time::timeout(Duration::from_secs(30), hung.notified()).await.unwrap();
        api.cancel_operation(&asked.id).await.unwrap();
        let ended = done(&api, asked).await;
        assert_eq!(ended.state, OperationState::Cancelled);
        for part in parts(&api, &ended).await {
            let part = done(&api, part).await;
            let quiet = matches!(part.state, OperationState::Cancelled | OperationState::Succeeded);
            assert!(quiet, "{part:?}");
        }
        assert!(versions(&api).await.is_empty());
    })
    .await;
}

#[test]
fn a_killed_protect_finds_its_parts_again_and_makes_those_anew_whose_segments_are_gone() {
    for segments_go in [false, true] {
        let runtime = tokio::runtime::Runtime::new().unwrap();
        let (state, bucket) = (runtime.block_on(beside_another()), tempfile::tempdir().unwrap());
        let world = fake::World { hang_at: Some("ks/b".to_owned()), ..fake::World::default() };
        let (hung, log) = (Arc::clone(&world.hung), Arc::clone(&world.consolidated));
        let id = runtime.block_on(async {
            let daemon =
                super::super::Daemon::open(small_parts(state.path()), Env::system(), world.parts()).await.unwrap();
            let api = daemon.api();
            tokio::spawn(daemon.serve(CancellationToken::new()));
            set_up(&api, bucket.path()).await;
            let asked = api.protect(Protect { policy: policy() }, "one", None).await.unwrap();
            tokio::time::timeout(Duration::from_secs(30), hung.notified()).await.unwrap();
            // All parts of the other object are done before the daemon is killed.
            for part in all_parts_of(&api, &asked, "ks/a ").await {
                done(&api, part).await;
            }
            asked.id
        });
        runtime.shutdown_timeout(Duration::from_secs(30));
        if segments_go {
            std::fs::remove_dir_all(bucket.path().join("sources/src/segments")).unwrap();
        }
        let before = log.lock().unwrap().iter().filter(|object| *object == "ks/a").count();
        let world = fake::World { consolidated: Arc::clone(&log), ..fake::World::default() };
        tokio::runtime::Runtime::new().unwrap().block_on(with_config(small_parts(state.path()), world, async |api| {
            let ended = api.operation(&id, 30).await.unwrap();
            assert_eq!((ended.state, ended.attempt), (OperationState::Succeeded, 2), "{ended:?}");
            assert_eq!(verified(&api).await, OperationState::Succeeded);
        }));
        let again = log.lock().unwrap().iter().filter(|object| *object == "ks/a").count() - before;
        // Only the part with the object's one row has a segment.
        assert_eq!(again, usize::from(segments_go));
    }
}
