//! Packs: many sealed chunks in one object, which describes itself.
//!
//! Header ([`crate::header`]), the chunks' frames one behind the other, the sealed list of entries, and a footer of 16 bytes:
//! number of the bytes of all frames (64 bits), bytes of the sealed list (32 bits), magic `pack`. An entry is id (32), class (1),
//! bytes of the frame (32 bits), bytes of the chunk (32 bits); entries are in the order of the frames, without holes.
//! A pack without its footer is not finished and is nothing.

mod reader;
mod writer;

use object_store::path::Path;
use tidemark_gateway::Stored;

pub(crate) use reader::{Ends, ranges};
pub use reader::{Error, PackReader};
pub use writer::{PackOptions, PackWriter, WriteError};
pub(crate) use writer::{begin, footer};

use crate::{ChunkId, Class, fields::Fields, header::Header, id::MOST_CHUNK_BYTES, prepare::MOST_FRAME_BYTES};

pub(crate) const FOOTER_BYTES: usize = 16;
pub(crate) const MAGIC: &[u8; 4] = b"pack";

/// Most entries of a pack.
pub const MOST_ENTRIES: usize = 32 << 10;

/// Most bytes of a pack that is read: twice what is written.
pub const MOST_PACK_BYTES: u64 = 128 << 20;

const ENTRY_BYTES: usize = 41;

/// Where in a pack a chunk is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Entry {
    /// The chunk.
    pub id: ChunkId,
    /// Its class.
    pub class: Class,
    /// First byte of its frame, from the beginning of the pack.
    pub offset: u32,
    /// Bytes of its frame.
    pub stored: u32,
    /// Bytes of the chunk.
    pub raw: u32,
}

/// What a pack is, but for its chunks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PackRecord {
    /// Its name.
    pub path: Path,
    /// Its header, which has its wrapped key.
    pub header: Header,
    /// Size and digest of its stored bytes.
    pub stored: Stored,
}

/// A finished pack.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pack {
    /// The pack.
    pub record: PackRecord,
    /// Its chunks, in their order.
    pub entries: Vec<Entry>,
}

impl Entry {
    pub(crate) fn end(&self) -> u64 {
        u64::from(self.offset) + u64::from(self.stored)
    }

    fn write(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(self.id.as_bytes());
        out.push(self.class as u8);
        out.extend_from_slice(&self.stored.to_le_bytes());
        out.extend_from_slice(&self.raw.to_le_bytes());
    }

    /// The entry whose frame begins at `offset`.
    fn read(fields: &mut Fields<'_>, offset: u32) -> Option<Self> {
        let (id, class) = (ChunkId::from_bytes(fields.array()?), Class::from_byte(fields.u8()?)?);
        let (stored, raw) = (fields.u32()?, fields.u32()?);
        let entry = Self { id, class, offset, stored, raw };
        entry.is_bounded().then_some(entry)
    }

    pub(crate) fn is_bounded(&self) -> bool {
        self.raw as usize <= MOST_CHUNK_BYTES
            && self.stored as usize <= MOST_FRAME_BYTES
            && self.end() <= MOST_PACK_BYTES
    }
}

/// The entries of a pack whose frames lie between these offsets.
fn read_entries(bytes: &[u8], frames: std::ops::Range<u64>) -> Option<Vec<Entry>> {
    let count = bytes.len() / ENTRY_BYTES;
    let (mut fields, mut entries) = (Fields::new(bytes), Vec::with_capacity(count));
    let mut offset = u32::try_from(frames.start).ok()?;
    for _ in 0..count {
        let entry = Entry::read(&mut fields, offset)?;
        offset = u32::try_from(entry.end()).ok()?;
        entries.push(entry);
    }
    fields.end()?;
    (u64::from(offset) == frames.end && count <= MOST_ENTRIES).then_some(entries)
}

#[cfg(test)]
pub(crate) mod tests;
