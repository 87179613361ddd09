//! References to stored objects.

use object_store::path::Path;
use serde::{Deserialize, Serialize};
use tidemark_gateway::Digest;

/// A stored object, with what proves that it is the one that was written.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct StoredRef {
    /// Name in the store, from its root.
    pub key: String,
    /// Stored bytes.
    pub size: u64,
    /// BLAKE3 of the stored bytes.
    pub digest: Digest,
}

impl StoredRef {
    /// The name as a path of the store.
    pub fn path(&self) -> Path {
        Path::from(self.key.as_str())
    }
}
