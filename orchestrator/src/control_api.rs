//! Answers the REST API.
//!
//! Registrations and tasks are in the coordinator; versions are read from the stores alone. Secrets never arrive
//! here: stores and sources name where their credentials are.

mod changing;
mod cluster;
mod collection;
mod in_flight;
mod known;
mod limits;
mod operations;
mod policies;
mod problems;
mod restores;
mod sets;
mod sources;
mod stores;
mod versions;

use std::{sync::Arc, time::Duration};

use async_trait::async_trait;
use serde_json::{Value, json};
use tidemark_web::{
    api::{
        AcceptStore, AcceptedStore, AddSource, AddStore, ChangeStore, ChangeVersion, ChangedPolicy, Checklist, Cluster,
        Collect, ComingRun, GcPreview, List, Object, Operation, Order, Page, Policy, PolicyDetail, PolicyPreview,
        Problem, Protect, RemovedPolicy, RepairedSet, Restore, RestorePlan, Source, Store, StoreUsage, Version,
        VersionDetail, VersionSize,
    },
    control::{ControlApi, IfMatch, Tagged, VersionChange, Versions},
};

use crate::{
    coordinator::Coordinator,
    executors::{self, Executors},
    metrics::Metrics,
    registrations::Registrations,
    restore_task::{
        self,
        spec::{self, RestoreSpec},
    },
    tasks::{Kind, Submit, Tasks},
    verify_task::VerifySpec,
    version_name::VersionName,
};
use changing::Changing;
use in_flight::InFlight;
use known::Known;
pub(crate) use policies::run as policy_task;
use problems::answer;
pub(crate) use stores::take_over;

/// Longest wait of one request for an operation, s.
const MAX_WAIT_SECONDS: u64 = 300;

/// The answers to the API; a cheap handle.
#[derive(Clone)]
pub struct Api {
    with: Executors,
    coordinator: Arc<dyn Coordinator>,
    in_flight: InFlight,
    changing: Changing,
    known: Arc<Known>,
    metrics: Arc<Metrics>,
}

impl Api {
    /// Answers from these.
    pub fn new(with: Executors, coordinator: Arc<dyn Coordinator>, metrics: Arc<Metrics>) -> Self {
        let (in_flight, changing) = (InFlight::default(), Changing::default());
        Self { with, coordinator, in_flight, changing, known: Arc::default(), metrics }
    }

    /// The limits that this daemon obeys.
    #[cfg(test)]
    pub(crate) fn bounds(&self) -> &crate::limits::Bounds {
        self.with.stores.bounds()
    }

    pub(crate) fn with(&self) -> &Executors {
        &self.with
    }

    pub(crate) fn registrations(&self) -> &Registrations {
        &self.with.registrations
    }

    fn tasks(&self) -> &Tasks {
        &self.with.tasks
    }

    /// Starts the work that `prepare` comes to, unless the key did before: then nothing is prepared anew, because what a first
    /// request did may have changed what a second one would find.
    async fn start<Fut>(&self, key: &str, body: Value, prepare: Fut) -> Result<Operation, Problem>
    where
        Fut: Future<Output = Result<Submit, Problem>> + Send,
    {
        let _entered = self.in_flight.enter(key, &body)?;
        let task = match self.tasks().earlier(&body, key).await.map_err(answer)? {
            Some(task) => task,
            None => self.tasks().submit(Submit { body, ..prepare.await? }, key).await.map_err(answer)?,
        };
        let status = self.tasks().with_progress(task).await.map_err(answer)?;
        Ok(operations::show(status))
    }

    async fn prepare_run(&self, name: &str) -> Result<Submit, Problem> {
        let policy = policies::one(self, name).await?;
        self.with.source(policy.source.as_str()).await.map_err(answer)?;
        policies::require_confirmed(&policy)?;
        Ok(policies::run(policy))
    }

    async fn prepare_protect(&self, policy: Policy, consent: Option<&str>) -> Result<Submit, Problem> {
        Ok(policies::run(policies::add(self, policy, consent).await?))
    }

    /// Plans before it records anything: what is refused then leaves no operation behind.
    async fn prepare_restore(&self, restore: Restore) -> Result<Submit, Problem> {
        let restore = spec::Restore::try_from(restore)?;
        let prepared = restore_task::prepare(&self.with, &restore).await.map_err(answer)?;
        let plan = prepared.full_plan(&restore).await.map_err(answer)?;
        restore_task::refuse_failed(&plan).map_err(answer)?;
        let restore = prepared.pinned(restore);
        Ok(Submit {
            kind: Kind::Restore,
            subject: format!("{} to {}", restore.version, restore.to),
            exclusive: Some(format!("restore/{}", restore.to)),
            body: Value::Null,
            spec: json!(RestoreSpec { restore }),
        })
    }

