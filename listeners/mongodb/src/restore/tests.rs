//! Restores to the stand-in.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex},
};

use serde_json::{Value, json};
use tidemark_catalog::{entry::ObjectLine, keys::KeyRange};
use tidemark_gateway::Env;
use tidemark_listener_core::{
    progress,
    restorer::{CheckpointSaver, RestoreOptions},
};
use tidemark_records::consolidate;
use tokio_util::sync::CancellationToken;

use super::*;
use crate::{
    capture::tests::{Bench, assignment},
    describe,
    driver::MongoDriver,
    raw::{self, Builder, kind, samples::every_type},
    segment::KIND,
    testing::{StandIn, insert, run, seen},
};

/// Saves nothing: these restores come to their ends.
struct Nowhere(Mutex<u32>);

#[async_trait]
impl CheckpointSaver for Nowhere {
    async fn save(&self, _: Value) -> Result<(), Failure> {
        *self.0.lock().unwrap() += 1;
        Ok(())
    }
}

fn control() -> RestoreControl {
    RestoreControl {
        progress: progress::silent(),
        cancel: CancellationToken::new(),
        checkpoint: None,
        save: Arc::new(Nowhere(Mutex::default())),
        instant: None,
    }
}

/// A version of all that the stand-in holds, to be restored there under another database.
async fn job(server: &StandIn, bench: &Bench, source: Value) -> RestoreJob {
    let slice = bench.capture(server, &assignment(1, &["shop/*"])).await.unwrap();
    let mut lines: Vec<ObjectLine> = Vec::new();
    for object in &slice.objects {
        let job = bench.job(slice.clone(), &object.object.to_string());
        lines.push(consolidate::object(&MongoDriver::new(Env::system()), KIND, job, &[KeyRange::all()]).await.unwrap());
    }
    let mut options = RestoreOptions { source, ..RestoreOptions::default() };
    options.common.rename = BTreeMap::from([("shop".to_owned(), "copy".to_owned())]);
    RestoreJob { lines, store: bench.store(), destination: server.spec(), options, env: Env::system() }
}

/// Every type that the stand-in takes.
fn every_known_type() -> Vec<u8> {
    let mut known = Builder::default();
    let taken = |name: &[u8]| name != b"not utf-8" && name != b"date" && name != b"twice";
    raw::elements(&every_type(1)).map(Result::unwrap).filter(|e| taken(e.name)).for_each(|e| known.push(e));
    known.finish()
}

#[tokio::test(flavor = "multi_thread")]
async fn collections_views_options_and_indexes_come_back() {
    let Some(server) = StandIn::start().await else { return };
    let (client, bench) = (server.server(), Bench::new());
    let required = Builder::default().document("n", &Builder::default().truth("$exists", true).finish()).finish();
    run(&client, "shop", Builder::default().text("create", "orders").document("validator", &required)).await;
    let documents: Vec<Vec<u8>> = (0..50).map(|id| Builder::default().int("_id", id).int("n", id).finish()).collect();
    insert(&client, "shop", "orders", &documents).await;
    let by_n = Builder::default()
        .document("key", &Builder::default().int("n", -1).finish())
        .text("name", "by n")
        .truth("unique", true)
        .truth("hidden", true);
    let expires = Builder::default()
        .document("key", &Builder::default().int("at", 1).finish())
        .text("name", "ttl")
        .int("expireAfterSeconds", 9);
    let (by_n, expires) = (by_n.finish(), expires.finish());
    run(
        &client,
        "shop",
        Builder::default().text("createIndexes", "orders").documents("indexes", [&by_n[..], &expires]),
    )
    .await;
    let pipeline = Builder::default()
        .document("0", &Builder::default().document("$match", &Builder::default().int("n", 3).finish()).finish())
        .finish();
    run(
        &client,
        "shop",
        Builder::default().text("create", "a view").text("viewOn", "orders").with(kind::ARRAY, b"pipeline", &pipeline),
    )
    .await;
    let job = job(&server, &bench, json!({"ttl": "strip"})).await;
    let plan = MongoRestorer.plan(&job).await.unwrap();
    let order: Vec<String> = plan.objects.iter().map(|object| object.target.to_string()).collect();
    assert_eq!(order, ["copy/orders", "copy/a%20view"], "views come last");
    let report = MongoRestorer.run(&job, &plan, control()).await.unwrap();
    assert_eq!((report.rows_written, report.rows_verified, report.warnings), (50, 50, Vec::new()));
    assert_eq!(seen(&client, "copy", "orders").await, seen(&client, "shop", "orders").await);
    let listed = |database: &'static str| {
        let client = client.clone();
        async move {
            let mut all = Vec::new();
            for listed in describe::of_database(&client, database).await.unwrap() {
                let schema = describe::schema(&client, &listed).await.unwrap().unwrap();
                all.push((listed.namespace.collection, listed.of, schema));
            }
            all.sort_by(|a, b| a.0.cmp(&b.0));
            all
        }
    };
    let (mut from, to) = (listed("shop").await, listed("copy").await);
    let indexes = &mut from[1].2.indexes;
    assert_eq!(indexes.iter().map(|index| index.name.as_str()).collect::<Vec<_>>(), ["_id_", "by n", "ttl"]);
    let ttl = indexes.pop().unwrap();
    assert_eq!(from[1].2.options, to[1].2.options);
    assert_eq!((&from[0], &from[1].2.indexes[..2]), (&to[0], &to[1].2.indexes[..2]));
    let stripped = to[1].2.indexes[2].specification.as_bytes();
    assert!(raw::find(stripped, "expireAfterSeconds").unwrap().is_none(), "of {ttl:?}");
}

