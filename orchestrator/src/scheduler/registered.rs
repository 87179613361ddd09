//! Policies as they are registered.

use std::collections::BTreeSet;

use async_trait::async_trait;
use tidemark_gateway::causes;

use super::{Planned, Policies, Unreadable};
use crate::{
    control_api::policy_task,
    coordinator::{Cmp, Kv, list_all},
    registrations::{Error, POLICIES, PolicyRecord, Registrations, SOURCES, SourceRecord},
};

/// Why a policy of a source that nobody has confirmed does not run.
fn unconfirmed(source: &str) -> String {
    format!("source {source} came from a store and is not confirmed yet: tidemark source confirm {source}")
}

/// Why a policy does not run that nobody has confirmed, or whose source nobody has.
pub(crate) fn why_not_confirmed(policy: &PolicyRecord, source_is_inert: bool) -> Option<String> {
    match &policy.imported_from {
        Some(store) => {
            let name = &policy.name;
            Some(format!("it came from store {store} and is not confirmed yet: tidemark policy confirm {name}"))
        }
        None => source_is_inert.then(|| unconfirmed(policy.source.as_str())),
    }
}

#[async_trait]
impl Policies for Registrations {
    async fn planned(&self) -> Result<Vec<Result<Planned, Unreadable>>, Error> {
        let found = list_all(&**self.coordinator(), POLICIES).await;
        let (found, _) = found.map_err(|source| Error::Coordinator { key: POLICIES.to_owned(), source })?;
        let sources: Vec<SourceRecord> = self.list(SOURCES).await?;
        let inert: BTreeSet<String> =
            sources.into_iter().filter(|source| !source.is_confirmed()).map(|source| source.name).collect();
        Ok(found.iter().map(|kv| planned(kv, &inert)).collect())
    }
}

/// A policy that nobody has confirmed yet rests, and one of such a source: each of its runs would be refused.
fn planned(kv: &Kv, inert: &BTreeSet<String>) -> Result<Planned, Unreadable> {
    let name = kv.key.strip_prefix(POLICIES).unwrap_or(&kv.key);
    let unreadable = |reason: String| Unreadable { name: name.to_owned(), reason };
    let record: PolicyRecord = serde_json::from_slice(&kv.value).map_err(|error| unreadable(error.to_string()))?;
    if record.name.as_str() != name {
        return Err(unreadable(format!("is registered under the name of {}", record.name)));
    }
    let is_inert = inert.contains(record.source.as_str());
    let schedule = record.schedule().map_err(|error| unreadable(causes::joined(&error)))?;
    Ok(Planned {
        name: record.name.clone(),
        source: record.source.clone(),
        store: record.store.clone(),
        active_since: record.active_since,
        schedule,
        paused: record.paused || is_inert || !record.is_confirmed(),
        stopped: (!record.paused).then(|| why_not_confirmed(&record, is_inert)).flatten(),
        submit: policy_task(record),
        guard: vec![Cmp::ModRevision(kv.key.clone(), kv.mod_revision)],
    })
}
