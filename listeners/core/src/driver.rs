//! The seam `SourceDriver`: everything the orchestrator asks of a kind of source.
//!
//! `orchestrator/src/sources.rs` is the only place that names the implementations. Drivers are pure functions from stored
//! objects to stored objects (consolidation) or from stored objects to a destination (restore): they hold no state, and
//! what they must remember goes through the checkpoint they are handed.

use std::{collections::BTreeMap, path::PathBuf, sync::Arc};

use async_trait::async_trait;
use object_store::ObjectStore;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use tidemark_catalog::{
    entry::{Entry, ObjectLine},
    ids::{FencingToken, ObjectName, SourceId},
    names::Names,
    slice::SliceManifest,
    stored::StoredRef,
};
use tidemark_gateway::Env;
use tokio_util::sync::CancellationToken;

pub use crate::failure::Failure as Error;
use crate::{check, progress::ProgressSink};

/// A kind of source.
#[async_trait]
pub trait SourceDriver: Send + Sync {
    /// Name of the kind, for example `cassandra`.
    fn kind(&self) -> &'static str;

    /// Checks the shape of a source's specification (the JSON object given at `source add`).
    ///
    /// # Errors
    /// [`Error`] naming the field.
    fn validate(&self, spec: &Value) -> Result<(), Error>;

    /// Connects to the live source and says how it stands.
    async fn check(&self, spec: &Value) -> Vec<check::Line>;

    /// Objects of the live source that can be protected, sorted by name.
    async fn objects(&self, spec: &Value) -> Result<Vec<LiveObject>, Error>;

    /// One listener per partition of the source that should be captured.
    async fn listeners(&self, spec: &Value) -> Result<Vec<ListenerSpec>, Error>;

    /// What the listeners are to do next, given their answers to all steps so far; the same for the same answers. Partitions
    /// that did not answer a step are asked no more. A source whose partitions need no comparing ships at once.
    ///
    /// # Errors
    /// [`Error`] where an answer cannot be read.
    async fn next_step(&self, store: &Arc<dyn ObjectStore>, steps: &[Answers]) -> Result<NextStep, Error> {
        let _ = (store, steps);
        Ok(NextStep::Ship(Asked::default()))
    }

    /// Partitions of the live source, captured or not: consolidation judges coverage by them even if their listeners are
    /// down. Collapses the slices of one object into one state and writes its segments, range pages and entry.
    ///
    /// # Errors
    /// [`Error`] where the staged slices cannot be read at all, or the store fails. Files of one replica that cannot be read
    /// are no error: that replica is left out as a whole, as an absent one would be, and the line says what that costs; where
    /// no replica can be read, the line has no entry and its quality names the reason.
    async fn consolidate(&self, job: ConsolidateJob) -> Result<ObjectLine, Error>;

    /// Objects that the slices or the source know for these patterns, sorted; the union over partitions.
    ///
    /// # Errors
    /// [`Error`] where a slice's info cannot be read.
    async fn captured_objects(
        &self,
        store: &Arc<dyn ObjectStore>,
        slices: &[SliceManifest],
    ) -> Result<Vec<ObjectName>, Error>;

    /// Reads every object that the entry names and proves it: digests, order, counts.
    async fn verify(&self, store: &Arc<dyn ObjectStore>, entry: &Entry, progress: ProgressSink) -> Result<u64, Error>;

    /// What a restore would do; the run does exactly this.
    async fn plan_restore(&self, job: &RestoreJob) -> Result<RestorePlan, Error>;

    /// Runs a plan, from its checkpoint on. Objects with [`Action::Undo`] need [`RestoreControl::instant`].
    async fn restore(
        &self,
        job: &RestoreJob,
        plan: &RestorePlan,
        control: RestoreControl,
    ) -> Result<RestoreReport, Error>;

    /// Compares what a plan would undo with the version, object by object in the plan's order, and writes nothing.
    ///
    /// # Errors
    /// `TM-REST-0010` where the kind of source knows no undo; else as reading the version or the destination fails.
    async fn count_restore(
        &self,
        job: &RestoreJob,
        plan: &RestorePlan,
        progress: ProgressSink,
        cancel: CancellationToken,
    ) -> Result<Vec<UndoCounts>, Error> {
        let _ = (job, plan, progress, cancel);
        Err(no_undo(self.kind()))
    }

    /// The instant an undo that starts now would use; asked for again, a later one.
    ///
    /// # Errors
    /// `TM-REST-0010` where the kind of source knows no undo; else as the destination cannot be reached.
    async fn undo_instant(&self, job: &RestoreJob) -> Result<UndoInstant, Error> {
        let _ = job;
        Err(no_undo(self.kind()))
    }
}

