//! Limits by the hours of the day, such as less during office hours.

use std::{fmt, str::FromStr};

use jiff::{
    Timestamp,
    civil::{DateTime, Weekday},
    tz::TimeZone,
};
use serde::{Deserialize, Serialize};

use super::Limit;
use crate::week::{self, DAY, NAMES};

/// A limit for some hours of some days.
#[derive(Clone, Debug, PartialEq)]
pub struct Window {
    /// The hours, as clocks on the wall of the zone show them.
    pub when: When,
    /// Where that wall is.
    pub zone: TimeZone,
    /// What holds then, instead of any other limit.
    pub limit: Limit,
}

/// Hours of days of the week: `mon-fri 08:00-18:00`, `sat,sun 00:00-24:00`, `22:00-06:00`.
///
/// Without days it is every day; `fri-mon` goes round the end of the week. The first minute is included, the last is not. Hours
/// that end at or before their beginning go on into the next day; the days are those on which they begin.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(into = "String", try_from = "String")]
pub struct When {
    /// From Monday on.
    days: [bool; 7],
    /// Minutes since midnight; the end may be that of the day.
    from: u16,
    to: u16,
}

/// Why a text names no hours.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// Not the two parts, or one.
    #[error("{0:?} is not hours such as \"mon-fri 08:00-18:00\"")]
    Shape(String),
    /// A day that is none.
    #[error("{0:?} is not a day or a range of days: mon, tue, wed, thu, fri, sat and sun are known")]
    Day(String),
    /// A time that is none.
    #[error("{0:?} is not a time from 00:00 to 24:00")]
    Time(String),
}

/// The limit in force at `now`: that of the first window that holds then, or else `base`.
///
/// Windows follow the clocks on the wall: an hour that a zone skips is not there, and one that it repeats is there twice.
pub fn limit_at(base: Limit, windows: &[Window], now: Timestamp) -> Limit {
    let window = windows.iter().find(|window| window.when.holds(now.to_zoned(window.zone.clone()).datetime()));
    window.map_or(base, |window| window.limit)
}

impl When {
    fn holds(&self, wall: DateTime) -> bool {
        let minute = wall.hour() as u16 * 60 + wall.minute() as u16;
        let begins = |day: Weekday| self.days[day.to_monday_zero_offset() as usize];
        let (today, yesterday) = (begins(wall.weekday()), begins(wall.weekday().previous()));
        if self.from < self.to {
            return today && (self.from..self.to).contains(&minute);
        }
        today && minute >= self.from || yesterday && minute < self.to
    }
}

impl FromStr for When {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        let shape = || Error::Shape(text.to_owned());
        let mut parts = text.split_whitespace();
        let (first, second) = (parts.next().ok_or_else(shape)?, parts.next());
        if parts.next().is_some() {
            return Err(shape());
        }
        let days = second.map_or(Ok([true; 7]), |_| week::days(first)).map_err(|part| Error::Day(part.to_owned()))?;
        let minute = |text: &str| week::minute(text).ok_or_else(|| Error::Time(text.to_owned()));
        let (from, to) = second.unwrap_or(first).split_once('-').ok_or_else(shape)?;
        let (from, to) = (minute(from)?, minute(to)?);
        if from == DAY || to == 0 && from == 0 {
            return Err(shape());
        }
        Ok(Self { days, from, to })
    }
}

impl fmt::Display for When {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.days != [true; 7] {
            let names = NAMES.iter().zip(self.days).filter(|(_, held)| *held).map(|(name, _)| *name);
            write!(f, "{} ", names.collect::<Vec<_>>().join(","))?;
        }
        let (from, to) = (self.from, self.to);
        write!(f, "{:02}:{:02}-{:02}:{:02}", from / 60, from % 60, to / 60, to % 60)
    }
}

impl From<When> for String {
    fn from(when: When) -> Self {
        when.to_string()
    }
}

impl TryFrom<String> for When {
    type Error = Error;

    fn try_from(text: String) -> Result<Self, Error> {
        text.parse()
    }
}

#[cfg(test)]
mod tests {
    use std::num::NonZeroU64;

    use proptest::prelude::*;

    use super::*;

    fn when(text: &str) -> When {
        text.parse().unwrap_or_else(|error| panic!("{text}: {error}"))
    }

    fn limit(bytes: u64) -> Limit {
        Limit { bytes_per_second: NonZeroU64::new(bytes), requests: None }
    }

    fn berlin(text: &str, bytes: u64) -> Window {
        Window { when: when(text), zone: TimeZone::get("Europe/Berlin").unwrap(), limit: limit(bytes) }
    }

