//! What became of a version after its commit: expired, held, collected.
//!
//! A version's manifest never changes. What is decided about it later is a chain of small documents beside it, numbered from 1
//! without holes, each the whole state; the highest number counts, and a version without any is a plain one. Every change reads
//! the newest, applies its rule and creates the next number: undoing an expiry, holding and collecting compete for one name that
//! can be created once, so that never two of them win. Whoever loses reads again and applies the rule anew.
//!
//! A crash before the create changes nothing, one after it leaves the new state; run again, the same change finds it made.

use std::{collections::BTreeMap, sync::Arc};

use futures::{StreamExt, TryStreamExt, stream};
use jiff::Timestamp;
use object_store::{ObjectStore, path::Path};
use serde::{Deserialize, Serialize};
use tidemark_gateway::Env;

use crate::{
    document::{self, Document},
    ids::{FencingToken, SetId, SourceId, VersionId, VersionNumber},
    layout,
};

mod change;
mod error;

pub use change::Change;
pub(crate) use change::after;
pub use error::{Error, Refusal};

/// Records that are read at a time.
const READS_AT_A_TIME: usize = 16;

/// What became of a version; the default is a plain, visible one.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct VersionState {
    /// Hidden, and collected after a grace, unless somebody undoes it; kept once collected.
    pub expired: Option<Decision>,
    /// Kept, whatever retention says.
    pub hold: Option<Decision>,
    /// Given up for ever: it cannot be read any more, whether or not its objects are deleted yet.
    pub collected: bool,
    /// Number of the record, from 1; 0 where there is none.
    pub revision: u64,
    /// The record's time by the store's own clock: since when it is so. `None` where there is none, or where it was written just
    /// now by this call.
    pub since: Option<Timestamp>,
}

impl VersionState {
    /// Whether readers list it: it is neither expired nor collected.
    pub fn is_visible(&self) -> bool {
        self.expired.is_none() && !self.collected
    }
}

/// Who decided something about a version, when and why. All of it is for people: it orders nothing.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Decision {
    /// Wall time of the node that wrote it.
    pub at: Timestamp,
    /// An operator or a policy.
    pub by: String,
    /// Why.
    pub reason: String,
}

/// Who changes a state.
#[derive(Clone, Copy, Debug)]
pub struct By<'a> {
    /// The token of their claim; recorded, and compared with nothing: the create-only name decides.
    pub token: FencingToken,
    /// An operator or a policy, for people.
    pub who: &'a str,
    /// Clock and randomness.
    pub env: &'a Env,
}

/// One state, as it is stored.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Record {
    source: SourceId,
    set: SetId,
    number: VersionNumber,
    token: FencingToken,
    /// 16 random bytes, hexadecimal: tells an own write that landed from another's.
    nonce: String,
    expired: Option<Decision>,
    hold: Option<Decision>,
    collected: bool,
}

impl Document for Record {
    const KIND: &'static str = "version-state";
}

/// The newest record of a version, as the store lists it, unread. A record never changes, so that whoever has read it once need
/// not do so again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Listed {
    /// Its number, from 1.
    pub revision: u64,
    /// Its time by the store's own clock.
    pub since: Timestamp,
}

/// States of a set, those that can be read and those that cannot.
#[derive(Debug, Default)]
pub struct AllStates {
    /// States by version; a version that is not here is a plain one.
    pub known: BTreeMap<VersionNumber, VersionState>,
    /// Versions whose newest record cannot be read, with the reason; the others are not touched by it.
    pub damaged: BTreeMap<VersionNumber, Error>,
}

/// The states of the versions of one set. Cheap to clone.
#[derive(Clone, Debug)]
pub struct VersionStates {
    store: Arc<dyn ObjectStore>,
    source: SourceId,
    set: SetId,
}

impl VersionStates {
    /// The states of `set` of `source`; makes no request.
    pub fn new(store: Arc<dyn ObjectStore>, source: SourceId, set: SetId) -> Self {
        Self { store, source, set }
    }

