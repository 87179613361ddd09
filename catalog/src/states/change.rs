//! The rules by which a state becomes the next one.

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};

use super::{By, Decision, VersionState, error::Refusal};

/// A change of a version's state.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Change {
    /// Hides it; refused where it is held or collected.
    Expire {
        /// Why, for people.
        reason: String,
    },
    /// Takes an expiry back; refused where there is none or the version is collected.
    Undo,
    /// Takes an expiry back and keeps the version whatever retention says, by the hold that it has or else by this one; refused as
    /// [`Change::Undo`].
    Unexpire {
        /// Why, for people.
        reason: String,
    },
    /// Keeps it whatever retention says, an expired one from being collected too; refused where it is collected, or held by somebody
    /// else or for another reason: that hold would be lost.
    Hold {
        /// Why, for people.
        reason: String,
    },
    /// Ends a hold.
    Release,
    /// Gives it up for ever; refused unless it is expired, not held, and has been in that state for `grace`.
    Collect {
        /// The store's clock ([`crate::collect::store_now`]), never a node's.
        now: Timestamp,
        /// How long an expiry can be undone.
        grace: Duration,
    },
}

impl Change {
    /// The state after it; `None` where it is so already.
    pub(super) fn apply(&self, before: &VersionState, by: By<'_>) -> Result<Option<VersionState>, Refusal> {
        let next = VersionState { revision: before.revision + 1, since: None, ..before.clone() };
        match self {
            Self::Expire { .. } | Self::Undo | Self::Unexpire { .. } | Self::Hold { .. } if before.collected => {
                Err(Refusal::Collected)
            }
            Self::Expire { reason } => {
                refuse_held(before)?;
                let expired = before.expired.is_none();
                Ok(expired.then(|| VersionState { expired: Some(decision(reason, by)), ..next }))
            }
            Self::Undo | Self::Unexpire { .. } if before.expired.is_none() => Err(Refusal::NotExpired),
            Self::Unexpire { reason } => {
                let hold = before.hold.clone().unwrap_or_else(|| decision(reason, by));
                Ok(Some(VersionState { expired: None, hold: Some(hold), ..next }))
            }
            Self::Undo => Ok(Some(VersionState { expired: None, ..next })),
            Self::Hold { reason } => {
                if before.hold.as_ref().is_some_and(|hold| hold.by == by.who && hold.reason == *reason) {
                    return Ok(None);
                }
                refuse_held(before)?;
                Ok(Some(VersionState { hold: Some(decision(reason, by)), ..next }))
            }
            Self::Release => Ok(before.hold.is_some().then_some(VersionState { hold: None, ..next })),
            Self::Collect { .. } if before.collected => Ok(None),
            Self::Collect { now, grace } => {
                refuse_held(before)?;
                refuse_early(before, *now, *grace)?;
                Ok(Some(VersionState { collected: true, ..next }))
            }
        }
    }
}

fn decision(reason: &str, by: By<'_>) -> Decision {
    Decision { at: by.env.now(), by: by.who.to_owned(), reason: reason.to_owned() }
}

fn refuse_held(before: &VersionState) -> Result<(), Refusal> {
    match &before.hold {
        Some(hold) => Err(Refusal::Held { by: hold.by.clone(), reason: hold.reason.clone() }),
        None => Ok(()),
    }
}

fn refuse_early(before: &VersionState, now: Timestamp, grace: Duration) -> Result<(), Refusal> {
    match before.collectable(grace) {
        None => Err(Refusal::NotExpired),
        Some(until) if now < until => Err(Refusal::Grace { until }),
        Some(_) => Ok(()),
    }
}

impl VersionState {
    /// From when on it may be collected, by the store's clock; `None` where it is not expired, or is held or collected. A state
    /// that was changed counts from its change: an expiry that was held meanwhile can be undone for the whole grace again.
    pub fn collectable(&self, grace: Duration) -> Option<Timestamp> {
        if self.expired.is_none() || self.hold.is_some() || self.collected {
            return None;
        }
        Some(after(self.since.unwrap_or(Timestamp::MAX), grace))
    }
}

/// `time` and `wait` later; the end of time where that is beyond it.
pub(crate) fn after(time: Timestamp, wait: Duration) -> Timestamp {
    let wait = SignedDuration::try_from(wait).unwrap_or(SignedDuration::MAX);
    time.checked_add(wait).unwrap_or(Timestamp::MAX)
}
