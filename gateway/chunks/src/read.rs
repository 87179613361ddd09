//! Reading chunks: ranges of packs, joined where they lie close, several at a time, each chunk verified.

mod open;
mod plan;
mod run;

use std::{fmt, ops::Range, sync::Arc};

use bytes::Bytes;
use futures::{Stream, StreamExt, stream};
use object_store::{ObjectStore, ObjectStoreExt, path::Path};

use crate::{
    ChunkId, Class,
    id::IdKey,
    keys::{self, Keyring},
    pack::{Entry, PackRecord},
};
pub(crate) use open::Opener;
use plan::plan;
use run::{Reading, Source};

/// Where one chunk is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Location {
    /// The pack.
    pub pack: Arc<PackRecord>,
    /// Where in it.
    pub entry: Entry,
}

/// Bounds of reads. Memory is at most about `3 * in_flight * range_bytes`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReadOptions {
    /// Chunks with at most so many bytes between them are read by one request.
    pub gap_bytes: u64,
    /// Most bytes of one request, unless a single chunk has more.
    pub range_bytes: u64,
    /// Requests at the same time, from 1.
    pub in_flight: usize,
}

impl Default for ReadOptions {
    /// Gaps of 64 KiB, requests of 4 MiB, 4 at a time.
    fn default() -> Self {
        Self { gap_bytes: 64 << 10, range_bytes: 4 << 20, in_flight: 4 }
    }
}

/// A chunk that cannot be had, and why.
#[derive(Debug, thiserror::Error)]
#[error("chunk {id} at byte {offset} of {pack}: {reason}")]
pub struct Damage {
    /// The pack.
    pub pack: Path,
    /// First byte of its frame.
    pub offset: u64,
    /// The chunk.
    pub id: ChunkId,
    /// Why.
    pub reason: Reason,
}

/// What is wrong with a chunk.
#[derive(Clone, Debug, thiserror::Error)]
pub enum Reason {
    /// The pack does not exist.
    #[error("the pack does not exist")]
    Absent,
    /// The pack ends before the chunk does.
    #[error("the pack has only {bytes} bytes")]
    Cut {
        /// Its size now.
        bytes: u64,
    },
    /// The store gave fewer bytes than it has.
    #[error("the store gave fewer bytes than it has")]
    Short,
    /// The bytes were changed, or belong elsewhere.
    #[error("its seal is broken: the bytes were changed or are another chunk's")]
    Seal,
    /// What is sealed is not the chunk.
    #[error("{0}")]
    Content(String),
    /// The pack's key is not to be had.
    #[error("its key is not to be had")]
    Key(#[source] keys::Error),
    /// The store refused or failed, which says nothing of the chunk.
    #[error("the store did not give it")]
    Store(#[source] Arc<object_store::Error>),
    /// Decompression cannot begin.
    #[error("no memory to decompress it")]
    Memory(#[source] Arc<std::io::Error>),
    /// It is in no pack of the index.
    #[error("no pack is known to hold it")]
    Unknown,
}

impl Damage {
    /// Whether the same read may succeed later.
    pub fn is_retryable(&self) -> bool {
        matches!(&self.reason, Reason::Store(source) if tidemark_gateway::retry::is_transient(source))
    }

    /// True where the store or this process failed, which says nothing of what is stored.
    pub fn is_of_the_reader(&self) -> bool {
        matches!(
            self.reason,
            Reason::Store(_) | Reason::Short | Reason::Memory(_) | Reason::Key(keys::Error::NotGiven { .. })
        )
    }

    fn new(path: &Path, entry: &Entry, reason: Reason) -> Self {
        Self { pack: path.clone(), offset: u64::from(entry.offset), id: entry.id, reason }
    }
}

/// A chunk that was asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Wanted {
    /// The caller's own number of it, given back with the bytes.
    pub position: usize,
    /// Where it is; where the first of these cannot be had, the next is read. Not empty.
    pub locations: Vec<Location>,
}

/// A chunk that was read.
pub struct Fetched {
    /// The caller's number.
    pub position: usize,
    /// Its class.
    pub class: Class,
    /// The chunk, verified; or why it cannot be had from any of its places (that of the first).
    pub bytes: Result<Bytes, Damage>,
}

impl fmt::Debug for Fetched {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let bytes = self.bytes.as_ref().map(Bytes::len);
        write!(f, "Fetched({}, {:?}, {bytes:?} bytes)", self.position, self.class)
    }
}

/// Reads chunks. Cheap to clone.
#[derive(Clone)]
pub struct ChunkReader {
    store: Arc<dyn ObjectStore>,
    keyring: Keyring,
    ids: IdKey,
    options: ReadOptions,
}

impl ChunkReader {
    /// Of the packs in `store` whose keys are in `keyring`.
    pub fn new(store: Arc<dyn ObjectStore>, keyring: Keyring, ids: IdKey, options: ReadOptions) -> Self {
        Self { store, keyring, ids, options }
    }

    /// Reads these chunks, each once, in any order. A chunk that cannot be had does not keep the others from being read. Dropping
    /// the stream stops the reading.
    pub fn read(&self, wanted: Vec<Wanted>) -> impl Stream<Item = Fetched> + Send + use<> {
        let (reader, in_flight) = (self.clone(), self.options.in_flight.max(1));
        let runs = stream::iter(plan(wanted, &self.options)).map(move |run| Reading::of(reader.clone(), run).fetched());
        runs.flatten_unordered(in_flight).flat_map(stream::iter)
    }

    /// One chunk by itself.
    async fn alone(&self, pack: &PackRecord, entry: Entry) -> Result<Bytes, Damage> {
        let source = self.source(pack, u64::from(entry.offset)..entry.end()).await;
        match source {
            Ok(source) => source.open(self, pack, vec![entry]).await.pop().unwrap_or_else(|| Err(nowhere())),
            Err(reason) => Err(Damage::new(&pack.path, &entry, reason)),
        }
    }

    async fn source(&self, pack: &PackRecord, range: Range<u64>) -> Result<Source, Reason> {
        let frames = Arc::new(self.keyring.frames(&pack.path, &pack.header).map_err(Reason::Key)?);
        let start = u32::try_from(range.start).unwrap_or(u32::MAX);
        Ok(Source { frames, bytes: self.range(&pack.path, range).await?, start })
    }

    async fn range(&self, path: &Path, range: Range<u64>) -> Result<Bytes, Reason> {
        let length = range.end - range.start;
        let source = match self.store.get_ranges(path, std::slice::from_ref(&range)).await.map(|mut read| read.pop()) {
            Ok(Some(bytes)) if bytes.len() as u64 == length => return Ok(bytes),
            Ok(_) => None,
            Err(object_store::Error::NotFound { .. }) => return Err(Reason::Absent),
            Err(source) => Some(source),
        };
        // Each store words a range behind the end in its own way, so its size is asked for.
        match (self.store.head(path).await, source) {
            (Ok(head), _) if head.size < range.end => Err(Reason::Cut { bytes: head.size }),
            (_, Some(source)) | (Err(source), None) => Err(Reason::Store(Arc::new(source))),
            (Ok(_), None) => Err(Reason::Short),
        }
    }
}

impl fmt::Debug for ChunkReader {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ChunkReader({:?}, {:?})", self.keyring, self.options)
    }
}

fn nowhere() -> Damage {
    Damage { pack: Path::default(), offset: 0, id: ChunkId::from_bytes([0; 32]), reason: Reason::Unknown }
}

#[cfg(test)]
mod tests;
