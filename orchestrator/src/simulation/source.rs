//! A kind of source for simulations: two objects of one row that seldom changes. A state that did not change is that of the version
//! before, by reference to the same segments: so collection meets writers.

use std::sync::Arc;

use async_trait::async_trait;
use futures::FutureExt as _;
use object_store::ObjectStore;
use serde_json::Value;
use tidemark_catalog::{
    chain::VersionSet,
    content::{self, SegmentRef},
    document,
    entry::{Entry, Quality},
    figures::Counts,
    find,
    ids::ObjectName,
    keys::{Key, KeyRange},
    layout,
    opaque::Opaque,
    pages,
    position::Position,
    slice::{self, Encoding, SliceManifest, SliceObject, StagedFile},
    stored::StoredRef,
};
use tidemark_gateway::{Digest, upload};
use tidemark_listener_core::{
    assignment::{Assignment, Capture, CheckRequest},
    check,
    failure::Failure,
    listener::Listener,
    progress::ProgressSink,
    records::{ConsolidateJob, Consolidated, ObjectState, Part, RecordSource},
    restorer::{RestoreControl, RestoreJob, RestorePlan, RestoreReport, Restorer},
    source::{Family, ListenerSpec, LiveObject, Source, Uses},
};
use tokio_util::sync::CancellationToken;

use super::machine::Seat;

/// Of so many states one is another than before.
const CHANGES: u64 = 3;

/// Of so many states one is the same as one of another version of the source.
const SHARES: u64 = 2;

/// How many of the newest versions of a set are looked at for that.
const LOOK_BACK: u64 = 4;

/// The kind.
pub(super) struct Kind;

fn objects() -> [ObjectName; 1] {
    ["ks/a"].map(|name| name.parse().expect("it is a name"))
}

fn unsupported() -> Failure {
    Failure::new("TM-FAKE-0002", "nothing is restored here")
}

fn away(error: &(dyn std::error::Error + 'static)) -> Failure {
    Failure::retryable("TM-FAKE-0003", tidemark_gateway::causes::joined(error))
}

#[async_trait]
impl Source for Kind {
    fn kind(&self) -> &'static str {
        "sim"
    }

    fn validate(&self, _: &Value) -> Result<(), Failure> {
        Ok(())
    }

    fn uses(&self, _: &Value) -> Result<Uses, Failure> {
        Ok(Uses::default())
    }

    fn validate_options(&self, _: &Value) -> Result<(), Failure> {
        Ok(())
    }

    async fn check(&self, _: &Value) -> Vec<check::Line> {
        Vec::new()
    }

    async fn objects(&self, _: &Value) -> Result<Vec<LiveObject>, Failure> {
        Ok(Vec::new())
    }

    async fn listeners(&self, _: &Value) -> Result<Vec<ListenerSpec>, Failure> {
        let program = "sim".to_owned();
        Ok(vec![ListenerSpec {
            id: "n1".to_owned(),
            program,
            arguments: vec![],
            secret_environment: vec![],
            inherited: &[],
        }])
    }

    fn family(&self) -> Family<'_> {
        Family::Records(self)
    }

    fn restorer(&self) -> &dyn Restorer {
        self
    }
}

#[async_trait]
impl Restorer for Kind {
    fn validate_options(&self, _: &Value) -> Result<(), Failure> {
        Ok(())
    }

    async fn plan(&self, _: &RestoreJob) -> Result<RestorePlan, Failure> {
        Err(unsupported())
    }

    async fn run(&self, _: &RestoreJob, _: &RestorePlan, _: RestoreControl) -> Result<RestoreReport, Failure> {
        Err(unsupported())
    }
}

#[async_trait]
impl RecordSource for Kind {
    async fn consolidate(&self, job: &ConsolidateJob, _: &KeyRange) -> Result<Consolidated, Failure> {
        let before = match &job.previous {
            _ if job.env.noise().is_multiple_of(SHARES) => shared(job).await?,
            Some(entry) if !job.env.noise().is_multiple_of(CHANGES) => segments(&job.store, entry).await?,
            _ => None,
        };
        let segments = match before {
            Some(segments) => segments,
            None => vec![segment(job).await?],
        };
        let (slices, own, records) = (job.slices.iter().collect::<Vec<_>>(), Counts::new(), 1);
        let cut = slice::cut(&slices, 0).ok_or_else(|| Failure::new("TM-FAKE-0004", "no slice"))?;
        let state = ObjectState {
            object_id: "1".to_owned(),
            schema: Value::Null,
            columns: vec![],
            replicas: job.replicas(),
            cut,
            position: Position::default(),
            quality: Quality::Cut,
            topology: None,
            left_out: vec![],
            logical_bytes: 0,
            shipped_bytes: 0,
        };
        Ok(Consolidated::Part(Box::new(Part { state, segments, merged: vec![], records, own, degraded: vec![] })))
    }

