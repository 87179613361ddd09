//! Retention: which versions of a set are kept, and why.
//!
//! A [`Retention`] names rules, and a version that any of them keeps stays. [`plan`](plan()) is pure: it says of every version
//! whether it stays and why, and deletes nothing.
//!
//! What orders versions is their number. Their times only say to which day, week or month they belong, and times can be wrong:
//! see [`plan`](plan()) for what is made of those.

mod order;
mod period;
mod plan;
mod reason;
mod words;

use serde::{Deserialize, Serialize};

use crate::duration::Lasting;

pub use period::{Period, Unit};
pub use plan::{Candidate, Decision, plan};
pub use reason::Reason;
pub use words::Error;

/// Which versions are kept: those that any of the rules keeps. At least one rule is above 0.
///
/// As JSON an object, `{"last": 3, "within": "7d", "daily": 7}`; on a command line `last=3,within=7d,daily=7`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "Rules", into = "Rules")]
pub struct Retention(Rules);

/// The rules as they are given; 0 is the same as leaving a rule out.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Rules {
    /// The newest so many versions.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last: Option<u32>,
    /// All versions of this time before the newest one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub within: Option<Lasting>,
    /// The newest version of each of the last so many hours that have one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hourly: Option<u32>,
    /// The same for days.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub daily: Option<u32>,
    /// The same for weeks, which begin on Monday.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub weekly: Option<u32>,
    /// The same for months.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub monthly: Option<u32>,
    /// The same for years.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub yearly: Option<u32>,
}

impl Rules {
    /// How many periods of each unit are kept, from the shortest unit on; without those that keep none.
    fn periods(&self) -> impl Iterator<Item = (Unit, usize)> {
        let Self { last: _, within: _, hourly, daily, weekly, monthly, yearly } = self;
        let counts = [hourly, daily, weekly, monthly, yearly];
        let counts = Unit::ALL.into_iter().zip(counts).filter_map(|(unit, count)| Some((unit, number((*count)?))));
        counts.filter(|(_, count)| *count > 0)
    }

    fn last(&self) -> usize {
        self.last.map_or(0, number)
    }
}

fn number(count: u32) -> usize {
    usize::try_from(count).unwrap_or(usize::MAX)
}

impl Retention {
    /// The rules.
    pub fn rules(&self) -> &Rules {
        &self.0
    }
}

impl TryFrom<Rules> for Retention {
    type Error = Error;

    fn try_from(rules: Rules) -> Result<Self, Error> {
        if rules.last() == 0 && rules.within.is_none() && rules.periods().next().is_none() {
            return Err(Error::Empty);
        }
        Ok(Self(rules))
    }
}

impl From<Retention> for Rules {
    fn from(retention: Retention) -> Self {
        retention.0
    }
}

#[cfg(test)]
mod tests;
