//! Errors.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

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
    /// Where this server explains the code: what happened, what is safe, what to do.
    pub doc: Option<String>,
}
