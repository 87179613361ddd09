//! Restore by CQL: the rows of a version, live now, into a keyspace and topology of any shape.

mod builds;
pub mod checkpoint;
pub(crate) mod chosen;
pub mod count;
mod counters;
pub mod cql;
pub mod decide;
pub mod execute;
pub mod feed;
pub mod fit;
pub mod functions;
mod lists;
pub(crate) mod load;
pub mod made;
mod merged;
pub mod objects;
pub mod observe;
pub mod older;
pub(crate) mod ordered;
pub mod pipeline;
pub(crate) mod raw;
pub mod refusals;
mod renamed;
pub mod shapes;
pub mod size;
pub mod statements;
pub mod target;
pub mod ttl;
mod undone;
pub(crate) mod verified;
pub mod writes;

use std::collections::BTreeSet;

use tidemark_gateway::causes::chain;
use tidemark_listener_core::driver::{Error, RestoreJob, RestorePlan};

use crate::{spec::CassandraSpec, undo};
use decide::{Wanted, target_of};
use observe::observe;

#[cfg(test)]
pub(crate) mod samples;

/// Looks at what is asked for and at the destination, and decides.
///
/// # Errors
/// `TM-REST-0101` where the destination's specification is wrong. Whatever else is wrong is a check of the plan.
pub async fn plan_job(job: &RestoreJob) -> Result<RestorePlan, Error> {
    let spec = CassandraSpec::parse(&job.destination).map_err(|e| Error::new("TM-REST-0101", chain(&e)))?;
    let (mut wanted, mut refused) = (Vec::new(), Vec::new());
    for line in &job.lines {
        let schema = match &line.entry {
            Some(reference) => objects::entry(&job.store, reference).await.map_err(|e| e.message),
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
