//! The manifests of a set that are needed, proven as far as the others allow it.
//!
//! Of two that do not fit together one is another than was committed. The one after both tells which: what a later manifest, which is
//! vouched for itself, has the digest of is the one that was committed. Where nobody tells, it is the earlier one.

use std::collections::BTreeSet;

use futures::{StreamExt, TryStreamExt, stream};
use tidemark_gateway::Digest;

use super::{Error, Loaded, READS_AT_A_TIME, VersionSet};
use crate::ids::VersionNumber;

impl VersionSet {
    /// The manifests of all numbers through the last that is `present` but those that are `skipped` or `told`, oldest first. Each is
    /// proven by the link of the one after it, the newest by its own. Numbers that are `given_up` are left out where nothing can be read
    /// there, or another manifest than was committed: nothing is asked of them. What is `told` is known from elsewhere:
    /// it has to be there, and is not read.
    ///
    /// # Errors
    /// [`Error::Hole`], [`Error::Stray`], [`Error::ListingLags`] where a number is not listed that is neither skipped nor given up;
    /// [`Error::Read`], [`Error::Decode`],
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
        let numbers = || (1..=newest.0).map(VersionNumber).filter(|number| !skipped(*number));
        // The first that is missing ends it: nothing counts up to a stray.
        let missing = numbers().find(|number| !is_there(number) && !given_up(*number));
        if let Some(missing) = missing {
            return Err(self.why_missing(missing, present).await);
        }
        let needed: Vec<_> = numbers().filter(is_there).collect();
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
        let mut found: Vec<Loaded> = Vec::new();
        while let Some(read) = reads.try_next().await? {
            found.extend(read);
        }
        let mut changed = BTreeSet::new();
        for (at, loaded) in found.iter().enumerate() {
            let number = loaded.manifest.number;
            let before = at.checked_sub(1).map(|before| &found[before]);
            match self.changed(loaded, before, found.get(at + 1), newest).await? {
                Some(error) if !given_up(number) => return Err(error),
                Some(error) => {
                    tracing::debug!(%error, "a manifest that was given up is left out");
                    changed.insert(number);
                }
                None => {}
            }
        }
        found.retain(|loaded| !changed.contains(&loaded.manifest.number));
        Ok(found)
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

    /// Why a number is missing: one that is there is only not listed.
    async fn why_missing(&self, missing: VersionNumber, present: &[VersionNumber]) -> Error {
        match self.bytes(missing).await {
            Ok(_) => Error::ListingLags { path: self.path(missing) },
            Err(Error::Read { source, .. }) if source.is_absent() => self.missing(missing, present).await,
            Err(error) => error,
        }
    }

    /// Why a manifest is another one than was committed; `before` and `after` are those that were read on either side of it.
    ///
    /// # Errors
    /// [`Error::Link`], and as [`read`](Self::read), where the newest does not fit to the one before it: nothing tells which of both it is,
    /// and nothing is linked to it before it is sealed. [`Error::Read`] where the store does not answer.
    async fn changed(
        &self,
        loaded: &Loaded,
        before: Option<&Loaded>,
        after: Option<&Loaded>,
        newest: VersionNumber,
    ) -> Result<Option<Error>, Error> {
        let number = loaded.manifest.number;
        if number == newest {
            return self.prove_newest(loaded, before).await.map(|()| None);
        }
        if number.0 == 1
            && let Err(error) = self.verify_link(&loaded.manifest, None)
        {
            return Ok(Some(error));
        }
        let after = match after.filter(|after| after.manifest.number.0 == number.0 + 1) {
            Some(after) => Some(after.clone()),
            None => self.readable(VersionNumber(number.0 + 1)).await?,
        };
        // What cannot be read proves nothing.
        let Some(after) = after else { return Ok(None) };
        match self.verify_successor(loaded, &after.manifest) {
            Err(_) if self.is_known_changed(&after, newest).await? => Ok(None),
            found => Ok(found.err()),
        }
    }

    /// Whether a manifest is certainly another one than was committed: the one after it says so, and is vouched for.
    async fn is_known_changed(&self, loaded: &Loaded, newest: VersionNumber) -> Result<bool, Error> {
        let number = loaded.manifest.number;
        if number >= newest {
            return Ok(false);
        }
        let Some(after) = self.readable(VersionNumber(number.0 + 1)).await? else { return Ok(false) };
        let fits = after.manifest.previous == Some(loaded.stored.digest);
        Ok(!fits && self.is_vouched(&after, newest).await?)
    }

    /// Whether a manifest is the newest, or the one after it has its digest: no change of that one comes to it.
    async fn is_vouched(&self, loaded: &Loaded, newest: VersionNumber) -> Result<bool, Error> {
        let number = loaded.manifest.number;
        if number == newest {
            return Ok(true);
        }
        let after = self.readable(VersionNumber(number.0 + 1)).await?;
        Ok(after.is_some_and(|after| after.manifest.previous == Some(loaded.stored.digest)))
    }

    /// The manifest's own link.
    async fn prove_newest(&self, loaded: &Loaded, before: Option<&Loaded>) -> Result<(), Error> {
        let number = loaded.manifest.number.0;
        let before = match before.filter(|before| before.manifest.number.0 + 1 == number) {
            Some(before) => Some(before.stored.digest),
            None if number == 1 => None,
            None => Some(Digest::of(&self.bytes(VersionNumber(number - 1)).await?)),
        };
        self.verify_link(&loaded.manifest, before)
    }

