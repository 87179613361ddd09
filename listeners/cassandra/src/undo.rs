//! Undo in place: what readers see in a table becomes a version's state, and only what differs is written.
//!
//! The version and the target stream in the order of tokens (`spans`) and are compared row by row (`scan`, `compare`).
//! What differs is written (`fix`, `apply`) and read once more (`work`). One instant R orders everything: deletions have
//! R as their time, values R + 1 µs, so that whatever is newer wins and stays, however long the undo takes and however often
//! it is interrupted.
//!
//! A crash leaves the place that was saved last. From there the undo goes on with the same R: what is written again is the
//! same, and what reads as the version says is left alone.

mod apply;
mod compare;
mod fix;
pub mod instant;
mod keep;
mod query;
mod scan;
pub mod select;
mod spans;
mod state;
mod table;
mod text;
mod work;

use std::{sync::Arc, time::Duration};

use futures::{StreamExt, stream};
use scylla::client::session::Session;
use serde_json::Value;
use tidemark_catalog::{content::SegmentRef, entry::Entry};
use tidemark_listener_core::{
    driver::{CheckpointSaver, Error, PlannedObject, RestoreReport, UndoCounts},
    progress::{Progress, ProgressSink},
};
use tidemark_records::restore::objects::segments;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use crate::{
    restore::job::CqlJob,
    restore::{observe::Observed, pieces::objects, plan::chosen, write::target::Level},
    spec::CassandraSpec,
    undo::{
        keep::Keeper,
        spans::{Cutter, Place, Span},
        state::State,
        table::Table,
        work::{Attempts, Work},
    },
};

/// Spans between the reading thread and the work.
const CHANNEL_SPANS: usize = 2;

/// Spans in work for each node of the destination, and the most of all: so many reads are in flight.
const SPANS_BY_NODE: usize = 2;
const MOST_SPANS: usize = 16;

/// Time between two saves.
const SAVE_INTERVAL: Duration = Duration::from_secs(1);

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
/// `saved` is not of this undo; as the version cannot be read; [`Error::cancelled`].
pub async fn run(
    object: &UndoObject<'_>,
    instant: i64,
    saved: Option<Value>,
    save: &dyn CheckpointSaver,
) -> Result<RestoreReport, Error> {
    let state = saved.map_or_else(|| Ok(State::start(instant)), |saved| State::parse(saved, instant))?;
    let table = Table::open(object, instant).await?;
    table.refuse_later_drops(object.seen)?;
    let (keeper, requests) = Keeper::saving(state);
    let work = Work { table: &table, keeper, attempt: Attempts::default() };
    tokio::select! {
        biased;
        driven = drive(object, &work) => driven?,
        // It goes on for as long as the work may ask it.
        () = work.keeper.serve(save, requests) => return Err(keep::ended()),
    }
    let state = work.keeper.into_state();
    Ok(state.report(&object.planned.target, table.remove))
}

/// Compares a table with the version and writes nothing. What is newer than now, less the bound of the clients' clocks, counts
/// as written after the undo.
///
/// # Errors
/// As [`run`], but for those of writing.
pub async fn count(object: &UndoObject<'_>) -> Result<UndoCounts, Error> {
    let now = object.job.env.now().as_microsecond();
    let instant = now - object.job.options.client_clock_bound_micros;
    let table = Table::open(object, instant).await?;
    let work = Work { table: &table, keeper: Keeper::counting(State::start(instant)), attempt: Attempts::default() };
    drive(object, &work).await?;
    let state = work.keeper.into_state();
    let totals = state.outcome.totals;
    Ok(UndoCounts {
        object: object.planned.object.clone(),
        target: object.planned.target.clone(),
        come_back: totals.absent,
        change: totals.changed,
        would_be_removed: totals.extra,
        untouched: totals.untouched,
        rows_kept: totals.kept,
        rows_newer: totals.newer,
        newest_write_micros: totals.newest,
        unreadable_ranges: state.outcome.unreadable,
    })
}

