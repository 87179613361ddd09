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
    /// The name as a path of the store; of a hostile key, a path that stays within the store.
    pub fn path(&self) -> Path {
        // A key is a path already: encoding it again would name another object wherever it holds a '%'.
        Path::parse(&self.key).unwrap_or_else(|_| Path::from(self.key.as_str()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn path_of(key: &str) -> Path {
        StoredRef { key: key.to_owned(), size: 0, digest: Digest::of(b"") }.path()
    }

    #[test]
    fn the_path_of_a_written_object_is_found_again_from_its_key() {
        for name in ["sources/s/pages/1-2", "staged/a file#1", "staged/50%", "staged/ä", "staged/a*b"] {
            let written = Path::from(name);
            assert_eq!(path_of(written.as_ref()), written, "{name}");
        }
    }

    #[test]
    fn a_hostile_key_stays_within_the_store() {
        for key in ["../../etc/passwd", "/etc/passwd", "a/../../b", "a//b", ".", "..", "a/./b"] {
            let path = path_of(key);
            assert!(path.parts().all(|part| !matches!(part.as_ref(), "" | "." | "..")), "{key}: {path}");
        }
    }
}
