//! Hours, days, weeks, months and years in a zone.

use std::fmt;

use jiff::{
    Timestamp,
    civil::{Date, DateTime},
    tz::{Offset, TimeZone},
};

/// What periods are made of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Unit {
    /// Hours of the clock on the wall. One that a change of the clock repeats is two, one that it skips is none.
    Hour,
    /// Days.
    Day,
    /// Weeks, from Monday on.
    Week,
    /// Months.
    Month,
    /// Years.
    Year,
}

impl Unit {
    /// From the shortest on.
    pub(super) const ALL: [Self; 5] = [Self::Hour, Self::Day, Self::Week, Self::Month, Self::Year];

    /// The period that an instant lies in.
    pub(super) fn of(self, at: Timestamp, zone: &TimeZone) -> Period {
        let local = at.to_zoned(zone.clone());
        let date = local.date();
        match self {
            Self::Hour => Period::Hour(date.at(local.hour(), 0, 0, 0), local.offset()),
            Self::Day => Period::Day(date),
            Self::Week => Period::Week(date.iso_week_date().year(), date.iso_week_date().week()),
            Self::Month => Period::Month(date.year(), date.month()),
            Self::Year => Period::Year(date.year()),
        }
    }
}

/// One hour, day, week, month or year; printed as `2026-11-29 13:00+01`, `2026-11-29`, `2026-W48`, `2026-11` and `2026`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Period {
    /// The hour that begins then, and what the zone's clocks are ahead of UTC in it.
    Hour(DateTime, Offset),
    /// A day.
    Day(Date),
    /// Year and number, by ISO 8601.
    Week(i16, i8),
    /// Year and number.
    Month(i16, i8),
    /// A year.
    Year(i16),
}

impl Period {
    /// The rule that keeps it.
    pub fn rule(self) -> &'static str {
        match self {
            Self::Hour(..) => "hourly",
            Self::Day(_) => "daily",
            Self::Week(..) => "weekly",
            Self::Month(..) => "monthly",
            Self::Year(_) => "yearly",
        }
    }
}

impl fmt::Display for Period {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Hour(begin, offset) => write!(f, "{}{offset}", begin.strftime("%Y-%m-%d %H:%M")),
            Self::Day(date) => date.fmt(f),
            Self::Week(year, week) => write!(f, "{year:04}-W{week:02}"),
            Self::Month(year, month) => write!(f, "{year:04}-{month:02}"),
            Self::Year(year) => write!(f, "{year:04}"),
        }
    }
}
