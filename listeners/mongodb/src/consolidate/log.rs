//! Log slices: the events of a collection in a window of the log, from all members that staged it, each once, as
//! records of segments in the order of their documents' keys, then of their positions.
//!
//! With the state right before the window, a log slice gives the state right before each time of it, and right before
//! its end. That holds only where every event is in it: the window must lie within what the base proved, and an event
//! that no segment can hold ends the slice by its name.

use std::ops::Range;

use tidemark_catalog::{
    content::SegmentRef,
    keys::{Key, KeyRange},
};
use tidemark_listener_core::{
    failure::Failure,
    records::{ConsolidateJob, Consolidated},
};

use super::{
    merge::{Joined, StreamError},
    plan::{self, Plan, Planned},
    write::{self, Made, Make},
};
use crate::{
    codes::CONSOLIDATION,
    segment::{Atom, Record},
    time::ClusterTime,
};

/// A slice of the log.
#[derive(Clone, Debug, PartialEq)]
pub struct Log {
    /// From its beginning on, before its end.
    pub window: Range<ClusterTime>,
    /// Its segments, ascending by key.
    pub segments: Vec<SegmentRef>,
    /// How many events they hold.
    pub events: u64,
}

/// What a slice of the log came to.
#[derive(Clone, Debug, PartialEq)]
pub enum Logged {
    /// It is all there.
    Log(Log),
    /// A member cannot be read, or nobody has the collection.
    Other(Consolidated),
}

/// Makes the slice of a window, in a range of keys.
///
/// # Errors
/// `TM-MONGO-0201` where the window is not within what was proven or the store fails, `TM-MONGO-0202` where members
/// contradict each other; cancelled.
pub async fn log(job: &ConsolidateJob, range: &KeyRange, window: Range<ClusterTime>) -> Result<Logged, Failure> {
    let plan = match plan::of(job).await? {
        Planned::Plan(plan) => plan,
        Planned::Other(consolidated) => return Ok(Logged::Other(consolidated)),
    };
    refuse_unproven(job, &plan, &window)?;
    let events = Events { partition: plan.base.partition.clone(), window: window.clone(), count: 0 };
    let Made { segments, make, failed } = write::segments(job, &plan, range, events).await?;
    match failed {
        Some(failed) => failed.consolidated().map(Logged::Other),
        None => Ok(Logged::Log(Log { window, segments, events: make.count })),
    }
}

fn refuse_unproven(job: &ConsolidateJob, plan: &Plan, window: &Range<ClusterTime>) -> Result<(), Failure> {
    let (from, before) = (plan.base.from, plan.base.before);
    if from <= window.start && window.start <= window.end && window.end <= before {
        return Ok(());
    }
    let words = format!(
        "{}: changes are proven from {from} to {before}, not from {} to {}",
        job.object, window.start, window.end
    );
    Err(Failure::new(CONSOLIDATION, words))
}

/// The events of a window.
struct Events {
    partition: String,
    window: Range<ClusterTime>,
    count: u64,
}

impl Make for Events {
    fn records(&mut self, Joined { key, id, known }: Joined) -> Result<(Key, Vec<Record>), StreamError> {
        let records: Vec<Record> = known
            .into_events()
            .filter(|(at, _)| self.window.contains(&at.time))
            .map(|(at, change)| Record { id: id.clone(), atom: Atom::Event(at, change) })
            .collect();
        if let Some(why) = records.iter().find_map(|record| record.check().err()) {
            let partition = self.partition.clone();
            return Err(StreamError::Unreadable { partition, reason: format!("an event cannot be kept: {why}") });
        }
        self.count += records.len() as u64;
        Ok((key, records))
    }
}

#[cfg(test)]
mod tests;
