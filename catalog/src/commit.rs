//! The commit of a version: one create-only object.
//!
//! 1. The end of the chain is found by listing, and its last manifest verified. A last manifest with a higher token than
//!    the claim's means that the claim was overtaken: nothing is written.
//!    Nothing else may tell of a later number (`crate::chain::told`): it was given before, and is lost.
//! 2. The next manifest carries the digest of the last one and a fresh nonce, and is created under the next number. The
//!    store lets only one creator win.
//! 3. Any answer but success is read back. The same bytes: committed. Absent: the same bytes are tried again while the
//!    claim holds. Other bytes: someone else was first, and everything starts again from the new end.
//!
//! A crash before the create leaves no version; a crash after it leaves the version, and running the task again finds it by
//! its task id and gives it back, so a task commits at most once. A create without an answer that lands late can at most
//! fill the one free number with a valid manifest of the same task; it never replaces one.

mod behind;

use std::time::Duration;

use bytes::Bytes;
use jiff::Timestamp;
use tidemark_gateway::{
    Digest, Env,
    backoff::{self, Jitter},
    pause, upload,
};

use crate::{
    chain::{self, Head, Loaded, VersionSet},
    document,
    entry::Cut,
    ids::{FencingToken, VersionNumber},
    manifest::{Holds, Manifest},
    states,
    stored::StoredRef,
};

/// Versions back from the end among which a manifest of the same task is looked for; numbers without a version do not count. A task
/// that was interrupted runs again before the set moves on by so many versions.
pub const RECENT_VERSIONS: u64 = 32;

/// Numbers back from the end among which a manifest of the same task is looked for at most, those without a version too.
const RECENT_NUMBERS: u64 = 256;

pub(crate) use behind::{Behind, Search};

/// How long a commit waits.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Patience {
    /// Longest time of one try to create a manifest.
    pub(crate) create: Duration,
    /// Longest wait before the same bytes are tried again.
    pub(crate) pause: Duration,
}

impl Default for Patience {
    fn default() -> Self {
        Self { create: Duration::from_secs(5), pause: Duration::from_millis(200) }
    }
}

/// Greatest manifest, bytes: it is written by a single put.
const MANIFEST_BYTES: usize = 4 << 20;

/// The right to commit to a version set, as far as its holder knows.
pub trait Claim: Send + Sync {
    /// Orders this claim among all of the set.
    fn token(&self) -> FencingToken;

    /// Whether the claim still holds, with the margin that a request needs. A hint: what protects the chain is the token in
    /// the manifests and the create-only number.
    fn holds(&self) -> bool;
}

/// What a task wants to commit; number, link, token and nonce are found at the commit.
#[derive(Clone, Debug, PartialEq)]
pub struct ManifestDraft {
    /// The task; commits at most once.
    pub task: String,
    /// Name of the node that writes it.
    pub node: String,
    /// What the number is to hold; all that it names is stored.
    pub holds: Holds,
    /// Refuses to follow a version whose cut began after this one's ended, whatever barriers lie between: what was captured long ago must
    /// not look newest.
    pub in_order: bool,
}

/// Why a version was not committed.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The end of the chain cannot be read.
    #[error("find the end of the chain")]
    Chain(#[from] chain::Error),
    /// A later claim has committed already; this one may not.
    #[error("claim {mine} is fenced: version {number} was committed under {theirs}")]
    Fenced {
        /// Token of this claim.
        mine: FencingToken,
        /// Token of the last manifest.
        theirs: FencingToken,
        /// Its number.
        number: VersionNumber,
    },
    /// A version with a later cut was committed meanwhile.
    #[error("version {number} was committed meanwhile, and its cut began after this one's ended")]
    Overtaken {
        /// The newer version.
        number: VersionNumber,
    },
    /// A number is taken that the store does not list: its listings lag behind its writes, and prove nothing.
    #[error("number {number} of the set is taken, and the store does not list it: its listings lag behind its writes")]
    ListingLags {
        /// The number.
        number: VersionNumber,
    },
    /// The claim ended before the version was known to be committed. It may still be: a later run of the task finds it.
    #[error("claim {token} ended before version {number} was committed")]
    ClaimLost {
        /// Token of this claim.
        token: FencingToken,
        /// The number that was tried.
        number: VersionNumber,
    },
    /// The manifest has no stored form.
    #[error("encode the manifest")]
    Encode(#[source] document::Error),
    /// The manifest is too large for a single put.
    #[error("the manifest has {found} bytes, more than {MANIFEST_BYTES}")]
    TooLarge {
        /// Its bytes.
        found: usize,
    },
    /// A version that is given up cannot be hidden.
    #[error("hide version {number}, which is another one than was committed")]
    Hide {
        /// The version.
        number: VersionNumber,
        /// Why.
        source: states::Error,
    },
    /// The store refused the manifest, or whether it holds it cannot be found out.
    #[error("write the manifest of version {number}")]
    Write {
        /// The number that was tried.
        number: VersionNumber,
        /// Why.
        source: upload::Error,
    },
}

impl Error {
    /// Whether the same task may succeed later under the same claim.
    pub fn is_retryable(&self) -> bool {
        match self {
            Self::Chain(source) => source.is_retryable(),
            Self::Write { source, .. } => source.is_retryable(),
            Self::Hide { source, .. } => source.is_retryable(),
            Self::ListingLags { .. } => true,
            _ => false,
        }
    }
}

/// Which numbers a commit may give.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Numbers {
    /// Those of which nothing tells yet.
    New,
    /// Those too that were given before and are lost: for what holds no version, and is gone whatever is said of its number.
    Lost,
}

