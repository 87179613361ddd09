//! Durations as people write them, for example in a policy: `20s`, `5m`, `7d`, `1h 30m`, `PT36H`, `P7D`.
//!
//! A day is 24 hours and a week 7 days, whatever clocks do meanwhile; months and years have no one length and are refused.

use std::{fmt, str::FromStr, time::Duration};

use jiff::{Span, SpanRelativeTo, Unit};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error as _};

/// Why a text is not a duration.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// No duration at all.
    #[error("{0:?} is not a duration; 20s, 5m, 12h, 7d and PT36H are")]
    Shape(String),
    /// Months and years.
    #[error("{0:?} has months or years, which have no one length; 30d and 52w have")]
    Calendar(String),
    /// Nothing, or less.
    #[error("{0:?} is not longer than nothing")]
    NotPositive(String),
}

/// A duration longer than nothing; printed and stored as it was given, and the same as another if both last as long.
#[derive(Clone, Debug)]
pub struct Lasting {
    text: String,
    length: Duration,
}

impl Lasting {
    /// How long it is.
    pub fn length(&self) -> Duration {
        self.length
    }
}

impl FromStr for Lasting {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        let shown: String = text.chars().take(80).collect();
        let span: Span = text.parse().map_err(|_| Error::Shape(shown.clone()))?;
        if span.get_years() != 0 || span.get_months() != 0 {
            return Err(Error::Calendar(shown));
        }
        let whole = span.total((Unit::Nanosecond, SpanRelativeTo::days_are_24_hours()));
        if whole.is_ok_and(|nanoseconds| nanoseconds <= 0.0) {
            return Err(Error::NotPositive(shown));
        }
        let length =
            span.to_duration(SpanRelativeTo::days_are_24_hours()).ok().and_then(|d| Duration::try_from(d).ok());
        length.map(|length| Self { text: text.to_owned(), length }).ok_or(Error::Shape(shown))
    }
}

impl PartialEq for Lasting {
    fn eq(&self, other: &Self) -> bool {
        self.length == other.length
    }
}

impl Eq for Lasting {}

impl fmt::Display for Lasting {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl Serialize for Lasting {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.text)
    }
}

impl<'de> Deserialize<'de> for Lasting {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(D::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_read_as_people_and_programs_write_them() {
        let seconds = |text: &str| text.parse::<Lasting>().unwrap().length().as_secs();
        let hour = 3600;
        for (text, expected) in [
            ("20s", 20),
            ("5m", 300),
            ("PT5M", 300),
            ("1h 30m", 5400),
            ("7d", 7 * 24 * hour),
            ("P7D", 7 * 24 * hour),
            ("PT36H", 36 * hour),
            ("2w", 14 * 24 * hour),
        ] {
            assert_eq!(seconds(text), expected, "{text}");
        }
    }

    #[test]
    fn what_has_no_length_is_refused_and_named() {
        let error = |text: &str| text.parse::<Lasting>().unwrap_err();
        for text in ["", "7", "d", "every day", "7d,3h,", "1e9"] {
            assert_eq!(error(text), Error::Shape(text.to_owned()));
        }
        for text in ["1 month", "P1Y", "1mo 2d"] {
            assert_eq!(error(text), Error::Calendar(text.to_owned()));
        }
        for text in ["0s", "PT0S", "-7d", "7 days ago"] {
            assert!(matches!(error(text), Error::NotPositive(_)), "{text}");
        }
    }

    #[test]
    fn a_duration_is_stored_as_it_was_given() {
        let lasting: Lasting = serde_json::from_str("\"PT36H\"").unwrap();
        assert_eq!(serde_json::to_string(&lasting).unwrap(), "\"PT36H\"");
        assert_eq!(lasting, "1d 12h".parse().unwrap());
        assert!(serde_json::from_str::<Lasting>("\"soon\"").is_err());
    }
}
