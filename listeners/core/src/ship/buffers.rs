//! The bound on what all uploads of a listener hold in memory.

use tokio::sync::{Semaphore, SemaphorePermit};

/// Parts that one long upload holds: one that is sent, one that waits, one that is read.
const HELD_PARTS: usize = 3;

/// Most KiB that are counted.
const MOST_KIB: u32 = 1 << 28;

/// The bound on the parts that all uploads hold together, counted in KiB: long uploads wait for each other, short ones run
/// side by side.
pub(super) struct Buffers {
    free: Semaphore,
    total: u32,
}

impl Buffers {
    /// As much as `uploads` parts, and at least what one long upload holds.
    pub(super) fn new(uploads: usize, part_bytes: usize) -> Self {
        let bytes = part_bytes.saturating_mul(uploads.max(HELD_PARTS));
        let total = u32::try_from(bytes.div_ceil(1024)).unwrap_or(u32::MAX).min(MOST_KIB);
        Self { free: Semaphore::new(total as usize), total }
    }

    /// Waits until a file of `size` bytes may be read; it may until the answer is dropped.
    pub(super) async fn hold(&self, size: u64) -> Option<SemaphorePermit<'_>> {
        let most = u64::from(self.total);
        let wanted = u32::try_from(size.div_ceil(1024).clamp(1, most)).unwrap_or(self.total);
        // The semaphore is never closed.
        self.free.acquire_many(wanted).await.ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn long_uploads_wait_for_each_other_and_short_ones_do_not() {
        let buffers = Buffers::new(2, 1 << 20);
        assert_eq!(buffers.total, 3 << 10);
        let long = buffers.hold(1 << 40).await.unwrap();
        assert_eq!(buffers.free.available_permits(), 0);
        drop(long);
        let _short = (buffers.hold(0).await.unwrap(), buffers.hold(1 << 20).await.unwrap());
        assert_eq!(buffers.free.available_permits(), (2 << 10) - 1);
    }
}
