//! What is stored and what it serves.

use std::collections::BTreeMap;

use crate::ids::{ObjectName, VersionId};

/// Objects and their stored bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Sum {
    /// How many.
    pub objects: u64,
    /// Stored bytes.
    pub bytes: u64,
}

impl Sum {
    /// Adds an object.
    pub fn add(&mut self, bytes: u64) {
        self.objects += 1;
        self.bytes = self.bytes.saturating_add(bytes);
    }
}

/// Sums over all that is stored of a source. Each object is in exactly one of the sums of the first part.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Survey {
    /// What plain versions need.
    pub versions: Sum,
    /// What only expired versions need.
    pub expired: Sum,
    /// What only collected versions need that are read.
    pub pinned: Sum,
    /// What is staged and kept with its version.
    pub staged_kept: Sum,
    /// What tasks that are alive may need, staged or not.
    pub tasks: Sum,
    /// What is marked, and goes with the next sweep.
    pub marked: Sum,
    /// What nothing needs.
    pub garbage: Sum,
    /// What nothing is known to need, but is not old.
    pub young: Sum,
    /// Manifests, states, marks.
    pub lasting: Sum,
    /// What no build of ours writes.
    pub foreign: Sum,

    /// Of all that, what lies below `staged/`.
    pub staged: Sum,
    /// Of all that, segments.
    pub segments: Sum,
    /// What versions need that are not collected, by object; what objects share (object pages) is in none.
    pub by_object: BTreeMap<ObjectName, Sum>,
    /// What deleting this version alone would free, by version; those that would free nothing are left out.
    pub alone: BTreeMap<VersionId, Sum>,
    /// What deleting all of the versions that were asked for would free.
    pub frees: Sum,
}

impl Survey {
    /// All that is stored.
    pub fn total(&self) -> Sum {
        let parts = [
            self.versions,
            self.expired,
            self.pinned,
            self.staged_kept,
            self.tasks,
            self.marked,
            self.garbage,
            self.young,
            self.lasting,
            self.foreign,
        ];
        parts.iter().fold(Sum::default(), |sum, part| Sum {
            objects: sum.objects + part.objects,
            bytes: sum.bytes.saturating_add(part.bytes),
        })
    }
}
