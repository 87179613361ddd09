//! The whole daemon in this process: its API as the REST server calls it, over a fake kind of source whose listeners attach
//! over real connections.

mod allow;
mod blocks;
mod cancel;
mod carried;
mod collect;
mod copies;
mod damage;
mod down;
mod large;
mod limits;
mod lists;
mod parts;
mod policy;
mod resume;
mod store;
mod undo;
mod which;

use std::{path::Path, sync::Arc, time::Duration};

use serde_json::{Value, json};
use tidemark_gateway::Env;
use tidemark_web::{
    api::{
        AddSource, AddStore, CheckStatus, Operation, OperationState, Page, Policy, Protect, Quality, Restore, Version,
    },
    control::{ControlApi as _, Versions},
};
use tokio_util::sync::CancellationToken;

use super::{Config, ConfigError, RawConfig, fake};
use crate::{control_api::Api, coordinator::embedded::Embedded, listeners::ListenerConfig, tasks::RunnerConfig};

fn raw(state: &Path) -> RawConfig {
    RawConfig {
        state: state.to_owned(),
        listen: "127.0.0.1:0".to_owned(),
        token_file: state.join("token"),
        node: "test".to_owned(),
        consolidation_memory_bytes: 64 << 20,
        longest_absence_seconds: 3600,
        collect_every_seconds: 0,
        ..RawConfig::default()
    }
}

fn config(state: &Path) -> Config {
    let backoff = Duration::from_millis(1);
    let listeners = ListenerConfig { backoff, stop_timeout: Duration::from_secs(2), ..ListenerConfig::default() };
    raw(state)
        .validate()
        .unwrap()
        .with_listeners(listeners)
        .with_runner(RunnerConfig { backoff, ..RunnerConfig::default() })
}

/// Runs `work` against the API of a daemon on `state`, then stops the daemon in order.
async fn with_daemon<Fut: Future<Output = ()>>(state: &Path, world: fake::World, work: impl FnOnce(Api) -> Fut) {
    with_config(config(state), world, work).await;
}

async fn with_config<Fut: Future<Output = ()>>(config: Config, world: fake::World, work: impl FnOnce(Api) -> Fut) {
    let shutdown = CancellationToken::new();
    let daemon = super::Daemon::open(config, Env::system(), world.parts()).await.unwrap();
    let api = daemon.api();
    let (served, ()) = tokio::join!(daemon.serve(shutdown.clone()), async {
        work(api).await;
        shutdown.cancel();
    });
    served.unwrap();
}

fn policy() -> Policy {
    Policy {
        name: "daily".to_owned(),
        source: "src".to_owned(),
        objects: vec!["ks/*".to_owned()],
        excludes: vec![],
        store: "s".to_owned(),
        schedule: None,
        keep: None,
        zone: None,
        options: json!({"write_level": "quorum"}),
        paused: false,
        keep_staged: false,
        limits: None,
    }
}

/// All policies.
async fn policies(api: &Api) -> Vec<Policy> {
    api.policies(&Page::first()).await.unwrap().items.into_iter().map(|detail| detail.policy).collect()
}

async fn add_store(api: &Api, directory: &Path) {
    let url = format!("file://{}", directory.display());
    api.add_store(AddStore { name: "s".to_owned(), url, credentials: None, listener_credentials: None, limits: None })
        .await
        .unwrap();
}

async fn set_up(api: &Api, directory: &Path) {
    add_store(api, directory).await;
    let source = AddSource { name: "src".to_owned(), kind: "fake".to_owned(), spec: json!({"nodes": ["n1", "n2"]}) };
    api.add_source(source).await.unwrap();
}

async fn done(api: &Api, operation: Operation) -> Operation {
    let done = api.operation(&operation.id, 30).await.unwrap();
    assert!(done.done, "{done:?}");
    done
}

async fn protect(api: &Api, key: &str) -> Operation {
    let asked = api.protect(Protect { policy: policy() }, key, None).await.unwrap();
    done(api, asked).await
}