    async fn prepare_count(&self, restore: Restore) -> Result<Submit, Problem> {
        let restore = spec::Restore::try_from(restore)?;
        let prepared = restore_task::prepare(&self.with, &restore).await.map_err(answer)?;
        restore_task::count::refuse(prepared.plan().await.map_err(answer)?).map_err(answer)?;
        let restore = prepared.pinned(restore);
        Ok(Submit {
            kind: Kind::Count,
            subject: format!("{} to {}", restore.version, restore.to),
            exclusive: None,
            body: Value::Null,
            spec: json!(RestoreSpec { restore }),
        })
    }

    async fn prepare_verify(&self, id: &str) -> Result<Submit, Problem> {
        let version = executors::version_name(id).map_err(answer)?;
        // Only that it is there: what is wrong with it is for the verification to say.
        let (store, _) = self.with.version_place(&version).await.map_err(answer)?;
        let version = VersionName { store: store.record.name.parse().ok(), ..version };
        Ok(Submit {
            kind: Kind::Verify,
            subject: version.id.to_string(),
            body: Value::Null,
            spec: json!(VerifySpec { version }),
            exclusive: None,
        })
    }
}

#[async_trait]
impl ControlApi for Api {
    async fn drain_node(&self, name: &str, drains: bool) -> Result<Cluster, Problem> {
        cluster::drain(self, name, drains).await
    }

    async fn cluster(&self) -> Result<Cluster, Problem> {
        cluster::show(self).await
    }

    async fn add_store(&self, request: AddStore) -> Result<Store, Problem> {
        stores::add(self, request).await
    }

    async fn stores(&self) -> Result<Vec<Store>, Problem> {
        stores::list(self).await
    }

    async fn store(&self, name: &str) -> Result<Tagged<Store>, Problem> {
        stores::one(self, name).await
    }

    async fn change_store(&self, name: &str, change: ChangeStore, state: &IfMatch) -> Result<Tagged<Store>, Problem> {
        stores::change(self, name, change, state).await
    }

    async fn test_store(&self, name: &str) -> Result<Checklist, Problem> {
        stores::test(self, name).await
    }

    async fn accept_store(&self, name: &str, request: AcceptStore) -> Result<AcceptedStore, Problem> {
        stores::accept(self, name, request).await
    }

    async fn add_source(&self, request: AddSource) -> Result<Source, Problem> {
        sources::add(self, request).await
    }

    async fn sources(&self) -> Result<Vec<Source>, Problem> {
        sources::list(self).await
    }

    async fn source(&self, name: &str) -> Result<Source, Problem> {
        sources::one(self, name).await
    }

    async fn confirm_source(&self, name: &str) -> Result<Source, Problem> {
        sources::confirm(self, name).await
    }

    async fn test_source(&self, name: &str) -> Result<Checklist, Problem> {
        sources::test(self, name).await
    }

    async fn objects(&self, source: &str, unprotected: bool, page: &Page) -> Result<List<Object>, Problem> {
        sources::objects(self, source, unprotected, page).await
    }

    async fn add_policy(&self, policy: Policy, consent: Option<&str>) -> Result<Policy, Problem> {
        policies::add(self, policy, consent).await.map(Policy::from)
    }

    async fn try_policy(&self, policy: Policy) -> Result<ChangedPolicy, Problem> {
        policies::try_add(self, policy).await
    }

    async fn policies(&self, page: &Page) -> Result<List<PolicyDetail>, Problem> {
        policies::list(self, page).await
    }

    async fn policy(&self, name: &str) -> Result<Tagged<PolicyDetail>, Problem> {
        policies::detail(self, name).await
    }

    async fn change_policy(
        &self,
        name: &str,
        policy: Policy,
        state: &IfMatch,
        consent: Option<&str>,
    ) -> Result<Tagged<ChangedPolicy>, Problem> {
        policies::change(self, name, policy, state, consent).await
    }

    async fn try_change(&self, name: &str, policy: Policy, state: &IfMatch) -> Result<Tagged<ChangedPolicy>, Problem> {
        policies::try_change(self, name, policy, state).await
    }

    async fn remove_policy(&self, name: &str, state: &IfMatch) -> Result<RemovedPolicy, Problem> {
        policies::remove(self, name, state).await
    }

    async fn pause_policy(&self, name: &str, paused: bool) -> Result<Tagged<PolicyDetail>, Problem> {
        policies::pause(self, name, paused).await
    }

    async fn confirm_policy(&self, name: &str, consent: Option<&str>) -> Result<Tagged<PolicyDetail>, Problem> {
        policies::confirm(self, name, consent).await
    }

