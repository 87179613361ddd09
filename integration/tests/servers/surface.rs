//! The command line and the daemon as an operator's scripts meet them: commands, answers, exit codes, errors. No database is
//! needed: the source of this test is one that does not answer.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use std::{fs, process::Output};

use serde_json::{Value, json};
use tidemark_integration::{
    daemon::cli::Outcome,
    paths,
    system::{STORE, System},
};
use tokio::process::Command;

/// Addresses of this test: 127.0.95.x.
const GROUP: u8 = 95;

/// Every command that a backup is run with.
const COMMANDS: [&str; 47] = [
    "store add",
    "store edit",
    "store list",
    "store show",
    "store test",
    "store accept",
    "store usage",
    "source add",
    "source list",
    "source show",
    "source test",
    "source confirm",
    "object tree",
    "protect",
    "policy create",
    "policy list",
    "policy show",
    "policy edit",
    "policy pause",
    "policy resume",
    "policy confirm",
    "policy delete",
    "policy run",
    "policy next",
    "policy preview",
    "version list",
    "version show",
    "version verify",
    "version repair",
    "version expire",
    "version unexpire",
    "version hold",
    "version release",
    "version size",
    "restore plan",
    "restore run",
    "op list",
    "op show",
    "op watch",
    "op cancel",
    "op resume",
    "gc preview",
    "gc run",
    "cluster drain",
    "cluster status",
    "cluster undrain",
    "explain",
];

/// Runs the command line with nothing but what is given.
async fn bare(arguments: &[&str]) -> Output {
    let mut command = Command::new(paths::binary("tidemark").unwrap());
    for variable in ["TIDEMARK_TOKEN", "TIDEMARK_TOKEN_FILE", "TIDEMARK_SERVER"] {
        command.env_remove(variable);
    }
    command.args(arguments).output().await.unwrap()
}

/// Code of an error on stderr, JSON, with the page that it leads to.
async fn code(said: &[u8]) -> String {
    let problem: Value = serde_json::from_slice(said).unwrap();
    let code = problem["code"].as_str().unwrap().to_owned();
    assert!(!problem["detail"].as_str().unwrap().is_empty(), "{problem}");
    assert_eq!(problem["doc"], format!("/errors/{code}"), "{problem}");
    let page = bare(&["explain", &code]).await;
    assert_eq!(page.status.code(), Some(0), "{code}");
    let text = String::from_utf8(page.stdout).unwrap();
    assert!(text.starts_with(&format!("# {code}: ")) && text.contains("## What to do"), "{text}");
    code
}

async fn refused(outcome: Outcome) -> (i32, String) {
    assert_eq!(outcome.answer, Value::Null, "an error prints no answer");
    (outcome.code, code(outcome.said.as_bytes()).await)
}

fn source() -> Value {
    let node = json!({
        "address": "127.0.95.1:9042",
        "data_directories": ["/nonexistent"],
        "nodetool": ["false"],
    });
    json!({"contact": ["127.0.95.1:9042"], "credentials": null, "nodes": [node]})
}

#[tokio::test]
async fn every_command_says_what_it_takes_and_wrong_usage_ends_with_2() {
    for command in COMMANDS {
        let words: Vec<&str> = command.split(' ').chain(["--help"]).collect();
        let help = bare(&words).await;
        let text = String::from_utf8(help.stdout).unwrap();
        assert_eq!((help.status.code(), text.contains("--output")), (Some(0), true), "{command}: {text}");
    }
    for wrong in [vec!["store", "add"], vec!["nothing"], vec!["op", "watch"], vec!["-o", "xml", "store", "list"]] {
        let ended = bare(&wrong).await;
        assert_eq!((ended.status.code(), ended.stdout.len()), (Some(2), 0), "{wrong:?}");
    }
}

#[tokio::test]
async fn what_needs_no_server_or_finds_none_ends_as_documented() {
    let without = bare(&["-o", "json", "store", "list"]).await;
    assert_eq!((without.status.code(), code(&without.stderr).await.as_str()), (Some(5), "TM-CLI-0001"));
    let directory = tempfile::tempdir().unwrap();
    let token = directory.path().join("token");
    fs::write(&token, "no token").unwrap();
    let shape = bare(&["-o", "json", "--token-file", token.to_str().unwrap(), "store", "list"]).await;
    assert_eq!((shape.status.code(), code(&shape.stderr).await.as_str()), (Some(5), "TM-CLI-0002"));
    fs::write(&token, format!("tmk_{}", "0".repeat(64))).unwrap();
    let with = ["-o", "json", "--token-file", token.to_str().unwrap(), "--server", "http://127.0.95.99:1"];
    let nobody = bare(&[&with[..], &["store", "list"]].concat()).await;
    assert_eq!((nobody.status.code(), code(&nobody.stderr).await.as_str()), (Some(8), "TM-CLI-0005"));
    let nothing = bare(&[&with[..], &["protect", "prod", "--to", "main"]].concat()).await;
    assert_eq!((nothing.status.code(), code(&nothing.stderr).await.as_str()), (Some(2), "TM-CLI-0004"));
    let unknown = bare(&["-o", "json", "explain", "TM-NONE-0001"]).await;
    assert_eq!((unknown.status.code(), code(&unknown.stderr).await.as_str()), (Some(4), "TM-CLI-0007"));
}