async fn versions(api: &Api) -> Vec<Version> {
    api.versions(Versions::default(), &Page::first()).await.unwrap().items
}

#[test]
fn only_loopback_addresses_are_served() {
    let remote = RawConfig { listen: "0.0.0.0:8480".to_owned(), ..raw(Path::new("/tmp")) };
    assert!(matches!(remote.validate(), Err(ConfigError::Remote { name: "listen", .. })));
    let none = RawConfig { control_listen: Some("localhost".to_owned()), ..raw(Path::new("/tmp")) };
    assert!(matches!(none.validate(), Err(ConfigError::Address { name: "control_listen", .. })));
    let zero = RawConfig { consolidations: 0, ..raw(Path::new("/tmp")) };
    assert!(matches!(zero.validate(), Err(ConfigError::Range { name: "consolidations", .. })));
}

#[tokio::test]
async fn a_policy_makes_versions_and_one_key_makes_one() {
    let (state, bucket) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    with_daemon(state.path(), fake::World::default(), async |api| {
        set_up(&api, bucket.path()).await;
        let first = protect(&api, "one").await;
        assert_eq!((first.state.as_str(), &first.error), ("succeeded", &None), "{first:?}");
        assert_eq!(first.result.as_ref().unwrap()["version"], "src.daily.1");
        assert_eq!(protect(&api, "one").await.id, first.id);
        let other = Protect { policy: Policy { name: "other".to_owned(), ..policy() } };
        assert_eq!(api.protect(other, "one", None).await.unwrap_err().status, 422);
        assert_eq!(policies(&api).await, [policy()], "a refused request registers nothing");
        let second = api.run_policy("daily", "two").await.unwrap();
        assert_eq!(done(&api, second).await.result.unwrap()["version"], "src.daily.2");
        let versions =
            api.versions(Versions { source: Some("src"), ..Versions::default() }, &Page::first()).await.unwrap().items;
        assert_eq!(versions.iter().map(|v| v.id.as_str()).collect::<Vec<_>>(), ["src.daily.1", "src.daily.2"]);
        let detail = api.version("src.daily.2").await.unwrap();
        assert_eq!(detail.contents.iter().map(|o| o.object.as_str()).collect::<Vec<_>>(), ["ks/a", "ks/b"]);
        assert_eq!(api.version("src.daily.3").await.unwrap_err().status, 404);
    })
    .await;
}

#[tokio::test]
async fn prometheus_is_told_of_operations_and_of_who_leads() {
    let (state, bucket) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let mut kept = None;
    with_daemon(state.path(), fake::World::default(), async |api| {
        set_up(&api, bucket.path()).await;
        let operation = protect(&api, "one").await;
        assert!(operation.result.unwrap()["complete_until"].is_string());
        kept = Some(api);
    })
    .await;
    // What a run ends is told of once it has ended, which the end of the daemon waits for.
    let told = kept.unwrap().metrics();
    assert!(told.contains("tidemark_operations_total{kind=\"protect\",result=\"succeeded\"} 1\n"), "{told}");
    assert!(told.contains("tidemark_operation_duration_seconds_count{kind=\"protect\"} 1\n"), "{told}");
    assert!(told.contains("tidemark_leader 0\n"), "{told}");
}

#[tokio::test]
async fn a_lost_state_directory_loses_no_version_source_or_policy() {
    let (one, two, bucket) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    with_daemon(one.path(), fake::World::default(), async |api| {
        set_up(&api, bucket.path()).await;
        protect(&api, "one").await;
    })
    .await;
    with_daemon(two.path(), fake::World::default(), async |api| {
        add_store(&api, bucket.path()).await;
        assert_eq!(api.sources().await.unwrap()[0].name, "src");
        assert_eq!(policies(&api).await, [policy()]);
        assert_eq!(versions(&api).await.len(), 1);
        let unconfirmed = api.run_policy("daily", "early").await.unwrap_err();
        assert_eq!((unconfirmed.status, unconfirmed.code.as_str()), (422, "TM-SRC-0010"), "its policies do not run");
        api.confirm_source("src").await.unwrap();
        // A higher generation: the new state may commit although its revisions start anew.
        let run = api.run_policy("daily", "again").await.unwrap();
        assert_eq!(done(&api, run).await.result.unwrap()["version"], "src.daily.2");
    })
    .await;
}

