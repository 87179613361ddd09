//! The seam `Listener` for one Cassandra node.

use std::sync::Arc;

use async_trait::async_trait;
use tidemark_catalog::stored::StoredRef;
use tidemark_gateway::Env;
use tidemark_listener_core::{
    assignment::{Assignment, Capture, CheckRequest},
    check,
    failure::Failure,
    listener::Listener,
    needs,
    progress::ProgressSink,
};
use tokio_util::sync::CancellationToken;

use super::{
    checks,
    error::Error,
    node::{Config, Node},
    run::Run,
};

/// Captures one Cassandra node.
pub struct CassandraListener(Node);

impl CassandraListener {
    /// A listener for the node of `config`; nothing is asked of it yet.
    pub fn new(config: Config, env: Env) -> Self {
        Self(Node::new(config, env))
    }
}

#[async_trait]
impl Listener for CassandraListener {
    fn features(&self) -> &'static [&'static str] {
        &[needs::EXCLUDES]
    }

    async fn check(&self, request: &CheckRequest) -> Vec<check::Line> {
        checks::run(&self.0, request).await
    }

    async fn capture(
        &self,
        assignment: &Assignment<Capture>,
        progress: ProgressSink,
        cancel: CancellationToken,
    ) -> Result<StoredRef, Failure> {
        let nodetool = self.0.nodetool.telling(Arc::clone(&progress));
        let run = Run { node: &self.0, assignment, nodetool, progress };
        let outcome = cancel.run_until_cancelled(run.step()).await.unwrap_or(Err(Error::Cancelled));
        if outcome.as_ref().is_err_and(Error::ends_task) {
            run.give_back().await;
        }
        Ok(outcome?)
    }
}
