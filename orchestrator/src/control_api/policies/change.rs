//! Changes of a policy. Each is in the store's mirror before it is answered.
//!
//! First the mirror is written, then what is registered, and only where it is still what was read. A crash in between leaves a
//! mirror that is ahead of what is registered here; the next change of the policy puts it right. One change at a time
//! ([`Changing`](super::super::changing::Changing)); where another daemon was first all the same, what it registered is mirrored
//! again.

use tidemark_catalog::config_mirror;
use tidemark_web::{
    api::{ChangedPolicy, Policy, PolicyDetail, Problem, RemovedPolicy},
    control::{IfMatch, Tagged},
};

use super::{
    super::{
        Api,
        changing::Entered,
        problems::{answer, refused},
    },
    being_changed, check, consent, detail, etag, mirror, preview, registered, require_confirmed, shape,
};
use crate::{
    expiry,
    registrations::{POLICIES, PolicyRecord, Registered},
};

/// What a request may change: a policy in a state that it knows, which nobody else changes meanwhile.
struct Held {
    read: Registered<PolicyRecord>,
    _entered: Entered,
}

impl Held {
    async fn take(api: &Api, name: &str) -> Result<Self, Problem> {
        let entered = api.changing.enter(name).ok_or_else(|| being_changed(name))?;
        Ok(Self { read: registered(api, name).await?, _entered: entered })
    }

    /// Makes it `policy`: in the store first.
    async fn turn_into(&self, api: &Api, policy: &PolicyRecord) -> Result<(), Problem> {
        mirror(api, policy).await?;
        let name = policy.name.as_str();
        let replaced = api.registrations().replace_at(POLICIES, name, &self.read, policy).await.map_err(answer)?;
        if !replaced {
            return Err(overtaken(api, name).await);
        }
        // What runs obeys its new limits at once.
        api.with.stores.renew_limits().await;
        Ok(())
    }
}

fn require(policy: &PolicyRecord, state: &IfMatch) -> Result<(), Problem> {
    let etag = etag(policy);
    if state.allows(&etag) {
        return Ok(());
    }
    let words = format!("policy {} has changed: its ETag is {etag}, not {}", policy.name, state.0);
    Err(Problem::new(412, "TM-POL-0412", words)
        .with_hint("look at it again, and repeat the change if it is still wanted"))
}

/// Another daemon was first: what it registered is what the mirror has to say.
pub(super) async fn overtaken(api: &Api, name: &str) -> Problem {
    match registered(api, name).await {
        Ok(other) => mirror(api, &other.value).await.err().unwrap_or_else(|| being_changed(name)),
        Err(problem) => problem,
    }
}

/// What the retention of a policy would let go after the change; changes nothing.
pub(in super::super) async fn try_change(
    api: &Api,
    name: &str,
    policy: Policy,
    state: &IfMatch,
) -> Result<Tagged<ChangedPolicy>, Problem> {
    let policy = PolicyRecord::try_from(policy)?;
    let known = registered(api, name).await?.value;
    require(&known, state)?;
    allow(api, &known, &policy).await?;
    let counts = consent::counting(api, Some(&known), &policy).await?;
    let preview = Some(preview::of(api, counts, &policy).await?);
    Ok(Tagged { value: ChangedPolicy { policy: policy.into(), preview }, etag: etag(&known) })
}

/// Changes a policy; where versions would go that stay now, that takes their `consent`.
pub(in super::super) async fn change(
    api: &Api,
    name: &str,
    policy: Policy,
    state: &IfMatch,
    consent: Option<&str>,
) -> Result<Tagged<ChangedPolicy>, Problem> {
    let policy = PolicyRecord::try_from(policy)?;
    let held = Held::take(api, name).await?;
    require(&held.read.value, state)?;
    allow(api, &held.read.value, &policy).await?;
    consent::require(api, Some(&held.read.value), &policy, consent).await?;
    let policy = policy.after(Some(&held.read.value), api.with.env.now());
    held.turn_into(api, &policy).await?;
    let etag = etag(&policy);
    Ok(Tagged { value: ChangedPolicy { policy: policy.into(), preview: None }, etag })
}