/// The refusal of a kind of source that cannot undo in place.
fn no_undo(kind: &str) -> Error {
    Error::new("TM-REST-0010", format!("undo is not supported by this kind of source: {kind}"))
        .with_hint("merge, or restore under another name")
}

/// Answers to one step of a capture, by listener: references of what each has stored.
pub type Answers = BTreeMap<String, StoredRef>;

/// A step of a capture.
#[derive(Clone, Debug, PartialEq)]
pub enum NextStep {
    /// Nothing is shipped; the answers are compared.
    Prepare(Asked),
    /// The last step: the objects are shipped, the answers are slice manifests.
    Ship(Asked),
}

/// What is asked of the listeners in a step.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Asked {
    /// By listener, in the source kind's own words; null of those that are not named.
    pub asks: BTreeMap<String, Value>,
    /// What people should know about what was compared, a line each.
    pub notes: Vec<String>,
}

/// An object of a live source.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LiveObject {
    /// Its name.
    pub object: ObjectName,
    /// The source's own id.
    pub object_id: String,
    /// False where it cannot be protected.
    pub supported: bool,
    /// Why not, or other words for people.
    pub note: Option<String>,
}

/// How to start a listener as a local process. Secrets go into `secret_environment`, never into `arguments`.
#[derive(Clone, Debug)]
pub struct ListenerSpec {
    /// Id within the source (for Cassandra: the node's address).
    pub id: String,
    /// Binary name, beside the orchestrator's own.
    pub program: String,
    /// Arguments after the control arguments (`--control URL --listener ID --source ID`).
    pub arguments: Vec<String>,
    /// Files or variables with credentials for the source.
    pub secret_environment: Vec<(String, String)>,
}

/// The consolidation of one object.
#[derive(Clone)]
pub struct ConsolidateJob {
    /// The protected system.
    pub source: SourceId,
    /// The object.
    pub object: ObjectName,
    /// Slices of all captured partitions.
    pub slices: Arc<Vec<SliceManifest>>,
    /// Partitions that could not be captured, with the reason.
    pub absent: Arc<Vec<(String, String)>>,
    /// The object's entry in the newest version of the set that has one, for what must be carried on (column ids).
    pub previous: Option<Arc<Entry>>,
    /// Where everything is.
    pub store: Arc<dyn ObjectStore>,
    /// New names.
    pub names: Arc<Names>,
    /// Claim under which it runs.
    pub token: FencingToken,
    /// What the policy declares about the application's writes.
    pub declared: Declared,
    /// Bounds.
    pub limits: ConsolidateLimits,
    /// Clocks.
    pub env: Env,
    /// Progress in bytes of staged files.
    pub progress: ProgressSink,
    /// Stops the work.
    pub cancel: CancellationToken,
}

/// What the policy declares about the application's writes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Declared {
    /// Level that writes are acknowledged at, for example `quorum`.
    pub write_level: String,
    /// The operator's word that the level always held and repairs ran since the last change of replication or ring.
    pub repaired: bool,
}

/// Bounds of a consolidation.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ConsolidateLimits {
    /// Bytes of buffers over all inputs and the output.
    pub memory_bytes: usize,
    /// Size at which a segment ends at the next partition boundary, stored bytes.
    pub segment_bytes: usize,
    /// Clock bound in µs: how far clocks of nodes and orchestrator may be apart.
    pub clock_bound_micros: i64,
}

impl Default for ConsolidateLimits {
    /// 256 MiB of buffers, segments of 32 MiB, clocks within 1 s.
    fn default() -> Self {
        Self { memory_bytes: 256 << 20, segment_bytes: 32 << 20, clock_bound_micros: 1_000_000 }
    }
}

/// What to restore, and where to.
#[derive(Clone, Debug)]
pub struct RestoreJob {
    /// Lines of the objects to restore, all with entries.
    pub lines: Vec<ObjectLine>,
    /// Where they are.
    pub store: Arc<dyn ObjectStore>,
    /// Specification of the destination, shaped as a source's.
    pub destination: Value,
    /// Options.
    pub options: RestoreOptions,
    /// Scratch space of this process; may be deleted at any time.
    pub scratch: Option<PathBuf>,
    /// Clocks.
    pub env: Env,
}

/// How far the clocks of a destination's clients may be off, µs, where nobody says otherwise.
pub const CLIENT_CLOCK_BOUND_MICROS: i64 = 1_000_000;

