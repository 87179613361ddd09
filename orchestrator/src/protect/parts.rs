//! Consolidation by any worker of the cluster.
//!
//! The keys of a large object are cut into ranges, and each range is a task of its own (`consolidate`), which any worker claims; the
//! task that makes the version waits for them and joins their parts. Such a task writes its segments, and a document that lists
//! them, under its own token; its work root names the task that makes the version, so that both are kept for as long as that one is not
//! done, whoever runs it.
//!
//! Names of such tasks are made of what they are to do: after a crash the next run of the task that makes the version finds
//! those that are done, or still run elsewhere, and waits for no others. What an earlier one gave is used only where all of it is
//! still in the store and none of it is marked by collection; and all of it is looked for once more before the commit (`kept`),
//! like everything that a version names. So it does not matter under which token a part was written.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use async_trait::async_trait;
use futures::FutureExt as _;
use serde::{Deserialize, Serialize};
use serde_json::json;
use tidemark_catalog::{
    document::{self, Document},
    ids::{ObjectName, TaskId},
    keys::KeyRange,
    marks::Marked,
    stored::StoredRef,
};
use tidemark_gateway::{Digest, causes, pause};
use tidemark_listener_core::{
    failure,
    records::{ConsolidateJob, Consolidated, Part as RangePart},
    source::Family,
};
use tidemark_records::consolidate::Collapse;

use super::{Inputs, Job, result::short};
use crate::{
    executors::{self, Executors, read_document},
    failure::{Away, Failure, catalog},
    registrations::PolicyRecord,
    tasks::{Completion, Kind, Part, State, Status, TaskContext, TaskRecord},
};

/// Longest wait for a part between two looks at our own end.
const LOOK: Duration = Duration::from_secs(1);

/// What a task needs to know that collapses a range of an object's keys.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct PartSpec {
    /// The task that makes the version.
    task: TaskId,
    /// Its policy.
    policy: PolicyRecord,
    /// The object.
    object: ObjectName,
    /// Its keys that are collapsed.
    range: KeyRange,
    /// Slice manifests of all captured partitions.
    slices: Vec<StoredRef>,
    /// Partitions that could not be captured, with the reason.
    absent: Vec<(String, String)>,
    /// Partitions that are left out, with the reason.
    unreadable: BTreeMap<String, String>,
    /// The object's entry in an earlier version.
    previous: Option<StoredRef>,
}

/// What came out of such a task.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", tag = "outcome", deny_unknown_fields)]
enum Outcome {
    /// The state of the range is there.
    Part { stored: StoredRef },
    /// What this partition staged cannot be read.
    Unreadable { partition: String, reason: String },
    /// Nothing of the object can be said.
    Missing { reason: String },
}

/// The state of a range, as it is stored (`docs/format.md`, "Range part").
#[derive(Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct StoredPart {
    task: TaskId,
    object: ObjectName,
    range: KeyRange,
    part: RangePart,
}

impl Document for StoredPart {
    const KIND: &'static str = "range-part";
}

/// Collapses the range that a task is about.
pub(crate) async fn run(with: &Executors, context: TaskContext) -> Result<Completion, Failure> {
    let spec: PartSpec = executors::spec(&context)?;
    refuse_over(with, &spec.task).await?;
    let job = Job::new(with, &context, spec.policy.clone(), spec.task.clone()).await?;
    job.reach().boxed().await?;
    job.write_root().boxed().await?;
    let slices = Arc::new(job.read_slices(&spec.slices).boxed().await?);
    let previous = match &spec.previous {
        Some(entry) => job.previous_entry(entry).boxed().await?,
        None => None,
    };
    let Family::Records(records) = job.driver.family() else {
        return Err(Failure::permanent("TM-TASK-0005", format!("{} has no keys to collapse", job.driver.kind())));
    };
    let inputs = Inputs { slices, absent: Arc::new(spec.absent), previous: BTreeMap::new(), marked: Arc::default() };
    let mut consolidate = job.consolidate_job(&spec.object, &inputs, previous);
    consolidate.unreadable = spec.unreadable;
    let made = records.consolidate(&consolidate, &spec.range).await;
    let made = made.map_err(|error| Failure::from(error).by_absence_of(Away::Store))?;
    pause::point("mid-part");
    let outcome = match made {
        Consolidated::Part(part) => {
            let part = StoredPart { task: spec.task, object: spec.object, range: spec.range, part: *part };
            Outcome::Part { stored: job.store_part(&part).boxed().await? }
        }
        Consolidated::Unreadable { partition, reason } => Outcome::Unreadable { partition, reason: short(&reason) },
        Consolidated::Missing { reason } => Outcome::Missing { reason: short(&reason) },
    };
    Ok(Completion::of(&outcome, false))
}

