//! Opening the chunks of one pack.

use bytes::Bytes;
use object_store::path::Path;

use super::{Damage, Reason};
use crate::{
    ChunkId, Class,
    frame::{Frames, Role},
    id::IdKey,
    pack::Entry,
    prepare::{Prepared, Restorer, Unreadable},
};

/// What is made of what was sealed.
type Make<T> = fn(&mut Restorer, &IdKey, Class, ChunkId, &[u8]) -> Result<T, Unreadable>;

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

    fn open<T>(&mut self, entry: &Entry, bytes: &[u8], start: u32, make: Make<T>) -> Result<T, Damage> {
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
