//! Sealing damage at the end of a chain, so that its set can go on.
//!
//! A manifest carries the digest of the one before it, and nobody can write one after a manifest that cannot be read: the next
//! version could not be linked to it. So an operator has it sealed: a barrier is created under the next number whose link is
//! the digest of the damaged bytes *as they are now*. From then on the chain verifies over the damaged number, which stays a
//! version that is not there; what was before it and what comes after is restored as ever. The bytes that were there once must
//! not be put back afterwards: the barrier's link would not verify any more.
//!
//! A manifest that can be read and is another one than is known to have been committed (a byte of a figure changed) is sealed in the
//! same way. By itself and its links it would pass for a version, so it is expired first, with the reason.
//!
//! A crash before the create changes nothing; after it the chain is sound, and sealing again finds nothing to do.

use tidemark_gateway::{Env, causes};

use crate::{
    chain::{self, Head, VersionSet},
    commit::{self, Claim, ManifestDraft},
    ids::VersionNumber,
    manifest::{Barrier, Holds},
    states::{self, By, Change, Refusal, VersionStates},
};

/// Who seals, as the barrier says it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sealer {
    /// Name of the work; no other manifest of the set has it.
    pub task: String,
    /// Name of the node.
    pub node: String,
}

/// What was done about damage at the end of a chain.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Repair {
    /// There is none.
    Nothing,
    /// The chain is sound from its end to the damage, which is further back.
    Head {
        /// Its head to remember from now on.
        head: Head,
        /// What is wrong further back.
        damage: String,
    },
    /// A barrier was created: the head to remember, and the words of the damage.
    Sealed {
        /// Number and digest of the barrier.
        head: Head,
        /// What is wrong with what it seals.
        damage: String,
    },
}

impl VersionSet {
    /// Seals damage of the newest manifests by a barrier, where there is any.
    ///
    /// # Errors
    /// [`commit::Error::Chain`] where the store does not answer, or holds another chain than is known: that is not damage;
    /// [`commit::Error::Fenced`] where a newer claim than this one has written to the set; else as
    /// [`VersionSet::commit`].
    pub async fn repair(&self, sealer: &Sealer, claim: &dyn Claim, env: &Env) -> Result<Repair, commit::Error> {
        let mut taken = None;
        loop {
            commit::refuse_lagging(taken, self.without_head().list().await?.last().copied())?;
            let Some(error) = damage(self.end().await)? else { return Ok(Repair::Nothing) };
            let end = self.without_head().end().await;
            let mut changed = None;
            if let Ok(Some(end)) = &end {
                changed = self.known().map(|known| known.number).filter(|known| *known == end.manifest.number);
                // Otherwise the damage is between a sound end and the head that is known.
                if changed.is_none() {
                    return Ok(Repair::Head { head: end.head(), damage: causes::joined(&error) });
                }
            }
            let error = damage(end)?.unwrap_or(error);
            if let Some(number) = changed {
                self.refuse_fenced(claim, changed).await?;
                self.hide(number, &error, claim, env).await?;
            }
            match self.seal(sealer, &error, changed, claim, env).await? {
                Ok(repair) => return Ok(repair),
                Err(number) => taken = Some(number),
            }
        }
    }

    /// Expires a version, so that nothing counts it. One that is held stays as it is, and unsealed: once it is sealed collection goes by
    /// what it names, which may be less than what was committed.
    async fn hide(
        &self,
        number: VersionNumber,
        error: &chain::Error,
        claim: &dyn Claim,
        env: &Env,
    ) -> Result<(), commit::Error> {
        let states = VersionStates::new(self.store.clone(), self.source.clone(), self.set.clone());
        let by = By { token: claim.token(), who: "version repair", env };
        match states.change(number, &Change::Expire { reason: causes::joined(error) }, by).await {
            // It was given up before.
            Err(states::Error::Refused { refusal: Refusal::Collected, .. }) => Ok(()),
            Err(source) => Err(commit::Error::Hide { number, source }),
            Ok(_) => Ok(()),
        }
    }

