//! Progress of long work, reported through a cheap shared handle.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

/// Where long work stands.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Progress {
    /// What is being done, a short phrase: `snapshot`, `upload`, `consolidate ks/orders`, `restore ks/orders`.
    pub phase: String,
    /// Units done; the unit belongs to the phase (bytes or rows).
    pub done: u64,
    /// Units in all, 0 while unknown.
    pub total: u64,
    /// `bytes` or `rows`.
    pub unit: String,
}

/// Receives progress; calls are cheap and may come from any thread.
pub type ProgressSink = Arc<dyn Fn(Progress) + Send + Sync>;

/// A sink that drops everything.
pub fn silent() -> ProgressSink {
    Arc::new(|_| {})
}
