//! A daemon whose coordinator has lost what was registered.

use std::fs;

use tidemark_web::control::{ControlApi as _, IfMatch};

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
        until(|| ["\"alone\"", "\"daily\"", "\"s\""].iter().all(|name| text(state).contains(name))).await;
    })
    .await;
}

/// What a daemon has written down, if anything.
fn text(state: &Path) -> String {
    fs::read_to_string(state.join(FILE)).unwrap_or_default()
}

async fn source(api: &Api, name: &str) -> Option<SourceRecord> {
    api.registrations().get(SOURCES, name).await.unwrap()
}

async fn policy_record(api: &Api) -> Option<PolicyRecord> {
    api.registrations().get(POLICIES, "daily").await.unwrap()
}

/// Once it is confirmed.
async fn until_confirmed(api: &Api) {
    let mut changes = api.with().coordinator.watch(POLICIES, 1).await.unwrap();
    while policy_record(api).await.is_none_or(|policy| !policy.is_confirmed()) {
        changes.next().await.unwrap();
    }
}

/// What this file has is brought to the daemon's state.
async fn bring(api: &Api, directory: &Path) {
    Carried::open(api.clone(), directory).unwrap().look().await.unwrap();
}

/// The file of the first life, which the second one does not find.
fn taken(state: &Path) -> tempfile::TempDir {
    let other = tempfile::tempdir().unwrap();
    fs::rename(state.join(FILE), other.path().join(FILE)).unwrap();
    lose(state);
    other
}

/// Names of files in a directory.
fn names(directory: &Path) -> Vec<String> {
    let name = |entry: std::io::Result<fs::DirEntry>| entry.unwrap().file_name().into_string().unwrap();
    fs::read_dir(directory).unwrap().map(name).collect()
}

/// Changes the policy by a daemon of another state.
async fn change_elsewhere(bucket: &Bucket, policy: Option<Policy>) {
    let other = tempfile::tempdir().unwrap();
    with_daemon(other.path(), fake::World::default(), async |api| {
        add_store(&api, &bucket.path()).await;
        api.confirm_source("src").await.unwrap();
        let etag = IfMatch(api.policy("daily").await.unwrap().etag);
        match policy {
            Some(policy) => drop(api.change_policy("daily", policy, &etag, None).await.unwrap()),
            None => drop(api.remove_policy("daily", &etag).await.unwrap()),
        }
    })
    .await;
}

#[tokio::test]
async fn what_the_coordinator_lost_is_registered_again_and_goes_on() {
    let (state, bucket) = (tempfile::tempdir().unwrap(), Bucket::new());
    first_life(state.path(), &bucket).await;
    lose(state.path());
    with_daemon(state.path(), fake::World::default(), async |api| {
        until_confirmed(&api).await;
        for name in ["src", "alone"] {
            assert!(source(&api, name).await.unwrap().is_confirmed());
        }
        assert_eq!(version(&api, "2").await, "src.daily.2");
        assert_eq!(versions(&api).await.len(), 2);
    })
    .await;
}

#[tokio::test]
async fn a_policy_that_was_changed_since_waits_for_an_operator_and_one_that_was_removed_stays_so() {
    for changed in [Some(Policy { paused: true, ..policy() }), None] {
        let (state, bucket) = (tempfile::tempdir().unwrap(), Bucket::new());
        first_life(state.path(), &bucket).await;
        let file = taken(state.path());
        change_elsewhere(&bucket, changed.clone()).await;
        with_daemon(state.path(), fake::World::default(), async |api| {
            bring(&api, file.path()).await;
            assert!(source(&api, "src").await.unwrap().is_confirmed());
            let there = policy_record(&api).await;
            assert_eq!(there.is_some(), changed.is_some(), "{there:?}");
            if let Some(there) = there {
                assert_eq!((there.imported_from.as_deref(), there.paused), (Some("s"), true));
            }
        })
        .await;
    }
}

#[tokio::test]
async fn a_store_that_is_away_is_registered_all_the_same_and_runs_once_it_is_back() {
    let (state, bucket) = (tempfile::tempdir().unwrap(), Bucket::new());
    first_life(state.path(), &bucket).await;
    let file = taken(state.path());
    bucket.copy("kept");
    fs::remove_dir_all(bucket.path()).unwrap();
    with_daemon(state.path(), fake::World::default(), async |api| {
        bring(&api, file.path()).await;
        assert!(policy_record(&api).await.unwrap().is_confirmed());
        fs::create_dir(bucket.path()).unwrap();
        bucket.put_back("kept");
        assert_eq!(version(&api, "2").await, "src.daily.2");
    })
    .await;
}

