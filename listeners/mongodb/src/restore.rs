//! Restores: documents are inserted as they are stored, read back and compared byte by byte; then indexes are made.
//!
//! Collections come in the order of their names, views behind all collections. A target is new or empty: the source
//! knows no write times by which two states could be merged. An insert that is done again finds its own document and
//! compares it.

mod indexes;
mod pieces;
mod plan;
mod run;
mod target;

use async_trait::async_trait;
use serde_json::Value;
use tidemark_gateway::causes::joined;
use tidemark_listener_core::{
    failure::Failure,
    restorer::{RestoreControl, RestoreJob, RestorePlan, RestoreReport, Restorer},
};

use crate::{
    codes::{CONNECT, SPECIFICATION},
    connect::Server,
    options::RestoreOptions,
    set,
    spec::MongoSpec,
};

/// Restores to MongoDB.
#[derive(Clone, Copy, Debug)]
pub struct MongoRestorer;

#[async_trait]
impl Restorer for MongoRestorer {
    fn validate_options(&self, options: &Value) -> Result<(), Failure> {
        RestoreOptions::read(options).map(drop)
    }

    async fn plan(&self, job: &RestoreJob) -> Result<RestorePlan, Failure> {
        plan::of(job).await
    }

    async fn run(
        &self,
        job: &RestoreJob,
        plan: &RestorePlan,
        control: RestoreControl,
    ) -> Result<RestoreReport, Failure> {
        run::run(job, plan, &control).await
    }
}

/// The destination of a job, which answers and is of the set that is named.
async fn destination(job: &RestoreJob) -> Result<Server, Failure> {
    let spec = MongoSpec::parse(&job.destination).map_err(|error| Failure::new(SPECIFICATION, joined(&error)))?;
    let server = Server::of(&spec).map_err(|error| error.coded(CONNECT))?;
    set::prove(&server, &spec).await?;
    Ok(server)
}

#[cfg(test)]
mod tests;
