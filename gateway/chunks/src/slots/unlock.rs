//! What opens a slot.

use std::fmt;

use argon2::{Algorithm, Argon2, Params, Version};
use serde::{Deserialize, Serialize};
use tidemark_gateway::Env;
use zeroize::Zeroizing;

use super::document::Fault;
use crate::Secret;

/// Most bytes of a passphrase.
pub const MOST_PASSPHRASE_BYTES: usize = 1024;

/// What a key file begins with; 64 hexadecimal digits follow.
const KEY_FILE: &str = "tidemark-key-1 ";

/// What it costs to try one passphrase. Bounded, because it is read from the store before anything is proven.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Argon2Cost {
    /// Memory, KiB: from 8 per lane to 1 GiB.
    pub memory_kib: u32,
    /// Passes over it, from 1 to 32.
    pub passes: u32,
    /// Lanes, from 1 to 16.
    pub lanes: u32,
}

impl Default for Argon2Cost {
    /// 64 MiB, 3 passes, 4 lanes: the second choice of RFC 9106, for where 2 GiB are too much.
    fn default() -> Self {
        Self { memory_kib: 64 << 10, passes: 3, lanes: 4 }
    }
}

impl Argon2Cost {
    fn params(self) -> Result<Params, Fault> {
        let Self { memory_kib, passes, lanes } = self;
        let bounded = memory_kib <= 1 << 20 && (1..=32).contains(&passes) && (1..=16).contains(&lanes);
        let params = bounded.then(|| Params::new(memory_kib, passes, lanes, Some(32)).ok()).flatten();
        params.ok_or(Fault::Cost { memory_kib, passes, lanes })
    }
}

/// A secret that opens a slot. Prints as `***`, and is wiped when it is dropped.
#[derive(Clone)]
pub enum Unlock {
    /// From a key file, see [`Unlock::key_file`].
    KeyFile(Secret),
    /// A passphrase, and what a slot that is made with it shall cost; to open one, the slot says it.
    Passphrase(Zeroizing<String>, Argon2Cost),
}

impl Unlock {
    /// From the text of a key file, as [`new_key_file`] makes it; white space at its end does not count.
    ///
    /// # Errors
    /// [`Fault::KeyFile`].
    pub fn key_file(text: &str) -> Result<Self, Fault> {
        let digits = text.trim_end().strip_prefix(KEY_FILE).ok_or(Fault::KeyFile)?;
        let mut bytes = Zeroizing::new([0; 32]);
        hex::decode_to_slice(digits, &mut *bytes).map_err(|_| Fault::KeyFile)?;
        Ok(Self::KeyFile(Secret::take(&mut bytes)))
    }

    /// A passphrase, with the usual cost.
    ///
    /// # Errors
    /// [`Fault::Passphrase`] unless it has from 1 to [`MOST_PASSPHRASE_BYTES`] bytes.
    pub fn passphrase(text: impl Into<Zeroizing<String>>) -> Result<Self, Fault> {
        let text = text.into();
        if !(1..=MOST_PASSPHRASE_BYTES).contains(&text.len()) {
            return Err(Fault::Passphrase);
        }
        Ok(Self::Passphrase(text, Argon2Cost::default()))
    }

    /// The key that seals the slot; `None` where the slot is opened by the other kind of secret.
    pub(super) fn key(&self, salt: &[u8; 16], cost: Option<Argon2Cost>) -> Result<Option<Secret>, Fault> {
        match (self, cost) {
            (Self::KeyFile(secret), None) => Ok(Some(of_file(secret, salt))),
            (Self::Passphrase(text, _), Some(cost)) => of_passphrase(text, salt, cost).map(Some),
            (Self::KeyFile(_), Some(_)) | (Self::Passphrase(..), None) => Ok(None),
        }
    }

    /// What a slot made with it costs.
    pub(super) fn cost(&self) -> Option<Argon2Cost> {
        match self {
            Self::KeyFile(_) => None,
            Self::Passphrase(_, cost) => Some(*cost),
        }
    }
}

fn of_file(secret: &Secret, salt: &[u8; 16]) -> Secret {
    let mut hasher = blake3::Hasher::new_keyed(secret.derive("tidemark chunks v1 key file").expose());
    Secret::take(&mut (*hasher.update(salt).finalize().as_bytes()).clone())
}

fn of_passphrase(text: &str, salt: &[u8; 16], cost: Argon2Cost) -> Result<Secret, Fault> {
    let argon2 = Argon2::new(Algorithm::Argon2id, Version::V0x13, cost.params()?);
    let mut key = Zeroizing::new([0; 32]);
    argon2.hash_password_into(text.as_bytes(), salt, &mut *key).map_err(|_| Fault::Memory)?;
    Ok(Secret::take(&mut key))
}

/// The text of a new key file. Who has it opens the slots that are made with it.
pub fn new_key_file(env: &Env) -> Zeroizing<String> {
    let digits = Zeroizing::new(hex::encode(Secret::random(env).expose()));
    Zeroizing::new(format!("{KEY_FILE}{}\n", *digits))
}

impl fmt::Debug for Unlock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::KeyFile(_) => f.write_str("KeyFile(***)"),
            Self::Passphrase(..) => f.write_str("Passphrase(***)"),
        }
    }
}
