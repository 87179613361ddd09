//! Schedules: when a policy runs.
//!
//! A schedule divides time into *slots*. A slot is the instant at which a run is meant to begin, and its number is that instant,
//! so that every daemon counts the same slots, and a schedule that is changed goes on where the other one was. A run is asked for
//! once for each slot, because only slots above the last one are due ([`Schedule::due`]): whatever the clock does, none comes
//! twice.
//!
//! - `every` has a slot at each multiple of its length since 1970-01-01 UTC.
//! - `cron` has those of the expression in the zone. A fixed time that a change of the clock skips is run once, at the first
//!   instant after it; one that the change repeats is run once, the first time. An expression with a wildcard for hours or minutes
//!   keeps its pace: it runs in each repeated hour and in no skipped one.
//! - *Windows*: what is outside of all of them is no slot, and a slot that nobody began while its window lasted is left out.
//! - *Jitter* lets a slot begin later, by a part of it that depends on policy and slot alone, always before the next one and within
//!   its window.

mod cadence;
mod window;

use std::time::Duration;

use jiff::{SignedDuration, Timestamp, tz::TimeZone};
use serde::{Deserialize, Serialize};
use tidemark_catalog::duration::Lasting;
use tidemark_gateway::Digest;

use cadence::{Cadence, Millis};
use window::{Window, Windows};

/// Most slots that are counted as missed.
pub const MOST_MISSED: u64 = 10_000;

/// How late a slot may begin although its window has ended by then, ms.
const LATE: Millis = 60_000;

/// Most slots that are looked at for one in a window.
const MOST_OUTSIDE: usize = 2_000;

/// A schedule as it is given and stored.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ScheduleSpec {
    /// Time between two slots, from 1 s on; or `cron`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub every: Option<Lasting>,
    /// Minute, hour, day of the month, month, day of the week; a sixth field before them is seconds. Or `@daily` and the like.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cron: Option<String>,
    /// IANA name of the zone of `cron` and `windows`; UTC where it is absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub zone: Option<String>,
    /// When runs may begin: `mon-fri 20:00-06:00`, `sat,sun`, `22:00-04:00`. Always, where there are none.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub windows: Vec<String>,
    /// How much later than its slot a run begins at most.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub jitter: Option<Lasting>,
}

/// Why a schedule is refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// Neither or both.
    #[error("a schedule has either every or cron")]
    Cadence,
    /// Too short.
    #[error("every {0} is shorter than a second")]
    TooShort(String),
    /// Longer than anything that is meant.
    #[error("every {0} is longer than ten years")]
    TooLong(String),
    /// No cron expression.
    #[error("cron {text:?}: {reason}")]
    Cron {
        /// As given.
        text: String,
        /// What is wrong.
        reason: String,
    },
    /// No zone.
    #[error("zone {0:?} is no name of an IANA time zone, such as Europe/Vienna")]
    Zone(String),
    /// No window.
    #[error("window {text:?}: {reason}")]
    Window {
        /// As given.
        text: String,
        /// What is wrong.
        reason: &'static str,
    },
    /// A run could come after the next one.
    #[error("jitter {jitter} is longer than the shortest time between two runs, {gap}")]
    Jitter {
        /// As given.
        jitter: Lasting,
        /// The shortest time.
        gap: String,
    },
    /// No slot at all.
    #[error("{cadence} has no time that is in {windows}: it would never run")]
    Never {
        /// What says when.
        cadence: String,
        /// Where that is not.
        windows: String,
    },
}

/// A schedule that is sound.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(try_from = "ScheduleSpec", into = "ScheduleSpec")]
pub struct Schedule {
    spec: ScheduleSpec,
    cadence: Cadence,
    windows: Windows,
    jitter_millis: u64,
}

impl PartialEq for Schedule {
    fn eq(&self, other: &Self) -> bool {
        self.spec == other.spec
    }
}

impl Eq for Schedule {}

/// A slot: the instant at which it is meant to begin, ms since 1970. Ordered by time, over all schedules.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct SlotId(pub u64);

impl SlotId {
    /// The slot that begins at this instant; what is before 1970 counts as that.
    pub fn at(at: Timestamp) -> Self {
        Self(millis(at))
    }

