//! What was read and verified of versions, kept in memory within bounds, so that lists do not read every manifest each time.
//!
//! An item is taken again only while the store lists the manifest, and the one that its link goes to, as they were when it was
//! read: same size, time and tag. Lists alone use it: verification and restore read everything anew.

use std::{
    collections::{HashMap, VecDeque},
    hash::Hash,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use jiff::Timestamp;
use tidemark_catalog::ids::VersionId;
use tidemark_web::api::Version;

/// Most versions whose line in a list is kept.
const LINES: usize = 10_000;

/// Most names of objects that are kept, over all versions.
const NAMES: usize = 200_000;

/// A version in a repository, and how the store lists its manifest and the one before.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Seen {
    pub(super) repository: String,
    pub(super) id: VersionId,
    pub(super) stamps: (String, Option<String>),
}

/// The objects that a version holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Held {
    pub(super) committed: Timestamp,
    pub(super) objects: Vec<HeldObject>,
}

/// An object that a version holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct HeldObject {
    pub(super) object: String,
    /// Every write acknowledged before this is in it; `None` where that is not proven.
    pub(super) complete_before: Option<Timestamp>,
}

type Key = (String, VersionId);
type Stamps = (String, Option<String>);

/// What is known of versions.
#[derive(Default)]
pub(super) struct Known {
    lines: Mutex<Bounded<Key, (Stamps, Arc<Version>)>>,
    held: Mutex<Bounded<Key, (Stamps, Arc<Held>)>>,
}

impl Known {
    /// The line of a version, where it was read as it is listed now.
    pub(super) fn line(&self, seen: &Seen) -> Option<Arc<Version>> {
        get(&self.lines, seen)
    }

    pub(super) fn keep_line(&self, seen: &Seen, line: Version) {
        keep(&self.lines, seen, line, 1, LINES);
    }

    /// The objects of a version, where they were read as its manifest is listed now.
    pub(super) fn held(&self, seen: &Seen) -> Option<Arc<Held>> {
        get(&self.held, seen)
    }

    pub(super) fn keep_held(&self, seen: &Seen, held: Held) -> Arc<Held> {
        let weight = held.objects.len().max(1);
        keep(&self.held, seen, held, weight, NAMES)
    }
}

type Shelf<T> = Mutex<Bounded<Key, (Stamps, Arc<T>)>>;

fn lock<T>(shelf: &Shelf<T>) -> MutexGuard<'_, Bounded<Key, (Stamps, Arc<T>)>> {
    shelf.lock().unwrap_or_else(PoisonError::into_inner)
}

fn get<T>(shelf: &Shelf<T>, seen: &Seen) -> Option<Arc<T>> {
    let shelf = lock(shelf);
    let (stamps, value) = shelf.get(&(seen.repository.clone(), seen.id.clone()))?;
    (*stamps == seen.stamps).then(|| Arc::clone(value))
}

fn keep<T>(shelf: &Shelf<T>, seen: &Seen, value: T, weight: usize, most: usize) -> Arc<T> {
    let value = Arc::new(value);
    let item = (seen.stamps.clone(), Arc::clone(&value));
    lock(shelf).put((seen.repository.clone(), seen.id.clone()), item, weight, most);
    value
}

/// A map of bounded weight; what came first goes first.
struct Bounded<K, V> {
    items: HashMap<K, (V, usize)>,
    order: VecDeque<K>,
    weight: usize,
}

impl<K, V> Default for Bounded<K, V> {
    fn default() -> Self {
        Self { items: HashMap::new(), order: VecDeque::new(), weight: 0 }
    }
}

impl<K: Clone + Eq + Hash, V> Bounded<K, V> {
    fn get(&self, key: &K) -> Option<&V> {
        self.items.get(key).map(|(value, _)| value)
    }

    /// Puts an item in, and takes others out while all weigh more than `most`; one that weighs more alone is not kept.
    fn put(&mut self, key: K, value: V, weight: usize, most: usize) {
        match self.items.insert(key.clone(), (value, weight)) {
            Some((_, old)) => self.weight -= old,
            None => self.order.push_back(key),
        }
        self.weight += weight;
        while self.weight > most {
            let Some(oldest) = self.order.pop_front() else { return };
            if let Some((_, weight)) = self.items.remove(&oldest) {
                self.weight -= weight;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn weight_is_bounded_and_the_oldest_goes_first() {
        let mut shelf = Bounded::default();
        for (key, weight) in [("a", 4), ("b", 4), ("a", 3), ("c", 4)] {
            shelf.put(key, weight, weight, 10);
        }
        assert_eq!((shelf.get(&"a"), shelf.get(&"b"), shelf.get(&"c")), (None, Some(&4), Some(&4)));
        shelf.put("d", 11, 11, 10);
        assert!(shelf.items.is_empty() && shelf.order.is_empty() && shelf.weight == 0);
    }

    #[test]
    fn an_item_is_taken_only_while_its_manifest_is_listed_as_it_was() {
        let known = Known::default();
        let seen = |stamp: &str| Seen {
            repository: "r".to_owned(),
            id: "src.daily.1".parse().unwrap(),
            stamps: (stamp.to_owned(), None),
        };
        let held = Held {
            committed: Timestamp::UNIX_EPOCH,
            objects: vec![HeldObject { object: "ks/a".to_owned(), complete_before: None }],
        };
        known.keep_held(&seen("1"), held.clone());
        assert_eq!(known.held(&seen("1")).as_deref(), Some(&held));
        assert_eq!(known.held(&seen("2")), None);
    }
}
