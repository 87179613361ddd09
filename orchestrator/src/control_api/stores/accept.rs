//! Accepting a store that is not what it was: put back from a copy, emptied or replaced on purpose.
//!
//! 1. A new generation is taken, above all that are known here or in the store: what was claimed before is fenced.
//! 2. Of each set whose chain is shorter than it was, the numbers that are lost are taken by manifests that hold no version.
//!    So the chain keeps no hole, and no number is given twice.
//! 3. What the store holds now becomes what is known of it; the registration comes last.
//!
//! A crash in between leaves a store that is still refused; accepting it again goes on.

use std::sync::Arc;

use tidemark_catalog::{
    chain::VersionSet,
    commit::{Claim, ManifestDraft},
    ids::{FencingToken, VersionNumber},
    manifest::{Barrier, Holds},
    repair::Sealer,
};
use tidemark_gateway::preflight;
use tidemark_web::api::{AcceptStore, AcceptedStore, Problem, Store};

use super::{Learned, learn, show, unsafe_store, with_repository};
use crate::{
    control_api::{Api, policies, problems::answer},
    generation,
    registrations::{STORES, StoreRecord},
    stores::{self, OpenStore, identity::Damaged},
};

/// The generation under which a store is accepted, as a claim.
struct Accepting(u64);

impl Claim for Accepting {
    fn token(&self) -> FencingToken {
        FencingToken { generation: self.0, revision: 0 }
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
        Ok(damaged) => Ok(damaged.iter().any(Damaged::is_unknown)),
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
    let mut lost = Vec::new();
    for (source, set, head) in api.with.stores.known_heads(&known.repository).await.map_err(answer)? {
        let chain = VersionSet::new(Arc::clone(&store.objects), source.clone(), set.clone());
        let newest = chain.list().await.map_err(answer)?.last().map_or(0, |number| number.0);
        if newest >= head.number.0 {
            continue;
        }
        // Nothing is linked to damage: it is sealed first.
        let sealer = Sealer { task: task(api), node: api.with.node.clone() };
        chain.repair(&sealer, &Accepting(generation), &api.with.env).await.map_err(answer)?;
        let range = (VersionNumber(newest + 1), head.number);
        let draft = draft(api, range);
        chain.fill(head.number, draft, &Accepting(generation), &api.with.env).await.map_err(answer)?;
        lost.push(format!("{source}.{set}.{}..{}", range.0.0, range.1.0));
    }
    Ok(lost)
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
