//! The task that makes a version: capture, consolidation, commit.
//!
//! 1. Every listener of the source prepares at the same time (`capture`), the source compares what they say, has them prepare
//!    again what changed meanwhile, and then ship; answers and slices are checkpointed, so that all objects of a version are
//!    made of the same captures, whatever happens in between.
//! 2. Each object is consolidated (`consolidate`); its line is checkpointed.
//! 3. The manifest is created (`seal`). A task commits at most once: a run that finds its own manifest is done.
//! 4. That it is committed is checkpointed; then what was staged is deleted (`staged`): nothing needs it any more.
//!
//! After the store is proven and before anything is written under it, a work root names this run's token and those of earlier
//! runs; after that the marks of collection are read, and nothing that is marked is referred to (`tidemark_catalog::marks`).
//!
//! Before it captures and before it commits the store must be the one that was registered and hold all that is known to have
//! been committed to it ([`crate::stores`]).
//!
//! Killed anywhere, the next run starts from the checkpoints; what is written again gets new names. Partitions that cannot
//! be captured are absent, with the reason, and each object's quality says what that means for it; so it is with a partition
//! that cannot be read of one object. An object of which no partition can be read is `missing`, with the reason; only where
//! all are, the task fails (`outcome`).

mod by;
mod capture;
mod consolidate;
mod kept;
mod outcome;
pub(crate) mod parts;
mod previous;
pub mod result;
pub(crate) mod seal;
mod staged;

use std::{collections::BTreeMap, sync::Arc};

use futures::FutureExt as _;
use serde::{Deserialize, Serialize};
use tidemark_catalog::{
    chain::VersionSet,
    ids::{ObjectName, SetId, SourceId, TaskId, VersionNumber},
    manifest::WorstQuality,
    marks::{self, Marked},
    names::Names,
    slice::SliceManifest,
    stored::StoredRef,
};
use tidemark_gateway::pause;

use crate::{
    executors::{Executors, read_document, spec},
    failure::Failure,
    limits::Held,
    listeners::own,
    registrations::{POLICIES, PolicyRecord, SourceRecord},
    sources::Driver,
    stores::{self, OpenStore},
    tasks::{Completion, Shelf, TaskContext},
    totals::Totals,
};

use result::ProtectResult;
use seal::Sealed;

/// What a protect task needs to know.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ProtectSpec {
    /// The policy as it was when the task was asked for.
    pub policy: PolicyRecord,
}

/// What to do about what went wrong, by listener.
type Hints = BTreeMap<String, String>;

/// What was captured, as it is checkpointed.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Captured {
    /// Slice manifests, in order of listeners.
    slices: Vec<StoredRef>,
    /// Listeners whose partition could not be captured, with the reason.
    absent: Vec<(String, String)>,
    /// What to do about it, by listener, where that is known.
    #[serde(default, skip_serializing_if = "Hints::is_empty")]
    hints: Hints,
    /// True where an earlier run captured it, or a part of it.
    #[serde(skip)]
    resumed: bool,
    /// What the source says about what it compared, a line each.
    notes: Vec<String>,
}

/// What all objects of a version are made of.
struct Inputs {
    slices: Arc<Vec<SliceManifest>>,
    /// Partitions that could not be captured, with the reason.
    absent: Arc<Vec<(String, String)>>,
    /// Entries of the objects in the set's earlier versions.
    previous: BTreeMap<ObjectName, StoredRef>,
    /// What may not be referred to any more.
    marked: Arc<Marked>,
}

/// Captures of one source run one after another: that orders the commits to a set too.
pub(crate) fn scope(source: &SourceId) -> String {
    format!("source/{source}")
}

/// One run of a protect task.
struct Job<'a> {
    with: &'a Executors,
    context: &'a TaskContext,
    /// The task that makes the version.
    task: TaskId,
    policy: PolicyRecord,
    source_id: SourceId,
    set: SetId,
    source: SourceRecord,
    driver: Driver,
    /// Under the policy's limit.
    store: OpenStore,
    names: Arc<Names>,
    bound: Held,
}

/// Makes a version. The steps are boxed: of the unboxed whole the compiler cannot tell that it is Send.
pub(crate) async fn run(with: &Executors, context: TaskContext) -> Result<Completion, Failure> {
    let ProtectSpec { policy } = spec(&context)?;
    let job = Job::new(with, &context, policy, context.task.id.clone()).await?;
    let gone = job.gone().boxed().await?;
    let made = match job.committed().boxed().await? {
        Some(sealed) => {
            let captured = context.checkpoints.load(capture::PART).await?.unwrap_or_default();
            Made { sealed, captured }
        }
        None => job.make().boxed().await?,
    };
    job.clear_staged().boxed().await;
    let Made { sealed: Sealed { id, version, lines }, captured } = made;
    let result = ProtectResult {
        version: id,
        store: Some(job.policy.store.clone()),
        quality: version.worst,
        objects: version.objects,
        totals: Totals::from(&version.figures),
        absent: outcome::absent(&captured.absent, &captured.hints),
        missing: outcome::missing_objects(&lines),
        left_out: outcome::left_out(&lines),
        gone_versions: gone.iter().copied().collect(),
        complete_until: version.cut.as_ref().filter(|_| version.worst <= WorstQuality::Cut).map(|cut| cut.from),
        notes: captured.notes,
    };
    let doubtful = matches!(version.worst, WorstQuality::Degraded | WorstQuality::Missing);
    Ok(Completion::of(&result, doubtful || !gone.is_empty()))
}