/// A server refuses to make a view where a collection stands; that must not be taken for "it is there already".
#[tokio::test(flavor = "multi_thread")]
async fn a_view_is_not_told_as_restored_where_an_empty_collection_stands() {
    let Some(server) = StandIn::start().await else { return };
    let (client, bench) = (server.server(), Bench::new());
    insert(&client, "shop", "orders", &[Builder::default().int("_id", 1).finish()]).await;
    let view = Builder::default().text("create", "lately").text("viewOn", "orders");
    run(&client, "shop", view.with(kind::ARRAY, b"pipeline", &Builder::default().finish())).await;
    let job = job(&server, &bench, json!({})).await;
    let plan = MongoRestorer.plan(&job).await.unwrap();
    run(&client, "copy", Builder::default().text("create", "lately")).await;
    let failure = MongoRestorer.run(&job, &plan, control()).await.unwrap_err();
    assert!(failure.code == crate::codes::NOT_EMPTY && failure.message.contains("view"), "{failure:?}");
    let plan = MongoRestorer.plan(&job).await.unwrap();
    let failed: Vec<_> =
        plan.checks.iter().filter(|line| line.status == tidemark_listener_core::check::Status::Fail).collect();
    assert!(failed.iter().any(|line| format!("{line:?}").contains("lately")), "{:?}", plan.checks);
}

#[tokio::test(flavor = "multi_thread")]
async fn documents_of_every_type_come_back_byte_by_byte_as_far_as_the_stand_in_takes_them() {
    let Some(server) = StandIn::start().await else { return };
    let (client, bench) = (server.server(), Bench::new());
    let large = Builder::default().int("_id", 2).text("t", &"y".repeat(15 << 20)).finish();
    insert(&client, "shop", "all", &[every_known_type()]).await;
    insert(&client, "shop", "all", &[large]).await;
    let job = job(&server, &bench, json!({})).await;
    let plan = MongoRestorer.plan(&job).await.unwrap();
    let report = MongoRestorer.run(&job, &plan, control()).await.unwrap();
    assert_eq!((report.rows_written, report.rows_verified, report.rows_refused), (2, 2, 0));
    assert!(seen(&client, "copy", "all").await == seen(&client, "shop", "all").await);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_document_that_somebody_put_there_meanwhile_is_kept_and_named() {
    let Some(server) = StandIn::start().await else { return };
    let (client, bench) = (server.server(), Bench::new());
    let documents: Vec<Vec<u8>> = (0..20).map(|id| Builder::default().int("_id", id).int("n", id).finish()).collect();
    insert(&client, "shop", "orders", &documents).await;
    let job = job(&server, &bench, json!({})).await;
    let plan = MongoRestorer.plan(&job).await.unwrap();
    // From a checkpoint on the target may hold data: ours, as far as anybody knows.
    let begun = tidemark_records::restore::checkpoint::Checkpoint::start(&plan).to_value();
    let theirs = Builder::default().int("_id", 7).int("n", 700).finish();
    insert(&client, "copy", "orders", &[theirs.clone(), documents[8].clone()]).await;
    let report = MongoRestorer.run(&job, &plan, RestoreControl { checkpoint: Some(begun), ..control() }).await.unwrap();
    assert_eq!((report.rows_written, report.rows_verified, report.rows_refused), (19, 19, 1));
    let refused: Vec<_> = report.refused.iter().map(|refused| refused.key.clone().unwrap()).collect();
    assert_eq!(refused, ["7"]);
    let there = seen(&client, "copy", "orders").await;
    assert!(there.len() == 20 && there.values().any(|document| *document == theirs));
}

#[tokio::test(flavor = "multi_thread")]
async fn two_objects_that_would_become_one_and_what_the_kind_does_not_have_are_refused() {
    let Some(server) = StandIn::start().await else { return };
    let (client, bench) = (server.server(), Bench::new());
    for collection in ["a", "b"] {
        insert(&client, "shop", collection, &[Builder::default().int("_id", 1).finish()]).await;
    }
    let mut job = job(&server, &bench, json!({})).await;
    job.options.common.rename = ["shop/a", "shop/b"].map(|name| (name.to_owned(), "copy/c".to_owned())).into();
    job.options.common.selection.rows = Some("x".to_owned());
    job.options.common.remove = true;
    let plan = MongoRestorer.plan(&job).await.unwrap();
    let failed = plan.checks.iter().filter(|line| line.status == tidemark_listener_core::check::Status::Fail);
    assert_eq!(failed.count(), 3, "{:?}", plan.checks);
}
