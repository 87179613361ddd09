//! Marks: names of stored objects that collection is going to delete, and that no writer may refer to any more.
//!
//! Marks are stored in rounds, numbered from 1. A round is pages of names and, written last and create-only, a head; without its
//! head it never was. Only the round with the highest head counts, and the next one is made when it was swept; so what a
//! collector that was frozen writes late is either the next round, or refused, or below the one that counts.
//!
//! **A writer reads the marks after it has its token and has stored its work root, and looks whether what it refers to is still
//! there after that.** In this order it knows of every mark that a collector may act on while its token is not fenced: see
//! [`crate::collect`].
//!
//! When a round was swept, a record says so and its pages are deleted; its head stays until the next one is there.

use std::{collections::HashSet, sync::Arc};

use futures::TryStreamExt;
use jiff::Timestamp;
use object_store::{ObjectStore, path::Path};
use serde::{Deserialize, Serialize};

use crate::{
    document::{self, Document},
    ids::{FencingToken, SetId, SourceId, VersionNumber},
    layout,
    states::store_time,
    stored::StoredRef,
};

mod gone;
mod key;
mod writer;

pub use gone::Gone;
pub(crate) use key::Key;
pub(crate) use writer::Writer;

/// Most names of a page.
pub const PAGE_NAMES: usize = 8192;

/// How often a reader begins again because a round was swept meanwhile.
const READS: u32 = 8;

/// Why marks cannot be read or written.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The store cannot list the rounds.
    #[error("list marks of source {source_id}")]
    List {
        /// The protected system.
        source_id: SourceId,
        /// Why.
        source: object_store::Error,
    },
    /// A head, a page or the record of a sweep cannot be read or written.
    #[error(transparent)]
    Document(#[from] document::Error),
    /// A head is not what its name says.
    #[error("marks {path} are damaged: they say they are of source {found}")]
    Identity {
        /// The head.
        path: Path,
        /// Source and round inside it.
        found: String,
    },
    /// Rounds were swept faster than they could be read.
    #[error("marks of source {source_id} changed each time they were read")]
    Restless {
        /// The protected system.
        source_id: SourceId,
    },
}

impl Error {
    /// Whether the store failed, and so says nothing about what is there.
    pub fn is_of_the_store(&self) -> bool {
        match self {
            Self::List { .. } | Self::Restless { .. } => true,
            Self::Document(source) => source.is_of_the_store(),
            Self::Identity { .. } => false,
        }
    }

    /// Whether the same call may succeed later.
    pub fn is_retryable(&self) -> bool {
        match self {
            Self::List { source, .. } => tidemark_gateway::retry::is_transient(source),
            Self::Document(source) => source.is_retryable(),
            Self::Identity { .. } => false,
            Self::Restless { .. } => true,
        }
    }
}

/// A round of marks that counts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Round {
    /// Its number, from 1.
    pub number: u64,
    /// Token of the claim that marked.
    pub token: FencingToken,
    /// Since when it is there, by the store's own clock.
    pub since: Timestamp,
    /// How many objects are marked.
    pub objects: u64,
    /// Their stored bytes.
    pub bytes: u64,
    /// True where all of it is deleted.
    pub swept: bool,
    pub(crate) head: Head,
}

impl Round {
    /// Whether a number of a set needs nothing any more: it holds no version, or one that was collected.
    pub fn is_gone(&self, set: &SetId, number: VersionNumber) -> bool {
        self.head.gone.contains(set, number)
    }

    /// The sets of which any number [is gone](Self::is_gone).
    pub fn sets(&self) -> impl Iterator<Item = &SetId> {
        self.head.gone.sets()
    }
}

/// What is marked of a source. Holds 16 bytes for each name, and a table of them: about 40 bytes.
#[derive(Clone, Debug, Default)]
pub struct Marked {
    round: Option<u64>,
    keys: HashSet<Key>,
}

impl Marked {
    /// Number of the round; `None` where nothing is marked.
    pub fn round(&self) -> Option<u64> {
        self.round
    }

    /// Whether nothing is marked.
    pub fn is_empty(&self) -> bool {
        self.keys.is_empty()
    }

    /// Whether the object of this name is marked, and must not be referred to.
    pub fn contains(&self, path: &Path) -> bool {
        self.keys.contains(&Key::of(path.as_ref()))
    }

    /// The first of `stored` that is marked.
    pub fn first<'a>(&self, stored: impl IntoIterator<Item = &'a StoredRef>) -> Option<&'a StoredRef> {
        stored.into_iter().find(|stored| self.contains(&stored.path()))
    }
}

/// The head of a round, as it is stored.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Head {
    pub(crate) source: SourceId,
    pub(crate) round: u64,
    pub(crate) token: FencingToken,
    /// 16 random bytes, hexadecimal: no two heads are alike.
    pub(crate) nonce: String,
    pub(crate) pages: Vec<StoredRef>,
    pub(crate) objects: u64,
    pub(crate) bytes: u64,
    /// Numbers whose manifests need nothing any more: collected versions that nobody had pinned, and barriers.
    pub(crate) gone: Gone,
}

