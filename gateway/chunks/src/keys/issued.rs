//! Data keys in the hands of who writes and reads.

use std::{collections::HashMap, sync::Arc};

use object_store::path::Path;
use tidemark_gateway::Env;
use uuid::Uuid;

use super::{Error, RepositoryKey};
use crate::{
    Secret,
    frame::{Frames, Role},
    header::{self, HEADER_BYTES, Header, Kind},
};

/// A name with a new data key, to write one object with, once. It can go to another process by its parts.
#[derive(Clone, Debug)]
pub struct Issued {
    path: Path,
    header: Header,
    key: Secret,
}

impl Issued {
    /// From its parts, as they were handed over.
    pub fn from_parts(path: Path, header: Header, key: Secret) -> Self {
        Self { path, header, key }
    }

    /// The object's name.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The object's header, which has the wrapped key.
    pub fn header(&self) -> &Header {
        &self.header
    }

    /// The data key.
    pub fn key(&self) -> &Secret {
        &self.key
    }

    pub(crate) fn frames(&self) -> Frames {
        Frames::new(&self.key, self.header.repository)
    }

    /// All of an object of somebody else's format: header and one frame. For documents of at most [`MOST_OBJECT_BYTES`].
    ///
    /// # Panics
    /// Where there are more bytes, or the key was issued for another kind.
    pub fn seal_object(&self, env: &Env, bytes: &[u8]) -> Vec<u8> {
        assert!(bytes.len() <= MOST_OBJECT_BYTES && self.header.kind == Kind::Object);
        let mut out = self.header.to_bytes().to_vec();
        self.frames().seal(env, Role::Object, &mut out, |out| out.extend_from_slice(bytes));
        out
    }
}

/// Most bytes of what [`Issued::seal_object`] seals.
pub const MOST_OBJECT_BYTES: usize = 64 << 20;

/// Why a sealed object cannot be opened.
#[derive(Debug, thiserror::Error)]
pub enum ObjectError {
    /// It does not begin as one.
    #[error("{path} is no sealed object")]
    Header {
        /// The object.
        path: Path,
        /// Why.
        source: header::Error,
    },
    /// Its key is not to be had.
    #[error(transparent)]
    Key(#[from] Error),
    /// The bytes were changed.
    #[error("{path} is damaged: its seal is broken")]
    Damaged {
        /// The object.
        path: Path,
    },
}

/// The data keys that a process can come by.
#[derive(Clone, Debug)]
pub enum Keyring {
    /// All of the repository.
    Repository(RepositoryKey),
    /// Those of the objects of these names, in this repository.
    Given {
        /// The repository.
        repository: Uuid,
        /// By name.
        keys: Arc<HashMap<Path, Secret>>,
    },
}

impl Keyring {
    /// The repository.
    pub fn repository(&self) -> Uuid {
        match self {
            Self::Repository(key) => key.repository(),
            Self::Given { repository, .. } => *repository,
        }
    }

    pub(crate) fn frames(&self, path: &Path, header: &Header) -> Result<Frames, Error> {
        let key = match self {
            Self::Repository(key) => key.unwrap(path, header)?,
            Self::Given { keys, .. } => {
                keys.get(path).cloned().ok_or_else(|| Error::NotGiven { path: path.clone() })?
            }
        };
        Ok(Frames::new(&key, self.repository()))
    }

    /// What was sealed by [`Issued::seal_object`] and stored as `path`.
    ///
    /// # Errors
    /// [`ObjectError`] where it is anything else.
    pub fn open_object(&self, path: &Path, stored: &[u8]) -> Result<Vec<u8>, ObjectError> {
        let header =
            Header::read(stored, Kind::Object).map_err(|source| ObjectError::Header { path: path.clone(), source })?;
        let frames = self.frames(path, &header)?;
        let mut frame = stored[HEADER_BYTES..].to_vec();
        let open = frames.open(Role::Object, &mut frame);
        open.map(|open| open.to_vec()).map_err(|_| ObjectError::Damaged { path: path.clone() })
    }
}
