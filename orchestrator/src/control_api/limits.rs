//! Limits of the API and those that are stored, one from the other.

use jiff::Timestamp;
use tidemark_gateway::limits::Limit;
use tidemark_web::api::{LimitHours, LimitNow, Limits};

use crate::limits::{Error, HoursSpec, LimitsSpec};

/// What limits look like.
pub(super) const HINT: &str = "limits are bytes_per_second, from 65536, and requests, from 2; hours such as mon-fri 08:00-18:00 have a \
                               zone such as Europe/Vienna and limits of their own";

/// Limits that are sound; none where none are given.
///
/// # Errors
/// [`Error`] naming the field.
pub(super) fn read(limits: Option<Limits>) -> Result<LimitsSpec, Error> {
    let Limits { bytes_per_second, requests, hours } = limits.unwrap_or_default();
    let hours = hours.into_iter().map(|hours| {
        let LimitHours { when, zone, bytes_per_second, requests } = hours;
        HoursSpec { when, zone, bytes_per_second, requests }
    });
    let spec = LimitsSpec { bytes_per_second, requests, hours: hours.collect() };
    spec.validate().map(|()| spec)
}

/// Limits as the API shows them.
pub(super) fn show(spec: LimitsSpec) -> Option<Limits> {
    let some = !spec.is_none();
    let LimitsSpec { bytes_per_second, requests, hours } = spec;
    let hours = hours.into_iter().map(|hours| {
        let HoursSpec { when, zone, bytes_per_second, requests } = hours;
        LimitHours { when, zone, bytes_per_second, requests }
    });
    some.then(|| Limits { bytes_per_second, requests, hours: hours.collect() })
}

/// What of limits is in force at `now`; nothing where there are none.
pub(super) fn now(spec: &LimitsSpec, now: Timestamp) -> Option<LimitNow> {
    let Limit { bytes_per_second, requests } = (!spec.is_none()).then(|| spec.at(now))?;
    let requests = requests.map(|requests| u32::try_from(requests).unwrap_or(u32::MAX));
    Some(LimitNow { bytes_per_second: bytes_per_second.map(std::num::NonZeroU64::get), requests })
}
