//! What is stored, what it serves, and what is freed.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// A change of what becomes of a version: `POST /api/v1/versions/{id}/expire`, `/unexpire`, `/hold` and `/release`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ChangeVersion {
    /// Why, for people; kept beside the version.
    #[serde(default)]
    pub reason: String,
}

/// Objects of the store and their stored bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Stored {
    /// How many.
    pub objects: u64,
    /// Stored bytes.
    pub bytes: u64,
}

impl Stored {
    /// Both together.
    pub fn and(self, other: Self) -> Self {
        Self { objects: self.objects + other.objects, bytes: self.bytes + other.bytes }
    }

    /// What is left of it without a part of it.
    pub fn without(self, part: Self) -> Self {
        Self { objects: self.objects.saturating_sub(part.objects), bytes: self.bytes.saturating_sub(part.bytes) }
    }
}

/// How large a version is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct VersionSize {
    /// The version.
    pub id: String,
    /// What deleting it would free: what no other version needs.
    pub frees: Stored,
}

/// What is stored of each source in a store.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct StoreUsage {
    /// The store.
    pub store: String,
    /// By source, sorted.
    pub sources: Vec<SourceUsage>,
}

/// What is stored of a source. Every stored object of it is in exactly one of `versions` to `foreign`: they add up to `total`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct SourceUsage {
    /// The source.
    pub source: String,
    /// What versions need.
    pub versions: Stored,
    /// What only expired versions need.
    pub expired: Stored,
    /// What only collected versions need that are being read.
    pub pinned: Stored,
    /// Staged and kept with its version.
    pub staged_kept: Stored,
    /// What running operations may need.
    pub operations: Stored,
    /// Marked: goes with the next collection that is due.
    pub marked: Stored,
    /// Needed by nothing: marked next.
    pub garbage: Stored,
    /// Needed by nothing that is known, but not old.
    pub young: Stored,
    /// Manifests, states of versions and marks, which stay.
    pub lasting: Stored,
    /// Not written by this program.
    pub foreign: Stored,
    /// All that is stored of it.
    pub total: Stored,
    /// Of all that, what listeners staged.
    pub staged: Stored,
    /// Of all that, segments.
    pub segments: Stored,
    /// What versions need that are not collected, expired ones too, by object; what objects share is in none.
    pub objects: Vec<ObjectUsage>,
    /// Why the source cannot be looked into; then all figures are 0.
    pub problem: Option<String>,
}

/// What versions need of one object.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ObjectUsage {
    /// Name.
    pub object: String,
    /// What is stored of it.
    pub stored: Stored,
}

/// What a collection would do, `GET /api/v1/gc/preview`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct GcPreview {
    /// The store.
    pub store: String,
    /// What is marked or garbage: all that collections free once it is due, without further expiries; and what crashes have
    /// left. Stores that do not say how much an upload holds that was not ended count 0 bytes for it.
    pub frees: Stored,
    /// Stored objects, by source and name, the first 10,000; only those that go unless all were asked for.
    pub items: Vec<GcItem>,
    /// How many more there are.
    pub left_out: u64,
    /// Sources that cannot be looked into, with the reason; nothing of them is collected.
    pub problems: Vec<String>,
}

/// A stored object.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct GcItem {
    /// Its name.
    pub name: String,
    /// Stored bytes.
    pub bytes: u64,
    /// Bytes that deleting it frees: 0 where it stays.
    pub frees_bytes: u64,
    /// What it serves, or why it goes.
    pub serves: String,
    /// When it may go, by the store's clock, where only time keeps it.
    #[schema(value_type = Option<String>)]
    pub after: Option<Timestamp>,
}

/// `POST /api/v1/gc`: frees space in a store.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Collect {
    /// The store.
    pub store: String,
    /// One source only.
    #[serde(default)]
    pub source: Option<String>,
}
