//! What the operator says about limits, as it is stored.

use std::num::NonZeroU64;

use jiff::{Timestamp, tz::TimeZone};
use serde::{Deserialize, Serialize};
use tidemark_gateway::limits::{
    Limit,
    hours::{self, When, Window},
};

use crate::schedule;

/// Least bandwidth that is taken, bytes per second. Below it a part of an upload takes so long that work seems to stand still.
const LEAST_BYTES: u64 = 64 << 10;

/// Fewest requests at a time: one for the daemon and one for a listener.
pub(super) const FEWEST_REQUESTS: u32 = 2;

/// Most hours of one limit: they are looked through again and again.
const MOST_HOURS: usize = 100;

/// The limits of a store or a policy; none by default.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LimitsSpec {
    /// Bytes sent and read in a second; absent: no bound.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bytes_per_second: Option<u64>,
    /// Requests at a time; absent: no bound.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub requests: Option<u32>,
    /// Hours in which other limits hold; the first that hold now are in force.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub hours: Vec<HoursSpec>,
}

/// Hours with their own limits, which hold instead of all others.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct HoursSpec {
    /// Text of [`When`].
    pub when: String,
    /// IANA name of their zone; UTC where it is absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub zone: Option<String>,
    /// As in [`LimitsSpec`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bytes_per_second: Option<u64>,
    /// As in [`LimitsSpec`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub requests: Option<u32>,
}

/// What of limits is not sound; each names the field.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// Too little to work with.
    #[error("{field}: {bytes} is less than {LEAST_BYTES}")]
    Bandwidth {
        /// The field.
        field: String,
        /// What it says.
        bytes: u64,
    },
    /// Too few to work with.
    #[error("{field}: {requests} is less than {FEWEST_REQUESTS}, one for the daemon and one for a listener")]
    Requests {
        /// The field.
        field: String,
        /// What it says.
        requests: u32,
    },
    /// The text names no hours.
    #[error("{field}")]
    When {
        /// The field.
        field: String,
        /// Why.
        source: hours::Error,
    },
    /// This host does not know the zone.
    #[error("{field}")]
    Zone {
        /// The field.
        field: String,
        /// Why.
        source: schedule::Error,
    },
    /// More hours than are looked through.
    #[error("limits.hours: {count} are more than {MOST_HOURS}")]
    Many {
        /// How many.
        count: usize,
    },
}

impl LimitsSpec {
    /// True where nothing is bounded, ever.
    pub fn is_none(&self) -> bool {
        *self == Self::default()
    }

    /// The same, with this zone for hours that name none.
    #[must_use]
    pub fn within(mut self, zone: Option<&str>) -> Self {
        for hours in &mut self.hours {
            hours.zone = hours.zone.take().or_else(|| zone.map(str::to_owned));
        }
        self
    }

    /// Refuses what cannot be obeyed.
    ///
    /// # Errors
    /// [`Error`] of the first field that is not sound.
    pub fn validate(&self) -> Result<(), Error> {
        sound("limits", self.bytes_per_second, self.requests)?;
        for (index, hours) in self.hours.iter().enumerate() {
            sound(&format!("limits.hours[{index}]"), hours.bytes_per_second, hours.requests)?;
        }
        if self.hours.len() > MOST_HOURS {
            return Err(Error::Many { count: self.hours.len() });
        }
        self.windows().map(drop)
    }

    /// What is in force at `now`. Where hours cannot be understood on this host, although another one did, it is the least of all
    /// that is said, whatever the time: too little is slow, too much takes what is others'.
    pub fn at(&self, now: Timestamp) -> Limit {
        match self.windows() {
            Ok(windows) => hours::limit_at(self.base(), &windows, now),
            Err(_) => self.hours.iter().fold(self.base(), |least, hours| least.least(hours.limit())),
        }
    }

    /// The hours as they are followed.
    ///
    /// # Errors
    /// [`Error::When`], [`Error::Zone`].
    pub fn windows(&self) -> Result<Vec<Window>, Error> {
        let field = |index: usize, name: &str| format!("limits.hours[{index}].{name}");
        let window = |(index, hours): (usize, &HoursSpec)| {
            let when = hours.when.parse::<When>();
            let when = when.map_err(|source| Error::When { field: field(index, "when"), source })?;
            let zone = hours.zone.as_deref().map_or(Ok(TimeZone::UTC), schedule::zone);
            let zone = zone.map_err(|source| Error::Zone { field: field(index, "zone"), source })?;
            Ok(Window { when, zone, limit: hours.limit() })
        };
        self.hours.iter().enumerate().map(window).collect()
    }