/// Does all spans that are left, a few at a time, and moves the place over those that are done without a hole.
async fn drive(object: &UndoObject<'_>, work: &Work<'_>) -> Result<(), Error> {
    let segments = segments(&object.job.store, object.entry).await?;
    let (sender, mut receiver) = mpsc::channel(CHANNEL_SPANS);
    let from = work.keeper.state().place.clone();
    let reading = reading(object, work.table, segments, from, sender);
    let driven = {
        let spans = stream::poll_fn(|context| receiver.poll_recv(context));
        let done = spans.map(|span: Result<Span, Error>| async move { work.span(span?).await });
        let in_work = (object.seen.nodes.len() * SPANS_BY_NODE).clamp(1, MOST_SPANS);
        advance(object, work, done.buffered(in_work)).await
    };
    // The receiver is gone, so that the thread ends at its next span.
    drop(receiver);
    let read = reading.await.map_err(|e| Error::new("TM-REST-0103", format!("the reading thread ended: {e}")));
    driven.and(read)
}

/// Takes what was done in order, and saves after the first span, then at most every [`SAVE_INTERVAL`].
async fn advance(
    object: &UndoObject<'_>,
    work: &Work<'_>,
    done: impl futures::Stream<Item = Result<(Place, state::Outcome), Error>>,
) -> Result<(), Error> {
    let mut done = std::pin::pin!(done);
    let mut saved_at: Option<Duration> = None;
    loop {
        let next = tokio::select! {
            biased;
            () = object.cancel.cancelled() => return Err(Error::cancelled()),
            next = done.next() => next,
        };
        let Some(next) = next else { return Ok(()) };
        let (place, outcome) = next?;
        {
            let mut state = work.keeper.state();
            state.place = place;
            state.outcome.add(outcome);
            report(object, &state);
        }
        let now = object.job.env.monotonic();
        if work.keeper.writes() && saved_at.is_none_or(|at| now.saturating_sub(at) >= SAVE_INTERVAL) {
            work.keeper.save().await?;
            saved_at = Some(now);
            tidemark_gateway::pause::point("mid-undo");
        }
    }
}

fn report(object: &UndoObject<'_>, state: &State) {
    (object.progress)(Progress {
        phase: format!("compare {}", object.planned.target),
        done: state.outcome.totals.read,
        total: object.planned.rows,
        unit: "rows".to_owned(),
    });
}

/// Reads the version's segments on a thread of its own and sends their spans, or why they cannot be read.
fn reading(
    object: &UndoObject<'_>,
    table: &Table,
    segments: Vec<SegmentRef>,
    from: Place,
    sender: mpsc::Sender<Result<Span, Error>>,
) -> tokio::task::JoinHandle<()> {
    let (store, layout, selected) = (object.job.store.clone(), table.layout.clone(), table.selected.clone());
    let runtime = tokio::runtime::Handle::current();
    tokio::task::spawn_blocking(move || {
        let take = |span| sender.blocking_send(Ok(span)).is_ok();
        let mut cutter = Cutter::new(layout.table(), &selected, from.clone(), take);
        let mut cut = || -> Result<bool, Error> {
            for (index, segment) in (0..).zip(&segments) {
                if index < from.segment || !chosen::may_hold(&selected, segment) {
                    continue;
                }
                let mut reader = objects::open(&store, segment, &layout, &runtime)?;
                let more = cutter.segment(index, &mut reader);
                if !more.map_err(|source| objects::unread(&source))? {
                    return Ok(false);
                }
            }
            Ok(true)
        };
        match cut() {
            Ok(false) => {}
            Ok(true) => drop(cutter.finish(segments.len() as u64)),
            // Nobody listens any more where the other side has failed or was cancelled: it says so itself.
            Err(error) => drop(sender.blocking_send(Err(error))),
        }
    })
}
