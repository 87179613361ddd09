//! A store that is not what it was: moved away, emptied, swapped, put back, cut short. It is refused and never taken for new.

use std::{fs, path::PathBuf};

use tidemark_web::api::{AcceptStore, AcceptedStore, Problem, Store};

use super::*;

/// A store's directory, which can be moved, copied and put back.
pub(super) struct Bucket {
    home: tempfile::TempDir,
}

impl Bucket {
    pub(super) fn new() -> Self {
        let home = tempfile::tempdir().unwrap();
        fs::create_dir(home.path().join("store")).unwrap();
        Self { home }
    }

    pub(super) fn path(&self) -> PathBuf {
        self.home.path().join("store")
    }

    pub(super) fn copy(&self, name: &str) {
        copy(&self.path(), &self.home.path().join(name));
    }

    /// Puts what was copied in the store's place.
    pub(super) fn put_back(&self, name: &str) {
        fs::remove_dir_all(self.path()).unwrap();
        copy(&self.home.path().join(name), &self.path());
    }

    pub(super) fn remove(&self, name: &str) {
        fs::remove_file(self.path().join(name)).unwrap();
    }

    pub(super) fn manifest(number: u64) -> String {
        format!("sources/src/sets/daily/versions/{number:020}")
    }
}

pub(super) fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap().map(Result::unwrap) {
        let to = to.join(entry.file_name());
        if entry.path().is_dir() {
            copy(&entry.path(), &to)
        } else {
            let _ = fs::copy(entry.path(), to).unwrap();
        }
    }
}

pub(super) async fn run(api: &Api, key: &str) -> Operation {
    done(api, api.run_policy("daily", key).await.unwrap()).await
}

/// Runs the policy, which must be refused with this code; returns what was said.
async fn refused(api: &Api, key: &str, code: &str) -> Problem {
    let ended = run(api, key).await;
    let error = ended.error.clone().unwrap_or_else(|| panic!("{ended:?}"));
    assert_eq!((ended.state.as_str(), error.code.as_str()), ("failed", code), "{ended:?}");
    assert!(error.hint.as_ref().is_some_and(|hint| hint.contains("store accept")), "{error:?}");
    error
}

pub(super) async fn version(api: &Api, key: &str) -> String {
    let ended = run(api, key).await;
    ended.result.as_ref().unwrap_or_else(|| panic!("{ended:?}"))["version"].as_str().unwrap().to_owned()
}

async fn accept(api: &Api) -> Result<AcceptedStore, Problem> {
    let request = AcceptStore { confirm: "s".to_owned() };
    tidemark_web::control::ControlApi::accept_store(api, "s", request).await
}

/// Registers another store.
pub(super) async fn add_other(api: &Api, name: &str, bucket: &Bucket) -> Result<Store, Problem> {
    let url = format!("file://{}", bucket.path().display());
    api.add_store(AddStore { name: name.to_owned(), url, credentials: None, listener_credentials: None, limits: None })
        .await
}

/// Status and detail of the line `identity` of the store's test.
async fn identity(api: &Api) -> (CheckStatus, String) {
    let lines = api.test_store("s").await.unwrap().lines;
    let line = lines.into_iter().find(|line| line.name == "identity").unwrap();
    (line.status, line.detail)
}

#[tokio::test]
async fn a_store_that_was_moved_away_is_refused_and_not_made_again() {
    let (state, bucket) = (tempfile::tempdir().unwrap(), Bucket::new());
    let away = bucket.home.path().join("away");
    with_daemon(state.path(), fake::World::default(), async |api| {
        set_up(&api, &bucket.path()).await;
        protect(&api, "1").await;
        assert_eq!(identity(&api).await.0, CheckStatus::Ok);
        fs::rename(bucket.path(), &away).unwrap();
        let said = refused(&api, "2", "TM-STORE-0110").await;
        assert!(said.detail.contains(bucket.path().to_str().unwrap()), "{said:?}");
        let new = Policy { name: "other".to_owned(), ..policy() };
        assert_eq!(api.add_policy(new, None).await.unwrap_err().code, "TM-STORE-0110", "nor is it mirrored there");
        let (status, detail) = identity(&api).await;
        assert!(status == CheckStatus::Fail && detail.contains("TM-STORE-0110"), "{detail}");
        let list = api.versions(Versions::default(), &Page::first()).await.unwrap_err();
        assert_eq!(list.code, "TM-STORE-0110", "no versions is not the answer");
    })
    .await;
    with_daemon(state.path(), fake::World::default(), async |api| {
        refused(&api, "3", "TM-STORE-0110").await;
        assert!(!bucket.path().exists(), "a daemon that opens it anew does not make it either");
        fs::rename(&away, bucket.path()).unwrap();
        assert_eq!(version(&api, "4").await, "src.daily.2");
    })
    .await;
}