/// A version that was made, and what it was made of.
struct Made {
    sealed: Sealed,
    captured: Captured,
}

impl Job<'_> {
    /// Captures, consolidates and commits.
    async fn make(&self) -> Result<Made, Failure> {
        self.write_root().boxed().await?;
        // After the root: see the catalog's collection.
        let marked = Arc::new(marks::read(&self.store.objects, &self.source_id).boxed().await?);
        let captured = self.captured().boxed().await?;
        let slices = Arc::new(self.read_slices(&captured.slices).boxed().await?);
        if captured.resumed {
            self.require_staged(&slices, &marked).boxed().await?;
        }
        let objects = self.objects(&slices)?;
        let previous = self.previous(&objects).boxed().await?;
        let inputs = Inputs { slices, absent: Arc::new(captured.absent.clone()), previous, marked };
        let lines = self.consolidate_all(&objects, &inputs, &captured.slices).boxed().await?;
        outcome::require_some(&lines)?;
        let sealed = self.seal(lines, &inputs.marked, captured.resumed).boxed().await?;
        self.context.checkpoints.save(seal::COMMITTED, &sealed.id).await?;
        pause::point("committed");
        Ok(Made { sealed, captured })
    }
}

/// The limit of a policy, as it is now: not as it was when the run was asked for, where the policy is still there.
async fn limits(with: &Executors, policy: &PolicyRecord) -> Result<Held, Failure> {
    let registered: Option<PolicyRecord> = with.registrations.get(POLICIES, policy.name.as_str()).await?;
    let held = with.stores.bounds().policy(policy.name.as_str(), &registered.as_ref().unwrap_or(policy).limits());
    // An edit since it was read was told to nobody.
    with.stores.renew_limits().await;
    Ok(held)
}

impl<'a> Job<'a> {
    async fn new(
        with: &'a Executors,
        context: &'a TaskContext,
        policy: PolicyRecord,
        task: TaskId,
    ) -> Result<Self, Failure> {
        let (source, driver) = with.source(policy.source.as_str()).await?;
        // What cannot be read now could not be read after the capture either.
        driver.validate_options(&policy.options)?;
        let bound = limits(with, &policy).await?;
        let store = with.stores.under(with.stores.unproven(policy.store.as_str()).await?, bound.limits())?;
        let (source_id, set) = (policy.source.clone(), policy.name.clone());
        let names = Arc::new(Names::new(source_id.clone(), context.token));
        context.checkpoints.keep_at(Shelf::new(&with.stores, &store, &source_id));
        Ok(Self { with, context, task, policy, source_id, set, source, driver, store, names, bound })
    }

    /// Proves that the store is the one that is known, and that no newer generation uses it; gives the set.
    async fn reach(&self) -> Result<VersionSet, Failure> {
        self.with.stores.look(&self.store).await?;
        let set = self.with.stores.prove(&self.store, &self.source_id, &self.set).await?;
        self.with.stores.reach(&self.store, self.context.token).await?;
        Ok(set)
    }

    /// Numbers of this set whose manifests somebody deleted.
    async fn gone(&self) -> Result<Vec<VersionNumber>, Failure> {
        let set = self.reach().await?;
        let gone = stores::identity::gone(&set).await?;
        if !gone.is_empty() {
            tracing::error!(source_id = %self.source_id, set = %self.set, ?gone, "manifests of versions were deleted");
        }
        Ok(gone)
    }

    /// The folder below which all lies that this task's listeners stage.
    fn folder(&self) -> own::Folder<'_> {
        own::Folder { source: &self.source_id, task: &self.task }
    }

    async fn read_slices(&self, captured: &[StoredRef]) -> Result<Vec<SliceManifest>, Failure> {
        let mut slices = Vec::with_capacity(captured.len());
        for reference in captured {
            let slice: SliceManifest = read_document(&self.store.objects, reference).await?;
            let own = slice.source == self.source_id && slice.task == self.task;
            if !own || self.folder().partition(&reference.key) != Some(slice.partition.as_str()) {
                let SliceManifest { source, task, partition, .. } = slice;
                let words = format!("{} says source {source}, task {task}, partition {partition}", reference.key);
                return Err(Failure::permanent("TM-PROT-0002", words));
            }
            let files = slice.objects.iter().flat_map(|object| &object.files).map(|file| &file.stored);
            let stray = |named: &&StoredRef| self.folder().partition(&named.key) != Some(slice.partition.as_str());
            if let Some(stray) = files.chain([&slice.info]).find(stray) {
                let words = format!("{} names {}, which is not in its folder", reference.key, stray.key);
                return Err(Failure::permanent("TM-PROT-0002", words));
            }
            slices.push(slice);
        }
        Ok(slices)
    }

    /// The captured objects that the policy names, sorted.
    fn objects(&self, slices: &[SliceManifest]) -> Result<Vec<ObjectName>, Failure> {
        let patterns = self.policy.patterns();
        let patterns = patterns.map_err(|error| Failure::permanent("TM-POL-0400", format!("objects: {error}")))?;
        let mut objects =
            slices.iter().flat_map(|slice| &slice.objects).map(|object| object.object.clone()).collect::<Vec<_>>();
        objects.retain(|object| patterns.matches(object.parts()));
        objects.sort();
        objects.dedup();
        if objects.is_empty() {
            let words = format!("no object of {} matches {}", self.policy.source, self.policy.objects.join(", "));
            return Err(Failure::permanent("TM-PROT-0003", words)
                .with_hint("tidemark object tree shows what the source has, patterns are part/part"));
        }
        Ok(objects)
    }
}
