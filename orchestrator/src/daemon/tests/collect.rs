//! What becomes of what nothing needs any more.

use std::num::NonZeroU64;

use tidemark_catalog::collect::Ages;
use tidemark_web::{
    api::{AcceptStore, ChangeVersion, Collect, Problem},
    control::{IfMatch, VersionChange},
};

use super::*;
use crate::{
    collect_task::periodic,
    coordinator::{Op, list_all},
};

/// Names of all files below a directory, from there on, sorted.
fn files(directory: &Path) -> Vec<String> {
    fn walk(root: &Path, directory: &Path, found: &mut Vec<String>) {
        for entry in std::fs::read_dir(directory).into_iter().flatten().flatten() {
            let path = entry.path();
            match path.is_dir() {
                true => walk(root, &path, found),
                false => found.push(path.strip_prefix(root).unwrap().display().to_string()),
            }
        }
    }
    let mut found = Vec::new();
    walk(directory, directory, &mut found);
    found.sort();
    found
}

#[tokio::test]
async fn what_was_staged_goes_once_its_version_is_committed() {
    let (state, bucket) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    with_daemon(state.path(), fake::World::default(), async |api| {
        set_up(&api, bucket.path()).await;
        let made = protect(&api, "one").await;
        assert_eq!(made.state, OperationState::Succeeded, "{made:?}");
        let staged = bucket.path().join("sources/src/staged").join(&made.id);
        assert_eq!(files(&staged), [""; 0]);
        let verify = api.verify_version("src.daily.1", "v").await.unwrap();
        assert_eq!(done(&api, verify).await.state, OperationState::Succeeded);
    })
    .await;
}

/// No waits: an expiry is over at once, and so is every grace.
fn at_once() -> Ages {
    Ages { undo: Duration::ZERO, marks: Duration::ZERO, unclaimed: Duration::ZERO }
}

async fn collect(api: &Api, key: &str) -> Operation {
    let asked = api.collect(Collect { store: "s".to_owned(), source: None }, key).await.unwrap();
    done(api, asked).await
}

async fn change(api: &Api, id: &str, what: VersionChange) -> Result<Version, Problem> {
    api.change_version(id, what, ChangeVersion { reason: "a test".to_owned() }).await
}

fn ids(versions: &[Version]) -> Vec<&str> {
    versions.iter().map(|version| version.id.as_str()).collect()
}

#[tokio::test]
async fn what_a_crash_left_in_the_store_goes_once_it_is_old_and_the_preview_names_it() {
    let (state, bucket) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let left = ["gen/00000000000000000009#1", "sources/src/pages/0000000001-00000000000000000009-0000000001#3"];
    let probe = ".tidemark-probe/x/clock";
    for (unclaimed, goes) in [(Duration::from_secs(3600), false), (Duration::ZERO, true)] {
        let ages = Ages { unclaimed, ..at_once() };
        with_config(config(state.path()).with_ages(ages), fake::World::default(), async |api| {
            if !goes {
                set_up(&api, bucket.path()).await;
                assert_eq!(protect(&api, "one").await.state, OperationState::Succeeded);
                for name in left.iter().chain([&probe]) {
                    let path = bucket.path().join(name);
                    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
                    std::fs::write(path, "half").unwrap();
                }
            }
            collect(&api, if goes { "later" } else { "early" }).await;
            for (all, named) in [(true, true), (false, false)] {
                let preview = api.preview_collection("s", None, all).await.unwrap();
                let uploads = preview.items.iter().filter(|item| item.serves.contains("upload that was not ended"));
                assert_eq!(uploads.count(), if named && !goes { 2 } else { 0 }, "{:?}", preview.items);
            }
            let there = left.iter().chain([&probe]).filter(|name| bucket.path().join(name).exists()).count();
            assert_eq!(there, if goes { 0 } else { 3 });
        })
        .await;
    }
}

