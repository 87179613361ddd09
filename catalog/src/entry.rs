//! Entries: the state of one object in a version; object pages that lead to it.
//!
//! manifest → object pages (≤ 256 lines) → entry → its content: for records range pages (≤ 256 ranges) → segments.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use tidemark_gateway::Digest;

use crate::{
    content::Content, document::Document, figures::Figures, ids::ObjectName, keys::KeyRange, position::Position,
    stored::StoredRef,
};

/// Most lines of a page.
pub const PAGE_LINES: usize = 256;

/// A page of objects, sorted by name; shared by digest while unchanged.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ObjectPage {
    /// At most [`PAGE_LINES`].
    pub lines: Vec<ObjectLine>,
}

impl Document for ObjectPage {
    const KIND: &'static str = "object-page";
}

/// One object in a version.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ObjectLine {
    /// The object.
    pub object: ObjectName,
    /// Its entry; absent where the object could not be captured (quality says why).
    pub entry: Option<StoredRef>,
    /// When this state was captured.
    pub cut: Cut,
    /// Whether it is provably complete.
    pub quality: Quality,
    /// Digest of the topology it was judged by (ring and replication).
    pub topology: Option<Digest>,
    /// Figures of the object.
    pub figures: Figures,
    /// Partitions that were captured but of which nothing is in this state, sorted; quality is judged without them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub left_out: Vec<LeftOut>,
}

impl ObjectLine {
    /// The line of an object of which there is no state.
    pub fn missing(object: ObjectName, cut: Cut, reason: String) -> Self {
        Self {
            object,
            entry: None,
            cut,
            quality: Quality::Missing { reason },
            topology: None,
            figures: Figures::default(),
            left_out: Vec::new(),
        }
    }
}

/// A partition that is left out of an object's state, because what it holds of the object cannot be read.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LeftOut {
    /// The partition (for Cassandra: host id).
    pub partition: String,
    /// Where it is, for people (for Cassandra: the node's address); empty where that is not known.
    pub place: String,
    /// Which file cannot be read, and why, for people.
    pub reason: String,
}

impl std::fmt::Display for LeftOut {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { partition, place, reason } = self;
        match place.as_str() {
            "" => write!(f, "{partition}: {reason}"),
            place => write!(f, "{partition} ({place}): {reason}"),
        }
    }
}

/// A cut taken from files: an interval, not an instant.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Cut {
    /// Lower bound: every write acknowledged before it is in, min over partitions of the capture's start, less the clock bound.
    pub from: Timestamp,
    /// Upper bound: nothing that arrived after it is in.
    pub through: Timestamp,
    /// Capture interval of each partition.
    pub partitions: Vec<PartitionCut>,
}

/// The capture point of one partition.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PartitionCut {
    /// The partition (for Cassandra: host id).
    pub partition: String,
    /// Wall time right before the capture point.
    pub started: Timestamp,
    /// Wall time right after it.
    pub finished: Timestamp,
}

/// What is proven about an object's state. Ordered from best to worst.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, tag = "verdict", rename_all = "kebab-case")]
pub enum Quality {
    /// Every distinct mutation is kept (from a log). Not produced by captures from files.
    Exact,
    /// Complete at the cut, only the winners are known.
    Cut,
    /// Not proven complete in these ranges.
    Degraded {
        /// Where and why; at least one.
        ranges: Vec<DegradedRange>,
    },
    /// Nothing of the object could be captured.
    Missing {
        /// Why.
        reason: String,
    },
}

/// A range that is not proven complete.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DegradedRange {
    /// The range.
    pub range: KeyRange,
    /// Replicas that own the range.
    pub replicas: u32,
    /// Replicas captured.
    pub captured: u32,
    /// Why it is not proven, for people.
    pub reason: String,
}

/// One object's state.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Entry {
    /// The object.
    pub object: ObjectName,
    /// The source's own id of the object (for Cassandra: table id).
    pub object_id: String,
    /// Kind of source that understands `schema`, the replicas' `own` and what is stored, for example `cassandra`.
    pub kind: String,
    /// The source's schema of the object, verbatim, in the source kind's own JSON shape.
    pub schema: Value,
    /// What it holds.
    pub content: Content,
    /// What became of each partition, sorted by partition.
    pub replicas: Vec<Replica>,
    /// When the state was captured.
    pub cut: Cut,
    /// How far the state has come in each partition.
    pub position: Position,
    /// Whether it is provably complete.
    pub quality: Quality,
    /// Figures.
    pub figures: Figures,
}

impl Document for Entry {
    const KIND: &'static str = "entry";
}

/// What became of one partition.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Replica {
    /// The partition (for Cassandra: host id).
    pub partition: String,
    /// Whether it is in the state.
    pub state: ReplicaState,
    /// What the kind of source keeps about it, in its own JSON shape; `null` where it keeps nothing.
    pub own: Value,
}

/// Whether a partition is in a state.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, tag = "state", rename_all = "kebab-case")]
pub enum ReplicaState {
    /// It is.
    Captured,
    /// It was captured, but cannot be read.
    Unreadable {
        /// Which file, and why, for people.
        reason: String,
    },
    /// It was not captured.
    Absent {
        /// Why, for people.
        reason: String,
    },
}

impl std::fmt::Display for ReplicaState {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Captured => f.write_str("captured"),
            Self::Unreadable { reason } => write!(f, "unreadable: {reason}"),
            Self::Absent { reason } => write!(f, "absent: {reason}"),
        }
    }
}