async fn allow(api: &Api, known: &PolicyRecord, policy: &PolicyRecord) -> Result<(), Problem> {
    require_confirmed(known)?;
    refuse_move(known, policy)?;
    shape::check_parts(policy, &check(api, policy).await?)
}

/// Name, source and store say where the policy's versions are.
fn refuse_move(known: &PolicyRecord, policy: &PolicyRecord) -> Result<(), Problem> {
    let fields = [
        ("name", known.name.as_str(), policy.name.as_str()),
        ("source", known.source.as_str(), policy.source.as_str()),
        ("store", known.store.as_str(), policy.store.as_str()),
    ];
    match fields.into_iter().find(|(_, old, new)| old != new) {
        None => Ok(()),
        Some((field, old, new)) => {
            let words =
                format!("policy {}: {field} is {old} and cannot become {new}: its versions are there", known.name);
            Err(Problem::conflict("TM-POL-0409", words).with_hint("make another policy, and delete or pause this one"))
        }
    }
}

/// Lets its schedule rest or go on.
pub(in super::super) async fn pause(api: &Api, name: &str, paused: bool) -> Result<Tagged<PolicyDetail>, Problem> {
    let held = Held::take(api, name).await?;
    require_confirmed(&held.read.value)?;
    if held.read.value.paused != paused {
        let known = &held.read.value;
        let policy = PolicyRecord { paused, ..known.clone() }.after(Some(known), api.with.env.now());
        // Saved, a rule that rested counts again.
        consent::require(api, Some(known), &policy, None).await?;
        held.turn_into(api, &policy).await?;
    }
    drop(held);
    detail(api, name).await
}

/// Takes a policy that came from a store's mirror for the operator's own; where versions go by it, that takes their `consent`.
pub(in super::super) async fn confirm(
    api: &Api,
    name: &str,
    consent: Option<&str>,
) -> Result<Tagged<PolicyDetail>, Problem> {
    let held = Held::take(api, name).await?;
    if let Some(store) = &held.read.value.imported_from {
        let imported = &held.read.value;
        let confirmed =
            PolicyRecord { imported_from: None, ..imported.clone() }.after(Some(imported), api.with.env.now());
        check(api, &confirmed).await?;
        consent::require(api, None, &confirmed, consent).await?;
        held.turn_into(api, &confirmed).await?;
        tracing::info!(policy = name, store, "policy confirmed");
    }
    drop(held);
    detail(api, name).await
}

/// Removes a policy; its versions stay, and a policy of the same name, source and store goes on with them.
pub(in super::super) async fn remove(api: &Api, name: &str, state: &IfMatch) -> Result<RemovedPolicy, Problem> {
    let held = Held::take(api, name).await?;
    require(&held.read.value, state)?;
    let policy = held.read.value.clone();
    let store = api.with.stores.get(policy.store.as_str()).await.map_err(answer)?;
    let versions = expiry::versions(&store, &policy.source, &policy.name).await.map_err(answer)?.len();
    let removed = config_mirror::remove(&store.objects, "policies", name).await;
    removed.map_err(|error| refused(503, "TM-STORE-0105", &error))?;
    if !api.registrations().remove_at(POLICIES, name, &held.read).await.map_err(answer)? {
        return Err(overtaken(api, name).await);
    }
    let note = match versions {
        0 => "it made no versions".to_owned(),
        1 => format!("its version stays in store {}, and no retention ends it any more", policy.store),
        count => format!("its {count} versions stay in store {}, and no retention ends them any more", policy.store),
    };
    Ok(RemovedPolicy { policy: policy.into(), versions: u64::try_from(versions).unwrap_or(u64::MAX), note })
}
