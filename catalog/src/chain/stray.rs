//! Names far above the end of a chain: numbers have no holes, so that one which is far from all others is nobody's, and nothing counts up
//! to it.

use super::{Error, VersionSet};
use crate::{commit, ids::VersionNumber};

/// Most numbers that may be missing before a number that is there.
const GAP: u64 = commit::RECENT_VERSIONS;

impl VersionSet {
    /// Why a number is missing that lies below the last of those that are `present`, ascending.
    pub(crate) async fn missing(&self, missing: VersionNumber, present: &[VersionNumber]) -> Error {
        let next = present.get(present.partition_point(|number| *number < missing)).copied();
        let hole = Error::Hole { source_id: self.source.clone(), set: self.set.clone(), missing };
        let Some(next) = next.filter(|next| next.0 - missing.0 > GAP) else { return hole };
        // Of a manifest of this set those before it were lost; anything else is nobody's.
        match self.load(next).await {
            Ok(_) => hole,
            Err(error) if !error.is_damage() => error,
            Err(_) => Error::Stray { path: self.path(next), missing },
        }
    }

    /// Refuses numbers of which the last is a stray; `present` are all that are there, ascending, from a known one on or from the first.
    ///
    /// # Errors
    /// [`Error::Stray`]; [`Error::Read`] where the store does not answer.
    pub(crate) async fn refuse_stray(&self, present: &[VersionNumber]) -> Result<(), Error> {
        let (Some(last), before) = (present.last(), present.iter().rev().nth(1)) else { return Ok(()) };
        let below = before.map_or_else(|| self.known().map_or(0, |head| head.number.0.min(last.0)), |before| before.0);
        let missing = VersionNumber(below.saturating_add(1));
        if last.0.saturating_sub(missing.0) <= GAP {
            return Ok(());
        }
        match self.missing(missing, present).await {
            Error::Hole { .. } => Ok(()),
            error => Err(error),
        }
    }
}
