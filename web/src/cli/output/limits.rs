//! Limits, in words.

use crate::api::{LimitHours, LimitNow, Limits};

/// What is in force, or `-`.
pub(super) fn now(limit: Option<LimitNow>) -> String {
    limit.map_or_else(|| "-".to_owned(), |limit| bounds(limit.bytes_per_second, limit.requests))
}

/// The limits, a line each, as the command line takes them; names as wide as `width`.
pub(super) fn lines(limits: Option<&Limits>, width: usize) -> String {
    let Some(Limits { bytes_per_second, requests, hours }) = limits else { return String::new() };
    let bandwidth = bytes_per_second.map(|bytes| ("bandwidth", rate(bytes)));
    let requests = requests.map(|requests| ("requests", requests.to_string()));
    let hours = hours.iter().map(|hours| ("hours", told(hours)));
    bandwidth.into_iter().chain(requests).chain(hours).map(|(name, value)| format!("{name:<width$}{value}\n")).collect()
}

fn told(hours: &LimitHours) -> String {
    let zone = hours.zone.as_ref().map(|zone| format!(" {zone}")).unwrap_or_default();
    format!("{}{zone}: {}", hours.when, bounds(hours.bytes_per_second, hours.requests))
}

fn bounds(bytes: Option<u64>, requests: Option<u32>) -> String {
    let bounds = [bytes.map(rate), requests.map(|requests| format!("requests {requests}"))];
    let bounds: Vec<String> = bounds.into_iter().flatten().collect();
    if bounds.is_empty() { "unlimited".to_owned() } else { bounds.join(", ") }
}

/// A rate without rounding, in the largest unit that gives a whole number.
fn rate(bytes: u64) -> String {
    let units =
        [("GiB", 1 << 30), ("MiB", 1 << 20), ("KiB", 1 << 10), ("GB", 1_000_000_000), ("MB", 1_000_000), ("KB", 1_000)];
    let whole = units.into_iter().find(|(_, unit)| bytes >= *unit && bytes.is_multiple_of(*unit));
    whole.map_or_else(|| format!("{bytes}B/s"), |(name, unit)| format!("{}{name}/s", bytes / unit))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn limits_are_told_as_they_are_given() {
        let office = LimitHours {
            when: "mon-fri 08:00-18:00".to_owned(),
            zone: Some("Europe/Berlin".to_owned()),
            bytes_per_second: Some(10 << 20),
            requests: Some(4),
        };
        let night = LimitHours { when: "22:00-06:00".to_owned(), ..LimitHours::default() };
        let limits = Limits { bytes_per_second: Some(70_000_001), requests: None, hours: vec![office, night] };
        let expected = "bandwidth   70000001B/s\n\
                        hours       mon-fri 08:00-18:00 Europe/Berlin: 10MiB/s, requests 4\n\
                        hours       22:00-06:00: unlimited\n";
        assert_eq!(lines(Some(&limits), 12), expected);
        assert_eq!(lines(None, 12), "");
        assert_eq!(now(Some(LimitNow { bytes_per_second: Some(800_000), requests: Some(2) })), "800KB/s, requests 2");
        assert_eq!([now(None), now(Some(LimitNow::default()))], ["-", "unlimited"]);
    }
}
