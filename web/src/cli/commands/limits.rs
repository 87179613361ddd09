//! Limits on the command line.

use super::super::{
    Error,
    args::{ClearLimit, LimitsSaid},
};
use crate::api::{LimitHours, Limits};

/// Units of a rate and their bytes; the longest that fits is meant.
const UNITS: [(&str, u64); 9] = [
    ("KiB", 1 << 10),
    ("MiB", 1 << 20),
    ("GiB", 1 << 30),
    ("TiB", 1 << 40),
    ("kB", 1_000),
    ("KB", 1_000),
    ("MB", 1_000_000),
    ("GB", 1_000_000_000),
    ("B", 1),
];

/// The limits without what is cleared, and with what is given in the place of what they said; `None` where that is nothing.
pub(super) fn edited(
    known: Option<Limits>,
    said: &LimitsSaid,
    clear: impl IntoIterator<Item = ClearLimit>,
) -> Result<Option<Limits>, Error> {
    let mut limits = known.unwrap_or_default();
    for what in clear {
        match what {
            ClearLimit::Bandwidth => limits.bytes_per_second = None,
            ClearLimit::Requests => limits.requests = None,
            ClearLimit::Hours => limits.hours.clear(),
        }
    }
    let LimitsSaid { bandwidth, requests, hours } = said;
    if let Some(text) = bandwidth {
        let bytes =
            rate(text).ok_or_else(|| Error::Usage(format!("--bandwidth {text:?} is not a rate such as 50MiB/s")))?;
        limits.bytes_per_second = Some(bytes);
    }
    limits.requests = requests.or(limits.requests);
    if !hours.is_empty() {
        limits.hours = hours.iter().map(|text| read_hours(text)).collect::<Result<_, _>>()?;
    }
    Ok((limits != Limits::default()).then_some(limits))
}

/// Bytes in a second of a rate such as `50MiB/s`; a fraction of a byte is left out.
fn rate(text: &str) -> Option<u64> {
    let text = text.trim();
    let amount = text.strip_suffix("/s").unwrap_or(text).trim_end();
    let (number, factor) = UNITS.iter().find_map(|(unit, factor)| Some((amount.strip_suffix(unit)?, *factor)))?;
    let (whole, fraction) = number.trim_end().split_once('.').unwrap_or((number.trim_end(), "0"));
    let digits = |text: &str| !text.is_empty() && text.len() <= 12 && text.bytes().all(|byte| byte.is_ascii_digit());
    if !digits(whole) || !digits(fraction) {
        return None;
    }
    let scale = 10_u128.pow(u32::try_from(fraction.len()).ok()?);
    let number = whole.parse::<u128>().ok()? * scale + fraction.parse::<u128>().ok()?;
    u64::try_from(number * u128::from(factor) / scale).ok()
}

/// `DAYS FROM-TO ZONE: LIMITS`, of which days and zone may be absent.
fn read_hours(text: &str) -> Result<LimitHours, Error> {
    let wrong = |why: &str| {
        let shape = "mon-fri 08:00-18:00 Europe/Berlin: 10MiB/s, requests 4";
        Error::Usage(format!("--hours {text:?}: {why}; it is given as {shape:?}"))
    };
    let (hours, limits) = text.split_once(": ").ok_or_else(|| wrong("no limits after a colon and a space"))?;
    let words: Vec<&str> = hours.split_whitespace().collect();
    let time = words.iter().position(|word| word.contains(':')).ok_or_else(|| wrong("no times such as 08:00-18:00"))?;
    let (when, zone) = words.split_at(time + 1);
    if zone.len() > 1 {
        return Err(wrong("more than a zone after the times"));
    }
    let zone = zone.first().map(|zone| (*zone).to_owned());
    let mut read = LimitHours { when: when.join(" "), zone, ..LimitHours::default() };
    if limits.trim() != "unlimited" {
        for limit in limits.split(',').map(str::trim) {
            one(&mut read, limit)
                .ok_or_else(|| wrong(&format!("{limit:?} is neither a rate, nor requests, nor unlimited")))?;
        }
    }
    Ok(read)
}