    /// The instant.
    pub fn nominal(self) -> Timestamp {
        i64::try_from(self.0).ok().and_then(|at| Timestamp::from_millisecond(at).ok()).unwrap_or(Timestamp::MAX)
    }
}

/// A slot whose time has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Due {
    /// The slot.
    pub slot: SlotId,
    /// When it was meant to begin, without jitter.
    pub nominal: Timestamp,
    /// Slots between the last one and this one, counted up to [`MOST_MISSED`]: they are left out.
    pub missed: u64,
}

/// A coming run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Run {
    /// When it begins, jitter included.
    pub at: Timestamp,
    /// Its slot.
    pub slot: SlotId,
}

impl TryFrom<ScheduleSpec> for Schedule {
    type Error = Error;

    fn try_from(spec: ScheduleSpec) -> Result<Self, Error> {
        let zone = match spec.zone.as_deref() {
            None => TimeZone::UTC,
            Some(name) => zone(name)?,
        };
        let cadence = Cadence::new(&spec, &zone)?;
        let windows = spec.windows.iter().map(|text| Window::parse(text)).collect::<Result<_, _>>()?;
        let windows = Windows::new(windows, zone);
        let jitter = spec.jitter.as_ref().map_or(Duration::ZERO, Lasting::length);
        let jitter_millis = u64::try_from(jitter.as_millis()).unwrap_or(u64::MAX);
        let schedule = Self { spec, cadence, windows, jitter_millis };
        match schedule.next_slot(cadence::PROBE) {
            Some(_) => Ok(schedule),
            None => Err(schedule.never()),
        }
    }
}

/// A zone by its IANA name.
///
/// # Errors
/// [`Error::Zone`].
pub fn zone(name: &str) -> Result<TimeZone, Error> {
    TimeZone::get(name).map_err(|_| Error::Zone(name.chars().take(80).collect()))
}

impl From<Schedule> for ScheduleSpec {
    fn from(schedule: Schedule) -> Self {
        schedule.spec
    }
}

impl Schedule {
    /// As it was given.
    pub fn spec(&self) -> &ScheduleSpec {
        &self.spec
    }

    /// Refuses jitter that the next slot would cut short. What is stored is not asked: it runs, with the jitter cut.
    ///
    /// # Errors
    /// [`Error::Jitter`].
    pub fn require_jitter(&self) -> Result<(), Error> {
        let Some(jitter) = self.spec.jitter.clone() else { return Ok(()) };
        match self.cadence.shortest_gap() {
            Some(gap) if gap < self.jitter_millis => {
                let gap = SignedDuration::from_millis(i64::try_from(gap).unwrap_or(i64::MAX));
                Err(Error::Jitter { jitter, gap: format!("{gap:#}") })
            }
            _ => Ok(()),
        }
    }

    /// The zone of its times.
    pub fn zone(&self) -> &TimeZone {
        self.windows.zone()
    }

    /// The newest slot that has begun and is above `last`, with the number of those between; `None` where there is none, so also
    /// while a clock that was set back has not passed `last`.
    ///
    /// `policy` is what jitter depends on besides the slot.
    pub fn due(&self, policy: &str, last: Option<SlotId>, now: Timestamp) -> Option<Due> {
        let slot = self.newest_begun(policy, now)?;
        let last = last.map(|last| last.0);
        if last.is_some_and(|last| slot <= last) || !self.may_begin(policy, slot, millis(now)) {
            return None;
        }
        let missed = last.map_or(0, |last| self.count_between(last, slot));
        Some(Due { slot: SlotId(slot), nominal: SlotId(slot).nominal(), missed })
    }

    /// The newest slot whose run has begun, whoever dealt with it; `None` before the first.
    pub fn begun(&self, policy: &str, now: Timestamp) -> Option<SlotId> {
        self.newest_begun(policy, now).map(SlotId)
    }

    /// How many slots above `last` have begun, counted up to one more than [`MOST_MISSED`]; those of windows that have ended too.
    pub fn begun_since(&self, policy: &str, last: SlotId, now: Timestamp) -> u64 {
        let newest = self.newest_begun(policy, now).filter(|slot| *slot > last.0);
        newest.map_or(0, |slot| self.count_between(last.0, slot) + 1)
    }

