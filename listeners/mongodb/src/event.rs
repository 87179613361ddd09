//! Change events: what happened to which document or collection, and where it stands in the order of all.
//!
//! An event is kept as the server gave it; here it is read. Shapes are those of "Change Events" of the manual, with
//! `showExpandedEvents`, servers 6.0 to 8.0. A kind of event that is not known stops the capture by its name: nobody
//! could tell what it did.

use crate::{
    key::Id,
    raw::{self, kind},
    time::{ClusterTime, Position},
    token,
};

/// Kinds of events that change collections, not documents.
const CATALOG: [&str; 12] = [
    "create",
    "createIndexes",
    "dropIndexes",
    "modify",
    "rename",
    "drop",
    "dropDatabase",
    "shardCollection",
    "reshardCollection",
    "refineCollectionShardKey",
    "startIndexBuild",
    "abortIndexBuild",
];

/// Why an event cannot be read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// It is no document.
    #[error("a change event is damaged")]
    Damaged(#[from] raw::Error),
    /// A field is missing or of another type.
    #[error("a change event of kind {kind:?} without a {field} that can be read")]
    Field {
        /// Its kind.
        kind: String,
        /// The field.
        field: &'static str,
    },
    /// Its resume token cannot be read.
    #[error("a change event's token")]
    Token(#[from] token::Error),
    /// A kind of event that this build does not know.
    #[error("change event {0:?} is not known to this build")]
    Unknown(String),
}

/// What happened to a document.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Change {
    /// It is this: inserted or replaced.
    Whole(Vec<u8>),
    /// It changed in part: the event's `updateDescription`.
    Delta(Vec<u8>),
    /// It is gone.
    Gone,
}

/// What an event is about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Subject {
    /// A document.
    Document {
        /// Its `_id`.
        id: Id,
        /// What happened.
        change: Change,
    },
    /// A collection, or all of a database.
    Catalog {
        /// What happened, the event's own word.
        what: String,
        /// The new name, where it was renamed.
        to: Option<Namespace>,
    },
}

/// A collection's name.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Namespace {
    /// Database.
    pub database: String,
    /// Collection; empty where the whole database is meant.
    pub collection: String,
}

impl Namespace {
    /// True where what happened to this, a collection or all of a database, happened to `other`.
    pub fn touches(&self, other: &Self) -> bool {
        self.database == other.database && (self.collection.is_empty() || self == other)
    }
}

/// An event, read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Event {
    /// Where it stands.
    pub at: Position,
    /// What it happened to.
    pub namespace: Namespace,
    /// UUID of the collection, where the event says it.
    pub uuid: Option<[u8; 16]>,
    /// What happened.
    pub subject: Subject,
}

impl Event {
    /// Reads an event.
    ///
    /// # Errors
    /// [`Error`].
    pub fn read(event: &[u8]) -> Result<Self, Error> {
        let what = raw::find(event, "operationType")?.and_then(|kind| kind.text()).unwrap_or_default();
        let missing = |field| Error::Field { kind: what.to_owned(), field };
        let time =
            raw::find(event, "clusterTime")?.and_then(|time| time.timestamp()).ok_or_else(|| missing("clusterTime"))?;
        let token = raw::find(event, "_id")?.and_then(|id| id.document()).ok_or_else(|| missing("_id"))?;
        let at = Position { time: ClusterTime::of_bits(time), place: token::read(token)?.place };
        let namespace = namespace(event, "ns")?.ok_or_else(|| missing("ns"))?;
        let subject = match what {
            "insert" | "replace" => document(event, Change::Whole(inner(event, "fullDocument", what)?.to_vec()), what)?,
            "update" => document(event, Change::Delta(inner(event, "updateDescription", what)?.to_vec()), what)?,
            "delete" => document(event, Change::Gone, what)?,
            known if CATALOG.contains(&known) => {
                Subject::Catalog { what: known.to_owned(), to: self::namespace(event, "to")? }
            }
            other => return Err(Error::Unknown(other.to_owned())),
        };
        Ok(Self { at, namespace, uuid: uuid(event)?, subject })
    }
}

fn document(event: &[u8], change: Change, what: &str) -> Result<Subject, Error> {
    let key = inner(event, "documentKey", what)?;
    let id = raw::find(key, "_id")?.ok_or_else(|| Error::Field { kind: what.to_owned(), field: "documentKey._id" })?;
    Ok(Subject::Document { id: id.into(), change })
}

fn inner<'a>(event: &'a [u8], field: &'static str, what: &str) -> Result<&'a [u8], Error> {
    let found = raw::find(event, field)?.filter(|element| element.kind == kind::DOCUMENT);
    found.map(|element| element.value).ok_or_else(|| Error::Field { kind: what.to_owned(), field })
}

fn namespace(event: &[u8], field: &str) -> Result<Option<Namespace>, raw::Error> {
    let Some(name) = raw::find(event, field)?.and_then(|name| name.document()) else { return Ok(None) };
    let text = |part| Ok(raw::find(name, part)?.and_then(|part| part.text()).map(str::to_owned));
    let (database, collection) = (text("db")?, text("coll")?);
    Ok(database.map(|database| Namespace { database, collection: collection.unwrap_or_default() }))
}

fn uuid(event: &[u8]) -> Result<Option<[u8; 16]>, raw::Error> {
    let found = raw::find(event, "collectionUUID")?;
    Ok(found.and_then(|uuid| uuid.binary()).and_then(|bytes| bytes.try_into().ok()))
}

#[cfg(test)]
pub(crate) mod samples;
#[cfg(test)]
mod tests;
