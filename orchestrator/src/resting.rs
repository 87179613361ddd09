//! Policies whose words do not count: nothing goes by them.
//!
//! What goes is gone for good after a grace, so that a policy's rule counts only where nothing speaks against it: its source is
//! confirmed and so is it (what a store's mirror says is not trusted), and it is the newest that its store's mirror has. A state
//! directory that was put back from a copy, or a daemon that others have left behind, knows an older policy; its rule is not the
//! operator's any more. Saving a policy makes it count again, which takes the consent to what would go by it.

use std::sync::Arc;

use object_store::ObjectStore;
use serde_json::Value;
use tidemark_catalog::config_mirror;
use tidemark_gateway::causes::joined;

use crate::{
    failure::{Failure, catalog},
    registrations::{PolicyRecord, Registrations, SOURCES, SourceRecord},
};

/// Why a policy rests whose store this is; `None` where it counts.
///
/// # Errors
/// Where the coordinator or the store does not say.
pub(crate) async fn why(
    registrations: &Registrations,
    store: &Arc<dyn ObjectStore>,
    policy: &PolicyRecord,
) -> Result<Option<String>, Failure> {
    let source: Option<SourceRecord> = registrations.get(SOURCES, policy.source.as_str()).await?;
    if !source.is_some_and(|source| source.is_confirmed()) {
        return Ok(Some(format!("source {} is not confirmed", policy.source)));
    }
    if let Some(store) = &policy.imported_from {
        return Ok(Some(format!("it came from the mirror of store {store} and is not confirmed")));
    }
    match config_mirror::newest(store, "policies", policy.name.as_str()).await {
        Ok(Some(mirrored)) if says_the_same(&mirrored, policy) => Ok(None),
        Ok(_) => Ok(Some(format!(
            "it is not what the store's mirror says: look at it (tidemark policy show {0}) and save it (tidemark policy edit {0})",
            policy.name
        ))),
        Err(config_mirror::Error::Page(error)) if !error.is_of_the_store() => {
            Ok(Some(format!("the store's mirror of it cannot be read: {}", joined(&error))))
        }
        Err(error) => Err(catalog::store("TM-STORE-0105", &error, true)),
    }
}

/// Whether the mirror says what is registered; stores may be called otherwise where it was written.
pub(crate) fn says_the_same(mirrored: &Value, policy: &PolicyRecord) -> bool {
    let read = serde_json::from_value::<PolicyRecord>(mirrored.clone());
    read.is_ok_and(|read| PolicyRecord { store: policy.store.clone(), ..read }.timeless() == policy.timeless())
}
