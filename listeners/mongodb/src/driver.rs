//! MongoDB behind the seams [`Source`], [`RecordSource`] and [`Restorer`].

use std::sync::Arc;

use async_trait::async_trait;
use object_store::ObjectStore;
use serde_json::Value;
use tidemark_catalog::{entry::Entry, ids::ObjectName, keys::KeyRange};
use tidemark_gateway::{Env, causes::joined};
use tidemark_listener_core::{
    check::Line,
    failure::Failure,
    progress::ProgressSink,
    records::{ConsolidateJob, Consolidated, RecordSource},
    restorer::Restorer,
    source::{Family, ListenerSpec, LiveObject, Source, Uses},
};

use crate::{
    codes::{CONNECT, CREDENTIALS, DESCRIBE, SPECIFICATION},
    connect::Server,
    consolidate, describe,
    options::PolicyOptions,
    preflight,
    restore::MongoRestorer,
    segment::KIND,
    spec::MongoSpec,
    verify,
};

#[cfg(test)]
mod conformance;

/// MongoDB 6.0 to 8.x.
#[derive(Clone, Debug)]
pub struct MongoDriver {
    env: Env,
}

impl MongoDriver {
    /// A driver that measures clocks by this environment.
    pub fn new(env: Env) -> Self {
        Self { env }
    }
}

fn parse(spec: &Value) -> Result<MongoSpec, Failure> {
    MongoSpec::parse(spec).map_err(|source| Failure::new(SPECIFICATION, joined(&source)))
}

#[async_trait]
impl Source for MongoDriver {
    fn kind(&self) -> &'static str {
        KIND
    }

    fn validate(&self, spec: &Value) -> Result<(), Failure> {
        parse(spec).map(drop)
    }

    fn uses(&self, spec: &Value) -> Result<Uses, Failure> {
        Ok(parse(spec)?.uses())
    }

    fn validate_options(&self, options: &Value) -> Result<(), Failure> {
        PolicyOptions::read(options).map(drop)
    }

    async fn check(&self, spec: &Value) -> Vec<Line> {
        let spec = match parse(spec) {
            Ok(spec) => spec,
            Err(error) => return vec![Line::fail("specification", "source", error.message, "correct the named field")],
        };
        let servers = Server::of(&spec).and_then(|server| Ok((server, Server::each(&spec)?)));
        let mut lines = match servers {
            Ok((server, each)) => preflight::lines(&spec, &server, &server, &each, &self.env).await,
            Err(error) => return vec![Line::fail("connect", &spec.place(), joined(&error), error.hint())],
        };
        if spec.heartbeat.is_none() {
            let words = "no heartbeat collection: listeners write nothing";
            lines.push(Line::ok("heartbeat", &spec.place(), words));
        }
        lines
    }

    async fn objects(&self, spec: &Value) -> Result<Vec<LiveObject>, Failure> {
        let spec = parse(spec)?;
        let heartbeat = spec.heartbeat().ok().flatten();
        let server = Server::of(&spec).map_err(|error| error.coded(CONNECT))?;
        let all = describe::collections(&server).await.map_err(|error| error.coded(DESCRIBE))?;
        let captured = all.into_iter().filter(|listed| Some(&listed.namespace) != heartbeat.as_ref());
        let mut live = captured.map(|listed| live(&listed)).collect::<Result<Vec<_>, _>>()?;
        live.sort_by(|a, b| a.object.cmp(&b.object));
        Ok(live)
    }

    async fn listeners(&self, spec: &Value) -> Result<Vec<ListenerSpec>, Failure> {
        parse(spec)?.listeners().map_err(|error| error.coded(CREDENTIALS))
    }

    fn family(&self) -> Family<'_> {
        Family::Records(self)
    }

    fn restorer(&self) -> &dyn Restorer {
        &MongoRestorer
    }
}

fn live(listed: &describe::Listed) -> Result<LiveObject, Failure> {
    let name = [listed.namespace.database.as_str(), listed.namespace.collection.as_str()];
    let object = ObjectName::new(name).map_err(|error| Failure::new(DESCRIBE, joined(&error)))?;
    let unsupported = listed.unsupported().map(str::to_owned);
    let note = unsupported.clone().or_else(|| listed.is_view().then(|| "a view: its definition".to_owned()));
    Ok(LiveObject { object, object_id: listed.uuid.clone(), supported: unsupported.is_none(), note })
}

#[async_trait]
impl RecordSource for MongoDriver {
    async fn consolidate(&self, job: &ConsolidateJob, range: &KeyRange) -> Result<Consolidated, Failure> {
        consolidate::part(job, range).await
    }

    async fn verify(
        &self,
        store: &Arc<dyn ObjectStore>,
        entry: &Entry,
        progress: ProgressSink,
    ) -> Result<u64, Failure> {
        verify::entry(store, entry, progress).await
    }
}
