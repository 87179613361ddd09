//! What is stored of versions, as the API shows it.

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use tidemark_catalog::{
    chain, collect,
    entry::{self, DegradedRange, ObjectLine},
    figures::Figures,
    ids::VersionId,
    manifest::{Barrier, Holds, Manifest, WorstQuality},
    states::VersionState,
};
use tidemark_web::api::{self, Problem, Quality, Totals, Version, VersionObject};

use crate::{stores::OpenStore, totals};

pub(in super::super) fn show(store: &OpenStore, id: &VersionId, manifest: &Manifest) -> Version {
    let (id, store, committed) = (id.to_string(), store.record.name.clone(), Some(manifest.committed));
    match &manifest.holds {
        Holds::Version(version) => Version {
            id,
            store,
            committed,
            cut_from: version.cut.as_ref().map(|cut| cut.from),
            cut_through: version.cut.as_ref().map(|cut| cut.through),
            quality: show_quality(version.worst),
            damage: None,
            objects: version.objects,
            totals: show_totals(&version.figures),
            state: api::VersionState::Kept,
            undo_until: None,
            expired: None,
            held: None,
        },
        // A number that holds no version: it was given before the store was put back, or seals damage.
        Holds::Barrier(Barrier { reason }) => {
            let (quality, state) = match collect::is_fence(manifest) {
                true => (Quality::Fence, api::VersionState::Fence),
                false => (Quality::Lost, api::VersionState::Lost),
            };
            Version { committed, ..nothing(id, store, (quality, state), reason.clone()) }
        }
    }
}

/// The line of a version with what became of it; an expiry can be undone for so long.
pub(in super::super) fn with_state(version: Version, state: &VersionState, undo: Duration) -> Version {
    let held = state.hold.as_ref().map(|hold| match hold.reason.as_str() {
        "" => hold.by.clone(),
        reason => format!("{}: {reason}", hold.by),
    });
    let what = if version.state == api::VersionState::Kept { becomes(state) } else { version.state };
    let expired = state.expired.as_ref().map(|expired| expired.at);
    Version { state: what, undo_until: undo_until(state, undo), expired, held, ..version }
}

fn becomes(state: &VersionState) -> api::VersionState {
    match state {
        VersionState { collected: true, .. } => api::VersionState::Collected,
        VersionState { expired: Some(_), .. } => api::VersionState::Expired,
        VersionState { hold: Some(_), .. } => api::VersionState::Held,
        _ => api::VersionState::Kept,
    }
}

/// Until when an expiry can be undone. Where the store has not dated it yet, because it was recorded just now, by the clock of who did.
fn undo_until(state: &VersionState, undo: Duration) -> Option<Timestamp> {
    let dated = state.collectable(undo)?;
    let expired = state.expired.as_ref()?;
    match state.since {
        Some(_) => Some(dated),
        None => expired.at.checked_add(SignedDuration::try_from(undo).ok()?).ok(),
    }
}

pub(super) fn show_object(line: ObjectLine) -> VersionObject {
    let quality = show_quality(WorstQuality::from(&line.quality));
    let mut notes = match line.quality {
        entry::Quality::Exact | entry::Quality::Cut => Vec::new(),
        entry::Quality::Degraded { ranges } => ranges.iter().map(show_range).collect(),
        entry::Quality::Missing { reason } => vec![reason],
    };
    notes.extend(line.left_out.iter().map(|left| format!("left out: {left}")));
    VersionObject { object: line.object.to_string(), quality, notes, totals: show_totals(&line.figures) }
}

fn show_quality(worst: WorstQuality) -> Quality {
    match worst {
        WorstQuality::Exact => Quality::Exact,
        WorstQuality::Cut => Quality::Cut,
        WorstQuality::Degraded => Quality::Degraded,
        WorstQuality::Missing => Quality::Missing,
    }
}

