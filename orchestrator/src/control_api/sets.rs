//! Version sets: sealing what is damaged at their ends.
//!
//! The barrier is written under a token of this moment: the generation, and the revision of a record of the coordinator that
//! says who seals what. So a protect that was claimed before is fenced by it, and one that is claimed after goes on behind it.

use futures::future::join_all;
use tidemark_catalog::{
    chain::{Head, VersionSet},
    commit::Claim,
    find,
    ids::{FencingToken, SetId, SourceId, VersionId, VersionNumber},
    repair::{Repair, Sealer},
};
use tidemark_gateway::causes;
use tidemark_web::api::{Problem, RepairedSet};

use super::{
    Api,
    problems::{answer, check_name, refused},
};
use crate::{
    coordinator::{Cmp, Op},
    failure::Failure,
    generation,
    stores::{self, OpenStore},
};

/// The moment of sealing, as a claim.
struct Moment(FencingToken);

impl Claim for Moment {
    fn token(&self) -> FencingToken {
        self.0
    }

    fn holds(&self) -> bool {
        true
    }
}

/// Seals damage of a set's newest manifests, so that its policy can go on.
pub(super) async fn repair(api: &Api, source: &str, set: &str, store: Option<&str>) -> Result<RepairedSet, Problem> {
    let (source, set): (SourceId, SetId) = (check_name("source", source)?, check_name("set", set)?);
    let store = place(api, &source, &set, store).await?;
    api.with.stores.identify(&store).await.map_err(answer)?;
    let task = format!("repair-{}", api.with.env.id().simple());
    let token = token(api, &store, &source, &set, &task).await?;
    let (chain, unreadable) = api.with.stores.known_set(&store, &source, &set).await.map_err(answer)?;
    let sealer = Sealer { task, node: api.with.node.clone() };
    let done = chain.repair(&sealer, &Moment(token), &api.with.env).await.map_err(answer)?;
    let shown = |sealed, damage| RepairedSet {
        store: store.record.name.clone(),
        source: source.to_string(),
        set: set.to_string(),
        sealed,
        damage,
    };
    let (head, shown) = match done {
        Repair::Nothing => match unreadable {
            None => return Ok(shown(None, None)),
            Some(error) => (as_it_is(&chain).await?, shown(None, Some(causes::joined(&error)))),
        },
        Repair::Head { head, damage } => {
            (head, shown(None, Some(format!("further back than the newest versions: {damage}"))))
        }
        Repair::Sealed { head, damage } => {
            let id = VersionId { source: source.clone(), set: set.clone(), number: head.number };
            (head, shown(Some(id.to_string()), Some(damage)))
        }
    };
    tracing::warn!(store = store.record.name, source_id = %source, %set, head = %head.number, "damage sealed");
    api.with.stores.repaired(&store, &(source, set, head)).await.map_err(answer)?;
    Ok(shown)
}

/// The head of a set of which nothing is known any more.
async fn as_it_is(chain: &VersionSet) -> Result<Head, Problem> {
    let head = chain.head().await.map_err(|error| answer(Failure::from(error)))?;
    head.map(|(_, head)| head).ok_or_else(|| {
        Problem::conflict("TM-STORE-0120", "the store holds no version of the set: they are gone")
            .with_hint("bring the store back as it was, or: tidemark store accept NAME --confirm NAME")
    })
}

/// The store of the set: the one that is named, or the only one that holds versions of it.
pub(super) async fn place(
    api: &Api,
    source: &SourceId,
    set: &SetId,
    store: Option<&str>,
) -> Result<OpenStore, Problem> {
    if let Some(name) = store {
        return api.with.stores.get(name).await.map_err(answer);
    }
    let (mut found, mut held, mut away) = (Vec::new(), Vec::new(), None);
    let records = api.with.stores.records().await.map_err(answer)?;
    let looks = records.iter().map(|record| holds(api, &record.name, source, set));
    for (record, here) in records.iter().zip(join_all(looks).await) {
        match here {
            Ok(here) => found.extend(here),
            Err(failure) => {
                away = away.or(Some(failure));
                let known = api.with.stores.held(&record.repository, source, set, VersionNumber(1)).await;
                held.extend(known.then(|| record.name.clone()));
            }
        }
    }
    let names: Vec<_> = found.iter().map(|store| store.record.name.clone()).chain(held).collect();
    match (found.pop(), away) {
        (Some(store), _) if names.len() == 1 => Ok(store),
        (Some(_), _) => {
            let words = format!("set {set} of source {source} is in stores {}", names.join(" and "));
            Err(Problem::conflict("TM-VER-0409", words).with_hint("name the store: --store NAME"))
        }
        (None, Some(failure)) => Err(answer(failure)),
        (None, None) => {
            Err(Problem::not_found("TM-VER-0404", format!("no registered store holds versions of {source}.{set}")))
        }
    }
}

async fn holds(api: &Api, store: &str, source: &SourceId, set: &SetId) -> Result<Option<OpenStore>, Failure> {
    let store = api.with.stores.get(store).await?;
    let listed = find::listed(&store.objects, Some(source.as_str()), Some(set.as_str())).await;
    let listed = listed.map_err(|error| crate::failure::catalog::store("TM-CAT-0006", &error, error.is_retryable()))?;
    Ok((!listed.is_empty()).then_some(store))
}

/// A token above every claim that was made here before; refused where another daemon has taken the repository over.
async fn token(
    api: &Api,
    store: &OpenStore,
    source: &SourceId,
    set: &SetId,
    task: &str,
) -> Result<FencingToken, Problem> {
    let failed = |error: generation::Error| refused(503, "TM-STORE-0104", &error);
    let (coordinator, repository) = (&*api.coordinator, &store.record.repository);
    let own = coordinator.generation();
    let held = generation::holds(coordinator, repository, own).await.map_err(failed)?;
    let own = match held {
        true => own,
        false => {
            let taken = generation::attach(coordinator, repository, &store.objects, &api.with.env).await;
            taken.map_err(|error| answer(stores::generations_failed(store, error)))?
        }
    };
    let newest = generation::newest(&store.objects).await.map_err(failed)?;
    if newest > own {
        let words = format!("store {} is used under generation {newest}, this daemon has {own}", store.record.name);
        return Err(
            Problem::conflict("TM-STORE-0104", words).with_hint("repair it by the daemon that has taken it over")
        );
    }
    let key = format!("repair/{}/{source}.{set}", store.record.repository);
    let then = vec![Op::put(key, task)];
    let outcome = api.coordinator.txn(vec![Cmp::Generation(own)], then, vec![]).await;
    let outcome = outcome.map_err(|error| refused(503, "TM-TASK-0002", &error))?;
    if !outcome.succeeded {
        return Err(Problem::new(503, "TM-STORE-0104", "the generation rose meanwhile").with_hint("try again"));
    }
    Ok(FencingToken { generation: own, revision: outcome.revision })
}
