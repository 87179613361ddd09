//! What the stream told so far: of collections, and of which ones it told something about documents. No I/O.

use std::collections::BTreeMap;

use tidemark_catalog::opaque::Opaque;

use super::{
    journal::{CREATE, CatalogChange, RunFile, Streamed},
    names::Chosen,
};
use crate::{
    event::{Event, Namespace},
    time::ClusterTime,
};

/// An event of a collection that does not say which.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a change event does not say its collection's UUID: the server is older than 6.0")]
pub(super) struct Unsaid;

/// See the module.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Told {
    /// What happened to collections that are captured.
    pub(super) catalog: Vec<CatalogChange>,
    noted: usize,
    /// The last time at which something happened to a document, by UUID, and the collection's name then.
    pub(super) seen: BTreeMap<String, (ClusterTime, Namespace)>,
    /// When it last came by a new name from among what is not captured, by UUID: what happened to it before was not
    /// kept.
    pub(super) entered: BTreeMap<String, ClusterTime>,
}

impl Told {
    /// Adds what an earlier run noted.
    pub(super) fn take(&mut self, stretch: &Streamed) {
        self.catalog.extend(stretch.catalog.iter().cloned());
        self.noted = self.catalog.len();
        self.seen.extend(stretch.seen());
        self.entered.extend(stretch.entered.iter().cloned());
    }

    /// Something happened to a document.
    pub(super) fn document(&mut self, uuid: &str, at: ClusterTime, name: &Namespace) {
        self.seen.insert(uuid.to_owned(), (at, name.clone()));
    }

    /// Something happened to a collection or a database.
    ///
    /// # Errors
    /// Where a collection came from among what is not captured, and it is not said which.
    pub(super) fn catalog(
        &mut self,
        event: &Event,
        what: &str,
        to: Option<&Namespace>,
        chosen: &Chosen,
    ) -> Result<(), Unsaid> {
        let at = event.at.time;
        // Under its new name it comes.
        for (what, name) in [(what, Some(&event.namespace)), (CREATE, to)] {
            let Some(name) = name.filter(|name| chosen.touches(name)) else { continue };
            let (database, collection) = (name.database.clone(), name.collection.clone());
            self.catalog.push(CatalogChange { at, what: what.to_owned(), database, collection });
        }
        if to.is_some_and(|to| chosen.has(to)) && !chosen.has(&event.namespace) {
            self.entered.insert(hex::encode(event.uuid.ok_or(Unsaid)?), at);
        }
        Ok(())
    }

    /// True where a name is no collection's right before a time: the last that was told of it before is that it went.
    pub(super) fn gone(&self, name: &Namespace, before: ClusterTime) -> bool {
        let mut changes = self.catalog.iter().filter(|change| change.at < before && change.namespace().touches(name));
        let Some(last) = changes.next_back().filter(|change| change.goes()) else { return false };
        let again = self.seen.values().any(|(at, seen)| seen == name && *at > last.at);
        !again
    }

    /// A stretch with what was told since the last one was noted.
    pub(super) fn stretch(&self, runs: Vec<(String, RunFile)>, token: Opaque, proven: ClusterTime) -> Streamed {
        let last = self.seen.iter();
        Streamed {
            runs,
            token,
            proven,
            catalog: self.catalog[self.noted..].to_vec(),
            seen: last.clone().map(|(uuid, (at, _))| (uuid.clone(), *at)).collect(),
            names: last.map(|(_, (_, name))| (name.database.clone(), name.collection.clone())).collect(),
            entered: self.entered.clone().into_iter().collect(),
        }
    }

    /// All of it is noted.
    pub(super) fn noted(&mut self) {
        self.noted = self.catalog.len();
    }
}

#[cfg(test)]
mod tests;
