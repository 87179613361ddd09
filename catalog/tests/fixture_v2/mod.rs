//! The writer of `testdata/v2/`: a tiny repository with one set of two versions, everything in it fixed.

use std::sync::Arc;

use jiff::Timestamp;
use object_store::{ObjectStore, path::Path};
use serde_json::json;
use tidemark_catalog::{
    chain::VersionSet,
    commit::{Claim, ManifestDraft},
    config_mirror,
    content::{ColumnId, Content, RangePage, Records, SegmentRef},
    document,
    entry::{Cut, DegradedRange, Entry, ObjectLine, PartitionCut, Quality, Replica, ReplicaState},
    figures::Figures,
    identities::{self, Identity, IdentityPageRef},
    ids::{FencingToken, ObjectName, SetId, SourceId},
    keys::{Key, KeyRange},
    layout,
    manifest::{Holds, Version, WorstQuality},
    names::Names,
    opaque::Opaque,
    pages,
    position::{Mark, Position},
    repository,
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

/// Name of the slice manifest that was captured for a version.
pub(crate) fn slice_path(source: &SourceId, version: u64) -> Path {
    let task = format!("daily-{version}").parse().unwrap();
    Path::from(format!("{}/slice.json", layout::staged(source, &task, "6d194555-f6eb-41d0-c000-000000000001")))
}

/// Name of the work root of a version's task.
pub(crate) fn work_path(source: &SourceId, set: &SetId, version: u64) -> Path {
    // Names of pages and segments took the numbers before it.
    let token = FencingToken { generation: 1, revision: 40 + version };
    layout::work_root(source, set, token, ROOT)
}

/// Number of the root's name within its claim: two objects take four names each, one page follows.
const ROOT: u64 = 9;

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

fn figures() -> Figures {
    let own = [("disagreeing_rows", 1), ("not_owned_partitions", 1), ("static_rows", 1)];
    let own = own.map(|(name, count)| (name.to_owned(), count));
    Figures {
        logical_bytes: 300,
        shipped_bytes: 100,
        kept_new_bytes: 40,
        kept_shared_bytes: 10,
        records: 3,
        inserted: Some(1),
        updated: None,
        deleted: Some(0),
        own: [("cassandra".to_owned(), own.into())].into(),
    }
}

fn degraded() -> Quality {
    let range = KeyRange { from: None, until: Some(Opaque::new(vec![0x80])), text: "up to 0".to_owned() };
    let reason = "1 of 3 replicas captured".to_owned();
    Quality::Degraded { ranges: vec![DegradedRange { range, replicas: 3, captured: 1, reason }] }
}

fn position() -> Position {
    let mark = Mark { bytes: Opaque::new(vec![0, 7]), text: "seven".to_owned() };
    Position::new([("6d194555-f6eb-41d0-c000-000000000001".to_owned(), mark)])
}

impl Writer {
    async fn version(&self, version: u64) {
        let users = self.object("users", Quality::Cut).await;
        let orders = self.object("orders with ä/slash", degraded()).await;
        let gone = Quality::Missing { reason: "no replica was captured".to_owned() };
        let missing = ObjectLine { entry: None, topology: None, ..self.line("gone", None, gone) };
        let pages = pages::write_pages(&self.store, &self.names, vec![users, orders, missing]).await.unwrap();
        self.slice(version).await;
        self.work(version).await;
        self.commit(version, pages).await;
    }

    fn line(&self, table: &str, entry: Option<StoredRef>, quality: Quality) -> ObjectLine {
        let object = ObjectName::new(["shop", table]).unwrap();
        let topology = Some(Digest::of(b"ring"));
        ObjectLine { object, entry, cut: cut(), quality, topology, figures: figures(), left_out: Vec::new() }
    }

    async fn object(&self, table: &str, quality: Quality) -> ObjectLine {
        let segment = self.put(self.names.segment(), format!("not really Parquet: {table}")).await;
        let key = |byte: u8| Key { bytes: Opaque::new(vec![byte, 0xff]), text: format!("key {byte}") };
        let ranges = vec![SegmentRef { first: key(1), last: key(2), stored: segment, records: 4 }];
        let baseline = vec![document::write(&self.store, &self.names.page(), &RangePage { ranges }).await.unwrap()];
        let merged = identities::write(&self.store, &self.names, vec![identity()]).await.unwrap();
        let line = self.line(table, None, quality);
        let entry = entry(&line, baseline, merged);
        let entry = document::write(&self.store, &self.names.page(), &entry).await.unwrap();
        ObjectLine { entry: Some(entry), ..line }
    }

    async fn slice(&self, version: u64) {
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
        document::write(&self.store, &slice_path(&self.source, version), &slice).await.unwrap();
    }

    async fn work(&self, version: u64) {
        let root = WorkRoot {
            task: format!("daily-{version}").parse().unwrap(),
            tokens: vec![FencingToken { generation: 1, revision: 1 }, self.names.token()],
            pins: vec![format!("east.daily.{version}").parse().unwrap()],
            node: "node-1".to_owned(),
            written: at(2),
        };
        work::write(&self.store, &self.names, &self.set, &root).await.unwrap();
    }

    async fn commit(&self, version: u64, pages: Vec<StoredRef>) {
        let draft = ManifestDraft {
            task: format!("daily-{version}"),
            node: "node-1".to_owned(),
            holds: Holds::Version(Box::new(Version {
                kind: "cassandra".to_owned(),
                cut: Some(cut()),
                pages,
                objects: 3,
                figures: Figures::sum(&[figures(), figures(), figures()]),
                worst: WorstQuality::Missing,
                revises: None,
                group: None,
                keeps_staged: false,
            })),
            in_order: false,
        };
        let set = VersionSet::new(self.store.clone(), self.source.clone(), self.set.clone());
        set.commit(draft, &Held(self.names.token()), &self.env).await.unwrap();
    }

    async fn put(&self, path: Path, text: String) -> StoredRef {
        let stored = upload::put_new(&self.store, &path, text).await.unwrap();
        StoredRef::new(&path, stored)
    }
}

fn identity() -> Identity {
    let partition = "6d194555-f6eb-41d0-c000-000000000001".to_owned();
    Identity { partition, id: Opaque::new(vec![1, 2]), own: json!({"sstable": 1}) }
}

fn entry(line: &ObjectLine, baseline: Vec<StoredRef>, merged: Vec<IdentityPageRef>) -> Entry {
    let partition = "6d194555-f6eb-41d0-c000-000000000001".to_owned();
    let columns = [(1, "id"), (2, "näme")].map(|(id, name)| ColumnId { id, name: name.to_owned() });
    let records = Records { columns: columns.into(), baseline, merged, ..Records::default() };
    Entry {
        object: line.object.clone(),
        object_id: "5a1c395e".to_owned(),
        kind: "cassandra".to_owned(),
        schema: json!({"cql": "CREATE TABLE ..."}),
        content: Content::Records(records),
        replicas: vec![Replica { partition, state: ReplicaState::Captured, own: json!({"clock": "1"}) }],
        cut: line.cut.clone(),
        position: position(),
        quality: line.quality.clone(),
        figures: line.figures.clone(),
    }
}
