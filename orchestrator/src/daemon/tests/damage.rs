//! Damage and absence stop what they touch, and nothing beside it.

use std::fs;

use tidemark_web::api::{AcceptStore, Collect};

use super::{
    store::{Bucket, add_other, run, version},
    *,
};
use crate::coordinator::{Coordinator as _, Op};

/// Policy `other`, beside `daily`.
async fn protect_other(api: &Api, key: &str) -> Operation {
    let policy = Policy { name: "other".to_owned(), ..policy() };
    let asked = api.protect(Protect { policy }, key, None).await.unwrap();
    done(api, asked).await
}

fn overwrite(bucket: &Bucket, name: &str, bytes: &str) {
    bucket.remove(name);
    fs::write(bucket.path().join(name), bytes).unwrap();
}

/// Tasks that staged anything.
fn captures(bucket: &Bucket) -> usize {
    fs::read_dir(bucket.path().join("sources/src/staged")).unwrap().count()
}

async fn verified(api: &Api, id: &str) -> Operation {
    done(api, api.verify_version(id, &format!("verify {id}")).await.unwrap()).await
}

#[tokio::test]
async fn a_damaged_newest_manifest_is_known_before_the_capture_and_its_set_goes_on_once_it_is_sealed() {
    let (state, bucket) = (tempfile::tempdir().unwrap(), Bucket::new());
    with_daemon(state.path(), fake::World::default(), async |api| {
        set_up(&api, &bucket.path()).await;
        protect(&api, "1").await;
        version(&api, "2").await;
        let repair = async || api.repair_set("src", "daily", None).await.unwrap();
        assert_eq!((repair().await.sealed, repair().await.damage), (None, None), "nothing is damaged yet");
        overwrite(&bucket, &Bucket::manifest(2), "{");
        let before = captures(&bucket);
        let error = run(&api, "3").await.error.unwrap();
        assert_eq!((error.code.as_str(), captures(&bucket)), ("TM-CAT-0008", before), "{error:?}");
        assert!(error.hint.as_ref().unwrap().contains("tidemark version repair src.daily --store s"), "{error:?}");
        let repaired = repair().await;
        assert_eq!(repaired.sealed.as_deref(), Some("src.daily.3"));
        assert!(repaired.damage.unwrap().contains(&Bucket::manifest(2)));
        assert_eq!(version(&api, "4").await, "src.daily.4");
        let qualities: Vec<_> = versions(&api).await.into_iter().map(|version| version.quality).collect();
        assert_eq!(qualities, [Quality::Cut, Quality::Damaged, Quality::Lost, Quality::Cut]);
        for (id, code) in [("src.daily.2", "TM-CAT-0001"), ("src.daily.3", "TM-VER-0410")] {
            assert_eq!(verified(&api, id).await.error.unwrap().code, code);
        }
        let first = verified(&api, "src.daily.1").await;
        assert!(first.result.unwrap()["unproven"].as_str().unwrap().contains(&Bucket::manifest(2)));
        assert_eq!(verified(&api, "src.daily.4").await.state, OperationState::Succeeded);
        for id in ["src.daily.1", "src.daily.4"] {
            let back = api.restore(restore(json!({"version": id})), id).await.unwrap();
            assert_eq!(done(&api, back).await.state, OperationState::Succeeded);
        }
    })
    .await;
    with_daemon(state.path(), fake::World::default(), async |api| {
        assert_eq!(
            version(&api, "5").await,
            "src.daily.5",
            "what is sealed is no damage for a daemon that starts anew"
        );
        let store = api.test_store("s").await.unwrap();
        assert_eq!(store.status, CheckStatus::Ok, "{store:?}");
    })
    .await;
}

#[tokio::test]
async fn damage_of_one_set_stops_no_other_and_a_cut_one_stops_all() {
    let (state, bucket) = (tempfile::tempdir().unwrap(), Bucket::new());
    with_daemon(state.path(), fake::World::default(), async |api| {
        set_up(&api, &bucket.path()).await;
        protect(&api, "1").await;
        protect_other(&api, "2").await;
        overwrite(&bucket, &Bucket::manifest(1), "?");
        assert_eq!(protect_other(&api, "3").await.result.unwrap()["version"], "src.other.2");
        let store = api.test_store("s").await.unwrap();
        let line = store.lines.iter().find(|line| line.name == "versions").unwrap();
        assert_eq!(
            (line.status, line.subject.as_str(), store.status),
            (CheckStatus::Warn, "src.daily", CheckStatus::Warn)
        );
        bucket.remove(&Bucket::manifest(1));
        assert_eq!(protect_other(&api, "4").await.error.unwrap().code, "TM-STORE-0113");
    })
    .await;
}

