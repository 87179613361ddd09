//! Kinds of source for tests: some objects of one row, and a listener per node that stages all of them.
//!
//! `fake` ([`driver`], [`records`]) is a source of records that is restored in the daemon, `fake-blocks` ([`blocks`]) one of blocks
//! that is restored by its listeners. Both keep the conformance suite.

mod blocks;
mod conformance;
mod driver;
mod records;

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicU32, Ordering},
    },
};

use async_trait::async_trait;
use object_store::{ObjectStore, ObjectStoreExt as _};
use tidemark_catalog::{
    document,
    ids::ObjectName,
    layout,
    slice::{Encoding, SliceManifest, SliceObject, StagedFile},
    stored::StoredRef,
};
use tidemark_gateway::{Digest, Env, open, upload};
use tidemark_listener_core::{
    assignment::{Assignment, Capture, CheckRequest, Restore},
    check,
    failure::Failure,
    launch::Store,
    listener::Listener,
    needs,
    progress::ProgressSink,
    restorer::RestoreReport,
    source::Source,
};
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

use driver::Driver;

use super::Parts;
use crate::{
    listeners::{
        launch::Launch,
        tests::{InProcess, Serves},
    },
    sources::Drivers,
};

/// How the fake source behaves.
#[derive(Default)]
pub(super) struct World {
    /// Objects that cannot be consolidated.
    pub(super) damaged: Vec<String>,
    /// Nodes that cannot be captured.
    pub(super) unreachable: Vec<String>,
    /// Nodes that hand in what is not theirs.
    pub(super) lies: BTreeMap<String, Lie>,
    /// Objects `many/t0000`, `many/t0001` … besides.
    pub(super) many: usize,
    /// Steps of a capture before the one that ships.
    pub(super) prepares: usize,
    /// Where it hangs until it is cancelled, once: an object's consolidation, `capture-<step>`, `verify` or `restore`.
    pub(super) hang_at: Option<String>,
    /// Told when it hangs.
    pub(super) hung: Arc<Notify>,
    /// Consolidations begun, in order.
    pub(super) consolidated: Arc<Mutex<Vec<String>>>,
    /// Instants that restores were given, in order of their runs.
    pub(super) instants: Arc<Mutex<Vec<Option<i64>>>>,
    /// Snapshots on the nodes, by node and task.
    pub(super) snapshots: Arc<Mutex<BTreeSet<String>>>,
    /// What listeners restored, by assignment.
    pub(super) restored: Arc<Mutex<Vec<String>>>,
    /// Objects that the source has got besides those that it always has.
    pub(super) added: Arc<Mutex<Vec<String>>>,
    /// Segments that the store loses once they are written, from now on.
    pub(super) losses: AtomicU32,
}

/// What a node hands in for its slice.
#[derive(Clone, Copy, PartialEq)]
pub(super) enum Lie {
    /// One that is staged for another task.
    Task,
    /// One in the folder of `n1`.
    Folder,
    /// Its own, which says another partition.
    Partition,
    /// Its own, which names what `n1` staged.
    Files,
}

/// Hangs once, at one place.
struct Hang {
    at: Option<String>,
    hung: Arc<Notify>,
    done: AtomicBool,
}

impl Hang {
    /// True where it hung, and was cancelled.
    async fn here(&self, place: &str, cancel: &CancellationToken) -> bool {
        if self.at.as_deref() != Some(place) || self.done.swap(true, Ordering::SeqCst) {
            return false;
        }
        self.hung.notify_one();
        cancel.cancelled().await;
        true
    }
}

impl World {
    pub(super) fn parts(self) -> Parts {
        let (unreachable, snapshots) = (self.unreachable.clone(), Arc::clone(&self.snapshots));
        let (lies, many) = (self.lies.clone(), self.many);
        let (at, hung) = (self.hang_at.clone(), Arc::clone(&self.hung));
        let hang = Arc::new(Hang { at, hung, done: AtomicBool::new(false) });
        let (restored, added) = (Arc::clone(&self.restored), Arc::clone(&self.added));
        let driver: Arc<dyn Source> = Arc::new(Driver { world: self, hang: Arc::clone(&hang) });
        let launcher = Box::new(move |control| {
            let listener: Serves = Box::new(move |launch: &Launch| {
                let (unreachable, lies) = (unreachable.clone(), lies.clone());
                let (snapshots, hang, restored) = (Arc::clone(&snapshots), Arc::clone(&hang), Arc::clone(&restored));
                let (added, store) = (Arc::clone(&added), launch.store.clone());
                Arc::new(Node { unreachable, lies, many, added, snapshots, hang, restored, store }) as Arc<dyn Listener>
            });
            Arc::new(InProcess { control, listener, deaths: AtomicU32::new(0) }) as _
        });
        Parts { drivers: Drivers::of([driver, Arc::new(blocks::Blocks)]), launcher }
    }
}

fn objects() -> Vec<ObjectName> {
    ["ks/a", "ks/b", "other/c"].map(|name| name.parse().unwrap()).to_vec()
}

/// As many objects, each with the files of this one.
fn many(count: usize, like: &SliceObject) -> impl Iterator<Item = SliceObject> {
    let named = |number| format!("many/t{number:04}").parse().unwrap();
    (0..count).map(move |number| SliceObject { object: named(number), ..like.clone() })
}

/// With those that were added, sorted.
fn objects_and(added: &Mutex<Vec<String>>) -> Vec<ObjectName> {
    let mut all = objects();
    all.extend(added.lock().unwrap().iter().map(|name| name.parse().unwrap()));
    all.sort();
    all
}

