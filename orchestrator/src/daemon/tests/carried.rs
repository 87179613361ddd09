//! A daemon whose coordinator has lost what was registered.

use std::fs;

use tidemark_web::control::ControlApi as _;

use super::{
    store::{Bucket, version},
    *,
};
use crate::{
    carried::{Carried, FILE},
    coordinator::embedded,
    registrations::{POLICIES, PolicyRecord, SOURCES, SourceRecord},
};

/// Loses the coordinator's state, but not what the daemon has written down of it.
fn lose(state: &Path) {
    fs::remove_file(state.join(embedded::FILE)).unwrap();
}

/// Gives way to others until `is` so.
async fn until(is: impl Fn() -> bool) {
    let waits = async {
        while !is() {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(Duration::from_secs(30), waits).await.unwrap();
}

/// A store, a source with a policy that has a version, and a source that no policy names; all of it is written down.
async fn first_life(state: &Path, bucket: &Bucket) {
    with_daemon(state, fake::World::default(), async |api| {
        set_up(&api, &bucket.path()).await;
        let alone = AddSource { name: "alone".to_owned(), kind: "fake".to_owned(), spec: json!({"nodes": ["n1"]}) };
        api.add_source(alone).await.unwrap();
        protect(&api, "1").await;
        let text = || fs::read_to_string(state.join(FILE)).unwrap_or_default();
        until(|| ["\"alone\"", "\"daily\"", "\"s\""].iter().all(|name| text().contains(name))).await;
    })
    .await;
}

async fn source(api: &Api, name: &str) -> Option<SourceRecord> {
    api.registrations().get(SOURCES, name).await.unwrap()
}

async fn policy_record(api: &Api) -> Option<PolicyRecord> {
    api.registrations().get(POLICIES, "daily").await.unwrap()
}

#[tokio::test]
async fn what_the_coordinator_lost_is_registered_again_and_goes_on() {
    let (state, bucket) = (tempfile::tempdir().unwrap(), Bucket::new());
    first_life(state.path(), &bucket).await;
    lose(state.path());
    with_daemon(state.path(), fake::World::default(), async |api| {
        let mut changes = api.coordinator().watch(POLICIES, 1).await.unwrap();
        while policy_record(&api).await.is_none_or(|policy| !policy.is_confirmed()) {
            changes.next().await.unwrap();
        }
        assert!(
            source(&api, "src").await.unwrap().is_confirmed() && source(&api, "alone").await.unwrap().is_confirmed()
        );
        assert_eq!(version(&api, "2").await, "src.daily.2");
        assert_eq!(versions(&api).await.len(), 2);
    })
    .await;
}

#[tokio::test]
async fn what_a_mirror_says_otherwise_waits_for_an_operator() {
    let (state, bucket, file) = (tempfile::tempdir().unwrap(), Bucket::new(), tempfile::tempdir().unwrap());
    first_life(state.path(), &bucket).await;
    fs::rename(state.path().join(FILE), file.path().join(FILE)).unwrap();
    // A daemon on another host has changed the policy since.
    let other = tempfile::tempdir().unwrap();
    with_daemon(other.path(), fake::World::default(), async |api| {
        add_store(&api, &bucket.path()).await;
        api.confirm_source("src").await.unwrap();
        let before = api.policy("daily").await.unwrap();
        let changed = Policy { paused: true, ..policy() };
        api.change_policy("daily", changed, &tidemark_web::control::IfMatch(before.etag), None).await.unwrap();
    })
    .await;
    lose(state.path());
    with_daemon(state.path(), fake::World::default(), async |api| {
        Carried::open(api.clone(), file.path()).look().await.unwrap();
        assert!(source(&api, "src").await.unwrap().is_confirmed());
        assert_eq!(policy_record(&api).await.unwrap().imported_from.as_deref(), Some("s"));
        let text = fs::read_to_string(file.path().join(FILE)).unwrap();
        assert!(!text.contains("daily"), "{text}");
    })
    .await;
}

#[tokio::test]
async fn a_store_that_is_away_is_registered_again_once_it_is_back_and_another_one_never_is() {
    let (state, bucket, file) = (tempfile::tempdir().unwrap(), Bucket::new(), tempfile::tempdir().unwrap());
    first_life(state.path(), &bucket).await;
    fs::rename(state.path().join(FILE), file.path().join(FILE)).unwrap();
    bucket.copy("kept");
    lose(state.path());
    let other = Bucket::new();
    with_daemon(tempfile::tempdir().unwrap().path(), fake::World::default(), async |api| {
        add_store(&api, &other.path()).await;
    })
    .await;
    with_daemon(state.path(), fake::World::default(), async |api| {
        let mut carried = Carried::open(api.clone(), file.path());
        let kept = || fs::read_to_string(file.path().join(FILE)).unwrap();
        for in_its_place in [None, Some(other.path())] {
            fs::remove_dir_all(bucket.path()).unwrap();
            if let Some(other) = in_its_place {
                super::store::copy(&other, &bucket.path());
            }
            carried.look().await.unwrap();
            assert!(api.stores().await.unwrap().is_empty() && policy_record(&api).await.is_none());
            assert!(kept().contains("\"s\"") && kept().contains("\"daily\""), "{}", kept());
            fs::create_dir_all(bucket.path()).unwrap();
        }
        bucket.put_back("kept");
        carried.look().await.unwrap();
        assert_eq!(version(&api, "2").await, "src.daily.2");
    })
    .await;
}

#[tokio::test]
async fn a_file_that_cannot_be_read_is_put_aside_and_stops_nothing() {
    let (state, bucket) = (tempfile::tempdir().unwrap(), Bucket::new());
    fs::write(state.path().join(FILE), r#"{"stores": 1}"#).unwrap();
    first_life(state.path(), &bucket).await;
    assert_eq!(fs::read_to_string(state.path().join("registered.json.unread")).unwrap(), r#"{"stores": 1}"#);
}
