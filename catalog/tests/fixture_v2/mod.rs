//! The writer of `testdata/v2/`: a tiny repository with one set of two versions, everything in it fixed.

use std::sync::Arc;

use jiff::Timestamp;
use object_store::{ObjectStore, path::Path};
use serde_json::json;
use tidemark_catalog::{
    chain::VersionSet,
    commit::{Claim, ManifestDraft},
    config_mirror, document,
    entry::{
        ColumnId, Cut, DegradedRange, Entry, KeyBound, ObjectLine, PartitionCut, Quality, RangePage, ReplicaRecord,
        SegmentRef, Totals,
    },
    ids::{FencingToken, ObjectName, SetId, SourceId},
    layout,
    manifest::WorstQuality,
    names::Names,
    pages, repository,
    slice::{Encoding, SliceManifest, SliceObject, StagedFile},
    stored::StoredRef,
    work::{self, WorkRoot},
};
use tidemark_gateway::{Digest, Env, upload};

struct Held(FencingToken);

impl Claim for Held {
    fn token(&self) -> FencingToken {
        self.0
    }

    fn holds(&self) -> bool {
        true
    }
}

struct Writer {
    store: Arc<dyn ObjectStore>,
    env: Env,
    source: SourceId,
    set: SetId,
    names: Names,
}

/// Where the work root says that the slice manifest is.
pub(crate) fn slice_reference(root: &WorkRoot) -> StoredRef {
    serde_json::from_value(root.checkpoint["slice"].clone()).unwrap()
}

/// Writes the repository into an empty store.
pub(crate) async fn generate(store: Arc<dyn ObjectStore>) {
    let env = Env::seeded(1, at(0));
    repository::create_or_open(&store, &env).await.unwrap();
    let long = "x".repeat(document::PLAIN_BYTES);
    config_mirror::put(&store, "sources", "east", &json!({"kind": "cassandra", "note": "first"})).await.unwrap();
    config_mirror::put(&store, "sources", "east", &json!({"kind": "cassandra", "note": long})).await.unwrap();
    config_mirror::put(&store, "policies", "daily", &json!({"keep": 7})).await.unwrap();
    config_mirror::put(&store, "policies", "gone", &json!({"keep": 1})).await.unwrap();
    config_mirror::remove(&store, "policies", "gone").await.unwrap();
    for version in 1..=2 {
        let (source, set): (SourceId, SetId) = ("east".parse().unwrap(), "daily".parse().unwrap());
        let names = Names::new(source.clone(), FencingToken { generation: 1, revision: 40 + version });
        Writer { store: store.clone(), env: env.clone(), source, set, names }.version(version).await;
    }
}

fn at(second: i64) -> Timestamp {
    Timestamp::from_second(1_800_000_000 + second).unwrap()
}

fn cut() -> Cut {
    let partition = "6d194555-f6eb-41d0-c000-000000000001".to_owned();
    Cut { from: at(-5), through: at(1), partitions: vec![PartitionCut { partition, started: at(0), finished: at(1) }] }
}

fn totals() -> Totals {
    Totals {
        source_bytes: 300,
        shipped_bytes: 100,
        kept_bytes: 50,
        rows: 3,
        static_rows: 1,
        disagreeing_rows: 1,
        not_owned_partitions: 1,
    }
}

fn degraded() -> Quality {
    let (after, through) = ("-9223372036854775808".to_owned(), "0".to_owned());
    let reason = "1 of 3 replicas captured".to_owned();
    Quality::Degraded { ranges: vec![DegradedRange { after, through, replicas: 3, captured: 1, reason }] }
}

impl Writer {
    async fn version(&self, version: u64) {
        let users = self.object("users", Quality::Cut).await;
        let orders = self.object("orders with ä/slash", degraded()).await;
        let gone = Quality::Missing { reason: "no replica was captured".to_owned() };
        let missing = ObjectLine { entry: None, topology: None, ..self.line("gone", None, gone) };
        let pages = pages::write_pages(&self.store, &self.names, vec![users, orders, missing]).await.unwrap();
        let slice = self.slice(version).await;
        self.work(version, &pages, &slice).await;
        self.commit(version, pages).await;
    }

