//! What is stored of versions, as the API shows it.

use tidemark_catalog::{
    chain, collect,
    entry::{self, DegradedRange, ObjectLine},
    figures::Figures,
    ids::VersionId,
    manifest::{Barrier, Holds, Manifest, WorstQuality},
    states::VersionState,
};
use tidemark_web::api::{Problem, Quality, Totals, Version, VersionObject};

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
            expired: None,
            held: None,
        },
        // A number that holds no version: it was given before the store was put back, or seals damage.
        Holds::Barrier(Barrier { reason }) => {
            let quality = if collect::is_fence(manifest) { Quality::Fence } else { Quality::Lost };
            Version { committed, ..nothing(id, store, quality, reason.clone()) }
        }
    }
}

/// The line of a version with what became of it.
pub(in super::super) fn with_state(version: Version, state: &VersionState) -> Version {
    let held = state.hold.as_ref().map(|hold| match hold.reason.as_str() {
        "" => hold.by.clone(),
        reason => format!("{}: {reason}", hold.by),
    });
    Version { expired: state.expired.as_ref().map(|expired| expired.at), held, ..version }
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
    nothing(id.to_string(), store.record.name.clone(), Quality::Damaged, damage)
}

/// The line of a store that cannot be looked into.
pub(super) fn unknown(store: String, problem: &Problem) -> Version {
    nothing(String::new(), store, Quality::Unknown, format!("{}: {}", problem.code, problem.detail))
}

/// The line of a version that its store lists and does not give.
pub(super) fn unread_line(store: &OpenStore, id: &VersionId, problem: &Problem) -> Version {
    let why = format!("{}: {}", problem.code, problem.detail);
    nothing(id.to_string(), store.record.name.clone(), Quality::Unknown, why)
}

/// A line that knows nothing but why.
fn nothing(id: String, store: String, quality: Quality, damage: String) -> Version {
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
        expired: None,
        held: None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_quality_is_shown_by_the_word_that_is_stored() {
        for worst in [WorstQuality::Exact, WorstQuality::Cut, WorstQuality::Degraded, WorstQuality::Missing] {
            assert_eq!(show_quality(worst).as_str(), worst.as_str());
        }
    }
}
