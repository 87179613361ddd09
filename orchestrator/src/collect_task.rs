//! The task that frees space in a store: versions expire by their policies' rules, and what nothing needs any more is collected.
//!
//! Source by source: what an earlier run marked is swept if it has lain long enough, versions expire, staged files of committed
//! versions go, and what nothing needs is marked (`tidemark_catalog::collect`, which says why nothing is lost by that). A source
//! of which something cannot be read is left as it is, with the reason, and hinders no other. At the end go uploads that nobody will
//! end, of the whole store.
//!
//! Killed anywhere, the next run begins anew: each step is idempotent.

pub(crate) mod leftovers;
pub(crate) mod live;
pub(crate) mod periodic;
pub mod result;
mod retention;

use std::sync::Arc;

use futures::{FutureExt as _, future::BoxFuture};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use tidemark_catalog::{
    chain::Head,
    collect::{self, Collector, Fence, FenceError},
    commit::Claim,
    find,
    ids::{SetId, SourceId, StoreId},
};
use tidemark_gateway::pause;
use tidemark_listener_core::progress::Progress;

use crate::{
    executors::{Executors, spec},
    failure::{self, Failure},
    protect::seal::RunClaim,
    registrations::{POLICIES, PolicyRecord},
    stores::OpenStore,
    tasks::{Completion, Kind, Submit, TaskContext},
};
use result::{CollectResult, Freed, Marked, SourceResult};

/// What a collect task needs to know.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CollectSpec {
    /// The store.
    pub store: StoreId,
    /// The source; all that the store holds anything of where it is absent.
    pub source: Option<SourceId>,
}

/// Collections of one store run one after another.
pub(crate) fn scope(store: &StoreId) -> String {
    format!("collect/{store}")
}

/// The task that collects a store, or one source in it.
pub(crate) fn submit(store: StoreId, source: Option<SourceId>) -> Submit {
    let subject = source.as_ref().map_or_else(|| store.to_string(), |source| format!("{store}/{source}"));
    Submit {
        kind: Kind::Collect,
        subject,
        body: Value::Null,
        exclusive: Some(scope(&store)),
        spec: json!(CollectSpec { store, source }),
    }
}

/// The work of one run on one source.
struct Collection<'a> {
    with: &'a Executors,
    context: &'a TaskContext,
    store: &'a OpenStore,
    source: &'a SourceId,
    /// Policies of the source that keep their versions in this store.
    policies: Vec<PolicyRecord>,
}

/// Collects, source by source.
pub(crate) async fn run(with: &Executors, context: TaskContext) -> Result<Completion, Failure> {
    let CollectSpec { store, source } = spec(&context)?;
    let open = with.stores.unproven(store.as_str()).await?;
    let damaged = with.stores.prove_all(&open).boxed().await?;
    with.stores.reach(&open, context.token).boxed().await?;
    let found = find::sources(&open.objects).await.map_err(not_found)?;
    let sources: Vec<SourceId> = found.into_iter().filter(|of| source.as_ref().is_none_or(|only| only == of)).collect();
    let policies: Vec<PolicyRecord> = with.registrations.list(POLICIES).await?;
    let mut result = CollectResult { store: store.clone(), sources: Vec::with_capacity(sources.len()), removed: None };
    let mut away = None;
    for (index, source) in sources.iter().enumerate() {
        if !context.holds() {
            return Err(Failure::cancelled());
        }
        (context.progress)(progress(source, index, sources.len()));
        // It reads like a version, and may name less than what was committed; or nobody knows what was.
        if let Some(changed) =
            damaged.iter().find(|set| set.source_id == *source && (set.is_changed() || set.is_unknown()))
        {
            tracing::error!(source_id = %source, store = open.record.name, %changed, "nothing of the source is collected");
            let problem = Some(format!("{}: {changed}", changed.code()));
            result.sources.push(SourceResult { problem, ..SourceResult::new(source.clone()) });
            continue;
        }
        let own = policies.iter().filter(|policy| policy.source == *source && policy.store == store).cloned().collect();
        let collection = Collection { with, context: &context, store: &open, source, policies: own };
        match collection.run().boxed().await {
            Ok(done) => result.sources.push(done),
            Err(failure) if failure.cancelled => return Err(failure),
            Err(failure) => away = away.or(Some(failure)),
        }
    }
    let removed = leftovers::remove(with, &open, context.token).boxed().await?;
    if let Some(failure) = away {
        return Err(failure);
    }
    let warnings = removed.problem.is_some() || result.sources.iter().any(SourceResult::is_lacking);
    result.removed = Some(removed);
    Ok(Completion::of(&result, warnings))
}