/// Options of a restore.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct RestoreOptions {
    /// Names to change, from → to: first parts of object names (for Cassandra: keyspaces), or whole object names, which go
    /// first (`ks/t` → `ks2/t2`).
    pub rename: BTreeMap<String, String>,
    /// Replication of new keyspaces, the source kind's own words (`{"class": "SimpleStrategy", "replication_factor": "1"}`).
    pub replication: Option<BTreeMap<String, String>>,
    /// Level to write at: `all` by default.
    pub write_level: Option<String>,
    /// Names of destination objects that may be overwritten, typed by a person.
    pub into_non_empty: Vec<String>,
    /// What becomes of destination objects that hold data already; without it they are refused.
    pub if_exists: Option<IfExists>,
    /// An undo removes what the version does not have, where the version is proven complete.
    pub remove: bool,
    /// Which rows and columns; all by default.
    pub selection: Selection,
    /// How far the clocks of the destination's clients may be off, µs, from 0.
    pub client_clock_bound_micros: i64,
    /// Level to read an undo's target at; one that meets every acknowledged write by default.
    pub read_level: Option<String>,
    /// Restore objects whose state is not proven complete.
    pub accept_degraded: bool,
    /// What becomes of times to live.
    pub ttl: TtlPolicy,
    /// End at the first row or object that cannot be written, instead of naming it in the report and going on.
    pub strict: bool,
}

impl Default for RestoreOptions {
    /// Everything under its own name into new or empty objects; clients' clocks within [`CLIENT_CLOCK_BOUND_MICROS`].
    fn default() -> Self {
        Self {
            rename: Default::default(),
            replication: None,
            write_level: None,
            into_non_empty: Vec::new(),
            if_exists: None,
            remove: false,
            selection: Selection::default(),
            client_clock_bound_micros: CLIENT_CLOCK_BOUND_MICROS,
            read_level: None,
            accept_degraded: false,
            ttl: TtlPolicy::default(),
            strict: false,
        }
    }
}

/// What becomes of a destination object that holds data already.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum IfExists {
    /// What readers see becomes the version's state; only what differs is written.
    Undo,
    /// The version's data is added with its own times: newer data and newer deletions win.
    Merge,
}

/// Rows and columns that a restore is bounded to.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Selection {
    /// Condition on rows, in the source kind's own words (for Cassandra: a WHERE clause on the primary key or token).
    pub rows: Option<String>,
    /// Columns by name; all where empty.
    pub columns: Vec<String>,
}

impl Selection {
    /// True where it bounds nothing.
    pub fn is_all(&self) -> bool {
        self.rows.is_none() && self.columns.is_empty()
    }
}

/// What becomes of times to live in a restore.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum TtlPolicy {
    /// Data expires when it would have at the source; what has expired since the cut does not come back.
    #[default]
    Keep,
    /// What lived at the cut lives, from its restore on, for the time that it had left at the cut.
    Rebase,
    /// What lived at the cut does not expire.
    Strip,
}

/// What a restore does, decided before it starts.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RestorePlan {
    /// Objects in the order they are restored.
    pub objects: Vec<PlannedObject>,
    /// Statements that make the schema, in order.
    pub schema: Vec<String>,
    /// Checks made while planning; any `fail` refuses the run.
    pub checks: Vec<check::Line>,
    /// Rows in all.
    pub rows: u64,
    /// Stored bytes to read.
    pub stored_bytes: u64,
    /// Level to write at.
    pub write_level: String,
    /// Short description of the destination, for people.
    pub destination: String,
}

/// One object in a plan.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PlannedObject {
    /// In the version.
    pub object: ObjectName,
    /// At the destination.
    pub target: ObjectName,
    /// The entry to restore.
    pub entry: StoredRef,
    /// How it comes there.
    pub action: Action,
    /// Rows live at the cut.
    pub rows: u64,
    /// Stored bytes to read.
    pub stored_bytes: u64,
}

/// How an object comes to its target.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Action {
    /// Into a target that is new or empty.
    #[default]
    Load,
    /// Into one that holds data: newer data and deletions win.
    Merge,
    /// The target becomes what the version says.
    Undo,
}

impl RestorePlan {
    /// True where an object is undone in place.
    pub fn undoes(&self) -> bool {
        self.objects.iter().any(|object| object.action == Action::Undo)
    }
}

