//! Policies: what they name, how they are changed, what they say of what runs.

use object_store::{ObjectStore, local::LocalFileSystem};
use tidemark_catalog::config_mirror;
use tidemark_web::{
    api::{Keep, Schedule},
    control::{IfMatch, Tagged},
};

use super::*;
use crate::coordinator::{Coordinator as _, Op};

/// Objects of the version, in its order.
async fn objects_of(api: &Api, version: &str) -> Vec<String> {
    let contents = api.version(version).await.unwrap().contents;
    contents.into_iter().map(|object| object.object).collect()
}

#[tokio::test]
async fn several_databases_go_into_one_version_new_objects_too_and_what_is_excluded_never() {
    let (state, bucket) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let world = fake::World::default();
    let added = Arc::clone(&world.added);
    with_daemon(state.path(), world, async |api| {
        set_up(&api, bucket.path()).await;
        let (objects, excludes) = (vec!["ks/*".to_owned(), "other/*".to_owned()], vec!["*/b*".to_owned()]);
        api.add_policy(Policy { objects, excludes, ..policy() }, None).await.unwrap();
        let run = async |key: &str| done(&api, api.run_policy("daily", key).await.unwrap()).await;
        assert_eq!(run("one").await.result.unwrap()["version"], "src.daily.1");
        // The fake's listeners ship all there is, excluded or not.
        assert_eq!(objects_of(&api, "src.daily.1").await, ["ks/a", "other/c"]);
        added.lock().unwrap().extend(["other/new", "ks/bad", "third/x"].map(str::to_owned));
        assert_eq!(run("two").await.result.unwrap()["version"], "src.daily.2");
        assert_eq!(objects_of(&api, "src.daily.2").await, ["ks/a", "other/c", "other/new"]);
        let restored = api.plan_restore(restore(json!({"version": "src.daily.2"}))).await.unwrap();
        assert_eq!(restored.objects.len(), 3);
    })
    .await;
}

/// The newest state of the policy in the store's mirror; `None` where it was removed.
async fn mirrored(bucket: &Path) -> Option<Value> {
    let store: Arc<dyn ObjectStore> = Arc::new(LocalFileSystem::new_with_prefix(bucket).unwrap());
    config_mirror::latest(&store, "policies").await.unwrap().items.remove("daily")
}

#[tokio::test]
async fn a_policy_with_a_schedule_makes_versions_by_itself_and_a_slot_makes_one() {
    let (state, bucket) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let schedule = Some(Schedule { every: Some("1s".to_owned()), ..Schedule::default() });
    with_daemon(state.path(), fake::World::default(), async |api| {
        set_up(&api, bucket.path()).await;
        api.add_policy(Policy { schedule, ..policy() }, None).await.unwrap();
        let made = tokio::time::timeout(Duration::from_secs(60), async {
            let mut made: Vec<Operation> = Vec::new();
            while made.len() < 2 {
                let listed = api.operations(None, &Page::first()).await.unwrap().items;
                match listed.into_iter().find(|operation| made.iter().all(|known| known.id != operation.id)) {
                    Some(operation) => made.push(done(&api, operation).await),
                    None => tokio::task::yield_now().await,
                }
            }
            made
        });
        let made = made.await.expect("two slots are a second apart");
        assert!(made.iter().all(|operation| operation.subject == "src/daily"), "{made:?}");
        assert!(versions(&api).await.len() >= 2);
        let told = api.metrics();
        assert!(told.contains("tidemark_leader 1\n"), "{told}");
        let interval = "tidemark_policy_expected_interval_seconds{source=\"src\",policy=\"daily\"} 1.0\n";
        assert!(told.contains(interval), "{told}");
    })
    .await;
}

async fn etag(api: &Api) -> IfMatch {
    IfMatch(api.policy("daily").await.unwrap().etag)
}

