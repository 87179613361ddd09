//! What becomes of times to live: which atoms of a version live in its restore, and until when. Pure.
//!
//! `keep` judges by the clock of now: what has expired since the cut is gone, the rest expires when it would have. `rebase`
//! and `strip` judge by the cut: what lived then comes back, for the time it had left at the cut or for ever.

use std::fmt;

use jiff::Timestamp;
use tidemark_cassandra_format::model::Expiry;

use crate::restore::job::TtlPolicy;

use crate::restore::write::statements::rows::lives;

/// Longest time to live that Cassandra takes, s.
pub const LONGEST_TTL: u32 = 630_720_000;

/// Last expiry of servers that store it as a signed number: 2038-01-19T03:14:06Z, s since 1970.
pub const LAST_EXPIRY_2038: u32 = 2_147_483_646;

/// Last expiry of all others: 2106-02-07T06:28:13Z, s since 1970.
pub const LAST_EXPIRY_2106: u32 = 4_294_967_293;

/// Why an atom cannot be written with its expiry.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    /// It expires after the last instant that the destination takes.
    #[error("it would expire at {at}, and the destination takes no expiry after {last}")]
    Late {
        /// Its expiry.
        at: Instant,
        /// The destination's last one.
        last: Instant,
    },
    /// It would live longer than Cassandra allows.
    #[error("it has {left} s to live, and Cassandra takes no more than {LONGEST_TTL} s")]
    Long {
        /// Its remaining life, s.
        left: u32,
    },
}

/// Seconds since 1970.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Instant(u64);

impl fmt::Display for Instant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match i64::try_from(self.0).ok().and_then(|seconds| Timestamp::from_second(seconds).ok()) {
            Some(time) => write!(f, "{time}"),
            None => write!(f, "{} s after 1970", self.0),
        }
    }
}

/// The rule for one version and destination.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Lifetimes {
    /// What was asked for.
    pub policy: TtlPolicy,
    /// The cut of the version, s since 1970.
    pub cut: u32,
    /// Last expiry that the destination takes, s since 1970.
    pub last_expiry: u32,
}

impl Lifetimes {
    /// The expiry to write an atom with at `now`, s since 1970, as it was at the source: `None` where the atom does not live,
    /// `Some(None)` for ever.
    pub fn kept(&self, expiry: Option<Expiry>, now: u32) -> Option<Option<u32>> {
        if !lives(expiry, self.judged_at(now)) {
            return None;
        }
        Some(expiry.map(|expiry| expiry.at).filter(|_| self.policy != TtlPolicy::Strip))
    }

    /// The time to live to write with at `now` for an expiry of [`Lifetimes::kept`], s; 0 for ever.
    ///
    /// # Errors
    /// [`Refused`] where the destination cannot hold it: nothing is made to expire earlier without a word.
    pub fn ttl(&self, kept: Option<u32>, now: u32) -> Result<i32, Refused> {
        let Some(at) = kept else { return Ok(0) };
        let left = at.saturating_sub(self.judged_at(now));
        let (expires, last) = (Instant(u64::from(now) + u64::from(left)), Instant(u64::from(self.last_expiry)));
        match i32::try_from(left) {
            Ok(ttl) if left <= LONGEST_TTL && expires <= last => Ok(ttl),
            _ if expires > last => Err(Refused::Late { at: expires, last }),
            _ => Err(Refused::Long { left }),
        }
    }

    /// When an atom that was written between two instants expires at the destination, at the earliest and at the latest;
    /// `None` where it does not live, `Some(None)` for ever. All in s since 1970.
    pub fn expected(&self, expiry: Option<Expiry>, written: (u32, u32)) -> Option<Option<(u32, u32)>> {
        match (self.policy, expiry) {
            (_, None) => Some(None),
            (TtlPolicy::Keep, Some(expiry)) => Some(Some((expiry.at, expiry.at))),
            (TtlPolicy::Strip, expiry) => lives(expiry, self.cut).then_some(None),
            (TtlPolicy::Rebase, Some(at)) => lives(expiry, self.cut).then(|| {
                let left = at.at - self.cut;
                Some((written.0.saturating_add(left), written.1.saturating_add(left)))
            }),
        }
    }

