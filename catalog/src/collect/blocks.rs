//! Needs blocks: what the versions of many numbers need, told at once, so that a collection does not read their manifests, pages and
//! entries again and again.
//!
//! A block of level 0 tells of [`NUMBERS`] consecutive numbers of a set, one of level 1 of as many blocks of level 0, and so on. It
//! lies beside the manifests, tells of each version of its numbers that was not gone when it was written, and never changes. A reading
//! takes the highest blocks that it can use, and reads the manifests of all other numbers. [`mark`](super::Collector::mark) writes
//! what is missing after its round is stored: a block of level 0 of what it has read, one of a higher level of blocks that it has used.
//! [`sweep`](super::Collector::sweep) deletes those that are of no use any more. Both are seldom: of a set that is `n` numbers long a
//! reading reads fewer than [`NUMBERS`] blocks of each level and manifests of as many numbers.
//!
//! **A block is nothing but a copy.** What a version needs follows from the bytes of its manifest, for these name all else by digest.
//! So what a block tells is right for ever, whoever wrote it and when: a process that was frozen, a collector of an older generation,
//! two at once. Nothing rests on a block being there, so that it may be deleted at any time, under a reading too.
//!
//! **Why no block makes a needed object look unneeded.**
//! - *It is the one that was written*: the name that is listed carries the digest of the stored bytes. What does not match, cannot be
//!   decoded, is of another set or range, or contradicts itself is not used, and its numbers are read.
//! - *It is of this chain*: `end` is the digest of its last manifest. It is used only where the manifest after it links to that
//!   digest, or where that is the first of a block that is used and was linked to it; where that manifest cannot be read, the stored bytes
//!   of the last one must have it. Each manifest carries the digest of the one before it, so that the digest of the last one stands
//!   for all of them: another chain of the same name, a store that was rolled back and went on otherwise, is noticed. `before` and `end`
//!   are written only where the links lead through the very manifests, or blocks, that the block is made of, and all between: what was
//!   read before a store was rolled back is never bound to what is there then.
//! - *What it does not tell, it does not deny*: a number that is not gone for the reading and not told by a block is read, also where it
//!   lies in the middle of one. A version that was gone for the writer and is not for the reader costs a request and nothing else.
//! - *It tells only what was proven and read whole*: a version of which anything cannot be read stops the reading, and nothing is
//!   written; one that was given up and cannot be read is gone, and not told.
//! - *Damage that comes later*: a manifest, page or entry that is damaged after a block was written is not noticed by a
//!   collection, as nothing reads it. What it named is kept all the same. Only its own number has to be there still.
//! - *Sealed damage* (`catalog/src/repair.rs`) is at the end of a chain, and no block tells of the newest number. Where a later number was
//!   taken away first, so that the last manifest of a block became the newest, the seal links to the damaged bytes and the block is not
//!   used.
//! - *The second reading of a sweep* may use them: what was committed before the barriers either was there when a block was
//!   written, and the block tells of it, or is told by none and read. A block adds no number to a chain and hides none: the numbers come
//!   from the listing of manifests after the barriers. All sweeps of a round name the same, with blocks or without.
//! - *Lists that lag*: a block that is not listed is not used; one that reaches beyond the last number that is listed is not used
//!   either.
//!
//! **Cost.** A reading holds 4 bytes for each object that a block names, over all blocks that it uses, at most 63 of each level; while a
//! block is decoded, some 80 bytes for each object in it, and four are decoded at a time. Writing one holds about 150 bytes for each object
//! in it. A block whose JSON would be larger than a document may be, some 1.9 million names, is not written, and its numbers are read as
//! before.
//!
//! **A crash** leaves blocks or none; the next mark goes on.

use object_store::path::Path;
use tidemark_gateway::Digest;

use crate::{
    chain::Part,
    ids::{SetId, VersionNumber},
    layout,
    marks::Gone,
    stored::StoredRef,
};

mod build;
mod over;
mod read;
mod stored;
#[cfg(test)]
pub(super) mod tests;
mod write;

pub(super) use over::over;
pub(super) use stored::{Block, Told};

/// Numbers that a block of level 0 tells of, and blocks of one level that one of the next stands for.
pub(super) const NUMBERS: u64 = 64;

/// A block as its name tells of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Listed {
    pub(super) level: u8,
    pub(super) first: u64,
    pub(super) last: u64,
    pub(super) stored: StoredRef,
}

impl Listed {
    /// The block of this name; `None` of a foreign one, such as one whose numbers are not those of any block.
    fn parse(path: &Path, bytes: u64, numbers: u64) -> Option<Self> {
        let (level, last, _, digest) = layout::needs_parts(path.filename()?)?;
        let span = span(level, numbers)?;
        let whole = last.0 > 0 && last.0.is_multiple_of(span);
        let stored = StoredRef { key: path.to_string(), size: bytes, digest, tree: None, seal: None };
        whole.then(|| Self { level, first: last.0 - span + 1, last: last.0, stored })
    }

    fn holds(&self, other: &Self) -> bool {
        self.first <= other.first && other.last <= self.last
    }

    fn is_gone(&self, set: &SetId, gone: &Gone) -> bool {
        (self.first..=self.last).all(|number| gone.contains(set, VersionNumber(number)))
    }
}

/// How many numbers a block of a level tells of.
fn span(level: u8, numbers: u64) -> Option<u64> {
    numbers.checked_pow(u32::from(level) + 1)
}

/// A block that is used, as a reading holds it.
#[derive(Debug)]
pub(super) struct Used {
    pub(super) listed: Listed,
    pub(super) before: Option<Digest>,
    pub(super) end: Digest,
    pub(super) versions: Vec<Told>,
    /// What versions need that are not gone.
    pub(super) groups: Vec<Group>,
}

impl Used {
    /// Its numbers as a part of the chain.
    fn part(&self) -> Part {
        Part { first: self.listed.first, last: self.listed.last, before: self.before, end: self.end }
    }
}

/// Names that the same versions need, of the same object.
#[derive(Debug)]
pub(super) struct Group {
    /// The object's number in [`Needs`]; none of what objects share.
    pub(super) object: Option<u32>,
    /// Places in [`Used::versions`], as ranges with both ends in them.
    pub(super) places: Vec<(u32, u32)>,
    /// Numbers of names in [`Needs`].
    pub(super) names: Vec<u32>,
}

impl Group {
    pub(super) fn places(&self) -> impl Iterator<Item = u32> {
        self.places.iter().flat_map(|(first, last)| *first..=*last)
    }
}

/// The blocks of a set.
#[derive(Debug, Default)]
pub(super) struct Blocks {
    /// Those that are used, ascending.
    pub(super) used: Vec<Used>,
    /// All that are listed.
    pub(super) listed: Vec<Listed>,
}
