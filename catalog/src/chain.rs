//! A version set: the chain of manifests of one policy on one source.
//!
//! Manifests are numbered from 1 without holes and each carries the digest of the one before it. A manifest whose link does
//! not verify is not a version: whoever can write to the bucket cannot slip one in, take one out or swap two unnoticed.

use std::sync::Arc;

use bytes::Bytes;
use futures::{StreamExt, TryStreamExt, stream};
use object_store::{ObjectMeta, ObjectStore, path::Path};
use serde::{Deserialize, Serialize};
use tidemark_gateway::{Digest, Env, Stored, fetch};

use crate::{
    commit::{self, Claim, ManifestDraft, Numbers},
    document,
    ids::{SetId, SourceId, VersionNumber},
    layout,
    manifest::Manifest,
    stored::StoredRef,
};

mod error;
mod part;
mod proven;
mod stray;
mod told;

pub use error::{Error, TellError};
pub(crate) use part::Part;

/// Manifests that are read at a time when searching back.
const READS_AT_A_TIME: usize = 8;

/// One version set in a store. Cheap to clone.
#[derive(Clone, Debug)]
pub struct VersionSet {
    pub(crate) store: Arc<dyn ObjectStore>,
    pub(crate) source: SourceId,
    pub(crate) set: SetId,
    head: Option<Head>,
    pub(crate) patience: commit::Patience,
}

/// The newest manifest of a set, as somebody outside the store remembers it: what the chain must not end before.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Head {
    /// Its number.
    pub number: VersionNumber,
    /// BLAKE3 of its stored bytes.
    pub digest: Digest,
}

/// A version that was read and proven as far as the chain can.
#[derive(Debug)]
pub struct Proven {
    /// Its manifest.
    pub manifest: Manifest,
    /// Why the version after it, which is there, cannot vouch for it: that one is damaged.
    pub unproven: Option<Error>,
}

/// A manifest as the store lists it, unread.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listed {
    /// Its number.
    pub number: VersionNumber,
    /// Size, time and tag of the stored object: another where it was replaced, as far as the store tells.
    pub stamp: String,
}

/// A manifest with the digest and size of its stored bytes.
#[derive(Clone, Debug)]
pub(crate) struct Loaded {
    pub(crate) manifest: Manifest,
    pub(crate) stored: StoredRef,
}

impl VersionSet {
    /// The set `set` of `source`; makes no request.
    pub fn new(store: Arc<dyn ObjectStore>, source: SourceId, set: SetId) -> Self {
        Self { store, source, set, head: None, patience: commit::Patience::default() }
    }

    /// The same set, of which `head` is known to exist: [`newest`](Self::newest), [`head`](Self::head) and
    /// [`commit`](Self::commit) look for the end from there on only, and raise the alarm where it is gone, is another one, or
    /// the end does not go back to it.
    pub fn with_head(self, head: Head) -> Self {
        Self { head: Some(head), ..self }
    }

    /// Numbers of all versions in the store, ascending. Foreign names beside them are passed over.
    ///
    /// # Errors
    /// [`Error::List`].
    pub async fn list(&self) -> Result<Vec<VersionNumber>, Error> {
        self.numbers(None).await
    }

    /// The same with what the store says about each, ascending.
    ///
    /// # Errors
    /// [`Error::List`].
    pub async fn listed(&self) -> Result<Vec<Listed>, Error> {
        self.listed_from(None).await
    }

    /// The manifest of `number`, with its identity and its link to the version before verified.
    ///
    /// # Errors
    /// [`Error::Read`], [`Error::Decode`], [`Error::Identity`], [`Error::Link`], each naming the manifest.
    pub async fn read(&self, number: VersionNumber) -> Result<Manifest, Error> {
        Ok(self.load(number).await?.manifest)
    }

    /// As [`read`](Self::read), with the number and the digest of its stored bytes.
    ///
    /// # Errors
    /// As [`read`](Self::read).
    pub async fn read_head(&self, number: VersionNumber) -> Result<(Manifest, Head), Error> {
        let loaded = self.load(number).await?;
        let head = loaded.head();
        Ok((loaded.manifest, head))
    }

