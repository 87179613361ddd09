//! Captures of the stand-in, and what becomes of them.

use std::{collections::BTreeMap, sync::Arc};

use object_store::ObjectStore;
use serde_json::json;
use tempfile::TempDir;
use tidemark_catalog::{document, ids::FencingToken, keys::KeyRange, names::Names, slice::SliceManifest};
use tidemark_gateway::Env;
use tidemark_listener_core::{
    access::Access,
    assignment::{Assignment, Capture},
    failure::Failure,
    launch::Store,
    listener::Listener,
    process::Start,
    progress,
    records::{ConsolidateJob, ConsolidateLimits, Consolidated, Part},
};
use tidemark_records::segments::StoredSegment;
use tokio::runtime::Handle;
use tokio_util::sync::CancellationToken;

use super::*;
use crate::{
    consolidate,
    raw::{self, Builder, kind, samples::every_type},
    segment::{self, Atom},
    spec::MongoSpec,
    testing::{StandIn, delete, insert, run, seen, update},
};

mod changes;
mod writers;

/// A store for listeners.
pub(crate) struct Bench(TempDir, std::sync::atomic::AtomicU64);

impl Bench {
    pub(crate) fn new() -> Self {
        Self(tempfile::tempdir().unwrap(), 1.into())
    }

    pub(crate) fn access(&self) -> Access {
        let url = format!("file://{}", self.0.path().display());
        Access { store: Some(Store { url, repository: "r".to_owned(), checksums: false }), ..Access::default() }
    }

    pub(crate) fn store(&self) -> Arc<dyn ObjectStore> {
        self.access().open(&Env::system()).unwrap()
    }

    pub(crate) fn listener(&self, server: &StandIn) -> MongoListener {
        self.listener_of(server, None)
    }

    /// The listener of a member, or of all.
    pub(crate) fn listener_of(&self, server: &StandIn, member: Option<String>) -> MongoListener {
        let start = Start { source: "s".parse().unwrap(), access: self.access(), env: Env::system() };
        let spec = MongoSpec::parse(&server.spec()).unwrap();
        MongoListener::new(Config { spec, member, credentials: None }, start)
    }

    pub(crate) async fn capture(
        &self,
        server: &StandIn,
        assignment: &Assignment<Capture>,
    ) -> Result<SliceManifest, Failure> {
        let slice = self.listener(server).capture(assignment, progress::silent(), CancellationToken::new()).await?;
        Ok(document::read(&self.store(), &slice).await.unwrap())
    }

    /// The job of a claim of its own.
    pub(crate) fn job(&self, slice: SliceManifest, object: &str) -> ConsolidateJob {
        let revision = self.1.fetch_add(1, std::sync::atomic::Ordering::SeqCst);
        ConsolidateJob {
            source: "s".parse().unwrap(),
            object: object.parse().unwrap(),
            slices: Arc::new(vec![slice]),
            absent: Arc::default(),
            unreadable: BTreeMap::new(),
            previous: None,
            store: self.store(),
            names: Arc::new(Names::new("s".parse().unwrap(), FencingToken { revision, ..TOKEN })),
            options: json!({}),
            limits: ConsolidateLimits::default(),
            env: Env::system(),
            progress: progress::silent(),
            cancel: CancellationToken::new(),
        }
    }

    /// The documents of a slice's object, by the bytes of their `_id`, with the part that they are of.
    async fn documents(&self, slice: &SliceManifest, object: &str) -> (BTreeMap<Vec<u8>, Vec<u8>>, Part) {
        let job = self.job(slice.clone(), object);
        let part = match consolidate::part(&job, &KeyRange::all()).await.unwrap() {
            Consolidated::Part(part) => *part,
            other => panic!("{other:?}"),
        };
        let mut all = BTreeMap::new();
        for reference in part.segments.clone() {
            let stored = StoredSegment::new(&job.store, reference, Handle::current());
            let read = tokio::task::spawn_blocking(move || {
                let mut records = Vec::new();
                segment::read(&stored.open().unwrap(), |record| {
                    records.push(record);
                    true
                })
                .unwrap();
                records
            });
            for record in read.await.unwrap() {
                let Atom::Rest(document) = record.atom else { panic!("an event in a baseline") };
                all.insert(record.id.to_bytes(), document);
            }
        }
        (all, part)
    }
}

