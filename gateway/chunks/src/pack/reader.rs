//! Reading a pack by itself: what is in it, and whether all of it is whole.

use std::{ops::Range, sync::Arc};

use bytes::Bytes;
use object_store::{ObjectStore, ObjectStoreExt, path::Path};
use tidemark_gateway::Stored;

use super::{ENTRY_BYTES, Entry, FOOTER_BYTES, MAGIC, MOST_ENTRIES, MOST_PACK_BYTES, PackRecord, read_entries};
use crate::{
    fields::Fields,
    frame::{FRAME_BYTES, Frames, Role},
    header::{self, HEADER_BYTES, Header, Kind},
    id::IdKey,
    keys::{self, Keyring},
    prepare::Prepared,
    read::{Damage, Opener},
};

/// Bytes at the end that are read at once: enough for the entries of most packs.
const TAIL_BYTES: u64 = 128 << 10;

/// Bytes of frames that are read at once.
const RUN_BYTES: u64 = 4 << 20;

/// Why a pack or an index object cannot be opened.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The store refused or failed; absent objects are that too.
    #[error("read {path}")]
    Read {
        /// The object.
        path: Path,
        /// Why.
        source: object_store::Error,
    },
    /// Shorter or longer than one can be.
    #[error("{path} is damaged: it has {bytes} bytes, from {least} to {most} are possible")]
    Size {
        /// The object.
        path: Path,
        /// Its size.
        bytes: u64,
        /// Fewest.
        least: u64,
        /// Most.
        most: u64,
    },
    /// It does not begin as one.
    #[error("{path} is damaged or something else")]
    Header {
        /// The object.
        path: Path,
        /// Why.
        source: header::Error,
    },
    /// Its key is not to be had.
    #[error(transparent)]
    Key(#[from] keys::Error),
    /// It does not end as one: it was cut or changed.
    #[error("{path} is damaged: it does not end as it must")]
    Footer {
        /// The object.
        path: Path,
    },
    /// A part that was changed, or is another object's.
    #[error("{path} is damaged: the seal of its {part} is broken")]
    Seal {
        /// The object.
        path: Path,
        /// Which part.
        part: &'static str,
    },
    /// A part that is sealed and yet not laid out as it must be.
    #[error("{path} is damaged: its {part} are not laid out as they must be")]
    Layout {
        /// The object.
        path: Path,
        /// Which part.
        part: &'static str,
    },
    /// Decompression cannot begin.
    #[error("no memory to decompress {path}")]
    Memory {
        /// The object.
        path: Path,
        /// Why.
        source: std::io::Error,
    },
}

impl Error {
    /// The object does not exist.
    pub fn is_absent(&self) -> bool {
        matches!(self, Self::Read { source: object_store::Error::NotFound { .. }, .. })
    }

    /// Whether the same call may succeed later.
    pub fn is_retryable(&self) -> bool {
        matches!(self, Self::Read { source, .. } if tidemark_gateway::retry::is_transient(source))
    }
}

/// An open pack: all it says of itself is proven.
#[derive(Debug)]
pub struct PackReader {
    store: Arc<dyn ObjectStore>,
    path: Path,
    header: Header,
    frames: Arc<Frames>,
    size: u64,
    entries: Vec<Entry>,
}