    fn line(&self, table: &str, entry: Option<StoredRef>, quality: Quality) -> ObjectLine {
        let object = ObjectName::new(["shop", table]).unwrap();
        let topology = Some(Digest::of(b"ring"));
        ObjectLine { object, entry, cut: cut(), quality, topology, totals: totals(), left_out: Vec::new() }
    }

    async fn object(&self, table: &str, quality: Quality) -> ObjectLine {
        let segment = self.put(self.names.segment(), format!("not really Parquet: {table}")).await;
        let bound = |token: &str| KeyBound { token: token.to_owned(), key: "00ff".to_owned() };
        let ranges = vec![SegmentRef { first: bound("-42"), last: bound("42"), stored: segment, records: 4 }];
        let page = RangePage { ranges };
        let baseline = vec![document::write(&self.store, &self.names.page(), &page).await.unwrap()];
        let line = self.line(table, None, quality);
        let entry = document::write(&self.store, &self.names.page(), &entry(&line, baseline)).await.unwrap();
        ObjectLine { entry: Some(entry), ..line }
    }

    async fn slice(&self, version: u64) -> StoredRef {
        let task = format!("daily-{version}").parse().unwrap();
        let partition = "6d194555-f6eb-41d0-c000-000000000001";
        let folder = layout::staged(&self.source, &task, partition);
        let file =
            self.put(Path::from(format!("{folder}/0-nb-1-big-Data.db")), "not really an SSTable".to_owned()).await;
        let info = self.put(Path::from(format!("{folder}/info.json")), "{\"format\":1}".to_owned()).await;
        let (size, digest) = (file.size, file.digest);
        let name = "nb-1-big-Data.db".to_owned();
        let files = vec![StagedFile { name, stored: file, encoding: Encoding::Plain, size, digest }];
        let object = ObjectName::new(["shop", "users"]).unwrap();
        let objects = vec![SliceObject { object, object_id: "5a1c395e".to_owned(), unreadable: None, files }];
        let slice = SliceManifest {
            source: self.source.clone(),
            task,
            token: self.names.token(),
            partition: partition.to_owned(),
            started: at(0),
            finished: at(1),
            objects,
            info,
        };
        document::write(&self.store, &Path::from(format!("{folder}/slice.json")), &slice).await.unwrap()
    }

    async fn work(&self, version: u64, pages: &[StoredRef], slice: &StoredRef) {
        let root = WorkRoot {
            task: format!("daily-{version}").parse().unwrap(),
            token: self.names.token(),
            node: "node-1".to_owned(),
            written: at(2),
            objects: pages.iter().map(|page| page.key.clone()).collect(),
            checkpoint: json!({ "slice": slice }),
        };
        work::write(&self.store, &self.names, &self.set, &root).await.unwrap();
    }

    async fn commit(&self, version: u64, pages: Vec<StoredRef>) {
        let draft = ManifestDraft {
            task: format!("daily-{version}"),
            node: "node-1".to_owned(),
            kind: "cassandra".to_owned(),
            cut: Some(cut()),
            pages,
            objects: 3,
            totals: totals().plus(totals()).plus(totals()),
            worst: WorstQuality::Missing,
            barrier: None,
            in_order: false,
        };
        let set = VersionSet::new(self.store.clone(), self.source.clone(), self.set.clone());
        set.commit(draft, &Held(self.names.token()), &self.env).await.unwrap();
    }

    async fn put(&self, path: Path, text: String) -> StoredRef {
        let stored = upload::put_new(&self.store, &path, text).await.unwrap();
        StoredRef { key: path.to_string(), size: stored.size, digest: stored.digest }
    }
}

fn entry(line: &ObjectLine, baseline: Vec<StoredRef>) -> Entry {
    let replica = ReplicaRecord {
        partition: "6d194555-f6eb-41d0-c000-000000000001".to_owned(),
        state: "captured".to_owned(),
        merged: json!([{"sstable": 1}]),
    };
    Entry {
        object: line.object.clone(),
        object_id: "5a1c395e".to_owned(),
        kind: "cassandra".to_owned(),
        schema: json!({"cql": "CREATE TABLE ..."}),
        columns: vec![ColumnId { id: 1, name: "id".to_owned() }, ColumnId { id: 2, name: "näme".to_owned() }],
        baseline,
        increments: Vec::new(),
        replicas: vec![replica],
        cut: line.cut.clone(),
        quality: line.quality.clone(),
        totals: line.totals,
    }
}
