//! The objects of a simulated store, with its own clock.

use std::{collections::BTreeMap, time::Duration};

use bytes::Bytes;

/// An object.
#[derive(Clone, Debug)]
pub(super) struct Object {
    pub(super) bytes: Bytes,
    /// When it was written, by the store's clock.
    pub(super) written: Duration,
}

/// All objects, by name.
#[derive(Debug, Default)]
pub(super) struct Bucket {
    pub(super) objects: BTreeMap<String, Object>,
}

impl Bucket {
    /// Writes an object; false where it exists and is to be created.
    pub(super) fn put(&mut self, name: &str, bytes: Bytes, create: bool, now: Duration) -> bool {
        if create && self.objects.contains_key(name) {
            return false;
        }
        self.objects.insert(name.to_owned(), Object { bytes, written: now });
        true
    }

    /// Names below a prefix, which ends where a part of a name does.
    pub(super) fn below(&self, prefix: Option<&str>) -> Vec<(String, Object)> {
        let prefix = prefix.filter(|prefix| !prefix.is_empty()).map(|prefix| format!("{prefix}/")).unwrap_or_default();
        let all = self.objects.range(prefix.clone()..).take_while(|(name, _)| name.starts_with(&prefix));
        all.map(|(name, object)| (name.clone(), object.clone())).collect()
    }
}