    async fn verify(&self, _: &Arc<dyn ObjectStore>, _: &Entry, _: ProgressSink) -> Result<u64, Failure> {
        Err(unsupported())
    }
}

/// The segments of an earlier state.
async fn segments(store: &Arc<dyn ObjectStore>, entry: &Entry) -> Result<Option<Vec<SegmentRef>>, Failure> {
    let Some(records) = entry.content.records() else { return Ok(None) };
    match content::ranges(store, &records.baseline).await {
        Ok(segments) => Ok(Some(segments)),
        Err(error) if error.is_of_the_store() => Err(away(&error)),
        Err(_) => Ok(None),
    }
}

/// The segments of any of the newest versions of the source's sets, whatever became of that version.
async fn shared(job: &ConsolidateJob) -> Result<Option<Vec<SegmentRef>>, Failure> {
    let sets = find::sets(&job.store, &job.source).await.map_err(|error| away(&error))?;
    let Some(set) = sets.into_iter().nth((job.env.noise() % 2) as usize) else { return Ok(None) };
    let set = VersionSet::new(Arc::clone(&job.store), job.source.clone(), set);
    let numbers = set.list().await.map_err(|error| away(&error))?;
    let Some(number) = numbers.into_iter().rev().nth((job.env.noise() % LOOK_BACK) as usize) else { return Ok(None) };
    let manifest = set.read(number).await.map_err(|error| away(&error))?;
    let Ok(lines) = pages::read_lines(&job.store, &manifest).boxed().await else { return Ok(None) };
    let entry = lines.into_iter().find(|line| line.object == job.object).and_then(|line| line.entry);
    let Some(entry) = entry else { return Ok(None) };
    match document::read::<Entry>(&job.store, &entry).boxed().await {
        Ok(entry) => segments(&job.store, &entry).await,
        Err(_) => Ok(None),
    }
}

async fn segment(job: &ConsolidateJob) -> Result<SegmentRef, Failure> {
    let path = job.names.segment();
    let stored = upload::put_new(&job.store, &path, "1=row\n").await.map_err(|error| away(&error))?;
    let key = Key { bytes: Opaque::new(vec![1]), text: "1".to_owned() };
    Ok(SegmentRef { first: key.clone(), last: key, stored: StoredRef::new(&path, stored), records: 1 })
}

/// Stages both objects.
pub(super) struct Node {
    pub(super) seat: Seat,
    pub(super) store: Arc<dyn ObjectStore>,
}

#[async_trait]
impl Listener for Node {
    async fn check(&self, _: &CheckRequest) -> Vec<check::Line> {
        Vec::new()
    }

    async fn capture(
        &self,
        assignment: &Assignment<Capture>,
        _: ProgressSink,
        _: CancellationToken,
    ) -> Result<StoredRef, Failure> {
        let (started, token) = (self.seat.env.now(), assignment.token);
        let staged = layout::staged(&assignment.source, &assignment.task, "n1");
        // A try of its own: what an earlier one of this run staged stays as it is.
        let attempt = assignment.id.rsplit('-').next().unwrap_or_default();
        let put = async |name: String, bytes: &'static str| {
            let path = staged.clone().join(format!("{token}-{attempt}-{name}").as_str());
            let stored = upload::put_new(&self.store, &path, bytes).await;
            stored.map(|stored| StoredRef::new(&path, stored)).map_err(|error| away(&error))
        };
        let mut captured = Vec::new();
        for (index, object) in objects().into_iter().enumerate() {
            let stored = put(format!("{index}.rows"), "1=row\n").await?;
            let (size, digest) = (stored.size, Digest::of(b"1=row\n"));
            let files = vec![StagedFile { name: "rows".to_owned(), stored, encoding: Encoding::Plain, size, digest }];
            captured.push(SliceObject { object, object_id: "1".to_owned(), unreadable: None, files });
        }
        let slice = SliceManifest {
            source: assignment.source.clone(),
            task: assignment.task.clone(),
            token,
            partition: "n1".to_owned(),
            started,
            finished: self.seat.env.now(),
            objects: captured,
            info: put("info.json".to_owned(), "").await?,
        };
        let path = staged.clone().join(format!("{token}-{attempt}.json").as_str());
        document::write(&self.store, &path, &slice).await.map_err(|error| away(&error))
    }
}
