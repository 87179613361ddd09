//! Policies, and the tasks that run them.

mod change;
mod consent;
mod figures;
mod preview;
mod shape;

use futures::{FutureExt as _, StreamExt as _, future, stream};
use serde_json::{Value, json};
use tidemark_catalog::config_mirror;
use tidemark_gateway::Digest;
use tidemark_web::{
    api::{ChangedPolicy, ComingRun, List, Order, Page, Policy, PolicyDetail, PolicyPreview, Problem},
    control::Tagged,
};

use super::{
    Api,
    problems::{answer, refused, taken},
};
use crate::{
    protect::{self, ProtectSpec},
    registrations::{POLICIES, PolicyRecord, Registered, SourceRecord},
    schedule,
    sources::Driver,
    tasks::{Kind, Submit},
};

pub(super) use change::{change, confirm, pause, remove, try_change};
use figures::Around;
pub(super) use figures::OfPolicy;

/// Policies whose versions are looked for at a time: of those in a store that does not answer each waits for it.
const LOOKS_AT_A_TIME: usize = 16;

/// Registers a policy and mirrors it, with its source, into its store: before this returns the store alone can bring both
/// back. Where the same policy is registered, in whatever words, it stays as it is. What came from a mirror and was never confirmed
/// gives way. Where there are versions that its retention lets go, that takes their `consent`.
pub(super) async fn add(api: &Api, policy: Policy, consent: Option<&str>) -> Result<PolicyRecord, Problem> {
    let policy = PolicyRecord::try_from(policy)?.after(None, api.with.env.now());
    let driver = check(api, &policy).await?;
    shape::check_parts(&policy, &driver)?;
    let name = policy.name.as_str();
    let _entered = api.changing.enter(name).ok_or_else(|| being_changed(name))?;
    let known: Option<Registered<PolicyRecord>> = api.registrations().read(POLICIES, name).await.map_err(answer)?;
    match known {
        Some(known) if !known.value.is_confirmed() => {
            consent::require(api, None, &policy, consent).await?;
            return instead_of(api, &known, policy).await;
        }
        Some(known) if !same(&driver, &known.value, &policy) => return Err(other_settings(name)),
        Some(known) => {
            consent::require(api, Some(&known.value), &policy, consent).await?;
            return mirror(api, &known.value).await.map(|()| known.value);
        }
        None => {
            consent::require(api, None, &policy, consent).await?;
            mirror(api, &policy).await?;
        }
    }
    match api.registrations().create(POLICIES, name, &policy).await.map_err(answer)? {
        Some(other) if other.timeless() != policy.timeless() => {
            change::overtaken(api, name).await;
            Err(other_settings(name))
        }
        _ => Ok(policy),
    }
}

/// What registering it would let go; changes nothing.
pub(super) async fn try_add(api: &Api, policy: Policy) -> Result<ChangedPolicy, Problem> {
    let policy = PolicyRecord::try_from(policy)?;
    let driver = check(api, &policy).await?;
    shape::check_parts(&policy, &driver)?;
    let known: Option<PolicyRecord> = api.registrations().get(POLICIES, policy.name.as_str()).await.map_err(answer)?;
    let known = known.filter(PolicyRecord::is_confirmed);
    if known.as_ref().is_some_and(|known| !same(&driver, known, &policy)) {
        return Err(other_settings(policy.name.as_str()));
    }
    let counts = consent::counting(api, known.as_ref(), &policy).await?;
    let preview = Some(preview::of(api, counts, &policy).await?);
    Ok(ChangedPolicy { policy: policy.into(), preview })
}

/// Takes what an operator says in the place of what a mirror said.
async fn instead_of(
    api: &Api,
    imported: &Registered<PolicyRecord>,
    policy: PolicyRecord,
) -> Result<PolicyRecord, Problem> {
    mirror(api, &policy).await?;
    let name = policy.name.as_str();
    let replaced = api.registrations().replace_at(POLICIES, name, imported, &policy).await.map_err(answer)?;
    if replaced { Ok(policy) } else { Err(change::overtaken(api, name).await) }
}

