//! A kind of source for tests: two objects, a listener per node that stages nothing but its slice, consolidation that writes
//! an entry of one row.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicU32, Ordering},
    },
};

use async_trait::async_trait;
use object_store::{ObjectStore, ObjectStoreExt};
use serde_json::Value;
use tidemark_catalog::{
    content::SegmentRef,
    document,
    entry::{Cut, DegradedRange, Entry, ObjectLine, PartitionCut, Quality},
    figures::Counts,
    ids::ObjectName,
    keys::{Key, KeyRange},
    layout,
    opaque::Opaque,
    position::Position,
    slice::{SliceManifest, SliceObject},
    stored::StoredRef,
};
use tidemark_gateway::{Env, open, upload};
use tidemark_listener_core::{
    assignment::{Assignment, Capture, CheckRequest},
    check,
    driver::{
        Action, Answers, Asked, ConsolidateJob, Consolidated, Error, Family, IfExists, ListenerSpec, LiveObject,
        NextStep, ObjectState, Part, PlannedObject, RecordSource, RestoreControl, RestoreJob, RestorePlan,
        RestoreReport, Restorer, Source, UndoCounts, UndoInstant,
    },
    failure::Failure,
    launch::Store,
    listener::Listener,
    progress::ProgressSink,
};
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

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
        let lies = self.lies.clone();
        let (at, hung) = (self.hang_at.clone(), Arc::clone(&self.hung));
        let hang = Arc::new(Hang { at, hung, done: AtomicBool::new(false) });
        let driver: Arc<dyn Source> = Arc::new(Driver { world: self, hang: Arc::clone(&hang) });
        let launcher = Box::new(move |control| {
            let listener: Serves = Box::new(move |launch: &Launch| {
                let (unreachable, lies) = (unreachable.clone(), lies.clone());
                let (snapshots, hang) = (Arc::clone(&snapshots), Arc::clone(&hang));
                Arc::new(Node { unreachable, lies, snapshots, hang, store: launch.store.clone() }) as Arc<dyn Listener>
            });
            Arc::new(InProcess { control, listener, deaths: AtomicU32::new(0) }) as _
        });
        Parts { drivers: Drivers::of([driver]), launcher }
    }
}

fn objects() -> Vec<ObjectName> {
    ["ks/a", "ks/b", "other/c"].map(|name| name.parse().unwrap()).to_vec()
}

/// One listener for all nodes: the node is named at the end of an assignment's id.
struct Node {
    unreachable: Vec<String>,
    lies: BTreeMap<String, Lie>,
    snapshots: Arc<Mutex<BTreeSet<String>>>,
    hang: Arc<Hang>,
    store: Option<Store>,
}

impl Node {
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
        let store = open::open(
            &self.store.as_ref().unwrap().url.parse().unwrap(),
            None,
            &open::OpenOptions::default(),
            &Env::system(),
        );
        let name = format!("{}-{step}.json", assignment.token);
        let (lie, other) = (self.lies.get(node).copied(), "0123456789abcdef0123456789abcdef".parse().unwrap());
        let task = if lie == Some(Lie::Task) { &other } else { &assignment.task };
        let folder = if lie == Some(Lie::Folder) { "n1" } else { node };
        let partition = if lie == Some(Lie::Partition) { "n9" } else { node };
        let path = layout::staged(&assignment.source, task, folder).join(format!("{node}-{name}").as_str());
        let mut slice = slice(assignment, partition);
        if lie == Some(Lie::Files) {
            slice.info.key = slice.info.key.replace("/n2/", "/n1/");
        }
        let slice = document::write(&store.unwrap(), &path, &slice).await;
        self.snapshots.lock().unwrap().remove(&own);
        slice.map_err(|error| Failure::new("TM-FAKE-0002", error.to_string()))
    }
}

