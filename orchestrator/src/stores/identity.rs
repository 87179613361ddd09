//! Whether a store is still the one that was registered, and holds all that is known to be in it.
//!
//! Before a task and before a commit the store must hold the repository that was registered, the generations that were
//! written to it, and of each version set at least the newest version that is known. An emptied, swapped or rolled-back store
//! is refused and never taken for new: its next version would get a number that was given before. A chain that went on
//! (another daemon, or an own commit whose end was not recorded) is followed from its known head, and recorded.
//!
//! States of versions and marks know numbers too. A set that ends before one of these has lost it, whatever is known here.
//!
//! Damage is not loss: a manifest or generation that is there and cannot be read, or a manifest that is another one than is known,
//! tells of nothing that went back. It stops the captures of its own set until somebody has looked ([`Error::DamagedEnd`]); for all
//! others it is a warning. So it is with a record of the state directory that cannot be read ([`Error::UnreadableHead`]).
//!
//! A listing that lacks what is known to be there proves nothing while that can be read: it lags behind, and is asked again later.
//!
//! Reading asks for the repository's identity only: an older copy still restores what it holds.

use std::{collections::BTreeSet, fmt, sync::Arc};

use futures::FutureExt as _;
use tidemark_catalog::{
    chain::{self, Head, VersionSet},
    find,
    ids::{FencingToken, SetId, SourceId, VersionNumber},
    repository,
};
use tidemark_gateway::causes;

use super::{
    Error, OpenStore, Stores, in_time,
    known::{Heads, KnownGeneration, KnownHead},
};
use crate::{generation, registrations};

/// A set of which something is wrong that says nothing about others.
#[derive(Debug)]
pub(crate) struct Damaged {
    /// The protected system.
    pub(crate) source_id: SourceId,
    /// The version set.
    pub(crate) set: SetId,
    /// What is wrong.
    pub(crate) wrong: Wrong,
}

/// What is wrong with a set.
#[derive(Debug)]
pub(crate) enum Wrong {
    /// Its newest manifests are damaged.
    Manifests(chain::Error),
    /// What is known of it cannot be read.
    Known(registrations::Error),
}

impl Damaged {
    fn manifests(source_id: SourceId, set: SetId, error: chain::Error) -> Self {
        Self { source_id, set, wrong: Wrong::Manifests(error) }
    }

    /// True where a sound manifest is there that is not the one that was committed: nothing but what is known tells.
    pub(crate) fn is_changed(&self) -> bool {
        matches!(self.wrong, Wrong::Manifests(chain::Error::HeadChanged { .. }))
    }

    /// True where what is known cannot be read.
    pub(crate) fn is_unknown(&self) -> bool {
        matches!(self.wrong, Wrong::Known(_))
    }

    /// The code of it.
    pub(crate) fn code(&self) -> &'static str {
        if self.is_unknown() { "TM-STORE-0120" } else { "TM-CAT-0008" }
    }
}

impl fmt::Display for Damaged {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { source_id, set, wrong } = self;
        match wrong {
            Wrong::Manifests(error) => {
                write!(f, "the newest versions of {source_id}.{set} are damaged: {}", causes::joined(error))
            }
            Wrong::Known(error) => {
                let error = causes::joined(error);
                write!(f, "what is known of the newest version of {source_id}.{set} cannot be read: {error}")
            }
        }
    }
}

impl Stores {
    /// Refuses a store that does not hold the repository that was registered.
    ///
    /// # Errors
    /// [`Error::Emptied`], [`Error::Swapped`]; [`Error::Identity`] where it cannot be read.
    pub async fn same_repository(&self, store: &OpenStore) -> Result<(), Error> {
        let found = repository::open(&store.aside).await;
        let (name, url) = (store.record.name.clone(), store.record.url.clone());
        let found = found.map_err(|source| Error::Identity { name: name.clone(), source })?;
        match found.map(|found| found.id.to_string()) {
            None => Err(Error::Emptied { name, url }),
            Some(id) if id == store.record.repository => Ok(()),
            Some(found) => Err(Error::Swapped { name, url, found, known: store.record.repository.clone() }),
        }
    }