    /// The newest record of every version that has any, by one listing.
    ///
    /// # Errors
    /// [`Error::List`].
    pub async fn listed(&self) -> Result<BTreeMap<VersionNumber, Listed>, Error> {
        let prefix = layout::states(&self.source, &self.set);
        let mut listing = self.store.list(Some(&prefix));
        let mut newest: BTreeMap<VersionNumber, Listed> = BTreeMap::new();
        while let Some(meta) = listing.try_next().await.map_err(|source| self.list_failed(source))? {
            let Some((number, revision)) = parse(&prefix, &meta.location) else { continue };
            let listed = Listed { revision, since: store_time(&meta) };
            let known = newest.entry(number).or_insert(listed);
            if known.revision < revision {
                *known = listed;
            }
        }
        Ok(newest)
    }

    /// The greatest number from `first` on that has any record, by one listing; `None` where none has. A name alone tells of no number: the
    /// record is read.
    ///
    /// # Errors
    /// [`Error::List`]; [`Error::Record`], [`Error::Identity`] naming what lies there instead of a record.
    pub async fn last_from(&self, first: VersionNumber) -> Result<Option<VersionNumber>, Error> {
        let prefix = layout::states(&self.source, &self.set);
        let offset = Path::from(format!("{prefix}/{:020}", first.0));
        let mut listing = self.store.list_with_offset(Some(&prefix), &offset);
        let mut last = None;
        while let Some(meta) = listing.try_next().await.map_err(|source| self.list_failed(source))? {
            let Some((number, revision)) = parse(&prefix, &meta.location) else { continue };
            if last.is_none_or(|last| last < (number, revision)) {
                last = Some((number, revision));
            }
        }
        let Some((number, revision)) = last else { return Ok(None) };
        self.read(number, Listed { revision, since: Timestamp::UNIX_EPOCH }).await?;
        Ok(Some(number))
    }

    /// The state of every version that has a record, by version: one listing, and the newest record of each is read.
    ///
    /// # Errors
    /// [`Error::List`]; [`Error::Record`] for the first one that cannot be read (use [`survey`](Self::survey) for the others).
    pub async fn all(&self) -> Result<BTreeMap<VersionNumber, VersionState>, Error> {
        let AllStates { known, damaged } = self.survey(|_| true).await?;
        match damaged.into_values().next() {
            Some(error) => Err(error),
            None => Ok(known),
        }
    }

    /// The states of the versions that are `wanted`, those that can be read and those that cannot.
    ///
    /// # Errors
    /// [`Error::List`]; [`Error::Record`] where the store fails, and so says nothing about a record.
    pub async fn survey(&self, wanted: impl Fn(VersionNumber) -> bool) -> Result<AllStates, Error> {
        let listed = self.listed().await?.into_iter().filter(|(number, _)| wanted(*number));
        let mut reads = Vec::new();
        for (number, listed) in listed {
            reads.push(async move { (number, self.read(number, listed).await) });
        }
        let mut reads = stream::iter(reads).buffer_unordered(READS_AT_A_TIME);
        let mut all = AllStates::default();
        while let Some((number, read)) = reads.next().await {
            match read {
                Ok(state) => drop(all.known.insert(number, state)),
                Err(error) if error.is_of_the_store() => return Err(error),
                Err(error) => drop(all.damaged.insert(number, error)),
            }
        }
        Ok(all)
    }

    /// The state of one version.
    ///
    /// # Errors
    /// [`Error::List`], [`Error::Record`].
    pub async fn get(&self, number: VersionNumber) -> Result<VersionState, Error> {
        let prefix = layout::states(&self.source, &self.set);
        let folder = Path::from(format!("{prefix}/{:020}", number.0));
        let mut listing = self.store.list(Some(&folder));
        let mut newest: Option<Listed> = None;
        while let Some(meta) = listing.try_next().await.map_err(|source| self.list_failed(source))? {
            let Some((of, revision)) = parse(&prefix, &meta.location) else { continue };
            if of == number && newest.is_none_or(|newest| newest.revision < revision) {
                newest = Some(Listed { revision, since: store_time(&meta) });
            }
        }
        match newest {
            Some(listed) => self.read(number, listed).await,
            None => Ok(VersionState::default()),
        }
    }

