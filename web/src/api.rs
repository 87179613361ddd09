//! Requests and answers of the REST API, version 1. The server and the command line share these types.
//!
//! Times are RFC 3339 in UTC, sizes are bytes, 64-bit numbers that are not counts (tokens, write times) are strings.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// A store to register, `POST /api/v1/stores`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct AddStore {
    /// Name: 1 to 63 of a-z, 0-9, '-'.
    pub name: String,
    /// `file:///dir`, `s3://bucket/prefix?endpoint=http://host:port&region=r`, or `memory:` (tests).
    pub url: String,
    /// Where credentials are: `env:PREFIX` (PREFIX_ACCESS_KEY_ID, PREFIX_SECRET_ACCESS_KEY of the daemon's environment) or
    /// `file:/path` (two lines `access_key_id=…`, `secret_access_key=…`). Secrets themselves are never sent.
    pub credentials: Option<String>,
    /// Where the lesser credentials of listeners are, in the same form; those of the daemon where there are none.
    pub listener_credentials: Option<String>,
}

/// A registered store.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Store {
    /// Name.
    pub name: String,
    /// URL without secrets.
    pub url: String,
    /// Id of the repository in it.
    pub repository: String,
    /// Commit mode, `a` (atomic create).
    pub commit_mode: String,
}

/// One line of a preflight checklist.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct CheckLine {
    /// What was checked.
    pub name: String,
    /// Where.
    pub subject: String,
    /// `ok`, `warn` or `fail`.
    pub status: String,
    /// What was seen.
    pub detail: String,
    /// What to do about it.
    pub hint: Option<String>,
}

/// A checklist, with its worst status.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Checklist {
    /// `ok`, `warn` or `fail`.
    pub status: String,
    /// The lines.
    pub lines: Vec<CheckLine>,
}

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
}

/// A listener as the orchestrator sees it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct ListenerState {
    /// Id within the source.
    pub id: String,
    /// `attached`, `starting` or `stopped`.
    pub state: String,
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
}

/// A policy, `POST /api/v1/policies`; its name is the name of its version set.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Policy {
    /// Name.
    pub name: String,
    /// Source.
    pub source: String,
    /// Patterns of objects: `keyspace/table`, `*` for any text within a part.
    pub objects: Vec<String>,
    /// Store.
    pub store: String,
    /// Level at which the application's writes are acknowledged: `one`, `two`, `three`, `quorum`, `all`, `local_one`,
    /// `local_quorum`, `each_quorum`.
    pub write_level: String,
    /// The operator's word that the level always held and repairs ran since the last change of replication or ring.
    #[serde(default)]
    pub repaired: bool,
}

/// `POST /api/v1/protect`: a policy and its first run in one.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Protect {
    /// The policy; where one of this name exists it must be the same.
    pub policy: Policy,
}

/// A long-running operation.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Operation {
    /// Id.
    pub id: String,
    /// `protect`, `restore` or `verify`.
    pub kind: String,
    /// What it works on, for people.
    pub subject: String,
    /// `queued`, `running`, `succeeded`, `warnings`, `failed` or `cancelled`.
    pub state: String,
    /// True in the last four.
    pub done: bool,
    /// How often it was claimed.
    pub attempt: u32,
    /// Where it stands.
    pub progress: OperationProgress,
    /// When it was asked for.
    pub created: String,
    /// When it ended.
    pub finished: Option<String>,
    /// Why it failed.
    pub error: Option<Problem>,
    /// What came out: `{"version": id}`, a restore report, or a verification report.
    pub result: Option<serde_json::Value>,
}

/// Progress of an operation.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct OperationProgress {
    /// What is being done.
    pub phase: String,
    /// Units done.
    pub done: u64,
    /// Units in all, 0 while unknown.
    pub total: u64,
    /// `bytes` or `rows`.
    pub unit: String,
    /// Seconds left by the rate so far, where it can be told.
    pub eta_seconds: Option<u64>,
}

/// A version in a list.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Version {
    /// `source.set.number`.
    pub id: String,
    /// Store it is in.
    pub store: String,
    /// When it was committed.
    pub committed: String,
    /// Lower bound of its cut: every write acknowledged before it is in.
    pub cut_from: Option<String>,
    /// Upper bound of its cut.
    pub cut_through: Option<String>,
    /// Worst quality: `exact`, `cut`, `degraded` or `missing`.
    pub quality: String,
    /// Objects.
    pub objects: u64,
    /// Figures.
    pub totals: Totals,
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
    pub quality: String,
    /// Ranges and reasons where degraded, the reason where missing.
    pub notes: Vec<String>,
    /// Figures.
    pub totals: Totals,
}

/// `POST /api/v1/restores` and `/api/v1/restores/plan`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Restore {
    /// Version to restore.
    pub version: String,
    /// Objects, patterns as in policies; all where empty.
    #[serde(default)]
    pub objects: Vec<String>,
    /// Destination: a registered source.
    pub to: String,
    /// Keyspaces to rename, from → to.
    #[serde(default)]
    pub rename: BTreeMap<String, String>,
    /// Replication of new keyspaces; the version's own where absent.
    #[serde(default)]
    pub replication: Option<BTreeMap<String, String>>,
    /// Level to write at, `all` by default.
    #[serde(default)]
    pub write_level: Option<String>,
    /// Destination objects that may hold data already, by full name.
    #[serde(default)]
    pub into_non_empty: Vec<String>,
    /// Restore what is not proven complete.
    #[serde(default)]
    pub accept_degraded: bool,
}

/// What a restore will do.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct RestorePlan {
    /// The version.
    pub version: String,
    /// Short description of the destination.
    pub destination: String,
    /// Level to write at.
    pub write_level: String,
    /// Objects in order.
    pub objects: Vec<PlannedObject>,
    /// Statements that make the schema.
    pub schema: Vec<String>,
    /// Checks; any `fail` refuses the run.
    pub checks: Vec<CheckLine>,
    /// Rows in all.
    pub rows: u64,
    /// Stored bytes to read.
    pub stored_bytes: u64,
}

/// One object in a plan.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct PlannedObject {
    /// In the version.
    pub object: String,
    /// At the destination.
    pub target: String,
    /// Rows.
    pub rows: u64,
    /// Stored bytes to read.
    pub stored_bytes: u64,
}

/// A list of things.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct List<T> {
    /// The items, all of them.
    pub items: Vec<T>,
    /// Always absent: lists are whole in this version of the API.
    pub next_page_token: Option<String>,
}

impl<T> List<T> {
    /// A list with all its items.
    pub fn whole(items: Vec<T>) -> Self {
        Self { items, next_page_token: None }
    }
}

/// An error, RFC 9457.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Problem {
    /// `about:blank`.
    #[serde(rename = "type")]
    pub kind: String,
    /// Short words for the HTTP status.
    pub title: String,
    /// HTTP status.
    pub status: u16,
    /// Stable code, `TM-AREA-NNNN`.
    pub code: String,
    /// What happened to what, with its causes.
    pub detail: String,
    /// What to do about it.
    pub hint: Option<String>,
}