#[tokio::test]
async fn a_name_that_another_store_has_stays_with_it_and_nothing_is_forgotten() {
    let (state, bucket, other) = (tempfile::tempdir().unwrap(), Bucket::new(), Bucket::new());
    first_life(state.path(), &bucket).await;
    let file = taken(state.path());
    with_daemon(state.path(), fake::World::default(), async |api| {
        add_store(&api, &other.path()).await;
        bring(&api, file.path()).await;
        assert!(policy_record(&api).await.is_none());
        let url = api.stores().await.unwrap().remove(0).url;
        assert!(url.ends_with(&other.path().display().to_string()), "{url}");
        let aside = names(file.path()).into_iter().find(|name| name != FILE).unwrap();
        assert!(fs::read_to_string(file.path().join(aside)).unwrap().contains(&bucket.path().display().to_string()));
    })
    .await;
}

#[tokio::test]
async fn a_repository_that_has_another_name_by_now_gets_no_second_one() {
    let (state, bucket) = (tempfile::tempdir().unwrap(), Bucket::new());
    first_life(state.path(), &bucket).await;
    let file = taken(state.path());
    with_daemon(state.path(), fake::World::default(), async |api| {
        super::store::add_other(&api, "t", &bucket).await.unwrap();
        bring(&api, file.path()).await;
        assert_eq!(api.stores().await.unwrap().len(), 1);
    })
    .await;
}

#[tokio::test]
async fn what_an_operator_said_counts_and_not_what_a_mirror_says_of_it() {
    let (state, bucket, forged) = (tempfile::tempdir().unwrap(), Bucket::new(), Bucket::new());
    first_life(state.path(), &bucket).await;
    let file = taken(state.path());
    let elsewhere = tempfile::tempdir().unwrap();
    with_daemon(elsewhere.path(), fake::World::default(), async |api| {
        super::store::add_other(&api, "a", &forged).await.unwrap();
        let source = AddSource { name: "src".to_owned(), kind: "fake".to_owned(), spec: json!({"nodes": ["evil"]}) };
        api.add_source(source).await.unwrap();
        let policy = Policy { store: "a".to_owned(), ..policy() };
        api.add_policy(policy, None).await.unwrap();
    })
    .await;
    with_daemon(state.path(), fake::World::default(), async |api| {
        super::store::add_other(&api, "a", &forged).await.unwrap();
        assert!(!policy_record(&api).await.unwrap().is_confirmed());
        bring(&api, file.path()).await;
        let there = source(&api, "src").await.unwrap();
        assert_eq!((there.is_confirmed(), there.spec), (true, json!({"nodes": ["n1", "n2"]})));
        let policy = policy_record(&api).await.unwrap();
        assert_eq!((policy.is_confirmed(), policy.store.as_str()), (true, "s"));
    })
    .await;
}

#[tokio::test]
async fn what_is_registered_stays_unless_the_file_and_the_mirror_say_otherwise() {
    let (state, bucket) = (tempfile::tempdir().unwrap(), Bucket::new());
    first_life(state.path(), &bucket).await;
    let other = tempfile::tempdir().unwrap();
    // Another state with the same store goes on, and has its say in the mirror.
    let theirs = Policy { objects: vec!["ks/a".to_owned()], ..policy() };
    change_elsewhere(&bucket, Some(theirs)).await;
    fs::copy(state.path().join(FILE), other.path().join(FILE)).unwrap();
    with_daemon(state.path(), fake::World::default(), async |api| {
        let text = fs::read_to_string(other.path().join(FILE)).unwrap();
        let foreign = |text: &str| text.replacen("\"state\":\"", "\"state\":\"f", 1);
        // The file has an older one than the mirror: what is registered stays.
        let kept = text.replace("\"ks/*\"", "\"ks/b\"");
        fs::write(other.path().join(FILE), foreign(&kept)).unwrap();
        bring(&api, other.path()).await;
        assert_eq!(policy_record(&api).await.unwrap().objects, ["ks/*"]);
        // Both say the same.
        fs::write(other.path().join(FILE), foreign(&text.replace("\"ks/*\"", "\"ks/a\""))).unwrap();
        bring(&api, other.path()).await;
        assert_eq!(policy_record(&api).await.unwrap().objects, ["ks/a"]);
    })
    .await;
}