    /// The state in the record that was listed.
    ///
    /// # Errors
    /// [`Error::Record`] naming it.
    pub async fn read(&self, number: VersionNumber, listed: Listed) -> Result<VersionState, Error> {
        let path = layout::state(&self.source, &self.set, number, listed.revision);
        let record = document::read_unchecked::<Record>(&self.store, &path).await;
        let record = record.map_err(|source| Error::Record { path: path.clone(), source })?;
        if record.source != self.source || record.set != self.set || record.number != number {
            let found = format!("{}.{}.{}", record.source, record.set, record.number);
            return Err(Error::Identity { path, found });
        }
        let Record { expired, hold, collected, .. } = record;
        Ok(VersionState { expired, hold, collected, revision: listed.revision, since: Some(listed.since) })
    }

    /// Applies `change` to the state of version `number` and gives the state that is stored then. A change that is made already
    /// writes nothing.
    ///
    /// # Errors
    /// [`Error::Refused`] where the rule forbids it; [`Error::Write`]; as [`get`](Self::get).
    pub async fn change(&self, number: VersionNumber, change: &Change, by: By<'_>) -> Result<VersionState, Error> {
        let mut taken = None;
        loop {
            let before = self.get(number).await?;
            if let Some(revision) = taken.filter(|taken| before.revision < *taken) {
                let path = layout::state(&self.source, &self.set, number, revision);
                return Err(Error::ListingLags { path });
            }
            let refused = |refusal| Error::Refused { version: self.id(number), refusal };
            let Some(after) = change.apply(&before, by).map_err(refused)? else { return Ok(before) };
            if self.create(number, &after, by).await? {
                return Ok(after);
            }
            taken = Some(after.revision);
            tracing::debug!(version = %self.id(number), "another change was first: the rule is applied anew");
        }
    }

    /// Creates the record; false where its name holds another one.
    async fn create(&self, number: VersionNumber, state: &VersionState, by: By<'_>) -> Result<bool, Error> {
        let record = Record {
            source: self.source.clone(),
            set: self.set.clone(),
            number,
            token: by.token,
            nonce: hex::encode(by.env.random::<16>()),
            expired: state.expired.clone(),
            hold: state.hold.clone(),
            collected: state.collected,
        };
        let path = layout::state(&self.source, &self.set, number, state.revision);
        match document::write(&self.store, &path, &record).await {
            Ok(_) => Ok(true),
            Err(error) if error.is_taken() => Ok(false),
            Err(source) => Err(Error::Write { path, source }),
        }
    }

    fn id(&self, number: VersionNumber) -> VersionId {
        VersionId { source: self.source.clone(), set: self.set.clone(), number }
    }

    fn list_failed(&self, source: object_store::Error) -> Error {
        Error::List { source_id: self.source.clone(), set: self.set.clone(), source }
    }
}

/// The store's own time of an object, whole microseconds.
pub(crate) fn store_time(meta: &object_store::ObjectMeta) -> Timestamp {
    Timestamp::from_microsecond(meta.last_modified.timestamp_micros()).unwrap_or(Timestamp::MAX)
}

/// Version and revision in the name of a record; `None` for a foreign name.
fn parse(prefix: &Path, path: &Path) -> Option<(VersionNumber, u64)> {
    let (number, revision) = path.as_ref().strip_prefix(prefix.as_ref())?.strip_prefix('/')?.split_once('/')?;
    Some((VersionNumber(layout::digits(number, 20)?), layout::digits(revision, 10)?))
}

#[cfg(test)]
mod tests;
