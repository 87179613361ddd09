//! What is proven about the completeness of a first version, by which replicas were captured and how the application writes.
//!
//! A range is complete iff every write acknowledged before the cut is on at least one captured replica. With N replicas of
//! which R were captured, and W that acknowledged each write, that is R + W > N; with R = N it holds for every level that
//! waits for a replica at all. R < N is believed only with the operator's word, because a write level that was not kept, or a
//! change of ring or replication without repair, leaves writes on fewer replicas than W.
//!
//! Levels by data centre: LOCAL_QUORUM and LOCAL_ONE acknowledge in the coordinator's data centre, and which ones take writes
//! is not known, so the rule must hold in each; EACH_QUORUM acknowledges in all of them, so one where it holds is enough.
//! Writes at ANY may exist as hints only: never proven, even with all replicas captured.
//!
//! Who the replicas are must be known: where the captured nodes' views of the ring place different ones, or one of them changed
//! while it was captured, files may have moved between nodes behind the capture, and nothing is proven.
//!
//! W is computed from the replicas that the range has. Where the factor asks for more nodes than there are, Cassandra waits for
//! at least as many, so this errs on the safe side.

use std::collections::{BTreeMap, BTreeSet};

use tidemark_catalog::entry::{DegradedRange, Quality};

use crate::{
    options::Options,
    ring::{Placement, TokenRange},
    segment::key,
    write_level::{UnknownLevel, WriteLevel},
};

#[cfg(test)]
mod tests;

/// True iff every acknowledged write is on a captured replica, if the level was kept. `all` has replicas N and captured replicas
/// R of the range, `by_dc` the same by data centre.
fn proves(level: WriteLevel, all: Counts, by_dc: &[Counts]) -> bool {
    match level {
        WriteLevel::Any => false,
        WriteLevel::One => all.overlap(1),
        WriteLevel::Two => all.overlap(2),
        WriteLevel::Three => all.overlap(3),
        WriteLevel::Quorum => all.overlap(quorum(all.replicas)),
        WriteLevel::All => all.overlap(all.replicas),
        WriteLevel::LocalOne => by_dc.iter().all(|dc| dc.overlap(1)),
        WriteLevel::LocalQuorum => by_dc.iter().all(|dc| dc.overlap(quorum(dc.replicas))),
        WriteLevel::EachQuorum => by_dc.iter().any(|dc| dc.overlap(quorum(dc.replicas))),
    }
}

fn quorum(replicas: usize) -> usize {
    replicas / 2 + 1
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Counts {
    replicas: usize,
    captured: usize,
}

impl Counts {
    /// R + W > N. Without a captured replica nothing is proven, whatever W says.
    fn overlap(self, acknowledged: usize) -> bool {
        self.captured > 0 && self.captured + acknowledged > self.replicas
    }
}

/// Judges a first version of a table: [`Quality::Cut`] iff every range of the ring is proven complete,
/// [`Quality::Degraded`] with the ranges that are not, neighbours with the same verdict in one, and [`Quality::Missing`]
/// where no replica of any range was captured. `captured` holds host ids whose data was captured and read whole. Ranges on
/// which the nodes' views of the ring differ are degraded whatever was captured.
pub fn judge(placement: &Placement, captured: &BTreeSet<String>, declared: &Options) -> Quality {
    if placement.ranges().iter().all(|range| captured_of(placement, &range.replicas, captured) == 0) {
        return Quality::Missing { reason: "no replica captured".to_owned() };
    }
    let judge = Judge { placement, captured, declared, level: declared.write_level.parse() };
    let mut degraded: Vec<Doubted> = Vec::new();
    for range in placement.ranges() {
        let Some(reason) = judge.doubt(range) else { continue };
        let next =
            Doubted { after: range.after, through: range.through, counts: judge.counts(&range.replicas), reason };
        match degraded.last_mut() {
            Some(last) if last.continues_in(&next) => last.through = next.through,
            _ => degraded.push(next),
        }
    }
    let ranges: Vec<_> = degraded.into_iter().map(Doubted::degraded).collect();
    if ranges.is_empty() { Quality::Cut } else { Quality::Degraded { ranges } }
}

fn captured_of(placement: &Placement, replicas: &[usize], captured: &BTreeSet<String>) -> usize {
    replicas.iter().filter(|&&index| captured.contains(&placement.nodes()[index].host_id)).count()
}

/// A range that is not proven complete, and why.
struct Doubted {
    after: i64,
    through: i64,
    counts: Counts,
    reason: String,
}

impl Doubted {
    /// True where `next` begins where this one ends and has the same verdict.
    fn continues_in(&self, next: &Self) -> bool {
        self.through == next.after && (self.counts, &self.reason) == (next.counts, &next.reason)
    }

    fn degraded(self) -> DegradedRange {
        // A range has at most as many replicas as the ring has nodes.
        let count = |count: usize| u32::try_from(count).unwrap_or(u32::MAX);
        let Counts { replicas, captured } = self.counts;
        let (replicas, captured) = (count(replicas), count(captured));
        DegradedRange { range: key::range(self.after, self.through), replicas, captured, reason: self.reason }
    }
}

struct Judge<'a> {
    placement: &'a Placement,
    captured: &'a BTreeSet<String>,
    declared: &'a Options,
    level: Result<WriteLevel, UnknownLevel>,
}

impl Judge<'_> {
    /// Why the range is not proven complete; `None` where it is.
    fn doubt(&self, range: &TokenRange) -> Option<String> {
        let all = self.counts(&range.replicas);
        if self.level == Ok(WriteLevel::Any) {
            return Some("writes at level any may exist as hints only".to_owned());
        }
        if !range.settled {
            return Some(self.placement.unsettled().to_owned());
        }
        if all.captured == all.replicas {
            return None;
        }
        if all.captured == 0 {
            return Some(format!("no replica captured: {}", self.missing(range)));
        }
        let because = match &self.level {
            Err(unknown) => unknown.to_string(),
            Ok(_) if !self.declared.repaired => {
                "and the policy does not declare that the write level held and repairs ran".to_owned()
            }
            Ok(level) if proves(*level, all, &self.by_dc(range)) => return None,
            Ok(_) => format!("and writes at level {} need not be on the others", self.declared.write_level),
        };
        Some(format!("not captured: {}, {because}", self.missing(range)))
    }

    fn counts(&self, replicas: &[usize]) -> Counts {
        Counts { replicas: replicas.len(), captured: captured_of(self.placement, replicas, self.captured) }
    }

    fn by_dc(&self, range: &TokenRange) -> Vec<Counts> {
        let by_dc: BTreeMap<_, _> = self.placement.by_dc(&range.replicas);
        by_dc.values().map(|replicas| self.counts(replicas)).collect()
    }

    /// Replicas that were not captured, by host id and address, in one order for all ranges.
    fn missing(&self, range: &TokenRange) -> String {
        let nodes = range.replicas.iter().map(|&index| &self.placement.nodes()[index]);
        let missing = nodes.filter(|node| !self.captured.contains(&node.host_id));
        let mut names: Vec<_> = missing.map(|node| format!("{} ({})", node.host_id, node.address)).collect();
        names.sort_unstable();
        names.join(", ")
    }
}
