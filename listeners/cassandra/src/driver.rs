//! Cassandra behind the seams [`Source`], [`RecordSource`] and [`Restorer`].

use std::{collections::BTreeSet, sync::Arc};

use async_trait::async_trait;
use object_store::ObjectStore;
use serde_json::Value;
use tidemark_catalog::{entry::Entry, keys::KeyRange};
use tidemark_gateway::{Env, causes::joined};
use tidemark_listener_core::{
    check::Line,
    failure::Failure,
    progress::ProgressSink,
    records::{ConsolidateJob, Consolidated, RecordSource},
    restorer::{RestoreControl, RestoreJob, RestorePlan, RestoreReport, Restorer, UndoCounts, UndoInstant},
    source::{Answers, Family, ListenerSpec, LiveObject, NextStep, Source, Uses},
};
use tokio_util::sync::CancellationToken;

use crate::{
    connect, describe,
    options::{self, Options},
    release::Release,
    restore::{
        job::{CqlJob, Own},
        observe::{Observed, connect_any, observe},
        plan, run, undo,
    },
    segment::KIND,
    spec::{self, CassandraSpec},
};

#[cfg(test)]
mod conformance;

/// Cassandra 4.0 to 5.0.
#[derive(Clone, Debug)]
pub struct CassandraDriver {
    env: Env,
}

impl CassandraDriver {
    /// A driver that measures clocks by this environment.
    pub fn new(env: Env) -> Self {
        Self { env }
    }
}

fn parse(spec: &Value) -> Result<CassandraSpec, Failure> {
    CassandraSpec::parse(spec).map_err(|source| Failure::new("TM-CASS-0001", joined(&source)))
}

fn describe_error(source: &describe::Error) -> Failure {
    Failure { retryable: source.is_retryable(), ..Failure::new("TM-CASS-0003", joined(source)) }
}

#[async_trait]
impl Source for CassandraDriver {
    fn kind(&self) -> &'static str {
        KIND
    }

    /// Keyspace and table.
    fn name_parts(&self) -> Option<usize> {
        Some(2)
    }

    fn validate(&self, spec: &Value) -> Result<(), Failure> {
        parse(spec).map(drop)
    }

    fn uses(&self, spec: &Value) -> Result<Uses, Failure> {
        Ok(parse(spec)?.uses())
    }

    fn validate_options(&self, options: &Value) -> Result<(), Failure> {
        Options::validate(options).map_err(|source| Failure::new("TM-CASS-0412", joined(&source)))
    }

    fn normal_options(&self, options: &Value) -> Value {
        options::normal(options)
    }

    fn undeclared(&self, policies: &[Vec<&Value>]) -> Value {
        options::undeclared(policies)
    }

    async fn check(&self, spec: &Value) -> Vec<Line> {
        match parse(spec) {
            Ok(spec) => check(&spec, &self.env).await,
            Err(error) => vec![Line::fail("specification", "source", error.message, "correct the named field")],
        }
    }

    async fn objects(&self, spec: &Value) -> Result<Vec<LiveObject>, Failure> {
        let spec = parse(spec)?;
        let session = connect_any(&spec).await.map_err(|unseen| Failure::retryable("TM-CASS-0002", unseen.why))?;
        describe::live_objects(&session).await.map_err(|e| describe_error(&e))
    }

    async fn listeners(&self, spec: &Value) -> Result<Vec<ListenerSpec>, Failure> {
        spec::listener_specs(&parse(spec)?).map_err(|source| Failure::new("TM-CASS-0004", joined(&source)))
    }

    async fn next_step(&self, store: &Arc<dyn ObjectStore>, steps: &[Answers]) -> Result<NextStep, Failure> {
        crate::capture::next_step(store, steps).await
    }

    fn family(&self) -> Family<'_> {
        Family::Records(self)
    }

    fn restorer(&self) -> &dyn Restorer {
        self
    }
}

#[async_trait]
impl RecordSource for CassandraDriver {
    async fn consolidate(&self, job: &ConsolidateJob, range: &KeyRange) -> Result<Consolidated, Failure> {
        crate::consolidate::consolidate(job, range).await
    }

    async fn verify(
        &self,
        store: &Arc<dyn ObjectStore>,
        entry: &Entry,
        progress: ProgressSink,
    ) -> Result<u64, Failure> {
        crate::verify::verify(store, entry, progress).await
    }
}

#[async_trait]
impl Restorer for CassandraDriver {
    fn validate_options(&self, options: &Value) -> Result<(), Failure> {
        Own::parse(options).map(drop)
    }

    async fn plan(&self, job: &RestoreJob) -> Result<RestorePlan, Failure> {
        plan::plan_job(&CqlJob::of(job)?).await
    }

    async fn run(
        &self,
        job: &RestoreJob,
        plan: &RestorePlan,
        control: RestoreControl,
    ) -> Result<RestoreReport, Failure> {
        run::execute::run(&CqlJob::of(job)?, plan, control).await
    }