#[tokio::test]
async fn an_emptied_store_is_refused_until_it_is_accepted_and_gives_no_number_twice() {
    let (state, bucket) = (tempfile::tempdir().unwrap(), Bucket::new());
    bucket.copy("empty");
    with_daemon(state.path(), fake::World::default(), async |api| {
        set_up(&api, &bucket.path()).await;
        protect(&api, "1").await;
        bucket.put_back("empty");
        refused(&api, "2", "TM-STORE-0110").await;
        assert_eq!(fs::read_dir(bucket.path()).unwrap().count(), 0, "something was written");
        let before = api.store("s").await.unwrap().value;
        let accepted = accept(&api).await.unwrap();
        assert_eq!(accepted.lost, ["src.daily.1..1"]);
        assert_ne!(accepted.store.repository, before.repository);
        assert_eq!(version(&api, "3").await, "src.daily.2");
    })
    .await;
}

#[tokio::test]
async fn a_store_with_another_repository_is_refused() {
    let (state, bucket, other) = (tempfile::tempdir().unwrap(), Bucket::new(), Bucket::new());
    with_daemon(state.path(), fake::World::default(), async |api| {
        set_up(&api, &bucket.path()).await;
        protect(&api, "1").await;
        bucket.copy("own");
        let second = add_other(&api, "t", &other).await.unwrap();
        fs::remove_dir_all(bucket.path()).unwrap();
        copy(&other.path(), &bucket.path());
        let said = refused(&api, "2", "TM-STORE-0111").await;
        assert!(said.detail.contains(&second.repository), "{said:?}");
        assert_eq!(accept(&api).await.unwrap_err().code, "TM-STORE-0409", "it is registered under another name");
        assert!(api.verify_version("src.daily.1", "v").await.is_err());
        bucket.put_back("own");
        assert_eq!(version(&api, "3").await, "src.daily.2");
    })
    .await;
}

#[tokio::test]
async fn a_store_put_back_to_an_older_copy_is_refused_and_goes_on_above_what_it_held_once_accepted() {
    let (state, bucket) = (tempfile::tempdir().unwrap(), Bucket::new());
    with_daemon(state.path(), fake::World::default(), async |api| {
        set_up(&api, &bucket.path()).await;
        protect(&api, "1").await;
        bucket.copy("older");
        assert_eq!((version(&api, "2").await, version(&api, "3").await), ("src.daily.2".into(), "src.daily.3".into()));
        assert_eq!(accept(&api).await.unwrap_err().code, "TM-STORE-0116", "nothing is wrong yet");
        bucket.put_back("older");
        let said = refused(&api, "4", "TM-STORE-0113").await;
        assert!(said.detail.contains("ends at version 1") && said.detail.contains("version 3"), "{said:?}");
        // What is there can be used; what is not is not unknown.
        let verified = api.verify_version("src.daily.1", "v1").await.unwrap();
        assert_eq!(done(&api, verified).await.state, OperationState::Succeeded);
        assert_eq!(api.verify_version("src.daily.3", "v3").await.unwrap_err().code, "TM-CAT-0001");
        let wrong = AcceptStore { confirm: "t".to_owned() };
        assert_eq!(api.accept_store("s", wrong).await.unwrap_err().code, "TM-STORE-0114");
        let accepted = accept(&api).await.unwrap();
        assert_eq!((accepted.generation, accepted.lost), (2, vec!["src.daily.2..3".to_owned()]));
        assert_eq!(version(&api, "5").await, "src.daily.4");
        let qualities: Vec<_> = versions(&api).await.into_iter().map(|version| version.quality).collect();
        assert_eq!(qualities, [Quality::Cut, Quality::Lost, Quality::Lost, Quality::Cut]);
        let lost = api.verify_version("src.daily.3", "v").await.unwrap();
        assert_eq!(done(&api, lost).await.error.unwrap().code, "TM-VER-0410");
    })
    .await;
}

#[tokio::test]
async fn a_store_whose_generation_is_gone_is_refused() {
    let (state, bucket) = (tempfile::tempdir().unwrap(), Bucket::new());
    with_daemon(state.path(), fake::World::default(), async |api| {
        set_up(&api, &bucket.path()).await;
        protect(&api, "1").await;
        bucket.remove("gen/00000000000000000001");
        refused(&api, "2", "TM-STORE-0112").await;
        fs::write(bucket.path().join("gen/00000000000000000001"), "another daemon's").unwrap();
        refused(&api, "3", "TM-STORE-0112").await;
        assert_eq!(accept(&api).await.unwrap().lost, Vec::<String>::new());
        assert_eq!(version(&api, "4").await, "src.daily.2");
    })
    .await;
}

#[tokio::test]
async fn the_newest_manifest_of_any_policy_is_missed_by_all_and_one_further_back_is_named() {
    let (state, bucket) = (tempfile::tempdir().unwrap(), Bucket::new());
    with_daemon(state.path(), fake::World::default(), async |api| {
        set_up(&api, &bucket.path()).await;
        protect(&api, "1").await;
        version(&api, "2").await;
        version(&api, "3").await;
        bucket.remove(&Bucket::manifest(1));
        let ended = run(&api, "4").await;
        let gone = json!({"count": 1, "list": [1]});
        assert_eq!((ended.state.as_str(), &ended.result.unwrap()["gone_versions"]), ("warnings", &gone));
        let other = Protect { policy: Policy { name: "other".to_owned(), ..policy() } };
        let made = api.protect(other, "5", None).await.unwrap();
        assert_eq!(done(&api, made).await.result.unwrap()["version"], "src.other.1");
        bucket.remove(&Bucket::manifest(4));
        let missed = api.run_policy("other", "6").await.unwrap();
        assert_eq!(done(&api, missed).await.error.unwrap().code, "TM-STORE-0113");
    })
    .await;
}

