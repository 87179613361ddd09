//! What a source names is executed and read only where an operator said so, and where the configuration allows it.

use std::{fs, os::unix::fs::PermissionsExt as _, path::PathBuf};

use tidemark_web::{
    api::{TakenOver, TakenPolicy, TakenSet},
    control::IfMatch,
};

use super::*;
use crate::daemon::RawAllow;

/// A bucket whose mirror says that a program is to be run, which leaves a mark.
struct Hostile {
    home: tempfile::TempDir,
}

impl Hostile {
    async fn new() -> Self {
        let hostile = Self { home: tempfile::tempdir().unwrap() };
        let script = format!("#!/bin/sh\necho ran >> {}\n", hostile.path("mark").display());
        fs::write(hostile.path("tool"), script).unwrap();
        fs::set_permissions(hostile.path("tool"), fs::Permissions::from_mode(0o755)).unwrap();
        fs::write(hostile.path("secret"), "s").unwrap();
        fs::create_dir(hostile.path("store")).unwrap();
        let state = tempfile::tempdir().unwrap();
        with_daemon(state.path(), fake::World::default(), async |api| {
            add_store(&api, &hostile.path("store")).await;
            api.add_source(hostile.source()).await.unwrap();
            assert_eq!(protect(&api, "1").await.state, OperationState::Succeeded);
        })
        .await;
        assert!(hostile.ran(), "what the operator says is run");
        fs::remove_file(hostile.path("mark")).unwrap();
        hostile
    }

    fn path(&self, name: &str) -> PathBuf {
        self.home.path().join(name)
    }

    fn source(&self) -> AddSource {
        let spec = json!({"nodes": ["n1"], "tool": [self.path("tool"), "-x"], "secret": self.path("secret")});
        AddSource { name: "src".to_owned(), kind: "fake".to_owned(), spec }
    }

    fn ran(&self) -> bool {
        self.path("mark").exists()
    }

    /// The settings of a daemon that allows these.
    fn config(&self, state: &Path, programs: &[&str], credentials: &[&str]) -> Config {
        let paths = |names: &[&str]| names.iter().map(|name| self.path(name)).collect();
        let allow = RawAllow { programs: paths(programs), credentials: paths(credentials), data: None };
        let raw = RawConfig { allow: Some(allow), ..raw(state) };
        let backoff = Duration::from_millis(1);
        raw.validate().unwrap().with_runner(RunnerConfig { backoff, ..RunnerConfig::default() })
    }
}

/// Asks everything of a source that would use what it names; all is refused with this code.
async fn nothing_is_used(api: &Api, code: &str) {
    let elsewhere = restore(json!({}));
    for refused in [
        api.test_source("src").await.map(drop),
        api.objects("src", false, &Page::first()).await.map(drop),
        api.run_policy("daily", "refused").await.map(drop),
        api.protect(Protect { policy: policy() }, "refused", None).await.map(drop),
        api.plan_restore(elsewhere.clone()).await.map(drop),
        api.restore(elsewhere.clone(), "refused").await.map(drop),
        api.count_restore(elsewhere, "refused").await.map(drop),
    ] {
        let refused = refused.unwrap_err();
        assert!(refused.code == code && refused.hint.is_some(), "{refused:?}");
    }
    assert!(api.source("src").await.unwrap().listeners.is_empty());
    assert_eq!(api.operations(None, &Page::first()).await.unwrap().items.len(), 0);
}