/// Policies that are confirmed with a source that is not yet: what the mirror said from which it came, of it. Those of builds that did
/// not tell them apart from an operator's own are among them.
pub(super) async fn that_come_with(api: &Api, source: &SourceRecord) -> Result<Vec<PolicyRecord>, Problem> {
    let Some(store) = &source.imported_from else { return Ok(Vec::new()) };
    let mut policies: Vec<PolicyRecord> = api.registrations().list(POLICIES).await.map_err(answer)?;
    policies.retain(|policy| policy.source.as_str() == source.name);
    policies.retain(|policy| policy.imported_from.as_ref().is_none_or(|from| from == store));
    Ok(policies)
}

/// Confirms policies as they were shown with a source that came from `store`, but not those by which versions would go, or of which
/// that cannot be said: these are confirmed one by one. Gives those that are confirmed now, and those that wait.
pub(super) async fn confirm_as_shown(
    api: &Api,
    store: &str,
    shown: Vec<PolicyRecord>,
) -> Result<(Vec<PolicyRecord>, Vec<PolicyRecord>), Problem> {
    let (mut confirmed, mut waiting) = (Vec::new(), Vec::new());
    for policy in shown {
        let own = PolicyRecord { imported_from: None, ..policy.clone() }.after(Some(&policy), api.with.env.now());
        let alone = consent::require(api, None, &own, None).await.is_err();
        let next = if alone { PolicyRecord { imported_from: Some(store.to_owned()), ..policy.clone() } } else { own };
        let replaced = policy == next
            || api.registrations().replace(POLICIES, policy.name.as_str(), &policy, &next).await.map_err(answer)?;
        // One that was changed meanwhile is neither.
        match alone {
            _ if !replaced => {}
            true => waiting.push(next),
            false => confirmed.push(next),
        }
    }
    Ok((confirmed, waiting))
}

/// Mirrors the policies of a store that was accepted as it is: it may know older ones, or none. Those by which versions would go rest
/// until somebody saves them; gives words on each.
pub(super) async fn mirror_again(api: &Api, store: &str) -> Result<Vec<String>, Problem> {
    let policies: Vec<PolicyRecord> = api.registrations().list(POLICIES).await.map_err(answer)?;
    let mut warnings = Vec::new();
    for policy in policies.into_iter().filter(|policy| policy.store.as_str() == store && policy.is_confirmed()) {
        let mirrored = match consent::require(api, None, &policy, None).await {
            Ok(()) => mirror(api, &policy).await,
            Err(problem) => Err(problem),
        };
        if let Err(Problem { code, detail, .. }) = mirrored {
            let name = &policy.name;
            warnings
                .push(format!("{code}: policy {name} rests until it is saved (tidemark policy edit {name}): {detail}"));
        }
    }
    Ok(warnings)
}

/// Refuses to run or change what nobody has confirmed.
pub(super) fn require_confirmed(policy: &PolicyRecord) -> Result<(), Problem> {
    let Some(store) = &policy.imported_from else { return Ok(()) };
    let name = &policy.name;
    let words = format!("policy {name} came from the mirror of store {store} and is not confirmed");
    Err(Problem::new(422, "TM-POL-0010", words)
        .with_hint(format!("see what it says: tidemark policy show {name}; then: tidemark policy confirm {name}")))
}

/// True where two policies say the same, whether they name what holds anyway or not.
fn same(driver: &Driver, one: &PolicyRecord, other: &PolicyRecord) -> bool {
    let plain =
        |policy: &PolicyRecord| PolicyRecord { options: driver.normal_options(&policy.options), ..policy.timeless() };
    plain(one) == plain(other)
}

/// Refuses what its source or this host does not understand; the source's driver otherwise.
async fn check(api: &Api, policy: &PolicyRecord) -> Result<Driver, Problem> {
    let (_, driver) = api.with.source(policy.source.as_str()).await.map_err(answer)?;
    let options = driver.validate_options(&policy.options);
    options.map_err(|failure| Problem::bad_request("TM-POL-0400", failure.message))?;
    Ok(driver)
}

fn other_settings(name: &str) -> Problem {
    let taken = taken("TM-POL-0409", "policy", name);
    taken.with_hint("tidemark policy edit changes it; another policy needs another name")
}

