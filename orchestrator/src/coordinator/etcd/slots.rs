//! Places of transactions that are under way: a transaction holds one alone, so that its revision tells whether it was carried out.

use std::sync::{Mutex, PoisonError};

use tokio::sync::{Semaphore, SemaphorePermit};

use super::{super::Revision, keys};

/// Transactions of a process that change something at the same time; more wait.
const SLOTS: usize = 32;

/// The slots of a process.
pub(super) struct Slots {
    free: Mutex<Vec<Slot>>,
    places: Semaphore,
}

/// A slot: its key, and its revision as it was seen last.
struct Slot {
    key: String,
    revision: Revision,
}

/// A slot that is in use; free again when dropped.
pub(super) struct Taken<'a> {
    slots: &'a Slots,
    slot: Option<Slot>,
    _place: SemaphorePermit<'a>,
}

impl Slots {
    pub(super) fn new(node: &str) -> Self {
        let slot = |number| Slot { key: keys::slot(node, number), revision: 0 };
        Self { free: Mutex::new((0..SLOTS).map(slot).collect()), places: Semaphore::new(SLOTS) }
    }

    pub(super) async fn take(&self) -> Taken<'_> {
        let place = self.places.acquire().await.expect("the semaphore is never closed");
        let slot = self.free.lock().unwrap_or_else(PoisonError::into_inner).pop();
        Taken { slots: self, slot, _place: place }
    }
}

impl Taken<'_> {
    /// Its key.
    pub(super) fn key(&self) -> &str {
        self.slot.as_ref().map_or("", |slot| slot.key.as_str())
    }

    /// Its revision as it was seen last; 0: never.
    pub(super) fn revision(&self) -> Revision {
        self.slot.as_ref().map_or(0, |slot| slot.revision)
    }

    /// It was seen with this revision.
    pub(super) fn seen(&mut self, revision: Revision) {
        if let Some(slot) = &mut self.slot {
            slot.revision = revision;
        }
    }
}

impl Drop for Taken<'_> {
    fn drop(&mut self) {
        let mut free = self.slots.free.lock().unwrap_or_else(PoisonError::into_inner);
        free.extend(self.slot.take());
    }
}