#[tokio::test]
async fn a_source_of_a_mirror_is_inert_until_it_is_confirmed_and_its_versions_are_restored_elsewhere() {
    let (hostile, state) = (Hostile::new().await, tempfile::tempdir().unwrap());
    with_daemon(state.path(), fake::World::default(), async |api| {
        add_store(&api, &hostile.path("store")).await;
        nothing_is_used(&api, "TM-SRC-0010").await;
        let shown = api.sources().await.unwrap().remove(0).unconfirmed.unwrap();
        assert_eq!(shown.store, "s");
        assert_eq!(shown.runs, [format!("{} -x", hostile.path("tool").display())]);
        assert_eq!(shown.reads, [hostile.path("secret").display().to_string()]);
        assert_eq!(versions(&api).await.len(), 1);
        let other = AddSource { name: "other".to_owned(), kind: "fake".to_owned(), spec: json!({"nodes": ["n1"]}) };
        api.add_source(other).await.unwrap();
        let back = api.restore(restore(json!({"to": "other"})), "back").await.unwrap();
        assert_eq!(done(&api, back).await.state, OperationState::Succeeded);
        assert!(!hostile.ran(), "something of the mirror was run");
        assert_eq!(api.confirm_source("src").await.unwrap().unconfirmed, None);
        assert_eq!(api.confirm_source("none").await.unwrap_err().status, 404);
        let run = api.run_policy("daily", "2").await.unwrap();
        assert_eq!(done(&api, run).await.result.unwrap()["version"], "src.daily.2");
        assert!(hostile.ran());
    })
    .await;
    with_daemon(state.path(), fake::World::default(), async |api| {
        assert_eq!(api.source("src").await.unwrap().unconfirmed, None, "a word that was given is kept");
    })
    .await;
}

