//! The last block that was read.

use std::sync::{Mutex, PoisonError};

use bytes::Bytes;

/// One proven block and where it starts. A clone goes on with the same block, and then by itself: readers at different places
/// do not take each other's block away.
#[derive(Default)]
pub(super) struct Kept(Mutex<Option<(u64, Bytes)>>);

impl Kept {
    /// The block that starts at `start`.
    pub(super) fn get(&self, start: u64) -> Option<Bytes> {
        self.block().filter(|(at, _)| *at == start).map(|(_, bytes)| bytes)
    }

    /// Keeps `block`, a part of `fetched`, and no more memory than it has itself.
    pub(super) fn put(&self, start: u64, fetched: &Bytes, block: &[u8]) {
        let whole = fetched.len() == block.len();
        let bytes = if whole { fetched.clone() } else { Bytes::copy_from_slice(block) };
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some((start, bytes));
    }

    fn block(&self) -> Option<(u64, Bytes)> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl Clone for Kept {
    fn clone(&self) -> Self {
        Self(Mutex::new(self.block()))
    }
}