fn being_changed(name: &str) -> Problem {
    Problem::new(412, "TM-POL-0412", format!("policy {name} is being changed by another request"))
        .with_hint("look at it again, and repeat the change if it is still wanted")
}

/// Mirrors a policy and its source into its store.
async fn mirror(api: &Api, policy: &PolicyRecord) -> Result<(), Problem> {
    let (source, _) = api.with.source(policy.source.as_str()).await.map_err(answer)?;
    let store = api.with.stores.get(policy.store.as_str()).await.map_err(answer)?;
    let said = PolicyRecord { imported_from: None, ..policy.timeless() };
    let items = [("sources", source.name.as_str(), json!(source)), ("policies", policy.name.as_str(), json!(said))];
    for (kind, id, value) in items {
        let put = config_mirror::put(&store.objects, kind, id, &value).await;
        put.map_err(|error| refused(503, "TM-STORE-0105", &error))?;
    }
    Ok(())
}

/// A page of the policies, and how they stand; those that cannot be read too.
pub(super) async fn list(api: &Api, page: &Page) -> Result<List<PolicyDetail>, Problem> {
    let records = api.registrations().each::<PolicyRecord>(POLICIES).await.map_err(answer)?;
    let List { items, next_page_token } = page.cut(records, Order::Ascending, |(name, _)| name.clone());
    let around = Around::read(api).await?;
    let mut looks = Vec::with_capacity(items.len());
    for (name, read) in items {
        looks.push(match read {
            Ok(record) => figures::detail(api, record, &around).boxed(),
            Err(error) => future::ready(figures::unreadable(name, &error)).boxed(),
        });
    }
    let items = stream::iter(looks).buffered(LOOKS_AT_A_TIME).collect().await;
    Ok(List { items, next_page_token })
}

pub(super) async fn one(api: &Api, name: &str) -> Result<PolicyRecord, Problem> {
    Ok(registered(api, name).await?.value)
}

async fn registered(api: &Api, name: &str) -> Result<Registered<PolicyRecord>, Problem> {
    let found = api.registrations().read(POLICIES, name).await.map_err(answer)?;
    found.ok_or_else(|| Problem::not_found("TM-POL-0404", format!("there is no policy {name}")))
}

/// A policy and how it stands.
pub(super) async fn detail(api: &Api, name: &str) -> Result<Tagged<PolicyDetail>, Problem> {
    let record = one(api, name).await?;
    let etag = etag(&record);
    Ok(Tagged { value: figures::detail(api, record, &Around::read(api).await?).await, etag })
}

/// The tag of a policy's state: the same for the same policy.
fn etag(policy: &PolicyRecord) -> String {
    format!("\"{}\"", &Digest::of(json!(policy.timeless()).to_string().as_bytes()).to_string()[..32])
}

/// The coming runs.
pub(super) async fn next(api: &Api, name: &str, count: usize) -> Result<List<ComingRun>, Problem> {
    let policy = one(api, name).await?;
    let schedule = policy.active_schedule().map_err(|error| not_sound(&error))?;
    let around = Around::read(api).await?;
    let runs = schedule.map(|schedule| around.coming(&policy, &schedule, api.with.env.now(), count));
    let show = |run: schedule::Run| ComingRun { at: run.at, slot: run.slot.nominal() };
    Ok(List::whole(runs.into_iter().flatten().map(show).collect()))
}

/// What its retention makes of its versions.
pub(super) async fn preview(api: &Api, name: &str) -> Result<PolicyPreview, Problem> {
    let policy = one(api, name).await?;
    preview::of(api, Some(&policy), &policy).await
}

fn not_sound(error: &schedule::Error) -> Problem {
    Problem::bad_request("TM-POL-0400", format!("schedule: {}", tidemark_gateway::causes::joined(error)))
}

/// The task of one run.
pub(crate) fn run(policy: PolicyRecord) -> Submit {
    Submit {
        kind: Kind::Protect,
        subject: format!("{}/{}", policy.source, policy.name),
        body: Value::Null,
        exclusive: Some(protect::scope(&policy.source)),
        spec: json!(ProtectSpec { policy }),
    }
}
