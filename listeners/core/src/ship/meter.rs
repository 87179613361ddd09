//! How far an upload is.

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};

use crate::progress::{Progress, ProgressSink};

/// Counts the bytes of local files that were read, and tells after each piece, in phase `upload`. What is stored already is
/// read again and counts too.
pub struct Meter {
    sink: ProgressSink,
    done: AtomicU64,
    total: u64,
}

impl Meter {
    /// A meter at 0 of `total` bytes.
    pub fn new(sink: ProgressSink, total: u64) -> Arc<Self> {
        Arc::new(Self { sink, done: AtomicU64::new(0), total })
    }

    /// Counts `bytes` more.
    pub fn add(&self, bytes: u64) {
        let done = self.done.fetch_add(bytes, Ordering::Relaxed) + bytes;
        let progress = Progress { phase: "upload".into(), done, total: self.total, unit: "bytes".into() };
        (self.sink)(progress);
    }
}
