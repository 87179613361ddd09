//! Policies.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// A policy, `POST /api/v1/policies`; its name is the name of its version set.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Policy {
    /// Name.
    pub name: String,
    /// Source.
    pub source: String,
    /// Patterns of objects: `keyspace/table`, `*` for any text within a part; `?`, `[a-z]`, `{a,b}` and `\` as in globs. Of
    /// several databases all objects go into one version; new objects that match are in by themselves.
    pub objects: Vec<String>,
    /// Patterns of objects that are left alone, whatever `objects` says.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub excludes: Vec<String>,
    /// Store.
    pub store: String,
    /// What it says in the source kind's own words; for `cassandra`: `write_level` and `repaired`, `docs/operations.md`,
    /// "Policies and completeness".
    #[serde(default = "super::nothing")]
    #[schema(value_type = Object)]
    pub options: serde_json::Value,
}

/// `POST /api/v1/protect`: a policy and its first run in one.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Protect {
    /// The policy; where one of this name exists it must be the same.
    pub policy: Policy,
}
