//! What the stream told so far: of collections, and of which ones it told something about documents. No I/O.

use std::collections::BTreeMap;

use super::{
    journal::{CatalogChange, Streamed},
    names::Chosen,
};
use crate::{event::Namespace, time::ClusterTime};

/// See the module.
#[derive(Default)]
pub(super) struct Told {
    /// What happened to collections that are captured.
    pub(super) catalog: Vec<CatalogChange>,
    noted: usize,
    /// The last time at which something happened to a document, by UUID.
    pub(super) seen: BTreeMap<String, ClusterTime>,
}

impl Told {
    /// Adds what an earlier run noted.
    pub(super) fn take(&mut self, stretch: &Streamed) {
        self.catalog.extend(stretch.catalog.iter().cloned());
        self.noted = self.catalog.len();
        self.seen.extend(stretch.seen.iter().cloned());
    }

    /// Something happened to a document.
    pub(super) fn document(&mut self, uuid: &str, at: ClusterTime) {
        self.seen.insert(uuid.to_owned(), at);
    }

    /// Something happened to the collection or database `names[0]`; the others are what it became.
    pub(super) fn catalog(&mut self, what: &str, at: ClusterTime, names: &[&Namespace], chosen: &Chosen) {
        for name in names.iter().filter(|name| chosen.touches(name)) {
            let (database, collection) = (name.database.clone(), name.collection.clone());
            self.catalog.push(CatalogChange { at, what: what.to_owned(), database, collection });
        }
    }

    /// What happened to collections since it was noted.
    pub(super) fn unnoted(&self) -> Vec<CatalogChange> {
        self.catalog[self.noted..].to_vec()
    }

    /// All of it is noted.
    pub(super) fn noted(&mut self) {
        self.noted = self.catalog.len();
    }
}
