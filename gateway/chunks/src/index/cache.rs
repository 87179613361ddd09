//! What was read of index objects, within a bound: what was not used for longest goes first.

use std::{
    collections::{BTreeMap, HashMap},
    fmt,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

/// A part of an index object: number of the opened object, and of its part.
pub(super) type Key = (u64, Part);

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Part {
    Group(u64),
    Shard(u64),
    Packs(u64),
}

/// Bytes that an entry takes beside its own.
const OVERHEAD_BYTES: usize = 160;

pub(super) struct Cache {
    most_bytes: usize,
    inner: Mutex<Inner>,
}

#[derive(Default)]
struct Inner {
    kept: HashMap<Key, (u64, Arc<[u8]>)>,
    /// By the time of the last use.
    used: BTreeMap<u64, Key>,
    bytes: usize,
    clock: u64,
    objects: u64,
}

impl Cache {
    pub(super) fn new(most_bytes: usize) -> Self {
        Self { most_bytes, inner: Mutex::default() }
    }

    /// A number for one more object.
    pub(super) fn object(&self) -> u64 {
        let mut inner = self.lock();
        inner.objects += 1;
        inner.objects
    }

    pub(super) fn get(&self, key: Key) -> Option<Arc<[u8]>> {
        let mut inner = self.lock();
        let Inner { kept, used, clock, .. } = &mut *inner;
        let (when, bytes) = kept.get_mut(&key)?;
        used.remove(when);
        *clock += 1;
        *when = *clock;
        used.insert(*when, key);
        Some(Arc::clone(bytes))
    }

    pub(super) fn put(&self, key: Key, bytes: Arc<[u8]>) {
        let mut inner = self.lock();
        inner.remove(key);
        inner.clock += 1;
        let when = inner.clock;
        inner.bytes += bytes.len() + OVERHEAD_BYTES;
        inner.kept.insert(key, (when, bytes));
        inner.used.insert(when, key);
        while inner.bytes > self.most_bytes {
            let Some((_, oldest)) = inner.used.first_key_value().map(|(when, key)| (*when, *key)) else { break };
            inner.remove(oldest);
        }
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Inner {
    fn remove(&mut self, key: Key) {
        if let Some((when, bytes)) = self.kept.remove(&key) {
            self.used.remove(&when);
            self.bytes -= bytes.len() + OVERHEAD_BYTES;
        }
    }
}

impl fmt::Debug for Cache {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Cache({} of {} bytes)", self.lock().bytes, self.most_bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_not_used_for_longest_goes_first_and_the_bound_holds() {
        let cache = Cache::new(3 * (100 + OVERHEAD_BYTES));
        let key = |number| (1, Part::Shard(number));
        for number in 0..3 {
            cache.put(key(number), vec![0; 100].into());
        }
        assert!(cache.get(key(0)).is_some());
        cache.put(key(3), vec![0; 100].into());
        let kept: Vec<_> = (0..4).map(|number| cache.get(key(number)).is_some()).collect();
        assert_eq!(kept, [true, false, true, true]);
        cache.put(key(4), vec![0; 10_000].into());
        assert!(cache.get(key(4)).is_none() && cache.lock().bytes <= cache.most_bytes);
    }
}
