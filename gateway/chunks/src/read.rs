//! Reading chunks: ranges of packs, joined where they lie close, several at a time, each chunk verified.

mod plan;

use std::{fmt, ops::Range, sync::Arc};

use bytes::Bytes;
use futures::{Stream, StreamExt, stream};
use object_store::{ObjectStore, ObjectStoreExt, path::Path};

use crate::{
    ChunkId, Class,
    frame::{Frames, Role},
    id::IdKey,
    keys::{self, Keyring},
    pack::{Entry, PackRecord},
    prepare::{Prepared, Restorer, Unreadable},
};
use plan::{Run, plan};

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
#[derive(Debug)]
pub struct Fetched {
    /// The caller's number.
    pub position: usize,
    /// Its class.
    pub class: Class,
    /// The chunk, verified; or why it cannot be had from any of its places (that of the first).
    pub bytes: Result<Bytes, Damage>,
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
        let runs = plan(wanted, &self.options);
        let reads = stream::iter(runs).map(move |run| {
            let reader = reader.clone();
            async move { reader.run(run).await }
        });
        reads.buffer_unordered(in_flight).flat_map(stream::iter)
    }

    async fn run(&self, run: Run) -> Vec<Fetched> {
        let read = self.first(&run).await;
        let mut fetched = Vec::with_capacity(read.len());
        for (wanted, bytes) in run.wanted.into_iter().zip(read) {
            let class = wanted.locations.first().map_or(Class::Data, |location| location.entry.class);
            let bytes = match bytes {
                Err(damage) => self.elsewhere(&wanted.locations, damage).await,
                bytes => bytes,
            };
            fetched.push(Fetched { position: wanted.position, class, bytes });
        }
        fetched
    }

    /// Each chunk of the run at its first place.
    async fn first(&self, run: &Run) -> Vec<Result<Bytes, Damage>> {
        let entries: Vec<_> = run.wanted.iter().filter_map(|wanted| Some(wanted.locations.first()?.entry)).collect();
        match &run.pack {
            Some(pack) => self.entries(pack, entries, run.range.clone()).await,
            None => run.wanted.iter().map(|_| Err(nowhere())).collect(),
        }
    }

    async fn elsewhere(&self, locations: &[Location], damage: Damage) -> Result<Bytes, Damage> {
        for Location { pack, entry } in locations.iter().skip(1) {
            let range = u64::from(entry.offset)..entry.end();
            if let Some(Ok(bytes)) = self.entries(pack, vec![*entry], range).await.pop() {
                return Ok(bytes);
            }
        }
        Err(damage)
    }

    /// These chunks of one pack, out of one range.
    async fn entries(&self, pack: &PackRecord, entries: Vec<Entry>, range: Range<u64>) -> Vec<Result<Bytes, Damage>> {
        let frames = match self.keyring.frames(&pack.path, &pack.header) {
            Ok(frames) => frames,
            Err(error) => return all(&pack.path, &entries, |_| Reason::Key(error.clone())),
        };
        match self.range(&pack.path, range.clone()).await {
            Ok(bytes) => self.open(frames, pack.path.clone(), entries, bytes, range.start).await,
            Err(Reason::Cut { .. }) if entries.len() > 1 => self.one_by_one(pack, entries).await,
            Err(reason) => all(&pack.path, &entries, |_| reason.clone()),
        }
    }

    /// A range failed: what of it can be had by itself is. So a pack that was cut loses only what it lacks.
    async fn one_by_one(&self, pack: &PackRecord, entries: Vec<Entry>) -> Vec<Result<Bytes, Damage>> {
        let mut read = Vec::with_capacity(entries.len());
        for entry in entries {
            let range = u64::from(entry.offset)..entry.end();
            read.extend(Box::pin(self.entries(pack, vec![entry], range)).await);
        }
        read
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

    async fn open(
        &self,
        frames: Frames,
        path: Path,
        entries: Vec<Entry>,
        bytes: Bytes,
        start: u64,
    ) -> Vec<Result<Bytes, Damage>> {
        let (ids, names) = (self.ids.clone(), (path.clone(), entries.clone()));
        let start = u32::try_from(start).unwrap_or(u32::MAX);
        let open = move || -> std::io::Result<Vec<_>> {
            let mut opener = Opener::new(&frames, &ids, &path)?;
            Ok(entries.iter().map(|entry| opener.chunk(entry, &bytes, start)).collect())
        };
        let opened = tokio::task::spawn_blocking(open).await.unwrap_or_else(|error| Err(error.into()));
        opened.unwrap_or_else(|error| {
            let reason = Reason::Memory(Arc::new(error));
            all(&names.0, &names.1, |_| reason.clone())
        })
    }
}

