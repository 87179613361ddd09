//! References to stored objects.

use object_store::path::Path;
use serde::{Deserialize, Serialize};
use tidemark_gateway::{Digest, Stored, tree::Tree};

use crate::opaque::Opaque;

/// A stored object, with what proves that it is the one that was written. It is read by the [`door`](crate::door) alone.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct StoredRef {
    /// Name in the store, from its root.
    pub key: String,
    /// Stored bytes.
    pub size: u64,
    /// BLAKE3 of the stored bytes.
    pub digest: Digest,
    /// What proves parts of them, MiB by MiB; absent where that was not worth it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tree: Option<Tree>,
    /// How the stored bytes are sealed; absent where they are open.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub seal: Option<Box<Seal>>,
}

/// How stored bytes are encrypted. Nothing writes it yet.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Seal {
    /// The scheme.
    pub scheme: Scheme,
    /// The repository key that the data key is wrapped by.
    pub key_id: String,
    /// The data key, wrapped.
    pub wrapped_key: Opaque,
    /// Bytes when they are open.
    pub size: u64,
    /// BLAKE3 of the open bytes.
    pub digest: Digest,
}

/// Ways to encrypt stored bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Scheme {
    /// AES-256-GCM, a nonce for each seal.
    Aes256Gcm,
}

impl StoredRef {
    /// The reference of what was just stored under `path`, open.
    pub fn new(path: &Path, stored: Stored) -> Self {
        let Stored { size, digest, tree } = stored;
        Self { key: path.to_string(), size, digest, tree, seal: None }
    }

    /// What the stored bytes have to be.
    pub fn stored(&self) -> Stored {
        Stored { size: self.size, digest: self.digest, tree: self.tree.clone() }
    }

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
        StoredRef { key: key.to_owned(), ..StoredRef::new(&Path::default(), Stored::of(b"")) }.path()
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

    #[test]
    fn what_an_open_and_small_object_has_not_is_not_in_its_json() {
        let open = StoredRef::new(&Path::from("a/b"), Stored::of(b"abc"));
        let json = serde_json::to_value(&open).unwrap();
        assert_eq!(json.as_object().unwrap().len(), 3, "{json}");
        let large = StoredRef::new(&Path::from("a/b"), Stored::of(&vec![7; (2 << 20) + 1]));
        let seal = Seal {
            scheme: Scheme::Aes256Gcm,
            key_id: "one".to_owned(),
            wrapped_key: Opaque::new(vec![1, 2]),
            size: 3,
            digest: Digest::of(b"abc"),
        };
        let sealed = StoredRef { seal: Some(Box::new(seal)), ..large };
        let json = serde_json::to_string(&sealed).unwrap();
        assert!(json.contains(r#""scheme":"aes256-gcm""#) && json.contains(r#""tree":""#), "{json}");
        assert_eq!(serde_json::from_str::<StoredRef>(&json).unwrap(), sealed);
    }
}
