//! A restore where the destination's bytes lie: its listeners do it, each a share, and their reports are added up.
//!
//! An answer is checkpointed; a listener that has answered is asked no more by a later run of the task. All others are asked again
//! with the same task, so that they go on where they stood.

use std::{collections::BTreeMap, sync::Arc};

use futures::{FutureExt as _, future::join_all};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use tidemark_catalog::{document, ids::SourceId, stored::StoredRef};
use tidemark_listener_core::{
    assignment::{Assignment, Restore, Work},
    progress::ProgressSink,
    restorer::{HostWork, RestoreReport},
};

use super::Prepared;
use crate::{
    executors::Executors,
    failure::{self, Away, Failure},
    listeners::{Stop, Sum, Target, own},
    stores::ListenerStore,
    tasks::TaskContext,
};

/// Part of the checkpoint that holds the answers.
const PART: &str = "hosts";

/// Part of the checkpoint that holds the shares of the first run.
const SHARES: &str = "shares";

/// References of reports, by listener.
type Answers = BTreeMap<String, StoredRef>;

/// What the shares have in common.
struct Together<'a> {
    with: &'a Executors,
    context: &'a TaskContext,
    destination: SourceId,
    repository: String,
    store: ListenerStore,
    total: Arc<Sum>,
}

/// A share as it was given out first.
#[derive(PartialEq, Serialize, Deserialize)]
struct Share {
    listener: String,
    ask: Value,
}

/// Refuses shares that are none, or others than those of the task's first run: what has been answered then would stand for them.
async fn require_same(works: &[HostWork], context: &TaskContext) -> Result<(), Failure> {
    let now: Vec<Share> =
        works.iter().map(|work| Share { listener: work.listener.id.clone(), ask: work.ask.clone() }).collect();
    if now.is_empty() {
        return Err(Failure::permanent("TM-REST-0106", "the destination names no listeners, which are to restore")
            .with_hint("add its listeners to the specification of the destination"));
    }
    match context.checkpoints.load::<Vec<Share>>(SHARES).await? {
        None => Ok(context.checkpoints.save(SHARES, &now).await?),
        Some(first) if first == now => Ok(()),
        Some(_) => Err(Failure::permanent(
            "TM-REST-0106",
            "the destination's listeners are others than when the restore began",
        )
        .with_hint("start the restore again")),
    }
}

/// Has every listener do its share; the sum of their reports.
///
/// # Errors
/// Where a listener fails, the first that does; those that are done stay so.
pub(super) async fn run(
    with: &Executors,
    prepared: &Prepared,
    works: Vec<HostWork>,
    context: &TaskContext,
) -> Result<RestoreReport, Failure> {
    with.stores.reach(&prepared.store(), context.token).await?;
    let together = Together {
        with,
        context,
        destination: prepared.destination.clone(),
        repository: prepared.store.record.repository.clone(),
        store: with.stores.listener_store(&prepared.store.record)?,
        total: Arc::new(Sum::new("restore", "bytes", Arc::clone(&context.progress))),
    };
    require_same(&works, context).await?;
    let mut answers: Answers = context.checkpoints.load(PART).await?.unwrap_or_default();
    let open: Vec<_> = works.into_iter().filter(|work| !answers.contains_key(&work.listener.id)).collect();
    let asked = join_all(open.iter().map(|work| together.restore(work).boxed())).await;
    let asked = open.iter().map(|work| work.listener.id.clone()).zip(asked).collect();
    let folder = own::Folder { source: &together.destination, task: &context.task.id };
    let mut failed = None;
    for (listener, answer) in own::only_own(folder, asked, std::slice::from_ref(&answers)) {
        match answer {
            Ok(answer) => drop(answers.insert(listener, answer)),
            Err(failure) => failed = failed.or(Some(failure)),
        }
    }
    context.checkpoints.save(PART, &answers).await?;
    match failed {
        Some(failure) => Err(failure),
        None => sum(prepared, &answers).await,
    }
}

async fn sum(prepared: &Prepared, answers: &Answers) -> Result<RestoreReport, Failure> {
    let mut sum = RestoreReport::default();
    for answer in answers.values() {
        let report = document::read::<RestoreReport>(&prepared.job.store, answer).await;
        sum.add(report.map_err(|error| failure::catalog::store("TM-REST-0105", &error, error.is_retryable()))?);
    }
    Ok(sum)
}

impl Together<'_> {
    async fn restore(&self, work: &HostWork) -> Result<StoredRef, Failure> {
        let (source, spec, store) = (self.destination.clone(), work.listener.clone(), Some(self.store.clone()));
        let (id, total) = (spec.id.clone(), Arc::clone(&self.total));
        let progress: ProgressSink = Arc::new(move |progress| total.report(&id, progress));
        let stop = Stop { now: self.context.cancel.clone(), over: self.context.over.clone() };
        let target = Target { source, spec, store };
        let done = self.with.listeners.work(&target, self.assignment(work), progress, stop).await;
        // A listener that is away is one of the destination here.
        done.map_err(|failure| Failure { away: failure.away.map(destination), ..failure })
    }

    /// The assignment of the n-th try.
    fn assignment<'s>(&'s self, work: &'s HostWork) -> impl Fn(u32) -> Assignment + Send + Sync + 's {
        let (task, token) = (&self.context.task.id, self.context.token);
        move |attempt| Assignment {
            id: format!("{task}-{token}-restore-{}-{attempt}", work.listener.id),
            source: self.destination.clone(),
            task: task.clone(),
            token,
            needs: Vec::new(),
            repository: self.repository.clone(),
            work: Work::Restore(Restore { ask: work.ask.clone() }),
        }
    }
}

fn destination(away: Away) -> Away {
    if away == Away::Source { Away::Destination } else { away }
}
