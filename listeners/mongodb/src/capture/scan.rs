//! The scan of a collection: in the order of its `_id` index, run by run, each with the bracket of times in which it
//! was read.
//!
//! Each run has a cursor of its own. The bracket begins with a time before which all events had been given when the
//! cursor was opened, and nothing older is read; it ends with the cluster's time of the last batch. What a server put
//! into a batch, and when, does not matter. A time that a server only says is no beginning: on the stand-in writes show
//! that are before it and were not there.

use tidemark_catalog::opaque::Opaque;
use tidemark_listener_core::failure::Failure;

use super::journal::{Journal, RunFile, Scanned};
use crate::{
    codes::CAPTURE,
    connect::{Error, Said, Server},
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
    /// The `_id` that two documents have: which of them a change is of, nobody can say.
    pub(super) twice: Option<Id>,
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
            twice: None,
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
        Self { uuid, attempt: 0, pieces: 1, files, reached: None, bracket, over: true, twice: None }
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

    /// Reads one run, of nothing older than `now`, and stores it. Where the collection is not there, went away while it
    /// was read, or has two documents of one `_id`, the scan stays as it is but for `twice`, and false is the answer.
    pub(super) async fn piece(
        &mut self,
        server: &Server,
        listed: &Listed,
        journal: &Journal,
        now: ClusterTime,
    ) -> Result<bool, Failure> {
        let Collected { documents, until, over } = match self.collect(server, listed, now).await {
            Ok(Ok(collected)) => collected,
            Ok(Err(twice)) => {
                self.twice = Some(twice);
                return Ok(false);
            }
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

    /// Documents of one run, or the `_id` that two of them have.
    async fn collect(
        &self,
        server: &Server,
        listed: &Listed,
        now: ClusterTime,
    ) -> Result<Result<Collected, Id>, Error> {
        let mut batches = server.cursor(&listed.namespace.database, self.command(listed, now), None).await?;
        let (mut row, mut until, mut over) = (Row::new(self.reached.clone()), now, false);
        while row.bytes < RUN_BYTES {
            let Some(batch) = batches.next().await? else {
                over = true;
                break;
            };
            until = until.max(batch.time()?);
            for document in batch.documents()? {
                let document = document?;
                let id = Id::of(document).map_err(|error| batch.strange(&error.to_string()))?;
                if let Err(twice) = row.add(id, document) {
                    return Ok(Err(twice));
                }
            }
        }
        Ok(Ok(Collected { documents: row.documents, until, over }))
    }

    fn command(&self, listed: &Listed, now: ClusterTime) -> Vec<u8> {
        let concern = Builder::default()
            .text("level", "majority")
            .with(kind::TIMESTAMP, b"afterClusterTime", &now.bits().to_le_bytes())
            .finish();
        let command = Builder::default()
            .text("find", &listed.namespace.collection)
            .document("hint", &by_id())
            // Of several shards each has its own order; with one shard the index has it already.
            .document("sort", &by_id())
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

fn by_id() -> Vec<u8> {
    Builder::default().int("_id", 1).finish()
}

/// Documents as they are read, each `_id` once: equal ones follow each other.
struct Row {
    documents: Vec<(Id, Vec<u8>)>,
    bytes: usize,
    last: Option<Id>,
    /// True while the last one is that which was reached before: the bound is included.
    first: bool,
}

impl Row {
    /// Behind the document of an earlier run.
    fn new(reached: Option<Id>) -> Self {
        Self { documents: Vec::new(), bytes: 0, last: reached, first: true }
    }

    /// Adds a document, but for the one that was reached before.
    ///
    /// # Errors
    /// Its `_id`, where another one has it too.
    fn add(&mut self, id: Id, document: &[u8]) -> Result<(), Id> {
        let again = self.last.as_ref() == Some(&id);
        let reached = std::mem::replace(&mut self.first, false) && again;
        if reached {
            return Ok(());
        }
        if again {
            return Err(id);
        }
        self.bytes += document.len();
        self.documents.push((id.clone(), document.to_vec()));
        self.last = Some(id);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Adds documents of these `_id`s behind the one that was reached; how many were taken, or the one that two have.
    fn added(reached: Option<i32>, ids: &[i32]) -> Result<usize, String> {
        let document = |id: &i32| Builder::default().int("_id", *id).finish();
        let id = |id: &i32| Id::of(&document(id)).unwrap();
        let mut row = Row::new(reached.as_ref().map(id));
        ids.iter().try_for_each(|one| row.add(id(one), &document(one))).map_err(|twice| twice.to_string())?;
        Ok(row.documents.len())
    }

    /// As mongos gives them where shards have the same `_id`: next to each other, also across the bound of two runs.
    #[test]
    fn two_documents_of_one_id_are_told_and_the_one_that_was_reached_is_left_out_once_constructed() {
        assert_eq!(added(None, &[1, 2, 3]), Ok(3));
        assert_eq!(added(Some(1), &[1, 2, 3]), Ok(2));
        assert_eq!(added(Some(1), &[2, 3]), Ok(2), "it is gone since");
        assert_eq!(added(None, &[1, 2, 2]), Err("2".to_owned()));
        assert_eq!(added(Some(1), &[1, 1, 2]), Err("1".to_owned()));
        assert_eq!(added(Some(1), &[1, 2, 2]), Err("2".to_owned()));
    }

    #[test]
    fn a_scan_asks_for_the_order_that_its_bounds_are_of() {
        let namespace = crate::event::Namespace { database: "shop".to_owned(), collection: "a".to_owned() };
        let options = Builder::default().finish();
        let listed = Listed { namespace, uuid: "1".to_owned(), of: "collection".to_owned(), options };
        let scan = Scan::whole("1", ClusterTime::default(), ClusterTime::default());
        let command = scan.command(&listed, ClusterTime::default());
        let asked = |name| crate::raw::find(&command, name).unwrap().unwrap().document().unwrap().to_vec();
        assert_eq!([asked("hint"), asked("sort")], [by_id(), by_id()]);
    }
}
