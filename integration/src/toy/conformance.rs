//! The toy keeps the conformance suite.

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
    sync::{Arc, Mutex},
};

use async_trait::async_trait;
use object_store::ObjectStore;
use serde_json::{Value, json};
use tempfile::TempDir;
use tidemark_catalog::{
    document,
    entry::{ObjectLine, Quality},
    ids::{FencingToken, ObjectName},
    keys::KeyRange,
    names::Names,
    opaque::Opaque,
    slice::SliceManifest,
};
use tidemark_gateway::Env;
use tidemark_listener_core::{
    access::Access,
    assignment::{Assignment, Capture},
    conformance::{listener, records, restorer, source},
    failure::Failure,
    launch::Store,
    listener::Listener,
    process::Start,
    progress,
    records::{ConsolidateJob, ConsolidateLimits, RecordSource},
    restorer::{RestoreJob, RestoreOptions, Restorer},
    source::{Source, Uses},
};
use tidemark_records::consolidate;
use tokio_util::sync::CancellationToken;

use super::{
    KIND,
    capture::{Arguments, ToyListener},
    driver::Toy,
    replica,
    restore::ToyRestorer,
    snapshot,
};

/// The claim of all tests.
const TOKEN: FencingToken = FencingToken { generation: 1, revision: 1 };

/// The object.
const OBJECT: &str = "orders";

/// What the replicas hold between them; every one holds the winners.
const DOCUMENTS: [(&str, i64, &str); 6] = [
    ("a", 1, "\"old\""),
    ("a", 2, "\"new\""),
    ("m", 1, "[1, 2]"),
    ("t", 1, "3"),
    ("t", 5, "null"),
    ("z", 9, "{\"n\": 1.50}"),
];

/// Replicas in a directory of a test's own, and a store beside them.
struct Bench {
    home: TempDir,
}

impl Bench {
    fn new() -> Self {
        let bench = Self { home: tempfile::tempdir().unwrap() };
        for replica in ["a", "b", "c"] {
            let folder = bench.directory(replica).join(OBJECT);
            fs::create_dir_all(&folder).unwrap();
            for (index, (key, time, value)) in DOCUMENTS.iter().enumerate() {
                let document = format!(r#"{{"key":"{key}","time":{time},"value":{value}}}"#);
                fs::write(folder.join(format!("{index} {replica}.json")), document).unwrap();
            }
        }
        fs::create_dir(bench.home.path().join("store")).unwrap();
        bench
    }

    fn directory(&self, replica: &str) -> PathBuf {
        self.home.path().join(replica)
    }

    fn access(&self) -> Access {
        let url = format!("file://{}", self.home.path().join("store").display());
        Access { store: Some(Store { url, repository: "r".to_owned(), checksums: false }), ..Access::default() }
    }

    fn store(&self) -> Arc<dyn ObjectStore> {
        self.access().open(&Env::system()).unwrap()
    }

    fn listener(&self, replica: &str) -> ToyListener {
        let start = Start { source: "s".parse().unwrap(), access: self.access(), env: Env::system() };
        ToyListener::new(Arguments { replica: replica.to_owned(), directory: self.directory(replica) }, start)
    }

    async fn slice(&self, replica: &str) -> SliceManifest {
        let (listener, assignment) = (self.listener(replica), assignment());
        let slice = listener.capture(&assignment, progress::silent(), CancellationToken::new()).await.unwrap();
        document::read(&self.store(), &slice).await.unwrap()
    }

    async fn job(&self) -> ConsolidateJob {
        let slices = vec![self.slice("a").await, self.slice("b").await, self.slice("c").await];
        ConsolidateJob {
            source: "s".parse().unwrap(),
            object: object(),
            slices: Arc::new(slices),
            absent: Arc::default(),
            unreadable: BTreeMap::new(),
            previous: None,
            store: self.store(),
            names: Arc::new(Names::new("s".parse().unwrap(), TOKEN)),
            options: json!({"complete": true}),
            limits: ConsolidateLimits::default(),
            env: Env::system(),
            progress: progress::silent(),
            cancel: CancellationToken::new(),
        }
    }
}

fn object() -> ObjectName {
    OBJECT.parse().unwrap()
}

fn assignment() -> Assignment<Capture> {
    Assignment {
        id: "1".to_owned(),
        needs: Vec::new(),
        source: "s".parse().unwrap(),
        task: "0123456789abcdef0123456789abcdef".parse().unwrap(),
        token: TOKEN,
        repository: "r".to_owned(),
        work: Capture { objects: vec!["*".to_owned()], ..Capture::default() },
    }
}

/// Hands out benches, and keeps them until the end.
#[derive(Default)]
struct Subject(Mutex<Vec<Arc<Bench>>>);

impl Subject {
    fn bench(&self) -> Arc<Bench> {
        let bench = Arc::new(Bench::new());
        self.0.lock().unwrap().push(Arc::clone(&bench));
        bench
    }
}

impl source::Subject for Subject {
    fn source(&self) -> &dyn Source {
        &Toy
    }

    fn spec(&self) -> Value {
        json!({"replicas": [{"id": "a", "directory": "/nowhere/a"}, {"id": "b", "directory": "/nowhere/b"}]})
    }