    fn base(&self) -> Limit {
        limit(self.bytes_per_second, self.requests)
    }
}

impl HoursSpec {
    fn limit(&self) -> Limit {
        limit(self.bytes_per_second, self.requests)
    }
}

fn limit(bytes: Option<u64>, requests: Option<u32>) -> Limit {
    Limit {
        bytes_per_second: bytes.map(|bytes| NonZeroU64::new(bytes).unwrap_or(NonZeroU64::MIN)),
        requests: requests.map(|requests| usize::try_from(requests).unwrap_or(usize::MAX)),
    }
}

fn sound(place: &str, bytes: Option<u64>, requests: Option<u32>) -> Result<(), Error> {
    if let Some(bytes) = bytes.filter(|bytes| *bytes < LEAST_BYTES) {
        return Err(Error::Bandwidth { field: format!("{place}.bytes_per_second"), bytes });
    }
    match requests.filter(|requests| *requests < FEWEST_REQUESTS) {
        Some(requests) => Err(Error::Requests { field: format!("{place}.requests"), requests }),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};
    use tidemark_gateway::causes::joined;

    use super::*;

    fn spec(value: Value) -> LimitsSpec {
        serde_json::from_value(value).unwrap()
    }

    fn office(zone: Value) -> LimitsSpec {
        let hours = json!([{"when": "mon-fri 08:00-18:00", "zone": zone, "bytes_per_second": 1 << 20, "requests": 4}]);
        spec(json!({"bytes_per_second": 50 << 20, "hours": hours}))
    }

    /// 2026-11-30 is a Monday.
    fn at(spec: &LimitsSpec, hour: u32) -> (Option<u64>, Option<usize>) {
        let limit = spec.at(format!("2026-11-30T{hour:02}:30:00Z").parse().unwrap());
        (limit.bytes_per_second.map(NonZeroU64::get), limit.requests)
    }

    #[test]
    fn hours_hold_in_their_zone_and_else_the_rest() {
        let (base, inside) = ((Some(50 << 20), None), (Some(1 << 20), Some(4)));
        let berlin = office(json!("Europe/Berlin"));
        assert_eq!([at(&berlin, 6), at(&berlin, 7), at(&berlin, 16), at(&berlin, 17)], [base, inside, inside, base]);
        let plain = office(Value::Null);
        assert_eq!([at(&plain, 7), at(&plain, 8)], [base, inside]);
        let policys = plain.within(Some("Europe/Berlin"));
        assert_eq!(policys, berlin);
        assert_eq!(berlin.clone().within(Some("Asia/Tokyo")), berlin, "its own zone stays");
    }

    #[test]
    fn hours_that_this_host_does_not_understand_leave_the_least() {
        for foreign in [office(json!("Mars/Olympus")), spec(json!({"hours": [{"when": "always", "requests": 3}]}))] {
            let least = foreign.hours[0].limit();
            assert_eq!(
                [at(&foreign, 2), at(&foreign, 12)],
                [(least.bytes_per_second.map(NonZeroU64::get), least.requests); 2]
            );
        }
    }

    #[test]
    fn what_is_not_sound_is_refused_by_the_name_of_its_field() {
        let said = |value: Value| joined(&spec(value).validate().unwrap_err());
        let hours = |value: Value| said(json!({"hours": [{"when": "08:00-18:00"}, value]}));
        assert_eq!(said(json!({"bytes_per_second": 65_535})), "limits.bytes_per_second: 65535 is less than 65536");
        assert!(said(json!({"requests": 1})).starts_with("limits.requests: 1 is less than 2"));
        let zero = json!({"when": "08:00-18:00", "bytes_per_second": 0});
        assert!(hours(zero).starts_with("limits.hours[1].bytes_per_second: 0 is less"));
        assert!(hours(json!({"when": "08:00-18:00", "requests": 0})).starts_with("limits.hours[1].requests: 0"));
        assert!(hours(json!({"when": "mon-fri"})).starts_with("limits.hours[1].when: \"mon\" is not a time"));
        let zone = json!({"when": "08:00-18:00", "zone": "Europe/Wien"});
        assert!(hours(zone).starts_with("limits.hours[1].zone: zone \"Europe/Wien\""));
        let many = vec![json!({"when": "08:00-18:00"}); MOST_HOURS + 1];
        assert!(said(json!({"hours": many})).starts_with("limits.hours: 101"));
        office(json!("Europe/Berlin")).validate().unwrap();
        spec(json!({"bytes_per_second": LEAST_BYTES, "requests": FEWEST_REQUESTS})).validate().unwrap();
        assert!(serde_json::from_value::<LimitsSpec>(json!({"bandwith": 1})).is_err(), "a misspelt field");
    }
}