#[tokio::test]
async fn a_daemon_answers_refuses_waits_and_cancels_with_the_documented_codes() {
    let system = System::start(GROUP).await.unwrap();
    let cli = &system.cli;
    stores(&system).await;
    damaged(&system).await;
    let added = system.add_source_as("prod", &source()).await.unwrap();
    assert_eq!(cli.json::<Value>(&["source", "show", "prod"]).await.unwrap(), added);
    let test = cli.outcome(&["source", "test", "prod"]).await.unwrap();
    assert_eq!((test.code, &test.answer["status"]), (1, &json!("fail")), "{test:?}");
    let tree = refused(cli.outcome(&["object", "tree", "prod"]).await.unwrap()).await;
    assert_eq!(tree, (1, "TM-CASS-0002".to_owned()));
    policies(&system).await;
    cancelled(&system).await;
}

async fn stores(system: &System) {
    let cli = &system.cli;
    let list: Value = cli.json(&["store", "list"]).await.unwrap();
    assert_eq!(cli.json::<Value>(&["store", "show", STORE]).await.unwrap(), list["items"][0]);
    let test: Value = cli.json(&["store", "test", STORE]).await.unwrap();
    assert_eq!(test["status"], "ok");
    let none = cli.outcome(&["store", "show", "none"]).await.unwrap();
    assert_eq!(refused(none).await, (4, "TM-STORE-0404".to_owned()));
    let taken = cli.outcome(&["store", "add", STORE, "memory:"]).await.unwrap();
    assert_eq!(refused(taken).await, (6, "TM-STORE-0409".to_owned()));
    let url = cli.outcome(&["store", "add", "other", "ftp://x"]).await.unwrap();
    assert_eq!(refused(url).await, (2, "TM-STORE-0400".to_owned()));
    let hours = "mon-fri 08:00-18:00 Europe/Berlin: 10MiB/s, requests 4";
    let edit = ["store", "edit", STORE, "--requests", "16", "--hours", hours];
    let edited: Value = cli.json(&edit).await.unwrap();
    let hours =
        json!({"when": "mon-fri 08:00-18:00", "zone": "Europe/Berlin", "bytes_per_second": 10 << 20, "requests": 4});
    assert_eq!(edited["limits"], json!({"requests": 16, "hours": [hours]}), "{edited}");
    let few = cli.outcome(&["store", "edit", STORE, "--requests", "1"]).await.unwrap();
    assert_eq!(refused(few).await, (2, "TM-STORE-0400".to_owned()));
    let fast = cli.outcome(&["store", "edit", STORE, "--bandwidth", "fast"]).await.unwrap();
    assert_eq!(refused(fast).await, (2, "TM-CLI-0004".to_owned()));
    let cleared: Value = cli.json(&["store", "edit", STORE, "--clear", "requests", "--clear", "hours"]).await.unwrap();
    assert_eq!((&cleared["limits"], &cleared["limit_now"]), (&Value::Null, &Value::Null), "{cleared}");
    let stranger = system.scratch("stranger");
    fs::write(&stranger, format!("tmk_{}", "0".repeat(64))).unwrap();
    let server = format!("http://127.0.{GROUP}.100:8480");
    let ended =
        bare(&["-o", "json", "--server", &server, "--token-file", stranger.to_str().unwrap(), "op", "list"]).await;
    assert_eq!((ended.status.code(), code(&ended.stderr).await.as_str()), (Some(5), "TM-API-0401"));
}

/// A manifest that somebody else wrote.
async fn damaged(system: &System) {
    let cli = &system.cli;
    let folder = system.store_dir().join("sources/prod/sets/daily/versions");
    fs::create_dir_all(&folder).unwrap();
    fs::write(folder.join("00000000000000000001"), "{}").unwrap();
    let list: Value = cli.json(&["version", "list"]).await.unwrap();
    let version = &list["items"][0];
    assert_eq!((&version["id"], &version["quality"]), (&json!("prod.daily.1"), &json!("damaged")), "{list}");
    assert!(version["damage"].as_str().unwrap().contains("00000000000000000001"), "{list}");
    let shown: Value = cli.json(&["version", "show", "prod.daily.1"]).await.unwrap();
    assert_eq!(&shown["version"], version);
    let verified = cli.outcome(&["version", "verify", "prod.daily.1", "--wait"]).await.unwrap();
    assert_eq!((verified.code, &verified.answer["error"]["code"]), (9, &json!("TM-CAT-0001")), "{verified:?}");
    let none = cli.outcome(&["version", "verify", "prod.daily.2", "--wait"]).await.unwrap();
    assert_eq!(refused(none).await, (4, "TM-VER-0404".to_owned()));
    let plan = cli.outcome(&["restore", "plan", "--version", "prod.daily.1", "--to", "prod"]).await.unwrap();
    assert_eq!(refused(plan).await, (6, "TM-CAT-0001".to_owned()));
}

