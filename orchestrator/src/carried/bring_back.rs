//! Registering again what a state lacks.

use std::collections::BTreeSet;

use futures::future::join_all;
use serde_json::Value;
use tidemark_catalog::config_mirror;
use tidemark_gateway::causes;

use super::Registered;
use crate::{
    control_api::{Api, take_over},
    executors::Executors,
    failure::Failure,
    registrations::{self, POLICIES, PolicyRecord, SOURCES, STORES, SourceRecord, StoreRecord},
    resting::says_the_same,
    stores::OpenStore,
};

/// Registers again what is kept and absent; true where nothing had to be left out. Safe to do again after an error.
///
/// # Errors
/// Of the coordinator.
pub(super) async fn all(api: &Api, kept: &Registered) -> Result<bool, Failure> {
    let with = api.with();
    let (mut sources, mut stores, mut is_whole) = (BTreeSet::new(), BTreeSet::new(), true);
    for source in kept.sources.values() {
        if bring_source(with, source).await? {
            sources.insert(source.name.as_str());
        }
    }
    for store in kept.stores.values() {
        let (is_there, is_same) = bring_store(with, store).await?;
        is_whole &= is_same;
        if is_there {
            stores.insert(store.name.as_str());
        }
    }
    // What is said of another source, or goes to another store, is not what an operator has said.
    let is_own =
        |policy: &&PolicyRecord| sources.contains(policy.source.as_str()) && stores.contains(policy.store.as_str());
    is_whole &= sources.len() == kept.sources.len() && kept.policies.values().all(|policy| is_own(&policy));
    let of_stores = stores.iter().map(|store| {
        let own = kept.policies.values().filter(is_own);
        of_store(api, store, own.filter(|policy| policy.store.as_str() == *store))
    });
    for brought in join_all(of_stores).await {
        is_whole &= brought?;
    }
    Ok(is_whole)
}

/// Registers a source that is absent or that nobody has confirmed: what an operator said counts, and not what a mirror says. True where
/// it is what is registered.
async fn bring_source(with: &Executors, kept: &SourceRecord) -> Result<bool, Failure> {
    let (registrations, name) = (&with.registrations, &kept.name);
    let Some(known) = readable(registrations.read::<SourceRecord>(SOURCES, name).await)? else {
        tracing::error!(source_id = name, "a source of this name is registered that cannot be read");
        return Ok(false);
    };
    let Some(known) = known else {
        let other: Option<SourceRecord> = registrations.create(SOURCES, name, kept).await?;
        tracing::warn!(source_id = name, "the source was not registered any more, and is again");
        return Ok(other.is_none_or(|other| other.says(kept)));
    };
    if known.value.is_confirmed() {
        let same = known.value.says(kept);
        if !same {
            tracing::error!(source_id = name, "another source of this name is registered, and stays");
        }
        return Ok(same);
    }
    if registrations.replace_at(SOURCES, name, &known, kept).await? {
        tracing::warn!(source_id = name, "the source is what an operator said here, and not what a mirror says");
        return Ok(true);
    }
    let by_another: Option<SourceRecord> = registrations.get(SOURCES, name).await?;
    Ok(by_another.is_some_and(|other| other.says(kept)))
}

/// Registers a store that is absent, as it was: whether its repository is there under its name, and whether it is as it was in all.
async fn bring_store(with: &Executors, kept: &StoreRecord) -> Result<(bool, bool), Failure> {
    let registered = with.registrations.each::<StoreRecord>(STORES).await?;
    for (name, read) in registered {
        let same_repository = read.as_ref().is_ok_and(|store| store.repository == kept.repository);
        if name == kept.name {
            let is_same = read.is_ok_and(|store| store == *kept);
            if !is_same {
                tracing::error!(store = name, same_repository, "the store is registered otherwise, and stays so");
            }
            return Ok((same_repository, is_same));
        }
        if same_repository {
            tracing::error!(store = kept.name, as_store = name, "the store is registered by another name, and stays");
            return Ok((false, false));
        }
    }
    let other: Option<StoreRecord> = with.registrations.create(STORES, &kept.name, kept).await?;
    tracing::warn!(store = kept.name, "the store was not registered any more, and is again");
    let same_repository = other.as_ref().is_none_or(|other| other.repository == kept.repository);
    Ok((same_repository, other.is_none_or(|other| other == *kept)))
}