#[tokio::test]
async fn a_change_is_bound_to_the_state_that_was_seen_and_in_the_bucket_before_it_is_answered() {
    let (state, bucket) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    with_daemon(state.path(), fake::World::default(), async |api| {
        set_up(&api, bucket.path()).await;
        api.add_policy(policy(), None).await.unwrap();
        let seen = etag(&api).await;
        let changed = Policy { excludes: vec!["ks/b".to_owned()], zone: Some("Europe/Vienna".to_owned()), ..policy() };
        let tried = api.try_change("daily", changed.clone(), &seen).await.unwrap();
        assert!(tried.value.preview.is_some() && tried.etag == seen.0);
        assert_eq!(policies(&api).await, [policy()], "a dry run changes nothing");
        let Tagged { value, etag: after } = api.change_policy("daily", changed.clone(), &seen, None).await.unwrap();
        assert_eq!((&value.policy, value.preview), (&changed, None));
        assert_ne!(after, seen.0);
        assert_eq!(etag(&api).await.0, after);
        assert_eq!(mirrored(bucket.path()).await.unwrap()["excludes"], json!(["ks/b"]));
        let stale = api.change_policy("daily", policy(), &seen, None).await.unwrap_err();
        assert_eq!((stale.status, stale.code.as_str()), (412, "TM-POL-0412"));
        assert_eq!(api.try_change("daily", policy(), &seen).await.unwrap_err().status, 412);
        assert_eq!(api.remove_policy("daily", &seen).await.unwrap_err().status, 412);
        let (now, run) = (etag(&api).await, api.run_policy("daily", "one").await.unwrap());
        done(&api, run).await;
        assert_eq!(objects_of(&api, "src.daily.1").await, ["ks/a"]);
        for moved in [
            Policy { name: "other".to_owned(), ..policy() },
            Policy { source: "other".to_owned(), ..policy() },
            Policy { store: "other".to_owned(), ..policy() },
        ] {
            let refused = api.change_policy("daily", moved, &now, None).await.unwrap_err();
            assert_eq!((refused.status, refused.code.as_str()), (409, "TM-POL-0409"), "{refused:?}");
        }
        let unsound = Policy { options: json!({"write_level": "most"}), ..policy() };
        assert_eq!(api.change_policy("daily", unsound, &now, None).await.unwrap_err().status, 400);
        assert_eq!(api.change_policy("none", policy(), &now, None).await.unwrap_err().status, 404);
        assert_eq!(policies(&api).await, [changed]);
    })
    .await;
}

#[tokio::test]
async fn of_two_changes_at_once_one_is_made_and_the_mirror_ends_with_it() {
    let (state, bucket) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    with_daemon(state.path(), fake::World::default(), async |api| {
        set_up(&api, bucket.path()).await;
        api.add_policy(policy(), None).await.unwrap();
        for round in 0..5 {
            let (seen, objects) = (etag(&api).await, |n: u32| vec![format!("ks/{round}-{n}")]);
            let change = |n| api.change_policy("daily", Policy { objects: objects(n), ..policy() }, &seen, None);
            let (one, two, three) = tokio::join!(change(1), change(2), change(3));
            let made: Vec<_> = [&one, &two, &three].into_iter().filter_map(|made| made.as_ref().ok()).collect();
            let refused: Vec<_> = [&one, &two, &three].into_iter().filter_map(|made| made.as_ref().err()).collect();
            assert!(
                made.len() == 1 && refused.iter().all(|problem| problem.status == 412),
                "{one:?} {two:?} {three:?}"
            );
            assert_eq!(policies(&api).await, [made[0].value.policy.clone()]);
            assert_eq!(mirrored(bucket.path()).await.unwrap()["objects"], json!(made[0].value.policy.objects));
        }
    })
    .await;
}

#[tokio::test]
async fn what_cannot_be_mirrored_is_not_changed() {
    let (state, bucket) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let away = bucket.path().join("away");
    let store = bucket.path().join("store");
    std::fs::create_dir(&store).unwrap();
    with_daemon(state.path(), fake::World::default(), async |api| {
        set_up(&api, &store).await;
        api.add_policy(policy(), None).await.unwrap();
        let seen = etag(&api).await;
        std::fs::rename(&store, &away).unwrap();
        let changed = Policy { keep_staged: true, ..policy() };
        assert_eq!(api.change_policy("daily", changed, &seen, None).await.unwrap_err().code, "TM-STORE-0110");
        assert_eq!(api.pause_policy("daily", true).await.unwrap_err().code, "TM-STORE-0110");
        assert_eq!(api.remove_policy("daily", &seen).await.unwrap_err().code, "TM-STORE-0110");
        let shown = api.policies(&Page::first()).await.unwrap().items.remove(0);
        assert_eq!(shown.policy, policy(), "and it is still listed");
        assert!(shown.status.note.unwrap().contains("TM-STORE-0110"));
    })
    .await;
}

