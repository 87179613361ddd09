//! What is read of which member.

use tidemark_catalog::{
    document,
    slice::{SliceManifest, SliceObject, StagedFile},
};
use tidemark_gateway::causes::joined;
use tidemark_listener_core::{
    failure::Failure,
    records::{ConsolidateJob, Consolidated},
};

use crate::{
    codes::{CONSOLIDATION, CONTRADICTION},
    staged::{Collection, Holds, Partition, Run, Schema},
    time::ClusterTime,
};

/// What is read.
pub(super) struct Plan {
    /// The member whose state it is.
    pub(super) base: Base,
    /// Runs with their files and whose they are.
    pub(super) runs: Vec<PlannedRun>,
}

/// The member whose state it is.
pub(super) struct Base {
    pub(super) partition: String,
    pub(super) uuid: String,
    pub(super) schema: Schema,
    /// Its events from here on.
    pub(super) from: ClusterTime,
    /// To here, not included.
    pub(super) before: ClusterTime,
}

/// A run that is read.
#[derive(Clone)]
pub(super) struct PlannedRun {
    pub(super) partition: String,
    pub(super) run: Run,
    pub(super) file: StagedFile,
}

/// A plan, or what else becomes of the object.
pub(super) enum Planned {
    Plan(Plan),
    Other(Consolidated),
}

impl Plan {
    /// The files that are read, each with its partition.
    pub(super) fn files(&self) -> impl Iterator<Item = (&str, &StagedFile)> {
        self.runs.iter().map(|planned| (planned.partition.as_str(), &planned.file))
    }

    /// Bytes that are read.
    pub(super) fn bytes(&self) -> u64 {
        self.runs.iter().map(|planned| planned.file.stored.size).sum()
    }
}

/// A member that holds the object.
struct Member<'a> {
    slice: &'a SliceManifest,
    held: &'a SliceObject,
    says: Partition,
}

/// Plans a job.
pub(super) async fn of(job: &ConsolidateJob) -> Result<Planned, Failure> {
    let mut members = Vec::new();
    for (slice, held) in job.merged() {
        let Some(held) = held else { continue };
        match document::read::<Partition>(&job.store, &slice.info).await {
            Ok(says) => members.push(Member { slice, held, says }),
            Err(error) if error.is_of_the_store() => return Err(Failure::retryable(CONSOLIDATION, joined(&error))),
            Err(error) => return Ok(unreadable(slice, joined(&error))),
        }
    }
    members.sort_by(|a, b| (b.says.before, &a.slice.partition).cmp(&(a.says.before, &b.slice.partition)));
    let Some(first) = members.first() else {
        return Ok(Planned::Other(Consolidated::Missing { reason: without(job) }));
    };
    if let Some(other) = members.iter().find(|member| member.says.set != first.says.set) {
        return Err(two_sets(first, other));
    }
    let uuid = first.held.object_id.clone();
    let mut plan: Option<Plan> = None;
    for member in members.iter().filter(|member| member.held.object_id == uuid) {
        let (runs, collection) = match member.runs() {
            Ok(read) => read,
            Err(reason) => return Ok(unreadable(member.slice, reason)),
        };
        match &mut plan {
            None => plan = Some(Plan { base: member.base(collection), runs }),
            Some(plan) => plan.runs.extend(runs.into_iter().filter(|planned| planned.run.holds == Holds::Events)),
        }
    }
    Ok(plan.map_or_else(|| Planned::Other(Consolidated::Missing { reason: without(job) }), Planned::Plan))
}

fn two_sets(one: &Member<'_>, other: &Member<'_>) -> Failure {
    let of = |member: &Member<'_>| format!("{} is of replica set {:?}", member.slice.partition, member.says.set);
    let words = format!("{}, {}: they hold different data", of(one), of(other));
    Failure::new(CONTRADICTION, words).with_hint("see which servers answer at the addresses of members")
}

fn unreadable(slice: &SliceManifest, reason: String) -> Planned {
    Planned::Other(Consolidated::Unreadable { partition: slice.partition.clone(), reason })
}

impl Member<'_> {
    /// Its runs, each with its file.
    fn runs(&self) -> Result<(Vec<PlannedRun>, &Collection), String> {
        let collection = self.says.collection(self.held)?;
        if collection.runs.len() != self.held.files.len() {
            return Err(format!("it says {} runs and stages {}", collection.runs.len(), self.held.files.len()));
        }
        let from = self.from(collection);
        let planned = |run: &Run| {
            let file = self.held.files.iter().find(|file| file.name == run.name);
            let file = file.ok_or_else(|| format!("{}: it is not staged", run.name))?.clone();
            match run.holds {
                Holds::Scan { from: first, until }
                    if !(from <= first && first <= until && until < self.says.before) =>
                {
                    Err(format!("{}: it was read outside of the events that were", run.name))
                }
                _ => Ok(PlannedRun { partition: self.slice.partition.clone(), run: run.clone(), file }),
            }
        };
        Ok((collection.runs.iter().map(planned).collect::<Result<_, _>>()?, collection))
    }

    /// All its events from here on were read.
    fn from(&self, collection: &Collection) -> ClusterTime {
        collection.since.map_or(self.says.from, |since| since.max(self.says.from))
    }

    fn base(&self, collection: &Collection) -> Base {
        Base {
            partition: self.slice.partition.clone(),
            uuid: collection.uuid.clone(),
            schema: collection.schema.clone(),
            from: self.from(collection),
            before: self.says.before,
        }
    }
}

/// Which members are not in the state, and why.
fn without(job: &ConsolidateJob) -> String {
    let left_out = job.left_out().into_iter().map(|left_out| left_out.to_string());
    let absent = job.absent.iter().map(|(partition, reason)| format!("{partition}: {reason}"));
    let reasons: Vec<String> = left_out.chain(absent).collect();
    if reasons.is_empty() { "no member has it".to_owned() } else { reasons.join("; ") }
}
