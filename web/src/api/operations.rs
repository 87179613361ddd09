//! Operations: work that takes long.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::{OperationKind, OperationState, Problem};

/// A long-running operation.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Operation {
    /// Id.
    pub id: String,
    /// What it does, for example `protect`.
    #[schema(value_type = String)]
    pub kind: OperationKind,
    /// The operation that it does a part of.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub part_of: Option<String>,
    /// What it works on, for people.
    pub subject: String,
    /// `queued`, `running`, `succeeded`, `warnings`, `failed` or `cancelled`.
    #[schema(value_type = String)]
    pub state: OperationState,
    /// True in the last four.
    pub done: bool,
    /// How often it was claimed.
    pub attempt: u32,
    /// Where it stands.
    pub progress: OperationProgress,
    /// When it was asked for.
    #[schema(value_type = String)]
    pub created: Timestamp,
    /// When it ended.
    #[schema(value_type = Option<String>)]
    pub finished: Option<Timestamp>,
    /// Why it failed.
    pub error: Option<Problem>,
    /// What came out: `{"version": id}`, a restore report, or a verification report. A list of operations has a summary where that is
    /// large: figures, and the first items of each list.
    pub result: Option<serde_json::Value>,
    /// What `result` lacks where it is only a summary, and where the whole is; for people.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub result_cut: Option<String>,
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
