//! Slice manifests: what one partition of a source (for Cassandra: one node) shipped within a task.
//!
//! A listener writes it last, create-only, as `staged/<task>/<partition>/slice.json`: everything it names is then stored.

use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};
use tidemark_gateway::Digest;

use crate::{
    document::Document,
    entry::{Cut, PartitionCut},
    ids::{FencingToken, ObjectName, SourceId, TaskId},
    stored::StoredRef,
};

/// Everything that one partition shipped.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SliceManifest {
    /// The protected system.
    pub source: SourceId,
    /// The task it was captured for.
    pub task: TaskId,
    /// The claim of the task at capture.
    pub token: FencingToken,
    /// The ordered stream within the source; for Cassandra the host id.
    pub partition: String,
    /// Wall time of the partition's host right before the capture point.
    pub started: Timestamp,
    /// Wall time right after it: everything acknowledged by this partition before `started` is in.
    pub finished: Timestamp,
    /// Objects captured, sorted by name.
    pub objects: Vec<SliceObject>,
    /// The source's own description of the partition (for Cassandra: ring, schema, settings, clock), JSON.
    pub info: StoredRef,
}

impl Document for SliceManifest {
    const KIND: &'static str = "slice";
}

/// One object in a slice.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SliceObject {
    /// The object.
    pub object: ObjectName,
    /// The source's own id of the object (for Cassandra: table id, 32 hex digits).
    pub object_id: String,
    /// Why the object could not be captured here; then `files` is empty.
    pub unreadable: Option<String>,
    /// Files captured, in the order they were shipped.
    pub files: Vec<StagedFile>,
}

/// One file of the source, as it was shipped.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct StagedFile {
    /// File name at the source, without directories.
    pub name: String,
    /// Where and what was stored.
    pub stored: StoredRef,
    /// How the stored bytes encode the file.
    pub encoding: Encoding,
    /// Size of the file at the source.
    pub size: u64,
    /// BLAKE3 of the file at the source.
    pub digest: Digest,
}

/// Encoding of a staged file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Encoding {
    /// The file's bytes as they are.
    Plain,
    /// Independent zstd frames (RFC 8878) of 1 MiB of the file each (the last may be shorter), one after another.
    Zstd,
}

/// The cut of captures that were taken from files; `None` where there are none. It begins before the first of them, by the
/// bound of the clocks, µs.
pub fn cut(slices: &[&SliceManifest], clock_bound_micros: i64) -> Option<Cut> {
    let bound = SignedDuration::from_micros(clock_bound_micros);
    let started = slices.iter().map(|slice| slice.started).min()?;
    let through = slices.iter().map(|slice| slice.finished).max()?;
    let mut partitions: Vec<_> = slices.iter().map(|slice| partition_cut(slice)).collect();
    partitions.sort_by(|a, b| a.partition.cmp(&b.partition));
    Some(Cut { from: started.checked_sub(bound).unwrap_or(started), through, partitions })
}

fn partition_cut(slice: &SliceManifest) -> PartitionCut {
    PartitionCut { partition: slice.partition.clone(), started: slice.started, finished: slice.finished }
}
