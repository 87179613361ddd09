//! The manifests of a set that are needed, proven as far as the others allow it.

use futures::{StreamExt, TryStreamExt, stream};
use tidemark_gateway::Digest;

use super::{Error, Loaded, READS_AT_A_TIME, VersionSet};
use crate::{ids::VersionNumber, manifest::Manifest};

impl VersionSet {
    /// The manifests of all numbers but those that are `skipped`, oldest first. Each is proven by its own link and by that of the
    /// one after it; a link to a skipped one is looked at only where the newest has it. Numbers that are `given_up` are left out where
    /// nothing can be read there: nothing is asked of them.
    ///
    /// # Errors
    /// [`Error::List`]; [`Error::Hole`] where a number is not there that is neither skipped nor given up; [`Error::Read`],
    /// [`Error::Decode`], [`Error::Identity`], [`Error::Link`], [`Error::Successor`].
    pub(crate) async fn proven(
        &self,
        skipped: impl Fn(VersionNumber) -> bool,
        given_up: impl Fn(VersionNumber) -> bool,
    ) -> Result<Vec<Manifest>, Error> {
        let present = self.list().await?;
        let newest = present.last().copied().unwrap_or(VersionNumber(0));
        let is_there = |number: &VersionNumber| present.binary_search(number).is_ok();
        let needed = (1..=newest.0).map(VersionNumber).filter(|number| !skipped(*number));
        let needed: Vec<_> = needed.filter(|number| is_there(number) || !given_up(*number)).collect();
        self.refuse_holes(&present, &needed)?;
        let mut reads = Vec::with_capacity(needed.len());
        for number in needed {
            let given_up = given_up(number);
            reads.push(async move {
                match self.bytes(number).await.and_then(|bytes| self.parse(number, bytes)) {
                    Err(error) if given_up && error.is_damage() => Ok(None),
                    read => read.map(Some),
                }
            });
        }
        let mut reads = std::pin::pin!(stream::iter(reads).buffered(READS_AT_A_TIME));
        let mut proven: Vec<Manifest> = Vec::new();
        let mut before: Option<Loaded> = None;
        while let Some(read) = reads.try_next().await? {
            let Some(loaded) = read else { continue };
            self.prove_back(&loaded, before.as_ref(), newest).await?;
            if let Some(before) = before.filter(|before| before.manifest.number.0 + 1 < loaded.manifest.number.0) {
                self.prove_on(&before).await?;
            }
            proven.push(loaded.manifest.clone());
            before = Some(loaded);
        }
        if let Some(before) = before.filter(|before| before.manifest.number < newest) {
            self.prove_on(&before).await?;
        }
        Ok(proven)
    }

    fn refuse_holes(&self, present: &[VersionNumber], needed: &[VersionNumber]) -> Result<(), Error> {
        match needed.iter().find(|number| present.binary_search(number).is_err()) {
            None => Ok(()),
            Some(missing) => {
                Err(Error::Hole { source_id: self.source.clone(), set: self.set.clone(), missing: *missing })
            }
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
    use crate::testing::{commit_tasks, set_in};

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
            let proven = set.proven(|number| skipped.contains(&number.0), |_| false).await;
            assert_eq!(proven.is_ok(), sound, "{skipped:?} {damaged}: {proven:?}");
            if let Ok(proven) = proven {
                let numbers: Vec<_> = proven.iter().map(|manifest| manifest.number.0).collect();
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
                let proven = set.proven(|_| false, |number| number.0 == given_up).await;
                assert_eq!(proven.is_ok(), sound, "{given_up} {gone}: {proven:?}");
                assert!(!sound || proven.unwrap().len() == 3);
                // The newest is proven by the one before it, and that needs a seal.
                store.delete(&set.path(VersionNumber(4))).await.unwrap();
                assert!(set.proven(|_| false, |number| number.0 == given_up).await.is_err());
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
        assert!(matches!(set.proven(|_| false, |_| false).await, Err(Error::Link { .. })));
        let error = set.proven(|number| number.0 != 2, |_| false).await.unwrap_err();
        assert!(matches!(error, Error::Successor { .. }), "{error}");
        store.delete(&set.path(VersionNumber(2))).await.unwrap();
        assert!(matches!(set.proven(|_| false, |_| false).await, Err(Error::Hole { missing: VersionNumber(2), .. })));
        assert_eq!(set.proven(|number| number.0 == 2, |_| false).await.unwrap().len(), 3);
    }
}
