//! MongoDB keeps the conformance suite: what is staged is constructed, servers are the stand-in.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex},
};

use async_trait::async_trait;
use serde_json::{Value, json};
use tidemark_catalog::{entry::ObjectLine, keys::KeyRange};
use tidemark_gateway::Env;
use tidemark_listener_core::{
    conformance::{listener, records, restorer, source},
    records::{ConsolidateJob, RecordSource},
    restorer::{RestoreJob, RestoreOptions, Restorer},
    source::{Source, Uses},
};
use tidemark_records::consolidate;

use super::*;
use crate::{
    capture::tests::{Bench, assignment},
    consolidate::samples::{self, Staged, document, id, job},
    event::samples::{delete, insert as inserted, set},
    raw::{Builder, samples::every_type},
    testing::{StandIn, insert, seen},
};

/// What one of three members staged; each holds the whole.
fn member() -> Staged {
    let scan = vec![document(1, 10), document(2, 20), document(3, 30), every_type(7)];
    let events =
        vec![set("40.0", 1, &id(1), "n", 11), delete("41.0", 2, &id(2)), inserted("42.0", 3, &document(9, 90))];
    Staged {
        set: "rs",
        from: "10.0",
        before: "90.0",
        since: None,
        scans: vec![(("20.0", "30.0"), scan)],
        events: vec![events],
    }
}

struct Constructed(MongoDriver);

impl source::Subject for Constructed {
    fn source(&self) -> &dyn Source {
        &self.0
    }

    fn spec(&self) -> Value {
        json!({"hosts": ["127.0.0.1:1"], "members": ["127.0.0.1:1", "127.0.0.1:2"], "tls": {"ca": "/nowhere/ca.pem"}})
    }

    fn wrong_specs(&self) -> Vec<(Value, &'static str)> {
        vec![
            (json!({}), "hosts"),
            (json!({"hosts": []}), "hosts"),
            (json!({"hosts": ["a"]}), "hosts[0]"),
            (json!({"hosts": ["a:1"], "heartbeat": "x"}), "heartbeat"),
            (json!({"hosts": ["a:1"], "weight": 1}), "weight"),
        ]
    }

    fn uses(&self) -> Uses {
        let addresses = ["127.0.0.1:1", "127.0.0.1:2"].map(str::to_owned).to_vec();
        Uses { credentials: vec!["/nowhere/ca.pem".into()], addresses, ..Uses::default() }
    }

    fn options(&self) -> Vec<Value> {
        Vec::new()
    }
}

#[async_trait]
impl records::Subject for Constructed {
    fn source(&self) -> &dyn RecordSource {
        &self.0
    }

    async fn job(&self) -> ConsolidateJob {
        job(vec![("a", member()), ("b", member()), ("c", member())]).await
    }

    async fn halves(&self) -> [KeyRange; 2] {
        let middle = Some(id(3).key().unwrap().bytes);
        let low = KeyRange { from: None, until: middle.clone(), text: "below 3".to_owned() };
        [low, KeyRange { from: middle, until: None, text: "3 and above".to_owned() }]
    }

    async fn line(&self, job: ConsolidateJob, ranges: &[KeyRange]) -> Result<ObjectLine, Failure> {
        consolidate::object(&self.0, KIND, job, ranges).await
    }
}

fn constructed() -> Constructed {
    Constructed(MongoDriver::new(Env::system()))
}

