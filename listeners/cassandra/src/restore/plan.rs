//! What a restore is going to do, decided before anything is written: the checks, the statements and the objects of its plan.
//!
//! [`plan_job`] looks at the version and the destination, [`decide`] decides from what was seen, alone and in a fixed order. Of
//! the decision, `existing` judges tables that are there, `release` and `functions` what the destination can hold, and `fit` compares
//! schemas.

pub mod decide;
mod existing;
pub mod fit;
mod functions;
mod release;

use std::collections::BTreeSet;

use tidemark_gateway::causes::joined;
use tidemark_listener_core::{failure::Failure, restorer::RestorePlan};
use tidemark_records::restore::objects::entry;

use self::decide::{Wanted, target_of};
use crate::{
    restore::job::CqlJob,
    restore::{chosen, observe::observe, pieces::objects, undo},
    spec::CassandraSpec,
};

/// Looks at what is asked for and at the destination, and decides.
///
/// # Errors
/// `TM-REST-0101` where the destination's specification is wrong. Whatever else is wrong is a check of the plan.
pub async fn plan_job(job: &CqlJob) -> Result<RestorePlan, Failure> {
    let spec = CassandraSpec::parse(&job.destination).map_err(|e| Failure::new("TM-REST-0101", joined(&e)))?;
    let (mut wanted, mut refused) = (Vec::new(), Vec::new());
    for line in &job.lines {
        let schema = match &line.entry {
            Some(reference) => entry(&job.store, reference).await.map_err(|e| e.message),
            None => Err("the version holds no entry of it".to_owned()),
        };
        refused.extend(schema.as_ref().ok().and_then(|entry| chosen::check(job, line, entry)));
        wanted.push(Wanted {
            line,
            schema: schema.and_then(|entry| objects::schema_of(&entry)).map(|schema| schema.keyspace),
        });
    }
    let targets: BTreeSet<(String, String)> =
        job.lines.iter().filter_map(|line| target_of(&line.object, &job.options)).collect();
    let keyspaces = targets.iter().map(|(keyspace, _)| keyspace.clone()).collect();
    let seen = observe(&spec, &keyspaces, &targets, &job.env).await;
    let mut plan = decide::decide(&wanted, &job.options, &spec.contact.join(", "), &seen);
    plan.checks.extend(refused);
    if plan.undoes() {
        plan.checks.push(undo::instant::check(job).await);
    }
    Ok(plan)
}
