//! Versions.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::words::{Quality, VersionState, time_or_empty};

/// A version in a list.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Version {
    /// `source.set.number`; empty where the line is about a store. Unique within a store: `STORE:source.set.number` names one.
    pub id: String,
    /// Store it is in.
    pub store: String,
    /// When it was committed; empty where the version is `damaged` or the line `unknown`.
    #[serde(with = "time_or_empty")]
    #[schema(value_type = String)]
    pub committed: Option<Timestamp>,
    /// Lower bound of its cut: every write acknowledged before it is in.
    #[schema(value_type = Option<String>)]
    pub cut_from: Option<Timestamp>,
    /// Upper bound of its cut.
    #[schema(value_type = Option<String>)]
    pub cut_through: Option<Timestamp>,
    /// Worst quality: `exact`, `cut`, `degraded` or `missing`; `damaged` where the manifest does not verify, then nothing else
    /// is known of the version; `lost` where the number holds no version, because the store was put back to before it; `fence`
    /// where collection took the number so that older claims cannot commit: listed only where fences are asked for; `unknown`
    /// where the store cannot be looked into while others can: the line is about all that it may hold.
    #[schema(value_type = String)]
    pub quality: Quality,
    /// Why the manifest does not verify, where the version is `damaged`; what became of it where it is `lost`; why the store
    /// cannot be looked into where the line is `unknown`.
    pub damage: Option<String>,
    /// Objects.
    pub objects: u64,
    /// Figures.
    pub totals: Totals,
    /// What becomes of it: `kept`, `held`, `expired`, `collected`; `fence` or `lost` where the number holds no version, `unknown` where
    /// the line is about a store.
    #[schema(value_type = String)]
    pub state: VersionState,
    /// Until when its expiry can be undone, by the store's clock: from then on collection may give it up. Absent where it is not
    /// expired, or is held or collected.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>)]
    pub undo_until: Option<Timestamp>,
    /// When it expired, by the clock of the node that recorded it: it is hidden from lists unless they are asked for it, and collected
    /// after a grace.
    #[schema(value_type = Option<String>)]
    pub expired: Option<Timestamp>,
    /// Who holds it and why, where it is held: it is neither expired nor collected.
    pub held: Option<String>,
}

/// Figures of a version or an object.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Totals {
    /// Bytes of the source's files over all nodes.
    pub source_bytes: u64,
    /// Bytes that listeners uploaded.
    pub shipped_bytes: u64,
    /// Bytes of the segments.
    pub kept_bytes: u64,
    /// Rows live at the cut.
    pub rows: u64,
    /// Live static rows at the cut.
    pub static_rows: u64,
    /// Rows on which owner replicas disagreed.
    pub disagreeing_rows: u64,
    /// Partitions dropped because their node did not own them.
    pub not_owned_partitions: u64,
}

/// A version with its objects.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct VersionDetail {
    /// As in lists.
    pub version: Version,
    /// Its objects, sorted.
    pub contents: Vec<VersionObject>,
}

/// One object in a version.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct VersionObject {
    /// Name.
    pub object: String,
    /// `exact`, `cut`, `degraded` or `missing`.
    #[schema(value_type = String)]
    pub quality: Quality,
    /// Ranges and reasons where degraded, the reason where missing, and the replicas that could not be read and so are left
    /// out, with their files.
    pub notes: Vec<String>,
    /// Figures.
    pub totals: Totals,
}

/// What became of damage of a version set, `POST /api/v1/sets/{source}/{set}/repair`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct RepairedSet {
    /// Store it is in.
    pub store: String,
    /// Source.
    pub source: String,
    /// Version set: the policy's name.
    pub set: String,
    /// Id of the number that seals the damage and holds no version; absent where nothing had to be sealed.
    pub sealed: Option<String>,
    /// What was wrong; absent where nothing was.
    pub damage: Option<String>,
}