#[tokio::test]
async fn a_store_says_what_it_brings_and_what_of_it_waits_for_a_word() {
    let (hostile, empty, state) = (Hostile::new().await, tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    with_daemon(state.path(), fake::World::default(), async |api| {
        let add = async |name: &str, bucket: &Path| {
            let url = format!("file://{}", bucket.display());
            api.add_store(serde_json::from_value(json!({"name": name, "url": url})).unwrap()).await.unwrap()
        };
        assert_eq!(add("empty", empty.path()).await.taken_over, Some(TakenOver::default()));
        let found = add("s", &hostile.path("store")).await.taken_over.unwrap();
        assert_eq!(found.sources, ["src"]);
        assert_eq!(found.policies, [TakenPolicy { policy: "daily".to_owned(), source: "src".to_owned() }]);
        let (source, set) = ("src".to_owned(), "daily".to_owned());
        assert_eq!(found.sets, [TakenSet { source, set, numbers: 1, versions: Some(1) }]);
        assert_eq!(add("s", &hostile.path("store")).await.taken_over, None, "it is registered");
        api.confirm_source("src").await.unwrap();
        assert_eq!(api.store("s").await.unwrap().value.taken_over, None);
    })
    .await;
}

#[tokio::test]
async fn a_source_of_a_mirror_gives_way_to_what_the_operator_says_and_its_policies_stay_what_they_are() {
    let hostile = Hostile::new().await;
    let other = AddSource { spec: json!({"nodes": ["n1"]}), ..hostile.source() };
    for own in [hostile.source(), other.clone()] {
        let state = tempfile::tempdir().unwrap();
        with_daemon(state.path(), fake::World::default(), async |api| {
            add_store(&api, &hostile.path("store")).await;
            let added = api.add_source(own.clone()).await.unwrap();
            assert_eq!((added.unconfirmed, added.spec, added.confirmed_policies), (None, own.spec.clone(), vec![]));
            assert_eq!(api.policy("daily").await.unwrap().value.unconfirmed.as_deref(), Some("s"));
            assert_eq!(api.run_policy("daily", "1").await.unwrap_err().code, "TM-POL-0010");
            let third = AddSource { spec: json!({"nodes": ["n3"]}), ..own };
            assert_eq!(api.add_source(third).await.unwrap_err().code, "TM-SRC-0409", "it is the operator's by now");
        })
        .await;
    }
}

/// Registers a bucket as a store of this name.
async fn add_as(api: &Api, name: &str, bucket: &Path) {
    let url = format!("file://{}", bucket.display());
    let request = AddStore { name: name.to_owned(), url, credentials: None, listener_credentials: None, limits: None };
    api.add_store(request).await.unwrap();
}

#[tokio::test]
async fn a_policy_of_a_mirror_does_nothing_for_a_source_that_the_operator_knows_until_it_is_confirmed() {
    let (hostile, state) = (Hostile::new().await, tempfile::tempdir().unwrap());
    with_daemon(state.path(), fake::World::default(), async |api| {
        // The very same source: nothing tells the operator's from the mirror's.
        api.add_source(hostile.source()).await.unwrap();
        add_as(&api, "s", &hostile.path("store")).await;
        let detail = api.policy("daily").await.unwrap();
        assert_eq!(detail.value.unconfirmed.as_deref(), Some("s"));
        let seen = IfMatch(detail.etag);
        for refused in [
            api.run_policy("daily", "1").await.map(drop),
            api.pause_policy("daily", false).await.map(drop),
            api.change_policy("daily", policy(), &seen, None).await.map(drop),
            api.try_change("daily", policy(), &seen).await.map(drop),
        ] {
            let refused = refused.unwrap_err();
            assert_eq!((refused.status, refused.code.as_str()), (422, "TM-POL-0010"), "{refused:?}");
            assert!(refused.hint.is_some_and(|hint| hint.contains("tidemark policy confirm daily")));
        }
        let objects = api.objects("src", false, &Page::first()).await.unwrap().items;
        assert!(objects.len() > 1 && objects.iter().all(|object| object.policies.is_empty()), "{objects:?}");
        assert_eq!(api.operations(None, &Page::first()).await.unwrap().items, []);
        let confirmed = api.confirm_policy("daily", None).await.unwrap().value;
        assert_eq!((confirmed.unconfirmed, confirmed.policy), (None, policy()));
        assert_eq!(api.confirm_policy("none", None).await.unwrap_err().status, 404);
        let run = api.run_policy("daily", "2").await.unwrap();
        assert_eq!(done(&api, run).await.result.unwrap()["version"], "src.daily.2");
    })
    .await;
    with_daemon(state.path(), fake::World::default(), async |api| {
        assert_eq!(api.policy("daily").await.unwrap().value.unconfirmed, None, "a word that was given is kept");
    })
    .await;
}

#[tokio::test]
async fn a_policy_of_a_mirror_without_its_source_does_nothing_once_that_is_added() {
    let (hostile, state) = (Hostile::new().await, tempfile::tempdir().unwrap());
    fs::remove_dir_all(hostile.path("store/config/sources")).unwrap();
    with_daemon(state.path(), fake::World::default(), async |api| {
        add_store(&api, &hostile.path("store")).await;
        assert_eq!(api.confirm_policy("daily", None).await.unwrap_err().code, "TM-SRC-0404");
        api.add_source(hostile.source()).await.unwrap();
        assert_eq!(api.run_policy("daily", "1").await.unwrap_err().code, "TM-POL-0010");
        // What the operator says takes its place.
        let own = Policy { objects: vec!["ks/a".to_owned()], ..policy() };
        assert_eq!(api.add_policy(own.clone(), None).await.unwrap(), own);
        let detail = api.policy("daily").await.unwrap().value;
        assert_eq!((detail.unconfirmed, detail.policy), (None, own));
        let run = api.run_policy("daily", "2").await.unwrap();
        assert_eq!(done(&api, run).await.result.unwrap()["version"], "src.daily.2");
    })
    .await;
}

#[tokio::test]
async fn a_source_is_confirmed_with_the_policies_that_are_shown_with_it_and_no_others() {
    let (first, second) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let (one, two) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let other = Policy { name: "other".to_owned(), store: "t".to_owned(), ..policy() };
    with_daemon(one.path(), fake::World::default(), async |api| {
        set_up(&api, first.path()).await;
        add_as(&api, "t", second.path()).await;
        api.add_policy(policy(), None).await.unwrap();
        api.add_policy(other.clone(), None).await.unwrap();
    })
    .await;
    with_daemon(two.path(), fake::World::default(), async |api| {
        add_as(&api, "s", first.path()).await;
        add_as(&api, "t", second.path()).await;
        assert_eq!(api.source("src").await.unwrap().unconfirmed.unwrap().policies, [policy()]);
        assert_eq!(api.confirm_policy("daily", None).await.unwrap_err().code, "TM-SRC-0010", "the source comes first");
        let confirmed = api.confirm_source("src").await.unwrap();
        assert_eq!((confirmed.unconfirmed, confirmed.confirmed_policies), (None, vec![policy()]));
        let seen = api.policies(&Page::first()).await.unwrap().items;
        let seen: Vec<_> = seen.into_iter().map(|detail| (detail.policy.name, detail.unconfirmed)).collect();
        assert_eq!(seen, [("daily".to_owned(), None), ("other".to_owned(), Some("t".to_owned()))]);
        let removed = api.remove_policy("other", &IfMatch(api.policy("other").await.unwrap().etag)).await.unwrap();
        assert_eq!(removed.policy, other);
    })
    .await;
}

#[tokio::test]
async fn what_the_configuration_does_not_allow_is_not_used_even_if_it_is_confirmed() {
    let hostile = Hostile::new().await;
    for (programs, credentials) in [(&[][..], &["secret"][..]), (&["tool"], &[]), (&["store"], &["store"])] {
        let state = tempfile::tempdir().unwrap();
        let config = hostile.config(state.path(), programs, credentials);
        with_config(config, fake::World::default(), async |api| {
            add_store(&api, &hostile.path("store")).await;
            assert_eq!(api.confirm_source("src").await.unwrap_err().code, "TM-SRC-0011");
            nothing_is_used(&api, "TM-SRC-0010").await;
            let new = AddSource { name: "new".to_owned(), ..hostile.source() };
            assert_eq!(api.add_source(new).await.unwrap_err().code, "TM-SRC-0011");
            assert!(!api.source("src").await.unwrap().refused.is_empty());
        })
        .await;
        assert!(!hostile.ran(), "{programs:?} {credentials:?}");
    }
}

#[tokio::test]
async fn a_restriction_holds_for_sources_that_were_there_before_it() {
    let (hostile, state) = (Hostile::new().await, tempfile::tempdir().unwrap());
    with_daemon(state.path(), fake::World::default(), async |api| {
        add_store(&api, &hostile.path("store")).await;
        api.confirm_source("src").await.unwrap();
    })
    .await;
    let _ = fs::remove_file(hostile.path("mark"));
    with_config(hostile.config(state.path(), &["secret"], &["secret"]), fake::World::default(), async |api| {
        nothing_is_used(&api, "TM-SRC-0011").await;
    })
    .await;
    assert!(!hostile.ran());
    with_config(hostile.config(state.path(), &["tool"], &["secret"]), fake::World::default(), async |api| {
        let run = api.run_policy("daily", "2").await.unwrap();
        assert_eq!(done(&api, run).await.result.unwrap()["version"], "src.daily.2");
    })
    .await;
    assert!(hostile.ran());
}

#[tokio::test]
async fn a_policy_of_a_mirror_is_not_taken_over_for_another_source_of_the_same_name() {
    let (hostile, state) = (Hostile::new().await, tempfile::tempdir().unwrap());
    with_daemon(state.path(), fake::World::default(), async |api| {
        let own = AddSource { spec: json!({"nodes": ["n1"]}), ..hostile.source() };
        api.add_source(own).await.unwrap();
        let url = format!("file://{}", hostile.path("store").display());
        let request =
            AddStore { name: "s".to_owned(), url, credentials: None, listener_credentials: None, limits: None };
        let store = api.add_store(request).await.unwrap();
        assert!(
            store.warnings[0].contains("policies daily")
                && api.policies(&Page::first()).await.unwrap().items.is_empty(),
            "{store:?}"
        );
    })
    .await;
}