    /// As [`read`](Self::read), and proven by the link of the version after it, where there is one that can be read. Nothing
    /// proves the newest one but what it names.
    ///
    /// # Errors
    /// As [`read`](Self::read); [`Error::Successor`].
    pub async fn prove(&self, number: VersionNumber) -> Result<Proven, Error> {
        let loaded = self.load(number).await?;
        let next = VersionNumber(number.0 + 1);
        let after = match self.bytes(next).await {
            Ok(bytes) => self.parse(next, bytes),
            Err(Error::Read { source, .. }) if source.is_absent() => {
                return Ok(Proven { manifest: loaded.manifest, unproven: None });
            }
            Err(error) => Err(error),
        };
        let unproven = match after {
            Ok(after) => {
                self.verify_successor(&loaded, &after.manifest)?;
                None
            }
            Err(error) if error.is_damage() => Some(error),
            Err(error) => return Err(error),
        };
        Ok(Proven { manifest: loaded.manifest, unproven })
    }

    /// The newest manifest that can be read, its link unverified, among the newest 32 of the set; `None` where there is none.
    /// What damage at the end leaves known of the chain.
    ///
    /// # Errors
    /// [`Error::List`]; [`Error::Read`] where the store does not answer.
    pub async fn newest_readable(&self) -> Result<Option<Manifest>, Error> {
        self.newest_readable_but(None).await
    }

    /// The same; `changed`, which is not what was committed, is passed over.
    pub(crate) async fn newest_readable_but(&self, changed: Option<VersionNumber>) -> Result<Option<Manifest>, Error> {
        let mut numbers = self.list().await?;
        numbers.retain(|number| Some(*number) != changed);
        for number in numbers.into_iter().rev().take(commit::RECENT_VERSIONS as usize) {
            match self.bytes(number).await.and_then(|bytes| self.parse(number, bytes)) {
                Ok(loaded) => return Ok(Some(loaded.manifest)),
                Err(error) if error.is_retryable() => return Err(error),
                Err(_) => {}
            }
        }
        Ok(None)
    }

    /// The newest number with the digest of what is stored there, whatever that is; `None` where there is none.
    ///
    /// # Errors
    /// [`Error::List`]; [`Error::Read`]; [`Error::Stray`].
    pub async fn head_as_stored(&self) -> Result<Option<Head>, Error> {
        let numbers = self.numbers(self.from()).await?;
        self.refuse_stray(&numbers).await?;
        let Some(number) = numbers.last().copied() else { return Ok(None) };
        let digest = Digest::of(&self.bytes(number).await?);
        Ok(Some(Head { number, digest }))
    }

    /// The newest version; `None` where there is none yet.
    ///
    /// # Errors
    /// As [`list`](Self::list) and [`read`](Self::read); [`Error::RolledBack`], [`Error::ListingLags`], [`Error::HeadChanged`],
    /// [`Error::Stray`].
    pub async fn newest(&self) -> Result<Option<Manifest>, Error> {
        Ok(self.end().await?.map(|end| end.manifest))
    }

    /// The newest version with what is to be remembered of it; `None` where there is none yet.
    ///
    /// # Errors
    /// As [`newest`](Self::newest).
    pub async fn head(&self) -> Result<Option<(Manifest, Head)>, Error> {
        Ok(self.end().await?.map(|end| (end.manifest.clone(), end.head())))
    }

    /// Refuses a set whose last number is below the known head, or that has anything else in its place; reads that one only.
    ///
    /// # Errors
    /// [`Error::List`], [`Error::RolledBack`], [`Error::ListingLags`]; as [`read`](Self::read) where no sound manifest is there, and
    /// [`Error::HeadChanged`] where another one is.
    pub async fn require_head(&self) -> Result<(), Error> {
        let newest = self.numbers(self.from()).await?.last().copied();
        self.refuse_rolled_back(newest).await?;
        let Some(head) = self.head else { return Ok(()) };
        let bytes = self.bytes(head.number).await?;
        if Digest::of(&bytes) == head.digest {
            return Ok(());
        }
        self.load(head.number).await?;
        Err(self.head_changed(head, Some(Digest::of(&bytes))))
    }

