//! Claims of a process that missed that the generation rose, over a coordinator that tells it an older one.

use std::{sync::Arc, time::Duration};

use async_trait::async_trait;
use serde_json::json;
use tidemark_gateway::Env;

use super::{super::claim::Claim, bench, submit};
use crate::{
    coordinator::{self, Cmp, Coordinator, Kv, Lease, Op, Outcome, Revision, Watch, embedded::Embedded},
    tasks::{State, Tasks},
};

/// A handle of a process that knows the generation of the time when it began.
struct Behind(Embedded, u64);

#[async_trait]
impl Coordinator for Behind {
    fn generation(&self) -> u64 {
        self.1
    }

    fn opening(&self) -> &str {
        self.0.opening()
    }

    async fn raise_generation(&self, to: u64) -> Result<(), coordinator::Error> {
        self.0.raise_generation(to).await
    }

    async fn get(&self, key: &str) -> Result<Option<Kv>, coordinator::Error> {
        self.0.get(key).await
    }

    async fn list(
        &self,
        prefix: &str,
        limit: usize,
        after: Option<&str>,
    ) -> Result<(Vec<Kv>, Revision), coordinator::Error> {
        self.0.list(prefix, limit, after).await
    }

    async fn txn(&self, when: Vec<Cmp>, then: Vec<Op>, otherwise: Vec<Op>) -> Result<Outcome, coordinator::Error> {
        self.0.txn(when, then, otherwise).await
    }

    async fn watch(&self, prefix: &str, from: Revision) -> Result<Watch, coordinator::Error> {
        self.0.watch(prefix, from).await
    }

    async fn lease(&self, ttl: Duration) -> Result<Lease, coordinator::Error> {
        self.0.lease(ttl).await
    }
}

#[tokio::test]
async fn a_process_of_an_older_generation_cannot_claim_after_a_newer_one_opened() {
    let bench = bench();
    let task = bench.tasks.submit(submit(json!({})), "key").await.unwrap();
    let older = Tasks::new(Arc::new(Behind(bench.coordinator.clone(), 0)), Env::system());
    bench.coordinator.raise_generation(1).await.unwrap();
    let lease = bench.coordinator.lease(Duration::from_secs(10)).await.unwrap();
    assert!(Claim::take(&older, &task.id, lease.id(), "older").await.unwrap().is_none());
    let left = bench.tasks.get(&task.id).await.unwrap().unwrap().task;
    assert_eq!((left.state, left.attempt), (State::Queued, 0));
    let (claim, _) = Claim::take(&bench.tasks, &task.id, lease.id(), "newer").await.unwrap().unwrap();
    assert_eq!(claim.token().generation, 1);
}
