//! The document of a slot.

use std::sync::Arc;

use serde::{Deserialize, Serialize};
use tidemark_gateway::{Digest, Env, fetch};
use uuid::Uuid;

use super::unlock::{Argon2Cost, Unlock};
use crate::{
    Secret, frame,
    keys::{KeyId, RepositoryKey},
};

const KIND: &str = "key-slot";
const FORMAT: u32 = 1;
const PURPOSE: &str = "key slot";

/// Bytes of a sealed key: nonce, key, tag.
const SEALED_BYTES: usize = 60;

/// Why a slot does not open, or cannot be made.
#[derive(Clone, Debug, thiserror::Error)]
pub enum Fault {
    /// Whole as far as can be seen; the secret is another one, or the slot was changed.
    #[error("the secret is not the one of this slot")]
    Wrong,
    /// Opened by a passphrase where a key file was given, or the other way round.
    #[error("it is opened by a {0}")]
    OtherKind(SlotKind),
    /// Of another repository.
    #[error("it belongs to repository {found}")]
    Repository {
        /// What it says.
        found: Uuid,
    },
    /// It opened, and does not hold the key that it says.
    #[error("it does not hold the key that it names")]
    Key,
    /// Not a slot.
    #[error("it is damaged: {0}")]
    Layout(String),
    /// Of a later format.
    #[error("format {found} is not known")]
    Format {
        /// Its number.
        found: u32,
    },
    /// A cost out of bounds, which is not paid.
    #[error("its cost is out of bounds: {memory_kib} KiB, {passes} passes, {lanes} lanes")]
    Cost {
        /// Memory, KiB.
        memory_kib: u32,
        /// Passes.
        passes: u32,
        /// Lanes.
        lanes: u32,
    },
    /// It cannot be read.
    #[error("it cannot be read")]
    Read(#[source] Arc<fetch::Error>),
    /// The key file is none.
    #[error("that is no key file")]
    KeyFile,
    /// The passphrase is empty or too long.
    #[error("a passphrase has from 1 to 1024 bytes")]
    Passphrase,
    /// There is no memory for the cost.
    #[error("no memory to try the passphrase")]
    Memory,
    /// The process is about to end.
    #[error("it was cancelled")]
    Cancelled,
}

/// What opens a slot.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SlotKind {
    /// A key file.
    KeyFile,
    /// A passphrase.
    Passphrase,
}

impl std::fmt::Display for SlotKind {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::KeyFile => "key file",
            Self::Passphrase => "passphrase",
        })
    }
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Document {
    document: String,
    format: u32,
    body: Slot,
}

/// Kind and number alone, whatever else there is.
#[derive(Deserialize)]
struct Head {
    document: String,
    format: u32,
}

/// A slot as stored.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Slot {
    open: Open,
    #[serde(with = "digits")]
    sealed: [u8; SEALED_BYTES],
    proof: Digest,
}

/// What is not sealed, but what the seal is bound to.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Open {
    repository: Uuid,
    key: KeyId,
    #[serde(with = "digits")]
    salt: [u8; 16],
    #[serde(default, skip_serializing_if = "Option::is_none")]
    argon2id: Option<Argon2Cost>,
}

impl Open {
    fn bytes(&self) -> Vec<u8> {
        let cost = self.argon2id.map_or([0; 3], |cost| [cost.memory_kib, cost.passes, cost.lanes]);
        let mut bytes = [*self.repository.as_bytes(), *self.key.as_bytes(), self.salt].concat();
        bytes.extend(cost.into_iter().flat_map(u32::to_le_bytes));
        bytes
    }
}

impl Slot {
    pub(super) fn seal(env: &Env, key: &RepositoryKey, unlock: &Unlock) -> Result<Self, Fault> {
        let (repository, salt, argon2id) = (key.repository(), env.random(), unlock.cost());
        let open = Open { repository, key: key.id(), salt, argon2id };
        let wrap = unlock.key(&salt, argon2id)?.ok_or(Fault::Wrong)?;
        let mut sealed = Vec::with_capacity(SEALED_BYTES);
        frame::seal(&frame::cipher(&wrap), env, &open.bytes(), &mut sealed, |out| {
            out.extend_from_slice(key.master().expose());
        });
        let sealed = sealed.try_into().expect("a nonce, 32 bytes and a tag have 60 bytes");
        let proof = proof(key, &open, &sealed);
        Ok(Self { open, sealed, proof })
    }

    pub(super) fn open(&self, unlock: &Unlock, repository: Uuid) -> Result<RepositoryKey, Fault> {
        if self.open.repository != repository {
            return Err(Fault::Repository { found: self.open.repository });
        }
        let wrap = unlock.key(&self.open.salt, self.open.argon2id)?.ok_or(Fault::OtherKind(self.kind()))?;
        let mut sealed = self.sealed;
        let opened = frame::open(&frame::cipher(&wrap), &self.open.bytes(), &mut sealed).map_err(|_| Fault::Wrong)?;
        let master = <&mut [u8; 32]>::try_from(opened).map(Secret::take).map_err(|_| Fault::Wrong)?;
        let key = RepositoryKey::new(repository, master);
        if self.is_of(&key) { Ok(key) } else { Err(Fault::Key) }
    }

    /// Whether a holder of the key made it.
    pub(super) fn is_of(&self, key: &RepositoryKey) -> bool {
        self.open.key == key.id()
            && self.open.repository == key.repository()
            && self.proof == proof(key, &self.open, &self.sealed)
    }

    pub(super) fn kind(&self) -> SlotKind {
        if self.open.argon2id.is_some() { SlotKind::Passphrase } else { SlotKind::KeyFile }
    }

    pub(super) fn key_id(&self) -> KeyId {
        self.open.key
    }

    pub(super) fn to_json(&self) -> Vec<u8> {
        let document = Document { document: KIND.into(), format: FORMAT, body: self.clone() };
        serde_json::to_vec_pretty(&document).expect("a slot has only text and numbers")
    }

    pub(super) fn from_json(bytes: &[u8]) -> Result<Self, Fault> {
        let layout = |error: serde_json::Error| Fault::Layout(error.to_string());
        let head: Head = serde_json::from_slice(bytes).map_err(layout)?;
        if head.document != KIND {
            return Err(Fault::Layout("it is another document".into()));
        }
        if head.format != FORMAT {
            return Err(Fault::Format { found: head.format });
        }
        let document: Document = serde_json::from_slice(bytes).map_err(layout)?;
        Ok(document.body)
    }
}

fn proof(key: &RepositoryKey, open: &Open, sealed: &[u8; SEALED_BYTES]) -> Digest {
    let mut bytes = open.bytes();
    bytes.extend_from_slice(sealed);
    key.authenticator(PURPOSE, &bytes)
}

/// Bytes as hexadecimal digits.
mod digits {
    use serde::{Deserialize, Deserializer, Serializer, de::Error as _};

    pub(super) fn serialize<S: Serializer, const N: usize>(bytes: &[u8; N], serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&hex::encode(bytes))
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>, const N: usize>(deserializer: D) -> Result<[u8; N], D::Error> {
        let mut bytes = [0; N];
        hex::decode_to_slice(String::deserialize(deserializer)?, &mut bytes).map_err(D::Error::custom)?;
        Ok(bytes)
    }
}
