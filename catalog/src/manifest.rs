//! Manifests: the list that makes a version.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use tidemark_gateway::Digest;

use crate::{
    document::Document,
    entry::{Cut, Totals},
    ids::{FencingToken, SetId, SourceId, VersionNumber},
    stored::StoredRef,
};

/// The manifest of version `number` of a set; stored create-only as JSON.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Manifest {
    /// The protected system.
    pub source: SourceId,
    /// The version set.
    pub set: SetId,
    /// From 1, without holes.
    pub number: VersionNumber,
    /// BLAKE3 of the stored bytes of manifest `number - 1`; absent for the first.
    pub previous: Option<Digest>,
    /// The claim under which it was written.
    pub token: FencingToken,
    /// 16 random bytes, hexadecimal: tells an own write that landed from another's.
    pub nonce: String,
    /// Task that made it: a task commits at most once.
    pub task: String,
    /// Name of the node that wrote it.
    pub node: String,
    /// Wall time of the node at commit; orders nothing.
    pub committed: Timestamp,
    /// Kind of source, for example `cassandra`.
    pub kind: String,
    /// Union of the objects' cuts.
    pub cut: Option<Cut>,
    /// Object pages, in order.
    pub pages: Vec<StoredRef>,
    /// Number of objects.
    pub objects: u64,
    /// Sums over the objects.
    pub totals: Totals,
    /// Worst quality of the objects.
    pub worst: WorstQuality,
    /// Why this number holds no version, where it holds none: it only keeps the number from being given again and fences older
    /// claims. Absent for a version.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub barrier: Option<String>,
    /// MAC over all of the above under a key derived from the repository key; `null` where the repository has no key.
    pub authenticator: Option<String>,
}

impl Document for Manifest {
    const KIND: &'static str = "manifest";
}

/// The worst quality of a version's objects. Ordered from best to worst.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum WorstQuality {
    /// All exact.
    Exact,
    /// All complete at their cut.
    Cut,
    /// At least one is not proven complete.
    Degraded,
    /// At least one is missing.
    Missing,
}
