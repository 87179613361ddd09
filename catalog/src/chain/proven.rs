//! The manifests of a set that are needed, proven as far as the others allow it.

use futures::{StreamExt, TryStreamExt, stream};
use tidemark_gateway::Digest;

use super::{Error, Loaded, READS_AT_A_TIME, VersionSet};
use crate::ids::VersionNumber;

impl VersionSet {
    /// The manifests of all numbers through the last that is `present` but those that are `skipped` or `told`, oldest first. Each is
    /// proven by its own link and by that of the one after it; a link to a skipped one is looked at only where the newest has it. Numbers
    /// that are `given_up` are left out where nothing can be read there: nothing is asked of them. What is `told` is known from elsewhere:
    /// it has to be there, and is not read.
    ///
    /// # Errors
    /// [`Error::Hole`] where a number is not there that is neither skipped nor given up; [`Error::Read`], [`Error::Decode`],
    /// [`Error::Identity`], [`Error::Link`], [`Error::Successor`].
    pub(crate) async fn proven(
        &self,
        present: &[VersionNumber],
        skipped: impl Fn(VersionNumber) -> bool,
        told: impl Fn(VersionNumber) -> bool,
        given_up: impl Fn(VersionNumber) -> bool,
    ) -> Result<Vec<Loaded>, Error> {
        let newest = present.last().copied().unwrap_or(VersionNumber(0));
        let is_there = |number: &VersionNumber| present.binary_search(number).is_ok();
        let needed = (1..=newest.0).map(VersionNumber).filter(|number| !skipped(*number));
        let needed: Vec<_> = needed.filter(|number| is_there(number) || !given_up(*number)).collect();
        self.refuse_holes(present, &needed).await?;
        let mut reads = Vec::new();
        for number in needed.into_iter().filter(|number| !told(*number)) {
            let given_up = given_up(number);
            reads.push(async move {
                match self.bytes(number).await.and_then(|bytes| self.parse(number, bytes)) {
                    Err(error) if given_up && error.is_damage() => Ok(None),
                    read => read.map(Some),
                }
            });
        }
        let mut reads = std::pin::pin!(stream::iter(reads).buffered(READS_AT_A_TIME));
        let mut proven: Vec<Loaded> = Vec::new();
        let mut before: Option<Loaded> = None;
        while let Some(read) = reads.try_next().await? {
            let Some(loaded) = read else { continue };
            self.prove_back(&loaded, before.as_ref(), newest).await?;
            if let Some(before) = before.filter(|before| before.manifest.number.0 + 1 < loaded.manifest.number.0) {
                self.prove_on(&before).await?;
            }
            proven.push(loaded.clone());
            before = Some(loaded);
        }
        if let Some(before) = before.filter(|before| before.manifest.number < newest) {
            self.prove_on(&before).await?;
        }
        Ok(proven)
    }

    /// The digest that the chain has for the manifest before `number`: by the link of `number`, or where that cannot be read, by
    /// what is stored before it; `None` for the first.
    ///
    /// # Errors
    /// [`Error::Read`] where neither can be read, and where the store does not answer.
    pub(crate) async fn link_of(&self, number: VersionNumber) -> Result<Option<Digest>, Error> {
        if number.0 <= 1 {
            return Ok(None);
        }
        match self.bytes(number).await.and_then(|bytes| self.parse(number, bytes)) {
            Ok(loaded) => Ok(loaded.manifest.previous),
            Err(error) if error.is_damage() => Ok(Some(Digest::of(&self.bytes(VersionNumber(number.0 - 1)).await?))),
            Err(error) => Err(error),
        }
    }

    async fn refuse_holes(&self, present: &[VersionNumber], needed: &[VersionNumber]) -> Result<(), Error> {
        let missing = needed.iter().find(|number| present.binary_search(number).is_err());
        let Some(missing) = missing.copied() else { return Ok(()) };
        match self.bytes(missing).await {
            Ok(_) => Err(Error::ListingLags { path: self.path(missing) }),
            Err(Error::Read { source, .. }) if source.is_absent() => {
                Err(Error::Hole { source_id: self.source.clone(), set: self.set.clone(), missing })
            }
            Err(error) => Err(error),
        }
    }

