//! Which versions stay, and why.

use std::collections::HashMap;

use jiff::{Timestamp, tz::TimeZone};

use super::{Period, Reason, Retention, Unit, order};
use crate::{ids::VersionNumber, manifest::WorstQuality};

/// A version of a set, as far as retention asks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Candidate {
    /// Its number.
    pub number: VersionNumber,
    /// When its state was captured: the end of its cut, or when it was committed where it has none.
    pub at: Timestamp,
    /// Words of the holds on it; held where there are any.
    pub held: Vec<String>,
    /// The worst of its objects.
    pub quality: WorstQuality,
}

impl Candidate {
    /// True where every object of it is proven complete.
    fn is_complete(&self) -> bool {
        self.quality <= WorstQuality::Cut
    }
}

/// What becomes of a version.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Decision {
    /// The version.
    pub number: VersionNumber,
    /// True where it stays.
    pub keep: bool,
    /// Why it stays, each reason there is; or the one why it goes.
    pub reasons: Vec<Reason>,
}

/// Says of every version of a set, newest first, whether it stays and why. `candidates` are all that have not been deleted, in
/// any order; periods are those of `zone`.
///
/// The newest version and the newest complete one stay whatever the rules say, and so does what is held. Of a period stays the
/// newest version, and the newest complete one where that is another.
///
/// Clocks may have been wrong, and may be so now. Nothing goes because of that:
/// - The order is that of numbers. A time that does not fit it (of two that contradict each other alone, either may be taken for
///   that one) takes no place among the periods; the version stays as long as the next one whose time fits would by its period.
/// - What is after `now` stays, and takes no place until its time has come.
/// - `within` is counted back from the newest version, not from `now`: a clock that jumped ahead, or a source that made no new
///   versions, lets nothing go.
///
/// As time goes on without a new version, and as numbers of a rule become smaller, what stays becomes fewer; never others.
pub fn plan(retention: &Retention, zone: &TimeZone, candidates: &[Candidate], now: Timestamp) -> Vec<Decision> {
    let mut versions: Vec<&Candidate> = candidates.iter().collect();
    versions.sort_by_key(|version| version.number);
    let times: Vec<_> = versions.iter().map(|version| version.at).collect();
    let complete = versions.iter().rposition(|version| version.is_complete());
    let mut plan = Plan { retention, zone, anchors: order::anchors(&times), versions, complete, newest: None, now };
    let newest = plan.timed().next();
    plan.newest = newest.map(|index| times[index]);
    let kept = plan.kept_periods();
    (0..plan.versions.len()).rev().map(|index| plan.decide(index, &kept)).collect()
}

/// Versions by number, and what is known of their times.
struct Plan<'a> {
    retention: &'a Retention,
    zone: &'a TimeZone,
    versions: Vec<&'a Candidate>,
    /// Of each the version whose time counts for it.
    anchors: Vec<usize>,
    /// The newest complete one.
    complete: Option<usize>,
    /// The newest time that fits and has come.
    newest: Option<Timestamp>,
    now: Timestamp,
}

/// What is kept of a period: places of versions.
struct KeptOf {
    newest: usize,
    complete: Option<usize>,
}

type KeptPeriods = HashMap<Period, KeptOf>;

impl Plan<'_> {
    /// Places of the versions whose times fit and have come, newest first.
    fn timed(&self) -> impl Iterator<Item = usize> + '_ {
        let fits = |index: &usize| self.anchors[*index] == *index && self.versions[*index].at <= self.now;
        (0..self.versions.len()).rev().filter(fits)
    }

    fn kept_periods(&self) -> KeptPeriods {
        let units = self.retention.rules().periods();
        units.flat_map(|(unit, count)| self.newest_periods(unit, count)).collect()
    }

    fn newest_periods(&self, unit: Unit, count: usize) -> KeptPeriods {
        let mut kept = KeptPeriods::new();
        for index in self.timed() {
            let (period, version) = (unit.of(self.versions[index].at, self.zone), self.versions[index]);
            let complete = version.is_complete().then_some(index);
            if let Some(of) = kept.get_mut(&period) {
                of.complete = of.complete.or(complete);
            } else if kept.len() < count {
                kept.insert(period, KeptOf { newest: index, complete });
            } else {
                break;
            }
        }
        kept
    }

    fn decide(&self, index: usize, kept: &KeptPeriods) -> Decision {
        let mut reasons = self.by_order(index);
        if self.anchors[index] == index {
            reasons.extend(self.by_time(index, kept));
        } else if self.is_time_kept(self.anchors[index], kept) {
            reasons.push(Reason::NoTime(self.versions[self.anchors[index]].number));
        }
        let keep = !reasons.is_empty();
        if !keep {
            reasons.push(Reason::NoRule);
        }
        Decision { number: self.versions[index].number, keep, reasons }
    }

    /// Reasons that have nothing to do with times.
    fn by_order(&self, index: usize) -> Vec<Reason> {
        let mut reasons: Vec<_> = self.versions[index].held.iter().cloned().map(Reason::Held).collect();
        let (place, of) = (self.versions.len() - index, self.retention.rules().last());
        if place <= of {
            reasons.push(Reason::Last { place, of });
        }
        if place == 1 {
            reasons.push(Reason::Newest);
        }
        if self.complete == Some(index) {
            reasons.push(Reason::NewestComplete);
        }
        reasons
    }

    /// Reasons of a version whose time fits.
    fn by_time(&self, index: usize, kept: &KeptPeriods) -> Vec<Reason> {
        let at = self.versions[index].at;
        if at > self.now {
            return vec![Reason::Future];
        }
        let within = self.retention.rules().within.iter().filter(|_| self.is_within(at)).cloned().map(Reason::Within);
        let of_period = |(unit, _): (Unit, usize)| {
            let period = unit.of(at, self.zone);
            let of = kept.get(&period)?;
            match of {
                KeptOf { newest, .. } if *newest == index => Some(Reason::NewestOf(period)),
                KeptOf { complete, .. } if *complete == Some(index) => Some(Reason::NewestCompleteOf(period)),
                KeptOf { .. } => None,
            }
        };
        within.chain(self.retention.rules().periods().filter_map(of_period)).collect()
    }

    /// True where a time is one of which something stays.
    fn is_time_kept(&self, index: usize, kept: &KeptPeriods) -> bool {
        let at = self.versions[index].at;
        let of_period = |(unit, _): (Unit, usize)| kept.contains_key(&unit.of(at, self.zone));
        at > self.now || self.is_within(at) || self.retention.rules().periods().any(of_period)
    }

    fn is_within(&self, at: Timestamp) -> bool {
        let (Some(within), Some(newest)) = (&self.retention.rules().within, self.newest) else { return false };
        // A duration that reaches back beyond all times keeps everything.
        newest.checked_sub(within.length()).map_or(true, |begin| at >= begin)
    }
}
