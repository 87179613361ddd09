//! The fakes are sources too.

use std::sync::{Arc, atomic::AtomicBool};

use async_trait::async_trait;
use object_store::{memory::InMemory, path::Path};
use serde_json::{Value, json};
use tidemark_catalog::{entry::ObjectLine, ids::FencingToken, keys::KeyRange, names::Names, opaque::Opaque};
use tidemark_listener_core::{
    blocks::{BlockSource, SealJob},
    conformance::{blocks as block_rules, records, source},
    progress,
    records::{ConsolidateJob, ConsolidateLimits, RecordSource},
    source::Uses,
};
use tidemark_records::consolidate;

use super::*;

struct Subject<S>(S);

fn fake() -> Subject<Driver> {
    let hang = Hang { at: None, hung: Arc::default(), done: AtomicBool::new(true) };
    Subject(Driver { world: World::default(), hang: Arc::new(hang) })
}

impl<S: Source> source::Subject for Subject<S> {
    fn source(&self) -> &dyn Source {
        &self.0
    }

    fn spec(&self) -> Value {
        json!({"nodes": ["n1", "n2"], "tool": ["/bin/true", "--config", "/etc/tool"], "secret": "/etc/secret"})
    }

    fn uses(&self) -> Uses {
        let tool = ["/bin/true", "--config", "/etc/tool"].map(str::to_owned).to_vec();
        Uses { programs: vec![tool], credentials: vec!["/etc/secret".into()], data: vec![], addresses: vec![] }
    }

    fn wrong_specs(&self) -> Vec<(Value, &'static str)> {
        vec![(json!({}), "nodes"), (json!({"nodes": [1]}), "nodes")]
    }

    fn options(&self) -> Vec<Value> {
        vec![json!({"write_level": "quorum", "repaired": true})]
    }
}

/// The slice of a node that staged these lines.
async fn staged(store: &Arc<dyn ObjectStore>, node: &str, lines: &str) -> SliceManifest {
    let path = Path::from(format!("staged/{node}"));
    let stored = StoredRef::new(&path, upload::put_new(store, &path, lines.to_owned()).await.unwrap());
    let (size, digest) = (stored.size, stored.digest);
    let file = StagedFile { name: "rows".to_owned(), stored: stored.clone(), encoding: Encoding::Plain, size, digest };
    let object = objects().remove(0);
    let at = "2026-01-02T03:04:05Z".parse().unwrap();
    SliceManifest {
        source: "s".parse().unwrap(),
        task: "t".parse().unwrap(),
        token: FencingToken { generation: 1, revision: 1 },
        partition: node.to_owned(),
        started: at,
        finished: at,
        objects: vec![SliceObject { object, object_id: "1".to_owned(), unreadable: None, files: vec![file] }],
        info: stored,
    }
}

#[async_trait]
impl records::Subject for Subject<Driver> {
    fn source(&self) -> &dyn RecordSource {
        &self.0
    }

    async fn job(&self) -> ConsolidateJob {
        let store: Arc<dyn ObjectStore> = Arc::new(InMemory::new());
        let mut slices = Vec::new();
        for node in ["n1", "n2", "n3"] {
            slices.push(staged(&store, node, "1=a\n2=b\n7=c\n").await);
        }
        ConsolidateJob {
            source: "s".parse().unwrap(),
            object: objects().remove(0),
            slices: Arc::new(slices),
            absent: Arc::default(),
            unreadable: BTreeMap::new(),
            previous: None,
            store,
            names: Arc::new(Names::new("s".parse().unwrap(), FencingToken { generation: 1, revision: 1 })),
            options: json!({"repaired": true}),
            limits: ConsolidateLimits::default(),
            env: Env::system(),
            progress: progress::silent(),
            cancel: CancellationToken::new(),
        }
    }

    async fn halves(&self) -> [KeyRange; 2] {
        let end = || Some(Opaque::new(vec![2]));
        let range = |from, until, text: &str| KeyRange { from, until, text: text.to_owned() };
        [range(None, end(), "low"), range(end(), None, "high")]
    }

    async fn line(&self, job: ConsolidateJob, ranges: &[KeyRange]) -> Result<ObjectLine, Failure> {
        consolidate::object(&self.0, self.0.kind(), job, ranges).await
    }
}

#[async_trait]
impl block_rules::Subject for Subject<blocks::Blocks> {
    fn source(&self) -> &dyn BlockSource {
        &self.0
    }

    async fn job(&self) -> SealJob {
        let ConsolidateJob { source, object, slices, store, names, env, .. } = records::Subject::job(&fake()).await;
        SealJob {
            source,
            object,
            slices,
            absent: Arc::default(),
            previous: None,
            store,
            names,
            options: json!({}),
            env,
            progress: progress::silent(),
            cancel: CancellationToken::new(),
        }
    }
}

#[tokio::test]
async fn one_is_a_source_of_blocks() {
    block_rules::all(&Subject(blocks::Blocks)).await.unwrap();
}

#[tokio::test]
async fn they_are_sources() {
    source::all(&fake()).await.unwrap();
    source::all(&Subject(blocks::Blocks)).await.unwrap();
}

#[tokio::test]
async fn one_is_a_source_of_records() {
    records::all(&fake()).await.unwrap();
}
