//! Requests and answers of the REST API, version 1. The server and the command line share these types.
//!
//! Times are RFC 3339 in UTC, sizes are bytes, 64-bit numbers that are not counts (tokens, write times) are strings.

mod cluster;
mod collection;
mod limits;
mod list;
mod operations;
mod policies;
mod problem;
mod restores;
mod sources;
mod stores;
mod versions;
mod words;

pub use cluster::{Cluster, ClusterNode};
pub use collection::{
    ChangeVersion, Collect, GcItem, GcPreview, ObjectUsage, SourceUsage, StoreUsage, Stored, VersionSize,
};
pub use limits::{LimitHours, LimitNow, Limits};
pub use list::{List, Order, Page};
pub use operations::{Operation, OperationProgress};
pub use policies::{
    ChangedPolicy, ComingRun, FailedRun, Keep, Policy, PolicyDetail, PolicyPreview, PolicyStatus, PreviewVersion,
    Protect, RemovedPolicy, Schedule,
};
pub use problem::Problem;
pub use restores::{IfExists, PlannedObject, Restore, RestorePlan};
pub use sources::{AddSource, ListenerState, Object, Source, Unconfirmed};
pub use stores::{
    AcceptStore, AcceptedStore, AddStore, ChangeStore, CheckLine, Checklist, Store, TakenOver, TakenPolicy, TakenSet,
};
pub use versions::{RepairedSet, Totals, Version, VersionDetail, VersionObject};
pub use words::{
    Action, CheckStatus, CommitMode, ListenerStatus, OperationKind, OperationState, Quality, VersionState,
};

/// Options that say nothing.
fn nothing() -> serde_json::Value {
    serde_json::Value::Object(serde_json::Map::new())
}
