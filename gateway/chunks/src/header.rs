//! The first bytes of packs and index objects: what they are, whose, and the wrapped key that the rest is sealed with.
//!
//! 104 bytes: magic `tidemark`, version (16 bits), kind, 0, repository (16), identity of the repository key (16), wrapped data key:
//! nonce (12), ciphertext (32), tag (16). The wrap is AES-256-GCM, and its associated data are the 44 bytes before it and the
//! object's name, so that no header serves for another object.

use object_store::path::Path;
use uuid::Uuid;

use crate::{fields::Fields, keys::KeyId};

/// Bytes of a header.
pub const HEADER_BYTES: usize = 104;

/// Number of the only format.
pub const VERSION: u16 = 1;

/// Most bytes of an object's name.
pub const MOST_PATH_BYTES: usize = 111;

const MAGIC: &[u8; 8] = b"tidemark";
const WRAPPED_BYTES: usize = 60;
const OPEN_BYTES: usize = HEADER_BYTES - WRAPPED_BYTES;

/// What an object is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Sealed chunks.
    Pack = 1,
    /// Where chunks are.
    Index = 2,
    /// One sealed object of somebody else's format.
    Object = 3,
}

/// A header as stored. Only unwrapping its key proves it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Header {
    pub(crate) kind: Kind,
    pub(crate) repository: Uuid,
    pub(crate) key: KeyId,
    pub(crate) wrapped: [u8; WRAPPED_BYTES],
}

/// The bytes are not those of a header.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum Error {
    /// Neither pack nor index.
    #[error("it does not begin as a pack or an index does")]
    Foreign,
    /// Of a later format.
    #[error("format {found} is not known, only {VERSION} is")]
    Version {
        /// The number found.
        found: u16,
    },
    /// Another kind of object.
    #[error("expected {expected:?}, found kind {found}")]
    Kind {
        /// What was looked for.
        expected: Kind,
        /// The number found.
        found: u8,
    },
}

impl Header {
    /// Reads a header of that kind.
    ///
    /// # Errors
    /// [`Error`] where it is none.
    pub fn read(bytes: &[u8], expected: Kind) -> Result<Self, Error> {
        let mut fields = Fields::new(bytes.get(..HEADER_BYTES).ok_or(Error::Foreign)?);
        if fields.array() != Some(*MAGIC) {
            return Err(Error::Foreign);
        }
        match fields.u16() {
            Some(VERSION) => {}
            found => return Err(Error::Version { found: found.unwrap_or(0) }),
        }
        let found = fields.u8().unwrap_or(0);
        if found != expected as u8 {
            return Err(Error::Kind { expected, found });
        }
        Self::rest(fields, expected).ok_or(Error::Foreign)
    }

    fn rest(mut fields: Fields<'_>, kind: Kind) -> Option<Self> {
        if fields.u8()? != 0 {
            return None;
        }
        let (repository, key) = (Uuid::from_bytes(fields.array()?), KeyId::from_bytes(fields.array()?));
        Some(Self { kind, repository, key, wrapped: fields.array()? })
    }

    /// The repository that it says it belongs to.
    pub fn repository(&self) -> Uuid {
        self.repository
    }

    /// The repository key that its key is wrapped with.
    pub fn key_id(&self) -> KeyId {
        self.key
    }

    /// As stored.
    pub fn to_bytes(&self) -> [u8; HEADER_BYTES] {
        let mut bytes = [0; HEADER_BYTES];
        bytes[..OPEN_BYTES].copy_from_slice(&open(self.kind, self.repository, self.key));
        bytes[OPEN_BYTES..].copy_from_slice(&self.wrapped);
        bytes
    }

    /// What the wrap is bound to.
    pub(crate) fn associated(kind: Kind, repository: Uuid, key: KeyId, path: &Path) -> Vec<u8> {
        let mut associated = open(kind, repository, key).to_vec();
        associated.extend_from_slice(path.as_ref().as_bytes());
        associated
    }
}

fn open(kind: Kind, repository: Uuid, key: KeyId) -> [u8; OPEN_BYTES] {
    let mut bytes = [0; OPEN_BYTES];
    bytes[..8].copy_from_slice(MAGIC);
    bytes[8..10].copy_from_slice(&VERSION.to_le_bytes());
    bytes[10] = kind as u8;
    bytes[12..28].copy_from_slice(repository.as_bytes());
    bytes[28..].copy_from_slice(key.as_bytes());
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    fn header() -> Header {
        Header { kind: Kind::Pack, repository: Uuid::from_u128(5), key: KeyId::from_bytes([6; 16]), wrapped: [7; 60] }
    }

    #[test]
    fn headers_round_trip() {
        assert_eq!(Header::read(&header().to_bytes(), Kind::Pack), Ok(header()));
    }

    #[test]
    fn what_is_no_header_is_refused_by_its_reason() {
        let bytes = header().to_bytes();
        assert_eq!(Header::read(&bytes[1..], Kind::Pack), Err(Error::Foreign));
        assert_eq!(Header::read(&bytes, Kind::Index), Err(Error::Kind { expected: Kind::Index, found: 1 }));
        let changed = |at: usize, to: u8| {
            let mut bytes = bytes;
            bytes[at] = to;
            Header::read(&bytes, Kind::Pack)
        };
        assert_eq!(changed(0, b'T'), Err(Error::Foreign));
        assert_eq!(changed(8, 2), Err(Error::Version { found: 2 }));
        assert_eq!(changed(11, 1), Err(Error::Foreign));
    }
}
