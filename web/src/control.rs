//! The seam between the API and what answers it.

use async_trait::async_trait;

use crate::api::{
    AcceptStore, AcceptedStore, AddSource, AddStore, ChangeStore, ChangeVersion, ChangedPolicy, Checklist, Cluster,
    Collect, ComingRun, GcPreview, List, Object, Operation, Page, Policy, PolicyDetail, PolicyPreview, Problem,
    Protect, RemovedPolicy, RepairedSet, Restore, RestorePlan, Source, Store, StoreUsage, Version, VersionDetail,
    VersionSize,
};

/// What becomes of a version.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum VersionChange {
    /// It is hidden, and collected after a grace.
    Expire,
    /// Its expiry is taken back, and it is held.
    Unexpire,
    /// It stays whatever rules say.
    Hold,
    /// It is held no more.
    Release,
}

/// Which versions a list has.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Versions<'a> {
    /// Of this source only.
    pub source: Option<&'a str>,
    /// Of this policy only.
    pub policy: Option<&'a str>,
    /// Expired ones too.
    pub expired: bool,
    /// Those too that were collected; nothing can be read of them but that they were there.
    pub collected: bool,
    /// Numbers too that collection took: they hold no version.
    pub fences: bool,
}

/// Something with the tag of its state.
#[derive(Clone, Debug, PartialEq)]
pub struct Tagged<T> {
    /// It.
    pub value: T,
    /// Its ETag, quotes included: another state has another one.
    pub etag: String,
}

/// The state that a change is bound to: a value of `If-Match`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IfMatch(pub String);

impl IfMatch {
    /// True where the state with this ETag is one of those meant.
    pub fn allows(&self, etag: &str) -> bool {
        self.0.split(',').map(str::trim).any(|tag| tag == "*" || tag == etag)
    }
}

