//! Answers the REST API.
//!
//! Registrations and tasks are in the coordinator; versions are read from the stores alone, each time. Secrets never arrive
//! here: stores and sources name where their credentials are.

mod operations;
mod policies;
mod problems;
mod sources;
mod stores;
mod versions;

use std::{sync::Arc, time::Duration};

use async_trait::async_trait;
use serde_json::json;
use tidemark_web::{
    api::{
        AddSource, AddStore, Checklist, Object, Operation, Policy, Problem, Protect, Restore, RestorePlan, Source,
        Store, Version, VersionDetail,
    },
    control::ControlApi,
};

use crate::{
    coordinator::Coordinator,
    executors::Executors,
    registrations::Registrations,
    restore_task::{self, RestoreSpec},
    tasks::{Failure, Kind, Submit, Tasks},
    verify_task::VerifySpec,
};
use problems::answer;

/// Code of a version whose manifest, or the one before it, is damaged.
const CHAIN_UNREADABLE: &str = "TM-CAT-0001";

/// Longest wait of one request for an operation, s.
const MAX_WAIT_SECONDS: u64 = 300;

/// The answers to the API; a cheap handle.
#[derive(Clone)]
pub struct Api {
    with: Executors,
    tasks: Tasks,
    coordinator: Arc<dyn Coordinator>,
}

impl Api {
    /// Answers from these.
    pub fn new(with: Executors, tasks: Tasks, coordinator: Arc<dyn Coordinator>) -> Self {
        Self { with, tasks, coordinator }
    }

    fn registrations(&self) -> &Registrations {
        &self.with.registrations
    }

    async fn submit(&self, submit: Submit, key: &str) -> Result<Operation, Problem> {
        let task = self.tasks.submit(submit, key).await.map_err(answer)?;
        let status = self.tasks.get(&task.id).await.map_err(answer)?;
        status.map(operations::show).ok_or_else(|| problems::unknown_operation(task.id.as_str()))
    }

    /// Plans before it records anything: what is refused then leaves no operation behind. A key that was used before is not
    /// planned again, because its own run may have begun to fill the destination.
    async fn submit_restore(&self, restore: Restore, key: &str) -> Result<Operation, Problem> {
        let submit = Submit {
            kind: Kind::Restore,
            subject: format!("{} to {}", restore.version, restore.to),
            body: json!({"restore": restore}),
            spec: json!(RestoreSpec { restore: restore.clone() }),
            exclusive: Some(format!("restore/{}", restore.to)),
        };
        if self.tasks.earlier(&submit, key).await.map_err(answer)?.is_none() {
            let prepared = restore_task::prepare(&self.with, &restore).await.map_err(answer)?;
            restore_task::refuse_failed(&prepared.plan().await.map_err(answer)?).map_err(answer)?;
        }
        self.submit(submit, key).await
    }
}

fn is_damage(failure: &Failure) -> bool {
    failure.code == CHAIN_UNREADABLE && !failure.retryable
}

#[async_trait]
impl ControlApi for Api {
    async fn add_store(&self, request: AddStore) -> Result<Store, Problem> {
        stores::add(self, request).await
    }

    async fn stores(&self) -> Result<Vec<Store>, Problem> {
        stores::list(self).await
    }

    async fn test_store(&self, name: &str) -> Result<Checklist, Problem> {
        stores::test(self, name).await
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

    async fn test_source(&self, name: &str) -> Result<Checklist, Problem> {
        sources::test(self, name).await
    }

    async fn objects(&self, source: &str) -> Result<Vec<Object>, Problem> {
        sources::objects(self, source).await
    }

    async fn add_policy(&self, policy: Policy) -> Result<Policy, Problem> {
        policies::add(self, policy).await
    }

    async fn policies(&self) -> Result<Vec<Policy>, Problem> {
        policies::list(self).await
    }

    async fn run_policy(&self, name: &str, key: &str) -> Result<Operation, Problem> {
        let policy = policies::one(self, name).await?;
        self.submit(policies::run(policy, json!({"run": name})), key).await
    }

    async fn protect(&self, request: Protect, key: &str) -> Result<Operation, Problem> {
        let body = json!({"protect": request.policy});
        let policy = policies::add(self, request.policy).await?;
        self.submit(policies::run(policy, body), key).await
    }

    async fn versions(&self, source: Option<&str>, policy: Option<&str>) -> Result<Vec<Version>, Problem> {
        versions::list(self, source, policy).await
    }

    async fn version(&self, id: &str) -> Result<VersionDetail, Problem> {
        versions::one(self, id).await
    }

    async fn verify_version(&self, id: &str, key: &str) -> Result<Operation, Problem> {
        let found = self.with.version(id).await.map(drop);
        // Damage is what the operation is there to find.
        found.or_else(|failure| if is_damage(&failure) { Ok(()) } else { Err(answer(failure)) })?;
        let submit = Submit {
            kind: Kind::Verify,
            subject: id.to_owned(),
            body: json!({"verify": id}),
            spec: json!(VerifySpec { version: id.to_owned() }),
            exclusive: None,
        };
        self.submit(submit, key).await
    }

    async fn plan_restore(&self, request: Restore) -> Result<RestorePlan, Problem> {
        let prepared = restore_task::prepare(&self.with, &request).await.map_err(answer)?;
        let plan = prepared.plan().await.map_err(answer)?;
        Ok(versions::show_plan(&request.version, plan))
    }

    async fn restore(&self, request: Restore, key: &str) -> Result<Operation, Problem> {
        self.submit_restore(request, key).await
    }

    async fn operations(&self) -> Result<Vec<Operation>, Problem> {
        let tasks = self.tasks.list().await.map_err(answer)?;
        Ok(tasks.into_iter().map(operations::show).collect())
    }

    async fn operation(&self, id: &str, wait_seconds: u64) -> Result<Operation, Problem> {
        let task = operations::parse_id(id)?;
        let bound = Duration::from_secs(wait_seconds.min(MAX_WAIT_SECONDS));
        let found = if bound.is_zero() { self.tasks.get(&task).await } else { self.tasks.wait(&task, bound).await };
        found.map_err(answer)?.map(operations::show).ok_or_else(|| problems::unknown_operation(id))
    }

    async fn cancel_operation(&self, id: &str) -> Result<Operation, Problem> {
        let found = self.tasks.cancel(&operations::parse_id(id)?).await.map_err(answer)?;
        found.map(operations::show).ok_or_else(|| problems::unknown_operation(id))
    }
}