    /// The `count` runs that begin after `now`, in order; fewer only where time ends.
    pub fn next(&self, policy: &str, now: Timestamp, count: usize) -> Vec<Run> {
        // A slot that has come may begin only now, by its jitter.
        let waiting = self.newest_slot(millis(now)).filter(|slot| self.begins(policy, *slot) > millis(now));
        let coming = std::iter::successors(self.next_slot(millis(now)), |slot| self.next_slot(*slot));
        let run = |slot| Run { at: SlotId(self.begins(policy, slot)).nominal(), slot: SlotId(slot) };
        waiting.into_iter().chain(coming).take(count).map(run).collect()
    }

    /// The longest that a version may be away from the next one about `now`: the longer of the time between the newest two slots
    /// and that until the next one. So a pause between windows is none in which versions are missing.
    pub fn expected_interval(&self, now: Timestamp) -> Option<Duration> {
        let (newest, next) = (self.newest_slot(millis(now)), self.next_slot(millis(now)));
        let before = newest.and_then(|slot| self.newest_slot(slot.checked_sub(1)?));
        let gap = |from: Option<Millis>, to: Option<Millis>| Some(to? - from?);
        gap(before, newest).max(gap(newest, next)).map(Duration::from_millis)
    }

    /// The newest slot whose run has begun.
    fn newest_begun(&self, policy: &str, now: Timestamp) -> Option<Millis> {
        let newest = self.newest_slot(millis(now))?;
        if self.begins(policy, newest) <= millis(now) {
            return Some(newest);
        }
        // The one before begins before this one's time.
        self.newest_slot(newest.checked_sub(1)?)
    }

    /// True where the run of a slot may begin as late as this.
    fn may_begin(&self, policy: &str, slot: Millis, now: Millis) -> bool {
        self.windows.contain(now) || now - self.begins(policy, slot) <= LATE
    }

    /// When the run of a slot begins: before the next time of the cadence and the end of the window.
    fn begins(&self, policy: &str, slot: Millis) -> Millis {
        if self.jitter_millis == 0 {
            return slot;
        }
        let ends = [self.cadence.next(slot), self.windows.end_of(slot)];
        let room = ends.into_iter().flatten().map(|end| end - slot).fold(self.jitter_millis, Millis::min);
        let noise = Digest::of(format!("jitter/{policy}/{slot}").as_bytes()).noise();
        slot + noise % room.max(1)
    }

    /// The newest slot that is not after this.
    fn newest_slot(&self, at: Millis) -> Option<Millis> {
        let mut at = at;
        for _ in 0..MOST_OUTSIDE {
            let slot = self.cadence.newest(at)?;
            if self.windows.contain(slot) {
                return Some(slot);
            }
            at = self.windows.last_before(slot)?;
        }
        None
    }

    /// The first slot after this.
    fn next_slot(&self, after: Millis) -> Option<Millis> {
        let mut after = after;
        for _ in 0..MOST_OUTSIDE {
            let slot = self.cadence.next(after)?;
            if self.windows.contain(slot) {
                return Some(slot);
            }
            after = self.windows.first_after(slot)?.checked_sub(1)?;
        }
        None
    }

    fn count_between(&self, last: Millis, slot: Millis) -> u64 {
        match self.cadence.every().filter(|_| self.windows.are_always()) {
            Some(every) => (slot / every - last / every).saturating_sub(1).min(MOST_MISSED),
            None => {
                let slots = std::iter::successors(self.next_slot(last), |slot| self.next_slot(*slot));
                let between = slots.take_while(|between| *between < slot).take(MOST_MISSED as usize).count();
                u64::try_from(between).unwrap_or(MOST_MISSED)
            }
        }
    }

    fn never(&self) -> Error {
        let ScheduleSpec { every, cron, windows, .. } = &self.spec;
        let cadence = match (every, cron) {
            (Some(every), _) => format!("every {every}"),
            (None, cron) => format!("cron {:?}", cron.as_deref().unwrap_or_default()),
        };
        let windows = if windows.is_empty() { "the calendar".to_owned() } else { windows.join(", ") };
        Error::Never { cadence, windows }
    }
}

/// Milliseconds since 1970; 0 before that.
fn millis(at: Timestamp) -> Millis {
    u64::try_from(at.as_millisecond()).unwrap_or(0)
}

#[cfg(test)]
mod tests;
