//! Chunks made ready for a pack: compressed where it pays. Work for threads of their own, one [`Preparer`] each.
//!
//! What is sealed of a chunk is: encoding (1 byte: 0 as it is, 1 zstd), number of bytes of the chunk (32 bits), payload.

use std::{fmt, io};

use zstd::bulk::{Compressor, Decompressor};

use crate::{
    ChunkId, Class,
    fields::Fields,
    frame::FRAME_BYTES,
    id::{IdKey, Identified, MOST_CHUNK_BYTES},
};

/// Bytes before the payload.
pub(crate) const PREFIX_BYTES: usize = 5;

/// Most bytes of a chunk's frame in a pack.
pub(crate) const MOST_FRAME_BYTES: usize = FRAME_BYTES + PREFIX_BYTES + MOST_CHUNK_BYTES;

/// Compression pays where it saves at least one byte in so many.
const PAYS: usize = 16;

const PLAIN: u8 = 0;
const ZSTD: u8 = 1;

/// A chunk that is ready to be sealed.
#[derive(Clone, PartialEq, Eq)]
pub struct Prepared {
    id: ChunkId,
    class: Class,
    raw: u32,
    encoding: u8,
    payload: Vec<u8>,
}

/// Compresses chunks.
pub struct Preparer {
    compressor: Compressor<'static>,
    /// Where chunks are compressed to, so that what is kept of each has its own size.
    scratch: Vec<u8>,
}

impl Preparer {
    /// With this level of zstd, 1 being the usual one.
    ///
    /// # Errors
    /// Where there is no memory for it, or no such level.
    pub fn new(level: i32) -> io::Result<Self> {
        Ok(Self { compressor: Compressor::new(level)?, scratch: Vec::new() })
    }

    /// The chunk, compressed where that pays.
    pub fn prepare(&mut self, chunk: Identified<'_>) -> Prepared {
        let bytes = chunk.bytes();
        let worth = bytes.len() - bytes.len().div_ceil(PAYS);
        if self.scratch.len() < worth {
            self.scratch.resize(worth, 0);
        }
        let room = &mut self.scratch[..worth];
        // An error says that the result has no room, so that compression does not pay.
        let (encoding, payload) = match self.compressor.compress_to_buffer(bytes, room) {
            Ok(written) => (ZSTD, room[..written].to_vec()),
            Err(_) => (PLAIN, bytes.to_vec()),
        };
        let raw = u32::try_from(bytes.len()).expect("a chunk has at most 1 MiB");
        Prepared { id: chunk.id(), class: chunk.class(), raw, encoding, payload }
    }
}

impl fmt::Debug for Preparer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Preparer")
    }
}

impl Prepared {
    /// The id.
    pub fn id(&self) -> ChunkId {
        self.id
    }

    /// The class.
    pub fn class(&self) -> Class {
        self.class
    }

    /// Bytes of the chunk.
    pub fn raw_bytes(&self) -> u32 {
        self.raw
    }

    /// Bytes that it takes in a pack.
    pub fn stored_bytes(&self) -> u32 {
        u32::try_from(FRAME_BYTES + PREFIX_BYTES + self.payload.len()).expect("at most as many as the chunk, and 33")
    }

    pub(crate) fn write(&self, out: &mut Vec<u8>) {
        out.push(self.encoding);
        out.extend_from_slice(&self.raw.to_le_bytes());
        out.extend_from_slice(&self.payload);
    }
}

impl fmt::Debug for Prepared {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Prepared({}, {:?}, {} bytes as {})", self.id, self.class, self.raw, self.payload.len())
    }
}

/// What is wrong with what was sealed.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub(crate) enum Unreadable {
    #[error("it is not laid out as a chunk")]
    Layout,
    #[error("it does not decompress to {raw} bytes")]
    Compression { raw: u32 },
    #[error("the bytes are those of another chunk, {found}")]
    Other { found: ChunkId },
}

/// Makes chunks of what [`Preparer`] made.
pub(crate) struct Restorer {
    decompressor: Decompressor<'static>,
}

impl Restorer {
    pub(crate) fn new() -> io::Result<Self> {
        Ok(Self { decompressor: Decompressor::new()? })
    }

    /// The chunk's bytes, which are proven to be those of `id`.
    pub(crate) fn restore(
        &mut self,
        ids: &IdKey,
        class: Class,
        id: ChunkId,
        sealed: &[u8],
    ) -> Result<Vec<u8>, Unreadable> {
        let bytes = self.decode(sealed)?;
        let found = ids.id(class, &bytes);
        if found == id { Ok(bytes) } else { Err(Unreadable::Other { found }) }
    }

