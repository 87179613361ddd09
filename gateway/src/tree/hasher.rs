//! Size, digest and tree of bytes in one pass.

use blake3::{
    Hasher,
    hazmat::{ChainingValue, HasherExt},
};

use super::{BLOCK_BYTES, MOST_BLOCKS, Tree, fold, root};
use crate::Stored;

/// Hashes bytes once, about as fast as [`blake3::Hasher`]. Memory: 32 bytes for each block, at most 512 KiB.
#[derive(Debug)]
pub struct TreeHasher {
    size: u64,
    /// The block under way. It may be full: only a further byte tells that it is not the last one.
    block: Hasher,
    /// Blocks before it.
    values: Vec<ChainingValue>,
    /// Most values at a time, a power of two.
    most: usize,
    /// Values of whole runs of `most` blocks, which come before; an object with any is too long for a tree.
    runs: Vec<ChainingValue>,
}

impl Default for TreeHasher {
    fn default() -> Self {
        Self::new()
    }
}

impl TreeHasher {
    /// Of no bytes yet.
    pub fn new() -> Self {
        Self::with_most(MOST_BLOCKS)
    }

    pub(super) fn with_most(most: usize) -> Self {
        Self { size: 0, block: Hasher::new(), values: Vec::new(), most, runs: Vec::new() }
    }

    /// Bytes so far.
    pub fn size(&self) -> u64 {
        self.size
    }

    /// Adds bytes.
    pub fn update(&mut self, mut bytes: &[u8]) -> &mut Self {
        while !bytes.is_empty() {
            if self.room() == 0 {
                self.end_block();
                self.block = Hasher::new();
                self.block.set_input_offset(self.size);
            }
            let (now, rest) = bytes.split_at(self.room().min(bytes.len()));
            self.block.update(now);
            self.size += now.len() as u64;
            bytes = rest;
        }
        self
    }

    fn room(&self) -> usize {
        BLOCK_BYTES - usize::try_from(self.block.count()).unwrap_or(BLOCK_BYTES)
    }

    fn end_block(&mut self) {
        if self.values.len() == self.most {
            self.runs.push(fold(&self.values));
            self.values.clear();
        }
        self.values.push(self.block.finalize_non_root());
    }

    /// What proves all bytes; with a tree where they have from 2 to [`MOST_BLOCKS`] blocks.
    pub fn finish(mut self) -> Stored {
        let size = self.size;
        if self.values.is_empty() {
            return Stored { size, digest: self.block.finalize().into(), tree: None };
        }
        self.end_block();
        if self.runs.is_empty() {
            let tree = Tree(self.values.into());
            return Stored { size, digest: tree.digest(), tree: Some(tree) };
        }
        self.runs.push(fold(&self.values));
        Stored { size, digest: root(&self.runs), tree: None }
    }
}
