//! What proves that stored bytes are the ones that were written.

use std::hash::{Hash, Hasher};

use serde::{Deserialize, Serialize};

use crate::{
    Digest,
    tree::{Tree, TreeHasher},
};

/// Size and digest of the stored bytes of one object; stands beside every reference to it.
///
/// Two are equal where they are of the same bytes, by size and digest: the tree follows from the bytes, and may not be
/// known.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Stored {
    /// Stored bytes.
    pub size: u64,
    /// BLAKE3 of the stored bytes.
    pub digest: Digest,
    /// What proves parts of them. As read, it is a claim until [`Tree::proves`] was asked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tree: Option<Tree>,
}

impl Stored {
    /// What an object holding exactly `bytes` looks like; with a tree where there is more than one block.
    pub fn of(bytes: &[u8]) -> Self {
        let mut hasher = TreeHasher::new();
        hasher.update(bytes);
        hasher.finish()
    }
}

impl PartialEq for Stored {
    fn eq(&self, other: &Self) -> bool {
        (self.size, self.digest) == (other.size, other.digest)
    }
}

impl Eq for Stored {}

impl Hash for Stored {
    fn hash<H: Hasher>(&self, state: &mut H) {
        (self.size, self.digest).hash(state);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tree::tests::noise;

    #[test]
    fn a_tree_that_is_not_known_makes_no_other_bytes() {
        let bytes = noise((2 << 20) + 1);
        let stored = Stored::of(&bytes);
        let known = Stored { tree: None, ..stored.clone() };
        assert!(stored.tree.is_some() && stored == known);
        assert_ne!(stored, Stored::of(&bytes[1..]));
    }

    #[test]
    fn json_of_small_objects_is_size_and_digest_alone() {
        let stored = Stored::of(b"abc");
        let json = serde_json::to_string(&stored).unwrap();
        assert_eq!(json, format!(r#"{{"size":3,"digest":"{}"}}"#, stored.digest));
        assert_eq!(serde_json::from_str::<Stored>(&json).unwrap(), stored);
    }

    #[test]
    fn json_of_large_objects_has_the_tree() {
        let stored = Stored::of(&noise(3 << 20));
        let json = serde_json::to_string(&stored).unwrap();
        let read: Stored = serde_json::from_str(&json).unwrap();
        assert_eq!((&read, &read.tree), (&stored, &stored.tree));
        assert!(serde_json::from_str::<Stored>(&json.replace("tree", "trees")).is_err());
    }
}
