//! Accepting a store that is not what it was: put back from a copy, emptied or replaced on purpose.
//!
//! 1. A new generation is taken, above all that are known here or in the store: what was claimed before is fenced.
//! 2. Of each set whose chain is shorter than it was, as is known here or as its states and marks tell, the numbers that are
//!    lost are taken by manifests that hold no version. So the chain keeps no hole, and no number is given twice.
//! 3. What the store holds now becomes what is known of it; the registration comes last.
//!
//! A crash in between leaves a store that is still refused; accepting it again goes on.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use tidemark_catalog::{
    chain::VersionSet,
    commit::{Claim, ManifestDraft},
    find,
    ids::{FencingToken, SetId, SourceId, VersionNumber},
    manifest::{Barrier, Holds},
    marks,
    repair::Sealer,
};
use tidemark_gateway::preflight;
use tidemark_web::api::{AcceptStore, AcceptedStore, Problem, Store};

use super::{Learned, learn, show, unsafe_store, with_repository};
use crate::{
    control_api::{
        Api, policies,
        problems::{answer, refused},
    },
    generation,
    registrations::{STORES, StoreRecord},
    stores::{self, OpenStore, identity::Damaged},
};

/// The token under which a store is accepted, as a claim.
struct Accepting(FencingToken);

impl Claim for Accepting {
    fn token(&self) -> FencingToken {
        self.0
    }

    fn holds(&self) -> bool {
        true
    }
}

/// Takes a store as it is now, where its name was typed.
pub(in crate::control_api) async fn accept(
    api: &Api,
    name: &str,
    request: AcceptStore,
) -> Result<AcceptedStore, Problem> {
    if request.confirm != name {
        let words = format!("accepting store {name} gives up what is missing in it; confirm is {:?}", request.confirm);
        return Err(Problem::refused("TM-STORE-0114", words).with_hint("confirm with the name of the store"));
    }
    let known = api.with.stores.unproven(name).await.map_err(answer)?;
    if !changed(api, &known).await? {
        let words = format!("store {name} is what it was: there is nothing to accept");
        return Err(Problem::conflict("TM-STORE-0116", words));
    }
    preflight::run(&known.objects, &api.with.env).await.map_err(|error| unsafe_store(name, &error))?;
    let record = with_repository(api, known.record.clone(), &known.objects).await?;
    let store = OpenStore { record, ..known.clone() };
    let generation = renew(api, &store).await?;
    let lost = fill(api, &known.record, &store, generation).await?;
    let Learned { taken_over, mut warnings } = learn(api, &store).await?;
    let replaced = api.registrations().replace(STORES, name, &known.record, &store.record).await.map_err(answer)?;
    if !replaced {
        return Err(Problem::conflict("TM-STORE-0409", format!("store {name} was changed meanwhile")));
    }
    warnings.extend(policies::mirror_again(api, name).await?);
    tracing::warn!(store = name, generation, ?lost, "store accepted as it is");
    let store = Store { taken_over: Some(taken_over), warnings, ..show(api, store.record) };
    Ok(AcceptedStore { store, generation, lost })
}

/// Whether the store is not what is known of it, or that cannot be read; a store that cannot be looked at is a problem.
async fn changed(api: &Api, store: &OpenStore) -> Result<bool, Problem> {
    match api.with.stores.prove_all(store).await {
        Ok(damaged) => Ok(damaged.iter().any(Damaged::is_unknown) || !told(store).await?.is_empty()),
        Err(error) if is_other(&error) => Ok(true),
        Err(error) => Err(answer(error)),
    }
}

fn is_other(error: &stores::Error) -> bool {
    match error {
        stores::Error::WentBack { .. } | stores::Error::UnreadableGeneration { .. } => true,
        stores::Error::Chain { source, .. } => source.is_other_store(),
        stores::Error::Emptied { .. } | stores::Error::Swapped { .. } => true,
        _ => false,
    }
}

async fn renew(api: &Api, store: &OpenStore) -> Result<u64, Problem> {
    let repository = &store.record.repository;
    let taken = generation::renew(&*api.coordinator, repository, &store.objects, &api.with.env).await;
    taken.map_err(|error| answer(stores::generations_failed(store, error)))
}

