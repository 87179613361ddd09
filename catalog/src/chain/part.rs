//! Consecutive numbers of one chain, as one reading saw them.

use std::ops::RangeInclusive;

use tidemark_gateway::Digest;

use super::{Error, VersionSet};
use crate::ids::VersionNumber;

/// Consecutive numbers that are linked to each other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Part {
    /// The numbers, both in it.
    pub(crate) first: u64,
    pub(crate) last: u64,
    /// Digest of the manifest before the first, by its link; none where that is 1.
    pub(crate) before: Option<Digest>,
    /// Digest of the last manifest.
    pub(crate) end: Digest,
}

impl VersionSet {
    /// All of `numbers` as one part, where the chain leads through all that is `known`, ascending, by the links of what lies between,
    /// which is read; `None` where it does not, or where something between cannot be read: then these were not seen in one chain.
    ///
    /// # Errors
    /// [`Error::Read`] where the store does not answer.
    pub(crate) async fn whole(&self, numbers: RangeInclusive<u64>, known: &[Part]) -> Result<Option<Part>, Error> {
        let (mut known, mut next) = (known.iter().copied().peekable(), *numbers.start());
        let mut whole: Option<Part> = None;
        while next <= *numbers.end() {
            let part = match known.next_if(|part| part.first == next) {
                Some(part) => part,
                None => match self.read_part(VersionNumber(next)).await? {
                    Some(part) => part,
                    None => return Ok(None),
                },
            };
            whole = match whole {
                None => Some(part),
                Some(before) if part.before == Some(before.end) => {
                    Some(Part { last: part.last, end: part.end, ..before })
                }
                Some(_) => return Ok(None),
            };
            next = part.last + 1;
        }
        Ok(whole)
    }

    async fn read_part(&self, number: VersionNumber) -> Result<Option<Part>, Error> {
        match self.bytes(number).await.and_then(|bytes| self.parse(number, bytes)) {
            Ok(loaded) => Ok(Some(loaded.part())),
            Err(error) if error.is_damage() => Ok(None),
            Err(error) => Err(error),
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
    async fn a_whole_is_of_one_chain_or_it_is_none() {
        let store: Arc<dyn ObjectStore> = Arc::new(InMemory::new());
        let (set, other) = (set_in(&store, "east", "daily"), set_in(&store, "east", "hourly"));
        let mut digests = Vec::new();
        commit_tasks(&set, 6).await;
        commit_tasks(&other, 6).await;
        let (mut own, mut others) = (Vec::new(), Vec::new());
        for number in (1..=6).map(VersionNumber) {
            own.push(set.load(number).await.unwrap().part());
            others.push(other.load(number).await.unwrap().part());
            digests.push(own.last().unwrap().end);
        }
        let all = Part { first: 2, last: 5, before: Some(digests[0]), end: digests[4] };
        let pair = Part { first: 2, last: 3, before: Some(digests[0]), end: digests[2] };
        for known in [&own[1..5], &own[3..4], &[pair], &[pair, own[4]], &[]] {
            assert_eq!(set.whole(2..=5, known).await.unwrap(), Some(all), "{known:?}");
        }
        for known in [&others[1..2], &others[3..4], &[own[1], others[4]]] {
            assert_eq!(set.whole(2..=5, known).await.unwrap(), None, "{known:?}");
        }
        store.put(&set.path(VersionNumber(3)), "damaged".into()).await.unwrap();
        assert_eq!(set.whole(2..=5, &[own[1], own[3], own[4]]).await.unwrap(), None);
        assert_eq!(set.whole(2..=5, &own[1..5]).await.unwrap(), Some(all), "what was read is not read again");
    }
}
