//! Why a version stays or goes, for people.

use std::fmt;

use super::Period;
use crate::{duration::Lasting, ids::VersionNumber};

/// Why a version stays, or why it goes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reason {
    /// It is the newest of its set.
    Newest,
    /// It is the newest complete one of its set.
    NewestComplete,
    /// Somebody holds it, in the words of the hold.
    Held(String),
    /// It is one of the newest.
    Last {
        /// Its place, 1 for the newest.
        place: usize,
        /// How many the rule keeps.
        of: usize,
    },
    /// It is not older than that, seen from the newest version.
    Within(Lasting),
    /// It is the newest of this period.
    NewestOf(Period),
    /// It is the newest complete one of this period, and the newest one is not complete.
    NewestCompleteOf(Period),
    /// Its time has not come yet: the clock was ahead when it was made, or is behind now.
    Future,
    /// Its time does not fit between those of its neighbours, so that it stays with this one.
    NoTime(VersionNumber),
    /// No rule keeps it.
    NoRule,
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Newest => f.write_str("newest version is always kept"),
            Self::NewestComplete => f.write_str("newest complete version is always kept"),
            Self::Held(words) => write!(f, "held: {words}"),
            Self::Last { place, of } => write!(f, "last {place} of {of}"),
            Self::Within(lasting) => write!(f, "within {lasting}"),
            Self::NewestOf(period) => write!(f, "{} {period}", period.rule()),
            Self::NewestCompleteOf(period) => write!(f, "{} {period}, newest complete version", period.rule()),
            Self::Future => f.write_str("its time has not come yet"),
            Self::NoTime(number) => {
                write!(f, "its time does not fit its number, stays with version {number}")
            }
            Self::NoRule => f.write_str("none of the rules"),
        }
    }
}