#[tokio::test]
async fn a_byte_that_changed_in_a_newest_manifest_stops_its_own_set_until_that_is_sealed() {
    let (state, bucket) = (tempfile::tempdir().unwrap(), Bucket::new());
    with_daemon(state.path(), fake::World::default(), async |api| {
        set_up(&api, &bucket.path()).await;
        protect(&api, "1").await;
        protect_other(&api, "2").await;
        let stored = fs::read_to_string(bucket.path().join(Bucket::manifest(1))).unwrap();
        let changed = stored.replace("\"node\":\"test\"", "\"node\":\"tesu\"");
        assert_ne!(stored, changed);
        overwrite(&bucket, &Bucket::manifest(1), &changed);
        let error = run(&api, "3").await.error.unwrap();
        assert_eq!(error.code, "TM-CAT-0008", "{error:?}");
        assert!(error.hint.as_ref().unwrap().contains("tidemark version repair src.daily --store s"), "{error:?}");
        assert_eq!(protect_other(&api, "4").await.result.unwrap()["version"], "src.other.2");
        let store = api.test_store("s").await.unwrap();
        let line = store.lines.iter().find(|line| line.name == "versions").unwrap();
        assert_eq!((line.status, line.subject.as_str()), (CheckStatus::Warn, "src.daily"));
        assert!(store.lines.iter().any(|line| line.name == "identity" && line.status == CheckStatus::Ok), "{store:?}");
        let collect = async |key| {
            let asked = Collect { store: "s".to_owned(), source: None };
            let ended = done(&api, api.collect(asked, key).await.unwrap()).await;
            ended.result.unwrap()["sources"][0]["problem"].clone()
        };
        assert!(collect("5").await.as_str().unwrap().contains("TM-CAT-0008"), "nothing is deleted by what it says");
        let repaired = api.repair_set("src", "daily", None).await.unwrap();
        assert_eq!(repaired.sealed.as_deref(), Some("src.daily.2"));
        assert!(repaired.damage.unwrap().contains("another one than was committed"));
        assert_eq!(version(&api, "6").await, "src.daily.3");
        let shown: Vec<_> = versions(&api).await.into_iter().map(|version| version.id).collect();
        assert_eq!(shown, ["src.daily.2", "src.daily.3", "src.other.1", "src.other.2"], "it is hidden");
        assert_eq!(collect("7").await, json!(null));
    })
    .await;
}

#[tokio::test]
async fn what_is_known_and_cannot_be_read_is_taken_from_the_store_again() {
    let (state, bucket) = (tempfile::tempdir().unwrap(), Bucket::new());
    let mut repository = String::new();
    with_daemon(state.path(), fake::World::default(), async |api| {
        set_up(&api, &bucket.path()).await;
        protect(&api, "1").await;
        protect_other(&api, "2").await;
    })
    .await;
    for entry in fs::read_to_string(bucket.path().join("tidemark.json")).unwrap().split('"') {
        repository = if entry.len() == 36 { entry.to_owned() } else { repository };
    }
    let spoil = async |what: &str| {
        let coordinator = Embedded::open(state.path(), Env::system()).unwrap();
        let key = format!("known/{repository}/{what}");
        assert!(coordinator.get(&key).await.unwrap().is_some(), "{key}");
        coordinator.txn(vec![], vec![Op::put(key, "?")], vec![]).await.unwrap();
    };
    spoil("head/src.daily").await;
    with_daemon(state.path(), fake::World::default(), async |api| {
        assert_eq!(run(&api, "3").await.error.unwrap().code, "TM-STORE-0120");
        assert_eq!(protect_other(&api, "4").await.result.unwrap()["version"], "src.other.2");
        assert_eq!(api.version("src.daily.1").await.unwrap().version.store, "s");
        let repaired = api.repair_set("src", "daily", None).await.unwrap();
        assert!(repaired.sealed.is_none() && repaired.damage.unwrap().contains("known/"));
        assert_eq!(version(&api, "5").await, "src.daily.2");
    })
    .await;
    spoil("head/src.daily").await;
    spoil("generation").await;
    with_daemon(state.path(), fake::World::default(), async |api| {
        assert_eq!(run(&api, "6").await.error.unwrap().code, "TM-STORE-0120");
        let accepted = api.accept_store("s", AcceptStore { confirm: "s".to_owned() }).await.unwrap();
        assert_eq!(accepted.lost, Vec::<String>::new());
        assert_eq!(version(&api, "7").await, "src.daily.3");
        assert_eq!(
            api.accept_store("s", AcceptStore { confirm: "s".to_owned() }).await.unwrap_err().code,
            "TM-STORE-0116"
        );
    })
    .await;
}

