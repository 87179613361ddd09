//! Stores and checklists.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::{CheckStatus, CommitMode, LimitNow, Limits};

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
    /// What the daemon and its listeners together may ask of it; absent: no bound. Of a store that is registered already it is not
    /// changed where it is absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub limits: Option<Limits>,
}

/// What of a store can be changed, `PUT /api/v1/stores/{name}`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ChangeStore {
    /// What the daemon and its listeners together may ask of it from now on, also for work that runs; absent: no bound.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub limits: Option<Limits>,
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
    #[schema(value_type = String)]
    pub commit_mode: CommitMode,
    /// What the daemon and its listeners together may ask of it; absent: no bound.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub limits: Option<Limits>,
    /// What of that is in force now; absent where there are no limits.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub limit_now: Option<LimitNow>,
    /// What was found in it when it was registered or accepted; else absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub taken_over: Option<TakenOver>,
    /// What in it could not be read or taken over when it was registered or accepted, each with a code; it is used without that.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub warnings: Vec<String>,
}

/// What was found in a store when it was registered or accepted.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct TakenOver {
    /// Sources that came from it and wait for confirmation, with the policies of theirs that came with them: until then nothing of them
    /// is used. Sorted.
    pub sources: Vec<String>,
    /// Policies that came from it and wait for confirmation. Sorted.
    pub policies: Vec<TakenPolicy>,
    /// Version sets in it. Sorted.
    pub sets: Vec<TakenSet>,
}

/// A policy that came from a store.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct TakenPolicy {
    /// Name.
    pub policy: String,
    /// Its source.
    pub source: String,
}

/// A version set that was found in a store.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct TakenSet {
    /// Its source.
    pub source: String,
    /// The set: its policy's name.
    pub set: String,
    /// Numbers that were given in it, those that hold no version any more among them: no fewer than versions.
    pub numbers: u64,
    /// Its versions that are neither expired nor collected, damaged ones too; absent of a set with more than 1,000 numbers, and
    /// where they cannot be read.
    pub versions: Option<u64>,
}

/// A store to take as it is now, `POST /api/v1/stores/{name}/accept`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct AcceptStore {
    /// The store's name once more.
    pub confirm: String,
}

/// What became of a store that was taken as it is.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct AcceptedStore {
    /// The store.
    pub store: Store,
    /// The generation that was taken.
    pub generation: u64,
    /// Versions that are lost, as `source.set.first..last`; their numbers are not given again.
    pub lost: Vec<String>,
}

/// One line of a preflight checklist.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct CheckLine {
    /// What was checked.
    pub name: String,
    /// Where.
    pub subject: String,
    /// `ok`, `warn` or `fail`.
    #[schema(value_type = String)]
    pub status: CheckStatus,
    /// What was seen.
    pub detail: String,
    /// What to do about it.
    pub hint: Option<String>,
}

/// A checklist, with its worst status.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Checklist {
    /// `ok`, `warn` or `fail`.
    #[schema(value_type = String)]
    pub status: CheckStatus,
    /// The lines.
    pub lines: Vec<CheckLine>,
}