pub(crate) async fn commit(
    set: &VersionSet,
    draft: &ManifestDraft,
    claim: &dyn Claim,
    env: &Env,
    numbers: Numbers,
) -> Result<(Manifest, StoredRef), Error> {
    let (mut behind, mut taken) = (Behind::default(), None);
    loop {
        let end = set.end().await?;
        refuse_lagging(taken, end.as_ref().map(|end| end.manifest.number))?;
        behind = behind.look(set, &Search::of(draft, claim), end.as_ref()).await?;
        if let Some(done) = behind.done {
            return Ok((done.manifest, done.stored));
        }
        refuse_fenced(claim, end.as_ref())?;
        refuse_overtaken(draft, &behind)?;
        if numbers == Numbers::New
            && let Some(told) = set.beyond(end.as_ref().map(|end| end.manifest.number)).await?
        {
            taken = Some(told);
            continue;
        }
        let manifest = next_manifest(set, draft, claim.token(), end.as_ref().map(Loaded::head), env);
        if let Some(stored) = create(set, &manifest, claim).await? {
            return Ok((manifest, stored));
        }
        taken = Some(manifest.number);
    }
}

/// Refuses an end below a number that was seen to be taken.
///
/// # Errors
/// [`Error::ListingLags`].
pub(crate) fn refuse_lagging(taken: Option<VersionNumber>, end: Option<VersionNumber>) -> Result<(), Error> {
    match taken.filter(|taken| end < Some(*taken)) {
        Some(number) => Err(Error::ListingLags { number }),
        None => Ok(()),
    }
}

fn refuse_fenced(claim: &dyn Claim, end: Option<&Loaded>) -> Result<(), Error> {
    match end {
        Some(Loaded { manifest, .. }) if manifest.token > claim.token() => {
            Err(Error::Fenced { mine: claim.token(), theirs: manifest.token, number: manifest.number })
        }
        _ => Ok(()),
    }
}

fn refuse_overtaken(draft: &ManifestDraft, behind: &Behind) -> Result<(), Error> {
    let own = cut(&draft.holds).filter(|_| draft.in_order);
    match own.and_then(|own| behind.overtakes(own)) {
        Some(number) => Err(Error::Overtaken { number }),
        None => Ok(()),
    }
}

fn cut(holds: &Holds) -> Option<&Cut> {
    match holds {
        Holds::Version(version) => version.cut.as_ref(),
        Holds::Barrier(_) => None,
    }
}

/// The manifest that follows `end`.
pub(crate) fn next_manifest(
    set: &VersionSet,
    draft: &ManifestDraft,
    token: FencingToken,
    end: Option<Head>,
    env: &Env,
) -> Manifest {
    let draft = draft.clone();
    Manifest {
        source: set.source.clone(),
        set: set.set.clone(),
        number: VersionNumber(end.map_or(0, |end| end.number.0) + 1),
        previous: end.map(|end| end.digest),
        token,
        nonce: hex::encode(env.random::<16>()),
        task: draft.task,
        node: draft.node,
        committed: whole_microseconds(env.now()),
        holds: draft.holds,
        authenticator: None,
    }
}

/// Wall times in manifests have microseconds, as the sources' own.
fn whole_microseconds(time: Timestamp) -> Timestamp {
    Timestamp::from_microsecond(time.as_microsecond()).unwrap_or(time)
}

/// Creates the manifest; `None` where its number holds another one.
pub(crate) async fn create(
    set: &VersionSet,
    manifest: &Manifest,
    claim: &dyn Claim,
) -> Result<Option<StoredRef>, Error> {
    let (path, number) = (set.path(manifest.number), manifest.number);
    let bytes = encode(set, manifest)?;
    let lost = || Error::ClaimLost { token: claim.token(), number };
    loop {
        if !claim.holds() {
            return Err(lost());
        }
        pause::point("before-manifest");
        let tried = upload::try_create(&set.store, &path, &bytes, set.patience.create).await;
        pause::point("after-manifest");
        match tried.map_err(|source| Error::Write { number, source })? {
            upload::Attempt::Stored(stored) => {
                return Ok(Some(StoredRef::new(&path, stored)));
            }
            upload::Attempt::Taken => return Ok(None),
            upload::Attempt::Absent(source) if !source.is_retryable() => return Err(Error::Write { number, source }),
            upload::Attempt::Absent(error) => tracing::debug!(%path, %error, "manifest is absent, try the same again"),
        }
        tokio::time::sleep(jitter(manifest, set.patience.pause)).await;
    }
}

fn encode(set: &VersionSet, manifest: &Manifest) -> Result<Bytes, Error> {
    let bytes = document::encode(&set.path(manifest.number), manifest).map_err(Error::Encode)?;
    if bytes.len() > MANIFEST_BYTES { Err(Error::TooLarge { found: bytes.len() }) } else { Ok(bytes) }
}

/// Writers that meet on one number are spread by their nonces.
fn jitter(manifest: &Manifest, longest: Duration) -> Duration {
    let noise = Digest::of(manifest.nonce.as_bytes()).noise();
    backoff::wait(longest, longest, 0, Jitter::Full(noise)) + Duration::from_millis(1)
}

#[cfg(test)]
mod tests;