fn slice(assignment: &Assignment<Capture>, node: &str) -> SliceManifest {
    let object =
        |object: ObjectName| SliceObject { object, object_id: "1".to_owned(), unreadable: None, files: vec![] };
    let at = "2026-01-02T03:04:05Z".parse().unwrap();
    SliceManifest {
        source: assignment.source.clone(),
        task: assignment.task.clone(),
        token: assignment.token,
        partition: node.to_owned(),
        started: at,
        finished: at,
        objects: objects().into_iter().map(object).collect(),
        info: StoredRef::new(
            &layout::staged(&assignment.source, &assignment.task, node).join("info.json"),
            tidemark_gateway::Stored::of(b""),
        ),
    }
}

struct Driver {
    world: World,
    hang: Arc<Hang>,
}

#[async_trait]
impl Source for Driver {
    fn kind(&self) -> &'static str {
        "fake"
    }

    fn validate(&self, spec: &Value) -> Result<(), Error> {
        spec["nodes"].as_array().map(drop).ok_or_else(|| Error::new("TM-FAKE-0003", "nodes"))
    }

    fn validate_options(&self, options: &Value) -> Result<(), Error> {
        match options.get("write_level").and_then(Value::as_str) {
            Some("most") => Err(Error::new("TM-FAKE-0007", "options.write_level: most")),
            _ => Ok(()),
        }
    }

    async fn check(&self, _spec: &Value) -> Vec<check::Line> {
        vec![check::Line::ok("connect", "cluster", "well")]
    }

    async fn objects(&self, _spec: &Value) -> Result<Vec<LiveObject>, Error> {
        let live = |object| LiveObject { object, object_id: "1".to_owned(), supported: true, note: None };
        Ok(objects().into_iter().map(live).collect())
    }

    async fn listeners(&self, spec: &Value) -> Result<Vec<ListenerSpec>, Error> {
        let nodes = spec["nodes"].as_array().unwrap().iter().map(|node| node.as_str().unwrap().to_owned());
        let spec = |id| ListenerSpec { id, program: "p".to_owned(), arguments: vec![], secret_environment: vec![] };
        Ok(nodes.map(spec).collect())
    }

    async fn next_step(&self, _store: &Arc<dyn ObjectStore>, steps: &[Answers]) -> Result<NextStep, Error> {
        Ok(match steps.len() < self.world.prepares {
            true => NextStep::Prepare(Asked::default()),
            false => NextStep::Ship(Asked::default()),
        })
    }

    fn family(&self) -> Family<'_> {
        Family::Records(self)
    }

    fn restorer(&self) -> &dyn Restorer {
        self
    }
}

#[async_trait]
impl RecordSource for Driver {
    async fn consolidate(&self, job: &ConsolidateJob, _range: &KeyRange) -> Result<Consolidated, Error> {
        let name = job.object.to_string();
        self.world.consolidated.lock().unwrap().push(name.clone());
        if self.hang.here(&name, &job.cancel).await {
            return Err(Error::cancelled());
        }
        if self.world.damaged.contains(&name) {
            return Err(Error::new("TM-FAKE-0004", "n1: nb-1-big-Data.db: offset 7: checksum"));
        }
        let segments = vec![self.world.segment(job).await];
        Ok(Consolidated::Part(Box::new(Part {
            state: state(job),
            segments,
            merged: vec![],
            records: 1,
            own: Counts::new(),
        })))
    }

    async fn verify(&self, _: &Arc<dyn ObjectStore>, entry: &Entry, _: ProgressSink) -> Result<u64, Error> {
        // Whoever calls drops this when it is cancelled.
        self.hang.here("verify", &CancellationToken::new()).await;
        Ok(entry.figures.records)
    }
}

#[async_trait]
impl Restorer for Driver {
    fn validate_options(&self, _options: &Value) -> Result<(), Error> {
        Ok(())
    }