/// Answers the API; implemented by the orchestrator. Errors are complete problems: status, code, detail, hint.
///
/// Work that takes long returns an [`Operation`] at once. `key` is the caller's idempotency key, kept for 24 hours: the same key
/// with the same body returns the same operation, with another body it is a problem with status 422, and while the first
/// request is still being answered one with status 409.
#[async_trait]
pub trait ControlApi: Send + Sync + 'static {
    /// The daemons that share this one's state.
    async fn cluster(&self) -> Result<Cluster, Problem>;
    /// Says whether a daemon takes new work; the cluster as it is then.
    async fn drain_node(&self, name: &str, drains: bool) -> Result<Cluster, Problem>;
    /// Registers a store after its preflight; a store with a repository in it is taken as it is, with its sources,
    /// policies and versions.
    async fn add_store(&self, request: AddStore) -> Result<Store, Problem>;
    /// Registered stores.
    async fn stores(&self) -> Result<Vec<Store>, Problem>;
    /// One store.
    async fn store(&self, name: &str) -> Result<Tagged<Store>, Problem>;
    /// Changes a store that is still in the state meant; what runs obeys its new limits at once.
    async fn change_store(&self, name: &str, change: ChangeStore, state: &IfMatch) -> Result<Tagged<Store>, Problem>;
    /// Runs the preflight of a store again.
    async fn test_store(&self, name: &str) -> Result<Checklist, Problem>;
    /// Takes a store as it is now: put back from a copy, emptied or replaced on purpose.
    async fn accept_store(&self, name: &str, request: AcceptStore) -> Result<AcceptedStore, Problem>;
    /// Registers a source.
    async fn add_source(&self, request: AddSource) -> Result<Source, Problem>;
    /// Registered sources.
    async fn sources(&self) -> Result<Vec<Source>, Problem>;
    /// One source.
    async fn source(&self, name: &str) -> Result<Source, Problem>;
    /// Takes a source that came from a store's mirror for the operator's own.
    async fn confirm_source(&self, name: &str) -> Result<Source, Problem>;
    /// Preflight of a source and its listeners.
    async fn test_source(&self, name: &str) -> Result<Checklist, Problem>;
    /// Objects of a source by name, live ones and those that only versions hold; or only the live ones that no policy names.
    async fn objects(&self, source: &str, unprotected: bool, page: &Page) -> Result<List<Object>, Problem>;
    /// Registers a policy. Where its retention lets versions go that are there, `consent` is that of the preview of
    /// [`ControlApi::try_policy`].
    async fn add_policy(&self, policy: Policy, consent: Option<&str>) -> Result<Policy, Problem>;
    /// Says which versions a policy would let go if it were registered.
    async fn try_policy(&self, policy: Policy) -> Result<ChangedPolicy, Problem>;
    /// Registered policies by name, and how they stand.
    async fn policies(&self, page: &Page) -> Result<List<PolicyDetail>, Problem>;
    /// One policy, and how it stands.
    async fn policy(&self, name: &str) -> Result<Tagged<PolicyDetail>, Problem>;
    /// Changes a policy that is still in the state meant. Where versions would go that stay now, `consent` is that of the preview of
    /// [`ControlApi::try_change`].
    async fn change_policy(
        &self,
        name: &str,
        policy: Policy,
        state: &IfMatch,
        consent: Option<&str>,
    ) -> Result<Tagged<ChangedPolicy>, Problem>;
    /// Says what the retention of a policy would let go after a change.
    async fn try_change(&self, name: &str, policy: Policy, state: &IfMatch) -> Result<Tagged<ChangedPolicy>, Problem>;
    /// Removes a policy that is still in the state meant; its versions stay.
    async fn remove_policy(&self, name: &str, state: &IfMatch) -> Result<RemovedPolicy, Problem>;
    /// Lets a policy's schedule rest, or go on.
    async fn pause_policy(&self, name: &str, paused: bool) -> Result<Tagged<PolicyDetail>, Problem>;
    /// Takes a policy that came from a store's mirror for the operator's own.
    async fn confirm_policy(&self, name: &str, consent: Option<&str>) -> Result<Tagged<PolicyDetail>, Problem>;
    /// The coming runs of a policy, at most so many.
    async fn coming_runs(&self, name: &str, count: usize) -> Result<List<ComingRun>, Problem>;
    /// What a policy's retention makes of its versions.
    async fn preview_policy(&self, name: &str) -> Result<PolicyPreview, Problem>;
    /// Runs a policy now.
    async fn run_policy(&self, name: &str, key: &str) -> Result<Operation, Problem>;
    /// Registers a policy and runs it; `consent` as for [`ControlApi::add_policy`].
    async fn protect(&self, request: Protect, key: &str, consent: Option<&str>) -> Result<Operation, Problem>;
    /// Versions in all stores by source, policy and number.
    async fn versions(&self, which: Versions<'_>, page: &Page) -> Result<List<Version>, Problem>;
    /// One version.
    async fn version(&self, id: &str) -> Result<VersionDetail, Problem>;
    /// Expires, holds or releases a version.
    async fn change_version(&self, id: &str, what: VersionChange, change: ChangeVersion) -> Result<Version, Problem>;
    /// What deleting a version would free.
    async fn version_size(&self, id: &str) -> Result<VersionSize, Problem>;
    /// What is stored of each source in a store.
    async fn store_usage(&self, name: &str) -> Result<StoreUsage, Problem>;
    /// What a collection would free; what stays too where `all`.
    async fn preview_collection(&self, store: &str, source: Option<&str>, all: bool) -> Result<GcPreview, Problem>;
    /// Frees space in a store.
    async fn collect(&self, request: Collect, key: &str) -> Result<Operation, Problem>;
    /// Reads and proves everything a version names.
    async fn verify_version(&self, id: &str, key: &str) -> Result<Operation, Problem>;
    /// Seals damage of a set's newest manifests, so that its policy can go on; `store` where several hold the set.
    async fn repair_set(&self, source: &str, set: &str, store: Option<&str>) -> Result<RepairedSet, Problem>;
    /// What a restore would do.
    async fn plan_restore(&self, request: Restore) -> Result<RestorePlan, Problem>;
    /// Counts what an undo would write.
    async fn count_restore(&self, request: Restore, key: &str) -> Result<Operation, Problem>;
    /// Restores.
    async fn restore(&self, request: Restore, key: &str) -> Result<Operation, Problem>;
    /// What Prometheus is told, in its text format 0.0.4.
    fn metrics(&self) -> String;
    /// Operations, newest first: those that are parts of `of`, or without it those that are no parts.
    async fn operations(&self, of: Option<&str>, page: &Page) -> Result<List<Operation>, Problem>;
    /// One operation; where `wait_seconds` is above 0, answers when it is done or that long has passed.
    async fn operation(&self, id: &str, wait_seconds: u64) -> Result<Operation, Problem>;
    /// Asks an operation to stop.
    async fn cancel_operation(&self, id: &str) -> Result<Operation, Problem>;
    /// Takes up an operation that failed where its checkpoint is.
    async fn resume_operation(&self, id: &str) -> Result<Operation, Problem>;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_change_is_bound_to_the_states_that_it_names() {
        let allows = |given: &str| IfMatch(given.to_owned()).allows("\"a\"");
        assert!(allows("\"a\"") && allows("\"b\", \"a\"") && allows("*"));
        assert!(!allows("\"b\"") && !allows("W/\"a\"") && !allows("a") && !allows(""));
    }
}