/// Refuses a part of a task that needs it no more.
async fn refuse_over(with: &Executors, task: &TaskId) -> Result<(), Failure> {
    let found = with.tasks.get(task).await?;
    if found.is_some_and(|found| !found.task.state.is_done()) {
        return Ok(());
    }
    Err(Failure::permanent("TM-PROT-0010", format!("operation {task}, of which this is a part, is over")))
}

/// Has ranges collapsed by whichever workers claim them.
pub(super) struct Workers<'a> {
    pub(super) job: &'a Job<'a>,
    pub(super) inputs: &'a Inputs,
    /// Slice manifests of all captured partitions.
    pub(super) slices: &'a [StoredRef],
    pub(super) open: &'a OpenParts,
}

/// Parts that were asked for and are not done.
#[derive(Default)]
pub(super) struct OpenParts(Mutex<BTreeSet<TaskId>>);

impl OpenParts {
    fn with<T>(&self, change: impl FnOnce(&mut BTreeSet<TaskId>) -> T) -> T {
        change(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Ends those that nobody waits for any more. A run that is only interrupted leaves them to the next one.
    pub(super) async fn end(&self, job: &Job<'_>) {
        let context = job.context;
        if context.cancel.is_cancelled() && !context.over.is_cancelled() {
            return;
        }
        for task in self.with(std::mem::take) {
            if let Err(error) = job.with.tasks.cancel(&task).await {
                tracing::warn!(%task, error = causes::joined(&error), "a part that is not needed goes on");
            }
        }
    }
}

#[async_trait]
impl Collapse for Workers<'_> {
    async fn collapse(&self, job: &ConsolidateJob, range: &KeyRange) -> Result<Consolidated, failure::Failure> {
        self.by_any(job, range).boxed().await.map_err(told)
    }
}

impl Workers<'_> {
    /// What the first task gives of this range that comes to something; those of earlier runs first.
    async fn by_any(&self, job: &ConsolidateJob, range: &KeyRange) -> Result<Consolidated, Failure> {
        let spec = json!(self.spec(job, range));
        let name = Digest::of(spec.to_string().as_bytes());
        let subject = format!("{} {}", job.object, range.text);
        for attempt in 0.. {
            let part = Part { kind: Kind::Consolidate, subject: subject.clone(), spec: spec.clone() };
            let task = self.job.context.checkpoints.submit_part(&format!("{name}/{attempt}"), part).await?;
            let earlier = self.status(&task).await?.task.state.is_done();
            self.open.with(|open| open.insert(task.clone()));
            let done = self.until_done(&task).await?;
            self.open.with(|open| open.remove(&task));
            match self.outcome(done, range, job).await {
                Ok(Some(consolidated)) => return Ok(consolidated),
                Err(failure) if !earlier => return Err(failure),
                Ok(None) | Err(_) => tracing::info!(%task, "an earlier part is not used"),
            }
        }
        Err(Failure::permanent("TM-PROT-0011", "no part came to anything"))
    }

    fn spec(&self, job: &ConsolidateJob, range: &KeyRange) -> PartSpec {
        PartSpec {
            task: self.job.task.clone(),
            policy: self.job.policy.clone(),
            object: job.object.clone(),
            range: range.clone(),
            slices: self.slices.to_vec(),
            absent: job.absent.to_vec(),
            unreadable: job.unreadable.clone(),
            previous: self.inputs.previous.get(&job.object).cloned(),
        }
    }