/// A policy from its making to its end.
async fn policies(system: &System) {
    let cli = &system.cli;
    let create = ["policy", "create", "daily", "prod", "--to", STORE, "--object", "shop/*", "--object", "bank/*"];
    let says =
        ["--exclude", "*/tmp_*", "--every", "1d", "--jitter", "1h", "--zone", "Europe/Vienna", "--keep", "last=3"];
    let made: Value = cli.json(&[&create[..], &says].concat()).await.unwrap();
    assert_eq!((&made["excludes"], &made["keep"]), (&json!(["*/tmp_*"]), &json!({"last": 3})), "{made}");
    let shown: Value = cli.json(&["policy", "show", "daily"]).await.unwrap();
    assert_eq!((&shown["policy"], &shown["status"]["late"]), (&made, &json!(false)), "{shown}");
    let taken = cli.outcome(&create).await.unwrap();
    assert_eq!(refused(taken).await, (6, "TM-POL-0409".to_owned()));
    for (wrong, code) in [(["--keep", "dayly=7"], "TM-CLI-0004"), (["--zone", "Europe/Wien"], "TM-POL-0400")] {
        let wrong = cli.outcome(&[&["policy", "edit", "daily"][..], &wrong].concat()).await.unwrap();
        assert_eq!(refused(wrong).await, (2, code.to_owned()));
    }
    let edited: Value = cli.json(&["policy", "edit", "daily", "--keep", "last=1", "--clear", "jitter"]).await.unwrap();
    assert_eq!(edited["policy"]["schedule"], json!({"every": "1d"}), "{edited}");
    let preview: Value = cli.json(&["policy", "preview", "daily"]).await.unwrap();
    assert!(preview["versions"][0]["reasons"][0].as_str().unwrap().contains("damaged"), "{preview}");
    let runs = async || cli.json::<Value>(&["policy", "next", "daily", "--count", "3"]).await.unwrap()["items"].clone();
    assert_eq!(runs().await.as_array().unwrap().len(), 3);
    let paused: Value = cli.json(&["policy", "pause", "daily"]).await.unwrap();
    assert_eq!((&paused["policy"]["paused"], runs().await), (&json!(true), json!([])), "{paused}");
    let resumed: Value = cli.json(&["policy", "resume", "daily"]).await.unwrap();
    assert_eq!(resumed["policy"]["paused"], Value::Null, "{resumed}");
    let removed: Value = cli.json(&["policy", "delete", "daily"]).await.unwrap();
    assert_eq!(removed["versions"], 1, "{removed}");
    let none = cli.outcome(&["policy", "show", "daily"]).await.unwrap();
    assert_eq!(refused(none).await, (4, "TM-POL-0404".to_owned()));
}

/// A protect that cannot succeed: the wait times out, its key is kept, and cancelling ends everybody who watches.
async fn cancelled(system: &System) {
    let cli = &system.cli;
    let protect = ["protect", "prod/shop/*", "--to", STORE, "--policy", "nightly", "--idempotency-key", "k1"];
    let waited = cli.outcome(&[&protect[..], &["--wait=1"]].concat()).await.unwrap();
    assert_eq!((waited.code, &waited.answer["done"]), (7, &json!(false)), "{waited:?}");
    let id = waited.answer["id"].as_str().unwrap().to_owned();
    assert!(waited.said.contains(&id) && waited.said.contains("op watch"), "{waited:?}");
    let again: Value = cli.json(&protect).await.unwrap();
    assert_eq!(again["id"], id.as_str());
    let other = ["protect", "prod/other/*", "--to", STORE, "--policy", "more", "--idempotency-key", "k1"];
    assert_eq!(refused(cli.outcome(&other).await.unwrap()).await, (6, "TM-API-0422".to_owned()));
    let policies: Value = cli.json(&["policy", "list"]).await.unwrap();
    assert_eq!(policies["items"].as_array().unwrap().len(), 1, "{policies}");
    let (watch, cancel) = (["op", "watch", id.as_str()], ["op", "cancel", id.as_str()]);
    let (watched, asked) = tokio::join!(cli.outcome(&watch), cli.json::<Value>(&cancel));
    assert_eq!(asked.unwrap()["id"], id.as_str());
    let watched = watched.unwrap();
    assert_eq!((watched.code, &watched.answer["state"]), (130, &json!("cancelled")), "{watched:?}");
}