async fn keep_last(api: &Api, last: u32) {
    let kept = Policy { keep: serde_json::from_value(json!({"last": last})).unwrap(), ..policy() };
    let seen = IfMatch(api.policy("daily").await.unwrap().etag);
    let tried = api.try_change("daily", kept.clone(), &seen).await.unwrap();
    let consent = tried.value.preview.unwrap().consent;
    api.change_policy("daily", kept, &seen, consent.as_deref()).await.unwrap();
}

#[tokio::test]
async fn versions_beyond_the_rules_expire_and_are_collected_and_the_others_restore() {
    let (state, bucket) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    with_config(config(state.path()).with_ages(at_once()), fake::World::default(), async |api| {
        set_up(&api, bucket.path()).await;
        for key in ["one", "two", "three"] {
            assert_eq!(protect(&api, key).await.state, OperationState::Succeeded);
        }
        keep_last(&api, 1).await;
        let preview = api.preview_policy("daily").await.unwrap();
        let going: Vec<_> = preview.versions.iter().filter(|v| !v.keep).map(|v| v.version.as_str()).collect();
        assert_eq!(going, ["src.daily.2", "src.daily.1"]);
        let before = files(&bucket.path().join("sources/src/pages")).len();
        let collected = collect(&api, "c").await;
        assert_eq!((collected.state.as_str(), &collected.error), ("succeeded", &None), "{collected:?}");
        let result = &collected.result.as_ref().unwrap()["sources"][0];
        assert_eq!(result["expired"]["list"], json!(going), "as the preview said: {result}");
        assert!(result["freed"]["objects"].as_u64().unwrap() > 0, "{result}");
        assert!(files(&bucket.path().join("sources/src/pages")).len() < before);
        assert_eq!(ids(&versions(&api).await), ["src.daily.3"]);
        let gone = api.version("src.daily.1").await.unwrap_err();
        assert_eq!(gone.code, "TM-VER-0411");
        let verify = api.verify_version("src.daily.3", "v").await.unwrap();
        assert_eq!(done(&api, verify).await.state, OperationState::Succeeded);
        collect(&api, "d").await;
        let preview = api.preview_collection("s", None, false).await.unwrap();
        assert_eq!((preview.frees.objects, preview.problems), (0, vec![]), "{:?}", preview.items);
        let fourth = api.run_policy("daily", "four").await.unwrap();
        let fourth = done(&api, fourth).await;
        assert_eq!(fourth.state, OperationState::Succeeded, "{fourth:?}");
    })
    .await;
}