#[tokio::test]
async fn a_policy_that_is_removed_leaves_its_versions_and_does_not_come_back() {
    let (one, two, bucket) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    with_daemon(one.path(), fake::World::default(), async |api| {
        set_up(&api, bucket.path()).await;
        protect(&api, "one").await;
        let removed = api.remove_policy("daily", &etag(&api).await).await.unwrap();
        assert_eq!((&removed.policy, removed.versions), (&policy(), 1));
        assert!(removed.note.contains("its version stays in store s"), "{}", removed.note);
        assert_eq!(mirrored(bucket.path()).await, None);
        assert!(policies(&api).await.is_empty());
        assert_eq!(api.run_policy("daily", "two").await.unwrap_err().code, "TM-POL-0404");
        assert_eq!(versions(&api).await.len(), 1);
    })
    .await;
    with_daemon(two.path(), fake::World::default(), async |api| {
        add_store(&api, bucket.path()).await;
        assert!(policies(&api).await.is_empty());
        api.confirm_source("src").await.unwrap();
        api.add_policy(policy(), None).await.unwrap();
        let run = api.run_policy("daily", "three").await.unwrap();
        assert_eq!(done(&api, run).await.result.unwrap()["version"], "src.daily.2", "the chain goes on");
    })
    .await;
}

#[tokio::test]
async fn patterns_of_another_form_than_the_sources_names_are_refused() {
    let (state, bucket) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    with_daemon(state.path(), fake::World::default(), async |api| {
        set_up(&api, bucket.path()).await;
        let texts = |texts: &[&str]| texts.iter().map(|text| (*text).to_owned()).collect::<Vec<_>>();
        let one = Policy { objects: texts(&["ks/a", "ks"]), ..policy() };
        let three = Policy { excludes: texts(&["ks/a/b"]), ..policy() };
        for (bad, named) in [(one, "ks can"), (three, "ks/a/b can")] {
            let problem = api.add_policy(bad.clone(), None).await.unwrap_err();
            assert_eq!((problem.status, problem.code.as_str()), (400, "TM-POL-0400"));
            assert!(problem.detail.starts_with(named) && problem.detail.contains("2 parts"), "{problem:?}");
            assert_eq!(problem.hint.as_deref(), Some("*/* is every object of the source"));
            assert_eq!(api.try_policy(bad.clone()).await.unwrap_err().code, "TM-POL-0400");
            api.add_policy(policy(), None).await.unwrap();
            let any = IfMatch("*".to_owned());
            assert_eq!(api.change_policy("daily", bad, &any, None).await.unwrap_err().code, "TM-POL-0400");
        }
    })
    .await;
}

#[tokio::test]
async fn a_policy_that_rests_has_no_coming_runs_and_can_be_run() {
    let (state, bucket) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    with_daemon(state.path(), fake::World::default(), async |api| {
        set_up(&api, bucket.path()).await;
        let every = Schedule { every: Some("1d".to_owned()), ..Schedule::default() };
        api.add_policy(Policy { schedule: Some(every), ..policy() }, None).await.unwrap();
        let runs = api.coming_runs("daily", 3).await.unwrap().items;
        assert_eq!(runs.len(), 3);
        assert_eq!(runs[2].at.duration_since(runs[0].at).as_hours(), 48);
        let status = api.policy("daily").await.unwrap().value.status;
        assert_eq!((status.next_run, status.late), (Some(runs[0].at), false), "its first run is still to come");
        let paused = api.pause_policy("daily", true).await.unwrap();
        assert!(paused.value.policy.paused && mirrored(bucket.path()).await.unwrap()["paused"] == true);
        assert_eq!((paused.value.status.next_run, paused.value.status.late), (None, false));
        assert!(api.coming_runs("daily", 3).await.unwrap().items.is_empty());
        let again = api.pause_policy("daily", true).await.unwrap();
        assert_eq!(again.etag, paused.etag);
        let run = api.run_policy("daily", "one").await.unwrap();
        assert_eq!(done(&api, run).await.state, OperationState::Succeeded);
        let status = api.pause_policy("daily", false).await.unwrap().value.status;
        assert!(status.next_run.is_some() && !status.late, "{status:?}");
        assert_eq!(status.newest_version.as_deref(), Some("src.daily.1"));
        let cut = versions(&api).await[0].cut_from;
        assert!(cut.is_some() && status.recoverable_until == cut && status.running.is_none(), "{status:?}");
        assert_eq!(status.expected_interval_seconds, Some(24 * 3600));
    })
    .await;
}