#[tokio::test]
async fn a_record_that_cannot_be_read_stops_nothing_else() {
    let (state, bucket) = (tempfile::tempdir().unwrap(), Bucket::new());
    first_life(state.path(), &bucket).await;
    let file = taken(state.path());
    with_daemon(state.path(), fake::World::default(), async |api| {
        let put = crate::coordinator::Op::put("source/alone", "{");
        api.with().coordinator.txn(vec![], vec![put], vec![]).await.unwrap();
        bring(&api, file.path()).await;
        assert!(policy_record(&api).await.unwrap().is_confirmed());
    })
    .await;
}

#[tokio::test]
async fn a_file_that_cannot_be_read_is_put_aside_and_stops_nothing() {
    let (state, bucket) = (tempfile::tempdir().unwrap(), Bucket::new());
    for damaged in [r#"{"stores": 1}"#, r#"{"stores"#] {
        fs::write(state.path().join(FILE), damaged).unwrap();
        with_daemon(state.path(), fake::World::default(), async |_| {
            until(|| names(state.path()).contains(&FILE.to_owned()) && !text(state.path()).starts_with(damaged)).await;
        })
        .await;
    }
    first_life(state.path(), &bucket).await;
    let kept: Vec<_> = names(state.path()).into_iter().filter(|name| name.starts_with("registered.json.")).collect();
    assert_eq!(kept.len(), 2, "{kept:?}");
}

#[tokio::test]
async fn a_policy_of_another_source_of_the_same_name_is_not_confirmed() {
    let (state, bucket) = (tempfile::tempdir().unwrap(), Bucket::new());
    first_life(state.path(), &bucket).await;
    let file = taken(state.path());
    with_daemon(state.path(), fake::World::default(), async |api| {
        let other = AddSource { name: "src".to_owned(), kind: "fake".to_owned(), spec: json!({"nodes": ["other"]}) };
        api.add_source(other).await.unwrap();
        bring(&api, file.path()).await;
        assert_eq!(source(&api, "src").await.unwrap().spec, json!({"nodes": ["other"]}));
        assert!(policy_record(&api).await.is_none_or(|policy| !policy.is_confirmed()));
        assert!(names(file.path()).len() == 2, "what was left out is kept");
    })
    .await;
}

#[tokio::test]
async fn a_policy_that_the_mirror_never_heard_of_is_registered_again() {
    let (state, bucket) = (tempfile::tempdir().unwrap(), Bucket::new());
    first_life(state.path(), &bucket).await;
    let file = taken(state.path());
    fs::remove_dir_all(bucket.path().join("config/policies")).unwrap();
    with_daemon(state.path(), fake::World::default(), async |api| {
        bring(&api, file.path()).await;
        assert!(policy_record(&api).await.unwrap().is_confirmed());
    })
    .await;
}

#[tokio::test]
async fn a_record_that_cannot_be_read_any_more_stays_written_down() {
    let (state, bucket, file) = (tempfile::tempdir().unwrap(), Bucket::new(), tempfile::tempdir().unwrap());
    with_daemon(state.path(), fake::World::default(), async |api| {
        set_up(&api, &bucket.path()).await;
        let mut carried = Carried::open(api.clone(), file.path()).unwrap();
        carried.look().await.unwrap();
        let put = crate::coordinator::Op::put("store/s", "{");
        api.with().coordinator.txn(vec![], vec![put], vec![]).await.unwrap();
        let other = AddSource { name: "other".to_owned(), kind: "fake".to_owned(), spec: json!({"nodes": ["n1"]}) };
        api.add_source(other).await.unwrap();
        carried.look().await.unwrap();
        let text = text(file.path());
        assert!(text.contains("\"other\"") && text.contains("\"s\""), "{text}");
    })
    .await;
}

#[tokio::test]
async fn what_was_not_brought_back_yet_is_not_lost_by_leaving_a_state() {
    let (state, bucket, next) = (tempfile::tempdir().unwrap(), Bucket::new(), tempfile::tempdir().unwrap());
    first_life(state.path(), &bucket).await;
    fs::copy(state.path().join(FILE), next.path().join(FILE)).unwrap();
    let env = Env::system();
    let empty = std::sync::Arc::new(embedded::Embedded::open(next.path(), env.clone()).unwrap());
    crate::carried::write_down(empty, next.path(), &env).await.unwrap();
    assert!(text(next.path()).contains("\"daily\""));
}
