//! Cluster times and positions: where an event stands among all of its set.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error as _};
use tidemark_catalog::{opaque::Opaque, position::Mark};

/// A time of a cluster's logical clock: seconds since 1970 of the primary's clock, and an increment within the second.
/// Printed as `seconds.increment`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ClusterTime(u64);

impl ClusterTime {
    /// A time of a BSON timestamp: seconds in the upper half.
    pub fn of_bits(bits: u64) -> Self {
        Self(bits)
    }

    /// The same as a BSON timestamp.
    pub fn bits(self) -> u64 {
        self.0
    }

    /// Seconds since 1970.
    pub fn seconds(self) -> u32 {
        (self.0 >> 32) as u32
    }

    /// The increment.
    pub fn increment(self) -> u32 {
        self.0 as u32
    }

    /// The last time before this one; the first is its own.
    pub fn before(self) -> Self {
        Self(self.0.saturating_sub(1))
    }

    /// The first time after this one; the last is its own.
    pub fn after(self) -> Self {
        Self(self.0.saturating_add(1))
    }

    /// As the mark of a partition.
    pub fn mark(self) -> Mark {
        Mark { bytes: Opaque::new(self.0.to_be_bytes().to_vec()), text: self.to_string() }
    }
}

impl fmt::Display for ClusterTime {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.seconds(), self.increment())
    }
}

/// A text that is no cluster time.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is not a cluster time, seconds.increment")]
pub struct Unread(String);

impl FromStr for ClusterTime {
    type Err = Unread;

    fn from_str(text: &str) -> Result<Self, Unread> {
        let parts = text.split_once('.').and_then(|(s, i)| Some((s.parse::<u32>().ok()?, i.parse::<u32>().ok()?)));
        let (seconds, increment) = parts.ok_or_else(|| Unread(text.chars().take(80).collect()))?;
        Ok(Self(u64::from(seconds) << 32 | u64::from(increment)))
    }
}

impl Serialize for ClusterTime {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for ClusterTime {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(D::Error::custom)
    }
}

/// Where an event stands: by cluster time, then by its token, as [`crate::token::read`] has it. The events of a
/// transaction share their time.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Position {
    /// When.
    pub time: ClusterTime,
    /// Its place within that time.
    pub place: Vec<u8>,
}

impl fmt::Display for Position {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.time, hex::encode(&self.place))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_order_by_seconds_then_increment_and_are_read_as_they_are_printed() {
        let times =
            ["0.0", "0.4294967295", "1.0", "1.1", "4294967295.0"].map(|text| text.parse::<ClusterTime>().unwrap());
        assert!(times.is_sorted_by(|a, b| a < b));
        assert!(times.map(|time| time.mark().bytes).is_sorted_by(|a, b| a < b));
        assert_eq!(times.map(|time| time.to_string())[1], "0.4294967295");
        assert_eq!((times[2].before(), times[1].after()), (times[1], times[2]));
        for wrong in ["", "1", "1.", "1.4294967296", "-1.0", "1.0.0"] {
            assert!(wrong.parse::<ClusterTime>().is_err(), "{wrong}");
        }
    }
}