    async fn count(
        &self,
        job: &RestoreJob,
        plan: &RestorePlan,
        progress: ProgressSink,
        cancel: CancellationToken,
    ) -> Result<Vec<UndoCounts>, Failure> {
        run::count::run(&CqlJob::of(job)?, plan, &progress, &cancel).await
    }

    async fn undo_instant(&self, job: &RestoreJob) -> Result<UndoInstant, Failure> {
        undo::instant::instant(&CqlJob::of(job)?).await
    }
}

/// Preflight of a source: the cluster, then each node that is to be captured.
async fn check(spec: &CassandraSpec, env: &Env) -> Vec<Line> {
    let contact = spec.contact.join(", ");
    let seen = observe(spec, &BTreeSet::new(), &BTreeSet::new(), env).await;
    let mut lines = match &seen {
        Ok(seen) => check_cluster(seen, &contact),
        Err(unseen) => vec![Line::fail("connect", &contact, unseen.why.clone(), unseen.hint)],
    };
    if seen.is_ok() {
        lines.extend(check_keyspaces(spec, &contact).await);
    }
    for node in &spec.nodes {
        lines.push(check_node(spec, &node.address).await);
    }
    lines
}

fn check_cluster(seen: &Observed, contact: &str) -> Vec<Line> {
    let mut lines = vec![Line::ok("connect", contact, format!("cluster {:?}", seen.cluster))];
    let versions: BTreeSet<&str> = seen.members.iter().map(|member| member.release.as_str()).collect();
    let unsupported = versions.iter().filter(|version| !Release::of(version).is_some_and(Release::is_known)).count();
    let versions = versions.into_iter().collect::<Vec<_>>().join(", ");
    lines.push(match unsupported {
        0 => Line::ok("version", contact, versions),
        _ => Line::fail("version", contact, versions, "Cassandra 4.0, 4.1 and 5.0 are supported"),
    });
    lines.push(match seen.partitioner.ends_with("Murmur3Partitioner") {
        true => Line::ok("partitioner", contact, seen.partitioner.clone()),
        false => Line::fail("partitioner", contact, seen.partitioner.clone(), "only Murmur3Partitioner is supported"),
    });
    lines.push(match seen.disagreement.len() {
        0 => Line::ok("schema-agreement", contact, "all nodes have one schema"),
        n => {
            let hint = "see nodetool describecluster: captures of nodes that disagree are refused";
            Line::warn("schema-agreement", contact, format!("{n} versions of the schema"), hint)
        }
    });
    let down: Vec<&str> = seen.nodes.iter().filter(|n| !n.up).map(|n| n.address.as_str()).collect();
    lines.push(match down.is_empty() {
        true => Line::ok("ring", contact, format!("{} nodes, all up", seen.nodes.len())),
        false => {
            Line::warn("ring", contact, format!("down: {}", down.join(", ")), "start them, or see what quality remains")
        }
    });
    lines
}

/// Replication strategies that consolidation can judge.
async fn check_keyspaces(spec: &CassandraSpec, contact: &str) -> Vec<Line> {
    let failed = |why: String, hint| vec![Line::fail("keyspaces", contact, why, hint)];
    let session = match connect_any(spec).await {
        Ok(session) => session,
        Err(unseen) => return failed(unseen.why, unseen.hint),
    };
    let names = match describe::keyspace_names(&session).await {
        Ok(names) => names,
        Err(error) => return failed(joined(&error), error.hint()),
    };
    let mut lines = Vec::new();
    for name in names.iter().filter(|name| !describe::is_system_keyspace(name)) {
        lines.push(match describe::keyspace_schema(&session, name).await {
            Ok(keyspace) => check_strategy(name, keyspace.replication.get("class").map_or("", String::as_str)),
            Err(error) => Line::fail("keyspace", name, joined(&error), error.hint()),
        });
    }
    lines
}

fn check_strategy(name: &str, class: &str) -> Line {
    let short = class.rsplit('.').next().unwrap_or(class);
    match short {
        "SimpleStrategy" | "NetworkTopologyStrategy" => Line::ok("strategy", name, short),
        _ => {
            let hint = "only SimpleStrategy and NetworkTopologyStrategy can be captured; leave the keyspace out";
            Line::warn("strategy", name, format!("{short} is not supported"), hint)
        }
    }
}

async fn check_node(spec: &CassandraSpec, address: &str) -> Line {
    let credentials = match connect::credentials(spec) {
        Ok(credentials) => credentials,
        Err(error) => return Line::fail("node", address, joined(&error), error.hint()),
    };
    match connect::connect_node(address, credentials.as_ref()).await {
        Ok(_) => Line::ok("node", address, "reachable"),
        Err(error) => Line::fail("node", address, joined(&error), error.hint()),
    }
}
