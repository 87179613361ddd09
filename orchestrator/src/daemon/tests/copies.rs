//! A state directory that is put back from a copy: what it knows is old, and what it would count comes again.

use std::{collections::BTreeSet, fs};

use tidemark_catalog::{chain::VersionSet, ids::FencingToken};
use tidemark_gateway::open;

use super::*;

/// Copies the state of a daemon that has ended.
fn copy(from: &Path, to: &Path) {
    for name in ["coordinator.redb", "token"] {
        fs::copy(from.join(name), to.join(name)).unwrap();
    }
}

/// Tokens of the versions of a policy, in their order; the chain must be whole.
async fn tokens(bucket: &Path, policy: &str) -> Vec<FencingToken> {
    let url = format!("file://{}", bucket.display()).parse().unwrap();
    let store = open::open(&url, None, &open::OpenOptions::default(), &Env::system()).unwrap();
    let set = VersionSet::new(store, "src".parse().unwrap(), policy.parse().unwrap());
    let mut tokens = Vec::new();
    for (index, number) in set.list().await.unwrap().into_iter().enumerate() {
        assert_eq!(number.0, index as u64 + 1, "a number is lost");
        tokens.push(set.read(number).await.unwrap().token);
    }
    tokens
}

async fn run(api: &Api, policy: &str, key: &str) -> Operation {
    let asked = api.run_policy(policy, key).await.unwrap();
    done(api, asked).await
}

async fn version(api: &Api, key: &str) -> Value {
    let ended = run(api, "daily", key).await;
    assert_eq!((ended.state, ended.attempt), (OperationState::Succeeded, 1), "{ended:?}");
    ended.result.unwrap()["version"].clone()
}

#[tokio::test]
async fn a_state_that_is_put_back_repeats_no_token_and_goes_on_above_what_it_does_not_know() {
    let (state, older, bucket) =
        (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    with_daemon(state.path(), fake::World::default(), async |api| {
        set_up(&api, bucket.path()).await;
        protect(&api, "1").await;
    })
    .await;
    copy(state.path(), older.path());
    with_daemon(state.path(), fake::World::default(), async |api| {
        for key in ["2", "3", "4"] {
            version(&api, key).await;
        }
    })
    .await;
    with_daemon(older.path(), fake::World::default(), async |api| {
        // The same requests as above: the same revisions come again.
        for (key, made) in [("2", "src.daily.5"), ("3", "src.daily.6"), ("4", "src.daily.7")] {
            assert_eq!(version(&api, key).await, made);
        }
        for number in 1..8 {
            let verify = api.verify_version(&format!("src.daily.{number}"), &format!("v{number}")).await.unwrap();
            assert_eq!(done(&api, verify).await.state, OperationState::Succeeded, "{number}");
        }
    })
    .await;
    let tokens = tokens(bucket.path(), "daily").await;
    let revisions: Vec<u64> = tokens.iter().map(|token| token.revision).collect();
    assert!(tokens.is_sorted_by(|a, b| a < b), "{tokens:?}");
    assert_eq!(tokens.iter().map(|token| token.generation).collect::<Vec<_>>(), [1, 2, 2, 2, 3, 3, 3]);
    assert!(revisions[4] < revisions[3], "the copy does not count from where it was: {tokens:?}");
}

#[test]
fn a_task_of_a_state_that_is_put_back_is_claimed_anew_and_finds_its_version() {
    let (state, older, bucket) =
        (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let world = fake::World { hang_at: Some("ks/b".to_owned()), ..fake::World::default() };
    let hung = Arc::clone(&world.hung);
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let id = runtime.block_on(async {
        let daemon = super::super::Daemon::open(config(state.path()), Env::system(), world.parts()).await.unwrap();
        let api = daemon.api();
        tokio::spawn(daemon.serve(CancellationToken::new()));
        set_up(&api, bucket.path()).await;
        let asked = api.protect(Protect { policy: policy() }, "one", None).await.unwrap();
        tokio::time::timeout(Duration::from_secs(30), hung.notified()).await.unwrap();
        asked.id
    });
    runtime.shutdown_timeout(Duration::from_secs(30));
    copy(state.path(), older.path());
    for at in [state.path(), older.path()] {
        tokio::runtime::Runtime::new().unwrap().block_on(with_daemon(at, fake::World::default(), async |api| {
            let ended = api.operation(&id, 30).await.unwrap();
            assert_eq!((ended.state.as_str(), ended.attempt), ("succeeded", 2), "{ended:?}");
            assert_eq!(ended.result.unwrap()["version"], "src.daily.1");
            assert_eq!(versions(&api).await.len(), 1);
        }));
    }
}

#[tokio::test]
async fn a_store_that_is_away_when_the_state_is_opened_is_given_its_generation_when_it_is_back() {
    let (state, bucket, home) =
        (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let (other, away) = (home.path().join("store"), home.path().join("away"));
    fs::create_dir(&other).unwrap();
    let policy_there = Policy { name: "there".to_owned(), store: "t".to_owned(), ..policy() };
    with_daemon(state.path(), fake::World::default(), async |api| {
        set_up(&api, bucket.path()).await;
        let url = format!("file://{}", other.display());
        let store = AddStore { name: "t".to_owned(), url, credentials: None, listener_credentials: None, limits: None };
        api.add_store(store).await.unwrap();
        protect(&api, "1").await;
        let asked = api.protect(Protect { policy: policy_there.clone() }, "2", None).await.unwrap();
        assert_eq!(done(&api, asked).await.state, OperationState::Succeeded);
    })
    .await;
    fs::rename(&other, &away).unwrap();
    with_daemon(state.path(), fake::World::default(), async |api| {
        assert_eq!(version(&api, "3").await, "src.daily.2");
        assert_eq!(run(&api, "there", "4").await.error.unwrap().code, "TM-STORE-0110");
        fs::rename(&away, &other).unwrap();
        let made = run(&api, "there", "5").await;
        assert_eq!(made.result.unwrap()["version"], "src.there.2");
        assert_eq!(version(&api, "6").await, "src.daily.3");
    })
    .await;
    let generations = |tokens: Vec<FencingToken>| tokens.iter().map(|token| token.generation).collect::<Vec<_>>();
    assert_eq!(generations(tokens(bucket.path(), "daily").await), [1, 2, 2]);
    assert_eq!(generations(tokens(&other, "there").await), [1, 2]);
    let names = fs::read_dir(other.join("gen")).unwrap().map(|name| name.unwrap().file_name().into_string().unwrap());
    assert_eq!(names.collect::<BTreeSet<_>>(), [1, 2].map(|number| format!("{number:020}")).into());
}