#[tokio::test]
async fn a_damaged_object_is_missing_and_the_others_are_kept() {
    let (state, bucket) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let world = fake::World { damaged: vec!["ks/a".to_owned()], ..fake::World::default() };
    with_daemon(state.path(), world, async |api| {
        set_up(&api, bucket.path()).await;
        let ended = protect(&api, "one").await;
        assert_eq!(ended.state, OperationState::Warnings, "{ended:?}");
        let detail = api.version("src.daily.1").await.unwrap();
        assert_eq!((detail.contents[0].quality.as_str(), detail.contents[1].quality.as_str()), ("missing", "cut"));
        assert!(detail.contents[0].notes[0].contains("offset 7"), "{detail:?}");
    })
    .await;
}

#[tokio::test]
async fn where_all_objects_are_damaged_there_is_no_version() {
    let (state, bucket) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let world = fake::World { damaged: vec!["ks/a".to_owned(), "ks/b".to_owned()], ..fake::World::default() };
    with_daemon(state.path(), world, async |api| {
        set_up(&api, bucket.path()).await;
        let ended = protect(&api, "one").await;
        assert_eq!((ended.state.as_str(), ended.error.unwrap().code.as_str()), ("failed", "TM-PROT-0004"));
        assert!(versions(&api).await.is_empty());
    })
    .await;
}

#[tokio::test]
async fn a_node_that_cannot_be_captured_is_absent_and_the_version_commits() {
    let (state, bucket) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let world = fake::World { unreachable: vec!["n2".to_owned()], ..fake::World::default() };
    with_daemon(state.path(), world, async |api| {
        set_up(&api, bucket.path()).await;
        let ended = protect(&api, "one").await;
        assert_eq!(ended.state, OperationState::Warnings, "the fake judges a range without n2 as degraded: {ended:?}");
        let absent = ended.result.unwrap()["absent"].clone();
        assert_eq!((&absent["count"], &absent["list"][0]["listener"]), (&json!(1), &json!("n2")));
        assert_eq!(absent["list"][0]["hint"], "start the node");
        assert_eq!(api.version("src.daily.1").await.unwrap().version.quality, Quality::Degraded);
    })
    .await;
}

/// How a protection ends where a node hands in what is not its own, with the code that says so.
async fn lied(node: &str, lie: fake::Lie) -> (OperationState, String) {
    let (state, bucket) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let world = fake::World { lies: [(node.to_owned(), lie)].into(), ..fake::World::default() };
    let (sender, receiver) = tokio::sync::oneshot::channel();
    with_daemon(state.path(), world, async |api| {
        set_up(&api, bucket.path()).await;
        let ended = protect(&api, "one").await;
        assert_eq!(versions(&api).await.len(), usize::from(ended.error.is_none()));
        sender.send(ended).unwrap();
    })
    .await;
    let ended = receiver.await.unwrap();
    let absent = ended.result.as_ref().map(|result| result["absent"]["list"][0]["reason"].to_string());
    let said = ended.error.map(|error| format!("{}: {}", error.code, error.detail)).or(absent);
    (ended.state, said.unwrap_or_default())
}

