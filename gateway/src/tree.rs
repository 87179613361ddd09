//! Proofs for parts of a large object.
//!
//! BLAKE3 is itself a tree: the digest of an object follows from values of its blocks of 1 MiB. With these values at hand
//! one block can be proven without reading the others. They need no trust: a [`Tree`] whose root is the digest of an
//! object is the only one there is for it, so that a digest that is trusted proves the tree ([`Tree::proves`]), and the
//! tree proves each block ([`Tree::check`]).

mod hasher;

use std::{fmt, str::FromStr, sync::Arc};

use base64::{Engine, prelude::BASE64_STANDARD_NO_PAD};
use blake3::hazmat::{ChainingValue, HasherExt, Mode, merge_subtrees_non_root, merge_subtrees_root};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error as _};

use crate::Digest;

pub use hasher::TreeHasher;

/// Bytes of each block but the last, which has at least one.
pub const BLOCK_BYTES: usize = 1 << 20;

/// Most blocks of an object with a tree: 16 GiB, whose tree has 512 KiB.
pub const MOST_BLOCKS: usize = 16_384;

/// The BLAKE3 value of each block of an object, in order: from 2 to [`MOST_BLOCKS`]. Cheap to clone. Printed, parsed and
/// serialised as base64, standard and without padding, of the values of 32 bytes one behind the other.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Tree(Arc<[ChainingValue]>);

/// Why a block is not the one of the tree.
#[derive(Debug, thiserror::Error)]
pub enum Damage {
    /// There is no block of that number, or none of that length.
    #[error("a block {block} of {bytes} bytes, in a tree of {blocks} blocks of at most {BLOCK_BYTES} bytes")]
    Shape {
        /// Number of the block, from 0.
        block: u64,
        /// Its length.
        bytes: usize,
        /// Blocks of the tree.
        blocks: usize,
    },
    /// The bytes are others.
    #[error("block {block}: expected BLAKE3 {expected}, found {found}")]
    Value {
        /// Number of the block, from 0.
        block: u64,
        /// Its value in the tree.
        expected: Digest,
        /// The value of the bytes.
        found: Digest,
    },
}

/// The text is not one of a tree.
#[derive(Debug, thiserror::Error)]
#[error("{characters} characters are not the base64, without padding, of 2 to {MOST_BLOCKS} values of 32 bytes")]
pub struct ParseError {
    characters: usize,
}

impl Tree {
    /// Number of blocks.
    pub fn blocks(&self) -> usize {
        self.0.len()
    }

    /// The BLAKE3 of the object with these blocks.
    pub fn digest(&self) -> Digest {
        root(&self.0)
    }

    /// Whether this is the tree of the object of `size` bytes with that digest.
    pub fn proves(&self, size: u64, digest: &Digest) -> bool {
        self.blocks() as u64 == size.div_ceil(BLOCK_BYTES as u64) && self.digest() == *digest
    }

    /// Proves that `bytes` are block `block`, from 0, whole.
    ///
    /// # Errors
    /// [`Damage::Value`] where they are others; [`Damage::Shape`] where no block of that number has so many bytes.
    pub fn check(&self, block: u64, bytes: &[u8]) -> Result<(), Damage> {
        let expected = usize::try_from(block).ok().and_then(|at| self.0.get(at));
        let Some(expected) = expected.filter(|_| (1..=BLOCK_BYTES).contains(&bytes.len())) else {
            return Err(Damage::Shape { block, bytes: bytes.len(), blocks: self.blocks() });
        };
        let found =
            blake3::Hasher::new().set_input_offset(block * BLOCK_BYTES as u64).update(bytes).finalize_non_root();
        if found == *expected {
            return Ok(());
        }
        Err(Damage::Value { block, expected: digest(*expected), found: digest(found) })
    }
}

fn digest(value: ChainingValue) -> Digest {
    blake3::Hash::from_bytes(value).into()
}

/// Value of the subtree over at least one value.
fn fold(values: &[ChainingValue]) -> ChainingValue {
    match values {
        [value] => *value,
        _ => {
            let (left, right) = halves(values);
            merge_subtrees_non_root(&fold(left), &fold(right), Mode::Hash)
        }
    }
}

/// Digest of the whole over at least two values.
fn root(values: &[ChainingValue]) -> Digest {
    let (left, right) = halves(values);
    merge_subtrees_root(&fold(left), &fold(right), Mode::Hash).into()
}

/// As BLAKE3 does: to the left the greatest power of two that leaves something to the right.
fn halves(values: &[ChainingValue]) -> (&[ChainingValue], &[ChainingValue]) {
    values.split_at(values.len().div_ceil(2).next_power_of_two())
}

impl fmt::Display for Tree {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&BASE64_STANDARD_NO_PAD.encode(self.0.as_flattened()))
    }
}

impl fmt::Debug for Tree {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Tree({} blocks of {})", self.blocks(), self.digest())
    }
}

impl FromStr for Tree {
    type Err = ParseError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        const MOST_CHARACTERS: usize = (MOST_BLOCKS * blake3::OUT_LEN * 4).div_ceil(3);
        let error = || ParseError { characters: text.len() };
        let bounded = Some(text).filter(|text| text.len() <= MOST_CHARACTERS).ok_or_else(error)?;
        let bytes = BASE64_STANDARD_NO_PAD.decode(bounded).map_err(|_| error())?;
        match bytes.as_chunks() {
            (values, []) if (2..=MOST_BLOCKS).contains(&values.len()) => Ok(Self(values.into())),
            _ => Err(error()),
        }
    }
}

impl Serialize for Tree {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Tree {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(D::Error::custom)
    }
}

#[cfg(test)]
pub(crate) mod tests;