    async fn coming_runs(&self, name: &str, count: usize) -> Result<List<ComingRun>, Problem> {
        policies::next(self, name, count).await
    }

    async fn preview_policy(&self, name: &str) -> Result<PolicyPreview, Problem> {
        policies::preview(self, name).await
    }

    async fn run_policy(&self, name: &str, key: &str) -> Result<Operation, Problem> {
        self.start(key, json!({"run": name}), self.prepare_run(name)).await
    }

    async fn protect(&self, request: Protect, key: &str, consent: Option<&str>) -> Result<Operation, Problem> {
        let body = json!({"protect": request.policy});
        self.start(key, body, self.prepare_protect(request.policy, consent)).await
    }

    async fn versions(&self, which: Versions<'_>, page: &Page) -> Result<List<Version>, Problem> {
        versions::list(self, which, page).await
    }

    async fn version(&self, id: &str) -> Result<VersionDetail, Problem> {
        versions::one(self, id).await
    }

    async fn verify_version(&self, id: &str, key: &str) -> Result<Operation, Problem> {
        self.start(key, json!({"verify": id}), self.prepare_verify(id)).await
    }

    async fn repair_set(&self, source: &str, set: &str, store: Option<&str>) -> Result<RepairedSet, Problem> {
        sets::repair(self, source, set, store).await
    }

    async fn plan_restore(&self, request: Restore) -> Result<RestorePlan, Problem> {
        let request = spec::Restore::try_from(request)?;
        let prepared = restore_task::prepare(&self.with, &request).await.map_err(answer)?;
        let plan = prepared.full_plan(&request).await.map_err(answer)?;
        Ok(restores::show_plan(&request.version, &prepared, plan))
    }

    async fn restore(&self, request: Restore, key: &str) -> Result<Operation, Problem> {
        self.start(key, json!({"restore": request}), self.prepare_restore(request.clone())).await
    }

    async fn count_restore(&self, request: Restore, key: &str) -> Result<Operation, Problem> {
        self.start(key, json!({"count": request}), self.prepare_count(request.clone())).await
    }

    async fn change_version(&self, id: &str, what: VersionChange, change: ChangeVersion) -> Result<Version, Problem> {
        collection::change(self, id, what, change).await
    }

    async fn version_size(&self, id: &str) -> Result<VersionSize, Problem> {
        collection::size(self, id).await
    }

    async fn store_usage(&self, name: &str) -> Result<StoreUsage, Problem> {
        collection::usage(self, name).await
    }

    async fn preview_collection(&self, store: &str, source: Option<&str>, all: bool) -> Result<GcPreview, Problem> {
        collection::preview(self, store, source, all).await
    }

    async fn collect(&self, request: Collect, key: &str) -> Result<Operation, Problem> {
        self.start(key, json!({"collect": request}), collection::submit(self, request.clone())).await
    }

    fn metrics(&self) -> String {
        self.metrics.text()
    }

    async fn operations(&self, of: Option<&str>, page: &Page) -> Result<List<Operation>, Problem> {
        let parent = of.map(operations::parse_id).transpose()?;
        if let (Some(of), Some(parent)) = (of, &parent) {
            let found = self.tasks().get(parent).await.map_err(answer)?;
            found.ok_or_else(|| problems::unknown_operation(of))?;
        }
        let mut tasks = self.tasks().list().await.map_err(answer)?;
        tasks.retain(|task| task.parent == parent);
        let List { items, next_page_token } = page.cut(tasks, Order::Descending, |task| task.id.to_string());
        let mut operations = Vec::with_capacity(items.len());
        for task in items {
            operations.push(operations::show(self.tasks().with_progress(task).await.map_err(answer)?));
        }
        Ok(List { items: operations, next_page_token })
    }

    async fn operation(&self, id: &str, wait_seconds: u64) -> Result<Operation, Problem> {
        let task = operations::parse_id(id)?;
        let bound = Duration::from_secs(wait_seconds.min(MAX_WAIT_SECONDS));
        let found = if bound.is_zero() { self.tasks().get(&task).await } else { self.tasks().wait(&task, bound).await };
        let found = found.map_err(answer)?.ok_or_else(|| problems::unknown_operation(id))?;
        Ok(operations::show_whole(&self.with.stores, found).await)
    }

    async fn cancel_operation(&self, id: &str) -> Result<Operation, Problem> {
        let found = self.tasks().cancel(&operations::parse_id(id)?).await.map_err(answer)?;
        found.map(operations::show).ok_or_else(|| problems::unknown_operation(id))
    }

    async fn resume_operation(&self, id: &str) -> Result<Operation, Problem> {
        let found = self.tasks().resume(&operations::parse_id(id)?).await.map_err(answer)?;
        found.map(operations::show).ok_or_else(|| problems::unknown_operation(id))
    }
}
