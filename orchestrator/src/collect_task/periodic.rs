//! Collection that runs by itself: one task for each store and slot of time.
//!
//! A slot's task has an id that follows from store and slot, and is recorded in one transaction with the slot: however many daemons
//! look, and however long a slot lasts, it makes one task. A slot that lies before the recorded one is none that was dealt with: a clock
//! that was ahead is believed no more. While an earlier task is not done, slots pass.

use std::{num::NonZeroU64, time::Duration};

use tidemark_catalog::ids::StoreId;
use tidemark_gateway::causes;
use tokio_util::sync::CancellationToken;

use super::{scope, submit};
use crate::{
    coordinator::{Cmp, Op},
    executors::Executors,
    failure::Failure,
    registrations::{self, StoreRecord},
    tasks,
};

/// Longest time between two looks: a clock that jumps ahead is noticed within it.
const LONGEST_LOOK: Duration = Duration::from_secs(60);

/// Keys of the slots that made a task last, by store: ms since 1970 at which it began.
const COLLECTED: &str = "collected/";

/// Submits collections, one in `every` for each store, until `shutdown`; nothing where `every` is zero.
pub(crate) async fn run(with: Executors, every: Duration, shutdown: CancellationToken) {
    let Some(every_millis) = u64::try_from(every.as_millis()).ok().and_then(NonZeroU64::new) else {
        return shutdown.cancelled().await;
    };
    loop {
        tokio::select! {
            biased;
            () = shutdown.cancelled() => return,
            () = tokio::time::sleep(every.min(LONGEST_LOOK)) => {}
        }
        if let Err(failure) = look(&with, every_millis).await {
            tracing::warn!(%failure, "collections are not submitted; the next look tries again");
        }
    }
}

/// Submits the collections of the slot that has begun.
pub(crate) async fn look(with: &Executors, every_millis: NonZeroU64) -> Result<(), Failure> {
    let now = u64::try_from(with.env.now().as_millisecond()).unwrap_or(0);
    let slot = now / every_millis;
    for StoreRecord { name, .. } in with.stores.records().await? {
        let Ok(store) = name.parse::<StoreId>() else { continue };
        if let Err(failure) = submit_slot(with, &store, slot * every_millis.get(), every_millis).await {
            tracing::warn!(store = name, error = causes::joined(&failure), "its collection is not submitted");
        }
    }
    Ok(())
}

/// Submits the collection of the slot that began at `begin_millis`, unless it is the last one that made a task.
async fn submit_slot(
    with: &Executors,
    store: &StoreId,
    begin_millis: u64,
    every_millis: NonZeroU64,
) -> Result<(), Failure> {
    let key = format!("{COLLECTED}{store}");
    let known = with.registrations.coordinator().get(&key).await;
    let known = known.map_err(|source| registrations::Error::Coordinator { key: key.clone(), source })?;
    let begin = begin_millis.to_string();
    if known.as_ref().is_some_and(|kv| kv.value == begin.as_bytes()) {
        return Ok(());
    }
    if !with.tasks.unfinished_known(&scope(store)).await?.is_empty() {
        return Ok(());
    }
    let id = tasks::slot_task_id(&format!("collect/{store}/{every_millis}/{begin_millis}"), begin_millis);
    let when = vec![Cmp::ModRevision(key.clone(), known.map_or(0, |kv| kv.mod_revision))];
    // Nothing is made where another daemon was first.
    with.tasks.submit_as(&id, &submit(store.clone(), None), when, vec![Op::put(key, begin)]).await?;
    Ok(())
}
