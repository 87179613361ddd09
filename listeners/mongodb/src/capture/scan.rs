//! The scan of a collection: in the order of its `_id` index, run by run, each with the bracket of times in which it was read.
//!
//! Each run has a cursor of its own. The bracket begins with a time before which all events had been given when the cursor was opened,
//! and nothing older is read; it ends with the cluster's time of the last batch. What a server put into a batch, and when, does not
//! matter. A time that a server only says is no beginning: on the stand-in writes show that are before it and were not there.

use tidemark_catalog::opaque::Opaque;
use tidemark_listener_core::failure::Failure;

use super::journal::{Journal, RunFile, Scanned};
use crate::{
    codes::CAPTURE,
    connect::{Batch, Error, Said, Server},
    describe::Listed,
    key::Id,
    raw::{Builder, kind},
    staged::{Holds, Run},
    time::ClusterTime,
};

/// Bytes of documents in a run.
const RUN_BYTES: usize = 8 << 20;

/// Documents of a batch at most: a batch is in memory as a whole.
const BATCH_DOCUMENTS: i32 = 1_000;

/// A scan of a collection under a name, so far.
pub(super) struct Scan {
    uuid: String,
    attempt: u32,
    pieces: u32,
    /// What was read.
    pub(super) files: Vec<RunFile>,
    reached: Option<Id>,
    /// First and last time of all of it.
    pub(super) bracket: Option<(ClusterTime, ClusterTime)>,
    /// True where the collection was read to its end.
    pub(super) over: bool,
}

impl Scan {
    /// The scan of an attempt, with what earlier runs stored of it.
    pub(super) async fn recall(journal: &Journal, uuid: &str, attempt: u32) -> Result<Self, Failure> {
        let mut scan = Self {
            uuid: uuid.to_owned(),
            attempt,
            pieces: 0,
            files: Vec::new(),
            reached: None,
            bracket: None,
            over: false,
        };
        while let Some(piece) = journal.recall::<Scanned>(&scan.name(scan.pieces)).await? {
            scan.take(piece);
        }
        Ok(scan)
    }

    /// A scan that came to its end, of nothing.
    #[cfg(test)]
    pub(super) fn whole(uuid: &str, from: ClusterTime, until: ClusterTime) -> Self {
        let (uuid, files, bracket) = (uuid.to_owned(), Vec::new(), Some((from, until)));
        Self { uuid, attempt: 0, pieces: 1, files, reached: None, bracket, over: true }
    }

    fn name(&self, piece: u32) -> String {
        format!("scan-{}-{}-{piece:08}", self.uuid, self.attempt)
    }

    /// Of which collection.
    pub(super) fn uuid(&self) -> &str {
        &self.uuid
    }

    /// Which attempt it is.
    pub(super) fn attempt(&self) -> u32 {
        self.attempt
    }

    fn take(&mut self, piece: Scanned) {
        let Scanned { file, reached, from, until, over } = piece;
        self.pieces += 1;
        self.files.extend(file);
        self.reached = Id::from_bytes(reached.as_bytes()).or(self.reached.take());
        let (first, last) = self.bracket.unwrap_or((from, until));
        self.bracket = Some((first.min(from), last.max(until)));
        self.over = over;
    }

    /// Reads one run, of nothing older than `now`, and stores it. Where the collection is not there, or went away while it was read,
    /// the scan stays as it is, and false is the answer.
    pub(super) async fn piece(
        &mut self,
        server: &Server,
        listed: &Listed,
        journal: &Journal,
        now: ClusterTime,
    ) -> Result<bool, Failure> {
        let Collected { documents, until, over } = match self.collect(server, listed, now).await {
            Ok(collected) => collected,
            Err(error) if matches!(error.said(), Said::Interrupted | Said::NoCollection) => return Ok(false),
            Err(error) => return Err(error.coded(CAPTURE)),
        };
        let reached = documents.last().map(|(id, _)| Opaque::new(id.to_bytes())).unwrap_or_default();
        let file = match documents.is_empty() {
            true => None,
            false => Some(self.store(journal, documents, Holds::Scan { from: now, until }).await?),
        };
        let piece = Scanned { file, reached, from: now, until, over };
        journal.note(&self.name(self.pieces), &piece).await?;
        self.take(piece);
        Ok(true)
    }

    /// Documents of one run.
    async fn collect(&self, server: &Server, listed: &Listed, now: ClusterTime) -> Result<Collected, Error> {
        let mut batches = server.cursor(&listed.namespace.database, self.command(listed, now), None).await?;
        let (mut collected, mut bytes) = (Collected { documents: Vec::new(), until: now, over: false }, 0);
        while bytes < RUN_BYTES {
            let Some(batch) = batches.next().await? else {
                collected.over = true;
                break;
            };
            collected.until = collected.until.max(batch.time()?);
            bytes += self.add(&batch, &mut collected.documents)?;
        }
        Ok(collected)
    }

    fn command(&self, listed: &Listed, now: ClusterTime) -> Vec<u8> {
        let concern = Builder::default()
            .text("level", "majority")
            .with(kind::TIMESTAMP, b"afterClusterTime", &now.bits().to_le_bytes())
            .finish();
        let command = Builder::default()
            .text("find", &listed.namespace.collection)
            .document("hint", &Builder::default().int("_id", 1).finish())
            .int("batchSize", BATCH_DOCUMENTS)
            .document("readConcern", &concern);
        // A bound of the index, not a condition: a condition would hold only for ids of the same type.
        match &self.reached {
            None => command.finish(),
            Some(reached) => {
                let mut bound = Builder::default();
                bound.push(reached.element("_id"));
                command.document("min", &bound.finish()).finish()
            }
        }
    }

    /// Adds the documents of a batch, but for the one that was reached before: the bound is included. Gives their bytes.
    fn add(&self, batch: &Batch, documents: &mut Vec<(Id, Vec<u8>)>) -> Result<usize, Error> {
        let mut bytes = 0;
        for document in batch.documents()? {
            let document = document?;
            let id = Id::of(document).map_err(|error| batch.strange(&error.to_string()))?;
            if self.reached.as_ref() != Some(&id) {
                bytes += document.len();
                documents.push((id, document.to_vec()));
            }
        }
        Ok(bytes)
    }

    async fn store(&self, journal: &Journal, documents: Vec<(Id, Vec<u8>)>, holds: Holds) -> Result<RunFile, Failure> {
        let keyed = |(id, document): (Id, Vec<u8>)| match id.sort_bytes() {
            Ok(key) => Ok((Opaque::new(key), document)),
            Err(error) => Err(Failure::new(CAPTURE, format!("document {id}: {error}"))),
        };
        let mut keyed = documents.into_iter().map(keyed).collect::<Result<Vec<_>, _>>()?;
        // A collation orders otherwise than keys do.
        keyed.sort_by(|a, b| a.0.cmp(&b.0));
        let end = |document: Option<&(Opaque, Vec<u8>)>| document.map(|(key, _)| key.clone()).unwrap_or_default();
        let name = format!("scan-{}-{:08}", self.attempt, self.pieces);
        let run = Run { name, holds, first: end(keyed.first()), last: end(keyed.last()), count: keyed.len() as u64 };
        journal.file(&self.uuid, run, keyed.into_iter().flat_map(|(_, document)| document).collect()).await
    }
}

struct Collected {
    documents: Vec<(Id, Vec<u8>)>,
    until: ClusterTime,
    over: bool,
}
