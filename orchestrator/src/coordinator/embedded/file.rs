//! The file under the database. It grows by bytes that are written, not by a hole: so a full disk is found before anything that was
//! committed depends on the new part, and what the file has can always be written over.

use std::{io, ops::Bound};

use redb::{BackendError, StorageBackend};

/// Bytes that are written at a time.
const STEP: usize = 256 << 10;

/// A backend whose growth is paid for when it grows.
#[derive(Debug)]
pub(super) struct Solid<B>(pub(super) B);

impl<B: StorageBackend> Solid<B> {
    fn fill(&self, from: u64, to: u64) -> io::Result<()> {
        let zeros = vec![0; STEP];
        let mut at = from;
        while at < to {
            let step = usize::try_from(to - at).unwrap_or(STEP).min(STEP);
            self.0.write(at, &zeros[..step])?;
            at += step as u64;
        }
        Ok(())
    }
}

impl<B: StorageBackend> StorageBackend for Solid<B> {
    fn len(&self) -> io::Result<u64> {
        self.0.len()
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        self.0.read(offset, out)
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        let now = self.0.len()?;
        self.0.set_len(len)?;
        self.fill(now, len).inspect_err(|_| {
            // Where this fails too the file has a hole that nothing refers to.
            drop(self.0.set_len(now));
        })
    }

    fn sync_data(&self) -> io::Result<()> {
        self.0.sync_data()
    }

    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        self.0.write(offset, data)
    }

    fn close(&self) -> io::Result<()> {
        self.0.close()
    }

    fn try_lock_range(&self, start: Bound<u64>, end: Bound<u64>) -> Result<bool, BackendError> {
        self.0.try_lock_range(start, end)
    }

    fn try_lock_shared_range(&self, start: Bound<u64>, end: Bound<u64>) -> Result<bool, BackendError> {
        self.0.try_lock_shared_range(start, end)
    }

    fn lock_range(&self, start: Bound<u64>, end: Bound<u64>) -> Result<(), BackendError> {
        self.0.lock_range(start, end)
    }

    fn lock_shared_range(&self, start: Bound<u64>, end: Bound<u64>) -> Result<(), BackendError> {
        self.0.lock_shared_range(start, end)
    }

    fn unlock_range(&self, start: Bound<u64>, end: Bound<u64>) -> Result<(), BackendError> {
        self.0.unlock_range(start, end)
    }

    fn query_lock_range(&self, start: Bound<u64>, end: Bound<u64>) -> Result<bool, BackendError> {
        self.0.query_lock_range(start, end)
    }
}