    /// Creates the barrier; the number where that holds another manifest by now. `changed` is a manifest that can be read and is not
    /// what was committed.
    async fn seal(
        &self,
        sealer: &Sealer,
        error: &chain::Error,
        changed: Option<VersionNumber>,
        claim: &dyn Claim,
        env: &Env,
    ) -> Result<Result<Repair, VersionNumber>, commit::Error> {
        let Some(end) = self.without_head().head_as_stored().await? else { return Ok(Ok(Repair::Nothing)) };
        self.refuse_fenced(claim, changed).await?;
        let damage = causes::joined(error);
        let reason = format!("version {} cannot be relied on and is sealed as it is: {damage}", end.number);
        let holds = Holds::Barrier(Barrier { reason });
        let Sealer { task, node } = sealer.clone();
        let draft = ManifestDraft { task, node, holds, in_order: false };
        let manifest = commit::next_manifest(self, &draft, claim.token(), Some(end), env);
        let stored = commit::create(self, &manifest, claim).await?;
        let head = stored.map(|stored| Head { number: manifest.number, digest: stored.digest });
        Ok(head.map(|head| Repair::Sealed { head, damage }).ok_or(manifest.number))
    }

    /// Tokens never fall along a chain: the newest one that can still be read must not be above this claim's. That of a manifest that
    /// changed proves nothing.
    async fn refuse_fenced(&self, claim: &dyn Claim, changed: Option<VersionNumber>) -> Result<(), commit::Error> {
        match self.newest_readable_but(changed).await? {
            Some(newest) if newest.token > claim.token() => {
                Err(commit::Error::Fenced { mine: claim.token(), theirs: newest.token, number: newest.number })
            }
            _ => Ok(()),
        }
    }
}