    /// The chunk as it was prepared, proven to be that of `id`; to be sealed into another pack.
    pub(crate) fn prepared(
        &mut self,
        ids: &IdKey,
        class: Class,
        id: ChunkId,
        sealed: &[u8],
    ) -> Result<Prepared, Unreadable> {
        let bytes = self.restore(ids, class, id, sealed)?;
        let (head, payload) = sealed.split_at_checked(PREFIX_BYTES).ok_or(Unreadable::Layout)?;
        let raw = u32::try_from(bytes.len()).map_err(|_| Unreadable::Layout)?;
        Ok(Prepared { id, class, raw, encoding: head[0], payload: payload.to_vec() })
    }

    fn decode(&mut self, sealed: &[u8]) -> Result<Vec<u8>, Unreadable> {
        let mut fields = Fields::new(sealed);
        let head = fields.u8().zip(fields.u32());
        let (encoding, raw) = head.filter(|(_, raw)| *raw as usize <= MOST_CHUNK_BYTES).ok_or(Unreadable::Layout)?;
        let payload = fields.bytes(fields.left()).unwrap_or_default();
        match encoding {
            PLAIN if payload.len() == raw as usize => Ok(payload.to_vec()),
            ZSTD => self.decompress(payload, raw).ok_or(Unreadable::Compression { raw }),
            _ => Err(Unreadable::Layout),
        }
    }

    fn decompress(&mut self, payload: &[u8], raw: u32) -> Option<Vec<u8>> {
        let mut bytes = Vec::with_capacity(raw as usize);
        let written = self.decompressor.decompress_to_buffer(payload, &mut bytes).ok()?;
        (written == raw as usize).then_some(bytes)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::{Secret, cut::tests::noise};

    fn ids() -> IdKey {
        IdKey::new(Secret::take(&mut [1; 32]))
    }

    fn sealed(bytes: &[u8]) -> (ChunkId, Vec<u8>) {
        let ids = ids();
        let prepared = Preparer::new(1).unwrap().prepare(ids.identify(Class::Data, bytes).unwrap());
        let mut sealed = Vec::new();
        prepared.write(&mut sealed);
        assert_eq!(prepared.stored_bytes() as usize, sealed.len() + FRAME_BYTES);
        (prepared.id(), sealed)
    }

    fn restore(id: ChunkId, sealed: &[u8]) -> Result<Vec<u8>, Unreadable> {
        Restorer::new().unwrap().restore(&ids(), Class::Data, id, sealed)
    }

    #[test]
    fn compression_is_used_only_where_it_pays() {
        let (_, text) = sealed(&b"tide mark ".repeat(1000));
        let (_, random) = sealed(&noise(1, 10_000));
        assert!(text[0] == ZSTD && text.len() < 200, "{}", text.len());
        assert_eq!((random[0], random.len()), (PLAIN, 10_005));
    }

    #[test]
    fn a_length_that_lies_allocates_nothing_and_is_found() {
        let (id, mut sealed) = sealed(&b"tide mark ".repeat(1000));
        sealed[1..5].copy_from_slice(&u32::MAX.to_le_bytes());
        assert_eq!(restore(id, &sealed), Err(Unreadable::Layout));
        sealed[1..5].copy_from_slice(&9_999_u32.to_le_bytes());
        assert_eq!(restore(id, &sealed), Err(Unreadable::Compression { raw: 9_999 }));
        sealed[1..5].copy_from_slice(&10_001_u32.to_le_bytes());
        assert_eq!(restore(id, &sealed), Err(Unreadable::Compression { raw: 10_001 }));
    }

    #[test]
    fn bytes_of_another_chunk_are_found_whatever_sealed_them() {
        let (id, _) = sealed(b"one");
        let (other, bytes) = sealed(b"two");
        assert_eq!(restore(id, &bytes), Err(Unreadable::Other { found: other }));
    }

    proptest! {
        #[test]
        fn chunks_round_trip(seed: u64, len in 1..70_000_usize, period in 1..5_000_usize) {
            let bytes: Vec<_> = noise(seed, period).into_iter().cycle().take(len).collect();
            let (id, sealed) = sealed(&bytes);
            prop_assert_eq!(restore(id, &sealed), Ok(bytes));
        }

        #[test]
        fn any_bytes_are_read_or_refused(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            let (id, _) = sealed(b"one");
            prop_assert!(restore(id, &bytes).is_err());
        }
    }
}
