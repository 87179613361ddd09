//! What comes of a collection, as it is stored with the task and shown as the result of its operation.

use std::ops::AddAssign;

use serde::{Deserialize, Serialize};
use tidemark_catalog::{
    collect::Swept,
    ids::{SourceId, StoreId, VersionId},
    marks::Round,
};

use crate::protect::result::Listed;

/// What comes of a collect task.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CollectResult {
    /// The store.
    pub store: StoreId,
    /// Source by source.
    pub sources: Vec<SourceResult>,
    /// What crashes had left in the store; absent in results of builds that did not look.
    #[serde(default)]
    pub removed: Option<Removed>,
}

/// What crashes had left, and is gone.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Removed {
    /// Uploads that were begun and not ended.
    pub uploads: u64,
    /// Objects of probes.
    pub probes: u64,
    /// Why not all could be found or removed.
    pub problem: Option<String>,
}

/// What was done to one source.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SourceResult {
    /// The source.
    pub source: SourceId,
    /// Versions that expired by their policies' rules.
    pub expired: Listed<VersionId>,
    /// Versions of which it cannot be said whether they are kept, because they are damaged: they stay.
    pub damaged: Listed<VersionId>,
    /// Policies whose rules were not applied, with the reason: their versions stay.
    #[serde(default)]
    pub resting: Vec<String>,
    /// What is marked and waits for its sweep.
    pub marked: Option<Marked>,
    /// What was deleted.
    pub freed: Freed,
    /// Why nothing could be collected.
    pub problem: Option<String>,
}

impl SourceResult {
    /// Of a source to which nothing was done yet.
    pub fn new(source: SourceId) -> Self {
        let (expired, damaged) = (Listed::default(), Listed::default());
        Self { source, expired, damaged, resting: Vec::new(), marked: None, freed: Freed::default(), problem: None }
    }

    /// Whether anything could not be done.
    pub fn is_lacking(&self) -> bool {
        self.problem.is_some() || !self.resting.is_empty()
    }
}

/// A round of marks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Marked {
    /// Its number.
    pub round: u64,
    /// Objects.
    pub objects: u64,
    /// Their stored bytes.
    pub bytes: u64,
}

impl From<Round> for Marked {
    fn from(round: Round) -> Self {
        Self { round: round.number, objects: round.objects, bytes: round.bytes }
    }
}

/// What was deleted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Freed {
    /// Objects.
    pub objects: u64,
    /// Their stored bytes.
    pub bytes: u64,
}

impl From<Option<Swept>> for Freed {
    fn from(swept: Option<Swept>) -> Self {
        swept.map_or_else(Self::default, |Swept { objects, bytes }| Self { objects, bytes })
    }
}

impl AddAssign for Freed {
    fn add_assign(&mut self, more: Self) {
        self.objects += more.objects;
        self.bytes += more.bytes;
    }
}