#[tokio::test]
async fn a_lost_state_learns_the_store_as_it_is_and_misses_what_goes_after() {
    let (one, two, bucket) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap(), Bucket::new());
    with_daemon(one.path(), fake::World::default(), async |api| {
        set_up(&api, &bucket.path()).await;
        protect(&api, "1").await;
        bucket.copy("older");
        version(&api, "2").await;
    })
    .await;
    with_daemon(two.path(), fake::World::default(), async |api| {
        add_store(&api, &bucket.path()).await;
        api.confirm_source("src").await.unwrap();
        bucket.put_back("older");
        // Its own generation is gone first.
        refused(&api, "1", "TM-STORE-0112").await;
        assert_eq!(accept(&api).await.unwrap().lost, ["src.daily.2..2"]);
        assert_eq!(version(&api, "2").await, "src.daily.3");
    })
    .await;
}

#[tokio::test]
async fn a_store_is_accepted_while_another_one_is_emptied_and_nothing_is_written_there() {
    let (state, bucket, other) = (tempfile::tempdir().unwrap(), Bucket::new(), Bucket::new());
    with_daemon(state.path(), fake::World::default(), async |api| {
        set_up(&api, &bucket.path()).await;
        add_other(&api, "t", &other).await.unwrap();
        protect(&api, "1").await;
        bucket.copy("older");
        version(&api, "2").await;
        bucket.put_back("older");
        fs::remove_dir_all(other.path()).unwrap();
        fs::create_dir(other.path()).unwrap();
        assert_eq!(accept(&api).await.unwrap().lost, ["src.daily.2..2"]);
        assert_eq!(fs::read_dir(other.path()).unwrap().count(), 0, "something was written");
        assert_eq!(version(&api, "3").await, "src.daily.3");
    })
    .await;
}

#[tokio::test]
async fn a_generation_that_rises_is_told_to_a_store_when_it_is_reached_and_never_to_another_repository() {
    let (state, bucket, other, third) = (tempfile::tempdir().unwrap(), Bucket::new(), Bucket::new(), Bucket::new());
    with_daemon(state.path(), fake::World::default(), async |api| {
        set_up(&api, &bucket.path()).await;
        add_other(&api, "t", &other).await.unwrap();
        other.remove("tidemark.json");
        fs::copy(bucket.path().join("tidemark.json"), other.path().join("tidemark.json")).unwrap();
        fs::create_dir(third.path().join("gen")).unwrap();
        fs::write(third.path().join("gen/00000000000000000005"), "{}").unwrap();
        add_other(&api, "u", &third).await.unwrap();
        let told = |bucket: &Bucket| bucket.path().join("gen/00000000000000000006").exists();
        assert!(told(&third) && !told(&bucket));
        assert_eq!(protect(&api, "1").await.state, OperationState::Succeeded);
        assert!(told(&bucket) && !told(&other), "another repository was told the generation");
    })
    .await;
}

#[tokio::test]
async fn a_store_that_cannot_be_looked_into_is_a_line_and_hides_no_version_of_another() {
    let (state, bucket, other) = (tempfile::tempdir().unwrap(), Bucket::new(), Bucket::new());
    with_daemon(state.path(), fake::World::default(), async |api| {
        set_up(&api, &bucket.path()).await;
        add_other(&api, "t", &other).await.unwrap();
        protect(&api, "1").await;
        fs::remove_dir_all(other.path()).unwrap();
        let listed = versions(&api).await;
        let seen: Vec<_> = listed.iter().map(|v| (v.id.as_str(), v.store.as_str(), v.quality.as_str())).collect();
        assert_eq!(seen, [("", "t", "unknown"), ("src.daily.1", "s", "cut")]);
        assert!(listed[0].damage.as_ref().unwrap().starts_with("TM-STORE-0110: store t"), "{listed:?}");
        assert_eq!(api.objects("src", false, &Page::first()).await.unwrap().items[0].versions, 1);
    })
    .await;
}

#[tokio::test]
async fn a_source_without_policies_is_tested_with_the_first_store_that_is_what_it_was() {
    let (state, bucket, other) = (tempfile::tempdir().unwrap(), Bucket::new(), Bucket::new());
    with_daemon(state.path(), fake::World::default(), async |api| {
        set_up(&api, &bucket.path()).await;
        add_other(&api, "t", &other).await.unwrap();
        fs::remove_dir_all(bucket.path()).unwrap();
        let checklist = api.test_source("src").await.unwrap();
        assert_eq!(checklist.status, CheckStatus::Ok, "{checklist:?}");
    })
    .await;
}
