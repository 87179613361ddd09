//! Which version is meant, where several stores hold one of its id, or where it was replaced.

use std::fs;

use super::{
    store::{Bucket, add_other},
    *,
};

/// A bucket that another daemon made, whose version has the same id as the own one.
async fn of_another_daemon() -> Bucket {
    let (state, bucket) = (tempfile::tempdir().unwrap(), Bucket::new());
    with_daemon(state.path(), fake::World::default(), async |api| {
        set_up(&api, &bucket.path()).await;
        protect(&api, "1").await;
    })
    .await;
    bucket
}

/// Puts another sound manifest in the place of the first one.
fn replace(bucket: &Bucket) {
    let path = bucket.path().join(Bucket::manifest(1));
    let stored = fs::read_to_string(&path).unwrap();
    let other = stored.replace("\"node\":\"test\"", "\"node\":\"else\"");
    assert_ne!(stored, other);
    bucket.remove(&Bucket::manifest(1));
    fs::write(path, other).unwrap();
}

#[tokio::test]
async fn an_id_that_two_stores_hold_is_refused_until_one_is_named() {
    let (state, bucket, other) = (tempfile::tempdir().unwrap(), Bucket::new(), of_another_daemon().await);
    with_daemon(state.path(), fake::World::default(), async |api| {
        set_up(&api, &bucket.path()).await;
        protect(&api, "1").await;
        add_other(&api, "t", &other).await.unwrap();
        let ids: Vec<_> = versions(&api).await.into_iter().map(|version| (version.id, version.store)).collect();
        assert_eq!(ids, ["s", "t"].map(|store| ("src.daily.1".to_owned(), store.to_owned())));
        for refused in [
            api.version("src.daily.1").await.map(drop),
            api.verify_version("src.daily.1", "v").await.map(drop),
            api.plan_restore(restore(json!({}))).await.map(drop),
            api.restore(restore(json!({})), "r").await.map(drop),
            api.repair_set("src", "daily", None).await.map(drop),
        ] {
            let refused = refused.unwrap_err();
            assert_eq!((refused.status, refused.code.as_str()), (409, "TM-VER-0409"), "{refused:?}");
            assert!(refused.detail.contains("stores s and t") && refused.hint.is_some(), "{refused:?}");
        }
        for store in ["s", "t"] {
            let id = format!("{store}:src.daily.1");
            assert_eq!(api.version(&id).await.unwrap().version.store, store);
            assert_eq!(api.plan_restore(restore(json!({"version": id}))).await.unwrap().store, store);
            for asked in [
                api.verify_version(&id, &format!("verify {store}")).await.unwrap(),
                api.restore(restore(json!({"version": id})), &format!("restore {store}")).await.unwrap(),
            ] {
                assert_eq!(done(&api, asked).await.state, OperationState::Succeeded);
            }
        }
        assert_eq!(api.version("u:src.daily.1").await.unwrap_err().code, "TM-STORE-0404");
        assert_eq!(api.version("s:src.daily.2").await.unwrap_err().code, "TM-VER-0404");
        fs::remove_dir_all(other.path()).unwrap();
        for refused in [
            api.version("src.daily.1").await.map(drop),
            api.restore(restore(json!({})), "away").await.map(drop),
            api.repair_set("src", "daily", None).await.map(drop),
        ] {
            let refused = refused.unwrap_err();
            assert_eq!(
                (refused.status, refused.code.as_str()),
                (409, "TM-VER-0409"),
                "the other one is away: {refused:?}"
            );
            assert!(refused.detail.contains("stores s and t"), "{refused:?}");
        }
        assert_eq!(api.version("s:src.daily.1").await.unwrap().version.store, "s");
        protect(&api, "2").await;
        let newer = api.version("src.daily.2").await.unwrap().version;
        assert_eq!(newer.store, "s", "the other one never had it");
        bucket.remove(&Bucket::manifest(2));
        assert_eq!(api.version("src.daily.2").await.unwrap_err().code, "TM-CAT-0001");
    })
    .await;
}

#[tokio::test]
async fn what_was_planned_is_what_is_run() {
    let (state, bucket, other) = (tempfile::tempdir().unwrap(), Bucket::new(), of_another_daemon().await);
    with_daemon(state.path(), fake::World::default(), async |api| {
        set_up(&api, &bucket.path()).await;
        protect(&api, "1").await;
        let pin = api.plan_restore(restore(json!({}))).await.unwrap().pin;
        assert!(pin.starts_with(&format!("{}@", api.store("s").await.unwrap().value.repository)), "{pin}");
        let pinned = restore(json!({"pin": pin}));
        // A second store with this id: the pin says which is meant.
        add_other(&api, "t", &other).await.unwrap();
        assert_eq!(api.plan_restore(pinned.clone()).await.unwrap().store, "s");
        let run = api.restore(pinned.clone(), "run").await.unwrap();
        assert_eq!(done(&api, run).await.state, OperationState::Succeeded);
        replace(&bucket);
        for refused in [
            api.plan_restore(pinned.clone()).await.map(drop),
            api.restore(pinned.clone(), "2").await.map(drop),
            api.count_restore(pinned, "3").await.map(drop),
        ] {
            let refused = refused.unwrap_err();
            assert!(refused.code == "TM-REST-0018" && refused.detail.contains(&pin), "{refused:?}");
        }
        let gone = restore(json!({"pin": pin.replacen(|c: char| c != '0', "0", 1)}));
        assert_eq!(api.plan_restore(gone).await.unwrap_err().code, "TM-REST-0017");
    })
    .await;
}

#[test]
fn a_restore_that_is_resumed_is_of_the_manifest_that_was_asked_for() {
    let (state, bucket) = (tempfile::tempdir().unwrap(), Bucket::new());
    let world = fake::World { hang_at: Some("restore".to_owned()), ..fake::World::default() };
    let hung = Arc::clone(&world.hung);
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let id = runtime.block_on(async {
        let daemon = super::super::Daemon::open(config(state.path()), Env::system(), world.parts()).await.unwrap();
        let api = daemon.api();
        tokio::spawn(daemon.serve(CancellationToken::new()));
        set_up(&api, &bucket.path()).await;
        protect(&api, "1").await;
        let asked = api.restore(restore(json!({})), "r").await.unwrap();
        tokio::time::timeout(Duration::from_secs(30), hung.notified()).await.unwrap();
        asked.id
    });
    runtime.shutdown_timeout(Duration::from_secs(30));
    replace(&bucket);
    tokio::runtime::Runtime::new().unwrap().block_on(with_daemon(state.path(), fake::World::default(), async |api| {
        let ended = api.operation(&id, 30).await.unwrap();
        assert_eq!((ended.state.as_str(), ended.error.unwrap().code.as_str()), ("failed", "TM-REST-0018"));
    }));
}
