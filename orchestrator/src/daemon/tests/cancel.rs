//! Operations that are cancelled, in each phase, and what they leave.

use super::*;

/// Runs `start` until the fake hangs at `place`, cancels the operation, and returns how it ended.
async fn cancelled(world: fake::World, place: &str, start: impl AsyncFnOnce(&Api) -> Operation) -> Operation {
    let (state, bucket) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let (hung, snapshots) = (Arc::clone(&world.hung), Arc::clone(&world.snapshots));
    let world = fake::World { hang_at: Some(place.to_owned()), ..world };
    let (sender, receiver) = tokio::sync::oneshot::channel();
    with_daemon(state.path(), world, async |api| {
        set_up(&api, bucket.path()).await;
        let asked = start(&api).await;
        tokio::time::timeout(Duration::from_secs(30), hung.notified()).await.unwrap();
        let before = versions(&api).await;
        api.cancel_operation(&asked.id).await.unwrap();
        let ended = tokio::time::timeout(Duration::from_secs(10), done(&api, asked)).await.expect("it ends soon");
        assert_eq!(versions(&api).await, before, "no version, whole or half, and none is gone");
        sender.send(ended).unwrap();
    })
    .await;
    assert!(snapshots.lock().unwrap().is_empty(), "{:?}", snapshots.lock().unwrap());
    receiver.await.unwrap()
}

fn is_cancelled(ended: &Operation) {
    assert_eq!((ended.state.as_str(), &ended.error, &ended.result), ("cancelled", &None, &None));
}

async fn start_protect(api: &Api) -> Operation {
    api.protect(Protect { policy: policy() }, "one", None).await.unwrap()
}

#[tokio::test]
async fn a_capture_that_is_cancelled_leaves_no_snapshot_and_no_version() {
    is_cancelled(&cancelled(fake::World::default(), "capture-0", start_protect).await);
}

#[tokio::test]
async fn a_consolidation_that_is_cancelled_leaves_no_version() {
    is_cancelled(&cancelled(fake::World::default(), "ks/b", start_protect).await);
}

#[tokio::test]
async fn a_verification_can_be_cancelled() {
    let start = async |api: &Api| {
        protect(api, "one").await;
        api.verify_version("src.daily.1", "v").await.unwrap()
    };
    is_cancelled(&cancelled(fake::World::default(), "verify", start).await);
}

#[tokio::test]
async fn a_restore_can_be_cancelled() {
    let start = async |api: &Api| {
        protect(api, "one").await;
        api.restore(restore(json!({})), "r").await.unwrap()
    };
    is_cancelled(&cancelled(fake::World::default(), "restore", start).await);
}

#[tokio::test]
async fn a_task_that_waits_for_another_of_its_source_is_cancelled_at_once() {
    let (state, bucket) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let world = fake::World { hang_at: Some("ks/a".to_owned()), ..fake::World::default() };
    let hung = Arc::clone(&world.hung);
    with_daemon(state.path(), world, async |api| {
        set_up(&api, bucket.path()).await;
        let first = start_protect(&api).await;
        tokio::time::timeout(Duration::from_secs(30), hung.notified()).await.unwrap();
        let second = api.run_policy("daily", "two").await.unwrap();
        let ended = api.cancel_operation(&second.id).await.unwrap();
        is_cancelled(&ended);
        assert!(!api.operation(&first.id, 0).await.unwrap().done);
        api.cancel_operation(&first.id).await.unwrap();
        is_cancelled(&done(&api, first).await);
    })
    .await;
}

#[tokio::test]
async fn what_lost_tasks_left_at_the_source_goes_with_the_next_capture() {
    let (state, bucket) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let world = fake::World::default();
    let snapshots = Arc::clone(&world.snapshots);
    let lost = "n1/0123456789abcdef0123456789abcdef".to_owned();
    snapshots.lock().unwrap().insert(lost.clone());
    with_daemon(state.path(), world, async |api| {
        set_up(&api, bucket.path()).await;
        protect(&api, "one").await;
        assert!(snapshots.lock().unwrap().is_empty());
        // A newer daemon attaches to the repository: what is on the nodes may be its own.
        snapshots.lock().unwrap().insert(lost.clone());
        let newer = bucket.path().join("gen/00000000000000000099");
        assert!(newer.parent().unwrap().is_dir(), "{}", newer.display());
        std::fs::write(&newer, "{}").unwrap();
        let run = api.run_policy("daily", "two").await.unwrap();
        assert_eq!(done(&api, run).await.state, OperationState::Succeeded);
        assert!(snapshots.lock().unwrap().contains(&lost));
    })
    .await;
}
