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
//!
//! Another worker may lack what this one has (a mounted directory, a credential, a release that knows as much). So nothing is said
//! of an object because a part of it failed for good, came to what cannot be read here, or is claimed by nobody: then the
//! object is consolidated by the task itself ([`MISFIT`]), whose own failure counts. A task that does a part ends when the one that it
//! is a part of is over.

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
    stored::StoredRef,
};
use tidemark_gateway::{Digest, causes, pause};
use tidemark_listener_core::{
    failure,
    records::{ConsolidateJob, Consolidated, Part as RangePart},
    source::Family,
};
use tidemark_records::consolidate::Collapse;
use tokio::sync::Semaphore;

use super::{Inputs, Job, result::short};
use crate::{
    executors::{self, Executors, read_document},
    failure::{Away, Failure, catalog},
    registrations::PolicyRecord,
    tasks::{self, Completion, Kind, Part, State, TaskContext, TaskRecord},
};

/// Code of a part that comes to nothing which can be used here: the object is made without parts.
pub(super) const MISFIT: &str = "TM-PROT-0012";

/// Parts that are asked for at a time, for each worker of the cluster.
pub(super) const PARTS_PER_WORKER: usize = 4;

/// Code of a part that did not come to its end.
const ENDED: &str = "TM-PROT-0011";

/// Longest wait for the end of another task before what it hangs on is looked at again. Its end itself is told at once.
const LOOK: Duration = Duration::from_secs(20);

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
    let cancel = context.cancel.child_token();
    (consolidate.unreadable, consolidate.cancel) = (spec.unreadable, cancel.clone());
    let made = {
        let mut work = records.consolidate(&consolidate, &spec.range);
        tokio::select! {
            biased;
            made = &mut work => made,
            () = until_over(with, &spec.task).boxed() => {
                cancel.cancel();
                work.await
            }
        }
    };
    if cancel.is_cancelled() && !context.cancel.is_cancelled() {
        return Err(over(&spec.task));
    }
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
    Err(over(task))
}

fn over(task: &TaskId) -> Failure {
    Failure::permanent("TM-PROT-0010", format!("operation {task}, of which this is a part, is over"))
}

/// Ends once nobody will ask for what this makes.
async fn until_over(with: &Executors, task: &TaskId) {
    loop {
        match with.tasks.wait(task, LOOK).await {
            Ok(Some(found)) if !found.task.state.is_done() => {}
            Ok(_) => return,
            Err(_) => tokio::time::sleep(LOOK).await,
        }
    }
}

/// Has ranges collapsed by whichever workers claim them.
pub(super) struct Workers<'a> {
    pub(super) job: &'a Job<'a>,
    pub(super) inputs: &'a Inputs,
    /// Slice manifests of all captured partitions.
    pub(super) slices: &'a [StoredRef],
    pub(super) open: &'a OpenParts,
    /// A permit for each part that may be open, over all objects.
    pub(super) permits: Semaphore,
}

/// Parts that were asked for and are not done.
#[derive(Default)]
pub(super) struct OpenParts(Mutex<BTreeSet<TaskId>>);

