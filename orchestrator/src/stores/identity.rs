//! Whether a store is still the one that was registered, and holds all that is known to be in it.
//!
//! Before a task and before a commit the store must hold the repository that was registered, the generations that were
//! written to it, and of each version set at least the newest version that is known. An emptied, swapped or rolled-back store
//! is refused and never taken for new: its next version would get a number that was given before. A chain that went on
//! (another daemon, or an own commit whose end was not recorded) is followed from its known head, and recorded.
//!
//! Reading asks for the repository's identity only: an older copy still restores what it holds.

use std::sync::Arc;

use tidemark_catalog::{
    chain::{Head, VersionSet},
    find,
    ids::{SetId, SourceId, VersionNumber},
    repository,
};

use super::{
    Error, OpenStore, Stores,
    known::{KnownGeneration, KnownHead},
};
use crate::generation;

impl Stores {
    /// Refuses a store that does not hold the repository that was registered.
    ///
    /// # Errors
    /// [`Error::Emptied`], [`Error::Swapped`]; [`Error::Identity`] where it cannot be read.
    pub async fn same_repository(&self, store: &OpenStore) -> Result<(), Error> {
        let found = repository::open(&store.objects).await;
        let found = found.map_err(|source| Error::Identity { name: store.record.name.clone(), source })?;
        let (name, url) = (store.record.name.clone(), store.record.url.clone());
        match found.map(|found| found.id.to_string()) {
            None => Err(Error::Emptied { name, url }),
            Some(id) if id == store.record.repository => Ok(()),
            Some(found) => Err(Error::Swapped { name, url, found, known: store.record.repository.clone() }),
        }
    }

    /// Refuses a store that is another one, or was put back to before a generation that is known to be in it.
    ///
    /// # Errors
    /// As [`Stores::same_repository`]; [`Error::WentBack`], [`Error::Generations`].
    pub async fn identify(&self, store: &OpenStore) -> Result<(), Error> {
        self.identify_with(store, Some(self.known.own_generation())).await
    }

    /// The same; `own` is the generation of this coordinator, where the store is attached.
    async fn identify_with(&self, store: &OpenStore, own: Option<u64>) -> Result<(), Error> {
        self.same_repository(store).await?;
        let failed = |source| Error::Generations { name: store.record.name.clone(), source: Box::new(source) };
        let listed = generation::listed(&store.objects).await.map_err(failed)?;
        let newest = listed.last().copied().unwrap_or(0);
        let known = self.known.generation(&store.record.repository).await?;
        let mut numbers = known.iter().map(|known| known.number).chain(own);
        if let Some(generation) = numbers.find(|number| !listed.contains(number)) {
            return Err(went_back(store, generation, newest));
        }
        if let Some(known) = known
            && generation::digest(&store.objects, known.number).await.map_err(failed)? != known.digest
        {
            return Err(went_back(store, known.number, newest));
        }
        if known.is_none_or(|known| newest > known.number) {
            self.learn_generation(store, newest).await?;
        }
        Ok(())
    }

    /// The version set to commit to, bound to its known head; refuses the store where it or any set of it ends before what is
    /// known to have been committed.
    ///
    /// # Errors
    /// As [`Stores::identify`]; [`Error::Chain`].
    pub async fn prove(&self, store: &OpenStore, source: &SourceId, set: &SetId) -> Result<VersionSet, Error> {
        self.identify(store).await?;
        let failed = |source| Error::Chain { name: store.record.name.clone(), source };
        let mut own = version_set(store, source, set);
        for (of, within, head) in self.known.heads(&store.record.repository).await? {
            if (&of, &within) == (source, set) {
                own = own.with_head(head);
            } else {
                version_set(store, &of, &within).with_head(head).require_head().await.map_err(failed)?;
            }
        }
        if let Some((_, head)) = own.head().await.map_err(failed)? {
            self.committed(store, source, set, head).await?;
            own = own.with_head(head);
        }
        Ok(own)
    }

