//! Sealing damage at the end of a chain, so that its set can go on.
//!
//! A manifest carries the digest of the one before it, and nobody can write one after a manifest that cannot be read: the next
//! version could not be linked to it. So an operator has it sealed: a barrier is created under the next number whose link is
//! the digest of the damaged bytes *as they are now*. From then on the chain verifies over the damaged number, which stays a
//! version that is not there; what was before it and what comes after is restored as ever. The bytes that were there once must
//! not be put back afterwards: the barrier's link would not verify any more.
//!
//! A crash before the create changes nothing; after it the chain is sound, and sealing again finds nothing to do.

use tidemark_gateway::Env;

use crate::{
    chain::{self, Head, VersionSet},
    commit::{self, Claim, ManifestDraft},
    ids::VersionNumber,
    manifest::{Barrier, Holds},
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
    /// The chain is sound from its end to the damage, which is further back: this is its head to remember from now on.
    Head(Head),
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
            // The damage may be between a sound end and the head that is known.
            let end = self.without_head().end().await;
            if let Ok(Some(end)) = &end {
                return Ok(Repair::Head(end.head()));
            }
            let error = damage(end)?.unwrap_or(error);
            match self.seal(sealer, &error, claim, env).await? {
                Ok(repair) => return Ok(repair),
                Err(number) => taken = Some(number),
            }
        }
    }

    /// Creates the barrier; the number where that holds another manifest by now.
    async fn seal(
        &self,
        sealer: &Sealer,
        error: &chain::Error,
        claim: &dyn Claim,
        env: &Env,
    ) -> Result<Result<Repair, VersionNumber>, commit::Error> {
        let Some(end) = self.without_head().head_as_stored().await? else { return Ok(Ok(Repair::Nothing)) };
        self.refuse_fenced(claim).await?;
        let damage = tidemark_gateway::causes::joined(error);
        let reason = format!("version {} cannot be relied on and is sealed as it is: {damage}", end.number);
        let holds = Holds::Barrier(Barrier { reason });
        let Sealer { task, node } = sealer.clone();
        let draft = ManifestDraft { task, node, holds, in_order: false };
        let manifest = commit::next_manifest(self, &draft, claim.token(), Some(end), env);
        let stored = commit::create(self, &manifest, claim).await?;
        let head = stored.map(|stored| Head { number: manifest.number, digest: stored.digest });
        Ok(head.map(|head| Repair::Sealed { head, damage }).ok_or(manifest.number))
    }

    /// Tokens never fall along a chain: the newest one that can still be read must not be above this claim's.
    async fn refuse_fenced(&self, claim: &dyn Claim) -> Result<(), commit::Error> {
        match self.newest_readable().await? {
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
        assert_eq!(repair(&known, 2).await.unwrap(), Repair::Head(end));
        assert_eq!(set.list().await.unwrap().len(), 4);
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