impl PackReader {
    /// Opens the pack by its own header, footer and entries; the chunks are not read. Two or three requests.
    ///
    /// # Errors
    /// [`Error`]: a pack that is cut, changed, another one's or of another key is not opened.
    pub async fn open(store: &Arc<dyn ObjectStore>, keyring: &Keyring, path: &Path) -> Result<Self, Error> {
        let least = (HEADER_BYTES + FRAME_BYTES + FOOTER_BYTES) as u64;
        let ends = Ends::read(store, path, Kind::Pack, MAGIC, least..MOST_PACK_BYTES + 1).await?;
        let frames = Arc::new(keyring.frames(path, &ends.header)?);
        let most = (MOST_ENTRIES * ENTRY_BYTES + FRAME_BYTES) as u64;
        let before = HEADER_BYTES as u64 + ends.before;
        let mut list = ends.list(store, path, before, most).await?;
        let seal = |_| Error::Seal { path: path.clone(), part: "entries" };
        let open = frames.open(Role::Entries(ends.before), &mut list).map_err(seal)?;
        let entries = read_entries(open, HEADER_BYTES as u64..before);
        let entries = entries.ok_or_else(|| Error::Layout { path: path.clone(), part: "entries" })?;
        let store = Arc::clone(store);
        Ok(Self { store, path: path.clone(), header: ends.header, frames, size: ends.size, entries })
    }

    /// Its chunks.
    pub fn entries(&self) -> &[Entry] {
        &self.entries
    }

    /// Reads all and proves each chunk: what is damaged, in the order of the pack, and what an index keeps of the pack. Memory: some
    /// 8 MiB.
    ///
    /// # Errors
    /// [`Error::Read`] where the store fails; [`Error::Memory`].
    pub async fn verify(&self, ids: &IdKey) -> Result<(PackRecord, Vec<Damage>), Error> {
        let (mut damages, mut rest) = (Vec::new(), self.entries.as_slice());
        let mut sum = tidemark_gateway::tree::TreeHasher::new();
        sum.update(&range(&self.store, &self.path, 0..HEADER_BYTES as u64).await?);
        while let Some(first) = rest.first() {
            let run = rest.partition_point(|entry| entry.end() - u64::from(first.offset) <= RUN_BYTES).max(1);
            let (now, later) = rest.split_at(run);
            let last = now.last().map_or(0, Entry::end);
            let bytes = range(&self.store, &self.path, u64::from(first.offset)..last).await?;
            sum.update(&bytes);
            damages.extend(self.check(ids, now.to_vec(), bytes).await?);
            rest = later;
        }
        let end = self.entries.last().map_or(HEADER_BYTES as u64, Entry::end);
        sum.update(&range(&self.store, &self.path, end..self.size).await?);
        let stored = Stored { tree: None, ..sum.finish() };
        Ok((PackRecord { path: self.path.clone(), header: self.header.clone(), stored }, damages))
    }

    /// These of its chunks as they are in it, each of them proven, to be sealed into another pack. Memory: theirs.
    ///
    /// # Errors
    /// [`Error::Read`] where the store fails; [`Error::Memory`]. A chunk that is damaged is so in its place.
    pub async fn prepared(&self, ids: &IdKey, entries: &[Entry]) -> Result<Vec<Result<Prepared, Damage>>, Error> {
        let wanted: Vec<_> = entries.iter().map(|entry| u64::from(entry.offset)..entry.end()).collect();
        let read = if wanted.is_empty() { Vec::new() } else { ranges(&self.store, &self.path, &wanted).await? };
        let entries = entries.to_vec();
        self.with_opener(ids, move |opener| {
            let each = entries.iter().zip(&read);
            each.map(|(entry, bytes)| opener.prepared(entry, bytes, entry.offset)).collect()
        })
        .await
    }

    /// What of these entries is damaged, whose frames these bytes are.
    async fn check(&self, ids: &IdKey, entries: Vec<Entry>, bytes: Bytes) -> Result<Vec<Damage>, Error> {
        let first = entries.first().map_or(0, |entry| entry.offset);
        self.with_opener(ids, move |opener| {
            entries.iter().filter_map(|entry| opener.chunk(entry, &bytes, first).err()).collect()
        })
        .await
    }

