//! Where bytes are cut into chunks: by their content, so that the same bytes at another offset give the same chunks.
//!
//! [`AlignedCutter`] is for images, whose files start on borders of 4 KiB; [`StreamCutter`] for streams, where bytes shift by any
//! number. Both take a key of the repository, so that the lengths of chunks do not give known files away.
//!
//! **A cut depends on the key and on the bytes of the chunk before it, on nothing after it**, except for the border at which the
//! caller's bytes end. So whoever knows that a range changed may cut anew from the beginning of the chunk that holds the first
//! changed byte, until a cut falls on an old border behind the last changed byte; from there on nothing differs.

mod aligned;
mod stream;

pub use aligned::{AlignedCutter, BLOCK_BYTES, Piece};
pub use stream::{StreamChunks, StreamCutter};

use std::{fmt, ops::Deref};

use zeroize::Zeroize;

use crate::Secret;

/// Fewest bytes of a chunk, but for the last one.
pub const LEAST_BYTES: usize = 4 << 10;

/// Bytes of a chunk on average, about.
pub const AVERAGE_BYTES: usize = 16 << 10;

/// Most bytes of a chunk.
pub const MOST_BYTES: usize = 64 << 10;

/// The key that decides on cuts.
#[derive(Clone, Debug)]
pub struct ChunkingKey(Secret);

impl ChunkingKey {
    /// From the key as it was handed over.
    pub fn new(secret: Secret) -> Self {
        Self(secret)
    }

    /// The key, to be handed over a protected channel.
    pub fn secret(&self) -> &Secret {
        &self.0
    }

    /// `N` words that follow from the key for one purpose.
    fn words<const N: usize>(&self, purpose: &str) -> Table<u64, N> {
        let key = self.0.derive(purpose);
        let mut output = blake3::Hasher::new_keyed(key.expose()).finalize_xof();
        let mut words = Table(Box::new([0; N]));
        for word in words.0.iter_mut() {
            let mut bytes = [0; 8];
            output.fill(&mut bytes);
            *word = u64::from_le_bytes(bytes);
        }
        words
    }
}

/// Words that follow from a key, and are as secret: wiped when they are dropped, printed as `***`.
#[derive(Clone)]
struct Table<W: Copy + Zeroize, const N: usize>(Box<[W; N]>);

impl<W: Copy + Zeroize, const N: usize> Deref for Table<W, N> {
    type Target = [W; N];

    fn deref(&self) -> &[W; N] {
        &self.0
    }
}

impl<W: Copy + Zeroize, const N: usize> Drop for Table<W, N> {
    fn drop(&mut self) {
        self.0.iter_mut().zeroize();
    }
}

impl<W: Copy + Zeroize, const N: usize> fmt::Debug for Table<W, N> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

#[cfg(test)]
pub(crate) mod tests;