impl OpenParts {
    fn with<T>(&self, change: impl FnOnce(&mut BTreeSet<TaskId>) -> T) -> T {
        change(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Ends those that nobody waits for any more. A run that is only interrupted, or tried again after this failure, leaves them to the
    /// next one.
    pub(super) async fn end(&self, job: &Job<'_>, failure: Option<&Failure>) {
        let context = job.context;
        let interrupted = context.cancel.is_cancelled() || failure.is_some_and(|failure| failure.retryable);
        if interrupted && !context.over.is_cancelled() {
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
        let _permit = self.permits.acquire().await;
        self.by_any(job, range).boxed().await.map_err(told)
    }
}

impl Workers<'_> {
    /// What the first task gives of this range that comes to something: those of earlier runs, then one more.
    async fn by_any(&self, job: &ConsolidateJob, range: &KeyRange) -> Result<Consolidated, Failure> {
        let spec = json!(self.spec(job, range));
        let name = Digest::of(spec.to_string().as_bytes());
        let subject = format!("{} {}", job.object, range.text);
        let mut attempt = 0;
        loop {
            let part = Part { kind: Kind::Consolidate, subject: subject.clone(), spec: spec.clone() };
            let submitted = self.job.context.checkpoints.submit_part(&format!("{name}/{attempt}"), part).await;
            let (task, is_new) = match submitted {
                Err(tasks::Error::Size { .. }) => return Err(misfit(&job.object, "it is too large to be asked for")),
                submitted => submitted?,
            };
            self.open.with(|open| open.insert(task.clone()));
            let done = self.until_done(&task, &job.object).await?;
            self.open.with(|open| open.remove(&task));
            match self.outcome(done, range, job).await? {
                Came::Of(consolidated) => return Ok(consolidated),
                Came::ToNothing(failure) if is_new && failure.retryable => return Err(failure),
                Came::ToNothing(failure) if is_new => return Err(misfit(&job.object, &failure.to_string())),
                Came::ToNothing(failure) => tracing::info!(%task, %failure, "an earlier part is not used"),
            }
            attempt += 1;
        }
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

    /// The task once it is done. One that nobody is there to claim is given up.
    async fn until_done(&self, task: &TaskId, object: &ObjectName) -> Result<TaskRecord, Failure> {
        let with = self.job.with;
        loop {
            let status = tokio::select! {
                status = with.tasks.wait(task, LOOK) => status?,
                () = self.job.context.cancel.cancelled() => return Err(Failure::cancelled()),
            };
            match status {
                Some(status) if status.task.state.is_done() => return Ok(status.task),
                Some(status) if status.task.state == State::Queued && with.workers().await? == 0 => {
                    with.tasks.cancel(task).await?;
                    return Err(misfit(object, "no worker takes new work"));
                }
                Some(_) => {}
                None => return Err(Failure::retryable(ENDED, format!("operation {task}, a part, is gone"))),
            }
        }
    }

    /// What a task that is done came to.
    ///
    /// # Errors
    /// Where the store does not answer.
    async fn outcome(&self, task: TaskRecord, range: &KeyRange, job: &ConsolidateJob) -> Result<Came, Failure> {
        let unread = |words: String| Failure::permanent(ENDED, format!("operation {}: {words}", task.id));
        let result = match (task.state, task.result) {
            (State::Succeeded | State::Warnings, Some(result)) => result,
            (State::Failed, _) => {
                return Ok(Came::ToNothing(task.error.unwrap_or_else(|| unread("it failed".to_owned()))));
            }
            (state, _) => {
                let words = format!("operation {}: it is {}", task.id, state.as_str());
                return Ok(Came::ToNothing(Failure::retryable(ENDED, words)));
            }
        };
        match serde_json::from_value(result) {
            Ok(Outcome::Part { stored }) => self.part(&stored, range, job).await,
            Ok(Outcome::Unreadable { partition, reason }) => {
                Ok(Came::Of(Consolidated::Unreadable { partition, reason }))
            }
            Ok(Outcome::Missing { reason }) => Ok(Came::Of(Consolidated::Missing { reason })),
            Err(error) => Ok(Came::ToNothing(unread(error.to_string()))),
        }
    }

    /// A part, where all its segments are there.
    async fn part(&self, stored: &StoredRef, range: &KeyRange, job: &ConsolidateJob) -> Result<Came, Failure> {
        let found = match read_document::<StoredPart>(&self.job.store.objects, stored).await {
            Ok(found) => found,
            Err(error) if error.is_of_the_store() => return Err(error.into()),
            Err(error) => return Ok(lost(stored, &causes::joined(&error))),
        };
        if found.task != self.job.task || found.object != job.object || found.range != *range {
            return Ok(lost(stored, "it is a part of something else"));
        }
        let segments: Vec<_> = found.part.segments.iter().map(|segment| segment.stored.clone()).collect();
        if let Some(segment) = self.inputs.marked.first(segments.iter()) {
            return Ok(lost(stored, &format!("{} is marked by collection", segment.key)));
        }
        match self.job.first_absent(&segments).await? {
            None => Ok(Came::Of(Consolidated::Part(Box::new(found.part)))),
            Some(lacks) => Ok(lost(stored, &lacks)),
        }
    }
}

/// What came of a part.
enum Came {
    Of(Consolidated),
    /// Nothing that can be used here.
    ToNothing(Failure),
}

fn lost(part: &StoredRef, why: &str) -> Came {
    Came::ToNothing(Failure::permanent(ENDED, format!("part {}: {why}", part.key)))
}

/// The object has to be made without parts.
fn misfit(object: &ObjectName, why: &str) -> Failure {
    Failure::permanent(MISFIT, format!("a part of {object}: {why}"))
}

impl Job<'_> {
    async fn store_part(&self, part: &StoredPart) -> Result<StoredRef, Failure> {
        let stored = document::write(&self.store.objects, &self.names.page(), part).await;
        stored.map_err(|error| catalog::store("TM-CAT-0005", &error, error.is_retryable()))
    }
}

/// As the shared consolidation passes it on; nothing is away but where that was said.
fn told(failure: Failure) -> failure::Failure {
    let Failure { code, message, hint, retryable, cancelled, details: _, away } = failure;
    let answered = away.is_none();
    failure::Failure { hint, retryable, cancelled, answered, ..failure::Failure::new(code, message) }
}
