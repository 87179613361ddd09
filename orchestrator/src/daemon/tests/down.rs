//! A store that does not answer, beside one that does.

use std::fs;

use super::{
    store::{Bucket, add_other},
    *,
};
use crate::registrations::{STORES, StoreRecord};

/// An address of a bucket at which nobody listens: the client tries again for a quarter of an hour.
const NOBODY: &str = "s3://backups?endpoint=http://127.0.0.1:1";

async fn registered(api: &Api, name: &str) -> StoreRecord {
    api.registrations().get(STORES, name).await.unwrap().unwrap()
}

/// Has the store's registration lead to nobody; as it was before.
async fn take_down(api: &Api, name: &str, keys: &Path) -> StoreRecord {
    fs::write(keys, "access_key_id=id\nsecret_access_key=secret\n").unwrap();
    let up = registered(api, name).await;
    let credentials = Some(format!("file:{}", keys.display()));
    let down = StoreRecord { url: NOBODY.to_owned(), credentials, ..up.clone() };
    assert!(api.registrations().replace(STORES, name, &up, &down).await.unwrap());
    up
}

/// With one place for tasks.
fn narrow(state: &Path) -> Config {
    let runner = RunnerConfig { max_running: 1, backoff: Duration::from_millis(1), ..RunnerConfig::default() };
    config(state).with_runner(runner).with_first_look(Duration::from_millis(100))
}

#[tokio::test]
async fn a_store_that_is_down_holds_up_neither_the_sets_of_its_source_nor_restores() {
    let (state, bucket, other) = (tempfile::tempdir().unwrap(), Bucket::new(), Bucket::new());
    with_config(narrow(state.path()), fake::World::default(), async |api| {
        set_up(&api, &bucket.path()).await;
        add_other(&api, "t", &other).await.unwrap();
        protect(&api, "1").await;
        for name in ["away", "gone"] {
            let policy = Policy { name: name.to_owned(), store: "t".to_owned(), ..policy() };
            let first = api.protect(Protect { policy }, name, None).await.unwrap();
            assert_eq!(done(&api, first).await.state, OperationState::Succeeded);
        }
        let up = take_down(&api, "t", &state.path().join("keys")).await;
        let stuck = [api.run_policy("away", "3").await.unwrap(), api.run_policy("gone", "4").await.unwrap()];
        // The one place, and the scope of the source, are there for what can run.
        for asked in [
            api.run_policy("daily", "6").await.unwrap(),
            api.restore(restore(json!({})), "7").await.unwrap(),
            api.verify_version("src.daily.1", "8").await.unwrap(),
        ] {
            assert_eq!(done(&api, asked).await.state, OperationState::Succeeded);
        }
        for stuck in &stuck {
            assert!(!api.operation(&stuck.id, 0).await.unwrap().done);
        }
        let registered = registered(&api, "t").await;
        assert!(api.registrations().replace(STORES, "t", &registered, &up).await.unwrap());
        for stuck in stuck {
            assert_eq!(done(&api, stuck).await.state, OperationState::Succeeded);
        }
    })
    .await;
}

#[tokio::test]
async fn whoever_asks_a_store_that_is_down_hears_so_soon() {
    let (state, bucket, other) = (tempfile::tempdir().unwrap(), Bucket::new(), Bucket::new());
    with_config(narrow(state.path()), fake::World::default(), async |api| {
        set_up(&api, &bucket.path()).await;
        add_other(&api, "t", &other).await.unwrap();
        take_down(&api, "t", &state.path().join("keys")).await;
        let collect = |store: &str| tidemark_web::api::Collect { store: store.to_owned(), source: None };
        let answers = [
            api.repair_set("src", "away", None).await.map(drop),
            api.repair_set("src", "away", Some("t")).await.map(drop),
            api.version("t:src.away.1").await.map(drop),
            api.store_usage("t").await.map(drop),
            api.collect(collect("t"), "1").await.map(drop),
            api.accept_store("t", tidemark_web::api::AcceptStore { confirm: "t".to_owned() }).await.map(drop),
        ];
        for (index, answer) in answers.into_iter().enumerate() {
            let problem = answer.unwrap_err();
            assert_eq!((problem.status, problem.code.as_str()), (503, "TM-STORE-0117"), "{index}: {problem:?}");
        }
        let tested = api.test_store("t").await.unwrap();
        assert!(tested.lines.iter().any(|line| line.status == CheckStatus::Fail), "{tested:?}");
    })
    .await;
}
