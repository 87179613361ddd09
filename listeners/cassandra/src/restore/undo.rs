//! Undo in place: what readers see in a table becomes a version's state, and only what differs is written.
//!
//! The version and the target stream in the order of tokens (`spans`) and are compared row by row (`scan`, `compare`).
//! What differs is written (`fix`, `apply`) and read once more (`work`). How spans are run, counted and saved is the same for
//! all sources: [`tidemark_records::difference`].
//!
//! One instant R orders everything: deletions have R as their time, values R + 1 µs, so that whatever is newer wins and stays,
//! however long the undo takes and however often it is interrupted.
//!
//! A crash leaves the place that was saved last. From there the undo goes on with the same R: what is written again is the
//! same, and what reads as the version says is left alone.

mod apply;
mod compare;
mod fix;
pub mod instant;
mod query;
mod scan;
mod spans;
mod table;
mod text;
mod work;

use std::sync::Arc;

use scylla::client::session::Session;
use serde_json::Value;
use tidemark_catalog::{content::SegmentRef, entry::Entry};
use tidemark_listener_core::{
    failure::Failure,
    progress::ProgressSink,
    restorer::{CheckpointSaver, PlannedObject, RestoreReport, UndoCounts},
};
use tidemark_records::{
    difference::{attempts::Attempts, course::Course, keep::Keeper, state::State},
    reading::{self, Reader},
    restore::objects::segments,
};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use crate::{
    restore::job::CqlJob,
    restore::undo::{
        spans::{Cutter, Place, Span},
        table::Table,
        work::Work,
    },
    restore::{chosen, observe::Observed, pieces::objects, write::target::Level},
    spec::CassandraSpec,
};

/// Spans between the reading thread and the work.
const SPANS_AHEAD: usize = 2;

/// Spans in work for each node of the destination, and the most of all: so many reads are in flight.
const SPANS_BY_NODE: usize = 2;
const MOST_SPANS: usize = 16;

/// One table to undo.
pub struct UndoObject<'a> {
    /// The restore it belongs to.
    pub job: &'a CqlJob,
    /// The destination.
    pub spec: &'a CassandraSpec,
    /// The destination as it was seen when this run began.
    pub seen: &'a Observed,
    /// A session that knows the destination's tables.
    pub session: Arc<Session>,
    /// Level of writes.
    pub level: Arc<Level>,
    /// The table in the plan.
    pub planned: &'a PlannedObject,
    /// Its entry in the version.
    pub entry: &'a Entry,
    /// Progress in rows.
    pub progress: ProgressSink,
    /// Stops the work.
    pub cancel: CancellationToken,
}

/// Undoes a table at an instant, µs since 1970, from where an earlier run saved.
///
/// # Errors
/// `TM-UNDO-0001` for counters, `TM-UNDO-0002` where a column was dropped after the instant, `TM-UNDO-0003` where the selection
/// is none of this table, `TM-UNDO-0004` where it cannot be read, `TM-REST-0401` where it cannot be written, `TM-REST-0501` where
/// `saved` is not of this undo; as the version cannot be read; [`Failure::cancelled`].
pub async fn run(
    object: &UndoObject<'_>,
    instant: i64,
    saved: Option<Value>,
    save: &dyn CheckpointSaver,
) -> Result<RestoreReport, Failure> {
    let state = saved.map_or_else(|| Ok(State::start(instant)), |saved| State::parse(saved, instant))?;
    let table = Table::open(object, instant).await?;
    table.refuse_later_drops(object.seen)?;
    let (keeper, requests) = Keeper::saving(state);
    let work = Work { table: &table, keeper, attempt: Attempts::default() };
    work.keeper.serving(save, requests, drive(object, &work)).await?;
    let state = work.keeper.into_state();
    Ok(state.report(&object.planned.target, table.remove))
}

/// Compares a table with the version and writes nothing. What is newer than now, less the bound of the clients' clocks, counts
/// as written after the undo.
///
/// # Errors
/// As [`run`], but for those of writing.
pub async fn count(object: &UndoObject<'_>) -> Result<UndoCounts, Failure> {
    let now = object.job.env.now().as_microsecond();
    let instant = now - object.job.options.client_clock_bound_micros;
    let table = Table::open(object, instant).await?;
    let work = Work { table: &table, keeper: Keeper::counting(State::start(instant)), attempt: Attempts::default() };
    drive(object, &work).await?;
    Ok(work.keeper.into_state().counts(object.planned))
}

/// Does all spans that are left, a few at a time, and moves the place over those that are done without a hole.
async fn drive(object: &UndoObject<'_>, work: &Work<'_>) -> Result<(), Failure> {
    let segments = segments(&object.job.store, object.entry).await?;
    let from = work.keeper.state().place.clone();
    let (spans, reader) = read(object, work.table, segments, from);
    let course = Course {
        in_work: (object.seen.nodes.len() * SPANS_BY_NODE).clamp(1, MOST_SPANS),
        phase: format!("compare {}", object.planned.target),
        rows: object.planned.rows,
        progress: &object.progress,
        cancel: &object.cancel,
        env: &object.job.env,
    };
    let driven = course.drive(&work.keeper, spans, |span: Span| work.span(span)).await;
    driven.and(reader.ended().await)
}

/// Reads the version's segments on a thread of its own: their spans, or why they cannot be read.
fn read(
    object: &UndoObject<'_>,
    table: &Table,
    segments: Vec<SegmentRef>,
    from: Place,
) -> (mpsc::Receiver<Result<Span, Failure>>, Reader) {
    let (store, layout, selected) = (object.job.store.clone(), table.layout.clone(), table.selected.clone());
    let runtime = tokio::runtime::Handle::current();
    reading::start(SPANS_AHEAD, move |take: &mut dyn FnMut(Span) -> bool| {
        let mut cutter = Cutter::new(layout.table(), &selected, from.clone(), take);
        for (index, segment) in (0..).zip(&segments) {
            if index < from.segment || !chosen::may_hold(&selected, segment) {
                continue;
            }
            let mut reader = objects::open(&store, segment, &layout, &runtime)?;
            let more = cutter.segment(index, &mut reader);
            if !more.map_err(|source| objects::unread(&source))? {
                return Ok(());
            }
        }
        cutter.finish(segments.len() as u64);
        Ok(())
    })
}
