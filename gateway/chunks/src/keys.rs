//! The repository key, what follows from it, and the data keys that it wraps.
//!
//! One random key stands at the top; [`crate::slots`] keeps wrapped copies of it. From it follow the keys for cuts, ids, wrapping and
//! authenticating. Each pack, index and sealed object has a random data key of its own, wrapped in its own header and in the
//! index. So slots come and go without any data being written anew.
//!
//! A process that only writes or reads packs (a listener) gets the chunking and id keys and the data keys of these packs
//! ([`Issued`], [`Keyring::Given`]), never the repository key.

mod issued;

use std::{fmt, sync::Arc};

use object_store::path::Path;
use ring::aead::LessSafeKey;
use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error as _};
use tidemark_gateway::{Digest, Env};
use uuid::Uuid;

pub use issued::{Issued, Keyring, MOST_OBJECT_BYTES, ObjectError};

use crate::{
    Secret,
    cut::ChunkingKey,
    frame,
    header::{HEADER_BYTES, Header, Kind, MOST_PATH_BYTES},
    id::IdKey,
};

/// Which repository key: a public name that tells nothing of it. Printed and serialised as 32 hexadecimal digits.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct KeyId([u8; 16]);

/// Why there is no data key.
#[derive(Clone, Debug, thiserror::Error, PartialEq, Eq)]
pub enum Error {
    /// Of another repository.
    #[error("{path} belongs to repository {found}, not to {expected}")]
    Repository {
        /// The object.
        path: Path,
        /// The repository that is open.
        expected: Uuid,
        /// What the object says.
        found: Uuid,
    },
    /// Wrapped with another repository key.
    #[error("{path} is sealed with repository key {found}, not with {expected}")]
    WrongKey {
        /// The object.
        path: Path,
        /// The key that is open.
        expected: KeyId,
        /// What the object says.
        found: KeyId,
    },
    /// The header was changed, or is that of another object.
    #[error("the header of {path} is damaged or another object's: its key does not unwrap")]
    Damaged {
        /// The object.
        path: Path,
    },
    /// This process was given the keys of some objects, and not of this one.
    #[error("the key of {path} was not handed to this process")]
    NotGiven {
        /// The object.
        path: Path,
    },
    /// Longer than an index has room for.
    #[error("the name {path} has more than {MOST_PATH_BYTES} bytes")]
    LongName {
        /// The name.
        path: Path,
    },
}

/// The key of one repository. Cheap to clone.
#[derive(Clone)]
pub struct RepositoryKey(Arc<Inner>);

struct Inner {
    repository: Uuid,
    master: Secret,
    id: KeyId,
    wrap: LessSafeKey,
    authenticate: Secret,
}

impl RepositoryKey {
    /// A new key for a new repository.
    pub fn random(env: &Env, repository: Uuid) -> Self {
        Self::new(repository, Secret::random(env))
    }

    pub(crate) fn new(repository: Uuid, master: Secret) -> Self {
        let name = master.derive("tidemark chunks v1 key name");
        let [a, b, c, d, e, f, g, h, i, j, k, l, m, n, o, p, ..] = *name.expose();
        let id = KeyId([a, b, c, d, e, f, g, h, i, j, k, l, m, n, o, p]);
        let wrap = frame::cipher(&master.derive("tidemark chunks v1 wrap"));
        let authenticate = master.derive("tidemark chunks v1 authenticate");
        Self(Arc::new(Inner { repository, master, id, wrap, authenticate }))
    }

    /// The repository.
    pub fn repository(&self) -> Uuid {
        self.0.repository
    }

    /// The key's public name.
    pub fn id(&self) -> KeyId {
        self.0.id
    }

    pub(crate) fn master(&self) -> &Secret {
        &self.0.master
    }

    /// The key that decides on cuts.
    pub fn chunking(&self) -> ChunkingKey {
        ChunkingKey::new(self.0.master.derive("tidemark chunks v1 chunking"))
    }

    /// The key that ids are made with.
    pub fn ids(&self) -> IdKey {
        IdKey::new(self.0.master.derive("tidemark chunks v1 id"))
    }

    /// What proves to holders of this key that a holder of it wrote `bytes` for that purpose. Compare with `==`.
    pub fn authenticator(&self, purpose: &str, bytes: &[u8]) -> Digest {
        blake3::keyed_hash(self.0.authenticate.derive(purpose).expose(), bytes).into()
    }

    /// A new data key for a new object.
    ///
    /// # Errors
    /// [`Error::LongName`].
    pub fn issue(&self, env: &Env, kind: Kind, path: Path) -> Result<Issued, Error> {
        if path.as_ref().len() > MOST_PATH_BYTES {
            return Err(Error::LongName { path });
        }
        let (key, inner) = (Secret::random(env), &self.0);
        let associated = Header::associated(kind, inner.repository, inner.id, &path);
        let mut wrapped = Vec::with_capacity(HEADER_BYTES);
        frame::seal(&inner.wrap, env, &associated, &mut wrapped, |out| out.extend_from_slice(key.expose()));
        let wrapped = wrapped.try_into().expect("a nonce, 32 bytes and a tag have 60 bytes");
        let header = Header { kind, repository: inner.repository, key: inner.id, wrapped };
        Ok(Issued::from_parts(path, header, key))
    }

    /// The data key of `path`, whose header this is.
    ///
    /// # Errors
    /// [`Error::Repository`], [`Error::WrongKey`], [`Error::Damaged`].
    pub fn unwrap(&self, path: &Path, header: &Header) -> Result<Secret, Error> {
        let inner = &self.0;
        if header.repository != inner.repository {
            let (expected, found) = (inner.repository, header.repository);
            return Err(Error::Repository { path: path.clone(), expected, found });
        }
        if header.key != inner.id {
            return Err(Error::WrongKey { path: path.clone(), expected: inner.id, found: header.key });
        }
        let associated = Header::associated(header.kind, header.repository, header.key, path);
        let mut wrapped = header.wrapped;
        let opened = frame::open(&inner.wrap, &associated, &mut wrapped);
        let key = opened.ok().and_then(|key| <&mut [u8; 32]>::try_from(key).ok());
        key.map(Secret::take).ok_or_else(|| Error::Damaged { path: path.clone() })
    }
}

impl fmt::Debug for RepositoryKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "RepositoryKey({}, ***)", self.0.id)
    }
}

impl KeyId {
    pub(crate) fn from_bytes(bytes: [u8; 16]) -> Self {
        Self(bytes)
    }

    pub(crate) fn as_bytes(&self) -> &[u8; 16] {
        &self.0
    }
}

impl fmt::Display for KeyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&hex::encode(self.0))
    }
}

impl fmt::Debug for KeyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "KeyId({self})")
    }
}

impl Serialize for KeyId {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for KeyId {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let mut bytes = [0; 16];
        let text = String::deserialize(deserializer)?;
        hex::decode_to_slice(text, &mut bytes).map_err(D::Error::custom)?;
        Ok(Self(bytes))
    }
}

#[cfg(test)]
mod tests;
