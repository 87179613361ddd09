//! What a new version may refer to.
//!
//! Whoever finds a chunk in the store must not simply refer to it: its pack may be marked for collection, and go. The caller knows
//! which packs may be referred to (not marked after its claim, listed in its checkpoint) and says so as [`Admitted`]. A
//! [`Reference`] cannot be made otherwise than from an admitted pack or by writing the chunk.

use std::{collections::HashSet, sync::Arc};

use object_store::path::Path;

use crate::{
    ChunkId, Class,
    pack::{Entry, PackRecord},
};

/// The packs that may be referred to. Memory: the names.
#[derive(Clone, Debug, Default)]
pub struct Admitted(HashSet<Path>);

/// The right to say that a version has this chunk, because it is in that pack.
///
/// There is no way to make one of an id: it comes from [`crate::index::Index::reusable`], for a pack that the caller admitted, or
/// from [`crate::intake::Intake`], which wrote it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reference {
    id: ChunkId,
    class: Class,
    raw: u32,
    pack: Arc<Path>,
}

impl Admitted {
    /// These packs.
    pub fn new(packs: impl IntoIterator<Item = Path>) -> Self {
        Self(packs.into_iter().collect())
    }

    /// One more: it is listed in the caller's checkpoint now.
    pub fn admit(&mut self, pack: Path) {
        self.0.insert(pack);
    }

    /// Whether it is one of them.
    pub fn admits(&self, pack: &Path) -> bool {
        self.0.contains(pack)
    }

    /// A reference to this chunk, where its pack is admitted.
    pub(crate) fn refer(&self, record: &PackRecord, entry: &Entry) -> Option<Reference> {
        self.admits(&record.path).then(|| Reference::written(Arc::new(record.path.clone()), entry))
    }
}

impl Reference {
    /// To a chunk that its own writer wrote.
    pub(crate) fn written(pack: Arc<Path>, entry: &Entry) -> Self {
        Self { id: entry.id, class: entry.class, raw: entry.raw, pack }
    }

    /// The chunk.
    pub fn id(&self) -> ChunkId {
        self.id
    }

    /// Its class.
    pub fn class(&self) -> Class {
        self.class
    }

    /// Its bytes.
    pub fn raw_bytes(&self) -> u32 {
        self.raw
    }

    /// The pack that must live as long as the version does.
    pub fn pack(&self) -> &Path {
        &self.pack
    }
}