impl Document for Head {
    const KIND: &'static str = "marks";
}

/// A page of names, as it is stored.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Page {
    /// 1 to [`PAGE_NAMES`], sorted.
    pub(crate) names: Vec<MarkedName>,
}

impl Document for Page {
    const KIND: &'static str = "marks-page";
}

/// One marked object.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct MarkedName {
    pub(crate) key: String,
    pub(crate) bytes: u64,
}

/// Says that a round was swept.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct SweptRecord {
    pub(crate) round: u64,
    pub(crate) token: FencingToken,
    pub(crate) objects: u64,
    pub(crate) bytes: u64,
}

impl Document for SweptRecord {
    const KIND: &'static str = "marks-swept";
}

/// What is marked of `source` and not known to be deleted. Where a round is swept while it is read, this begins again.
///
/// # Errors
/// [`Error`] by variant: of marks that cannot be read nothing is known, and a writer must not go on.
pub async fn read(store: &Arc<dyn ObjectStore>, source: &SourceId) -> Result<Marked, Error> {
    for _ in 0..READS {
        let Some(round) = newest(store, source).await?.filter(|round| !round.swept) else {
            return Ok(Marked::default());
        };
        match read_round(store, &round).await {
            Ok(keys) => return Ok(Marked { round: Some(round.number), keys }),
            Err(error) if error.is_absent() && is_over(store, source, &round).await? => {}
            Err(error) => return Err(error.into()),
        }
    }
    Err(Error::Restless { source_id: source.clone() })
}

async fn read_round(store: &Arc<dyn ObjectStore>, round: &Round) -> Result<HashSet<Key>, document::Error> {
    let mut keys = HashSet::with_capacity(usize::try_from(round.objects).unwrap_or(0).min(1 << 20));
    for page in &round.head.pages {
        let page: Page = document::read(store, page).await?;
        keys.extend(page.names.iter().map(|name| Key::of(&name.key)));
    }
    Ok(keys)
}

/// Whether the round was swept, or another one counts now.
async fn is_over(store: &Arc<dyn ObjectStore>, source: &SourceId, round: &Round) -> Result<bool, Error> {
    let now = newest(store, source).await?;
    Ok(now.is_none_or(|now| now.swept || now.number != round.number))
}

/// The round that counts; `None` where nothing was ever marked.
///
/// # Errors
/// [`Error`] by variant.
pub async fn newest(store: &Arc<dyn ObjectStore>, source: &SourceId) -> Result<Option<Round>, Error> {
    for _ in 0..READS {
        let Some(found) = highest(store, source).await? else { return Ok(None) };
        let path = layout::marks_head(source, found.number);
        match document::read_unchecked::<Head>(store, &path).await {
            Ok(head) => return round(source, found, head).map(Some),
            // The next round is there by now, and this one's head was deleted.
            Err(error) if error.is_absent() => {}
            Err(error) => return Err(error.into()),
        }
    }
    Err(Error::Restless { source_id: source.clone() })
}

fn round(source: &SourceId, found: Found, head: Head) -> Result<Round, Error> {
    if head.source != *source || head.round != found.number {
        let path = layout::marks_head(source, found.number);
        return Err(Error::Identity { path, found: format!("{}, round {}", head.source, head.round) });
    }
    let (number, token, objects, bytes) = (head.round, head.token, head.objects, head.bytes);
    Ok(Round { number, token, since: found.since, objects, bytes, swept: found.swept, head })
}

/// A head that is listed.
struct Found {
    number: u64,
    since: Timestamp,
    swept: bool,
}

async fn highest(store: &Arc<dyn ObjectStore>, source: &SourceId) -> Result<Option<Found>, Error> {
    let prefix = layout::marks(source);
    let failed = |error| Error::List { source_id: source.clone(), source: error };
    let (mut highest, mut swept) = (None::<Found>, HashSet::new());
    let mut listing = store.list(Some(&prefix));
    while let Some(meta) = listing.try_next().await.map_err(failed)? {
        match parse(&prefix, &meta.location) {
            Some((number, Part::Head)) if highest.as_ref().is_none_or(|found| found.number < number) => {
                highest = Some(Found { number, since: store_time(&meta), swept: false });
            }
            Some((number, Part::Swept)) => drop(swept.insert(number)),
            _ => {}
        }
    }
    Ok(highest.map(|found| Found { swept: swept.contains(&found.number), ..found }))
}

/// Part of a round.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Part {
    /// Its head.
    Head,
    /// Its record of the sweep.
    Swept,
    /// A page, of it or of a collector that never came to write the head.
    Page,
}

/// Round and part in a name below `prefix`; `None` for a foreign name.
pub(crate) fn parse(prefix: &Path, path: &Path) -> Option<(u64, Part)> {
    let (round, part) = path.as_ref().strip_prefix(prefix.as_ref())?.strip_prefix('/')?.split_once('/')?;
    let part = match part {
        "head" => Part::Head,
        "swept" => Part::Swept,
        page => layout::token_and_sequence(page).map(|_| Part::Page)?,
    };
    Some((layout::digits(round, 20)?, part))
}

#[cfg(test)]
mod tests;