    /// The manifest's own link, where it is the first, or the one before it is at hand, or nothing comes after it.
    async fn prove_back(&self, loaded: &Loaded, before: Option<&Loaded>, newest: VersionNumber) -> Result<(), Error> {
        let number = loaded.manifest.number.0;
        let before = before.filter(|before| before.manifest.number.0 + 1 == number);
        match before {
            Some(before) => self.verify_link(&loaded.manifest, Some(before.stored.digest)),
            None if number == 1 => self.verify_link(&loaded.manifest, None),
            None if number == newest.0 => {
                let bytes = self.bytes(VersionNumber(number - 1)).await?;
                self.verify_link(&loaded.manifest, Some(Digest::of(&bytes)))
            }
            None => Ok(()),
        }
    }

    /// The link of the manifest after it, which is a skipped one; where that cannot be read it proves nothing.
    async fn prove_on(&self, loaded: &Loaded) -> Result<(), Error> {
        let next = VersionNumber(loaded.manifest.number.0 + 1);
        match self.bytes(next).await.and_then(|bytes| self.parse(next, bytes)) {
            Ok(next) => self.verify_successor(loaded, &next.manifest),
            Err(error) if error.is_retryable() => Err(error),
            Err(error) => {
                tracing::debug!(%error, "a manifest that is not needed any more cannot be read");
                Ok(())
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use object_store::{ObjectStore, ObjectStoreExt, memory::InMemory};

    use super::*;
    use crate::manifest::Manifest;
    use crate::testing::{commit_tasks, set_in};

    async fn proven(
        set: &VersionSet,
        skipped: impl Fn(VersionNumber) -> bool,
        given_up: impl Fn(VersionNumber) -> bool,
    ) -> Result<Vec<Manifest>, Error> {
        let found = set.proven(&set.list().await?, skipped, |_| false, given_up).await?;
        Ok(found.into_iter().map(|loaded| loaded.manifest).collect())
    }

    #[tokio::test]
    async fn what_is_needed_is_proven_and_damage_beside_it_passed_over() {
        // Numbers that are skipped, the one that is damaged, and whether the others are proven.
        for (skipped, damaged, sound) in [
            (&[][..], 0, true),
            (&[], 3, false),
            (&[3], 3, true),
            (&[1, 2, 3, 5], 3, true),
            (&[5], 5, true),
            (&[4], 4, false),
            (&[1, 2, 3, 4, 5], 2, true),
        ] {
            let store: Arc<dyn ObjectStore> = Arc::new(InMemory::new());
            let set = set_in(&store, "east", "daily");
            commit_tasks(&set, 5).await;
            if damaged > 0 {
                store.put(&set.path(VersionNumber(damaged)), "damaged".into()).await.unwrap();
            }
            let found = proven(&set, |number| skipped.contains(&number.0), |_| false).await;
            assert_eq!(found.is_ok(), sound, "{skipped:?} {damaged}: {found:?}");
            if let Ok(found) = found {
                let numbers: Vec<_> = found.iter().map(|manifest| manifest.number.0).collect();
                assert_eq!(numbers, (1..=5).filter(|number| !skipped.contains(number)).collect::<Vec<_>>());
            }
        }
    }

    #[tokio::test]
    async fn what_was_given_up_may_be_damaged_or_gone_and_nothing_else() {
        for (given_up, sound) in [(2, true), (3, false)] {
            for gone in [false, true] {
                let store: Arc<dyn ObjectStore> = Arc::new(InMemory::new());
                let set = set_in(&store, "east", "daily");
                commit_tasks(&set, 4).await;
                let path = set.path(VersionNumber(2));
                store.put(&path, "damaged".into()).await.unwrap();
                if gone {
                    store.delete(&path).await.unwrap();
                }
                let found = proven(&set, |_| false, |number| number.0 == given_up).await;
                assert_eq!(found.is_ok(), sound, "{given_up} {gone}: {found:?}");
                assert!(!sound || found.unwrap().len() == 3);
                // The newest is proven by the one before it, and that needs a seal.
                store.delete(&set.path(VersionNumber(4))).await.unwrap();
                assert!(proven(&set, |_| false, |number| number.0 == given_up).await.is_err());
            }
        }
    }

    #[tokio::test]
    async fn a_manifest_that_was_replaced_or_deleted_is_noticed() {
        let store: Arc<dyn ObjectStore> = Arc::new(InMemory::new());
        let set = set_in(&store, "east", "daily");
        commit_tasks(&set, 4).await;
        let other: Arc<dyn ObjectStore> = Arc::new(InMemory::new());
        commit_tasks(&set_in(&other, "east", "daily"), 4).await;
        let replaced = other.get(&set.path(VersionNumber(2))).await.unwrap().bytes().await.unwrap();
        store.put(&set.path(VersionNumber(2)), replaced.into()).await.unwrap();
        assert!(matches!(proven(&set, |_| false, |_| false).await, Err(Error::Link { .. })));
        let error = proven(&set, |number| number.0 != 2, |_| false).await.unwrap_err();
        assert!(matches!(error, Error::Successor { .. }), "{error}");
        store.delete(&set.path(VersionNumber(2))).await.unwrap();
        assert!(matches!(proven(&set, |_| false, |_| false).await, Err(Error::Hole { missing: VersionNumber(2), .. })));
        assert_eq!(proven(&set, |number| number.0 == 2, |_| false).await.unwrap().len(), 3);
    }

    #[tokio::test]
    async fn a_number_that_only_is_not_listed_is_no_hole() {
        let store: Arc<dyn ObjectStore> = Arc::new(InMemory::new());
        commit_tasks(&set_in(&store, "east", "daily"), 4).await;
        let lagging: Arc<dyn ObjectStore> =
            Arc::new(crate::testing::FaultyStore::lagging(store, "versions/00000000000000000002"));
        let error = proven(&set_in(&lagging, "east", "daily"), |_| false, |_| false).await.unwrap_err();
        assert!(matches!(error, Error::ListingLags { .. }) && error.is_retryable(), "{error}");
    }

    #[tokio::test]
    async fn what_is_told_is_not_read_but_has_to_be_there() {
        let store: Arc<dyn ObjectStore> = Arc::new(InMemory::new());
        let set = set_in(&store, "east", "daily");
        commit_tasks(&set, 5).await;
        let beside = async || set.proven(&set.list().await?, |_| false, |number| number.0 <= 3, |_| false).await;
        store.put(&set.path(VersionNumber(2)), "damaged".into()).await.unwrap();
        let numbers: Vec<_> = beside().await.unwrap().iter().map(|loaded| loaded.manifest.number.0).collect();
        assert_eq!(numbers, [4, 5]);
        store.delete(&set.path(VersionNumber(2))).await.unwrap();
        assert!(matches!(beside().await, Err(Error::Hole { missing: VersionNumber(2), .. })));
    }

    #[tokio::test]
    async fn the_link_of_a_number_is_its_own_word_or_else_what_is_stored_before_it() {
        let store: Arc<dyn ObjectStore> = Arc::new(InMemory::new());
        let set = set_in(&store, "east", "daily");
        commit_tasks(&set, 3).await;
        let of = |manifest: &str| Some(Digest::of(manifest.as_bytes()));
        let second = set.read_head(VersionNumber(2)).await.unwrap().1.digest;
        assert_eq!(set.link_of(VersionNumber(1)).await.unwrap(), None);
        assert_eq!(set.link_of(VersionNumber(3)).await.unwrap(), Some(second));
        store.put(&set.path(VersionNumber(2)), "damaged".into()).await.unwrap();
        assert_eq!(set.link_of(VersionNumber(3)).await.unwrap(), Some(second), "the chain knows what was there");
        store.put(&set.path(VersionNumber(3)), "damaged too".into()).await.unwrap();
        assert_eq!(set.link_of(VersionNumber(3)).await.unwrap(), of("damaged"));
        store.delete(&set.path(VersionNumber(2))).await.unwrap();
        assert!(set.link_of(VersionNumber(3)).await.unwrap_err().is_damage());
    }
}