#[tokio::test]
async fn a_policy_that_cannot_be_read_is_listed_and_runs_that_are_used_up_are_not_promised() {
    let (state, bucket) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let every = Schedule { every: Some("1d".to_owned()), ..Schedule::default() };
    with_daemon(state.path(), fake::World::default(), async |api| {
        set_up(&api, bucket.path()).await;
        api.add_policy(Policy { schedule: Some(every), ..policy() }, None).await.unwrap();
    })
    .await;
    let (now, hours) = (Env::system().now(), jiff::SignedDuration::from_hours);
    let last = now.checked_add(hours(20)).unwrap();
    let record = json!({
        "last": last.as_millisecond(), "dealt": "began", "missed": 0, "missed_in_all": 0, "skipped_in_all": 0,
        "since": now, "steady_from": now.as_millisecond(),
    });
    let coordinator = Embedded::open(state.path(), Env::system()).unwrap();
    // It was made more than one and a half days ago and never ran.
    let stored = coordinator.get("policy/daily").await.unwrap().unwrap();
    let mut policy: Value = serde_json::from_slice(&stored.value).unwrap();
    assert!(policy["active_since"].as_str().unwrap().parse::<jiff::Timestamp>().unwrap() <= now, "{policy}");
    policy["active_since"] = json!(now.checked_sub(hours(37)).unwrap());
    let policy = Op::put("policy/daily", policy.to_string());
    let puts = vec![Op::put("policy/aaa", "{"), Op::put("slot/daily", record.to_string()), policy];
    coordinator.txn(vec![], puts, vec![]).await.unwrap();
    drop(coordinator);
    with_daemon(state.path(), fake::World::default(), async |api| {
        let listed = api.policies(&Page::first()).await.unwrap().items;
        assert_eq!(listed.iter().map(|detail| detail.policy.name.as_str()).collect::<Vec<_>>(), ["aaa", "daily"]);
        let why = listed[0].status.stopped.as_ref().unwrap();
        assert!(why.contains("policy/aaa") && listed[0].status.note.is_some(), "{why}");
        let status = &listed[1].status;
        assert!(status.stopped.as_ref().is_some_and(|why| why.contains("ahead")), "{status:?}");
        assert!(status.late, "a policy that cannot run is late too");
        let runs = api.coming_runs("daily", 2).await.unwrap().items;
        assert!(runs[0].at > last && status.next_run == Some(runs[0].at), "{runs:?}");
    })
    .await;
}

#[tokio::test]
async fn a_policy_that_names_what_holds_anyway_is_the_same() {
    let (state, bucket) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    with_daemon(state.path(), fake::World::default(), async |api| {
        set_up(&api, bucket.path()).await;
        let unsaid = Policy { options: json!({}), ..policy() };
        api.add_policy(unsaid.clone(), None).await.unwrap();
        assert_eq!(api.add_policy(policy(), None).await.unwrap(), unsaid, "it stays as it was first said");
        let other = Policy { options: json!({"write_level": "one"}), ..policy() };
        assert_eq!(api.add_policy(other, None).await.unwrap_err().code, "TM-POL-0409");
        let more = Policy { keep_staged: true, ..policy() };
        assert_eq!(api.add_policy(more, None).await.unwrap_err().code, "TM-POL-0409");
    })
    .await;
}

#[tokio::test]
async fn a_shorter_retention_says_which_versions_would_go() {
    let (state, bucket) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    with_daemon(state.path(), fake::World::default(), async |api| {
        set_up(&api, bucket.path()).await;
        for key in ["one", "two", "three"] {
            protect(&api, key).await;
        }
        let all = api.preview_policy("daily").await.unwrap();
        assert_eq!((all.versions.len(), all.going), (3, 0));
        let keep = Some(Keep { last: Some(1), ..Keep::default() });
        let short = Policy { keep, ..policy() };
        let tried = api.try_change("daily", short.clone(), &etag(&api).await).await.unwrap();
        let preview = tried.value.preview.unwrap();
        let seen: Vec<_> = preview.versions.iter().map(|v| (v.version.as_str(), v.keep, v.newly_going)).collect();
        assert_eq!(seen, [("src.daily.3", true, false), ("src.daily.2", false, true), ("src.daily.1", false, true)]);
        assert_eq!((preview.going, preview.newly_going), (2, 2));
        let consent = preview.consent.unwrap();
        for (given, says) in [(None, "nobody agreed"), (Some("something"), "something else")] {
            let refused = api.change_policy("daily", short.clone(), &etag(&api).await, given).await.unwrap_err();
            assert_eq!((refused.status, refused.code.as_str()), (422, "TM-POL-0422"), "{refused:?}");
            assert!(refused.detail.contains("2 versions would go") && refused.detail.contains(says), "{refused:?}");
            assert!(mirrored(bucket.path()).await.unwrap().get("keep").is_none(), "nor is it mirrored");
        }
        let longer = Policy { keep: Some(Keep { last: Some(3), ..Keep::default() }), ..policy() };
        api.change_policy("daily", longer, &etag(&api).await, None).await.expect("all stay");
        protect_more(&api, "four").await;
        let refused = api.change_policy("daily", short.clone(), &etag(&api).await, Some(&consent)).await.unwrap_err();
        assert_eq!(refused.code, "TM-POL-0422", "it was about other versions");
        let tried = api.try_change("daily", short.clone(), &etag(&api).await).await.unwrap();
        let consent = tried.value.preview.unwrap().consent;
        api.change_policy("daily", short, &etag(&api).await, consent.as_deref()).await.unwrap();
        let preview = api.preview_policy("daily").await.unwrap();
        assert_eq!((preview.going, preview.newly_going), (3, 0), "it is no change any more");
        assert_eq!(preview.consent, None);
    })
    .await;
}

