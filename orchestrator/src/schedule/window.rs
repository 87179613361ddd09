//! Windows: when runs may begin, by days of the week and times of the day in a zone.
//!
//! `mon-fri 20:00-06:00` begins on each of these days at 20:00 and ends on the day after; `sat,sun` is these days as a whole;
//! `22:00-04:00` begins on every day. The first minute is in a window, the last one is not.

use jiff::{Timestamp, civil::Date, tz::TimeZone};
use tidemark_gateway::week::{self, DAY};

use super::{Error, cadence::Millis};

/// Days that are looked at on either side: a week, and what begins on the day before.
const REACH: i32 = 8;

/// One window.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Window {
    /// Days on which it begins, from Monday on.
    days: [bool; 7],
    /// Minute of the day.
    from: u16,
    /// Minute of that day, or of the next one where it is not after `from`.
    to: u16,
}

impl Window {
    pub(super) fn parse(text: &str) -> Result<Self, Error> {
        let refuse = |reason| Error::Window { text: text.chars().take(80).collect(), reason };
        let words: Vec<_> = text.split_whitespace().collect();
        let (days, times) = match words[..] {
            [one] if one.contains(':') => (None, Some(one)),
            [days] => (Some(days), None),
            [days, times] => (Some(days), Some(times)),
            _ => return Err(refuse("is not days, times or both, such as mon-fri 20:00-06:00")),
        };
        let days = days.map_or(Ok([true; 7]), parse_days).map_err(refuse)?;
        let (from, to) = times.map_or(Ok((0, DAY)), parse_times).map_err(refuse)?;
        Ok(Self { days, from, to })
    }

    /// The instants from and to which it lasts where it begins on this day; `None` where it does not, or a change of the clock
    /// leaves nothing of it.
    fn on(&self, date: Date, zone: &TimeZone) -> Option<(Millis, Millis)> {
        let day = usize::try_from(date.weekday().to_monday_zero_offset()).ok()?;
        if !self.days[day] {
            return None;
        }
        let end = if self.to > self.from { date } else { date.tomorrow().ok()? };
        let (from, to) = (instant(date, self.from, zone)?, instant(end, self.to, zone)?);
        (from < to).then_some((from, to))
    }
}

fn parse_days(text: &str) -> Result<[bool; 7], &'static str> {
    week::days(text).map_err(|_| "days are mon, tue, wed, thu, fri, sat and sun, joined by - and ,")
}

fn parse_times(text: &str) -> Result<(u16, u16), &'static str> {
    let times = text.split_once('-').and_then(|(from, to)| Some((week::minute(from)?, week::minute(to)?)));
    match times.ok_or("times are 20:00-06:00, from 00:00 to 24:00")? {
        (from, to) if from == to || from == DAY => Err("begins where it ends, or at 24:00"),
        times => Ok(times),
    }
}

/// A minute of a day; where a change of the clock skips it, as long after the change as it would have been without.
fn instant(date: Date, minute: u16, zone: &TimeZone) -> Option<Millis> {
    let (date, minute) = if minute == DAY { (date.tomorrow().ok()?, 0) } else { (date, minute) };
    let time = date.at(i8::try_from(minute / 60).ok()?, i8::try_from(minute % 60).ok()?, 0, 0);
    let at = zone.to_ambiguous_timestamp(time).compatible().ok()?;
    u64::try_from(at.as_millisecond()).ok()
}

/// All windows of a schedule; without any it is always.
#[derive(Clone, Debug)]
pub(super) struct Windows {
    windows: Vec<Window>,
    zone: TimeZone,
}

impl Windows {
    pub(super) fn new(windows: Vec<Window>, zone: TimeZone) -> Self {
        Self { windows, zone }
    }

    pub(super) fn zone(&self) -> &TimeZone {
        &self.zone
    }

    /// True where there are none.
    pub(super) fn are_always(&self) -> bool {
        self.windows.is_empty()
    }

    pub(super) fn contain(&self, at: Millis) -> bool {
        self.are_always() || self.around(at, -1..=0).any(|(from, to)| (from..to).contains(&at))
    }

    /// The end of the window in which this is; of the longest, where there are several.
    pub(super) fn end_of(&self, at: Millis) -> Option<Millis> {
        let around = self.around(at, -1..=0).filter(|(from, to)| (*from..*to).contains(&at));
        around.map(|(_, to)| to).max()
    }

    /// The last millisecond of the window that ends last, not after `at`.
    pub(super) fn last_before(&self, at: Millis) -> Option<Millis> {
        let ends = self.around(at, -REACH..=0).filter(|(_, to)| *to <= at);
        ends.map(|(_, to)| to - 1).max()
    }

    /// The first millisecond of the window that begins first, after `at`.
    pub(super) fn first_after(&self, at: Millis) -> Option<Millis> {
        let begins = self.around(at, 0..=REACH).filter(|(from, _)| *from > at);
        begins.map(|(from, _)| from).min()
    }

    /// Windows that begin so many days after the day of `at`.
    fn around(&self, at: Millis, days: std::ops::RangeInclusive<i32>) -> impl Iterator<Item = (Millis, Millis)> {
        let at = i64::try_from(at).ok().and_then(|at| Timestamp::from_millisecond(at).ok());
        let today = at.map(|at| self.zone.to_datetime(at).date());
        let dates = days.filter_map(move |n| today?.checked_add(jiff::Span::new().days(n)).ok());
        dates.flat_map(move |date| self.windows.iter().filter_map(move |window| window.on(date, &self.zone)))
    }
}