/// One listener for all nodes: the node is named at the end of an assignment's id.
struct Node {
    unreachable: Vec<String>,
    lies: BTreeMap<String, Lie>,
    many: usize,
    added: Arc<Mutex<Vec<String>>>,
    snapshots: Arc<Mutex<BTreeSet<String>>>,
    hang: Arc<Hang>,
    restored: Arc<Mutex<Vec<String>>>,
    store: Option<Store>,
}

impl Node {
    fn open(&self) -> Arc<dyn ObjectStore> {
        let url = self.store.as_ref().unwrap().url.parse().unwrap();
        open::open(&url, None, &open::OpenOptions::default(), &Env::system()).unwrap()
    }

    /// As the contract of an assignment says: what ended tasks left goes, where it may.
    fn snapshot(&self, node: &str, assignment: &Assignment<Capture>) -> String {
        let mut snapshots = self.snapshots.lock().unwrap();
        if let Some(unfinished) = &assignment.work.unfinished {
            let is_left = |tag: &str| {
                tag.strip_prefix(&format!("{node}/"))
                    .is_some_and(|task| !unfinished.iter().any(|id| id.as_str() == task))
            };
            snapshots.retain(|tag| !is_left(tag));
        }
        let own = format!("{node}/{}", assignment.task);
        snapshots.insert(own.clone());
        own
    }
}

#[async_trait]
impl Listener for Node {
    fn features(&self) -> &'static [&'static str] {
        &[needs::EXCLUDES]
    }

    async fn check(&self, request: &CheckRequest) -> Vec<check::Line> {
        vec![check::Line::ok("listener", request.objects.first().map_or("n1", String::as_str), "well")]
    }

    async fn capture(
        &self,
        assignment: &Assignment<Capture>,
        _progress: ProgressSink,
        cancel: CancellationToken,
    ) -> Result<StoredRef, Failure> {
        let node = assignment.id.split('-').rev().nth(1).unwrap();
        if self.unreachable.iter().any(|name| name == node) {
            return Err(Failure::retryable("TM-FAKE-0001", "connection refused").with_hint("start the node"));
        }
        let own = self.snapshot(node, assignment);
        let step = assignment.work.step.number;
        if self.hang.here(&format!("capture-{step}"), &cancel).await {
            self.snapshots.lock().unwrap().remove(&own);
            return Err(Failure::new("TM-FAKE-0006", "cancelled"));
        }
        let store = self.open();
        let name = format!("{}-{step}.json", assignment.token);
        let (lie, other) = (self.lies.get(node).copied(), "0123456789abcdef0123456789abcdef".parse().unwrap());
        let task = if lie == Some(Lie::Task) { &other } else { &assignment.task };
        let folder = if lie == Some(Lie::Folder) { "n1" } else { node };
        let partition = if lie == Some(Lie::Partition) { "n9" } else { node };
        let path = layout::staged(&assignment.source, task, folder).join(format!("{node}-{name}").as_str());
        let mut slice = slice(&store, assignment, partition, folder, objects_and(&self.added)).await;
        let like = slice.objects[0].clone();
        slice.objects.extend(many(self.many, &like));
        if lie == Some(Lie::Files) {
            slice.info.key = slice.info.key.replace("/n2/", "/n1/");
        }
        let slice = document::write(&store, &path, &slice).await;
        self.snapshots.lock().unwrap().remove(&own);
        slice.map_err(|error| Failure::new("TM-FAKE-0002", error.to_string()))
    }

    async fn restore(
        &self,
        assignment: &Assignment<Restore>,
        _progress: ProgressSink,
        _cancel: CancellationToken,
    ) -> Result<StoredRef, Failure> {
        self.restored.lock().unwrap().push(assignment.id.clone());
        let node = assignment.id.split('-').rev().nth(1).unwrap();
        if self.unreachable.iter().any(|name| name == node) {
            return Err(Failure::new("TM-FAKE-0001", "no space left").with_hint("make room"));
        }
        let report = RestoreReport { rows_written: 1, warnings: vec![format!("{node} is slow")], ..Default::default() };
        let name = format!("{}-report.json", assignment.token);
        let path = layout::staged(&assignment.source, &assignment.task, node).join(name.as_str());
        let stored = document::write(&self.open(), &path, &report).await;
        stored.map_err(|error| Failure::new("TM-FAKE-0002", error.to_string()))
    }
}

/// The slice of a node that holds a row of each object.
async fn slice(
    store: &Arc<dyn ObjectStore>,
    assignment: &Assignment<Capture>,
    node: &str,
    folder: &str,
    objects: Vec<ObjectName>,
) -> SliceManifest {
    let staged = layout::staged(&assignment.source, &assignment.task, folder);
    let mut captured = Vec::new();
    for (index, object) in objects.into_iter().enumerate() {
        let path = staged.clone().join(format!("{}-{index}.rows", assignment.token).as_str());
        let stored = StoredRef::new(&path, upload::put_new(store, &path, "1=row\n").await.unwrap());
        let (size, digest) = (stored.size, Digest::of(b"1=row\n"));
        let files = vec![StagedFile { name: "rows".to_owned(), stored, encoding: Encoding::Plain, size, digest }];
        captured.push(SliceObject { object, object_id: "1".to_owned(), unreadable: None, files });
    }
    let at = "2026-01-02T03:04:05Z".parse().unwrap();
    let info = staged.join("info.json");
    store.put(&info, "".into()).await.unwrap();
    SliceManifest {
        source: assignment.source.clone(),
        task: assignment.task.clone(),
        token: assignment.token,
        partition: node.to_owned(),
        started: at,
        finished: at,
        objects: captured,
        info: StoredRef::new(&info, tidemark_gateway::Stored::of(b"")),
    }
}
