//! Reading parts of an object from threads that may block, each proven before it is given.
//!
//! How depends on what is known of the object and on its size:
//! - with a [`Tree`], each block that a range touches is fetched whole and checked: only what is read is fetched, and damage
//!   is found where it is read;
//! - without, an object of at most one block, or up to a limit that the reader's owner gives, is fetched whole when it is
//!   opened, checked, and kept;
//! - a larger one is read through once when it is opened, and then read plainly: what is damaged later is not noticed.

mod kept;

use std::{
    fmt,
    io::{Error, ErrorKind},
    ops::Range,
    sync::Arc,
};

use bytes::Bytes;
use object_store::{ObjectStore, path::Path};
use tokio::runtime::Handle;

use self::kept::Kept;
use crate::{
    Digest, Stored,
    blocking::ObjectReader,
    tree::{self, Tree},
};

/// Bytes of a block, as offsets have them.
const BLOCK_BYTES: u64 = tree::BLOCK_BYTES as u64;

/// Bytes of a request of the pass over a large object.
const PASS_BYTES: u64 = 8 << 20;

/// The object is not the one that was written; within an [`std::io::Error`] of kind `InvalidData`.
#[derive(Debug, thiserror::Error)]
pub enum Damaged {
    /// A block is another.
    #[error("{path} is damaged in bytes {start} to {end}: {damage}", start = .bytes.start, end = .bytes.end)]
    Block {
        /// The object.
        path: Path,
        /// The bytes of the block.
        bytes: Range<u64>,
        /// What is wrong with it.
        damage: tree::Damage,
    },
    /// The bytes are others, somewhere in the whole object.
    #[error("{path} is damaged in bytes 0 to {size}: expected BLAKE3 {expected}, found {found}")]
    Whole {
        /// The object.
        path: Path,
        /// Its size, bytes.
        size: u64,
        /// As written.
        expected: Digest,
        /// As stored now.
        found: Digest,
    },
    /// What is known of the object contradicts itself.
    #[error(
        "{path} of {size} bytes and BLAKE3 {expected} is told to have a tree of {blocks} blocks and BLAKE3 {found}"
    )]
    Tree {
        /// The object.
        path: Path,
        /// Its size, bytes.
        size: u64,
        /// Its digest.
        expected: Digest,
        /// Blocks of the tree.
        blocks: usize,
        /// The digest that the tree leads to.
        found: Digest,
    },
}

/// One object, read in ranges by decoders that run outside the async runtime. Cheap to clone; reads nothing ahead but to the
/// ends of blocks. Memory: with a tree the last block read, by each clone; an object fetched whole; or else nothing.
#[derive(Clone)]
pub struct ProvenReader {
    object: ObjectReader,
    proof: Proof,
}

#[derive(Clone)]
enum Proof {
    Whole(Bytes),
    Tree(Tree, Kept),
    Passed,
}

impl ProvenReader {
    /// Opens `path`, which has to hold what `stored` tells; requests run on `runtime`. Without a tree, objects of at most
    /// `whole_bytes` bytes, and all of one block, are held in memory; larger ones are read twice.
    ///
    /// # Errors
    /// `InvalidData` with [`Damaged`] where the bytes are others, or the tree is not the one of the digest; else as
    /// [`ProvenReader::read_at`].
    ///
    /// # Panics
    /// Within an async task: call it from `spawn_blocking` or a thread of its own.
    pub fn open(
        store: Arc<dyn ObjectStore>,
        path: Path,
        stored: &Stored,
        whole_bytes: u64,
        runtime: Handle,
    ) -> Result<Self, Error> {
        let object = ObjectReader::new(store, path, stored.size, runtime);
        let proof = match &stored.tree {
            Some(tree) => Proof::Tree(sound(&object, tree, stored)?, Kept::default()),
            None if stored.size <= whole_bytes.max(BLOCK_BYTES) => Proof::Whole(whole(&object, stored)?),
            None => pass(&object, stored)?,
        };
        Ok(Self { object, proof })
    }

    /// Size of the object, bytes.
    pub fn size(&self) -> u64 {
        self.object.size()
    }

    /// The object's name.
    pub fn path(&self) -> &Path {
        self.object.path()
    }