    /// Reads the whole chain and verifies every number, identity and link; gives the manifests, oldest first.
    ///
    /// # Errors
    /// The first damage, from the oldest version on; [`Error::Hole`]; [`Error::RolledBack`].
    pub async fn verify_chain(&self) -> Result<Vec<Manifest>, Error> {
        let mut chain: Vec<Manifest> = Vec::new();
        let mut previous = None;
        let present = self.list().await?;
        for number in present.iter().copied() {
            let expected = VersionNumber(chain.len() as u64 + 1);
            if number != expected {
                return Err(self.missing(expected, &present).await);
            }
            let loaded = self.parse(number, self.bytes(number).await?)?;
            self.verify_link(&loaded.manifest, previous)?;
            previous = Some(loaded.stored.digest);
            chain.push(loaded.manifest);
        }
        self.refuse_rolled_back(chain.last().map(|manifest| manifest.number)).await?;
        Ok(chain)
    }

    /// Commits `draft` as the next version and gives its manifest; see [`crate::commit`]. No number is given of which a state or the newest
    /// marks tell already.
    ///
    /// # Errors
    /// [`commit::Error`] by variant.
    pub async fn commit(
        &self,
        draft: ManifestDraft,
        claim: &dyn Claim,
        env: &Env,
    ) -> Result<(Manifest, StoredRef), commit::Error> {
        commit::commit(self, &draft, claim, env, Numbers::New).await
    }

    /// The manifest that `task` has committed, among the newest of the set; `None` where it has not, as far as they tell.
    ///
    /// # Errors
    /// As [`newest`](Self::newest).
    pub async fn of_task(&self, task: &str) -> Result<Option<Manifest>, commit::Error> {
        let end = self.end().await?;
        Ok(commit::Behind::default()
            .look(self, &commit::Search::task(task), end.as_ref())
            .await?
            .done
            .map(|found| found.manifest))
    }

    /// Name of the manifest of `number`.
    pub(crate) fn path(&self, number: VersionNumber) -> Path {
        layout::manifest(&self.source, &self.set, number)
    }

    /// Takes every free number through `through` by manifests that hold no version and say why, so that none of them is given
    /// again; nothing where the chain is as long already. Run again it goes on.
    ///
    /// # Errors
    /// [`commit::Error`] by variant.
    pub async fn fill(
        &self,
        through: VersionNumber,
        draft: ManifestDraft,
        claim: &dyn Claim,
        env: &Env,
    ) -> Result<(), commit::Error> {
        let mut next = self.end().await?.map_or(0, |end| end.manifest.number.0) + 1;
        while next <= through.0 {
            let draft = ManifestDraft { task: format!("{}-{next}", draft.task), ..draft.clone() };
            next = commit::commit(self, &draft, claim, env, Numbers::Lost).await?.0.number.0 + 1;
        }
        Ok(())
    }

    /// The last manifest of the chain, verified back to the known head.
    pub(crate) async fn end(&self) -> Result<Option<Loaded>, Error> {
        let numbers = self.numbers(self.from()).await?;
        let newest = numbers.last().copied();
        self.refuse_rolled_back(newest).await?;
        self.refuse_stray(&numbers).await?;
        let Some(number) = newest else { return Ok(None) };
        let end = self.load(number).await?;
        self.prove_head(&end).await?;
        Ok(Some(end))
    }

    /// Refuses an end that does not go back to the known head.
    async fn prove_head(&self, end: &Loaded) -> Result<(), Error> {
        let Some(head) = self.head else { return Ok(()) };
        let found = if end.manifest.number == head.number {
            Some(end.stored.digest)
        } else {
            let at_head = |manifest: &Manifest| manifest.number == head.number;
            self.find_before(end, head.number, at_head).await?.map(|loaded| loaded.stored.digest)
        };
        if found == Some(head.digest) {
            return Ok(());
        }
        Err(self.head_changed(head, found))
    }

