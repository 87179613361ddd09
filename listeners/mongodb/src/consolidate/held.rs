//! What captures prove of a collection over time: its state right before the first time of which it can be said, and
//! the log from there on. Each instant between the two ends follows from them ([`crate::instant`]).
//!
//! The first time is right behind the last that was read by a scan: before it, what was scanned may hold changes that
//! are later.

use tidemark_catalog::{content::SegmentRef, entry::DegradedRange, keys::KeyRange};
use tidemark_listener_core::{
    failure::Failure,
    records::{ConsolidateJob, Consolidated},
};

use super::{
    Baseline,
    log::{Log, Logged, log},
    plan::{self, Plan, Planned},
    write::{self, Made},
};
use crate::{staged::Holds, time::ClusterTime};

/// A state at rest, and the log behind it.
#[derive(Clone, Debug, PartialEq)]
pub struct Held {
    /// Segments of the state right before the beginning of the log's window.
    pub rest: Vec<SegmentRef>,
    /// What happened from there on.
    pub log: Log,
    /// Documents of which the state at rest is not proven; so are they at each instant before the next event that says
    /// all of them.
    pub degraded: Vec<DegradedRange>,
}

/// What it came to.
#[derive(Clone, Debug, PartialEq)]
pub enum Holding {
    /// State and log.
    Held(Held),
    /// A member cannot be read, or nobody has the collection.
    Other(Consolidated),
}

/// State and log of a range of keys.
///
/// # Errors
/// `TM-MONGO-0201` where the store fails, `TM-MONGO-0202` where members contradict each other; cancelled.
pub async fn held(job: &ConsolidateJob, range: &KeyRange) -> Result<Holding, Failure> {
    let plan = match plan::of(job).await? {
        Planned::Plan(plan) => plan,
        Planned::Other(consolidated) => return Ok(Holding::Other(consolidated)),
    };
    let first = first(&plan);
    let baseline = Baseline { before: first, ..Baseline::of(&plan) };
    let Made { segments: rest, make, failed } = write::segments(job, &plan, range, baseline).await?;
    if let Some(failed) = failed {
        return failed.consolidated().map(Holding::Other);
    }
    Ok(match log(job, range, first..plan.base.before).await? {
        Logged::Log(log) => Holding::Held(Held { rest, log, degraded: make.doubts.ranges() }),
        Logged::Other(consolidated) => Holding::Other(consolidated),
    })
}

/// Right behind all that was scanned.
fn first(plan: &Plan) -> ClusterTime {
    let ends = plan.runs.iter().filter_map(|planned| match planned.run.holds {
        Holds::Scan { until, .. } => Some(until.after()),
        Holds::Events => None,
    });
    ends.fold(plan.base.from, ClusterTime::max)
}

#[cfg(test)]
mod tests {
    use super::{super::samples::*, *};
    use crate::event::samples::{insert, set};

    fn member(until: &'static str) -> Staged {
        let scans = vec![(("20.0", "30.0"), vec![document(1, 10)]), (("30.0", until), vec![document(2, 20)])];
        let events = vec![vec![set("25.0", 1, &id(1), "n", 11), insert("40.0", 2, &document(3, 30))]];
        Staged { set: "rs", from: "10.0", before: "90.0", since: None, scans, events }
    }

    #[tokio::test]
    async fn the_log_begins_right_behind_all_that_was_scanned_constructed() {
        for (until, window, events, documents) in [("35.0", "35.1", 1, 2), ("40.0", "40.1", 0, 3)] {
            let job = job(vec![("a", member(until))]).await;
            let Holding::Held(held) = held(&job, &KeyRange::all()).await.unwrap() else { panic!() };
            assert_eq!(held.log.window, window.parse().unwrap().."90.0".parse().unwrap());
            let rest: u64 = held.rest.iter().map(|segment| segment.records).sum();
            assert_eq!((held.log.events, rest, held.degraded.len()), (events, documents, 0));
        }
    }
}