    async fn status(&self, task: &TaskId) -> Result<Status, Failure> {
        let status = self.job.with.tasks.get(task).await?;
        status.ok_or_else(|| Failure::retryable("TM-PROT-0011", format!("operation {task}, a part, is gone")))
    }

    async fn until_done(&self, task: &TaskId) -> Result<TaskRecord, Failure> {
        loop {
            let status = tokio::select! {
                status = self.job.with.tasks.wait(task, LOOK) => status?,
                () = self.job.context.cancel.cancelled() => return Err(Failure::cancelled()),
            };
            match status {
                Some(status) if status.task.state.is_done() => return Ok(status.task),
                Some(_) => {}
                None => drop(self.status(task).await?),
            }
        }
    }

    /// What a task that is done came to; `None` where what it gave is no longer there.
    async fn outcome(
        &self,
        task: TaskRecord,
        range: &KeyRange,
        job: &ConsolidateJob,
    ) -> Result<Option<Consolidated>, Failure> {
        let failed = |words: String| Failure::retryable("TM-PROT-0011", format!("operation {}: {words}", task.id));
        let result = match (task.state, task.result) {
            (State::Succeeded | State::Warnings, Some(result)) => result,
            (State::Failed, _) => return Err(task.error.unwrap_or_else(|| failed("it failed".to_owned()))),
            (state, _) => return Err(failed(format!("it is {}", state.as_str()))),
        };
        let outcome: Outcome = serde_json::from_value(result).map_err(|error| failed(error.to_string()))?;
        match outcome {
            Outcome::Part { stored } => self.part(&stored, range, job).await,
            Outcome::Unreadable { partition, reason } => Ok(Some(Consolidated::Unreadable { partition, reason })),
            Outcome::Missing { reason } => Ok(Some(Consolidated::Missing { reason })),
        }
    }

    /// A part with all its segments; `None` where it is not all there.
    async fn part(
        &self,
        stored: &StoredRef,
        range: &KeyRange,
        job: &ConsolidateJob,
    ) -> Result<Option<Consolidated>, Failure> {
        let found = match read_document::<StoredPart>(&self.job.store.objects, stored).await {
            Ok(found) => found,
            Err(error) if error.is_of_the_store() => return Err(error.into()),
            Err(error) => return Ok(lost(stored, &causes::joined(&error))),
        };
        if found.task != self.job.task || found.object != job.object || found.range != *range {
            return Ok(lost(stored, "it is a part of something else"));
        }
        let segments: Vec<_> = found.part.segments.iter().map(|segment| segment.stored.clone()).collect();
        if let Some(segment) = first_marked(&self.inputs.marked, &segments) {
            return Ok(lost(stored, &format!("{} is marked by collection", segment.key)));
        }
        match self.job.first_absent(&segments).await? {
            None => Ok(Some(Consolidated::Part(Box::new(found.part)))),
            Some(lacks) => Ok(lost(stored, &lacks)),
        }
    }
}

fn first_marked<'s>(marked: &Marked, segments: &'s [StoredRef]) -> Option<&'s StoredRef> {
    marked.first(segments.iter())
}

fn lost(part: &StoredRef, why: &str) -> Option<Consolidated> {
    tracing::warn!(part = part.key, why, "a part is made once more");
    None
}

impl Job<'_> {
    async fn store_part(&self, part: &StoredPart) -> Result<StoredRef, Failure> {
        let stored = document::write(&self.store.objects, &self.names.page(), part).await;
        stored.map_err(|error| catalog::store("TM-CAT-0005", &error, error.is_retryable()))
    }
}

/// As the shared consolidation passes it on.
fn told(failure: Failure) -> failure::Failure {
    let Failure { code, message, hint, retryable, cancelled, details: _, away: _ } = failure;
    failure::Failure { hint, retryable, cancelled, ..failure::Failure::new(code, message) }
}
