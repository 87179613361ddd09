//! What a store brings with it: the versions in it become what is known of it, and its mirror's sources and policies come back.

use std::{collections::BTreeMap, sync::Arc};

use futures::FutureExt as _;
use serde::de::DeserializeOwned;
use serde_json::Value;
use tidemark_catalog::{
    chain::VersionSet,
    config_mirror, find,
    ids::{SetId, SourceId, StoreId},
};
use tidemark_gateway::causes;
use tidemark_web::api::{Problem, TakenOver, TakenPolicy, TakenSet};

use crate::{
    control_api::{
        Api,
        problems::{answer, check_name, refused},
    },
    expiry,
    registrations::{POLICIES, PolicyRecord, SOURCES, SourceRecord},
    stores::OpenStore,
};

/// Most numbers of a set whose versions are counted: each manifest is read for it.
const COUNTED: usize = 1_000;

/// What was learned of a store.
#[derive(Debug, Default)]
pub(super) struct Learned {
    /// What was found in it.
    pub(super) taken_over: TakenOver,
    /// What could not be read, each with a code.
    pub(super) warnings: Vec<String>,
}

/// Takes what the store holds for what is known of it, and brings back what its mirror has; what could not be read
/// stops nothing else.
pub(super) async fn learn(api: &Api, store: &OpenStore) -> Result<Learned, Problem> {
    let damaged = api.with.stores.learn(store).await.map_err(answer)?;
    let mut learned = Learned::default();
    learned.warnings.extend(damaged.iter().map(|damaged| format!("{}: {damaged}", damaged.code())));
    take_over_into(api, store, &mut learned).await?;
    learned.taken_over.sets = sets(store).await?;
    for warning in &learned.warnings {
        tracing::warn!(store = store.record.name, warning, "the store is used without this");
    }
    Ok(learned)
}

/// Brings back what the store's mirror holds and is not registered, and says nothing of it.
pub(crate) async fn take_over(api: &Api, store: &OpenStore) -> Result<(), Problem> {
    take_over_into(api, store, &mut Learned::default()).await
}

/// The version sets in the store, with how many versions each has.
async fn sets(store: &OpenStore) -> Result<Vec<TakenSet>, Problem> {
    let mut sets = Vec::new();
    for source in find::sources(&store.objects).await.map_err(|error| unlisted(&error))? {
        for set in find::sets(&store.objects, &source).await.map_err(|error| unlisted(&error))? {
            let chain = VersionSet::new(Arc::clone(&store.objects), source.clone(), set.clone());
            let numbers = chain.list().await.map_err(answer)?.len();
            let versions = if numbers > COUNTED { None } else { count(store, &source, &set).await };
            let numbers = u64::try_from(numbers).unwrap_or(u64::MAX);
            sets.push(TakenSet { source: source.to_string(), set: set.to_string(), numbers, versions });
        }
    }
    sets.retain(|set| set.numbers > 0);
    Ok(sets)
}

/// How many versions a set has; `None` where that cannot be read, which is no reason not to use the store.
async fn count(store: &OpenStore, source: &SourceId, set: &SetId) -> Option<u64> {
    match expiry::candidates(store, source, set).boxed().await {
        Ok(found) => u64::try_from(found.candidates.len() + found.damaged.len()).ok(),
        Err(error) => {
            tracing::warn!(store = store.record.name, source_id = %source, %set, %error, "versions cannot be counted");
            None
        }
    }
}

fn unlisted(error: &find::Error) -> Problem {
    refused(503, "TM-CAT-0006", error)
}

/// Brings back sources and policies that the store's mirror holds and that are not registered here. Who can write to the store
/// can write the mirror: they are marked, and before an operator confirms them nothing that a source names is used, and nothing that
/// a policy says is done.
async fn take_over_into(api: &Api, store: &OpenStore, learned: &mut Learned) -> Result<(), Problem> {
    let Learned { taken_over, warnings } = learned;
    let mut sources = BTreeMap::new();
    let imported_from = Some(store.record.name.clone());
    for (id, source) in mirrored::<SourceRecord>(store, "sources", warnings).await? {
        let source = SourceRecord { imported_from: imported_from.clone(), ..source };
        let known = api.registrations().create(SOURCES, &id, &source).await.map_err(answer)?;
        if !known.as_ref().unwrap_or(&source).is_confirmed() {
            taken_over.sources.push(id.clone());
        }
        sources.insert(id, source);
    }
    let own: StoreId = check_name("store", &store.record.name)?;
    for (id, policy) in mirrored::<PolicyRecord>(store, "policies", warnings).await? {
        if is_of_another_source(api, &policy, &sources).await? {
            let source = &policy.source;
            warnings.push(format!(
                "TM-STORE-0106: mirrored policies {id} is not taken over: source {source} is another one here"
            ));
            continue;
        }
        // The mirror is in the policy's own store, by whatever name that was registered before.
        let policy = PolicyRecord { store: own.clone(), imported_from: imported_from.clone(), ..policy };
        let known = api.registrations().create(POLICIES, policy.name.as_str(), &policy).await.map_err(answer)?;
        if !known.as_ref().unwrap_or(&policy).is_confirmed() {
            taken_over.policies.push(TakenPolicy { policy: id, source: policy.source.to_string() });
        }
    }
    Ok(())
}

/// Whether a policy that is not registered here is of a source that the operator knows, and the mirror does not: it says nothing
/// about that one.
async fn is_of_another_source(
    api: &Api,
    policy: &PolicyRecord,
    mirrored: &BTreeMap<String, SourceRecord>,
) -> Result<bool, Problem> {
    let registered: Option<PolicyRecord> =
        api.registrations().get(POLICIES, policy.name.as_str()).await.map_err(answer)?;
    let known: Option<SourceRecord> = api.registrations().get(SOURCES, policy.source.as_str()).await.map_err(answer)?;
    let same = |known: &SourceRecord| mirrored.get(policy.source.as_str()).is_some_and(|source| source.says(known));
    Ok(registered.is_none() && known.is_some_and(|known| known.is_confirmed() && !same(&known)))
}

/// The items of a kind in the mirror, by id. One that cannot be read is a warning.
async fn mirrored<T: DeserializeOwned>(
    store: &OpenStore,
    kind: &str,
    warnings: &mut Vec<String>,
) -> Result<Vec<(String, T)>, Problem> {
    let found = config_mirror::latest(&store.objects, kind).await;
    let found = found.map_err(|error| refused(503, "TM-STORE-0105", &error))?;
    let mut unread = |id: &str, why: String| {
        warnings.push(format!("TM-STORE-0106: mirrored {kind} {id} is not taken over: {why}"));
    };
    for (id, error) in &found.problems {
        unread(id, causes::joined(error));
    }
    let mut items = Vec::new();
    for (id, value) in found.items {
        match named(&id, value) {
            Ok(item) => items.push((id, item)),
            Err(why) => unread(&id, why),
        }
    }
    Ok(items)
}

/// An item that has the name it is stored under.
fn named<T: DeserializeOwned>(id: &str, value: Value) -> Result<T, String> {
    let name = value.get("name").and_then(Value::as_str).unwrap_or_default().to_owned();
    let item = serde_json::from_value(value).map_err(|error| error.to_string())?;
    if name == id { Ok(item) } else { Err(format!("it says it is {name:?}")) }
}