#[tokio::test]
async fn the_barrier_of_a_collection_is_missed_like_a_version_and_its_number_is_not_given_again() {
    let (state, next, bucket) =
        (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let newest = || bucket.path().join("sources/src/sets/daily/versions").join(format!("{:020}", 4));
    with_config(config(state.path()).with_ages(at_once()), fake::World::default(), async |api| {
        three_and_keep_one(&api, bucket.path()).await;
        assert_eq!(collect(&api, "c").await.state, OperationState::Succeeded);
        std::fs::remove_file(newest()).unwrap();
        let refused = api.run_policy("daily", "four").await.unwrap();
        assert_eq!(done(&api, refused).await.error.unwrap().code, "TM-STORE-0113");
        let refused = api.collect(Collect { store: "s".to_owned(), source: None }, "d").await.unwrap();
        assert_eq!(done(&api, refused).await.error.unwrap().code, "TM-STORE-0113");
        let accepted = api.accept_store("s", AcceptStore { confirm: "s".to_owned() }).await.unwrap();
        assert_eq!(accepted.lost, ["src.daily.4..4"]);
        change(&api, "src.daily.3", VersionChange::Expire).await.unwrap();
    })
    .await;
    // A daemon that knows nothing of the store but what that says.
    for number in [3, 4] {
        std::fs::remove_file(newest().with_file_name(format!("{number:020}"))).unwrap();
    }
    with_config(config(next.path()).with_ages(at_once()), fake::World::default(), async |api| {
        let url = format!("file://{}", bucket.path().display());
        let add = AddStore { name: "s".to_owned(), url, credentials: None, listener_credentials: None, limits: None };
        let added = api.add_store(add).await.unwrap();
        let lost = |warning: &&String| warning.contains("TM-STORE-0113") && warning.contains("before version 3,");
        assert_eq!(added.warnings.iter().filter(lost).count(), 1, "{:?}", added.warnings);
        api.confirm_source("src").await.unwrap();
        let refused = api.run_policy("daily", "five").await.unwrap();
        assert_eq!(done(&api, refused).await.error.unwrap().code, "TM-STORE-0113");
        let accepted = api.accept_store("s", AcceptStore { confirm: "s".to_owned() }).await.unwrap();
        assert_eq!(accepted.lost, ["src.daily.3..3"]);
        let made = api.run_policy("daily", "six").await.unwrap();
        assert_eq!(done(&api, made).await.result.unwrap()["version"], "src.daily.4");
    })
    .await;
}

/// Three versions under a policy that keeps one of them.
async fn three_and_keep_one(api: &Api, bucket: &Path) {
    set_up(api, bucket).await;
    for key in ["one", "two", "three"] {
        assert_eq!(protect(api, key).await.state, OperationState::Succeeded);
    }
    keep_last(api, 1).await;
}

/// Collects, and gives why the policy's rule rested.
async fn resting(api: &Api, key: &str) -> Vec<String> {
    let collected = collect(api, key).await;
    let resting = collected.result.as_ref().unwrap()["sources"][0]["resting"].clone();
    serde_json::from_value(resting).unwrap()
}

/// Confirms the policy with the consent to what goes by it, without which it is refused.
async fn confirm_seen(api: &Api) {
    let refused = api.confirm_policy("daily", None).await.unwrap_err();
    assert_eq!(refused.code, "TM-POL-0422");
    let seen = api.policy("daily").await.unwrap().value.policy;
    let consent = api.try_policy(seen).await.unwrap().preview.unwrap().consent;
    api.confirm_policy("daily", consent.as_deref()).await.unwrap();
}

#[tokio::test]
async fn a_policy_that_nobody_has_confirmed_lets_no_version_go() {
    let (state, next, bucket) =
        (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    with_daemon(state.path(), fake::World::default(), async |api| three_and_keep_one(&api, bucket.path()).await).await;
    with_config(config(next.path()).with_ages(at_once()), fake::World::default(), async |api| {
        add_store(&api, bucket.path()).await;
        assert_eq!(resting(&api, "c").await, ["daily: source src is not confirmed"]);
        assert_eq!(versions(&api).await.len(), 3);
        // Confirming the source is no word about the versions.
        let confirmed = api.confirm_source("src").await.unwrap();
        let waiting: Vec<_> = confirmed.waiting_policies.iter().map(|policy| policy.name.as_str()).collect();
        assert_eq!((confirmed.confirmed_policies, waiting), (vec![], vec!["daily"]));
        assert_eq!(resting(&api, "d").await, ["daily: it came from the mirror of store s and is not confirmed"]);
        assert_eq!(versions(&api).await.len(), 3);
        confirm_seen(&api).await;
        assert_eq!(resting(&api, "e").await, [""; 0]);
        assert_eq!(ids(&versions(&api).await), ["src.daily.3"]);
    })
    .await;
}

#[tokio::test]
async fn a_policy_of_a_mirror_lets_no_version_go_of_a_source_that_an_operator_said() {
    let (state, next, bucket) =
        (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    with_daemon(state.path(), fake::World::default(), async |api| three_and_keep_one(&api, bucket.path()).await).await;
    with_config(config(next.path()).with_ages(at_once()), fake::World::default(), async |api| {
        set_up(&api, bucket.path()).await;
        assert_eq!(resting(&api, "c").await, ["daily: it came from the mirror of store s and is not confirmed"]);
        assert_eq!(versions(&api).await.len(), 3);
        confirm_seen(&api).await;
        assert_eq!(resting(&api, "d").await, [""; 0]);
        assert_eq!(ids(&versions(&api).await), ["src.daily.3"]);
    })
    .await;
}

#[tokio::test]
async fn a_policy_of_a_mirror_lets_nothing_go_that_a_version_keeps_staged() {
    let (state, next, bucket) =
        (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    with_daemon(state.path(), fake::World::default(), async |api| {
        set_up(&api, bucket.path()).await;
        api.add_policy(Policy { keep_staged: true, ..policy() }, None).await.unwrap();
        let run = api.run_policy("daily", "one").await.unwrap();
        assert_eq!(done(&api, run).await.state, OperationState::Succeeded);
        let seen = IfMatch(api.policy("daily").await.unwrap().etag);
        api.change_policy("daily", policy(), &seen, None).await.unwrap();
    })
    .await;
    with_config(config(next.path()).with_ages(at_once()), fake::World::default(), async |api| {
        set_up(&api, bucket.path()).await;
        let staged = || files(&bucket.path().join("sources/src/staged")).len();
        let kept = staged();
        collect(&api, "c").await;
        assert!(kept > 0 && staged() == kept, "{kept}");
        api.confirm_policy("daily", None).await.unwrap();
        collect(&api, "d").await;
        assert_eq!(staged(), 0);
    })
    .await;
}

#[tokio::test]
async fn a_policy_that_is_not_the_newest_of_the_mirror_lets_no_version_go() {
    let (state, older, bucket) =
        (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    with_daemon(state.path(), fake::World::default(), async |api| three_and_keep_one(&api, bucket.path()).await).await;
    for name in ["coordinator.redb", "token"] {
        std::fs::copy(state.path().join(name), older.path().join(name)).unwrap();
    }
    with_daemon(state.path(), fake::World::default(), async |api| keep_last(&api, 3).await).await;
    with_config(config(older.path()).with_ages(at_once()), fake::World::default(), async |api| {
        assert!(resting(&api, "c").await[0].contains("mirror"), "the copy knows an older rule");
        assert_eq!(versions(&api).await.len(), 3);
        // Saving it in whatever way would make the older rule count again.
        let old = api.policy("daily").await.unwrap();
        let seen = IfMatch(old.etag);
        for saved in [
            api.pause_policy("daily", true).await.map(drop),
            api.add_policy(old.value.policy.clone(), None).await.map(drop),
            api.change_policy("daily", old.value.policy.clone(), &seen, None).await.map(drop),
            api.change_policy(
                "daily",
                Policy { keep: serde_json::from_value(json!({"last": 2})).unwrap(), ..policy() },
                &seen,
                None,
            )
            .await
            .map(drop),
        ] {
            assert_eq!(saved.unwrap_err().code, "TM-POL-0422");
        }
        assert!(resting(&api, "e").await[0].contains("mirror"));
        keep_last(&api, 2).await;
        assert_eq!(resting(&api, "d").await, [""; 0]);
        assert_eq!(ids(&versions(&api).await), ["src.daily.2", "src.daily.3"]);
    })
    .await;
}

#[tokio::test]
async fn a_daemon_that_others_have_left_behind_lets_no_version_go() {
    let (state, bucket) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    with_config(config(state.path()).with_ages(at_once()), fake::World::default(), async |api| {
        three_and_keep_one(&api, bucket.path()).await;
        std::fs::write(bucket.path().join("gen/00000000000000000009"), "a later one").unwrap();
        let collected = collect(&api, "c").await;
        let problem = collected.result.as_ref().unwrap()["sources"][0]["problem"].to_string();
        assert!(problem.contains("TM-GC-0003"), "{problem}");
        assert_eq!(versions(&api).await.len(), 3);
    })
    .await;
}

#[tokio::test]
async fn a_version_that_cannot_be_read_can_be_given_up_and_the_others_are_collected_without_it() {
    let (state, bucket) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    with_config(config(state.path()).with_ages(at_once()), fake::World::default(), async |api| {
        set_up(&api, bucket.path()).await;
        for key in ["one", "two", "three"] {
            assert_eq!(protect(&api, key).await.state, OperationState::Succeeded);
        }
        let manifest = bucket.path().join("sources/src/sets/daily/versions/00000000000000000001");
        std::fs::write(manifest, "{").unwrap();
        let stopped = collect(&api, "c").await;
        assert!(stopped.result.unwrap()["sources"][0]["problem"].to_string().contains("TM-GC-0002"));
        let line = change(&api, "src.daily.1", VersionChange::Expire).await.unwrap();
        assert!(line.quality == Quality::Damaged && line.expired.is_some(), "{line:?}");
        assert_eq!(change(&api, "src.daily.9", VersionChange::Expire).await.unwrap_err().status, 404);
        let collected = collect(&api, "d").await;
        assert_eq!(collected.state, OperationState::Succeeded, "{collected:?}");
        assert_eq!(ids(&versions(&api).await), ["src.daily.2", "src.daily.3"]);
    })
    .await;
}

/// What becomes of each.
fn states(versions: &[Version]) -> Vec<&'static str> {
    versions.iter().map(|version| version.state.as_str()).collect()
}

#[tokio::test]
async fn what_was_collected_is_listed_only_where_it_is_asked_for() {
    let (state, bucket) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    with_config(config(state.path()).with_ages(at_once()), fake::World::default(), async |api| {
        set_up(&api, bucket.path()).await;
        protect(&api, "one").await;
        protect(&api, "two").await;
        change(&api, "src.daily.1", VersionChange::Expire).await.unwrap();
        collect(&api, "c").await;
        let listed = async |which| api.versions(which, &Page::first()).await.unwrap().items;
        assert_eq!(ids(&listed(Versions { expired: true, ..Versions::default() }).await), ["src.daily.2"]);
        let all = listed(Versions { collected: true, ..Versions::default() }).await;
        assert_eq!((ids(&all), states(&all)), (vec!["src.daily.1", "src.daily.2"], vec!["collected", "kept"]));
    })
    .await;
}

#[tokio::test]
async fn an_expiry_can_be_undone_until_it_is_collected_and_a_hold_outlasts_rules() {
    let (state, bucket) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let ages = Ages { undo: Duration::from_secs(3600), ..at_once() };
    with_config(config(state.path()).with_ages(ages), fake::World::default(), async |api| {
        set_up(&api, bucket.path()).await;
        for key in ["one", "two", "three"] {
            protect(&api, key).await;
        }
        let held = change(&api, "src.daily.1", VersionChange::Hold).await.unwrap();
        assert_eq!(held.held.as_deref(), Some("operator: a test"));
        let other = ChangeVersion { reason: "another".to_owned() };
        let refused = api.change_version("src.daily.1", VersionChange::Hold, other.clone()).await.unwrap_err();
        assert_eq!(refused.code, "TM-VER-0422");
        assert!(refused.detail.contains("held by operator (a test)"), "{refused:?}");
        assert_eq!(change(&api, "src.daily.1", VersionChange::Expire).await.unwrap_err().code, "TM-VER-0422");
        keep_last(&api, 1).await;
        let keeps = async || {
            let preview = api.preview_policy("daily").await.unwrap();
            preview.versions.into_iter().map(|v| (v.keep, v.reasons.join(", "))).collect::<Vec<_>>()
        };
        let seen = keeps().await;
        assert_eq!(seen.iter().map(|(keep, _)| *keep).collect::<Vec<_>>(), [true, false, true]);
        assert!(seen[2].1.contains("operator: a test"), "the hold is the reason: {seen:?}");
        collect(&api, "c").await;
        assert_eq!(keeps().await[1], (false, "expired already".to_owned()));
        let objects = api.objects("src", false, &Page::first()).await.unwrap().items;
        assert_eq!(objects[0].versions, 2, "what is expired is not counted");
        assert_eq!(ids(&versions(&api).await), ["src.daily.1", "src.daily.3"]);
        let all = Versions { expired: true, ..Versions::default() };
        let all = api.versions(all, &Page::first()).await.unwrap().items;
        assert_eq!(ids(&all), ["src.daily.1", "src.daily.2", "src.daily.3"], "no fences");
        assert_eq!(states(&all), ["held", "expired", "kept"]);
        let expired = all[1].expired.unwrap();
        let grace = all[1].undo_until.unwrap().duration_since(expired).as_secs();
        assert!((3590..3610).contains(&grace), "by the store's clock: {:?}", all[1]);
        let fences = Versions { fences: true, ..Versions::default() };
        let fences = api.versions(fences, &Page::first()).await.unwrap().items;
        assert_eq!(ids(&fences), ["src.daily.1", "src.daily.3", "src.daily.4"]);
        assert_eq!((fences[2].quality, states(&fences[2..])), (Quality::Fence, vec!["fence"]));
        change(&api, "src.daily.2", VersionChange::Hold).await.unwrap();
        let back = api.change_version("src.daily.2", VersionChange::Unexpire, other).await.unwrap();
        assert_eq!(
            (back.expired, back.held.as_deref()),
            (None, Some("operator: a test")),
            "the hold that is there stays"
        );
        collect(&api, "d").await;
        assert_eq!(versions(&api).await.len(), 3, "what was brought back does not expire again");
        change(&api, "src.daily.2", VersionChange::Release).await.unwrap();
        collect(&api, "e").await;
        assert_eq!(ids(&versions(&api).await), ["src.daily.1", "src.daily.3"]);
        assert_eq!(change(&api, "src.daily.3", VersionChange::Unexpire).await.unwrap_err().code, "TM-VER-0422");
    })
    .await;
}

#[tokio::test]
async fn usage_and_preview_account_for_every_byte() {
    let (state, bucket) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    with_config(config(state.path()).with_ages(at_once()), fake::World::default(), async |api| {
        set_up(&api, bucket.path()).await;
        protect(&api, "one").await;
        protect(&api, "two").await;
        let foreign = bucket.path().join("sources/src/pages/notes.txt");
        std::fs::write(&foreign, "mine").unwrap();
        let usage = api.store_usage("s").await.unwrap().sources.remove(0);
        assert_eq!(usage.problem, None);
        let own = bucket.path().join("sources/src");
        let bytes: u64 = files(&own).iter().map(|name| std::fs::metadata(own.join(name)).unwrap().len()).sum();
        assert_eq!(usage.total.bytes, bytes);
        let parts = [
            usage.versions,
            usage.expired,
            usage.pinned,
            usage.staged_kept,
            usage.operations,
            usage.marked,
            usage.garbage,
            usage.young,
            usage.lasting,
            usage.foreign,
        ];
        assert_eq!(parts.iter().map(|part| part.bytes).sum::<u64>(), bytes);
        assert_eq!((usage.foreign.objects, usage.foreign.bytes), (1, 4));
        let size = api.version_size("src.daily.1").await.unwrap();
        let before = usage.versions.bytes;
        change(&api, "src.daily.1", VersionChange::Expire).await.unwrap();
        collect(&api, "c").await;
        let after = api.store_usage("s").await.unwrap().sources.remove(0);
        assert_eq!(before - after.versions.bytes, size.frees.bytes, "what it was said to free");
        assert_eq!(std::fs::read(&foreign).unwrap(), b"mine");
    })
    .await;
}

#[tokio::test]
async fn a_damaged_version_keeps_its_source_from_being_collected_and_no_other() {
    let (state, bucket) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    with_config(config(state.path()).with_ages(at_once()), fake::World::default(), async |api| {
        set_up(&api, bucket.path()).await;
        for key in ["one", "two", "three"] {
            protect(&api, key).await;
        }
        let manifest = bucket.path().join("sources/src/sets/daily/versions/00000000000000000002");
        std::fs::write(&manifest, "{}").unwrap();
        let before = files(&bucket.path().join("sources/src/pages")).len();
        change(&api, "src.daily.1", VersionChange::Expire).await.unwrap();
        let collected = collect(&api, "c").await;
        assert_eq!(collected.state, OperationState::Warnings, "{collected:?}");
        let problem = &collected.result.as_ref().unwrap()["sources"][0]["problem"];
        assert!(problem.as_str().is_some_and(|problem| problem.contains("does not verify")), "{problem}");
        assert_eq!(files(&bucket.path().join("sources/src/pages")).len(), before);
    })
    .await;
}

#[tokio::test]
async fn a_version_whose_state_is_damaged_stays_in_the_preview_as_in_the_collection() {
    let (state, bucket) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    with_config(config(state.path()).with_ages(at_once()), fake::World::default(), async |api| {
        set_up(&api, bucket.path()).await;
        for key in ["one", "two", "three"] {
            protect(&api, key).await;
        }
        change(&api, "src.daily.1", VersionChange::Hold).await.unwrap();
        let states = bucket.path().join("sources/src/sets/daily/states");
        for name in files(&states) {
            std::fs::write(states.join(name), "{}").unwrap();
        }
        keep_last(&api, 1).await;
        let preview = api.preview_policy("daily").await.unwrap();
        let seen: Vec<_> = preview.versions.iter().map(|v| (v.version.as_str(), v.keep)).collect();
        assert_eq!(seen, [("src.daily.3", true), ("src.daily.2", false), ("src.daily.1", true)]);
        assert!(preview.versions[2].reasons[0].contains("damaged"), "{preview:?}");
        let collected = collect(&api, "c").await;
        let result = &collected.result.as_ref().unwrap()["sources"][0];
        assert_eq!(result["expired"]["list"], json!(["src.daily.2"]), "as the preview said: {result}");
        assert_eq!(result["damaged"]["list"], json!(["src.daily.1"]), "{result}");
    })
    .await;
}

#[tokio::test]
async fn a_slot_makes_one_collection_of_each_store() {
    let (state, bucket) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let daemon = super::super::Daemon::open(config(state.path()), Env::system(), fake::World::default().parts());
    let daemon = daemon.await.unwrap();
    let (api, with) = (daemon.api(), daemon.executors.clone());
    add_store(&api, bucket.path()).await;
    let hours = NonZeroU64::new(1000 * 3_600_000).unwrap();
    for _ in 0..3 {
        periodic::look(&with, hours).await.unwrap();
    }
    let made = api.operations(None, &Page::first()).await.unwrap().items;
    assert_eq!(made.iter().map(|o| (o.kind.as_str(), o.subject.as_str())).collect::<Vec<_>>(), [("collect", "s")]);
}

#[tokio::test]
async fn a_long_slot_makes_one_collection_although_its_task_and_keys_are_forgotten() {
    let (state, bucket) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let daemon = super::super::Daemon::open(config(state.path()), Env::system(), fake::World::default().parts());
    let daemon = daemon.await.unwrap();
    let (api, with) = (daemon.api(), daemon.executors.clone());
    let coordinator = with.registrations.coordinator();
    add_store(&api, bucket.path()).await;
    let long = NonZeroU64::new(1000 * 3_600_000).unwrap();
    let made = async || api.operations(None, &Page::first()).await.unwrap().items.len();
    periodic::look(&with, long).await.unwrap();
    assert_eq!(made().await, 1);
    // A day later what is done may be gone, and keys of requests are.
    for prefix in ["task/", "queue/", "idempotency/"] {
        for kv in list_all(&**coordinator, prefix).await.unwrap().0 {
            coordinator.txn(vec![], vec![Op::delete(kv.key)], vec![]).await.unwrap();
        }
    }
    periodic::look(&with, long).await.unwrap();
    assert_eq!(made().await, 0, "the slot has made its task");
    let ahead = (4_000_000_000_000_u64 / long.get() * long.get()).to_string();
    coordinator.txn(vec![], vec![Op::put("collected/s", ahead)], vec![]).await.unwrap();
    periodic::look(&with, long).await.unwrap();
    assert_eq!(made().await, 1, "a clock that was ahead is believed no more");
}

#[tokio::test]
async fn a_task_that_cannot_be_read_stops_no_collection() {
    let (state, bucket) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let daemon = super::super::Daemon::open(config(state.path()), Env::system(), fake::World::default().parts());
    let daemon = daemon.await.unwrap();
    let (api, with) = (daemon.api(), daemon.executors.clone());
    add_store(&api, bucket.path()).await;
    let damaged = vec![Op::put("queue/00000000000000000001/damaged", ""), Op::put("task/damaged", "{")];
    with.registrations.coordinator().txn(vec![], damaged, vec![]).await.unwrap();
    periodic::look(&with, NonZeroU64::new(1000 * 3_600_000).unwrap()).await.unwrap();
    assert_eq!(api.operations(None, &Page::first()).await.unwrap().items.len(), 1);
}

#[tokio::test]
async fn an_operator_who_expires_the_newest_version_is_not_told_that_it_can_be_restored() {
    let (state, bucket) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    with_daemon(state.path(), fake::World::default(), async |api| {
        set_up(&api, bucket.path()).await;
        protect(&api, "one").await;
        protect(&api, "two").await;
        let newest = async || api.policy("daily").await.unwrap().value.status.newest_version;
        assert_eq!(newest().await.as_deref(), Some("src.daily.2"));
        change(&api, "src.daily.2", VersionChange::Expire).await.unwrap();
        assert_eq!(newest().await.as_deref(), Some("src.daily.1"));
    })
    .await;
}

#[tokio::test]
async fn a_version_with_a_damaged_page_is_in_the_way_until_it_is_expired() {
    let (state, bucket) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    with_config(config(state.path()).with_ages(at_once()), fake::World::default(), async |api| {
        set_up(&api, bucket.path()).await;
        protect(&api, "one").await;
        let pages = bucket.path().join("sources/src/pages");
        for name in files(&pages) {
            std::fs::write(pages.join(name), "{}").unwrap();
        }
        protect(&api, "two").await;
        assert_eq!(collect(&api, "c").await.state, OperationState::Warnings);
        change(&api, "src.daily.1", VersionChange::Expire).await.unwrap();
        let collected = collect(&api, "d").await;
        assert_eq!((collected.state.as_str(), &collected.error), ("succeeded", &None), "{collected:?}");
        assert!(collected.result.unwrap()["sources"][0]["freed"]["objects"].as_u64().unwrap() > 0);
        let verify = api.verify_version("src.daily.2", "v").await.unwrap();
        assert_eq!(done(&api, verify).await.state, OperationState::Succeeded);
    })
    .await;
}

#[tokio::test]
async fn who_reads_a_version_leaves_a_pin_in_its_set() {
    let (state, bucket) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    with_daemon(state.path(), fake::World::default(), async |api| {
        set_up(&api, bucket.path()).await;
        protect(&api, "one").await;
        let verify = api.verify_version("src.daily.1", "v").await.unwrap();
        let verified = done(&api, verify).await;
        let work = bucket.path().join("sources/src/sets/daily/work");
        let roots = files(&work).into_iter().map(|name| std::fs::read_to_string(work.join(name)).unwrap());
        let roots: Vec<Value> = roots.map(|root| serde_json::from_str(&root).unwrap()).collect();
        let pinning: Vec<_> = roots.iter().filter(|root| root["body"]["pins"] == json!(["src.daily.1"])).collect();
        assert_eq!(pinning.len(), 1, "{roots:?}");
        assert_eq!(pinning[0]["body"]["task"], json!(verified.id));
    })
    .await;
}