    /// As [`Stores::same_repository`], within a bound ([`ONE_OF_MANY`](super::ONE_OF_MANY)): the first look at a store. One that is
    /// down is then waited for by who has time for that, and nobody else: requests are tried again for a quarter of an hour, in which a
    /// run would hold its place and scope. No limit counts for it: what waits for its turn is not silent.
    ///
    /// # Errors
    /// As [`Stores::same_repository`]; [`Error::Silent`].
    pub async fn look(&self, store: &OpenStore) -> Result<(), Error> {
        in_time(store.record.name.clone(), self.first_look, self.same_repository(store)).await
    }

    /// Refuses a store that is another one, or was put back to before a generation that is known to be in it.
    ///
    /// # Errors
    /// As [`Stores::same_repository`]; [`Error::WentBack`], [`Error::Generations`], [`Error::UnreadableGeneration`].
    pub async fn identify(&self, store: &OpenStore) -> Result<(), Error> {
        self.same_repository(store).await?;
        self.not_put_back(store).await
    }

    /// Refuses a store that was put back, its repository being the one that was registered.
    pub(super) async fn not_put_back(&self, store: &OpenStore) -> Result<(), Error> {
        let taken = generation::taken(self.known.coordinator(), &store.record.repository).await;
        let taken = taken.map_err(|source| generations_failed(store, source))?;
        self.holds_generations(store, taken).await
    }

    /// The same; `own` are the generations that this opening of the coordinator has taken in it.
    async fn holds_generations(&self, store: &OpenStore, own: BTreeSet<u64>) -> Result<(), Error> {
        let failed = |source| generations_failed(store, source);
        let listed = generation::listed(&store.objects).await.map_err(failed)?;
        let newest = listed.last().copied().unwrap_or(0);
        let known = self.known_generation(store).await?;
        let mut numbers = known.iter().map(|known| known.number).chain(own);
        if let Some(generation) = numbers.find(|number| !listed.contains(number)) {
            return Err(unlisted(store, known, generation, newest).await);
        }
        if let Some(known) = known
            && let Some(found) =
                readable(store, generation::digest(&store.objects, known.number).await).map_err(failed)?
            && found != known.digest
        {
            return Err(went_back(store, known.number, newest));
        }
        if known.is_none_or(|known| newest > known.number) {
            generation::require_reachable(newest, self.known.coordinator().generation()).map_err(failed)?;
            self.learn_generation(store, newest).await?;
        }
        Ok(())
    }

    async fn known_generation(&self, store: &OpenStore) -> Result<Option<KnownGeneration>, Error> {
        match self.known.generation(&store.record.repository).await {
            Err(source @ registrations::Error::Decode { .. }) => {
                Err(Error::UnreadableGeneration { name: store.record.name.clone(), source })
            }
            known => Ok(known?),
        }
    }

    /// Makes sure that a claim may write to the store: that it is the one that was registered, and that this opening of the coordinator
    /// has taken the claim's generation there. To be called in each run before it writes, or has listeners write.
    ///
    /// # Errors
    /// [`Error::Behind`] where the task has to be claimed anew; as [`Stores::identify`].
    pub async fn reach(&self, store: &OpenStore, token: FencingToken) -> Result<(), Error> {
        let (coordinator, repository) = (self.known.coordinator(), &store.record.repository);
        let failed = |source| generations_failed(store, source);
        if !self.compared().contains(repository) {
            generation::require_newest(coordinator, repository, &store.objects).boxed().await.map_err(failed)?;
            self.compared().insert(repository.clone());
        }
        if generation::holds(coordinator, repository, token.generation).await.map_err(failed)? {
            return Ok(());
        }
        self.identify(store).await?;
        let taken = generation::attach(coordinator, repository, &store.objects, &self.env).await.map_err(failed)?;
        if generation::holds(coordinator, repository, token.generation).await.map_err(failed)? {
            return Ok(());
        }
        Err(Error::Behind { name: store.record.name.clone(), claimed: token.generation, taken })
    }

