//! What a source names is executed and read only where an operator said so, and where the configuration allows it.

use std::{fs, os::unix::fs::PermissionsExt as _, path::PathBuf};

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
    assert_eq!(api.operations(&Page::first()).await.unwrap().items.len(), 0);
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
async fn the_same_source_said_by_the_operator_is_confirmed_and_another_one_is_not() {
    let (hostile, state) = (Hostile::new().await, tempfile::tempdir().unwrap());
    with_daemon(state.path(), fake::World::default(), async |api| {
        add_store(&api, &hostile.path("store")).await;
        let other = AddSource { spec: json!({"nodes": ["n1"]}), ..hostile.source() };
        assert_eq!(api.add_source(other).await.unwrap_err().code, "TM-SRC-0409");
        assert_eq!(api.add_source(hostile.source()).await.unwrap().unconfirmed, None);
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
