//! Batches of a cursor, as the server sent them.

use futures::StreamExt;
use mongodb::raw_batch_cursor::{RawBatch, RawBatchCursor};

use super::{Error, Shown};
use crate::{
    raw::{self, kind},
    time::ClusterTime,
};

/// A cursor, batch by batch.
pub struct Batches {
    cursor: RawBatchCursor,
    place: String,
    command: String,
}

impl Batches {
    pub(super) fn new(cursor: RawBatchCursor, place: String, command: String) -> Self {
        Self { cursor, place, command }
    }

    /// The next batch; `None` at the cursor's end.
    ///
    /// # Errors
    /// [`Error::Command`], after which the cursor is of no use.
    pub async fn next(&mut self) -> Result<Option<Batch>, Error> {
        let failed = |source| Error::Command {
            place: self.place.clone(),
            command: self.command.clone(),
            source: Box::new(Shown(source)),
        };
        match self.cursor.next().await {
            None => Ok(None),
            Some(batch) => Ok(Some(Batch { batch: batch.map_err(failed)?, place: self.place.clone() })),
        }
    }

    /// All documents, up to the cursor's end, in memory: for lists that are short.
    ///
    /// # Errors
    /// As [`Self::next`] and [`Batch::documents`].
    pub async fn all(mut self) -> Result<Vec<Vec<u8>>, Error> {
        let mut all = Vec::new();
        while let Some(batch) = self.next().await? {
            for document in batch.documents()? {
                all.push(document?.to_vec());
            }
        }
        Ok(all)
    }
}

/// A reply with documents.
pub struct Batch {
    batch: RawBatch,
    place: String,
}

impl Batch {
    fn reply(&self) -> &[u8] {
        self.batch.as_raw_document().as_bytes()
    }

    fn damaged(&self, source: raw::Error) -> Error {
        Error::Damaged { place: self.place.clone(), source }
    }

    /// The error that something in it is not as it should be.
    pub fn strange(&self, what: &str) -> Error {
        Error::Reply { place: self.place.clone(), command: "a cursor".to_owned(), what: what.to_owned() }
    }

    fn cursor(&self) -> Result<&[u8], Error> {
        let found = raw::find(self.reply(), "cursor").map_err(|source| self.damaged(source))?;
        found.and_then(|cursor| cursor.document()).ok_or_else(|| self.strange("there is no cursor"))
    }

    /// Its documents, undecoded; an error is the last.
    ///
    /// # Errors
    /// [`Error::Reply`], [`Error::Damaged`].
    pub fn documents(&self) -> Result<impl Iterator<Item = Result<&[u8], Error>>, Error> {
        let cursor = self.cursor()?;
        let find = |name| raw::find(cursor, name).map_err(|source| self.damaged(source));
        let list = match find("firstBatch")? {
            Some(list) => Some(list),
            None => find("nextBatch")?,
        };
        let list = list.filter(|list| list.kind == kind::ARRAY).ok_or_else(|| self.strange("there is no batch"))?;
        Ok(raw::elements(list.value).map(|element| {
            let element = element.map_err(|source| self.damaged(source))?;
            element.document().ok_or_else(|| self.strange("an item of a batch is no document"))
        }))
    }

    /// What a stream goes on from behind this batch, a document.
    ///
    /// # Errors
    /// [`Error::Reply`], [`Error::Damaged`].
    pub fn resume_token(&self) -> Result<Option<&[u8]>, Error> {
        let found = raw::find(self.cursor()?, "postBatchResumeToken").map_err(|source| self.damaged(source))?;
        Ok(found.and_then(|token| token.document()))
    }

    /// The cluster's time when it was sent, the greatest that the server knew: nothing in the batch is newer. The
    /// operation's own time where it has none.
    ///
    /// # Errors
    /// [`Error::Reply`] where there is neither: the server keeps no log.
    pub fn time(&self) -> Result<ClusterTime, Error> {
        let find = |document, name| raw::find(document, name).map_err(|source| self.damaged(source));
        let gossip = find(self.reply(), "$clusterTime")?.and_then(|time| time.document());
        let cluster = match gossip {
            Some(time) => find(time, "clusterTime")?.and_then(|time| time.timestamp()),
            None => None,
        };
        let own = find(self.reply(), "operationTime")?.and_then(|time| time.timestamp());
        let latest = cluster.max(own).ok_or_else(|| self.strange("there is no cluster time"))?;
        Ok(ClusterTime::of_bits(latest))
    }
}