pub(crate) const TOKEN: FencingToken = FencingToken { generation: 1, revision: 1 };

pub(crate) fn assignment(revision: u64, objects: &[&str]) -> Assignment<Capture> {
    Assignment {
        id: "1".to_owned(),
        needs: Vec::new(),
        source: "s".parse().unwrap(),
        task: "0123456789abcdef0123456789abcdef".parse().unwrap(),
        token: FencingToken { revision, ..TOKEN },
        repository: "r".to_owned(),
        work: Capture { objects: objects.iter().map(|text| (*text).to_owned()).collect(), ..Capture::default() },
    }
}

fn numbered(count: i32) -> Vec<Vec<u8>> {
    (0..count)
        .map(|id| Builder::default().int("_id", id).int("n", id % 7).text("text", &"x".repeat(200)).finish())
        .collect()
}

/// Ids of many types, which a condition on ids would lose.
fn of_all_types() -> Vec<Vec<u8>> {
    let id = |of: u8, value: &[u8]| Builder::default().with(of, b"_id", value).int("n", 1).finish();
    vec![
        id(kind::DOUBLE, &1.5_f64.to_le_bytes()),
        id(kind::INT64, &7_i64.to_le_bytes()),
        id(kind::STRING, b"\x02\0\0\0a\0"),
        id(kind::OBJECT_ID, &[9; 12]),
        id(kind::DATE, &5_i64.to_le_bytes()),
        id(kind::BOOLEAN, &[1]),
        id(kind::DOCUMENT, &Builder::default().int("a", 1).finish()),
        id(kind::BINARY, &[1, 0, 0, 0, 4, 8]),
    ]
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_reader_sees_on_the_stand_in_is_in_the_capture() {
    let Some(server) = StandIn::start().await else { return };
    let (client, bench) = (server.server(), Bench::new());
    insert(&client, "shop", "orders", &numbered(3_000)).await;
    insert(&client, "shop", "mixed", &of_all_types()).await;
    run(
        &client,
        "shop",
        Builder::default().text("create", "lately").text("viewOn", "orders").with(
            kind::ARRAY,
            b"pipeline",
            &Builder::default().finish(),
        ),
    )
    .await;
    let slice = bench.capture(&server, &assignment(1, &["*/*"])).await.unwrap();
    let names: Vec<String> = slice.objects.iter().map(|object| object.object.to_string()).collect();
    assert_eq!(names, ["shop/lately", "shop/mixed", "shop/orders"], "the heartbeat is not captured");
    assert_eq!(slice.objects[0].object_id, crate::describe::VIEW);
    for (object, collection) in [("shop/orders", "orders"), ("shop/mixed", "mixed")] {
        let (documents, part) = bench.documents(&slice, object).await;
        assert_eq!(documents, seen(&client, "shop", collection).await, "{object}");
        assert!(part.degraded.is_empty());
    }
    let (documents, part) = bench.documents(&slice, "shop/lately").await;
    assert!(documents.is_empty() && part.segments.is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn documents_of_every_type_are_captured_as_the_stand_in_gives_them() {
    let Some(server) = StandIn::start().await else { return };
    let (client, bench) = (server.server(), Bench::new());
    let large = Builder::default().int("_id", 2).text("t", &"y".repeat(15 << 20)).finish();
    // The stand-in refuses texts that are no UTF-8, and dates that Python does not have.
    let mut known = Builder::default();
    raw::elements(&every_type(1))
        .map(Result::unwrap)
        .filter(|e| e.name != b"not utf-8" && e.name != b"date")
        .for_each(|e| known.push(e));
    insert(&client, "shop", "all", &[known.finish()]).await;
    insert(&client, "shop", "all", &[large]).await;
    let slice = bench.capture(&server, &assignment(1, &["shop/all"])).await.unwrap();
    let (documents, _) = bench.documents(&slice, "shop/all").await;
    let expected = seen(&client, "shop", "all").await;
    assert!(documents == expected && documents.len() == 2, "{} documents", documents.len());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_goes_on_where_a_run_before_it_was_dropped_also_when_the_server_was_killed() {
    let Some(mut server) = StandIn::start().await else { return };
    let (client, bench) = (server.server(), Bench::new());
    insert(&client, "shop", "orders", &numbered(40_000)).await;
    let listener = bench.listener(&server);
    let (first, stop) = (assignment(1, &["shop/*"]), CancellationToken::new());
    let seen_two = stop.clone();
    let sink: progress::ProgressSink = Arc::new(move |progress| {
        if progress.phase.starts_with("scan") {
            seen_two.cancel();
        }
    });
    // The call is dropped, not told to end, as when the process is killed.
    tokio::select! {
        done = listener.capture(&first, sink, CancellationToken::new()) => panic!("it was not dropped: {done:?}"),
        () = stop.cancelled() => {}
    }
    let names = |store: Arc<dyn ObjectStore>| async move {
        tidemark_listener_core::conformance::records::names(&store).await.unwrap()
    };
    let before = names(bench.store()).await;
    assert!(before.iter().any(|name| name.contains("/scan-")), "{before:?}");
    server.kill_and_start().await;
    delete(&client, "orders", Builder::default().int("_id", 3)).await;
    let slice = bench.capture(&server, &assignment(2, &["shop/*"])).await.unwrap();
    let files = slice.objects.iter().flat_map(|object| &object.files).map(|file| file.stored.key.as_str());
    let kept: Vec<&str> = files.filter(|key| before.iter().any(|name| name == key)).collect();
    assert!(!kept.is_empty(), "nothing of the first run is used");
    let (documents, _) = bench.documents(&slice, "shop/orders").await;
    assert!(documents == seen(&client, "shop", "orders").await, "documents differ");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_protected_is_named_and_stops_nothing_else() {
    let Some(server) = StandIn::start().await else { return };
    let (client, bench) = (server.server(), Bench::new());
    insert(&client, "shop", "orders", &numbered(3)).await;
    run(&client, "shop", Builder::default().text("create", "ring").truth("capped", true).int("size", 4096)).await;
    let series = Builder::default().text("timeField", "at").finish();
    run(&client, "shop", Builder::default().text("create", "series").document("timeseries", &series)).await;
    let slice = bench.capture(&server, &assignment(1, &["*/*"])).await.unwrap();
    let unreadable: Vec<&str> = slice.objects.iter().filter_map(|object| object.unreadable.as_deref()).collect();
    assert_eq!(unreadable.len(), 2, "{:?}", slice.objects);
    assert!(unreadable[0].starts_with("capped collections") && unreadable[1].starts_with("time series"));
    assert_eq!(bench.documents(&slice, "shop/orders").await.0.len(), 3);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_that_the_server_does_not_know_is_a_gap_by_name() {
    let Some(server) = StandIn::start().await else { return };
    let (client, bench) = (server.server(), Bench::new());
    insert(&client, "shop", "orders", &numbered(3)).await;
    let first = assignment(1, &["shop/*"]);
    let journal = journal::Journal::new(bench.store(), &first, "set");
    let foreign =
        Builder::default().text("_data", &hex::encode(Builder::default().int("s", 2_000_000_000).finish())).finish();
    let begun = journal::Begun { from: "5.0".parse().unwrap(), token: tidemark_catalog::opaque::Opaque::new(foreign) };
    journal.note("begun", &begun).await.unwrap();
    let failure = bench.capture(&server, &first).await.unwrap_err();
    assert_eq!((failure.code.as_ref(), failure.retryable), (crate::codes::GAP, false), "{failure:?}");
}
