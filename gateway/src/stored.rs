//! What proves that stored bytes are the ones that were written.

use serde::{Deserialize, Serialize};

use crate::Digest;

/// Size and digest of the stored bytes of one object; stands beside every reference to it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Stored {
    /// Stored bytes.
    pub size: u64,
    /// BLAKE3 of the stored bytes.
    pub digest: Digest,
}

impl Stored {
    /// What an object holding exactly `bytes` looks like.
    pub fn of(bytes: &[u8]) -> Self {
        Self { size: bytes.len() as u64, digest: Digest::of(bytes) }
    }
}