#[tokio::test]
async fn what_a_listener_hands_in_must_be_its_own() {
    let (state, said) = lied("n2", fake::Lie::Task).await;
    assert!(
        state == OperationState::Warnings && said.contains("TM-PROT-0006") && said.contains("n2"),
        "{state}: {said}"
    );
    let (state, said) = lied("n2", fake::Lie::Folder).await;
    assert!(
        state == OperationState::Failed && said.contains("TM-PROT-0006") && said.contains("n1, n2"),
        "{state}: {said}"
    );
    let (state, said) = lied("n2", fake::Lie::Partition).await;
    assert!(
        state == OperationState::Failed && said.contains("TM-PROT-0002") && said.contains("partition n9"),
        "{state}: {said}"
    );
    let (state, said) = lied("n2", fake::Lie::Files).await;
    assert!(
        state == OperationState::Failed && said.contains("TM-PROT-0002") && said.contains("/n1/info.json"),
        "{state}: {said}"
    );
}

/// How a protection ends whose store loses so many segments right after they were written, with its code; the objects that were
/// consolidated, and the versions that there are.
async fn lossy(losses: u32) -> (Operation, usize, usize) {
    let (state, bucket) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let world = fake::World { losses: losses.into(), ..fake::World::default() };
    let log = Arc::clone(&world.consolidated);
    let (sender, receiver) = tokio::sync::oneshot::channel();
    with_daemon(state.path(), world, async |api| {
        set_up(&api, bucket.path()).await;
        let ended = protect(&api, "one").await;
        sender.send((ended, versions(&api).await.len())).unwrap();
    })
    .await;
    let (ended, versions) = receiver.await.unwrap();
    let consolidated = log.lock().unwrap().len();
    (ended, consolidated, versions)
}

#[tokio::test]
async fn what_the_store_lost_before_the_commit_is_made_anew() {
    let (ended, consolidated, versions) = lossy(1).await;
    assert_eq!((ended.state.as_str(), ended.attempt, consolidated, versions), ("succeeded", 2, 3, 1), "{ended:?}");
}

#[tokio::test]
async fn a_store_that_goes_on_losing_what_is_written_gets_no_version_and_ends_the_task() {
    let (ended, _, versions) = lossy(u32::MAX).await;
    let error = ended.error.clone().unwrap();
    assert_eq!((ended.state.as_str(), error.code.as_str(), versions), ("failed", "TM-PROT-0008", 0), "{ended:?}");
    assert!(error.detail.contains("segments/") && error.detail.contains("is not in the store"), "{error:?}");
}

#[tokio::test]
async fn strange_objects_beside_the_work_roots_end_no_policy() {
    let (state, bucket) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    with_daemon(state.path(), fake::World::default(), async |api| {
        set_up(&api, bucket.path()).await;
        assert_eq!(protect(&api, "one").await.state, OperationState::Succeeded);
        let work = bucket.path().join("sources/src/sets/daily/work");
        for root in std::fs::read_dir(&work).unwrap() {
            for file in std::fs::read_dir(root.unwrap().path()).unwrap() {
                std::fs::write(file.unwrap().path(), "?").unwrap();
            }
        }
        std::fs::write(work.join("stray"), "?").unwrap();
        assert_eq!(protect(&api, "two").await.state, OperationState::Succeeded);
    })
    .await;
}

#[tokio::test]
async fn verification_and_restore_read_what_was_kept() {
    let (state, bucket) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    with_daemon(state.path(), fake::World::default(), async |api| {
        set_up(&api, bucket.path()).await;
        protect(&api, "one").await;
        let verify = api.verify_version("src.daily.1", "v").await.unwrap();
        assert_eq!(done(&api, verify).await.result.unwrap()["records"], 2);
        let restore = restore(json!({}));
        assert_eq!(api.plan_restore(restore.clone()).await.unwrap().objects.len(), 2);
        let run = api.restore(restore, "r").await.unwrap();
        assert_eq!(done(&api, run).await.result.unwrap()["rows_written"], 2);
    })
    .await;
}

