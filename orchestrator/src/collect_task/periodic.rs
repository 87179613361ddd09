//! Collection that runs by itself: one task for each store and slot of time.
//!
//! A slot's task is submitted under a key that is made of the store and the slot: whatever the clock does, and however many
//! daemons look, a slot makes one task. While an earlier one is not done, slots pass.

use std::{num::NonZeroU64, time::Duration};

use serde_json::json;
use tidemark_catalog::ids::StoreId;
use tidemark_gateway::causes;
use tokio_util::sync::CancellationToken;

use super::{scope, submit};
use crate::{executors::Executors, failure::Failure, registrations::StoreRecord};

/// Longest time between two looks: a clock that jumps ahead is noticed within it.
const LONGEST_LOOK: Duration = Duration::from_secs(60);

/// Submits collections, one in `every` for each store, until `shutdown`; nothing where `every` is zero.
pub(crate) async fn run(with: Executors, every: Duration, shutdown: CancellationToken) {
    let Some(every_millis) = u64::try_from(every.as_millis()).ok().and_then(NonZeroU64::new) else {
        return shutdown.cancelled().await;
    };
    loop {
        tokio::select! {
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
        if let Err(failure) = submit_slot(with, &store, slot, every_millis).await {
            tracing::warn!(store = name, error = causes::joined(&failure), "its collection is not submitted");
        }
    }
    Ok(())
}

async fn submit_slot(with: &Executors, store: &StoreId, slot: u64, every_millis: NonZeroU64) -> Result<(), Failure> {
    if !with.tasks.unfinished_known(&scope(store)).await?.is_empty() {
        return Ok(());
    }
    let key = format!("collect/{store}/{every_millis}/{slot}");
    let mut submit = submit(store.clone(), None);
    submit.body = json!({"collect": {"store": store, "slot": slot}});
    with.tasks.submit(submit, &key).await?;
    Ok(())
}