#[tokio::test(flavor = "multi_thread")]
async fn it_is_a_source() {
    source::all(&constructed()).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn it_is_a_source_of_records_constructed() {
    records::all(&constructed()).await.unwrap();
}

/// A stand-in, and benches that are kept until the end.
struct Live {
    server: StandIn,
    benches: Mutex<Vec<Arc<Bench>>>,
    /// A version of the collection, made once.
    version: tokio::sync::OnceCell<(Arc<Bench>, ObjectLine)>,
    copies: Mutex<u32>,
}

impl Live {
    async fn start() -> Option<Self> {
        let server = StandIn::start().await?;
        insert(&server.server(), "shop", "orders", &documents()).await;
        Some(Self {
            server,
            benches: Mutex::default(),
            version: tokio::sync::OnceCell::new(),
            copies: Mutex::default(),
        })
    }

    async fn made(&self) -> (Arc<Bench>, ObjectLine) {
        let bench = self.bench();
        let slice = bench.capture(&self.server, &assignment(1, &["shop/orders"])).await.unwrap();
        let job = bench.job(slice, "shop/orders");
        let line = consolidate::object(&MongoDriver::new(Env::system()), KIND, job, &[KeyRange::all()]).await;
        (bench, line.unwrap())
    }

    fn bench(&self) -> Arc<Bench> {
        let bench = Arc::new(Bench::new());
        self.benches.lock().unwrap().push(Arc::clone(&bench));
        bench
    }
}

fn documents() -> Vec<Vec<u8>> {
    (0..1_500).map(|id| Builder::default().int("_id", id).text("t", &"x".repeat(id as usize % 900)).finish()).collect()
}

#[async_trait]
impl listener::Subject for Live {
    async fn ready(&self) -> listener::Ready {
        let bench = self.bench();
        let listener = Arc::new(bench.listener(&self.server));
        listener::Ready { listener, assignment: assignment(1, &["shop/*"]), store: bench.store() }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn it_has_a_listener_on_the_stand_in() {
    let Some(live) = Live::start().await else { return };
    listener::all(&live).await.unwrap();
}

#[async_trait]
impl restorer::Subject for Live {
    fn restorer(&self) -> &dyn Restorer {
        &MongoRestorer
    }

    async fn job(&self) -> RestoreJob {
        let (bench, line) = self.version.get_or_init(|| self.made()).await.clone();
        let copy = {
            let mut copies = self.copies.lock().unwrap();
            *copies += 1;
            format!("copy{copies}")
        };
        let mut options = RestoreOptions::default();
        options.common.rename = BTreeMap::from([("shop".to_owned(), copy)]);
        RestoreJob {
            lines: vec![line],
            store: bench.store(),
            destination: self.server.spec(),
            options,
            env: Env::system(),
        }
    }

    async fn seen(&self, job: &RestoreJob) -> Result<Value, Failure> {
        let found = seen(&self.server.server(), &job.options.common.rename["shop"], "orders").await;
        Ok(shape(found.into_values()))
    }

    fn expected(&self) -> Value {
        shape(documents().into_iter())
    }

    fn unreachable(&self) -> Value {
        json!({"hosts": ["127.0.0.1:1"]})
    }
}

/// Count, and a digest of all documents in the order of their bytes.
fn shape(documents: impl Iterator<Item = Vec<u8>>) -> Value {
    let mut all: Vec<Vec<u8>> = documents.collect();
    all.sort();
    json!([all.len(), tidemark_gateway::Digest::of(&all.concat()).to_string()])
}

#[tokio::test(flavor = "multi_thread")]
async fn it_restores_to_the_stand_in() {
    let Some(live) = Live::start().await else { return };
    restorer::all(&live).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn the_stand_in_passes_its_check_and_its_objects_are_told() {
    let Some(live) = Live::start().await else { return };
    let driver = MongoDriver::new(Env::system());
    let lines = driver.check(&live.server.spec()).await;
    assert!(lines.iter().all(|line| line.status != tidemark_listener_core::check::Status::Fail), "{lines:?}");
    let objects = driver.objects(&live.server.spec()).await.unwrap();
    assert!(objects.iter().any(|object| object.object.to_string() == "shop/orders" && object.supported), "{objects:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_source_that_is_away_is_no_empty_one() {
    let driver = MongoDriver::new(Env::system());
    let away = json!({"hosts": ["127.0.0.1:1"]});
    let lines = driver.check(&away).await;
    let failed: Vec<_> =
        lines.iter().filter(|line| line.status == tidemark_listener_core::check::Status::Fail).collect();
    assert!(failed.len() == 1 && failed[0].hint.is_some(), "{lines:?}");
    let failure = driver.objects(&away).await.unwrap_err();
    assert!(failure.retryable && !failure.message.is_empty(), "{failure:?}");
}

#[test]
fn the_samples_are_of_the_kind() {
    assert_eq!(samples::schema().indexes.len(), 2);
}
