//! Names of chunks: keyed digests of their bytes.

use std::fmt;

use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error as _};
use tidemark_gateway::Digest;

use crate::Secret;

/// Most bytes of one chunk. Chunks of streams and images are smaller ([`crate::cut::MOST_BYTES`]); pages may be so large.
pub const MOST_CHUNK_BYTES: usize = 1 << 20;

/// What chunks are for. Chunks of two classes never stand for each other, even with the same bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Class {
    /// Protected bytes.
    Data = 1,
    /// What describes them: lists of chunks, pages.
    Tree = 2,
}

impl Class {
    pub(crate) fn from_byte(byte: u8) -> Option<Self> {
        [Self::Data, Self::Tree].into_iter().find(|class| *class as u8 == byte)
    }
}

/// The name of a chunk: BLAKE3-256 of its bytes under the repository's key and its class. Without that key it tells nothing of
/// the bytes. Printed and serialised as 64 lower-case hexadecimal digits.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ChunkId([u8; 32]);

impl ChunkId {
    /// The id of these 32 bytes, as stored.
    pub fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// The 32 bytes.
    pub fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }

    /// The first 64 bits: ids sort by them first, and they are spread evenly.
    pub(crate) fn prefix(&self) -> u64 {
        let [a, b, c, d, e, f, g, h, ..] = self.0;
        u64::from_be_bytes([a, b, c, d, e, f, g, h])
    }
}

impl fmt::Display for ChunkId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&hex::encode(self.0))
    }
}

impl fmt::Debug for ChunkId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ChunkId({self})")
    }
}

impl Serialize for ChunkId {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for ChunkId {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let digits = Digest::deserialize(deserializer).map_err(D::Error::custom)?;
        Ok(Self(*digits.as_bytes()))
    }
}

/// The key that ids are made with. Cheap to clone is not needed: one per worker is.
#[derive(Clone, Debug)]
pub struct IdKey {
    whole: Secret,
    data: Secret,
    tree: Secret,
}

/// Bytes with the id that is known to be theirs.
#[derive(Clone, Copy)]
pub struct Identified<'a> {
    id: ChunkId,
    class: Class,
    bytes: &'a [u8],
}

impl fmt::Debug for Identified<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Identified({}, {:?}, {} bytes)", self.id, self.class, self.bytes.len())
    }
}

/// The bytes are no chunk.
#[derive(Debug, thiserror::Error)]
#[error("a chunk has from 1 to {MOST_CHUNK_BYTES} bytes, not {bytes}")]
pub struct SizeError {
    bytes: usize,
}

impl IdKey {
    /// From the key as it was handed over.
    pub fn new(whole: Secret) -> Self {
        let (data, tree) = (whole.derive("tidemark chunks v1 id data"), whole.derive("tidemark chunks v1 id tree"));
        Self { whole, data, tree }
    }

    /// The key, to be handed over a protected channel.
    pub fn secret(&self) -> &Secret {
        &self.whole
    }

    /// The id of `bytes`.
    pub fn id(&self, class: Class, bytes: &[u8]) -> ChunkId {
        let key = match class {
            Class::Data => &self.data,
            Class::Tree => &self.tree,
        };
        ChunkId(*blake3::keyed_hash(key.expose(), bytes).as_bytes())
    }

    /// `bytes` with their id.
    ///
    /// # Errors
    /// [`SizeError`] unless there are from 1 to [`MOST_CHUNK_BYTES`] of them.
    pub fn identify<'a>(&self, class: Class, bytes: &'a [u8]) -> Result<Identified<'a>, SizeError> {
        if !(1..=MOST_CHUNK_BYTES).contains(&bytes.len()) {
            return Err(SizeError { bytes: bytes.len() });
        }
        Ok(Identified { id: self.id(class, bytes), class, bytes })
    }
}

impl<'a> Identified<'a> {
    /// The id.
    pub fn id(&self) -> ChunkId {
        self.id
    }

    /// The class.
    pub fn class(&self) -> Class {
        self.class
    }

    /// The bytes.
    pub fn bytes(&self) -> &'a [u8] {
        self.bytes
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(byte: u8) -> IdKey {
        IdKey::new(Secret::take(&mut [byte; 32]))
    }

    #[test]
    fn ids_differ_by_bytes_class_and_repository() {
        let id = key(1).id(Class::Data, b"a");
        assert_eq!(id, key(1).id(Class::Data, b"a"));
        let others = [key(1).id(Class::Data, b"b"), key(1).id(Class::Tree, b"a"), key(2).id(Class::Data, b"a")];
        assert!(!others.contains(&id));
    }

    #[test]
    fn nothing_and_too_much_are_no_chunks() {
        assert!(key(1).identify(Class::Data, b"").is_err());
        assert!(key(1).identify(Class::Data, &vec![0; MOST_CHUNK_BYTES + 1]).is_err());
        assert_eq!(key(1).identify(Class::Data, &vec![0; MOST_CHUNK_BYTES]).unwrap().bytes().len(), MOST_CHUNK_BYTES);
    }

    #[test]
    fn text_round_trips() {
        let id = key(1).id(Class::Data, b"a");
        let json = serde_json::to_string(&id).unwrap();
        assert_eq!((json.len(), serde_json::from_str::<ChunkId>(&json).unwrap()), (66, id));
    }
}