    /// A manifest, its link unverified; `None`, with a word in the log, where it cannot be read.
    async fn readable(&self, number: VersionNumber) -> Result<Option<Loaded>, Error> {
        match self.bytes(number).await.and_then(|bytes| self.parse(number, bytes)) {
            Ok(loaded) => Ok(Some(loaded)),
            Err(error) if error.is_of_the_store() => Err(error),
            Err(error) => {
                tracing::debug!(%error, "a manifest that is not needed any more cannot be read");
                Ok(None)
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

    /// Makes a manifest another one that can be read: of another node, or with another link.
    async fn change(store: &Arc<dyn ObjectStore>, set: &VersionSet, number: u64, what: &str) {
        let path = set.path(VersionNumber(number));
        let mut manifest =
            set.bytes(VersionNumber(number)).await.and_then(|bytes| set.parse(VersionNumber(number), bytes));
        let manifest = &mut manifest.as_mut().unwrap().manifest;
        match what {
            "link" => manifest.previous = Some(Digest::of(b"another")),
            _ => manifest.node = "another".to_owned(),
        }
        let bytes = crate::document::encode(&path, manifest).unwrap();
        store.put(&path, bytes.into()).await.unwrap();
    }

    #[tokio::test]
    async fn a_manifest_that_changed_within_a_chain_is_named_and_in_nobodys_way_once_it_is_given_up_or_gone() {
        for what in ["link", "node"] {
            for changed in 1..=6 {
                let store: Arc<dyn ObjectStore> = Arc::new(InMemory::new());
                let set = set_in(&store, "east", "daily");
                commit_tasks(&set, 7).await;
                change(&store, &set, changed, what).await;
                let found = proven(&set, |_| false, |_| false).await;
                // The newest, which is linked to the sixth, has to be sealed before.
                let sealed = changed < 6 || what == "link";
                let named = found.unwrap_err().to_string();
                let path = set.path(VersionNumber(changed));
                assert!(named.contains(&format!("manifest {path} ")) || !sealed, "{what} {changed}: {named}");
                let others = || proven(&set, |_| false, |number| number.0 != changed);
                assert!(others().await.is_err(), "{what} {changed}: what others are given up for");
                for skipped in [0, 1] {
                    let own = |number: VersionNumber| number.0 == changed;
                    let found = match skipped {
                        0 => proven(&set, |_| false, own).await,
                        _ => proven(&set, own, |_| false).await,
                    };
                    let numbers = found.map(|found| found.iter().map(|manifest| manifest.number.0).collect::<Vec<_>>());
                    let expected: Vec<_> = (1..=7).filter(|number| *number != changed).collect();
                    match changed {
                        6 => assert!(numbers.is_err(), "{what}: the newest is not sealed"),
                        _ => assert_eq!(numbers.unwrap(), expected, "{what} {changed} {skipped}"),
                    }
                }
            }
        }
    }

    #[tokio::test]
    async fn no_manifest_is_taken_for_the_one_that_was_committed_because_the_next_has_changed_too() {
        let store: Arc<dyn ObjectStore> = Arc::new(InMemory::new());
        let set = set_in(&store, "east", "daily");
        commit_tasks(&set, 7).await;
        for (number, what) in [(2, "node"), (4, "link")] {
            change(&store, &set, number, what).await;
        }
        let error = proven(&set, |_| false, |number| number.0 == 4).await.unwrap_err();
        assert!(matches!(&error, Error::Successor { path, .. } if *path == set.path(VersionNumber(2))), "{error}");
        // As before one that cannot be read.
        let found = proven(&set, |_| false, |number| [2, 4].contains(&number.0)).await.unwrap();
        let numbers: Vec<_> = found.iter().map(|manifest| manifest.number.0).collect();
        assert_eq!(numbers, [1, 3, 5, 6, 7], "the third speaks for itself");
    }

    #[tokio::test]
    async fn a_number_far_above_the_chain_is_named_and_costs_nothing() {
        let store: Arc<dyn ObjectStore> = Arc::new(InMemory::new());
        let set = set_in(&store, "east", "daily");
        commit_tasks(&set, 3).await;
        for far in [3 + 34, 1_000_000, u64::MAX] {
            let stray = set.path(VersionNumber(far));
            store.put(&stray, "a stray".into()).await.unwrap();
            for error in [
                proven(&set, |number| number.0 < 3, |_| false).await.map(drop).unwrap_err(),
                set.newest().await.map(drop).unwrap_err(),
                set.head_as_stored().await.map(drop).unwrap_err(),
            ] {
                assert!(matches!(&error, Error::Stray { path, .. } if *path == stray), "{error}");
                assert!(
                    error.is_damage() && !error.is_retryable() && error.to_string().contains("version 4"),
                    "{error}"
                );
            }
            store.delete(&stray).await.unwrap();
        }
        assert_eq!(set.newest().await.unwrap().unwrap().number, VersionNumber(3));
        store.put(&set.path(VersionNumber(3 + 33)), "another".into()).await.unwrap();
        let error = proven(&set, |_| false, |_| false).await.unwrap_err();
        assert!(matches!(error, Error::Hole { missing: VersionNumber(4), .. }), "{error}");
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
        let error = proven(&set, |_| false, |_| false).await.unwrap_err();
        assert!(matches!(&error, Error::Successor { path, .. } if *path == set.path(VersionNumber(2))), "{error}");
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