    fn head_changed(&self, head: Head, found: Option<Digest>) -> Error {
        let (source_id, set, found) = (self.source.clone(), self.set.clone(), text(found));
        Error::HeadChanged { source_id, set, head: head.number, found, known: head.digest.to_string() }
    }

    fn from(&self) -> Option<VersionNumber> {
        self.head.map(|head| head.number)
    }

    /// The head that is known.
    pub(crate) fn known(&self) -> Option<Head> {
        self.head
    }

    pub(crate) async fn load(&self, number: VersionNumber) -> Result<Loaded, Error> {
        let loaded = self.parse(number, self.bytes(number).await?)?;
        let previous = match number.0 {
            0 | 1 => None,
            n => Some(Digest::of(&self.bytes(VersionNumber(n - 1)).await?)),
        };
        self.verify_link(&loaded.manifest, previous)?;
        Ok(loaded)
    }

    /// The newest version from `oldest` on and before `end` that is `wanted`, each one verified by the link of the next.
    pub(crate) async fn find_before(
        &self,
        end: &Loaded,
        oldest: VersionNumber,
        wanted: impl Fn(&Manifest) -> bool,
    ) -> Result<Option<Loaded>, Error> {
        let numbers = (oldest.0..end.manifest.number.0).rev().map(VersionNumber);
        let reads = numbers.map(|number| async move { self.bytes(number).await.map(|bytes| (number, bytes)) });
        let mut reads = std::pin::pin!(stream::iter(reads).buffered(READS_AT_A_TIME));
        let mut next = end.manifest.clone();
        while let Some((number, bytes)) = reads.try_next().await? {
            let loaded = self.parse(number, bytes)?;
            self.verify_link(&next, Some(loaded.stored.digest))?;
            if wanted(&loaded.manifest) {
                return Ok(Some(loaded));
            }
            next = loaded.manifest;
        }
        Ok(None)
    }

    /// The manifests from before `end` back to `oldest`, newest first, each with its number; links are not looked at.
    pub(crate) fn backwards(
        &self,
        oldest: VersionNumber,
        end: VersionNumber,
    ) -> impl futures::Stream<Item = (VersionNumber, Result<Loaded, Error>)> {
        let numbers = (oldest.0..end.0).rev().map(VersionNumber);
        let read =
            move |number| async move { (number, self.bytes(number).await.and_then(|bytes| self.parse(number, bytes))) };
        stream::iter(numbers.map(read)).buffered(READS_AT_A_TIME)
    }

    /// `loaded`, and whether the manifest after it proves it; that is not known where it is not at hand.
    ///
    /// # Errors
    /// [`Error::Link`] where it is another one.
    pub(crate) fn linked(&self, next: Option<&Loaded>, loaded: Loaded) -> Result<(Loaded, bool), Error> {
        if let Some(next) = next {
            self.verify_link(&next.manifest, Some(loaded.stored.digest))?;
        }
        Ok((loaded, next.is_some()))
    }

    async fn numbers(&self, from: Option<VersionNumber>) -> Result<Vec<VersionNumber>, Error> {
        Ok(self.listed_from(from).await?.into_iter().map(|listed| listed.number).collect())
    }

    async fn listed_from(&self, from: Option<VersionNumber>) -> Result<Vec<Listed>, Error> {
        let prefix = layout::versions(&self.source, &self.set);
        let listing = match from {
            // The offset is exclusive, and the name before `from` need not exist.
            Some(from) => {
                self.store.list_with_offset(Some(&prefix), &self.path(VersionNumber(from.0.saturating_sub(1))))
            }
            None => self.store.list(Some(&prefix)),
        };
        let listed = listing.try_filter_map(|meta| async move { Ok(listed(&meta)) });
        let mut listed: Vec<Listed> = listed.try_collect().await.map_err(|source| self.list_failed(source))?;
        listed.sort_by_key(|listed| listed.number);
        Ok(listed)
    }

    fn list_failed(&self, source: object_store::Error) -> Error {
        Error::List { source_id: self.source.clone(), set: self.set.clone(), source }
    }

