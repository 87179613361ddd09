//! Where the chunks are.
//!
//! The index is a few immutable objects, each sorted by id and cut into shards by the first bits of the id, and the packs that were
//! recorded since the last of them. Nothing in it is needed for good: it is made again from the packs. Which objects count is the
//! caller's to say; objects are merged into fewer under a new name, and the old ones are garbage then.
//!
//! Reading pages: an open object keeps in memory only where its groups of shards are (12 bytes for some 32,768 chunks). Groups and
//! shards come through one cache of bounded size. A group has 16 bits of each id in it: of ids that are nowhere, all but one in
//! a hundred are told by them, so that what is new costs no further reads.

mod cache;
mod layout;
mod merge;
mod object;
mod recent;
mod writer;

use std::sync::Arc;

use object_store::{ObjectStore, path::Path};
use tidemark_gateway::{Env, Stored, upload::UploadOptions};

pub use merge::tier;
pub use object::IndexObject;

use crate::{
    ChunkId, Class,
    header::Header,
    keys::{Issued, Keyring},
    pack::{Error, Pack, WriteError},
    read::Location,
    reuse::{Admitted, Reference},
};
use cache::Cache;
use merge::Source;
use recent::Recent;

/// Bounds of an index.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IndexOptions {
    /// Most bytes of what was read and is kept.
    pub cache_bytes: usize,
    /// Most chunks that are recorded in memory before the caller [flushes](Index::flush); some 100 bytes each.
    pub recent_chunks: usize,
}

impl Default for IndexOptions {
    /// 64 MiB, and 262,144 chunks.
    fn default() -> Self {
        Self { cache_bytes: 64 << 20, recent_chunks: 1 << 18 }
    }
}

/// A written index object.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IndexRecord {
    /// Its name.
    pub path: Path,
    /// Its header, which has its wrapped key.
    pub header: Header,
    /// Size and digest of its stored bytes.
    pub stored: Stored,
    /// Chunks in it.
    pub chunks: u64,
}

/// Why the index was not written.
#[derive(Debug, thiserror::Error)]
pub enum FlushError {
    /// An object that goes into it cannot be read.
    #[error("read the index")]
    Read(#[from] Error),
    /// It was not stored.
    #[error("write an index object")]
    Write(#[from] WriteError),
}

/// The index of a repository, or of a part of it.
#[derive(Debug)]
pub struct Index {
    store: Arc<dyn ObjectStore>,
    keyring: Keyring,
    options: IndexOptions,
    cache: Arc<Cache>,
    objects: Vec<Arc<IndexObject>>,
    recent: Recent,
}

impl Index {
    /// Of nothing yet.
    pub fn new(store: Arc<dyn ObjectStore>, keyring: Keyring, options: IndexOptions) -> Self {
        let cache = Arc::new(Cache::new(options.cache_bytes));
        Self { store, keyring, options, cache, objects: Vec::new(), recent: Recent::default() }
    }

    /// Takes in a stored object. One that is lost or damaged is made again from its packs.
    ///
    /// # Errors
    /// [`Error`] where it cannot be opened.
    pub async fn open(&mut self, path: &Path) -> Result<(), Error> {
        let object = IndexObject::open(&self.store, &self.keyring, path, Arc::clone(&self.cache)).await?;
        self.objects.push(Arc::new(object));
        Ok(())
    }

    /// The objects it is made of.
    pub fn objects(&self) -> &[Arc<IndexObject>] {
        &self.objects
    }

    /// Takes in a finished pack.
    pub fn record(&mut self, pack: &Pack) {
        self.recent.record(pack);
    }

    /// Whether so many chunks were recorded that it is time to [flush](Index::flush).
    pub fn is_due(&self) -> bool {
        self.recent.len() >= self.options.recent_chunks
    }

    /// All places of each of these chunks, in the order in which they are asked for; none where it is nowhere. Newest first.
    /// Memory: that of the cache, and up to 48 MiB.
    ///
    /// # Errors
    /// [`Error`] where a part of the index cannot be read.
    pub async fn find(&self, wanted: &[(Class, ChunkId)]) -> Result<Vec<Vec<Location>>, Error> {
        let mut found: Vec<_> = wanted.iter().map(|chunk| self.recent.find(chunk)).collect();
        for object in self.objects.iter().rev() {
            for (at, location) in object.find(wanted).await? {
                found[at].push(location);
            }
        }
        Ok(found)
    }

    /// For each of these chunks the right to refer to it, where it is in a pack that the caller admitted; `None` where it must be
    /// written.
    ///
    /// # Errors
    /// [`Error`] where a part of the index cannot be read.
    pub async fn reusable(
        &self,
        admitted: &Admitted,
        wanted: &[(Class, ChunkId)],
    ) -> Result<Vec<Option<Reference>>, Error> {
        let found = self.find(wanted).await?;
        let refer = |location: &Location| admitted.refer(&location.pack, &location.entry);
        Ok(found.iter().map(|places| places.iter().find_map(refer)).collect())
    }

    /// Writes what was recorded as an object of this name, and lets go of it. `None` where there is nothing.
    ///
    /// # Errors
    /// [`FlushError`]; what was recorded is kept.
    pub async fn flush(
        &mut self,
        env: &Env,
        issued: Issued,
        options: &UploadOptions,
    ) -> Result<Option<IndexRecord>, FlushError> {
        if self.recent.len() == 0 {
            return Ok(None);
        }
        let source = Source::of_recent(&self.recent);
        let record = merge::merge(&self.store, env, issued, options, vec![source], |_| true).await?;
        self.open(&record.path).await?;
        self.recent = Recent::default();
        Ok(Some(record))
    }

    /// Writes the objects with these numbers (of [`Index::objects`]) as one of this name, without the packs that `keep` does not
    /// want, and takes it in their place. Memory: some 4 MiB for each object, and 300 bytes for each pack.
    ///
    /// # Errors
    /// [`FlushError`]; the index is as it was.
    pub async fn merge(
        &mut self,
        env: &Env,
        issued: Issued,
        options: &UploadOptions,
        which: &[usize],
        keep: impl Fn(&Path) -> bool,
    ) -> Result<IndexRecord, FlushError> {
        let chosen: Vec<_> = which.iter().filter_map(|at| self.objects.get(*at).cloned()).collect();
        let mut sources = Vec::with_capacity(chosen.len());
        for object in &chosen {
            sources.push(Source::of_object(Arc::clone(object)).await?);
        }
        let record = merge::merge(&self.store, env, issued, options, sources, keep).await?;
        let merged = IndexObject::open(&self.store, &self.keyring, &record.path, Arc::clone(&self.cache)).await?;
        self.objects.retain(|object| !chosen.iter().any(|chosen| Arc::ptr_eq(chosen, object)));
        self.objects.insert(0, Arc::new(merged));
        Ok(record)
    }
}

#[cfg(test)]
mod tests;