impl fmt::Debug for ChunkReader {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ChunkReader({:?}, {:?})", self.keyring, self.options)
    }
}

fn all(path: &Path, entries: &[Entry], reason: impl Fn(&Entry) -> Reason) -> Vec<Result<Bytes, Damage>> {
    entries.iter().map(|entry| Err(Damage::new(path, entry, reason(entry)))).collect()
}

fn nowhere() -> Damage {
    Damage { pack: Path::default(), offset: 0, id: ChunkId::from_bytes([0; 32]), reason: Reason::Unknown }
}

/// What opens the chunks of one pack.
pub(crate) struct Opener<'a> {
    restorer: Restorer,
    frames: &'a Frames,
    ids: &'a IdKey,
    path: &'a Path,
}

impl<'a> Opener<'a> {
    pub(crate) fn new(frames: &'a Frames, ids: &'a IdKey, path: &'a Path) -> std::io::Result<Self> {
        Ok(Self { restorer: Restorer::new()?, frames, ids, path })
    }

    /// The chunk of `entry` out of `bytes`, which begin at byte `start` of the pack.
    pub(crate) fn chunk(&mut self, entry: &Entry, bytes: &[u8], start: u32) -> Result<Bytes, Damage> {
        let chunk = self.open(entry, bytes, start, Restorer::restore)?;
        self.promised(entry, chunk.len())?;
        Ok(chunk.into())
    }

    /// The same as it is prepared for a pack.
    pub(crate) fn prepared(&mut self, entry: &Entry, bytes: &[u8], start: u32) -> Result<Prepared, Damage> {
        let chunk = self.open(entry, bytes, start, Restorer::prepared)?;
        self.promised(entry, chunk.raw_bytes() as usize)?;
        Ok(chunk)
    }

    fn open<T>(
        &mut self,
        entry: &Entry,
        bytes: &[u8],
        start: u32,
        make: fn(&mut Restorer, &IdKey, Class, ChunkId, &[u8]) -> Result<T, Unreadable>,
    ) -> Result<T, Damage> {
        let at = entry.offset.checked_sub(start).map(|at| at as usize);
        let frame = at.and_then(|at| bytes.get(at..at.checked_add(entry.stored as usize)?));
        let cut = || Damage::new(self.path, entry, Reason::Cut { bytes: u64::from(start) + bytes.len() as u64 });
        let mut frame = frame.ok_or_else(cut)?.to_vec();
        let sealed = self.frames.open(Role::Chunk(entry.class, entry.id), &mut frame);
        let sealed = sealed.map_err(|_| Damage::new(self.path, entry, Reason::Seal))?;
        let content = |error: Unreadable| Damage::new(self.path, entry, Reason::Content(error.to_string()));
        make(&mut self.restorer, self.ids, entry.class, entry.id, sealed).map_err(content)
    }

    fn promised(&self, entry: &Entry, found: usize) -> Result<(), Damage> {
        if found == entry.raw as usize {
            return Ok(());
        }
        let reason = format!("it has {found} bytes, {} were promised", entry.raw);
        Err(Damage::new(self.path, entry, Reason::Content(reason)))
    }
}

#[cfg(test)]
mod tests;
