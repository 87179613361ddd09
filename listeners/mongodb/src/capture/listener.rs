//! The seam `Listener` for a deployment or one of its members.

use async_trait::async_trait;
use tidemark_catalog::stored::StoredRef;
use tidemark_gateway::causes::joined;
use tidemark_listener_core::{
    assignment::{Assignment, Capture, CheckRequest},
    check::{self, Line},
    failure::Failure,
    listener::Listener,
    needs,
    process::Start,
    progress::ProgressSink,
    ship::Stage,
};
use tokio_util::sync::CancellationToken;

use super::{beat::Beat, journal::Journal, names::Chosen, run};
use crate::{
    codes::{CAPTURE, CONNECT, SPECIFICATION},
    connect::{Credentials, Server},
    preflight, set,
    spec::{MongoSpec, WHOLE, member_id},
};

/// What a listener is started with.
#[derive(Clone, Debug)]
pub struct Config {
    /// The deployment, without credentials.
    pub spec: MongoSpec,
    /// The member that is read; all that can be where absent.
    pub member: Option<String>,
    /// Who asks.
    pub credentials: Option<Credentials>,
}

/// Captures a deployment through one of its members, or through all.
pub struct MongoListener {
    config: Config,
    start: Start,
}

impl MongoListener {
    /// A listener; nothing is asked of its deployment yet.
    pub fn new(config: Config, start: Start) -> Self {
        Self { config, start }
    }

    fn partition(&self) -> String {
        self.config.member.as_deref().map_or_else(|| WHOLE.to_owned(), member_id)
    }

    /// The deployment, and what is read of it.
    fn servers(&self) -> Result<(Server, Server), Failure> {
        let Config { spec, member, credentials } = &self.config;
        let open = |member| Server::open(spec, credentials.clone(), member).map_err(|error| error.coded(CONNECT));
        let whole = open(None)?;
        let read = if member.is_some() { open(member.as_deref())? } else { whole.clone() };
        Ok((whole, read))
    }

    async fn ship(&self, assignment: &Assignment<Capture>, progress: &ProgressSink) -> Result<StoredRef, Failure> {
        let (store, partition) = (self.start.access.open(&self.start.env)?, self.partition());
        let stage = Stage::new(store.clone(), assignment, &partition);
        if let Some(slice) = stage.done().await? {
            return Ok(slice);
        }
        let patterns =
            assignment.work.patterns().map_err(|error| Failure::new(CAPTURE, format!("objects: {error}")))?;
        let heartbeat = self.config.spec.heartbeat().map_err(|error| Failure::new(SPECIFICATION, joined(&error)))?;
        let (whole, read) = self.servers()?;
        for server in [&whole, &read] {
            set::prove(server, &self.config.spec).await?;
        }
        let capture = run::Capture {
            whole: &whole,
            read: &read,
            journal: &Journal::new(store, assignment, &partition),
            stage: &stage,
            chosen: &Chosen::new(patterns, heartbeat.clone()),
            beat: Beat { whole: &whole, heartbeat: heartbeat.as_ref(), env: &self.start.env, progress },
            env: &self.start.env,
            progress,
        };
        capture.run().await
    }
}

#[async_trait]
impl Listener for MongoListener {
    fn features(&self) -> &'static [&'static str] {
        &[needs::EXCLUDES]
    }

    async fn check(&self, request: &CheckRequest) -> Vec<Line> {
        let mut lines = match self.servers() {
            Ok((whole, read)) => preflight::lines(&self.config.spec, &whole, &read, &[], &self.start.env).await,
            Err(failure) => {
                vec![Line::fail("connect", "source", failure.message, failure.hint.as_deref().unwrap_or_default())]
            }
        };
        if request.store {
            let subject = self.partition();
            lines.extend(check::store::lines(&self.start.access, &self.start.source, &subject, &self.start.env).await);
        }
        lines
    }

    async fn capture(
        &self,
        assignment: &Assignment<Capture>,
        progress: ProgressSink,
        cancel: CancellationToken,
    ) -> Result<StoredRef, Failure> {
        // Nothing is held at the source: there is nothing to give back.
        if assignment.work.step.over {
            return Err(Failure::cancelled());
        }
        let shipped = cancel.run_until_cancelled(self.ship(assignment, &progress)).await;
        shipped.unwrap_or_else(|| Err(Failure::cancelled()))
    }
}