fn show_totals(figures: &Figures) -> Totals {
    let totals::Totals {
        source_bytes,
        shipped_bytes,
        kept_bytes,
        rows,
        static_rows,
        disagreeing_rows,
        not_owned_partitions,
    } = figures.into();
    Totals { source_bytes, shipped_bytes, kept_bytes, rows, static_rows, disagreeing_rows, not_owned_partitions }
}

fn show_range(range: &DegradedRange) -> String {
    let DegradedRange { range, replicas, captured, reason } = range;
    format!("{}: {captured} of {replicas} replicas captured, {reason}", range.text)
}

pub(in super::super) fn damaged(store: &OpenStore, id: &VersionId, error: &chain::Error) -> Version {
    let damage = tidemark_gateway::causes::joined(error);
    tracing::error!(version_id = %id, store = store.record.name, error = damage, "version is damaged");
    nothing(id.to_string(), store.record.name.clone(), (Quality::Damaged, api::VersionState::Kept), damage)
}

/// The line of a store that cannot be looked into.
pub(super) fn unknown(store: String, problem: &Problem) -> Version {
    let why = format!("{}: {}", problem.code, problem.detail);
    nothing(String::new(), store, (Quality::Unknown, api::VersionState::Unknown), why)
}

/// The line of a version that its store lists and does not give.
pub(super) fn unread_line(store: &OpenStore, id: &VersionId, problem: &Problem) -> Version {
    let why = format!("{}: {}", problem.code, problem.detail);
    nothing(id.to_string(), store.record.name.clone(), (Quality::Unknown, api::VersionState::Kept), why)
}

/// A line that knows nothing but why.
fn nothing(id: String, store: String, (quality, state): (Quality, api::VersionState), damage: String) -> Version {
    Version {
        id,
        store,
        committed: None,
        cut_from: None,
        cut_through: None,
        quality,
        damage: Some(damage),
        objects: 0,
        totals: Totals::default(),
        state,
        undo_until: None,
        expired: None,
        held: None,
    }
}

#[cfg(test)]
mod tests {
    use tidemark_catalog::states::Decision;

    use super::*;

    #[test]
    fn what_becomes_of_a_version_is_a_word_and_an_expiry_says_until_when_it_can_be_undone() {
        let at = |text: &str| text.parse::<Timestamp>().unwrap();
        let decision =
            || Some(Decision { at: at("2026-05-05T12:00:00Z"), by: "operator".to_owned(), reason: String::new() });
        let known = |expired: bool, held: bool, collected: bool| VersionState {
            expired: decision().filter(|_| expired),
            hold: decision().filter(|_| held),
            collected,
            revision: 1,
            since: Some(at("2026-05-05T12:00:07Z")),
        };
        let version =
            || nothing("a.b.1".to_owned(), "s".to_owned(), (Quality::Damaged, api::VersionState::Kept), String::new());
        let shown = |state: &VersionState| {
            let version = with_state(version(), state, Duration::from_secs(24 * 3600));
            (version.state.as_str(), version.undo_until)
        };
        assert_eq!(shown(&VersionState::default()), ("kept", None));
        assert_eq!(shown(&known(false, true, false)), ("held", None));
        let until = Some(at("2026-05-06T12:00:07Z"));
        assert_eq!(shown(&known(true, false, false)), ("expired", until), "by the store's clock");
        let just_now = VersionState { since: None, ..known(true, false, false) };
        assert_eq!(shown(&just_now), ("expired", Some(at("2026-05-06T12:00:00Z"))));
        assert_eq!(shown(&known(true, true, false)), ("expired", None), "it is held: nothing ends it");
        assert_eq!(shown(&known(true, false, true)), ("collected", None));
        let fence = Version { state: api::VersionState::Fence, ..version() };
        assert_eq!(with_state(fence, &VersionState::default(), Duration::ZERO).state, api::VersionState::Fence);
    }

    #[test]
    fn each_quality_is_shown_by_the_word_that_is_stored() {
        for worst in [WorstQuality::Exact, WorstQuality::Cut, WorstQuality::Degraded, WorstQuality::Missing] {
            assert_eq!(show_quality(worst).as_str(), worst.as_str());
        }
    }
}