    /// Opens chunks outside the runtime.
    async fn with_opener<T: Send + 'static>(
        &self,
        ids: &IdKey,
        work: impl FnOnce(&mut Opener<'_>) -> T + Send + 'static,
    ) -> Result<T, Error> {
        let (ids, frames, path) = (ids.clone(), Arc::clone(&self.frames), self.path.clone());
        let open = move || Opener::new(&frames, &ids, &path).map(|mut opener| work(&mut opener));
        let memory = |source| Error::Memory { path: self.path.clone(), source };
        tokio::task::spawn_blocking(open).await.unwrap_or_else(|error| Err(error.into())).map_err(memory)
    }
}

/// Both ends of a pack or an index object.
pub(crate) struct Ends {
    pub(crate) header: Header,
    pub(crate) size: u64,
    /// First number of the footer.
    pub(crate) before: u64,
    /// Bytes of the sealed list.
    pub(crate) list: u32,
    tail: Bytes,
}

impl Ends {
    /// Reads them; the size must be in `sizes`.
    pub(crate) async fn read(
        store: &Arc<dyn ObjectStore>,
        path: &Path,
        kind: Kind,
        magic: &[u8; 4],
        sizes: Range<u64>,
    ) -> Result<Self, Error> {
        let size = store.head(path).await.map_err(|source| Error::Read { path: path.clone(), source })?.size;
        if !sizes.contains(&size) {
            return Err(Error::Size { path: path.clone(), bytes: size, least: sizes.start, most: sizes.end - 1 });
        }
        let wanted = [0..HEADER_BYTES as u64, size - size.min(TAIL_BYTES)..size];
        let mut read = ranges(store, path, &wanted).await?;
        let (tail, head) = (read.pop().unwrap_or_default(), read.pop().unwrap_or_default());
        let header = Header::read(&head, kind).map_err(|source| Error::Header { path: path.clone(), source })?;
        let (before, list) = footer(&tail, magic).ok_or_else(|| Error::Footer { path: path.clone() })?;
        Ok(Self { header, size, before, list, tail })
    }

    /// The sealed list, which must lie between `before` and the footer, and have at most so many bytes.
    pub(crate) async fn list(
        &self,
        store: &Arc<dyn ObjectStore>,
        path: &Path,
        before: u64,
        most: u64,
    ) -> Result<Vec<u8>, Error> {
        let end = before.checked_add(u64::from(self.list)).filter(|_| u64::from(self.list) <= most);
        if end.and_then(|end| end.checked_add(FOOTER_BYTES as u64)) != Some(self.size) {
            return Err(Error::Footer { path: path.clone() });
        }
        let from_end = self.list as usize + FOOTER_BYTES;
        match self.tail.len().checked_sub(from_end) {
            Some(start) => Ok(self.tail[start..start + self.list as usize].to_vec()),
            None => Ok(range(store, path, before..before + u64::from(self.list)).await?.to_vec()),
        }
    }
}

fn footer(tail: &[u8], magic: &[u8; 4]) -> Option<(u64, u32)> {
    let mut fields = Fields::new(tail.get(tail.len().checked_sub(FOOTER_BYTES)?..)?);
    let (before, list) = (fields.u64()?, fields.u32()?);
    (fields.array()? == *magic).then_some((before, list))
}

/// These ranges, each of them whole.
pub(crate) async fn ranges(
    store: &Arc<dyn ObjectStore>,
    path: &Path,
    wanted: &[Range<u64>],
) -> Result<Vec<Bytes>, Error> {
    let failed = |source| Error::Read { path: path.clone(), source };
    let read = store.get_ranges(path, wanted).await.map_err(failed)?;
    let whole = read.len() == wanted.len()
        && read.iter().zip(wanted).all(|(bytes, range)| bytes.len() as u64 == range.end - range.start);
    if whole { Ok(read) } else { Err(Error::Footer { path: path.clone() }) }
}

async fn range(store: &Arc<dyn ObjectStore>, path: &Path, wanted: Range<u64>) -> Result<Bytes, Error> {
    Ok(ranges(store, path, &[wanted]).await?.pop().unwrap_or_default())
}