#[tokio::test]
async fn a_plan_with_a_failed_check_is_refused_and_leaves_no_operation() {
    let (state, bucket) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    with_daemon(state.path(), fake::World::default(), async |api| {
        set_up(&api, bucket.path()).await;
        protect(&api, "one").await;
        let refused = api.restore(restore(json!({"rename": {"ks": "full"}})), "r").await.unwrap_err();
        assert_eq!((refused.status, refused.code.as_str()), (422, "TM-REST-0001"));
        assert_eq!(api.operations(None, &Page::first()).await.unwrap().items.len(), 1);
    })
    .await;
}

#[tokio::test]
async fn options_that_the_source_does_not_know_are_refused_before_anything_is_asked() {
    let (state, bucket) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    with_daemon(state.path(), fake::World::default(), async |api| {
        set_up(&api, bucket.path()).await;
        protect(&api, "one").await;
        let refused = api.restore(restore(json!({"options": {"tll": "strip"}})), "r").await.unwrap_err();
        assert!(refused.code == "TM-FAKE-0007" && refused.detail.contains("tll"), "{refused:?}");
        assert_eq!(api.operations(None, &Page::first()).await.unwrap().items.len(), 1);
    })
    .await;
}

fn restore(more: Value) -> Restore {
    let mut whole = json!({"version": "src.daily.1", "to": "src"});
    whole.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    serde_json::from_value(whole).unwrap()
}

#[tokio::test]
async fn a_test_of_a_source_asks_every_listener() {
    let (state, bucket) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    with_daemon(state.path(), fake::World::default(), async |api| {
        set_up(&api, bucket.path()).await;
        let checklist = api.test_source("src").await.unwrap();
        let subjects: Vec<_> = checklist.lines.iter().map(|line| line.subject.as_str()).collect();
        assert_eq!((checklist.status.as_str(), subjects), ("ok", vec!["cluster", "n1", "n1"]));
        let store = api.test_store("s").await.unwrap();
        assert_eq!(store.status, CheckStatus::Ok);
    })
    .await;
}

#[tokio::test]
async fn what_cannot_be_registered_is_refused_with_a_code() {
    let (state, bucket) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    with_daemon(state.path(), fake::World::default(), async |api| {
        set_up(&api, bucket.path()).await;
        let source = |name: &str, kind: &str, spec| AddSource { name: name.to_owned(), kind: kind.to_owned(), spec };
        let unknown = api.add_source(source("x", "oracle", json!({}))).await.unwrap_err();
        assert_eq!((unknown.status, unknown.code.as_str()), (422, "TM-SRC-0002"));
        let name = api.add_source(source("X Y", "fake", json!({"nodes": []}))).await.unwrap_err();
        assert_eq!(name.status, 400);
        let other = api.add_source(source("src", "fake", json!({"nodes": []}))).await.unwrap_err();
        assert_eq!((other.status, other.code.as_str()), (409, "TM-SRC-0409"));
        let level = Policy { options: json!({"write_level": "most"}), ..policy() };
        assert_eq!(api.add_policy(level, None).await.unwrap_err().status, 400);
        let store = Policy { store: "none".to_owned(), ..policy() };
        assert_eq!(api.add_policy(store, None).await.unwrap_err().status, 404);
        let store = AddStore {
            name: "t".to_owned(),
            url: "ftp://x".to_owned(),
            credentials: None,
            listener_credentials: None,
            limits: None,
        };
        assert_eq!(api.add_store(store).await.unwrap_err().status, 400);
        let twice = AddStore {
            name: "t".to_owned(),
            url: format!("file://{}", bucket.path().display()),
            credentials: None,
            listener_credentials: None,
            limits: None,
        };
        assert_eq!(api.add_store(twice).await.unwrap_err().status, 409);
    })
    .await;
}

#[tokio::test]
async fn a_second_daemon_on_the_state_directory_is_refused() {
    let state = tempfile::tempdir().unwrap();
    let _one = Embedded::open(state.path(), Env::system()).unwrap();
    let two = super::Daemon::open(config(state.path()), Env::system(), fake::World::default().parts()).await;
    assert!(matches!(two.map(drop), Err(super::Error::State(_))));
}
