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
        // Of a manifest of this set those before it were lost, and with them what its link is proven by; anything else is nobody's.
        match self.bytes(next).await.and_then(|bytes| self.parse(next, bytes)) {
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

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use object_store::{ObjectStore, ObjectStoreExt, memory::InMemory};

    use super::*;
    use crate::testing::{commit_tasks, set_in};

    #[tokio::test]
    async fn manifests_above_a_long_hole_are_no_strays() {
        let store: Arc<dyn ObjectStore> = Arc::new(InMemory::new());
        let set = set_in(&store, "east", "daily");
        let last = GAP as usize + 8;
        commit_tasks(&set, last).await;
        for number in (4..last as u64).map(VersionNumber) {
            store.delete(&set.path(number)).await.unwrap();
        }
        let present = set.list().await.unwrap();
        assert_eq!(present.last(), Some(&VersionNumber(last as u64)));
        set.refuse_stray(&present).await.unwrap();
        assert!(matches!(set.missing(VersionNumber(4), &present).await, Error::Hole { missing, .. } if missing.0 == 4));
        store.put(&set.path(VersionNumber(last as u64)), "x".into()).await.unwrap();
        assert!(matches!(set.refuse_stray(&present).await, Err(Error::Stray { missing, .. }) if missing.0 == 4));
    }
}
