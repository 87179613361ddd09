//! A store that was moved away or put back to an older copy, met by the built daemon and command line: refused, never taken for
//! new, and going on above what it held once it was accepted. No database is needed: what is refused is refused before a capture.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use std::{fs, sync::Arc, time::Duration};

use object_store::ObjectStore;
use serde_json::{Value, json};
use tidemark_catalog::{
    chain::VersionSet,
    commit::{Claim, ManifestDraft},
    ids::FencingToken,
    manifest::{self, Holds},
};
use tidemark_gateway::{Env, open};
use tidemark_integration::{
    system::{STORE, System},
    wait::{self, Look},
};
use tidemark_web::api::{List, Operation, Version};

/// Addresses of this test: 127.0.135.x.
const GROUP: u8 = 135;

/// The claim of the daemon that made the versions, and did not live to record them.
struct Killed;

impl Claim for Killed {
    fn token(&self) -> FencingToken {
        FencingToken { generation: 1, revision: 1 }
    }

    fn holds(&self) -> bool {
        true
    }
}

/// Commits a version of the policy, as a daemon does that is killed right after it.
async fn commit(system: &System, task: &str) {
    let url = format!("file://{}", system.store_dir().display()).parse().unwrap();
    let store: Arc<dyn ObjectStore> = open::open(&url, None, &open::OpenOptions::default(), &Env::system()).unwrap();
    let holds = Holds::Version(Box::new(manifest::Version::empty("cassandra")));
    let draft = ManifestDraft { task: task.to_owned(), node: "n".to_owned(), holds, in_order: false };
    let set = VersionSet::new(store, "prod".parse().unwrap(), "daily".parse().unwrap());
    set.commit(draft, &Killed, &Env::system()).await.unwrap();
}

/// Runs the policy; it must fail with this code. Returns its error.
async fn refused(system: &System, code: &str) -> Value {
    let ended = system.cli.outcome(&["policy", "run", "daily", "--wait"]).await.unwrap();
    let error = ended.answer["error"].clone();
    assert_eq!((ended.code, &error["code"]), (1, &json!(code)), "{ended:?}");
    assert_eq!(error["doc"], format!("/errors/{code}"));
    error
}

/// Starts the operation with this command, which gets as far as its source: that one is away. Cancels it then.
async fn waits_for_its_source(system: &System, command: &[&str]) {
    let asked: Operation = system.cli.json(command).await.unwrap();
    let shown = ["op", "show", asked.id.as_str()];
    let phase = wait::until("the wait for the source", Duration::from_secs(60), async || {
        let operation: Operation = system.cli.json(&shown).await?;
        let waits = operation.progress.phase.starts_with("waiting for source since 20");
        Ok(if waits { Look::Ready(operation.progress.phase) } else { Look::Not(format!("{operation:?}")) })
    });
    let phase = phase.await.unwrap();
    assert!(phase.contains(", next try at 20"), "{phase}");
    system.cli.json::<Operation>(&["op", "cancel", &asked.id]).await.unwrap();
    let resumed = system.cli.outcome(&["op", "resume", &asked.id]).await.unwrap();
    assert!(resumed.code == 6 && resumed.said.contains("TM-TASK-0409"), "{resumed:?}");
}

#[tokio::test]
async fn a_store_that_is_not_what_it_was_is_refused_until_an_operator_accepts_it() {
    let system = System::start(GROUP).await.unwrap();
    let (cli, here, away) = (&system.cli, system.store_dir(), system.scratch("away"));
    let node = json!({"address": "127.0.135.1:9042", "data_directories": ["/nonexistent"], "nodetool": ["false"]});
    let source = json!({"contact": ["127.0.135.1:9042"], "credentials": null, "nodes": [node]});
    system.add_source_as("prod", &source).await.unwrap();
    waits_for_its_source(&system, &["protect", "prod/shop/*", "--to", STORE, "--policy", "daily"]).await;
    commit(&system, "one").await;
    commit(&system, "two").await;
    waits_for_its_source(&system, &["policy", "run", "daily"]).await;

    fs::rename(&here, &away).unwrap();
    let error = refused(&system, "TM-STORE-0110").await;
    assert!(error["detail"].as_str().unwrap().contains(here.to_str().unwrap()), "{error}");
    let more = ["protect", "prod/other/*", "--to", STORE, "--policy", "more"];
    let mirrored = cli.outcome(&more).await.unwrap();
    assert!(mirrored.code == 6 && mirrored.said.contains("TM-STORE-0110"), "{mirrored:?}");
    let list = cli.outcome(&["version", "list"]).await.unwrap();
    assert!(list.code == 6 && list.said.contains("TM-STORE-0110"), "{list:?}");
    let test = cli.outcome(&["store", "test", STORE]).await.unwrap();
    assert_eq!((test.code, &test.answer["lines"][0]["name"]), (1, &json!("identity")), "{test:?}");
    assert!(!here.exists(), "something made the directory again");
    fs::rename(&away, &here).unwrap();
    waits_for_its_source(&system, &["policy", "run", "daily"]).await;

    put_back(&system).await;
}

/// The store is put back to before the newest version, and accepted so.
async fn put_back(system: &System) {
    let cli = &system.cli;
    fs::remove_file(system.store_dir().join("sources/prod/sets/daily/versions/00000000000000000002")).unwrap();
    let error = refused(system, "TM-STORE-0113").await;
    assert!(error["hint"].as_str().unwrap().contains("store accept"), "{error}");
    let other = cli.outcome(&["store", "accept", STORE, "--confirm", "other"]).await.unwrap();
    assert!(other.code == 6 && other.said.contains("TM-STORE-0114"), "{other:?}");
    let accepted: Value = cli.json(&["store", "accept", STORE, "--confirm", STORE]).await.unwrap();
    assert_eq!((&accepted["generation"], &accepted["lost"]), (&json!(2), &json!(["prod.daily.2..2"])), "{accepted}");
    let again = cli.outcome(&["store", "accept", STORE, "--confirm", STORE]).await.unwrap();
    assert!(again.code == 6 && again.said.contains("TM-STORE-0116"), "{again:?}");
    let list: List<Version> = cli.json(&["version", "list"]).await.unwrap();
    let seen: Vec<_> = list.items.iter().map(|version| (version.id.as_str(), version.quality.as_str())).collect();
    assert_eq!(seen, [("prod.daily.1", "cut"), ("prod.daily.2", "lost")]);
    let lost = cli.outcome(&["version", "verify", "prod.daily.2", "--wait"]).await.unwrap();
    assert_eq!(lost.answer["error"]["code"], json!("TM-VER-0410"), "{lost:?}");
    waits_for_its_source(system, &["policy", "run", "daily"]).await;
}