    /// Records the newest version of a set.
    ///
    /// # Errors
    /// [`Error::Registrations`].
    pub async fn committed(&self, store: &OpenStore, source: &SourceId, set: &SetId, head: Head) -> Result<(), Error> {
        Ok(self.known.advance(&store.record.repository, source, set, head).await?)
    }

    /// Refuses a store as [`Stores::prove`] does, for all sets.
    pub(crate) async fn prove_all(&self, store: &OpenStore) -> Result<(), Error> {
        self.identify(store).await?;
        self.prove_heads(store).await
    }

    /// Refuses a store that is about to be registered, where it was registered here before and held more then.
    pub(crate) async fn prove_again(&self, store: &OpenStore) -> Result<(), Error> {
        if self.known.generation(&store.record.repository).await?.is_some() {
            self.identify_with(store, None).await?;
        }
        self.prove_heads(store).await
    }

    async fn prove_heads(&self, store: &OpenStore) -> Result<(), Error> {
        for (source, set, head) in self.known.heads(&store.record.repository).await? {
            let found = version_set(store, &source, &set).with_head(head).head().await;
            found.map_err(|source| Error::Chain { name: store.record.name.clone(), source })?;
        }
        Ok(())
    }

    /// Takes the store as it is now for what is known of it.
    pub(crate) async fn learn(&self, store: &OpenStore) -> Result<(), Error> {
        for head in self.stored_heads(store).await? {
            self.known.set_head(&store.record.repository, &head).await?;
        }
        let newest = generation::newest(&store.objects).await;
        let newest = newest
            .map_err(|source| Error::Generations { name: store.record.name.clone(), source: Box::new(source) })?;
        self.learn_generation(store, newest).await
    }

    /// Heads that are known of a repository.
    pub(crate) async fn known_heads(&self, repository: &str) -> Result<Vec<KnownHead>, Error> {
        Ok(self.known.heads(repository).await?)
    }

    async fn stored_heads(&self, store: &OpenStore) -> Result<Vec<KnownHead>, Error> {
        let name = || store.record.name.clone();
        let mut heads = Vec::new();
        for source in find::sources(&store.objects)
            .await
            .map_err(|source| Error::Find { name: name(), source: Box::new(source) })?
        {
            let sets = find::sets(&store.objects, &source).await;
            for set in sets.map_err(|source| Error::Find { name: name(), source: Box::new(source) })? {
                let head = version_set(store, &source, &set).head().await;
                let head = head.map_err(|source| Error::Chain { name: name(), source })?;
                heads.extend(head.map(|(_, head)| (source.clone(), set, head)));
            }
        }
        Ok(heads)
    }

    async fn learn_generation(&self, store: &OpenStore, number: u64) -> Result<(), Error> {
        let digest = generation::digest(&store.objects, number).await;
        let digest = digest
            .map_err(|source| Error::Generations { name: store.record.name.clone(), source: Box::new(source) })?;
        Ok(self.known.set_generation(&store.record.repository, KnownGeneration { number, digest }).await?)
    }
}

/// Numbers of a set that are below its newest one and not there: manifests that somebody deleted.
///
/// # Errors
/// [`tidemark_catalog::chain::Error::List`].
pub(crate) async fn gone(set: &VersionSet) -> Result<Vec<VersionNumber>, tidemark_catalog::chain::Error> {
    let there = set.list().await?;
    let newest = there.last().map_or(0, |number| number.0);
    Ok((1..newest).map(VersionNumber).filter(|number| there.binary_search(number).is_err()).collect())
}

fn version_set(store: &OpenStore, source: &SourceId, set: &SetId) -> VersionSet {
    VersionSet::new(Arc::clone(&store.objects), source.clone(), set.clone())
}

fn went_back(store: &OpenStore, generation: u64, newest: u64) -> Error {
    let (name, url) = (store.record.name.clone(), store.record.url.clone());
    Error::WentBack { name, url, generation, newest }
}
