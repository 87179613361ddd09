//! The seam [`RecordSource`]: replicas of keyed records are collapsed into one state, key range by key range.
//!
//! Both calls are functions from stored objects to stored objects. Until a manifest names it, what they write is garbage, so
//! that a crash leaves nothing to undo. `tidemark-records` makes an object's line of its parts and has what these functions share.

mod partitions;

use std::{collections::BTreeMap, sync::Arc};

use async_trait::async_trait;
use object_store::ObjectStore;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use tidemark_catalog::{
    content::{ColumnId, SegmentRef},
    entry::{Cut, DegradedRange, Entry, LeftOut, Quality, Replica},
    figures::Counts,
    identities::Identity,
    ids::{ObjectName, SourceId},
    keys::KeyRange,
    names::Names,
    position::Position,
    slice::SliceManifest,
};
use tidemark_gateway::{Digest, Env};
use tokio_util::sync::CancellationToken;

use crate::{failure::Failure, progress::ProgressSink};

/// A kind of source of keyed records.
#[async_trait]
pub trait RecordSource: Send + Sync {
    /// Collapses the slices of one object, in one range of its keys, into one state, and stores its segments.
    ///
    /// # Errors
    /// [`Failure`] where the slices contradict each other, the store fails, or the work is cancelled. What of a partition cannot
    /// be read is no error but [`Consolidated::Unreadable`].
    async fn consolidate(&self, job: &ConsolidateJob, range: &KeyRange) -> Result<Consolidated, Failure>;

    /// All keys in at most `most` ranges of about the same work, ascending, each key in one. They are collapsed at the same time,
    /// perhaps by several processes. One range of all keys where nothing is gained by more, which is the default.
    fn split(&self, job: &ConsolidateJob, most: usize) -> Vec<KeyRange> {
        let _ = (job, most);
        vec![KeyRange::all()]
    }

    /// Reads every object that the entry names and proves it: digests, order, counts. Gives the number of stored records read.
    ///
    /// # Errors
    /// [`Failure`] naming the stored object and what is wrong with it.
    async fn verify(&self, store: &Arc<dyn ObjectStore>, entry: &Entry, progress: ProgressSink)
    -> Result<u64, Failure>;
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
    /// Partitions whose slices are to be left out of the state as if they were absent, with the reason: an earlier call could not
    /// read them.
    pub unreadable: BTreeMap<String, String>,
    /// The object's entry in the newest version of the set that has one, for what must be carried on (column ids).
    pub previous: Option<Arc<Entry>>,
    /// Where everything is.
    pub store: Arc<dyn ObjectStore>,
    /// New names.
    pub names: Arc<Names>,
    /// What the policy says in the source kind's own words.
    pub options: Value,
    /// Bounds.
    pub limits: ConsolidateLimits,
    /// Clocks.
    pub env: Env,
    /// Progress in bytes of staged files.
    pub progress: ProgressSink,
    /// Stops the work.
    pub cancel: CancellationToken,
}

impl ConsolidateJob {
    /// Stored bytes of all that partitions staged of the object.
    pub fn staged_bytes(&self) -> u64 {
        let objects = self.slices.iter().flat_map(|slice| &slice.objects);
        let own = objects.filter(|object| object.object == self.object).flat_map(|object| &object.files);
        own.fold(0, |sum, file| sum.saturating_add(file.stored.size))
    }
}

/// What a consolidation of a key range came to.
#[derive(Clone, Debug, PartialEq)]
pub enum Consolidated {
    /// The state of the range.
    Part(Box<Part>),
    /// What this partition staged cannot be read: all ranges of the object begin again without it.
    Unreadable {
        /// The partition, as its slice calls it.
        partition: String,
        /// Which file, and why, for people.
        reason: String,
    },
    /// Nothing of the object can be said, in any range.
    Missing {
        /// Why, for people.
        reason: String,
    },
}

/// The state of an object in one key range. It can be stored, so that another process makes the whole of the parts.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Part {
    /// What holds for the whole object: equal in all its parts.
    pub state: ObjectState,
    /// Its segments, stored, ascending.
    pub segments: Vec<SegmentRef>,
    /// What has been merged, in any order.
    pub merged: Vec<Identity>,
    /// Records that a reader sees at the cut.
    pub records: u64,
    /// What only the kind of source counts.
    pub own: Counts,
    /// Places of this range that turned out, while it was made, not to be proven: they are added to the quality of the state.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub degraded: Vec<DegradedRange>,
}

/// What holds for all key ranges of an object.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ObjectState {
    /// The source's own id of the object.
    pub object_id: String,
    /// Its schema, verbatim, in the source kind's own JSON shape.
    pub schema: Value,
    /// Columns with ids that are never reused.
    pub columns: Vec<ColumnId>,
    /// What became of each partition, sorted by partition.
    pub replicas: Vec<Replica>,
    /// When the state was captured.
    pub cut: Cut,
    /// How far it has come in each partition.
    pub position: Position,
    /// Whether it is provably complete.
    pub quality: Quality,
    /// Digest of the topology it was judged by.
    pub topology: Option<Digest>,
    /// Partitions that are left out of it, sorted.
    pub left_out: Vec<LeftOut>,
    /// Bytes that the object takes at the source, over all partitions.
    pub logical_bytes: u64,
    /// Bytes that listeners uploaded for it.
    pub shipped_bytes: u64,
}

/// Bounds of a consolidation.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ConsolidateLimits {
    /// Bytes of buffers over all inputs and the output.
    pub memory_bytes: usize,
    /// Stored bytes at which a segment ends with the key that reaches them.
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