    fn at(windows: &[Window], now: &str) -> u64 {
        limit_at(limit(1), windows, now.parse().unwrap()).bytes_per_second.map_or(0, NonZeroU64::get)
    }

    #[test]
    fn the_first_window_that_holds_is_in_force_and_else_the_base() {
        let windows = [berlin("mon-fri 12:00-13:00", 3), berlin("mon-fri 08:00-18:00", 2)];
        // 2026-11-30 is a Monday; Berlin is an hour ahead of UTC.
        for (now, expected) in [
            ("2026-11-30T06:59:59Z", 1),
            ("2026-11-30T07:00:00Z", 2),
            ("2026-11-30T11:30:00Z", 3),
            ("2026-11-30T16:59:59Z", 2),
            ("2026-11-30T17:00:00Z", 1),
            ("2026-11-29T11:30:00Z", 1),
        ] {
            assert_eq!(at(&windows, now), expected, "{now}");
        }
        let free = Window { limit: Limit::default(), ..berlin("00:00-24:00", 9) };
        assert_eq!(at(&[free], "2026-11-30T11:30:00Z"), 0, "no bound is a limit too");
    }

    #[test]
    fn a_window_over_midnight_is_of_the_day_on_which_it_begins() {
        let windows = [berlin("fri 22:00-06:00", 2)];
        for (now, expected) in [
            ("2026-11-27T20:59:00Z", 1),
            ("2026-11-27T21:00:00Z", 2),
            ("2026-11-28T04:59:00Z", 2),
            ("2026-11-28T05:00:00Z", 1),
            ("2026-11-28T21:00:00Z", 1),
            ("2026-11-27T04:00:00Z", 1),
        ] {
            assert_eq!(at(&windows, now), expected, "{now}");
        }
    }

    #[test]
    fn windows_follow_the_clocks_on_the_wall_through_changes() {
        // On 2026-03-29 clocks go from 02:00 to 03:00 at 01:00 UTC; on 2026-10-25 from 03:00 to 02:00 at 01:00 UTC.
        let (skipped, across) = ([berlin("02:00-03:00", 2)], [berlin("02:30-04:00", 2)]);
        let day = |windows: &[Window], date: &str| -> Vec<String> {
            let times = (0..6 * 4).map(|quarter| format!("{date}T{:02}:{:02}:00Z", quarter / 4, quarter % 4 * 15));
            times.filter(|now| at(windows, now) == 2).map(|now| now[11..16].to_owned()).collect()
        };
        assert_eq!(day(&skipped, "2026-03-29"), Vec::<String>::new());
        assert_eq!(day(&across, "2026-03-29"), ["01:00", "01:15", "01:30", "01:45"]);
        assert_eq!(
            day(&skipped, "2026-10-25"),
            ["00:00", "00:15", "00:30", "00:45", "01:00", "01:15", "01:30", "01:45"]
        );
        let office = [berlin("08:00-18:00", 2)];
        assert_eq!((at(&office, "2026-03-28T07:00:00Z"), at(&office, "2026-03-29T06:00:00Z")), (2, 2));
        assert_eq!((at(&office, "2026-03-28T06:59:00Z"), at(&office, "2026-03-29T05:59:00Z")), (1, 1));
    }

    #[test]
    fn texts_are_read_and_print_back() {
        for (text, printed) in [
            ("mon-fri 08:00-18:00", "mon,tue,wed,thu,fri 08:00-18:00"),
            ("sat,sun 00:00-24:00", "sat,sun 00:00-24:00"),
            ("fri-mon 22:00-06:30", "mon,fri,sat,sun 22:00-06:30"),
            ("mon-sun 22:00-00:00", "22:00-00:00"),
        ] {
            assert_eq!(when(text).to_string(), printed);
            assert_eq!(when(printed), when(text));
        }
        for text in ["", "mon", "mon-fri", "mon 8:00-18:00", "mon 08:00", "day 08:00-09:00", "mon- 08:00-09:00"] {
            assert!(text.parse::<When>().is_err(), "{text}");
        }
        for text in ["08:60-09:00", "08:00-24:01", "24:00-08:00", "00:00-00:00", "mon tue 08:00-09:00", "+8:00-09:00"] {
            assert!(text.parse::<When>().is_err(), "{text}");
        }
    }

    proptest! {
        #[test]
        fn whole_days_of_all_days_hold_always(seconds in 0_i64..4_000_000_000) {
            let now = Timestamp::from_second(seconds).unwrap();
            for text in ["00:00-24:00", "08:00-08:00", "mon-sun 23:59-23:59"] {
                prop_assert_eq!(limit_at(limit(1), &[berlin(text, 2)], now), limit(2));
            }
        }
    }
}