    fn judged_at(&self, now: u32) -> u32 {
        if self.policy == TtlPolicy::Keep { now } else { self.cut }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const CUT: u32 = 1_000;
    const NOW: u32 = 1_500;

    fn rule(policy: TtlPolicy) -> Lifetimes {
        Lifetimes { policy, cut: CUT, last_expiry: LAST_EXPIRY_2038 }
    }

    fn written(policy: TtlPolicy, at: Option<u32>) -> Option<Result<i32, Refused>> {
        let rule = rule(policy);
        rule.kept(at.map(|at| Expiry { ttl: 1, at }), NOW).map(|kept| rule.ttl(kept, NOW))
    }

    #[test]
    fn each_policy_gives_the_time_that_it_promises() {
        let policies = [TtlPolicy::Keep, TtlPolicy::Rebase, TtlPolicy::Strip];
        let table = [
            (None, [Some(0), Some(0), Some(0)]),
            (Some(NOW + 7), [Some(7), Some(507), Some(0)]),
            (Some(NOW), [None, Some(500), Some(0)]),
            (Some(CUT + 1), [None, Some(1), Some(0)]),
            (Some(CUT), [None, None, None]),
        ];
        for (at, expected) in table {
            let found = policies.map(|policy| written(policy, at).map(Result::unwrap));
            assert_eq!(found, expected, "{at:?}");
        }
    }

    #[test]
    fn what_the_destination_cannot_hold_is_refused_and_not_shortened() {
        let late = |policy, at| matches!(written(policy, Some(at)), Some(Err(Refused::Late { .. })));
        let last = |policy| Lifetimes { cut: LAST_EXPIRY_2038 - 90, ..rule(policy) };
        assert_eq!(last(TtlPolicy::Keep).ttl(Some(LAST_EXPIRY_2038), LAST_EXPIRY_2038 - 50), Ok(50));
        let refused = last(TtlPolicy::Rebase).ttl(Some(LAST_EXPIRY_2038), LAST_EXPIRY_2038 - 50).unwrap_err();
        assert!(refused.to_string().contains("no expiry after 2038-01-19T03:14:06Z"), "{refused}");
        assert!(late(TtlPolicy::Keep, LAST_EXPIRY_2038 + 1) && !late(TtlPolicy::Strip, u32::MAX));
        let until_2106 = Lifetimes { last_expiry: LAST_EXPIRY_2106, ..rule(TtlPolicy::Keep) };
        assert_eq!(until_2106.ttl(Some(NOW + LONGEST_TTL), NOW), Ok(630_720_000));
        assert_eq!(until_2106.ttl(Some(NOW + LONGEST_TTL + 1), NOW), Err(Refused::Long { left: LONGEST_TTL + 1 }));
        assert!(matches!(until_2106.ttl(Some(u32::MAX), NOW), Err(Refused::Late { .. })));
    }

    #[test]
    fn a_reader_finds_it_within_what_the_writing_took() {
        let expected = |policy, at| rule(policy).expected(Some(Expiry { ttl: 1, at }), (2_000, 2_100));
        assert_eq!(expected(TtlPolicy::Keep, 1_200), Some(Some((1_200, 1_200))));
        assert_eq!(expected(TtlPolicy::Rebase, 1_200), Some(Some((2_200, 2_300))));
        assert_eq!((expected(TtlPolicy::Strip, 1_200), expected(TtlPolicy::Strip, CUT)), (Some(None), None));
        assert_eq!(expected(TtlPolicy::Rebase, CUT), None);
        assert_eq!(rule(TtlPolicy::Rebase).expected(None, (0, 0)), Some(None));
    }
}
