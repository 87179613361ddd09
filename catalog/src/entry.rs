//! Entries: the state of one object in a version; object pages and range pages that lead to it.
//!
//! manifest → object pages (≤ 256 lines) → entry → range pages (≤ 256 ranges) → segments. All are JSON, zstd above 64 KiB.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use tidemark_gateway::Digest;

use crate::{document::Document, ids::ObjectName, stored::StoredRef};

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
    pub totals: Totals,
    /// Partitions that were captured but of which nothing is in this state, sorted; quality is judged without them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub left_out: Vec<LeftOut>,
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
    /// Token after which the range starts (exclusive), as text because JSON numbers are not 64-bit.
    pub after: String,
    /// Token through which it goes (inclusive).
    pub through: String,
    /// Replicas that own the range.
    pub replicas: u32,
    /// Replicas captured.
    pub captured: u32,
    /// Why it is not proven, for people.
    pub reason: String,
}

/// Figures of an object or a version. Counts are exact.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Totals {
    /// Bytes of the source's files over all partitions.
    pub source_bytes: u64,
    /// Bytes that listeners uploaded.
    pub shipped_bytes: u64,
    /// Bytes of the segments that hold this state.
    pub kept_bytes: u64,
    /// Rows live at the cut (for Cassandra: regular rows, and static rows of partitions counted apart).
    pub rows: u64,
    /// Partitions with a live static row at the cut.
    pub static_rows: u64,
    /// Rows (static ones too) on which owner replicas disagreed although the newest difference is older than the cut.
    pub disagreeing_rows: u64,
    /// Partitions that were dropped because the node that held them did not own them.
    pub not_owned_partitions: u64,
}

impl Totals {
    /// Sums of both.
    pub fn plus(self, other: Self) -> Self {
        Self {
            source_bytes: self.source_bytes + other.source_bytes,
            shipped_bytes: self.shipped_bytes + other.shipped_bytes,
            kept_bytes: self.kept_bytes + other.kept_bytes,
            rows: self.rows + other.rows,
            static_rows: self.static_rows + other.static_rows,
            disagreeing_rows: self.disagreeing_rows + other.disagreeing_rows,
            not_owned_partitions: self.not_owned_partitions + other.not_owned_partitions,
        }
    }
}

/// One object's state.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Entry {
    /// The object.
    pub object: ObjectName,
    /// The source's own id of the object (for Cassandra: table id).
    pub object_id: String,
    /// Kind of source that understands `schema` and the segments, for example `cassandra`.
    pub kind: String,
    /// The source's schema of the object, verbatim, in the source kind's own JSON shape.
    pub schema: serde_json::Value,
    /// Columns with ids that are never reused; Parquet field ids in the segments.
    pub columns: Vec<ColumnId>,
    /// Range pages of the baseline, in order.
    pub baseline: Vec<StoredRef>,
    /// Increments on top; none yet.
    pub increments: Vec<Increment>,
    /// What was merged from each partition, in the source kind's own JSON shape, sorted by partition.
    pub replicas: Vec<ReplicaRecord>,
    /// When the state was captured.
    pub cut: Cut,
    /// Whether it is provably complete.
    pub quality: Quality,
    /// Figures.
    pub totals: Totals,
}

impl Document for Entry {
    const KIND: &'static str = "entry";
}

/// A column and its id.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ColumnId {
    /// From 1, never reused within the object.
    pub id: u32,
    /// Name at the source.
    pub name: String,
}

/// An increment: the atoms of `(after, through]`. No version of this format writes one.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Increment {
    /// Its segments.
    pub segments: Vec<SegmentRef>,
}

/// What was merged from one partition.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ReplicaRecord {
    /// The partition (for Cassandra: host id).
    pub partition: String,
    /// Captured, unreadable with a reason, or absent.
    pub state: String,
    /// Identities of the files merged, in the source kind's own JSON shape.
    pub merged: serde_json::Value,
}

/// A page of key ranges, ascending and disjoint.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RangePage {
    /// At most [`PAGE_LINES`].
    pub ranges: Vec<SegmentRef>,
}

impl Document for RangePage {
    const KIND: &'static str = "range-page";
}

/// A segment with the range of keys it holds.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SegmentRef {
    /// First key, inclusive.
    pub first: KeyBound,
    /// Last key, inclusive.
    pub last: KeyBound,
    /// The Parquet file.
    pub stored: StoredRef,
    /// Parquet rows in it (atoms' carriers: rows, static rows, deletions).
    pub records: u64,
}

/// A key in range order: token, then key bytes unsigned.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct KeyBound {
    /// Token as text, because JSON numbers are not 64-bit.
    pub token: String,
    /// Key bytes, hexadecimal.
    pub key: String,
}