/// Runs the policy as it is registered.
async fn protect_more(api: &Api, key: &str) {
    let run = api.run_policy("daily", key).await.unwrap();
    assert_eq!(done(api, run).await.state, OperationState::Succeeded);
}

#[tokio::test]
async fn a_policy_that_is_made_again_lets_no_version_go_without_a_word() {
    let (state, bucket) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    with_daemon(state.path(), fake::World::default(), async |api| {
        set_up(&api, bucket.path()).await;
        for key in ["one", "two", "three"] {
            protect(&api, key).await;
        }
        api.remove_policy("daily", &etag(&api).await).await.unwrap();
        let short = Policy { keep: Some(Keep { last: Some(1), ..Keep::default() }), ..policy() };
        assert_eq!(api.add_policy(short.clone(), None).await.unwrap_err().code, "TM-POL-0422");
        let protect = Protect { policy: short.clone() };
        assert_eq!(api.protect(protect.clone(), "four", None).await.unwrap_err().code, "TM-POL-0422");
        assert!(policies(&api).await.is_empty() && mirrored(bucket.path()).await.is_none());
        let preview = api.try_policy(short.clone()).await.unwrap().preview.unwrap();
        assert_eq!((preview.going, preview.newly_going), (2, 2));
        assert!(policies(&api).await.is_empty(), "a dry run registers nothing");
        let made = api.protect(protect, "four", preview.consent.as_deref()).await.unwrap();
        assert_eq!(done(&api, made).await.state, OperationState::Succeeded);
        let again = api.try_policy(short.clone()).await.unwrap().preview.unwrap();
        assert_eq!((again.newly_going, again.consent), (0, None), "it is registered");
        api.add_policy(short, None).await.expect("it is the same");
        let other = api.try_policy(policy()).await.unwrap_err();
        assert_eq!(other.code, "TM-POL-0409");
    })
    .await;
}

#[tokio::test]
async fn objects_say_which_policies_name_them_and_what_none_names_is_listed() {
    let (state, bucket) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    with_daemon(state.path(), fake::World::default(), async |api| {
        set_up(&api, bucket.path()).await;
        let every = Schedule { every: Some("12h".to_owned()), ..Schedule::default() };
        let scheduled = Policy { schedule: Some(every), excludes: vec!["ks/b".to_owned()], ..policy() };
        api.add_policy(scheduled, None).await.unwrap();
        let of_other = Policy { name: "more".to_owned(), objects: vec!["ks/a".to_owned()], ..policy() };
        api.add_policy(of_other, None).await.unwrap();
        let run = api.run_policy("daily", "one").await.unwrap();
        done(&api, run).await;
        let all = api.objects("src", false, &Page::first()).await.unwrap().items;
        let named: Vec<_> = all.iter().map(|object| (object.object.as_str(), object.policies.join(" "))).collect();
        assert_eq!(named, [("ks/a", "daily more".to_owned()), ("ks/b", String::new()), ("other/c", String::new())]);
        let version = versions(&api).await.remove(0);
        assert_eq!((all[0].last_success, all[0].recoverable_until), (version.committed, version.cut_from));
        assert_eq!((all[0].expected_interval_seconds, all[0].late), (Some(12 * 3600), false));
        assert_eq!((all[1].expected_interval_seconds, all[1].recoverable_until), (None, None));
        let open = api.objects("src", true, &Page::first()).await.unwrap().items;
        assert_eq!(open.iter().map(|object| object.object.as_str()).collect::<Vec<_>>(), ["ks/b", "other/c"]);
    })
    .await;
}