/// Takes the numbers that are lost; names them, as `source.set.first..last`.
async fn fill(api: &Api, known: &StoreRecord, store: &OpenStore, generation: u64) -> Result<Vec<String>, Problem> {
    let mut given = told(store).await?;
    for (source, set, head) in api.with.stores.known_heads(&known.repository).await.map_err(answer)? {
        let last = given.entry((source, set)).or_insert(head.number);
        *last = head.number.max(*last);
    }
    let mut lost = Vec::new();
    for ((source, set), last) in given {
        let claim = Accepting(FencingToken { generation, revision: 0 });
        lost.extend(fill_set(api, store, (&source, &set), last, &claim).await?);
    }
    Ok(lost)
}

/// What is said of a store that lacks versions of which its own states or marks tell: nothing is committed to these sets before it is
/// accepted.
pub(super) async fn told_words(store: &OpenStore) -> Result<Vec<String>, Problem> {
    let name = &store.record.name;
    let words = |((source, set), last)| {
        format!(
            "TM-STORE-0113: {source}.{set} ends before version {last}, which was given: tidemark store accept {name}"
        )
    };
    Ok(told(store).await?.into_iter().map(words).collect())
}

/// Sets of the store that end before a number of which states or marks tell, with that number. Marks and states that cannot be read tell
/// of none: nothing is committed beside them.
async fn told(store: &OpenStore) -> Result<BTreeMap<(SourceId, SetId), VersionNumber>, Problem> {
    let mut told = BTreeMap::new();
    for source in find::sources(&store.objects).await.map_err(not_found)? {
        let mut sets: BTreeSet<SetId> =
            find::sets(&store.objects, &source).await.map_err(not_found)?.into_iter().collect();
        // Of a set of which nothing else is left the marks may still tell.
        match marks::newest(&store.objects, &source).await {
            Ok(round) => sets.extend(round.iter().flat_map(marks::Round::sets).cloned()),
            Err(error) if error.is_of_the_store() => return Err(refused(503, "TM-GC-0001", &error)),
            Err(error) => tracing::warn!(source_id = %source, %error, "marks tell of no set"),
        }
        for set in sets {
            let chain = VersionSet::new(Arc::clone(&store.objects), source.clone(), set.clone());
            let newest = chain.list().await.map_err(answer)?.last().map_or(0, |number| number.0);
            let last = match chain.told_from(VersionNumber(newest.saturating_add(1))).await {
                Err(error) if !error.is_of_the_store() => None,
                last => last.map_err(answer)?,
            };
            // Others go on meanwhile.
            let newest = chain.list().await.map_err(answer)?.last().copied();
            told.extend(last.filter(|last| newest < Some(*last)).map(|last| ((source.clone(), set), last)));
        }
    }
    Ok(told)
}

fn not_found(error: find::Error) -> Problem {
    refused(503, "TM-CAT-0006", &error)
}

/// Takes the numbers of a set through `last` that are lost; names them, as `source.set.first..last`, where there are any.
async fn fill_set(
    api: &Api,
    store: &OpenStore,
    (source, set): (&SourceId, &SetId),
    last: VersionNumber,
    claim: &Accepting,
) -> Result<Option<String>, Problem> {
    let chain = VersionSet::new(Arc::clone(&store.objects), source.clone(), set.clone());
    let newest = chain.list().await.map_err(answer)?.last().map_or(0, |number| number.0);
    if newest >= last.0 {
        return Ok(None);
    }
    // Nothing is linked to damage: it is sealed first.
    let sealer = Sealer { task: task(api), node: api.with.node.clone() };
    chain.repair(&sealer, claim, &api.with.env).await.map_err(answer)?;
    let first = VersionNumber(newest + 1);
    chain.fill(last, draft(api, (first, last)), claim, &api.with.env).await.map_err(answer)?;
    Ok(Some(format!("{source}.{set}.{}..{}", first.0, last.0)))
}

fn draft(api: &Api, (first, last): (VersionNumber, VersionNumber)) -> ManifestDraft {
    let now = api.with.env.now();
    let reason = format!("versions {} to {} were lost: the store was accepted as it was at {now}", first.0, last.0);
    ManifestDraft {
        task: task(api),
        node: api.with.node.clone(),
        holds: Holds::Barrier(Barrier { reason }),
        in_order: false,
    }
}

fn task(api: &Api) -> String {
    format!("accept-{}", api.with.env.id().simple())
}