/// The one instant of an undo, and what was known when it was taken.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct UndoInstant {
    /// µs since 1970: the lowest of our clock and all clocks of the destination, less the bound of the clients' clocks.
    pub micros: i64,
    /// Whose clock was the lowest, for people.
    pub lowest: String,
    /// Nodes whose clocks could not be read, with the reason: they may be down, or only out of our reach.
    pub unread: Vec<String>,
    /// Time after which a write that was not acknowledged cannot land at the destination any more, ms.
    pub settle_millis: u64,
}

/// What an undo of one object would do.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct UndoCounts {
    /// In the version.
    pub object: ObjectName,
    /// At the destination.
    pub target: ObjectName,
    /// Rows of the version that the target does not show.
    pub come_back: u64,
    /// Rows that both have and that differ.
    pub change: u64,
    /// Rows of the target that the version does not have.
    pub would_be_removed: u64,
    /// Rows that are equal in all respects.
    pub untouched: u64,
    /// Rows with something that the version does not have and that would stay; they may be among the others, but for those
    /// that are equal.
    pub rows_kept: u64,
    /// Rows with something newer than an undo that starts now, as [`RestoreReport::rows_newer`].
    pub rows_newer: u64,
    /// Time of the newest write found in what differs, µs since 1970; `None` where none can be read.
    pub newest_write_micros: Option<i64>,
    /// Ranges of the target that could not be read, with the reason.
    pub unreadable_ranges: Vec<String>,
}

/// Handles of a running restore.
#[derive(Clone)]
pub struct RestoreControl {
    /// Progress in rows.
    pub progress: ProgressSink,
    /// Stops the work.
    pub cancel: CancellationToken,
    /// Where it stood when it was interrupted, as last saved.
    pub checkpoint: Option<Value>,
    /// Saves where it stands; durable when it returns.
    pub save: Arc<dyn CheckpointSaver>,
    /// The instant of an undo, µs since 1970; the same in every run of one task.
    pub instant: Option<i64>,
}

/// Saves checkpoints of a running task.
#[async_trait]
pub trait CheckpointSaver: Send + Sync {
    /// Stores the checkpoint, replacing the previous one.
    ///
    /// # Errors
    /// [`Error`] where the task's claim is lost or the coordinator cannot be reached.
    async fn save(&self, checkpoint: Value) -> Result<(), Error>;
}

/// What a restore did.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RestoreReport {
    /// Rows written (static rows too), each counted once.
    pub rows_written: u64,
    /// Rows whose data had expired by now and which therefore do not exist any more.
    pub rows_expired: u64,
    /// Rows read back and found equal by digest.
    pub rows_verified: u64,
    /// Rows of an undo's targets that were read and compared.
    pub rows_read: u64,
    /// Rows that an undo found equal in all respects and did not write.
    pub rows_untouched: u64,
    /// Rows with something that the version does not have (the whole row, a value, an element) and that an undo left there;
    /// they may be written besides.
    #[serde(default)]
    pub rows_kept: u64,
    /// Rows that an undo removed.
    pub rows_removed: u64,
    /// Rows with data newer than an undo's instant, which stays; where its time can be read.
    pub rows_newer: u64,
    /// Rows of a merge that stand under newer data at the destination.
    pub rows_under_newer: u64,
    /// Rows of a merge that are not there, whole or in part: newer deletions hide them, as far as can be told.
    pub rows_hidden: u64,
    /// Rows that still differ after an undo.
    pub differing_rows: u64,
    /// The first of them, by key.
    pub differing: Vec<DifferingRow>,
    /// Rows that could not be written.
    pub rows_refused: u64,
    /// Objects that could not be made, none of whose rows were written.
    pub objects_refused: u64,
    /// The first [`REFUSED_NAMED`] of these rows and objects.
    pub refused: Vec<Refused>,
    /// Warnings for people.
    pub warnings: Vec<String>,
}

/// A row that is not as the version has it although an undo wrote it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DifferingRow {
    /// At the destination.
    pub target: ObjectName,
    /// Its key, in the source kind's own words.
    pub key: String,
    /// What differs.
    pub why: String,
}

/// Most [`RestoreReport::differing`] rows that are kept by key.
pub const DIFFERING_KEPT: usize = 100;

/// Most refused rows and objects that a report names; the counts go on.
pub const REFUSED_NAMED: usize = 100;

/// A row that could not be written, or an object that could not be made.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Refused {
    /// The object at the destination.
    pub object: ObjectName,
    /// The row's key, in the source kind's own words; `None` where it is the whole object.
    pub key: Option<String>,
    /// Stable code, `TM-<AREA>-<number>`.
    pub code: String,
    /// Why.
    pub reason: String,
}
