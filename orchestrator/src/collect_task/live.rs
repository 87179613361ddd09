//! What the coordinator knows of a source's tasks and sets. It only says what is worth marking: safety rests on none of it.

use std::collections::BTreeSet;

use tidemark_catalog::{
    collect::{self, Live},
    config_mirror,
    ids::{SetId, SourceId},
};
use tidemark_gateway::causes;

use crate::{
    executors::Executors,
    failure::Failure,
    registrations::{self, PolicyRecord},
    resting,
    stores::OpenStore,
    tasks::{State, TaskRecord},
};

/// Kind of the mirror that holds policies.
const POLICIES: &str = "policies";

/// As [`of`], with the policies as they are registered now.
pub(crate) async fn known(with: &Executors, store: &OpenStore, source: &SourceId) -> Result<Live, Failure> {
    let policies: Vec<PolicyRecord> = with.registrations.list(registrations::POLICIES).await?;
    let own = |policy: &PolicyRecord| policy.source == *source && policy.store.as_str() == store.record.name;
    let own: Vec<_> = policies.into_iter().filter(own).collect();
    of(with, store, source, &own).await
}

/// Tasks, sets and what is kept of a source in this store.
pub(super) async fn of(
    with: &Executors,
    store: &OpenStore,
    source: &SourceId,
    policies: &[PolicyRecord],
) -> Result<Live, Failure> {
    let as_of = collect::store_now(&store.objects, &with.env).await?;
    let tasks = with.tasks.list().await?;
    let known = with.stores.known_heads(&store.record.repository).await?;
    let mirrored = mirrored(store, source).await;
    // By what rests nothing goes.
    let mut free_staged = BTreeSet::new();
    for policy in policies.iter().filter(|policy| !policy.keep_staged) {
        if resting::why(&with.registrations, &store.objects, policy).await?.is_none() {
            free_staged.insert(policy.name.clone());
        }
    }
    let keep_staged = policies.iter().filter(|policy| policy.keep_staged).map(|policy| policy.name.clone());
    Ok(Live {
        as_of,
        tasks: tasks.iter().filter(|task| !task.state.is_done()).map(|task| task.id.clone()).collect(),
        done: tasks.iter().filter(|task| is_over(task)).map(|task| task.id.clone()).collect(),
        sets: policies.iter().map(|policy| policy.name.clone()).chain(mirrored).collect(),
        known: known.into_iter().filter(|(of, ..)| of == source).map(|(_, set, head)| (set, head.number)).collect(),
        keep_staged: keep_staged.collect(),
        free_staged,
    })
}

/// Whether no run of the task will come: one that failed can be resumed.
fn is_over(task: &TaskRecord) -> bool {
    task.state.is_done() && task.state != State::Failed
}

/// Sets of the policies that the store's mirror has of the source. What cannot be read is left out: sets with anything in them are
/// found in the store.
async fn mirrored(store: &OpenStore, source: &SourceId) -> BTreeSet<SetId> {
    let found = match config_mirror::latest(&store.objects, POLICIES).await {
        Ok(found) => found,
        Err(error) => {
            tracing::warn!(
                store = store.record.name,
                error = causes::joined(&error),
                "the mirror of policies is passed over"
            );
            return BTreeSet::new();
        }
    };
    let policies = found.items.into_values().filter_map(|value| serde_json::from_value::<PolicyRecord>(value).ok());
    policies.filter(|policy| policy.source == *source).map(|policy| policy.name).collect()
}
