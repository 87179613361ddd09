//! The times that a schedule asks for, windows aside.

use croner::{
    Cron,
    parser::{CronParser, Year},
};
use jiff::{Timestamp, Zoned, tz::TimeZone};

use super::{Error, ScheduleSpec};

/// Milliseconds since 1970.
pub(super) type Millis = u64;

/// A time from which on every sound schedule has a slot: 2028-01-01, the beginning of a leap year.
pub(super) const PROBE: Millis = 1_830_297_600_000;

/// Times that are looked at for the shortest time between two of them: of one each day, those of a year and more.
const PROBED: usize = 400;

/// Longest time between two slots, ms.
const LONGEST: u128 = 3653 * 24 * 3_600_000;

/// The times.
#[derive(Clone, Debug)]
pub(super) enum Cadence {
    /// Each multiple of this many milliseconds.
    Every(Millis),
    /// Those of an expression.
    Cron(Box<Cron>, TimeZone),
}

impl Cadence {
    pub(super) fn new(spec: &ScheduleSpec, zone: &TimeZone) -> Result<Self, Error> {
        match (&spec.every, &spec.cron) {
            (Some(every), None) => match every.length().as_millis() {
                0..1000 => Err(Error::TooShort(every.to_string())),
                1000..=LONGEST => Ok(Self::Every(every.length().as_millis() as Millis)),
                _ => Err(Error::TooLong(every.to_string())),
            },
            (None, Some(text)) => Ok(Self::Cron(Box::new(parse(text)?), zone.clone())),
            _ => Err(Error::Cadence),
        }
    }

    /// Its length, where it is a pace.
    pub(super) fn every(&self) -> Option<Millis> {
        match self {
            Self::Every(every) => Some(*every),
            Self::Cron(..) => None,
        }
    }

    /// The shortest time between two of its times, as far as a few hundred from [`PROBE`] on show.
    pub(super) fn shortest_gap(&self) -> Option<Millis> {
        match self {
            Self::Every(every) => Some(*every),
            Self::Cron(..) => {
                let times = || std::iter::successors(self.next(PROBE), |time| self.next(*time)).take(PROBED);
                times().skip(1).zip(times()).map(|(time, before)| time - before).min()
            }
        }
    }

    /// The newest time that is not after `at`.
    pub(super) fn newest(&self, at: Millis) -> Option<Millis> {
        match self {
            Self::Every(every) => Some(at - at % every),
            Self::Cron(cron, zone) => found(cron.find_previous_occurrence(&zoned(at, zone)?, true)),
        }
    }

    /// The first time after `after`.
    pub(super) fn next(&self, after: Millis) -> Option<Millis> {
        match self {
            Self::Every(every) => (after - after % every).checked_add(*every),
            Self::Cron(cron, zone) => found(cron.find_next_occurrence(&zoned(after, zone)?, false)),
        }
    }
}

fn parse(text: &str) -> Result<Cron, Error> {
    let refuse = |reason: String| Error::Cron { text: text.chars().take(80).collect(), reason };
    if text.len() > 200 {
        return Err(refuse("longer than 200 bytes".to_owned()));
    }
    let parser = CronParser::builder().year(Year::Disallowed).build();
    parser.parse(text).map_err(|error| refuse(error.to_string()))
}

/// The beginning of the second, because that is what expressions tell apart.
fn zoned(at: Millis, zone: &TimeZone) -> Option<Zoned> {
    let second = Timestamp::from_second(i64::try_from(at / 1000).ok()?).ok()?;
    Some(second.to_zoned(zone.clone()))
}

/// An expression without such a time has none.
fn found(time: Result<Zoned, croner::errors::CronError>) -> Option<Millis> {
    u64::try_from(time.ok()?.timestamp().as_millisecond()).ok()
}
