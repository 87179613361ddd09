//! The daemons that work together.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// The daemons that share a state, as it says.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Cluster {
    /// Name of the cluster; absent for a daemon with a state of its own.
    pub name: Option<String>,
    /// Generation of the state: rises when it was lost or rolled back.
    pub generation: String,
    /// The daemons that are there, by name. One that died is there until its lease ends, 10 s.
    pub nodes: Vec<ClusterNode>,
}

/// A daemon.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct ClusterNode {
    /// Its name.
    pub name: String,
    /// Address of its API.
    pub address: String,
    /// Its version.
    pub version: String,
    /// What it does besides answering the API: `control`, `worker`.
    pub roles: Vec<String>,
    /// True for the one that turns policies into operations.
    pub leads: bool,
    /// True where it takes no new work; what it runs goes on.
    #[serde(default)]
    pub drains: bool,
    /// When it was started.
    #[schema(value_type = String, format = DateTime)]
    pub started: Timestamp,
    /// Operations that it runs.
    pub operations: Vec<String>,
}
