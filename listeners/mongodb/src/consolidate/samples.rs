//! Jobs for tests: members that staged a collection, constructed.

use std::{collections::BTreeMap, sync::Arc};

use jiff::Timestamp;
use object_store::{ObjectStore, memory::InMemory, path::Path};
use serde_json::json;
use tidemark_catalog::{
    document,
    ids::FencingToken,
    layout,
    names::Names,
    slice::{Encoding, SliceManifest, SliceObject, StagedFile},
    stored::StoredRef,
};
use tidemark_gateway::{Digest, Env, upload};
use tidemark_listener_core::{
    progress,
    records::{ConsolidateJob, ConsolidateLimits},
};
use tokio_util::sync::CancellationToken;

use crate::{
    key::Id,
    raw::Builder,
    staged::{Collection, Holds, Index, Partition, Run, Schema, framed, samples::run},
};

/// UUID of the collection.
pub(crate) const UUID: &str = "07070707070707070707070707070707";

/// The claim of all tests.
pub(crate) const TOKEN: FencingToken = FencingToken { generation: 1, revision: 1 };

/// A document of the collection.
pub(crate) fn document(id: i32, n: i32) -> Vec<u8> {
    Builder::default().int("_id", id).int("n", n).finish()
}

/// Its `_id`.
pub(crate) fn id(number: i32) -> Id {
    Id::of(&document(number, 0)).unwrap()
}

/// First and last time of a scan.
pub(crate) type Bracket = (&'static str, &'static str);

/// What a member staged.
pub(crate) struct Staged {
    pub(crate) set: &'static str,
    pub(crate) from: &'static str,
    pub(crate) before: &'static str,
    /// Events from here on were kept; from the beginning on where absent.
    pub(crate) since: Option<&'static str>,
    /// Scans, each with its bracket.
    pub(crate) scans: Vec<(Bracket, Vec<Vec<u8>>)>,
    /// Runs of events.
    pub(crate) events: Vec<Vec<Vec<u8>>>,
}

/// The schema of the collection.
pub(crate) fn schema() -> Schema {
    let by_n = Builder::default()
        .int("v", 2)
        .document("key", &Builder::default().int("n", 1).finish())
        .text("name", "n_1")
        .finish();
    let by_id = Builder::default()
        .int("v", 2)
        .document("key", &Builder::default().int("_id", 1).finish())
        .text("name", "_id_")
        .finish();
    let index = |(name, specification): (&str, Vec<u8>)| Index {
        name: name.to_owned(),
        specification: specification_bytes(specification),
    };
    Schema {
        options: specification_bytes(Builder::default().finish()),
        indexes: [("_id_", by_id), ("n_1", by_n)].map(index).to_vec(),
    }
}

fn specification_bytes(bytes: Vec<u8>) -> tidemark_catalog::opaque::Opaque {
    tidemark_catalog::opaque::Opaque::new(bytes)
}

/// Stores what a member staged; gives its slice.
pub(crate) async fn slice(store: &Arc<dyn ObjectStore>, partition: &str, staged: Staged) -> SliceManifest {
    let scans = staged.scans.into_iter().enumerate().map(|(number, ((from, until), documents))| {
        let holds = Holds::Scan { from: from.parse().unwrap(), until: until.parse().unwrap() };
        run(&format!("scan-{number}"), holds, documents)
    });
    let events = staged
        .events
        .into_iter()
        .enumerate()
        .map(|(number, events)| run(&format!("events-{number}"), Holds::Events, events));
    let (mut runs, mut files) = (Vec::new(), Vec::new());
    for (run, bytes) in scans.chain(events) {
        files.push(file(store, partition, &run, &bytes).await);
        runs.push(run);
    }
    let since = staged.since.map(|since| since.parse().unwrap());
    let collections = vec![Collection { uuid: UUID.to_owned(), object: None, since, schema: schema(), runs }];
    let (set, version) = (staged.set.to_owned(), "8.0.0".to_owned());
    let info = Partition {
        set,
        version,
        from: staged.from.parse().unwrap(),
        before: staged.before.parse().unwrap(),
        collections,
    };
    let (source, task) = ("s".parse().unwrap(), "0123456789abcdef0123456789abcdef".parse().unwrap());
    let place = Path::from(format!("{}/info.json", layout::staged(&source, &task, partition)));
    let info = document::write(store, &place, &info).await.unwrap();
    let object = SliceObject { object: "shop/a".parse().unwrap(), object_id: UUID.to_owned(), unreadable: None, files };
    let at = Timestamp::UNIX_EPOCH;
    SliceManifest {
        source,
        task,
        token: TOKEN,
        partition: partition.to_owned(),
        started: at,
        finished: at,
        objects: vec![object],
        info,
    }
}

async fn file(store: &Arc<dyn ObjectStore>, partition: &str, run: &Run, bytes: &[u8]) -> StagedFile {
    let place = Path::from(format!("sources/s/staged/0123456789abcdef0123456789abcdef/{partition}/{}", run.name));
    let stored = upload::put_new(store, &place, framed(bytes).unwrap()).await.unwrap();
    let (stored, size) = (StoredRef::new(&place, stored), bytes.len() as u64);
    StagedFile { name: run.name.clone(), stored, encoding: Encoding::Zstd, size, digest: Digest::of(bytes) }
}

/// A job of these members, by partition.
pub(crate) async fn job(members: Vec<(&str, Staged)>) -> ConsolidateJob {
    let store: Arc<dyn ObjectStore> = Arc::new(InMemory::new());
    let mut slices = Vec::new();
    for (partition, staged) in members {
        slices.push(slice(&store, partition, staged).await);
    }
    ConsolidateJob {
        source: "s".parse().unwrap(),
        object: "shop/a".parse().unwrap(),
        slices: Arc::new(slices),
        absent: Arc::default(),
        unreadable: BTreeMap::new(),
        previous: None,
        store,
        names: Arc::new(Names::new("s".parse().unwrap(), TOKEN)),
        options: json!({}),
        limits: ConsolidateLimits::default(),
        env: Env::seeded(1, Timestamp::UNIX_EPOCH),
        progress: progress::silent(),
        cancel: CancellationToken::new(),
    }
}
