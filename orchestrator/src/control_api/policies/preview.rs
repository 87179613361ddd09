//! What a policy's retention makes of its versions, and what a change of it would.
//!
//! Versions are judged by what expires them too (`expiry`): what is shown is what the next collection does.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;
use tidemark_catalog::{
    ids::{VersionId, VersionNumber},
    retention::{self, Candidate, Decision},
};
use tidemark_web::api::{PolicyPreview, PreviewVersion, Problem};

use super::{
    super::{Api, problems::answer},
    consent, not_sound,
};
use crate::{
    expiry::{self, Looked, What},
    registrations::PolicyRecord,
};

/// What the retention of `policy` makes of its versions; what goes only because of it, and not by that of `known`, is marked.
/// Without a known policy all versions stay.
///
/// # Errors
/// A problem where the policy's store cannot be looked into, or its zone is not known.
pub(super) async fn of(
    api: &Api,
    known: Option<&PolicyRecord>,
    policy: &PolicyRecord,
) -> Result<PolicyPreview, Problem> {
    let record = api.with.stores.record(policy.store.as_str()).await.map_err(answer)?;
    let store = api.with.stores.same_soon(record).await.map_err(answer)?;
    let mut versions = expiry::versions(&store, &policy.source, &policy.name).await.map_err(answer)?;
    versions.reverse();
    shape(&versions, known, policy, api.with.env.now())
}

/// `versions` are newest first.
fn shape(
    versions: &[Looked],
    known: Option<&PolicyRecord>,
    policy: &PolicyRecord,
    now: Timestamp,
) -> Result<PolicyPreview, Problem> {
    let candidates: Vec<Candidate> = versions.iter().filter_map(candidate).cloned().collect();
    // By a retention whose zone this host does not know nothing goes.
    let went = known.and_then(|known| decisions(known, &candidates, now).ok()).unwrap_or_default();
    let went: BTreeSet<_> = went.into_values().filter(goes).map(|decision| decision.number).collect();
    let decided = decisions(policy, &candidates, now)?;
    let mut preview = PolicyPreview::default();
    for looked in versions {
        let shown = show(policy, looked, decided.get(&looked.number), went.contains(&looked.number));
        let bytes = shown.kept_bytes;
        let count = |counted: bool, number: &mut u64, sum: &mut u64| {
            *number += u64::from(counted);
            *sum += if counted { bytes } else { 0 };
        };
        count(!shown.keep, &mut preview.going, &mut preview.going_bytes);
        count(shown.newly_going, &mut preview.newly_going, &mut preview.newly_going_bytes);
        preview.versions.push(shown);
    }
    preview.consent = consent::of(policy, &preview.versions);
    Ok(preview)
}

fn candidate(looked: &Looked) -> Option<&Candidate> {
    match &looked.what {
        What::Candidate(candidate) => Some(candidate),
        What::Expired | What::Damaged(_) => None,
    }
}

fn goes(decision: &Decision) -> bool {
    !decision.keep
}

/// What becomes of each version; nothing where all are kept.
fn decisions(
    policy: &PolicyRecord,
    candidates: &[Candidate],
    now: Timestamp,
) -> Result<BTreeMap<VersionNumber, Decision>, Problem> {
    let Some(keep) = &policy.keep else { return Ok(BTreeMap::new()) };
    let zone = policy.zone().map_err(|error| not_sound(&error))?;
    Ok(retention::plan(keep, &zone, candidates, now).into_iter().map(|decision| (decision.number, decision)).collect())
}