    /// Exactly the `len` bytes from `offset` on. They may share the memory of the blocks they lie in.
    ///
    /// # Errors
    /// `InvalidData` with [`Damaged`] where a block that they lie in is another; `UnexpectedEof` where the range reaches past
    /// the object's end or the store holds less than the blocks it lies in; `NotFound`; else `Other` with the store's error
    /// as its source. Each names the object and the range.
    ///
    /// # Panics
    /// Within an async task: call it from `spawn_blocking` or a thread of its own.
    pub fn read_at(&self, offset: u64, len: usize) -> Result<Bytes, Error> {
        let end = self.object.end(offset, len)?;
        match &self.proof {
            _ if len == 0 => Ok(Bytes::new()),
            Proof::Whole(bytes) => Ok(part(bytes, offset, len)),
            Proof::Tree(tree, kept) => self.blocks(tree, kept, offset, end),
            Proof::Passed => self.object.read_at(offset, len),
        }
    }

    /// The bytes from `offset` to `end`, at least one.
    fn blocks(&self, tree: &Tree, kept: &Kept, offset: u64, end: u64) -> Result<Bytes, Error> {
        let start = offset - offset % BLOCK_BYTES;
        let head = kept.get(start).unwrap_or_default();
        let next = start + head.len() as u64;
        let tail = if next < end { self.fetch(tree, kept, next, end)? } else { Bytes::new() };
        Ok(joined(&head, &tail, offset - start, end - start))
    }

    /// The blocks from the one that starts at `start` to the one that holds the byte before `end`, checked.
    fn fetch(&self, tree: &Tree, kept: &Kept, start: u64, end: u64) -> Result<Bytes, Error> {
        let end = end.next_multiple_of(BLOCK_BYTES).min(self.size());
        let bytes = self.object.read_at(start, length(end - start))?;
        let blocks = (start..end).step_by(tree::BLOCK_BYTES).zip(bytes.chunks(tree::BLOCK_BYTES));
        for (at, block) in blocks.clone() {
            let damaged =
                |damage| Damaged::Block { path: self.path().clone(), bytes: at..at + block.len() as u64, damage };
            tree.check(at / BLOCK_BYTES, block).map_err(|damage| invalid(damaged(damage)))?;
        }
        if let Some((at, block)) = blocks.last() {
            kept.put(at, &bytes, block);
        }
        Ok(bytes)
    }
}

impl fmt::Debug for ProvenReader {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ProvenReader").field("object", &self.object).finish_non_exhaustive()
    }
}

/// The tree, where it is the one of the digest.
fn sound(object: &ObjectReader, tree: &Tree, stored: &Stored) -> Result<Tree, Error> {
    let &Stored { size, digest: expected, .. } = stored;
    if tree.proves(size, &expected) {
        return Ok(tree.clone());
    }
    let (path, blocks, found) = (object.path().clone(), tree.blocks(), tree.digest());
    Err(invalid(Damaged::Tree { path, size, expected, blocks, found }))
}

fn whole(object: &ObjectReader, stored: &Stored) -> Result<Bytes, Error> {
    let bytes = object.read_at(0, length(stored.size))?;
    same(object, stored, Digest::of(&bytes))?;
    Ok(bytes)
}

/// Reads all bytes once, keeping none.
fn pass(object: &ObjectReader, stored: &Stored) -> Result<Proof, Error> {
    let (mut hasher, mut offset) = (blake3::Hasher::new(), 0);
    while offset < stored.size {
        let bytes = object.read_at(offset, length(PASS_BYTES.min(stored.size - offset)))?;
        hasher.update(&bytes);
        offset += bytes.len() as u64;
    }
    same(object, stored, hasher.finalize().into())?;
    Ok(Proof::Passed)
}

fn same(object: &ObjectReader, stored: &Stored, found: Digest) -> Result<(), Error> {
    let &Stored { size, digest: expected, .. } = stored;
    if found == expected {
        return Ok(());
    }
    Err(invalid(Damaged::Whole { path: object.path().clone(), size, expected, found }))
}

fn invalid(damaged: Damaged) -> Error {
    Error::new(ErrorKind::InvalidData, damaged)
}

/// A length in memory. What no address reaches is more than a store gives: the request for it fails.
fn length(bytes: u64) -> usize {
    usize::try_from(bytes).unwrap_or(usize::MAX)
}

fn part(bytes: &Bytes, offset: u64, len: usize) -> Bytes {
    let start = length(offset);
    bytes.slice(start..start + len)
}

/// Bytes `from` to `to` of `head` and `tail`, one behind the other; copied only where they lie in both.
fn joined(head: &Bytes, tail: &Bytes, from: u64, to: u64) -> Bytes {
    let (from, to) = (length(from), length(to));
    if to <= head.len() {
        return head.slice(from..to);
    }
    if head.is_empty() {
        return tail.slice(from..to);
    }
    [&head[from..], &tail[..to - head.len()]].concat().into()
}

#[cfg(test)]
mod tests;