#[tokio::test]
async fn a_store_with_a_generation_that_no_daemon_came_to_is_refused_and_touches_no_other() {
    let (state, bucket, other) = (tempfile::tempdir().unwrap(), Bucket::new(), Bucket::new());
    with_daemon(state.path(), fake::World::default(), async |api| {
        set_up(&api, &bucket.path()).await;
        let planted = "gen/00000000009999999999";
        fs::create_dir(other.path().join("gen")).unwrap();
        fs::write(other.path().join(planted), "?").unwrap();
        let refused = add_other(&api, "t", &other).await.unwrap_err();
        assert_eq!((refused.status, refused.code.as_str()), (422, "TM-STORE-0119"), "{refused:?}");
        protect(&api, "1").await;
        fs::write(bucket.path().join(planted), "?").unwrap();
        assert_eq!(run(&api, "2").await.error.unwrap().code, "TM-STORE-0119");
        bucket.remove(planted);
        other.remove(planted);
        assert_eq!(version(&api, "3").await, "src.daily.2");
        add_other(&api, "t", &other).await.unwrap();
    })
    .await;
}

#[tokio::test]
async fn a_store_is_registered_with_what_can_be_read_of_it_and_says_what_cannot() {
    let (one, two, bucket) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap(), Bucket::new());
    with_daemon(one.path(), fake::World::default(), async |api| {
        set_up(&api, &bucket.path()).await;
        protect(&api, "1").await;
        protect_other(&api, "2").await;
    })
    .await;
    let first = "00000000000000000001";
    overwrite(&bucket, &format!("config/policies/other/{first}"), "{");
    overwrite(&bucket, &Bucket::manifest(1), "?");
    let newer = r#"{"document":"config","format":9,"body":{}}"#;
    for kind in ["sources", "policies"] {
        fs::create_dir_all(bucket.path().join(format!("config/{kind}/new"))).unwrap();
        fs::write(bucket.path().join(format!("config/{kind}/new/{first}")), newer).unwrap();
    }
    let newer = r#"{"document":"generation","format":9,"body":{}}"#;
    fs::write(bucket.path().join("gen/00000000000000000007"), newer).unwrap();
    with_daemon(two.path(), fake::World::default(), async |api| {
        let store = add_other(&api, "s", &bucket).await.unwrap();
        let named = |text: &str| store.warnings.iter().filter(|warning| warning.contains(text)).count();
        assert_eq!(store.warnings.len(), 4, "{store:?}");
        assert_eq!((named("TM-CAT-0008"), named("TM-STORE-0106")), (1, 3), "{store:?}");
        assert_eq!((named("src.daily"), named("sources new"), named("policies new")), (1, 1, 1), "{store:?}");
        api.confirm_source("src").await.unwrap();
        assert_eq!(policies(&api).await, [policy()], "what can be read is back");
        assert!(bucket.path().join("gen/00000000000000000008").exists(), "the number of a newer document counts");
        let qualities: Vec<_> = versions(&api).await.into_iter().map(|version| version.quality).collect();
        assert_eq!(qualities, [Quality::Damaged, Quality::Cut]);
        assert_eq!(protect_other(&api, "3").await.result.unwrap()["version"], "src.other.2");
        assert_eq!(run(&api, "4").await.error.unwrap().code, "TM-CAT-0008");
        assert_eq!(api.repair_set("src", "daily", Some("s")).await.unwrap().sealed.unwrap(), "src.daily.2");
        assert_eq!(version(&api, "5").await, "src.daily.3");
    })
    .await;
}

#[tokio::test]
async fn a_store_that_is_down_stops_no_capture_and_no_restore_of_another() {
    let (state, bucket, other) = (tempfile::tempdir().unwrap(), Bucket::new(), Bucket::new());
    with_daemon(state.path(), fake::World::default(), async |api| {
        set_up(&api, &bucket.path()).await;
        add_other(&api, "a", &other).await.unwrap();
        protect(&api, "1").await;
        fs::remove_dir_all(other.path()).unwrap();
        assert_eq!(version(&api, "2").await, "src.daily.2");
        let back = api.restore(restore(json!({})), "back").await.unwrap();
        assert_eq!(done(&api, back).await.state, OperationState::Succeeded);
        assert_eq!(api.repair_set("src", "daily", None).await.unwrap().store, "s");
    })
    .await;
}