    fn wrong_specs(&self) -> Vec<(Value, &'static str)> {
        let of = |id: &str, directory: &str| json!({"replicas": [{"id": "a", "directory": "/a"}, {"id": id, "directory": directory}]});
        vec![
            (json!({}), "replicas"),
            (json!({"replicas": []}), "replicas"),
            (json!({"replicas": [{"id": "a"}]}), "directory"),
            (json!({"replicas": [{"id": "a", "directory": "/a", "weight": 1}]}), "weight"),
            (of("B", "/b"), "replicas[1].id"),
            (of("a", "/b"), "replicas[1].id"),
            (of("b", "b"), "replicas[1].directory"),
        ]
    }

    fn uses(&self) -> Uses {
        Uses { data: ["/nowhere/a", "/nowhere/b"].map(Into::into).to_vec(), ..Uses::default() }
    }

    fn options(&self) -> Vec<Value> {
        vec![json!({"complete": true}), json!({"complete": false})]
    }
}

#[async_trait]
impl records::Subject for Subject {
    fn source(&self) -> &dyn RecordSource {
        &Toy
    }

    async fn job(&self) -> ConsolidateJob {
        self.bench().job().await
    }

    async fn halves(&self) -> [KeyRange; 2] {
        let middle = Some(Opaque::new("m".as_bytes()));
        let low = KeyRange { from: None, until: middle.clone(), text: "below m".to_owned() };
        [low, KeyRange { from: middle, until: None, text: "m and above".to_owned() }]
    }

    async fn line(&self, job: ConsolidateJob, ranges: &[KeyRange]) -> Result<ObjectLine, Failure> {
        consolidate::object(&Toy, KIND, job, ranges).await
    }
}

#[async_trait]
impl listener::Subject for Subject {
    async fn ready(&self) -> listener::Ready {
        let bench = self.bench();
        listener::Ready { listener: Arc::new(bench.listener("a")), assignment: assignment(), store: bench.store() }
    }
}

/// The winners as a reader finds them in a directory.
fn seen(directory: &Path) -> Value {
    json!(replica::read(directory, OBJECT).unwrap().seen())
}

#[async_trait]
impl restorer::Subject for Subject {
    fn restorer(&self) -> &dyn Restorer {
        &ToyRestorer
    }

    async fn job(&self) -> RestoreJob {
        let bench = self.bench();
        let line = consolidate::object(&Toy, KIND, bench.job().await, &[KeyRange::all()]).await.unwrap();
        let replicas = ["x", "y"].map(|id| {
            fs::create_dir(bench.directory(id)).unwrap();
            json!({"id": id, "directory": bench.directory(id)})
        });
        RestoreJob {
            lines: vec![line],
            store: bench.store(),
            destination: json!({ "replicas": replicas }),
            options: RestoreOptions::default(),
            env: Env::system(),
        }
    }

    async fn seen(&self, job: &RestoreJob) -> Result<Value, Failure> {
        let directory = |at: usize| PathBuf::from(job.destination["replicas"][at]["directory"].as_str().unwrap());
        let [x, y] = [0, 1].map(|at| seen(&directory(at)));
        assert_eq!(x, y, "replicas differ");
        Ok(x)
    }

    fn expected(&self) -> Value {
        json!({"a": [2, "\"new\""], "m": [1, "[1, 2]"], "z": [9, "{\"n\": 1.50}"]})
    }

    fn unreachable(&self) -> Value {
        json!({"replicas": [{"id": "x", "directory": "/nowhere/x"}]})
    }
}

#[tokio::test]
async fn the_toy_is_a_source() {
    source::all(&Subject::default()).await.unwrap();
}

#[tokio::test]
async fn the_toy_is_a_source_of_records() {
    records::all(&Subject::default()).await.unwrap();
}

#[tokio::test]
async fn the_toy_has_a_listener() {
    listener::all(&Subject::default()).await.unwrap();
}

#[tokio::test]
async fn the_toy_restores() {
    restorer::all(&Subject::default()).await.unwrap();
}

#[tokio::test]
async fn a_replica_that_cannot_be_read_is_named_and_the_word_of_the_operator_decides() {
    for (options, complete) in [(json!({"complete": true}), true), (json!({}), false)] {
        let bench = Bench::new();
        fs::write(bench.directory("b").join(OBJECT).join("0 b.json"), r#"{"key": "a", "ti"#).unwrap();
        let job = ConsolidateJob { options, ..bench.job().await };
        let line = consolidate::object(&Toy, KIND, job, &[KeyRange::all()]).await.unwrap();
        let left_out: Vec<String> = line.left_out.iter().map(ToString::to_string).collect();
        assert!(left_out.len() == 1 && left_out[0].starts_with("b: 0 b.json is not a document"), "{left_out:?}");
        assert_eq!((line.figures.records, line.quality == Quality::Cut), (3, complete));
    }
}

#[tokio::test]
async fn nothing_is_left_of_a_snapshot_when_its_task_is_over() {
    let bench = Bench::new();
    let mut over = assignment();
    over.work.step.over = true;
    let failure = bench.listener("a").capture(&over, progress::silent(), CancellationToken::new()).await.unwrap_err();
    assert!(failure.cancelled);
    bench.slice("a").await;
    assert!(snapshot::tags(&bench.directory("a")).unwrap().is_empty());
}
