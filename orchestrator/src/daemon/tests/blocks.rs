//! A source of blocks, which is sealed here and restored by its listeners.

use super::*;

async fn protected(api: &Api, bucket: &Path) -> Operation {
    add_store(api, bucket).await;
    let source =
        AddSource { name: "src".to_owned(), kind: "fake-blocks".to_owned(), spec: json!({"nodes": ["n1", "n2"]}) };
    api.add_source(source).await.unwrap();
    protect(api, "one").await
}

fn restore() -> Restore {
    serde_json::from_value(json!({"version": "src.daily.1", "to": "src"})).unwrap()
}

#[tokio::test]
async fn it_is_sealed_verified_and_restored_where_it_lies() {
    let (state, bucket) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let world = fake::World::default();
    let restored = Arc::clone(&world.restored);
    with_daemon(state.path(), world, async |api| {
        assert_eq!(protected(&api, bucket.path()).await.state, OperationState::Succeeded);
        let verified = api.verify_version("src.daily.1", "two").await.unwrap();
        let verified = done(&api, verified).await;
        assert_eq!(verified.result.unwrap()["records"], 12, "6 bytes of each object");
        let asked = api.restore(restore(), "three").await.unwrap();
        let result = done(&api, asked).await.result.unwrap();
        assert_eq!((&result["rows_written"], &result["warnings"]), (&json!(2), &json!(["n1 is slow", "n2 is slow"])));
    })
    .await;
    assert_eq!(restored.lock().unwrap().len(), 2);
}

#[tokio::test]
async fn a_block_that_is_another_is_found() {
    let (state, bucket) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    with_daemon(state.path(), fake::World::default(), async |api| {
        protected(&api, bucket.path()).await;
        let sealed = walk(&bucket.path().join("sources/src/segments"), ".parquet");
        assert_eq!(sealed.len(), 2);
        sealed.iter().for_each(|path| std::fs::write(path, "2=row\n").unwrap());
        let verified = api.verify_version("src.daily.1", "two").await.unwrap();
        assert_eq!(done(&api, verified).await.error.unwrap().code, "TM-VER-0001");
    })
    .await;
}

#[tokio::test]
async fn an_undo_at_hosts_is_refused_before_anything_is_asked_of_them() {
    let (state, bucket) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let world = fake::World::default();
    let restored = Arc::clone(&world.restored);
    with_daemon(state.path(), world, async |api| {
        protected(&api, bucket.path()).await;
        let undo = Restore { if_exists: Some(tidemark_web::api::IfExists::Undo), ..restore() };
        let refused = api.restore(undo, "three").await.unwrap_err();
        assert!(refused.detail.contains("restores at its hosts"), "{refused:?}");
    })
    .await;
    assert!(restored.lock().unwrap().is_empty());
}

#[tokio::test]
async fn a_destination_without_listeners_is_no_success() {
    let (state, bucket) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    with_daemon(state.path(), fake::World::default(), async |api| {
        protected(&api, bucket.path()).await;
        let empty = AddSource { name: "empty".to_owned(), kind: "fake-blocks".to_owned(), spec: json!({"nodes": []}) };
        api.add_source(empty).await.unwrap();
        let asked = api.restore(Restore { to: "empty".to_owned(), ..restore() }, "three").await.unwrap();
        assert_eq!(done(&api, asked).await.error.unwrap().code, "TM-REST-0106");
    })
    .await;
}

#[tokio::test]
async fn a_listener_that_cannot_restore_says_why_and_the_others_are_done() {
    let (state, bucket) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let (restored, task) = with_full_node(state.path(), bucket.path()).await;
    let error = task.error.unwrap();
    assert_eq!((task.state, error.hint.as_deref()), (OperationState::Failed, Some("make room")), "{error:?}");
    assert!(error.detail.contains("no space left"), "{error:?}");
    assert!(restored.iter().any(|id| id.contains("-n1-")), "{restored:?}");
}

/// Assignments and the end of a restore where one of two nodes is full.
async fn with_full_node(state: &Path, bucket: &Path) -> (Vec<String>, Operation) {
    with_daemon(state, fake::World::default(), async |api| drop(protected(&api, bucket).await)).await;
    let world = fake::World { unreachable: vec!["n2".to_owned()], ..fake::World::default() };
    let (restored, ended) = (Arc::clone(&world.restored), std::sync::Mutex::new(None));
    with_daemon(state, world, async |api| {
        let asked = api.restore(restore(), "three").await.unwrap();
        *ended.lock().unwrap() = Some(done(&api, asked).await);
    })
    .await;
    let restored = restored.lock().unwrap().clone();
    (restored, ended.into_inner().unwrap().unwrap())
}

/// Files below a directory whose names end so.
fn walk(directory: &Path, end: &str) -> Vec<std::path::PathBuf> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(directory).unwrap().map(Result::unwrap) {
        match entry.file_type().unwrap().is_dir() {
            true => found.extend(walk(&entry.path(), end)),
            false if entry.file_name().to_string_lossy().ends_with(end) => found.push(entry.path()),
            false => {}
        }
    }
    found
}
