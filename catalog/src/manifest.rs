//! Manifests: the list that makes a version.

use std::fmt;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use tidemark_gateway::Digest;

use crate::{
    document::Document,
    entry::{Cut, Quality},
    figures::Figures,
    ids::{FencingToken, SetId, SourceId, TaskId, VersionNumber},
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
    /// What the number holds.
    pub holds: Holds,
    /// MAC over all of the above under a key derived from the repository key; `null` where the repository has no key.
    pub authenticator: Option<String>,
}

impl Manifest {
    /// The version that it makes; `None` of a barrier.
    pub fn version(&self) -> Option<&Version> {
        match &self.holds {
            Holds::Version(version) => Some(version),
            Holds::Barrier(_) => None,
        }
    }
}

impl Document for Manifest {
    const KIND: &'static str = "manifest";
}

/// What a number of a version set holds.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "holds", rename_all = "kebab-case")]
pub enum Holds {
    /// A version.
    Version(Box<Version>),
    /// No version: the number is only kept from being given again, and its token fences older claims.
    Barrier(Barrier),
}

/// Why a number holds no version.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Barrier {
    /// For people.
    pub reason: String,
}

/// What makes a version.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Version {
    /// Kind of source, for example `cassandra`.
    pub kind: String,
    /// Union of the objects' cuts.
    pub cut: Option<Cut>,
    /// Object pages, in order.
    pub pages: Vec<StoredRef>,
    /// Number of objects.
    pub objects: u64,
    /// Sums over the objects.
    pub figures: Figures,
    /// Worst quality of the objects.
    pub worst: WorstQuality,
    /// The earlier version of this set that it stands for, because more is known of the same cut.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub revises: Option<VersionNumber>,
    /// The versions of other sets that it belongs to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub group: Option<Group>,
    /// What was staged for it stays as long as it does.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub keeps_staged: bool,
}

impl Version {
    /// A version of this kind without objects.
    pub fn empty(kind: impl Into<String>) -> Self {
        Self {
            kind: kind.into(),
            cut: None,
            pages: Vec::new(),
            objects: 0,
            figures: Figures::default(),
            worst: WorstQuality::Cut,
            revises: None,
            group: None,
            keeps_staged: false,
        }
    }
}

/// Versions of several sets that were taken together.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Group {
    /// The task that made them all.
    pub task: TaskId,
    /// How many there are; the group is whole where as many name it.
    pub members: u32,
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

impl WorstQuality {
    /// Its word, which is what is stored.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Exact => "exact",
            Self::Cut => "cut",
            Self::Degraded => "degraded",
            Self::Missing => "missing",
        }
    }
}

impl From<&Quality> for WorstQuality {
    fn from(quality: &Quality) -> Self {
        match quality {
            Quality::Exact => Self::Exact,
            Quality::Cut => Self::Cut,
            Quality::Degraded { .. } => Self::Degraded,
            Quality::Missing { .. } => Self::Missing,
        }
    }
}

impl fmt::Display for WorstQuality {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_number_holds_comes_back_as_it_was() {
        let group = Some(Group { task: "t-1".parse().unwrap(), members: 3 });
        let revising = Version { revises: Some(VersionNumber(7)), group, ..Version::empty("fake") };
        let barrier = Barrier { reason: "lost".to_owned() };
        for holds in
            [Holds::Version(Version::empty("fake").into()), Holds::Version(revising.into()), Holds::Barrier(barrier)]
        {
            let json = serde_json::to_string(&holds).unwrap();
            assert_eq!(serde_json::from_str::<Holds>(&json).unwrap(), holds);
        }
        let json = r#"{"holds":"barrier","reason":"lost","pages":[]}"#;
        assert!(serde_json::from_str::<Holds>(json).is_err(), "a barrier names no pages");
    }
}