/// Registers the policies of a store that are absent or that nobody has confirmed, and what else the store's mirror has, unconfirmed. True
/// where each is what is registered.
async fn of_store(api: &Api, store: &str, policies: impl Iterator<Item = &PolicyRecord>) -> Result<bool, Failure> {
    let with = api.with();
    let record = with.stores.record(store).await.map_err(Failure::from)?;
    let open = match with.stores.same_soon(record).await {
        Ok(open) => Some(open),
        Err(error) => {
            let error = causes::joined(&error);
            tracing::error!(store, error, "the store is away: its policies are registered as this daemon knows them");
            None
        }
    };
    let mut is_whole = true;
    for kept in policies {
        let mirrored = match &open {
            Some(open) => mirrored(open, kept).await,
            None => Mirrored::Unknown,
        };
        is_whole &= bring_policy(with, kept, mirrored).await?;
    }
    if let Some(open) = open
        && let Err(problem) = take_over(api, &open).await
    {
        tracing::error!(store, detail = problem.detail, "what else the store's mirror has is not registered");
    }
    Ok(is_whole)
}

/// What a store's mirror says of a policy.
enum Mirrored {
    /// Its newest state; `None` where it was removed.
    Says(Option<Value>),
    /// It cannot be asked, or never heard of it: the store was put back.
    Unknown,
}

async fn mirrored(store: &OpenStore, policy: &PolicyRecord) -> Mirrored {
    let (objects, name) = (&store.objects, policy.name.as_str());
    let read = async {
        let newest = config_mirror::newest(objects, "policies", name).await?;
        let is_known = newest.is_some() || !config_mirror::history(objects, "policies", name).await?.is_empty();
        Ok::<_, config_mirror::Error>(if is_known { Mirrored::Says(newest) } else { Mirrored::Unknown })
    };
    read.await.unwrap_or_else(|error| {
        tracing::error!(policy = name, error = causes::joined(&error), "the policy's mirror cannot be read");
        Mirrored::Unknown
    })
}

async fn bring_policy(with: &Executors, kept: &PolicyRecord, mirrored: Mirrored) -> Result<bool, Failure> {
    let (registrations, name) = (&with.registrations, kept.name.as_str());
    let Some(known) = readable(registrations.read::<PolicyRecord>(POLICIES, name).await)? else {
        tracing::error!(policy = name, "a policy of this name is registered that cannot be read");
        return Ok(false);
    };
    if known.as_ref().is_some_and(|known| known.value.timeless() == kept.timeless()) {
        return Ok(true);
    }
    if let (Mirrored::Says(None), None) = (&mirrored, &known) {
        tracing::warn!(policy = name, "the policy was removed since this daemon saw it");
        return Ok(true);
    }
    let agrees = match &mirrored {
        Mirrored::Says(Some(mirrored)) => says_the_same(mirrored, kept),
        // Where it cannot be asked the file counts, but against nothing that an operator has said here.
        Mirrored::Unknown => known.as_ref().is_none_or(|known| !known.value.is_confirmed()),
        Mirrored::Says(None) => false,
    };
    if !agrees {
        tracing::error!(
            policy = name,
            "the policy is not what its store's mirror says by now: look at it (tidemark policy show {name})"
        );
        return Ok(false);
    }
    let is_done = match known {
        Some(known) => registrations.replace_at(POLICIES, name, &known, kept).await?,
        None => registrations.create::<PolicyRecord>(POLICIES, name, kept).await?.is_none(),
    };
    tracing::warn!(policy = name, is_done, "the policy was not registered as it was, and is again");
    let now: Option<PolicyRecord> = registrations.get(POLICIES, name).await?;
    Ok(now.is_some_and(|now| now.timeless() == kept.timeless()))
}

/// What is registered under a name; `None` where it cannot be read.
fn readable<T>(read: Result<Option<T>, registrations::Error>) -> Result<Option<Option<T>>, registrations::Error> {
    match read {
        Ok(read) => Ok(Some(read)),
        Err(registrations::Error::Decode { .. }) => Ok(None),
        Err(error) => Err(error),
    }
}