fn progress(source: &SourceId, index: usize, all: usize) -> Progress {
    let phase = format!("collect {source}");
    Progress { phase, done: index as u64, total: all as u64, unit: "sources".to_owned() }
}

fn not_found(error: find::Error) -> Failure {
    failure::catalog::store("TM-CAT-0006", &error, error.is_retryable())
}

impl Collection<'_> {
    /// What came of it; a failure that another attempt would repeat is the source's problem, not the task's.
    async fn run(&self) -> Result<SourceResult, Failure> {
        let mut result = SourceResult::new(self.source.clone());
        match self.collect(&mut result).await {
            Ok(()) => {}
            Err(failure) if failure.retryable || failure.cancelled => return Err(failure),
            Err(failure) => {
                tracing::error!(source_id = %self.source, store = self.store.record.name, %failure, "nothing of the source is collected");
                result.problem = Some(failure.to_string());
            }
        }
        Ok(result)
    }

    async fn collect(&self, result: &mut SourceResult) -> Result<(), Failure> {
        collect::require_newest(&self.store.objects, self.context.token).boxed().await?;
        self.expire(result).boxed().await?;
        let live = live::of(self.with, self.store, self.source, &self.policies).boxed().await?;
        let collector =
            Collector::new(&self.store.objects, self.source, &live, self.with.ages, &self.with.node, &self.with.env);
        let fence = RunFence { with: self.with, context: self.context, store: self.store, source: self.source };
        let claim = RunClaim { token: self.context.token, context: self.context.clone() };
        collector.give_up(&claim).boxed().await?;
        pause::point("mid-collection");
        result.freed += self.logged(collector.sweep(&fence).boxed().await?.into());
        result.freed += self.logged(Some(collector.free_staged(&claim).boxed().await?).into());
        result.marked = collector.mark(&claim).boxed().await?.map(Marked::from);
        pause::point("marked");
        result.freed += self.logged(collector.sweep(&fence).boxed().await?.into());
        Ok(())
    }

    /// What was freed, logged where it is anything.
    fn logged(&self, freed: Freed) -> Freed {
        if freed.objects > 0 {
            tracing::info!(source_id = %self.source, store = self.store.record.name, objects = freed.objects, bytes = freed.bytes, "garbage collected");
        }
        freed
    }
}

/// New claims of a run, for barriers.
struct RunFence<'a> {
    with: &'a Executors,
    context: &'a TaskContext,
    store: &'a OpenStore,
    source: &'a SourceId,
}

impl Fence for RunFence<'_> {
    fn claim(&self) -> BoxFuture<'_, Result<Arc<dyn Claim>, FenceError>> {
        async {
            let token = self.context.checkpoints.later_token().await?;
            let claim = RunClaim { token, context: self.context.clone() };
            Ok(Arc::new(claim) as Arc<dyn Claim>)
        }
        .boxed()
    }

    fn known<'f>(&'f self, set: &'f SetId) -> BoxFuture<'f, Result<Option<Head>, FenceError>> {
        async move { Ok(self.with.stores.known_head(self.store, self.source, set).await?) }.boxed()
    }

    fn fenced<'f>(&'f self, set: &'f SetId, head: Head) -> BoxFuture<'f, Result<(), FenceError>> {
        async move { Ok(self.with.stores.committed(self.store, self.source, set, head).await?) }.boxed()
    }
}