fn show(policy: &PolicyRecord, looked: &Looked, decision: Option<&Decision>, went: bool) -> PreviewVersion {
    let Looked { number, what, at, kept_bytes } = looked;
    let id = VersionId { source: policy.source.clone(), set: policy.name.clone(), number: *number };
    let reasons = match (what, decision) {
        (What::Expired, _) => vec!["expired already".to_owned()],
        (What::Damaged(damage), _) => vec![format!("damaged, so that retention leaves it alone: {damage}")],
        (What::Candidate(_), Some(decision)) => decision.reasons.iter().map(ToString::to_string).collect(),
        (What::Candidate(_), None) => vec!["all versions are kept".to_owned()],
    };
    let keep = !matches!(what, What::Expired) && decision.is_none_or(|decision| decision.keep);
    let newly_going = decision.is_some_and(goes) && !went;
    PreviewVersion { version: id.to_string(), at: *at, keep, newly_going, reasons, kept_bytes: *kept_bytes }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};
    use tidemark_catalog::manifest::WorstQuality;

    use super::*;

    fn policy(keep: Value) -> PolicyRecord {
        let policy = json!({"name": "p", "source": "src", "objects": ["ks/*"], "store": "s", "keep": keep});
        serde_json::from_value(policy).unwrap()
    }

    /// Versions of six days, newest first, one damaged and one number that holds none.
    fn versions() -> Vec<Looked> {
        let version = |day: u64| {
            let at: Timestamp = format!("2026-05-0{day}T03:00:00Z").parse().unwrap();
            let (number, quality) = (VersionNumber(day), WorstQuality::Cut);
            let what = match day {
                2 => What::Damaged("why".to_owned()),
                _ => What::Candidate(Candidate { number, at, held: Vec::new(), quality }),
            };
            Looked { number, what, at: Some(at), kept_bytes: 100 + day }
        };
        (1..=6).rev().filter(|day| *day != 3).map(version).collect()
    }

    fn kept(preview: &PolicyPreview) -> Vec<(&str, bool, bool)> {
        preview.versions.iter().map(|v| (v.version.as_str(), v.keep, v.newly_going)).collect()
    }

    #[test]
    fn what_a_shorter_retention_lets_go_is_counted_and_each_version_says_why() {
        let now = "2026-05-06T12:00:00Z".parse().unwrap();
        let preview = shape(&versions(), Some(&policy(json!({"last": 3}))), &policy(json!({"last": 2})), now).unwrap();
        let expected = [
            ("src.p.6", true, false),
            ("src.p.5", true, false),
            ("src.p.4", false, true),
            ("src.p.2", true, false),
            ("src.p.1", false, false),
        ];
        assert_eq!(kept(&preview), expected);
        assert_eq!((preview.going, preview.going_bytes), (2, 104 + 101));
        assert_eq!((preview.newly_going, preview.newly_going_bytes), (1, 104));
        let reasons: Vec<_> = preview.versions.iter().map(|v| v.reasons.join("; ")).collect();
        assert!(reasons[1].contains("last 2 of 2") && reasons[2] == "none of the rules", "{reasons:?}");
        assert!(reasons[3].contains("damaged") && reasons[3].contains("why"), "{reasons:?}");
    }

    #[test]
    fn without_a_retention_all_stay_and_the_first_one_is_a_change() {
        let now = "2026-05-06T12:00:00Z".parse().unwrap();
        let preview = shape(&versions(), Some(&policy(json!(null))), &policy(json!(null)), now).unwrap();
        assert!(preview.versions.iter().all(|v| v.keep) && preview.going == 0 && preview.versions.len() == 5);
        let preview = shape(&versions(), Some(&policy(json!(null))), &policy(json!({"last": 1})), now).unwrap();
        assert_eq!((preview.going, preview.newly_going), (3, 3));
        let new = shape(&versions(), None, &policy(json!({"last": 1})), now).unwrap();
        assert_eq!(new, preview, "where there is no policy all versions stay");
        let mut elsewhere = policy(json!({"last": 1}));
        elsewhere.zone = Some("Mars/Olympus".to_owned());
        let from = shape(&versions(), Some(&elsewhere), &policy(json!({"last": 1})), now).unwrap();
        assert_eq!(from, preview, "nor does anything go by a zone that is not known");
    }

    #[test]
    fn a_consent_is_to_these_versions_by_these_rules() {
        let now = "2026-05-06T12:00:00Z".parse().unwrap();
        let consent = |count: usize, keep: Value| {
            let versions = &versions()[versions().len() - count..];
            shape(versions, None, &policy(keep), now).unwrap().consent
        };
        assert_eq!(consent(5, json!({"last": 4})), None, "none goes");
        let given = consent(5, json!({"last": 1}));
        assert!(given.is_some());
        assert_eq!(given, consent(5, json!({"last": 1})));
        for other in [consent(4, json!({"last": 1})), consent(5, json!({"last": 2})), consent(5, json!({"daily": 1}))] {
            assert_ne!(given, other);
        }
    }
}