/// The damage that a look at the chain met; `None` where there is none.
fn damage<T>(looked: Result<T, chain::Error>) -> Result<Option<chain::Error>, chain::Error> {
    match looked {
        Ok(_) => Ok(None),
        Err(error) if error.is_damage() => Ok(Some(error)),
        Err(error) => Err(error),
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use object_store::{ObjectStore, ObjectStoreExt, memory::InMemory};

    use super::*;
    use crate::testing::{TestClaim, commit_tasks, draft, set_in};

    async fn chain_of(count: usize) -> (Arc<dyn ObjectStore>, VersionSet) {
        let store: Arc<dyn ObjectStore> = Arc::new(InMemory::new());
        let set = set_in(&store, "east", "daily");
        commit_tasks(&set, count).await;
        (store, set)
    }

    async fn damage_number(store: &Arc<dyn ObjectStore>, set: &VersionSet, number: u64) {
        store.put(&set.path(VersionNumber(number)), "{".into()).await.unwrap();
    }

    async fn repair(set: &VersionSet, revision: u64) -> Result<Repair, commit::Error> {
        let sealer = Sealer { task: "seal".to_owned(), node: "n1".to_owned() };
        set.repair(&sealer, &TestClaim::new(revision), &Env::system()).await
    }

    #[tokio::test]
    async fn a_chain_with_a_damaged_end_goes_on_behind_a_barrier_and_the_damage_stays_seen() {
        let (store, set) = chain_of(3).await;
        let head = set.head().await.unwrap().unwrap().1;
        damage_number(&store, &set, 3).await;
        let next = set.commit(draft("next"), &TestClaim::new(2), &Env::system()).await;
        assert!(matches!(next, Err(commit::Error::Chain(chain::Error::Decode { .. }))), "nothing follows damage");
        let Repair::Sealed { head: sealed, damage } = repair(&set.clone().with_head(head), 2).await.unwrap() else {
            panic!("it is not sealed")
        };
        assert!(sealed.number == VersionNumber(4) && damage.contains("00000000000000000003"), "{damage}");
        let known = set.clone().with_head(sealed);
        let (next, _) = known.commit(draft("next"), &TestClaim::new(2), &Env::system()).await.unwrap();
        assert_eq!(next.number, VersionNumber(5));
        for number in [1, 2, 4, 5].map(VersionNumber) {
            set.read(number).await.unwrap();
        }
        assert!(matches!(set.read(VersionNumber(3)).await, Err(chain::Error::Decode { .. })));
        let proven = set.prove(VersionNumber(2)).await.unwrap();
        assert!(proven.unproven.is_some_and(|why| why.to_string().contains("00000000000000000003")));
        assert_eq!(repair(&known, 2).await.unwrap(), Repair::Nothing);
    }

    #[tokio::test]
    async fn a_newest_manifest_that_changed_and_can_be_read_is_hidden_and_sealed() {
        let (store, set) = chain_of(3).await;
        let head = set.head().await.unwrap().unwrap().1;
        let (path, known) = (set.path(VersionNumber(3)), set.clone().with_head(head));
        let stored = tidemark_gateway::fetch::get_unchecked(&store, &path).await.unwrap();
        let text = String::from_utf8(stored.into()).unwrap();
        // A token that no claim here is above, too.
        let changed = text.replace("\"0000000001-", "\"0000000009-");
        assert_ne!(text, changed);
        store.put(&path, changed.into()).await.unwrap();
        assert!(known.newest().await.is_err_and(|error| error.is_damage()));
        let sealed = repair(&known, 2).await.unwrap();
        let Repair::Sealed { head: barrier, damage } = &sealed else { panic!("{sealed:?}") };
        assert!(barrier.number == VersionNumber(4) && damage.contains(&head.digest.to_string()), "{damage}");
        let states = VersionStates::new(store, "east".parse().unwrap(), "daily".parse().unwrap());
        let state = states.get(VersionNumber(3)).await.unwrap();
        assert!(!state.is_visible() && state.expired.as_ref().unwrap().reason == *damage, "{state:?}");
        let known = set.clone().with_head(*barrier);
        let (next, _) = known.commit(draft("next"), &TestClaim::new(2), &Env::system()).await.unwrap();
        assert_eq!((next.number, known.verify_chain().await.unwrap().len()), (VersionNumber(5), 5));
    }

    #[tokio::test]
    async fn another_chain_above_a_known_head_is_followed_only_once_that_is_asked_for() {
        let (_, set) = chain_of(4).await;
        let (_, other) = chain_of(2).await;
        let known = set.clone().with_head(other.head().await.unwrap().unwrap().1);
        assert!(known.newest().await.is_err_and(|error| error.is_damage()));
        let end = set.head().await.unwrap().unwrap().1;
        let moved = repair(&known, 2).await.unwrap();
        assert!(
            matches!(&moved, Repair::Head { head, damage } if *head == end && damage.contains("another one")),
            "{moved:?}"
        );
    }

    #[tokio::test]
    async fn a_broken_link_of_the_newest_is_sealed_too() {
        let (store, set) = chain_of(3).await;
        damage_number(&store, &set, 2).await;
        assert!(matches!(set.newest().await, Err(chain::Error::Link { .. })));
        let sealed = repair(&set, 2).await.unwrap();
        assert!(matches!(sealed, Repair::Sealed { head: Head { number: VersionNumber(4), .. }, .. }), "{sealed:?}");
        assert_eq!(set.newest().await.unwrap().unwrap().number, VersionNumber(4));
    }

    #[tokio::test]
    async fn damage_below_a_sound_end_moves_the_known_head_and_writes_nothing() {
        let (store, set) = chain_of(4).await;
        let known = set.clone().with_head(set.read_head(VersionNumber(2)).await.unwrap().1);
        damage_number(&store, &set, 2).await;
        let end = set.head().await.unwrap().unwrap().1;
        assert!(known.newest().await.is_err_and(|error| error.is_damage()));
        let moved = repair(&known, 2).await.unwrap();
        assert!(
            matches!(&moved, Repair::Head { head, damage } if *head == end && damage.contains("00002")),
            "{moved:?}"
        );
        assert_eq!(set.list().await.unwrap().len(), 4);
    }

    #[tokio::test]
    async fn a_stray_name_far_above_the_chain_is_not_sealed() {
        let (store, set) = chain_of(3).await;
        damage_number(&store, &set, u64::MAX).await;
        let error = repair(&set, 2).await.unwrap_err();
        assert!(matches!(error, commit::Error::Chain(chain::Error::Stray { .. })), "{error}");
        store.delete(&set.path(VersionNumber(u64::MAX))).await.unwrap();
        assert_eq!(repair(&set, 2).await.unwrap(), Repair::Nothing);
    }

    #[tokio::test]
    async fn another_chain_is_not_damage_and_a_newer_claim_is_not_written_over() {
        let (store, set) = chain_of(3).await;
        let known = set.clone().with_head(set.head().await.unwrap().unwrap().1);
        let later = set.commit(draft("later"), &TestClaim::new(9), &Env::system()).await.unwrap();
        assert_eq!(later.0.number, VersionNumber(4));
        damage_number(&store, &set, 5).await;
        assert!(matches!(repair(&set, 2).await, Err(commit::Error::Fenced { .. })));
        for number in 3..6 {
            store.delete(&set.path(VersionNumber(number))).await.unwrap();
        }
        let error = repair(&known, 9).await.unwrap_err();
        assert!(matches!(error, commit::Error::Chain(chain::Error::RolledBack { .. })), "{error}");
    }
}
