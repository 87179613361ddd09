//! No version that stays now begins to go without somebody's word.
//!
//! A change or a new policy by which versions would go that stay now is refused unless the request repeats the consent of the preview
//! that showed them (`dry_run`). Where no policy is registered all versions stay, and so they do by one that rests ([`resting`]): a
//! policy that is made for a chain that is there, saved where it rested, or confirmed, needs the same word as a change of one.

use serde_json::json;
use tidemark_gateway::Digest;
use tidemark_web::api::{PreviewVersion, Problem};

use super::{
    super::{Api, problems::answer},
    preview,
};
use crate::{registrations::PolicyRecord, resting};

/// Refuses what would let versions go that stay by `known`, unless `given` is the consent to just that.
///
/// # Errors
/// `TM-POL-0422`; as the preview where it has to be looked at.
pub(super) async fn require(
    api: &Api,
    known: Option<&PolicyRecord>,
    policy: &PolicyRecord,
    given: Option<&str>,
) -> Result<(), Problem> {
    let known = counting(api, known, policy).await?;
    if !may_shorten(known, policy) {
        return Ok(());
    }
    let preview = preview::of(api, known, policy).await?;
    match preview.consent {
        Some(needed) if given != Some(needed.as_str()) => Err(refuse(policy, preview.newly_going, given.is_some())),
        _ => Ok(()),
    }
}

/// The known policy, where its rule counts.
///
/// # Errors
/// Where its store cannot be looked into.
pub(super) async fn counting<'a>(
    api: &Api,
    known: Option<&'a PolicyRecord>,
    policy: &PolicyRecord,
) -> Result<Option<&'a PolicyRecord>, Problem> {
    let Some(known) = known.filter(|_| policy.keep.is_some()) else { return Ok(None) };
    let record = api.with.stores.record(known.store.as_str()).await.map_err(answer)?;
    let store = api.with.stores.same_soon(record).await.map_err(answer)?;
    let rests = resting::why(api.registrations(), &store.objects, known).await.map_err(answer)?;
    Ok(rests.is_none().then_some(known))
}

fn may_shorten(known: Option<&PolicyRecord>, policy: &PolicyRecord) -> bool {
    let rules = |policy: &PolicyRecord| (policy.keep.clone(), policy.zone.clone());
    policy.keep.is_some() && known.map(rules) != Some(rules(policy))
}

fn refuse(policy: &PolicyRecord, count: u64, given: bool) -> Problem {
    let why = if given { "what was agreed to is something else" } else { "nobody agreed to that" };
    let words =
        format!("policy {}: {count} versions would go that stay now, and {why}; nothing was changed", policy.name);
    Problem::refused("TM-POL-0422", words).with_hint(
        "the same request with dry_run=true shows them and gives the consent to repeat; tidemark policy create, edit and confirm ask",
    )
}

/// The consent to letting these versions go by the rules of this policy; `None` where none go.
pub(super) fn of(policy: &PolicyRecord, versions: &[PreviewVersion]) -> Option<String> {
    let going: Vec<_> = versions.iter().filter(|version| version.newly_going).map(|version| &version.version).collect();
    let rules = json!({"store": policy.store, "keep": policy.keep, "zone": policy.zone, "going": going});
    (!going.is_empty()).then(|| Digest::of(rules.to_string().as_bytes()).to_string()[..32].to_owned())
}
