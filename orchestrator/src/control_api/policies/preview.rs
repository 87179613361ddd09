//! What a policy's retention makes of its versions, and what a change of it would.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;
use tidemark_catalog::{
    ids::{VersionId, VersionNumber},
    manifest::WorstQuality,
    retention::{self, Candidate, Decision},
};
use tidemark_web::api::{PolicyPreview, PreviewVersion, Problem, Quality, Version};

use super::{
    super::{Api, versions},
    not_sound,
};
use crate::registrations::PolicyRecord;

/// What the retention of `policy` makes of its versions; what goes only because of it, and not by that of `known`, is marked.
///
/// # Errors
/// A problem where the policy's store cannot be looked into, or its zone is not known.
pub(super) async fn of(api: &Api, known: &PolicyRecord, policy: &PolicyRecord) -> Result<PolicyPreview, Problem> {
    let lines = versions::of_policy(api, policy).await?;
    shape(&lines, known, policy, api.with.env.now())
}

fn shape(
    lines: &[Version],
    known: &PolicyRecord,
    policy: &PolicyRecord,
    now: Timestamp,
) -> Result<PolicyPreview, Problem> {
    let candidates: Vec<Candidate> = lines.iter().filter_map(candidate).collect();
    let went: BTreeSet<_> = decisions(known, &candidates, now)?.into_values().filter(goes).map(|d| d.number).collect();
    let decided = decisions(policy, &candidates, now)?;
    let mut preview = PolicyPreview::default();
    for line in lines.iter().filter(|line| !matches!(line.quality, Quality::Lost | Quality::Fence)) {
        let decision = number(line).and_then(|number| decided.get(&number));
        let shown = show(line, decision, |number| went.contains(&number));
        let bytes = shown.kept_bytes;
        let count = |counted: bool, number: &mut u64, sum: &mut u64| {
            *number += u64::from(counted);
            *sum += if counted { bytes } else { 0 };
        };
        count(!shown.keep, &mut preview.going, &mut preview.going_bytes);
        count(shown.newly_going, &mut preview.newly_going, &mut preview.newly_going_bytes);
        preview.versions.push(shown);
    }
    Ok(preview)
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

fn number(line: &Version) -> Option<VersionNumber> {
    line.id.parse::<VersionId>().ok().map(|id| id.number)
}

/// A version as retention looks at it; one that cannot be read or is expired, and a number that holds none, is not looked at.
fn candidate(line: &Version) -> Option<Candidate> {
    if line.expired.is_some() {
        return None;
    }
    let quality = match line.quality {
        Quality::Exact => WorstQuality::Exact,
        Quality::Cut => WorstQuality::Cut,
        Quality::Degraded => WorstQuality::Degraded,
        Quality::Missing => WorstQuality::Missing,
        Quality::Damaged | Quality::Lost | Quality::Fence | Quality::Unknown => return None,
    };
    Some(Candidate { number: number(line)?, at: at(line)?, held: line.held.iter().cloned().collect(), quality })
}

fn at(line: &Version) -> Option<Timestamp> {
    line.cut_through.or(line.committed)
}

fn show(line: &Version, decision: Option<&Decision>, went: impl Fn(VersionNumber) -> bool) -> PreviewVersion {
    let reasons = match (decision, &line.damage) {
        _ if line.expired.is_some() => vec!["expired already".to_owned()],
        (Some(decision), _) => decision.reasons.iter().map(ToString::to_string).collect(),
        (None, Some(damage)) => vec![format!("damaged, so that retention leaves it alone: {damage}")],
        (None, None) => vec!["all versions are kept".to_owned()],
    };
    let keep = line.expired.is_none() && decision.is_none_or(|decision| decision.keep);
    let newly_going = decision.is_some_and(|decision| !decision.keep && !went(decision.number));
    let (version, kept_bytes) = (line.id.clone(), line.totals.kept_bytes);
    PreviewVersion { version, at: at(line), keep, newly_going, reasons, kept_bytes }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};
    use tidemark_web::api::Totals;

    use super::*;

    fn policy(keep: Value) -> PolicyRecord {
        let policy = json!({"name": "p", "source": "src", "objects": ["ks/*"], "store": "s", "keep": keep});
        serde_json::from_value(policy).unwrap()
    }

    /// Versions of six days, newest first, one damaged and one number lost.
    fn lines() -> Vec<Version> {
        let line = |day: u64| {
            let at: Timestamp = format!("2026-05-0{day}T03:00:00Z").parse().unwrap();
            let quality = match day {
                2 => Quality::Damaged,
                3 => Quality::Lost,
                _ => Quality::Cut,
            };
            let damage = (quality != Quality::Cut).then(|| "why".to_owned());
            Version {
                id: format!("src.p.{day}"),
                store: "s".to_owned(),
                committed: damage.is_none().then_some(at),
                cut_from: None,
                cut_through: None,
                quality,
                damage,
                objects: 1,
                totals: Totals { kept_bytes: 100 + day, ..Totals::default() },
                expired: None,
                held: None,
            }
        };
        (1..=6).rev().map(line).collect()
    }

    fn kept(preview: &PolicyPreview) -> Vec<(&str, bool, bool)> {
        preview.versions.iter().map(|v| (v.version.as_str(), v.keep, v.newly_going)).collect()
    }

    #[test]
    fn what_a_shorter_retention_lets_go_is_counted_and_each_version_says_why() {
        let now = "2026-05-06T12:00:00Z".parse().unwrap();
        let preview = shape(&lines(), &policy(json!({"last": 3})), &policy(json!({"last": 2})), now).unwrap();
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
        let preview = shape(&lines(), &policy(json!(null)), &policy(json!(null)), now).unwrap();
        assert!(preview.versions.iter().all(|v| v.keep) && preview.going == 0 && preview.versions.len() == 5);
        let preview = shape(&lines(), &policy(json!(null)), &policy(json!({"last": 1})), now).unwrap();
        assert_eq!((preview.going, preview.newly_going), (3, 3));
    }
}