/// Takes one limit of hours, said for the first time; `None` for anything else.
fn one(read: &mut LimitHours, limit: &str) -> Option<()> {
    let count = limit.strip_prefix("requests").map(|count| count.trim().parse::<u32>());
    match count {
        Some(Ok(count)) => read.requests.replace(count).is_none(),
        Some(Err(_)) => false,
        None => read.bytes_per_second.replace(rate(limit)?).is_none(),
    }
    .then_some(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(bandwidth: Option<&str>, requests: Option<u32>, hours: &[&str]) -> LimitsSaid {
        let hours = hours.iter().map(|text| (*text).to_owned()).collect();
        LimitsSaid { bandwidth: bandwidth.map(str::to_owned), requests, hours }
    }

    #[test]
    fn rates_have_units() {
        let rates = [
            ("50MiB/s", 50 << 20),
            ("1.5 GiB/s", 3 << 29),
            ("800KB", 800_000),
            ("0.25MB/s", 250_000),
            ("70000B/s", 70_000),
            ("0.0001KiB/s", 0),
        ];
        for (text, bytes) in rates {
            assert_eq!(rate(text), Some(bytes), "{text}");
        }
        for wrong in ["", "50", "MiB/s", "-1MiB/s", "1e3MiB", "50Mbit/s", ".5MiB", "5.MiB", "1_0MiB", "99999999999TiB"]
        {
            assert_eq!(rate(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn hours_have_limits_and_perhaps_a_zone() {
        let hours = |text: &str| read_hours(text).unwrap();
        let office = LimitHours {
            when: "mon-fri 08:00-18:00".to_owned(),
            zone: Some("Europe/Berlin".to_owned()),
            bytes_per_second: Some(10 << 20),
            requests: Some(4),
        };
        assert_eq!(hours("mon-fri 08:00-18:00 Europe/Berlin: 10MiB/s, requests 4"), office);
        let night = LimitHours { when: "22:00-06:00".to_owned(), ..LimitHours::default() };
        assert_eq!(hours("22:00-06:00: unlimited"), night);
        assert_eq!(hours("22:00-06:00: requests 9"), LimitHours { requests: Some(9), ..night });
        for wrong in [
            "",
            "08:00-18:00",
            "08:00-18:00:",
            "mon-fri: 1MiB/s",
            "08:00-18:00 UTC more: 1MiB/s",
            "08:00-18:00: fast",
            "08:00-18:00: requests",
            "08:00-18:00: requests few",
            "08:00-18:00: 1MiB/s, 2MiB/s",
            "08:00-18:00: 1MiB/s, unlimited",
        ] {
            let refused = read_hours(wrong).map(drop).unwrap_err();
            assert!(matches!(&refused, Error::Usage(words) if words.starts_with("--hours")), "{wrong}: {refused}");
        }
    }

    #[test]
    fn what_is_given_takes_the_place_of_what_was_said_and_the_rest_stays() {
        let first = edited(None, &said(Some("1MiB/s"), Some(16), &["08:00-18:00: requests 4"]), []).unwrap().unwrap();
        assert_eq!((first.bytes_per_second, first.requests, first.hours.len()), (Some(1 << 20), Some(16), 1));
        assert_eq!(edited(Some(first.clone()), &said(None, None, &[]), []).unwrap(), Some(first.clone()));
        let other = edited(Some(first.clone()), &said(None, Some(8), &[]), [ClearLimit::Hours]).unwrap().unwrap();
        assert_eq!(other, Limits { requests: Some(8), hours: vec![], ..first.clone() });
        let all = [ClearLimit::Bandwidth, ClearLimit::Requests, ClearLimit::Hours];
        assert_eq!(edited(Some(first), &said(None, None, &[]), all).unwrap(), None);
        assert!(edited(None, &said(Some("fast"), None, &[]), []).is_err());
    }
}
