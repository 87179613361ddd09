//! What an undo would do, table by table: reading and comparing without writing.

use std::{collections::BTreeSet, sync::Arc};

use scylla::{client::session::Session, statement::Consistency};
use tidemark_gateway::causes::joined;
use tidemark_listener_core::{
    failure::Failure,
    progress::ProgressSink,
    restorer::{Action, PlannedObject, RestorePlan, UndoCounts},
};
use tidemark_records::restore::objects::entry;
use tokio_util::sync::CancellationToken;

use crate::{
    connect,
    restore::job::CqlJob,
    restore::undo::{self, UndoObject},
    restore::{
        observe::{Observed, Unseen, observe},
        schema::known::first_lacking,
        write::target::Level,
    },
    spec::CassandraSpec,
};

/// Counts for the objects that a plan undoes, in its order.
///
/// # Errors
/// `TM-UNDO-0005` where a column was dropped since; as the version or the destination cannot be read; [`Failure::cancelled`].
pub async fn run(
    job: &CqlJob,
    plan: &RestorePlan,
    progress: &ProgressSink,
    cancel: &CancellationToken,
) -> Result<Vec<UndoCounts>, Failure> {
    let spec = CassandraSpec::parse(&job.destination).map_err(|e| Failure::new("TM-REST-0101", joined(&e)))?;
    let targets: BTreeSet<(String, String)> = plan.objects.iter().filter_map(parts).collect();
    let keyspaces = targets.iter().map(|(keyspace, _)| keyspace.clone()).collect();
    let seen = observe(&spec, &keyspaces, &targets, &job.env).await;
    let seen = seen.map_err(Unseen::into_error)?;
    refuse_dropped(plan, &seen)?;
    let session = connect::connect(&spec, &keyspaces).await;
    let session =
        session.map_err(|e| Failure { retryable: e.is_retryable(), ..Failure::new("TM-REST-0202", joined(&e)) })?;
    let counting = Counting { job, spec: &spec, seen: &seen, session: Arc::new(session), progress, cancel };
    let mut counts = Vec::new();
    for planned in plan.objects.iter().filter(|o| o.action == Action::Undo) {
        counts.push(counting.object(planned).await?);
    }
    Ok(counts)
}

/// A run adds a dropped column again before it compares; a count writes nothing, and there is no column to compare with.
fn refuse_dropped(plan: &RestorePlan, seen: &Observed) -> Result<(), Failure> {
    let Some([keyspace, table, column]) = first_lacking(&plan.schema, &seen.keyspaces) else { return Ok(()) };
    let text = format!(
        "{keyspace}/{table}: column {column:?} was dropped since and cannot be compared; a run adds it again first"
    );
    Err(Failure::new("TM-UNDO-0005", text).with_hint("add it again by hand and count anew, or run without a count"))
}

fn parts(planned: &PlannedObject) -> Option<(String, String)> {
    let [keyspace, table] = planned.target.parts() else { return None };
    Some((keyspace.clone(), table.clone()))
}

struct Counting<'a> {
    job: &'a CqlJob,
    spec: &'a CassandraSpec,
    seen: &'a Observed,
    session: Arc<Session>,
    progress: &'a ProgressSink,
    cancel: &'a CancellationToken,
}

impl Counting<'_> {
    async fn object(&self, planned: &PlannedObject) -> Result<UndoCounts, Failure> {
        if self.cancel.is_cancelled() {
            return Err(Failure::cancelled());
        }
        let entry = entry(&self.job.store, &planned.entry).await?;
        let object = UndoObject {
            job: self.job,
            spec: self.spec,
            seen: self.seen,
            session: self.session.clone(),
            // Nothing is written.
            level: Arc::new(Level::new(Consistency::All, None)),
            planned,
            entry: &entry,
            progress: self.progress.clone(),
            cancel: self.cancel.clone(),
        };
        undo::count(&object).await
    }
}