    async fn plan(&self, job: &RestoreJob) -> Result<RestorePlan, Error> {
        let planned = |line: &ObjectLine| PlannedObject {
            object: line.object.clone(),
            target: line.object.clone(),
            entry: line.entry.clone().unwrap(),
            action: if job.options.common.if_exists == Some(IfExists::Undo) { Action::Undo } else { Action::Load },
            rows: line.figures.records,
            stored_bytes: 1,
        };
        let full = job.options.common.rename.values().any(|to| to == "full");
        let check = if full {
            check::Line::fail("empty", "full", "it holds rows", "name another")
        } else {
            check::Line::ok("empty", "target", "well")
        };
        Ok(RestorePlan {
            objects: job.lines.iter().map(planned).collect(),
            schema: vec![],
            checks: vec![check],
            rows: job.lines.len() as u64,
            stored_bytes: 2,
            write_level: Some("all".to_owned()),
            destination: "fake".to_owned(),
        })
    }

    async fn run(
        &self,
        _job: &RestoreJob,
        plan: &RestorePlan,
        control: RestoreControl,
    ) -> Result<RestoreReport, Error> {
        self.world.instants.lock().unwrap().push(control.instant);
        if self.hang.here("restore", &control.cancel).await {
            return Err(Error::cancelled());
        }
        control.save.save(serde_json::json!({"done": 1})).await?;
        Ok(RestoreReport { rows_written: plan.rows, ..RestoreReport::default() })
    }

    async fn count(
        &self,
        _job: &RestoreJob,
        plan: &RestorePlan,
        _progress: ProgressSink,
        _cancel: CancellationToken,
    ) -> Result<Vec<UndoCounts>, Error> {
        let count = |planned: &PlannedObject| UndoCounts {
            object: planned.object.clone(),
            target: planned.target.clone(),
            come_back: 2,
            change: 1,
            would_be_removed: 0,
            untouched: 7,
            rows_kept: 3,
            rows_newer: 0,
            newest_write_micros: None,
            unreadable_ranges: vec![],
        };
        Ok(plan.objects.iter().map(count).collect())
    }

    async fn undo_instant(&self, job: &RestoreJob) -> Result<UndoInstant, Error> {
        let micros = job.env.now_micros() - job.options.common.client_clock_bound_micros;
        Ok(UndoInstant { micros, lowest: "n1".to_owned(), unread: vec![], needs_all_clocks: true, settle_millis: 1 })
    }
}

impl World {
    /// A segment, which the store may lose.
    async fn segment(&self, job: &ConsolidateJob) -> SegmentRef {
        let path = job.names.segment();
        let stored = StoredRef::new(&path, upload::put_new(&job.store, &path, "rows").await.unwrap());
        if self.losses.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |n| n.checked_sub(1)).is_ok() {
            job.store.delete(&path).await.unwrap();
        }
        let key = |byte: u8| Key { bytes: Opaque::new(vec![byte]), text: byte.to_string() };
        SegmentRef { first: key(1), last: key(2), stored, records: 1 }
    }
}

fn state(job: &ConsolidateJob) -> ObjectState {
    let at = job.slices[0].started;
    let cut = |slice: &SliceManifest| PartitionCut {
        partition: slice.partition.clone(),
        started: slice.started,
        finished: slice.finished,
    };
    ObjectState {
        object_id: "1".to_owned(),
        schema: Value::Null,
        columns: vec![],
        replicas: vec![],
        cut: Cut { from: at, through: at, partitions: job.slices.iter().map(cut).collect() },
        position: Position::default(),
        quality: quality(job),
        topology: None,
        left_out: vec![],
        logical_bytes: 0,
        shipped_bytes: 0,
    }
}

fn quality(job: &ConsolidateJob) -> Quality {
    let range = |(node, reason): &(String, String)| DegradedRange {
        range: KeyRange { from: None, until: None, text: "(0, 1]".to_owned() },
        replicas: 2,
        captured: 1,
        reason: format!("{node}: {reason}"),
    };
    let ranges: Vec<_> = job.absent.iter().map(range).collect();
    if ranges.is_empty() { Quality::Cut } else { Quality::Degraded { ranges } }
}
