//! Sources, their listeners and objects.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::{ListenerStatus, Policy};

/// A source to register, `POST /api/v1/sources`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct AddSource {
    /// Name.
    pub name: String,
    /// Kind: `cassandra`.
    pub kind: String,
    /// The kind's own specification; for `cassandra`: `docs/operations.md`, "Sources".
    pub spec: serde_json::Value,
}

/// A registered source.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Source {
    /// Name.
    pub name: String,
    /// Kind.
    pub kind: String,
    /// Specification, secrets left out.
    pub spec: serde_json::Value,
    /// Listeners attached now.
    pub listeners: Vec<ListenerState>,
    /// Present where it came from a store's mirror and nobody has confirmed it: then nothing that it names is used.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unconfirmed: Option<Unconfirmed>,
    /// What it names and the daemon's configuration does not allow, in words; with any of it the source cannot be used.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub refused: Vec<String>,
    /// Policies that this request confirmed with it: their schedules and rules count from now on.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub confirmed_policies: Vec<Policy>,
    /// Policies that came with it and wait: versions would go by them, so that each is confirmed by itself.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub waiting_policies: Vec<Policy>,
}

/// A source that came from a store's mirror.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Unconfirmed {
    /// The store.
    pub store: String,
    /// Command lines that it would have executed on the daemon's host.
    pub runs: Vec<String>,
    /// Files and directories that it would have read there.
    pub reads: Vec<String>,
    /// Where it would have connected to, and handed in what the credentials say.
    #[serde(default)]
    pub connects: Vec<String>,
    /// Policies of the same store, which are confirmed with it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub policies: Vec<Policy>,
}

/// A listener as the orchestrator sees it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct ListenerState {
    /// Id within the source.
    pub id: String,
    /// `attached`, `starting` or `stopped`.
    #[schema(value_type = String)]
    pub state: ListenerStatus,
    /// Version of its binary, once attached.
    pub version: Option<String>,
}

/// An object of a source.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Object {
    /// Name within the source, `keyspace/table`.
    pub object: String,
    /// The source's own id.
    pub object_id: String,
    /// False where it cannot be protected.
    pub supported: bool,
    /// Why not, or other words.
    pub note: Option<String>,
    /// Number of versions that hold it.
    pub versions: u64,
    /// Newest version that holds it.
    pub newest_version: Option<String>,
    /// When that was committed.
    #[serde(default)]
    #[schema(value_type = Option<String>)]
    pub last_success: Option<Timestamp>,
    /// Every write acknowledged before this is in the newest version that holds it complete.
    #[serde(default)]
    #[schema(value_type = Option<String>)]
    pub recoverable_until: Option<Timestamp>,
    /// Policies that name it. One that none names is not protected.
    #[serde(default)]
    pub policies: Vec<String>,
    /// Shortest expected interval of these policies, s; absent where none of them runs by itself.
    #[serde(default)]
    pub expected_interval_seconds: Option<u64>,
    /// True where the newest version of one of these policies that holds it is older than 1.5 times what is expected of the
    /// policy, or there is none.
    #[serde(default)]
    pub late: bool,
}