    /// The same set, of which nothing is known.
    pub(crate) fn without_head(&self) -> Self {
        Self { head: None, ..self.clone() }
    }

    async fn bytes(&self, number: VersionNumber) -> Result<Bytes, Error> {
        let path = self.path(number);
        fetch::get_unchecked(&self.store, &path).await.map_err(|source| Error::Read { path, source })
    }

    fn parse(&self, number: VersionNumber, bytes: Bytes) -> Result<Loaded, Error> {
        let path = self.path(number);
        let manifest: Manifest = match document::decode(&path, &bytes) {
            Ok(manifest) => manifest,
            Err(source) => return Err(Error::Decode { path, source }),
        };
        if manifest.source != self.source || manifest.set != self.set || manifest.number != number {
            let found = format!("{}.{}.{}", manifest.source, manifest.set, manifest.number);
            return Err(Error::Identity { path, found });
        }
        let stored = StoredRef::new(&path, Stored::of(&bytes));
        Ok(Loaded { manifest, stored })
    }

    fn verify_link(&self, manifest: &Manifest, previous: Option<Digest>) -> Result<(), Error> {
        if manifest.previous == previous {
            return Ok(());
        }
        let (link, expected) = (text(manifest.previous), text(previous));
        Err(Error::Link { path: self.path(manifest.number), link, expected })
    }

    fn verify_successor(&self, loaded: &Loaded, next: &Manifest) -> Result<(), Error> {
        if next.previous == Some(loaded.stored.digest) {
            return Ok(());
        }
        let link = text(next.previous);
        let found = loaded.stored.digest.to_string();
        Err(Error::Successor { path: self.path(loaded.manifest.number), next: self.path(next.number), link, found })
    }

    async fn refuse_rolled_back(&self, newest: Option<VersionNumber>) -> Result<(), Error> {
        let Some(head) = self.head.filter(|head| newest < Some(head.number)) else { return Ok(()) };
        self.refuse_unlisted(head).await?;
        // Listed from the head on only so far; how far back it goes is worth a listing.
        let found = self.numbers(None).await?.last().map_or(0, |number| number.0);
        Err(Error::RolledBack { source_id: self.source.clone(), set: self.set.clone(), found, head: head.number })
    }

    /// Refuses a listing that lacks the known head, where something is there all the same: it proves nothing.
    async fn refuse_unlisted(&self, head: Head) -> Result<(), Error> {
        match self.bytes(head.number).await {
            Ok(bytes) if Digest::of(&bytes) == head.digest => Err(Error::ListingLags { path: self.path(head.number) }),
            Ok(bytes) => Err(self.head_changed(head, Some(Digest::of(&bytes)))),
            Err(Error::Read { source, .. }) if source.is_absent() => Ok(()),
            Err(error) => Err(error),
        }
    }
}

impl Loaded {
    /// It alone, as a part of the chain.
    pub(crate) fn part(&self) -> Part {
        let (number, before) = (self.manifest.number.0, self.manifest.previous);
        Part { first: number, last: number, before, end: self.stored.digest }
    }

    pub(crate) fn head(&self) -> Head {
        Head { number: self.manifest.number, digest: self.stored.digest }
    }
}

/// A digest, or `none`.
fn text(digest: Option<Digest>) -> String {
    digest.map_or_else(|| "none".to_owned(), |digest| digest.to_string())
}

fn listed(meta: &ObjectMeta) -> Option<Listed> {
    let tag = meta.e_tag.as_deref().unwrap_or("-");
    let stamp = format!("{} {} {tag}", meta.size, meta.last_modified.to_rfc3339());
    version_number(&meta.location).map(|number| Listed { number, stamp })
}

/// The number in the name of a manifest; `None` for a name that is not 20 digits.
fn version_number(path: &Path) -> Option<VersionNumber> {
    let name = path.filename()?;
    let digits = name.len() == 20 && name.bytes().all(|b| b.is_ascii_digit());
    digits.then(|| name.parse().ok()).flatten().filter(|number| *number > 0).map(VersionNumber)
}

#[cfg(test)]
mod tests;
