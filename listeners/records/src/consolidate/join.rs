//! The parts of an object's key ranges become its entry and its line.

use std::collections::BTreeMap;

use tidemark_catalog::{
    content::{Content, PAGE_RANGES, RangePage, Records, SegmentRef},
    document,
    entry::{DegradedRange, Entry, ObjectLine, Quality},
    figures::Figures,
    identities,
    stored::StoredRef,
};
use tidemark_listener_core::records::{ConsolidateJob, ObjectState, Part};

use super::error::Error;

/// Writes the range pages, the identities and the entry of these parts, which stand in the order of their ranges.
pub(super) async fn line(job: &ConsolidateJob, kind: &str, parts: Vec<Part>) -> Result<ObjectLine, Error> {
    let refused = |what| Error::Parts { object: job.object.to_string(), what };
    let whole = whole(kind, parts).map_err(refused)?;
    let baseline = write_ranges(job, &whole.segments).await?;
    let merged = identities::write(&job.store, &job.names, whole.merged).await.map_err(Error::Page)?;
    let ObjectState { object_id, schema, columns, replicas, cut, position, quality, topology, left_out, .. } =
        whole.state;
    let entry = Entry {
        object: job.object.clone(),
        object_id,
        kind: kind.to_owned(),
        schema,
        content: Content::Records(Records { columns, baseline, merged, ..Records::default() }),
        replicas,
        cut: cut.clone(),
        position,
        quality: quality.clone(),
        figures: whole.figures.clone(),
    };
    let stored = document::write(&job.store, &job.names.page(), &entry).await.map_err(Error::Page)?;
    let (object, figures) = (job.object.clone(), whole.figures);
    Ok(ObjectLine { object, entry: Some(stored), cut, quality, topology, figures, left_out })
}

/// All parts as one.
struct Whole {
    state: ObjectState,
    segments: Vec<SegmentRef>,
    merged: Vec<identities::Identity>,
    figures: Figures,
}

/// Joins parts; what is wrong with them where they are not of one state.
fn whole(kind: &str, parts: Vec<Part>) -> Result<Whole, &'static str> {
    let Some(mut state) = parts.first().map(|part| part.state.clone()) else { return Err("there are none") };
    let (mut segments, mut merged) = (Vec::<SegmentRef>::new(), Vec::new());
    let mut counted = Figures::default();
    let mut degraded = Vec::new();
    for part in parts {
        if part.state != state {
            return Err("they say different things about the whole object");
        }
        degraded.extend(part.degraded);
        let own = BTreeMap::from([(kind.to_owned(), part.own)]);
        counted = counted.plus(&Figures { records: part.records, own, ..Figures::default() });
        segments.extend(part.segments);
        merged.extend(part.merged);
    }
    if !segments.is_sorted_by(|a, b| a.last < b.first) || segments.iter().any(|segment| segment.first > segment.last) {
        return Err("their segments do not ascend");
    }
    let kept = segments.iter().fold(0_u64, |sum, segment| sum.saturating_add(segment.stored.size));
    let figures = Figures {
        logical_bytes: state.logical_bytes,
        shipped_bytes: state.shipped_bytes,
        kept_new_bytes: kept,
        inserted: None,
        updated: None,
        deleted: None,
        ..counted
    };
    state.quality = with(state.quality, degraded);
    Ok(Whole { state, segments, merged, figures })
}

/// A quality with more places that are not proven.
fn with(quality: Quality, more: Vec<DegradedRange>) -> Quality {
    match quality {
        Quality::Exact | Quality::Cut if more.is_empty() => quality,
        Quality::Exact | Quality::Cut => Quality::Degraded { ranges: more },
        Quality::Degraded { ranges } => Quality::Degraded { ranges: ranges.into_iter().chain(more).collect() },
        Quality::Missing { .. } => quality,
    }
}

async fn write_ranges(job: &ConsolidateJob, segments: &[SegmentRef]) -> Result<Vec<StoredRef>, Error> {
    let mut pages = Vec::new();
    for ranges in segments.chunks(PAGE_RANGES) {
        let page = RangePage { ranges: ranges.to_vec() };
        pages.push(document::write(&job.store, &job.names.page(), &page).await.map_err(Error::Page)?);
    }
    Ok(pages)
}
