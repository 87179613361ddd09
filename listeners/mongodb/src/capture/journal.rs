//! What a capture has stored, so that the next run of its task goes on there.
//!
//! Documents are created once, each under its own name in the task's folder, and name files that are stored already. Of
//! two runs at once one is first with a document; the other fails, and finds it when it is run again.

use std::sync::Arc;

use jiff::Timestamp;
use object_store::{ObjectStore, path::Path};
use serde::{Deserialize, Serialize};
use tidemark_catalog::{
    document::{self, Document},
    ids::FencingToken,
    layout,
    opaque::Opaque,
    slice::{Encoding, SliceObject, StagedFile},
    stored::StoredRef,
};
use tidemark_gateway::{Digest, causes::joined, upload};
use tidemark_listener_core::{assignment::Assignment, failure::Failure, ship};

use crate::{
    codes::CAPTURE,
    event::Namespace,
    staged::{Partition, Run, framed},
    time::ClusterTime,
};

/// The beginning of a capture.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Begun {
    /// The stream gives all events from here on.
    pub(super) from: ClusterTime,
    /// What it goes on from, a document.
    pub(super) token: Opaque,
}

impl Document for Begun {
    const KIND: &'static str = "mongodb-begun";
}

/// A piece of a scan.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Scanned {
    /// What was read; none at the end of what has no more.
    pub(super) file: Option<RunFile>,
    /// The last `_id`, type byte and value.
    pub(super) reached: Opaque,
    /// First and last time of this piece.
    pub(super) from: ClusterTime,
    pub(super) until: ClusterTime,
    /// True of the last piece.
    pub(super) over: bool,
}

impl Document for Scanned {
    const KIND: &'static str = "mongodb-scanned";
}

/// A run and its file.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RunFile {
    pub(super) run: Run,
    pub(super) file: StagedFile,
}

/// A stretch of events.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Streamed {
    /// Runs by UUID of their collections.
    pub(super) runs: Vec<(String, RunFile)>,
    /// What the stream goes on from behind it.
    pub(super) token: Opaque,
    /// All events before this time were given.
    pub(super) proven: ClusterTime,
    /// What happened to collections.
    pub(super) catalog: Vec<CatalogChange>,
    /// The last time at which something happened to a document, by UUID of the collection.
    pub(super) seen: Vec<(String, ClusterTime)>,
    /// The names of the collections of `seen`, database and collection.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(super) names: Vec<(String, String)>,
    /// When a collection last came by a new name from among what is not captured, by UUID.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(super) entered: Vec<(String, ClusterTime)>,
}

impl Document for Streamed {
    const KIND: &'static str = "mongodb-streamed";
}

impl Streamed {
    /// `seen` with the names, empty where an earlier build did not note them.
    pub(super) fn seen(&self) -> impl Iterator<Item = (String, (ClusterTime, Namespace))> {
        let names = self.names.iter().cloned().chain(std::iter::repeat_with(Default::default));
        let named = self.seen.iter().zip(names);
        named.map(|((uuid, at), (database, collection))| (uuid.clone(), (*at, Namespace { database, collection })))
    }
}

/// That a collection came, under this name.
pub(super) const CREATE: &str = "create";

/// Something that happened to a collection, or to a database.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct CatalogChange {
    /// When.
    pub(super) at: ClusterTime,
    /// What, the event's word; of a rename that of its old name, and [`CREATE`] of its new one.
    pub(super) what: String,
    /// Database.
    pub(super) database: String,
    /// Collection; empty of a database.
    pub(super) collection: String,
}

impl CatalogChange {
    /// What it happened to.
    pub(super) fn namespace(&self) -> Namespace {
        Namespace { database: self.database.clone(), collection: self.collection.clone() }
    }

    /// True where afterwards another collection may have the name, or none.
    pub(super) fn moves(&self) -> bool {
        self.what == CREATE || self.goes()
    }

    /// True where afterwards none has it.
    pub(super) fn goes(&self) -> bool {
        matches!(self.what.as_str(), "drop" | "rename" | "dropDatabase")
    }
}

/// The end of a capture.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Ended {
    pub(super) started: Timestamp,
    pub(super) finished: Timestamp,
    pub(super) partition: Partition,
    pub(super) objects: Vec<SliceObject>,
}

impl Document for Ended {
    const KIND: &'static str = "mongodb-ended";
}

/// The documents and files of a capture.
pub(super) struct Journal {
    store: Arc<dyn ObjectStore>,
    prefix: Path,
    token: FencingToken,
}

impl Journal {
    /// Of the assignment's task and a partition.
    pub(super) fn new<W>(store: Arc<dyn ObjectStore>, assignment: &Assignment<W>, partition: &str) -> Self {
        let prefix = layout::staged(&assignment.source, &assignment.task, partition);
        Self { store, prefix, token: assignment.token }
    }

    fn path(&self, name: &str) -> Path {
        Path::from(format!("{}/{name}.json", self.prefix))
    }

    /// A document of an earlier run.
    pub(super) async fn recall<D: Document>(&self, name: &str) -> Result<Option<D>, Failure> {
        match document::read_unchecked(&self.store, &self.path(name)).await {
            Ok(found) => Ok(Some(found)),
            Err(error) if error.is_absent() => Ok(None),
            Err(error) => Err(Failure { retryable: error.is_retryable(), ..Failure::new(CAPTURE, joined(&error)) }),
        }
    }

    /// Creates a document.
    pub(super) async fn note(&self, name: &str, value: &(impl Document + Sync)) -> Result<(), Failure> {
        let written = document::write(&self.store, &self.path(name), value).await;
        written.map(drop).map_err(|error| ship::Error::WriteDocument(error).into())
    }

    /// Stores a run in the folder of its collection.
    pub(super) async fn file(&self, folder: &str, run: Run, bytes: Vec<u8>) -> Result<RunFile, Failure> {
        let folder = layout::staged_folder(&self.prefix, folder);
        let path = layout::staged_file(&folder, self.token, &run.name);
        let (size, digest) = (bytes.len() as u64, Digest::of(&bytes));
        let frames = tokio::task::spawn_blocking(move || framed(&bytes)).await;
        let frames = frames.map_err(|ended| Failure::new(CAPTURE, joined(&ended)))?;
        let frames = frames.map_err(|error| Failure::new(CAPTURE, format!("compress a run: {error}")))?;
        let stored = upload::put_new(&self.store, &path, frames).await;
        let stored = stored.map_err(|error| Failure::from(ship::Error::WriteStage(error)))?;
        let file = StagedFile {
            name: run.name.clone(),
            stored: StoredRef::new(&path, tidemark_gateway::Stored { tree: None, ..stored }),
            encoding: Encoding::Zstd,
            size,
            digest,
        };
        Ok(RunFile { run, file })
    }
}
