//! Cuts of images, on borders of blocks of 4 KiB.
//!
//! Each block is hashed by itself, and a chunk ends behind a block whose hash asks for it, one block in four. The hash is NH, the
//! universal hash of UMAC (Black et al., CRYPTO 1999): a sum of products of 32-bit words, each with a secret word added, which
//! compilers vectorise; its 64 bits go through keyed BLAKE3, so that what cuts show of it tells nothing of the secret words.

use std::ops::Range;

use super::{AVERAGE_BYTES, ChunkingKey, MOST_BYTES, Table};
use crate::Secret;

/// Chunks begin and end at multiples of so many bytes.
pub const BLOCK_BYTES: usize = 4 << 10;

const BLOCKS_AT_MOST: usize = MOST_BYTES / BLOCK_BYTES;
const BLOCKS_ON_AVERAGE: u64 = (AVERAGE_BYTES / BLOCK_BYTES) as u64;

/// 32-bit words in a block.
const WORDS: usize = BLOCK_BYTES / 4;

/// Words that are multiplied with the words so many behind them.
const LANES: usize = 4;

/// Cuts what lies on borders of 4 KiB.
#[derive(Clone, Debug)]
pub struct AlignedCutter {
    words: Table<u32, WORDS>,
    last: Secret,
}

/// A part of the bytes that were cut.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Piece {
    /// Zeros: whole blocks, as many as follow each other, of any length. Neighbours of this kind count as one.
    Zeros(Range<usize>),
    /// A chunk of at most [`MOST_BYTES`] with something in it.
    Chunk(Range<usize>),
}

impl Piece {
    /// Where it lies.
    pub fn range(&self) -> Range<usize> {
        match self {
            Self::Zeros(range) | Self::Chunk(range) => range.clone(),
        }
    }
}

impl AlignedCutter {
    /// By the repository's key.
    pub fn new(key: &ChunkingKey) -> Self {
        let doubled = key.words::<{ WORDS / 2 }>("tidemark chunks v1 aligned words");
        let mut words = Table(Box::new([0; WORDS]));
        for (pair, word) in words.0.chunks_exact_mut(2).zip(doubled.iter()) {
            (pair[0], pair[1]) = (*word as u32, (*word >> 32) as u32);
        }
        Self { words, last: key.0.derive("tidemark chunks v1 aligned last") }
    }

    /// The pieces of `bytes`, in order and without holes. They begin on a border of 4 KiB; the last block may be shorter. A block of
    /// zeros ends a chunk, and only it may be the chunk's zeros at its end.
    pub fn pieces<'a>(&'a self, bytes: &'a [u8]) -> impl Iterator<Item = Piece> + 'a {
        let mut start = 0;
        std::iter::from_fn(move || {
            let piece = self.next(bytes, start)?;
            start = piece.range().end;
            Some(piece)
        })
    }

    fn next(&self, bytes: &[u8], start: usize) -> Option<Piece> {
        let rest = bytes.get(start..).filter(|rest| !rest.is_empty())?;
        let zeros: usize = blocks(rest).take_while(|block| is_zero(block)).map(<[u8]>::len).sum();
        if zeros > 0 {
            return Some(Piece::Zeros(start..start + zeros));
        }
        Some(Piece::Chunk(start..start + self.chunk(rest)))
    }

    /// Length of the chunk that `rest` begins with.
    fn chunk(&self, rest: &[u8]) -> usize {
        let mut length = 0;
        for block in blocks(rest).take(BLOCKS_AT_MOST) {
            length += block.len();
            if self.ends(block) {
                break;
            }
        }
        length
    }

    fn ends(&self, block: &[u8]) -> bool {
        let Ok(block) = <&[u8; BLOCK_BYTES]>::try_from(block) else { return true };
        if is_zero(block) {
            return true;
        }
        let last = blake3::keyed_hash(self.last.expose(), &self.sum(block).to_le_bytes());
        let [a, b, c, d, e, f, g, h, ..] = *last.as_bytes();
        u64::from_le_bytes([a, b, c, d, e, f, g, h]).is_multiple_of(BLOCKS_ON_AVERAGE)
    }

    /// NH of the block.
    fn sum(&self, block: &[u8; BLOCK_BYTES]) -> u64 {
        let mut sums = [0_u64; LANES];
        let (groups, _) = block.as_chunks::<{ 8 * LANES }>();
        let (keys, _) = self.words.as_chunks::<{ 2 * LANES }>();
        for (group, keys) in groups.iter().zip(keys) {
            let (words, _) = group.as_chunks::<4>();
            for lane in 0..LANES {
                let left = u32::from_le_bytes(words[lane]).wrapping_add(keys[lane]);
                let right = u32::from_le_bytes(words[lane + LANES]).wrapping_add(keys[lane + LANES]);
                sums[lane] = sums[lane].wrapping_add(u64::from(left) * u64::from(right));
            }
        }
        sums.into_iter().fold(0, u64::wrapping_add)
    }
}

fn blocks(bytes: &[u8]) -> impl Iterator<Item = &[u8]> {
    bytes.chunks(BLOCK_BYTES)
}

fn is_zero(block: &[u8]) -> bool {
    static ZEROS: [u8; BLOCK_BYTES] = [0; BLOCK_BYTES];
    ZEROS.get(..block.len()).is_some_and(|zeros| zeros == block)
}