    /// The version set to commit to, bound to its known head; refuses the store where it or any set of it ends before what is
    /// known to have been committed. Damage of another set is a warning.
    ///
    /// # Errors
    /// As [`Stores::identify`]; [`Error::Chain`]; [`Error::DamagedEnd`] where nothing can be linked to the set's newest manifest;
    /// [`Error::UnreadableHead`].
    pub async fn prove(&self, store: &OpenStore, source: &SourceId, set: &SetId) -> Result<VersionSet, Error> {
        self.identify(store).await?;
        let failed = |source| chain_failed(store, source);
        let mut own = version_set(store, source, set);
        let Heads { known, unreadable } = self.known.heads(&store.record.repository).await?;
        for (of, within, error) in unreadable {
            if (&of, &within) == (source, set) {
                return Err(Error::UnreadableHead {
                    name: store.record.name.clone(),
                    source_id: of,
                    set: within,
                    source: error,
                });
            }
            warn(store, &Damaged { source_id: of, set: within, wrong: Wrong::Known(error) });
        }
        for (of, within, head) in known {
            if (&of, &within) == (source, set) {
                own = own.with_head(head);
                continue;
            }
            let found = version_set(store, &of, &within).with_head(head).require_head().await;
            if let Some(error) = only_of_the_set(found).map_err(failed)? {
                warn(store, &Damaged::manifests(of, within, error));
            }
        }
        let head = own.head().await.map_err(|error| match error.is_damage() {
            true => damaged_end(store, source, set, error),
            false => failed(error),
        })?;
        own.require_told().await.map_err(failed)?;
        if let Some((_, head)) = head {
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

    /// Refuses a store as [`Stores::prove`] does, for all sets; gives those of which something is wrong.
    /// It has to say soon that it is the one that was registered ([`Stores::look`]).
    pub(crate) async fn prove_all(&self, store: &OpenStore) -> Result<Vec<Damaged>, Error> {
        self.look(store).await?;
        self.not_put_back(store).await?;
        self.prove_heads(store).await
    }

    /// Refuses a store that is about to be registered, where it was registered here before and held more then.
    pub(crate) async fn prove_again(&self, store: &OpenStore) -> Result<(), Error> {
        match self.known_generation(store).await {
            Ok(None) => {}
            Ok(Some(_)) => {
                self.same_repository(store).await?;
                self.holds_generations(store, BTreeSet::new()).await?;
            }
            // It is learnt anew: a store that is not registered cannot be accepted.
            Err(error @ Error::UnreadableGeneration { .. }) => {
                tracing::error!(
                    store = store.record.name,
                    error = causes::joined(&error),
                    "the store is taken as it is"
                );
            }
            Err(error) => return Err(error),
        }
        self.prove_heads(store).await.map(drop)
    }

    async fn prove_heads(&self, store: &OpenStore) -> Result<Vec<Damaged>, Error> {
        let Heads { known, unreadable } = self.known.heads(&store.record.repository).await?;
        let unknown = |(source_id, set, error)| Damaged { source_id, set, wrong: Wrong::Known(error) };
        let mut damaged: Vec<_> = unreadable.into_iter().map(unknown).collect();
        for (source_id, set, head) in known {
            let chain = version_set(store, &source_id, &set).with_head(head);
            let error = only_of_the_set(chain.head().await).map_err(|source| chain_failed(store, source))?;
            if error.is_none() {
                require_told(store, &chain).await?;
            }
            damaged.extend(error.map(|error| Damaged::manifests(source_id, set, error)));
        }
        Ok(damaged)
    }

    /// Takes the store as it is now for what is known of it; gives the sets whose newest manifests are damaged. Of those the
    /// damaged bytes are what is known. Records that could not be read are there no more.
    pub(crate) async fn learn(&self, store: &OpenStore) -> Result<Vec<Damaged>, Error> {
        let (heads, damaged) = self.stored_heads(store).await?;
        for head in heads {
            self.known.set_head(&store.record.repository, &head).await?;
        }
        for (source, set, _) in self.known.heads(&store.record.repository).await?.unreadable {
            self.known.forget(&store.record.repository, &source, &set).await?;
        }
        let newest = generation::newest(&store.objects).await;
        let newest = newest
            .map_err(|source| Error::Generations { name: store.record.name.clone(), source: Box::new(source) })?;
        self.learn_generation(store, newest).await?;
        Ok(damaged)
    }

    /// Records the head of a set whose damage was sealed.
    pub(crate) async fn repaired(&self, store: &OpenStore, head: &KnownHead) -> Result<(), Error> {
        Ok(self.known.set_head(&store.record.repository, head).await?)
    }

    /// The version set, bound to its known head where one is known; and why what is known of it cannot be read.
    pub(crate) async fn known_set(
        &self,
        store: &OpenStore,
        source: &SourceId,
        set: &SetId,
    ) -> Result<(VersionSet, Option<registrations::Error>), Error> {
        let own = version_set(store, source, set);
        match self.known.head(&store.record.repository, source, set).await {
            Ok(Some(head)) => Ok((own.with_head(head), None)),
            Ok(None) => Ok((own, None)),
            Err(error @ registrations::Error::Decode { .. }) => Ok((own, Some(error))),
            Err(error) => Err(error.into()),
        }
    }

    /// The head of a set that is known; `None` where none is.
    ///
    /// # Errors
    /// [`Error::Registrations`], also where what is known cannot be read.
    pub(crate) async fn known_head(
        &self,
        store: &OpenStore,
        source: &SourceId,
        set: &SetId,
    ) -> Result<Option<Head>, Error> {
        Ok(self.known.head(&store.record.repository, source, set).await?)
    }

    /// Heads that are known of a repository, and can be read.
    pub(crate) async fn known_heads(&self, repository: &str) -> Result<Vec<KnownHead>, Error> {
        Ok(self.known.heads(repository).await?.known)
    }

    /// Whether a set of a repository is known to have come to `number`, or may have: a record that cannot be read says so too.
    pub(crate) async fn held(&self, repository: &str, source: &SourceId, set: &SetId, number: VersionNumber) -> bool {
        let head = self.known.head(repository, source, set).await;
        head.map_or(true, |head| head.is_some_and(|head| head.number >= number))
    }

    async fn stored_heads(&self, store: &OpenStore) -> Result<(Vec<KnownHead>, Vec<Damaged>), Error> {
        let not_found = |source| Error::Find { name: store.record.name.clone(), source: Box::new(source) };
        let (mut heads, mut damaged) = (Vec::new(), Vec::new());
        for source in find::sources(&store.objects).await.map_err(not_found)? {
            for set in find::sets(&store.objects, &source).await.map_err(not_found)? {
                let (head, error) = stored_head(store, &source, &set).await?;
                heads.extend(head.map(|head| (source.clone(), set.clone(), head)));
                damaged.extend(error.map(|error| Damaged::manifests(source.clone(), set, error)));
            }
        }
        Ok((heads, damaged))
    }

    /// One that cannot be read is not recorded: its name counts all the same, as long as it is there.
    async fn learn_generation(&self, store: &OpenStore, number: u64) -> Result<(), Error> {
        let digest = readable(store, generation::digest(&store.objects, number).await)
            .map_err(|source| Error::Generations { name: store.record.name.clone(), source: Box::new(source) })?;
        let Some(digest) = digest else { return Ok(()) };
        Ok(self.known.set_generation(&store.record.repository, KnownGeneration { number, digest }).await?)
    }
}

/// The head of a set as it is stored, and what is wrong with it. What cannot be read at all has none.
async fn stored_head(
    store: &OpenStore,
    source: &SourceId,
    set: &SetId,
) -> Result<(Option<Head>, Option<chain::Error>), Error> {
    let chain = version_set(store, source, set);
    match chain.head().await {
        Ok(head) => Ok((head.map(|(_, head)| head), None)),
        Err(error) if error.is_retryable() => Err(chain_failed(store, error)),
        Err(error) => Ok((chain.head_as_stored().await.unwrap_or_default(), Some(error))),
    }
}

/// Refuses a set that ends before a number that was given, as states and marks tell. Those that cannot be read stop who needs them, and
/// say nothing here.
async fn require_told(store: &OpenStore, set: &VersionSet) -> Result<(), Error> {
    match set.require_told().await {
        Err(error @ chain::Error::Told { .. }) if !error.is_retryable() => {
            let (name, error) = (&store.record.name, causes::joined(&error));
            tracing::warn!(store = name, error, "which numbers of a set were given is not known");
            Ok(())
        }
        found => found.map_err(|source| chain_failed(store, source)),
    }
}

/// What is wrong with a set and says nothing about the rest of the store: damage, or an object of it that cannot be read.
fn only_of_the_set<T>(found: Result<T, chain::Error>) -> Result<Option<chain::Error>, chain::Error> {
    match found {
        Ok(_) => Ok(None),
        Err(error) if error.is_other_store() || error.is_retryable() => Err(error),
        Err(error) => Ok(Some(error)),
    }
}

/// What was read of a generation; `None`, with a word in the log, where that object alone cannot be read.
fn readable<T>(store: &OpenStore, read: Result<T, generation::Error>) -> Result<Option<T>, generation::Error> {
    match read {
        Ok(read) => Ok(Some(read)),
        Err(error) if error.is_retryable() => Err(error),
        Err(error) => {
            let (name, error) = (&store.record.name, causes::joined(&error));
            tracing::warn!(store = name, error, "a generation cannot be read; its number counts");
            Ok(None)
        }
    }
}

fn warn(store: &OpenStore, damaged: &Damaged) {
    let Damaged { source_id, set, .. } = damaged;
    tracing::error!(store = store.record.name, %source_id, %set, error = %damaged, "a set is passed over");
}

fn chain_failed(store: &OpenStore, source: chain::Error) -> Error {
    Error::Chain { name: store.record.name.clone(), source }
}

fn damaged_end(store: &OpenStore, source_id: &SourceId, set: &SetId, source: chain::Error) -> Error {
    let (source_id, set) = (source_id.clone(), set.clone());
    Error::DamagedEnd { name: store.record.name.clone(), source_id, set, source }
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

/// A failure of a store's generations.
pub(crate) fn generations_failed(store: &OpenStore, source: generation::Error) -> Error {
    Error::Generations { name: store.record.name.clone(), source: Box::new(source) }
}

/// Why a generation that is known to be in a store is not listed: it is gone or another one, or the listing lags behind.
async fn unlisted(store: &OpenStore, known: Option<KnownGeneration>, number: u64, newest: u64) -> Error {
    let known = known.filter(|known| known.number == number);
    match generation::digest(&store.objects, number).await {
        Ok(found) if known.is_none_or(|known| known.digest == found) => {
            generations_failed(store, generation::Error::ListingLags { number })
        }
        Err(error) if !error.is_absent() => generations_failed(store, error),
        _ => went_back(store, number, newest),
    }
}

fn went_back(store: &OpenStore, generation: u64, newest: u64) -> Error {
    let (name, url) = (store.record.name.clone(), store.record.url.clone());
    Error::WentBack { name, url, generation, newest }
}
