//! What a collection was at an instant: its state at rest, and the events behind it up to the instant.
//!
//! Layers are read side by side, document by document: the first is the state at rest, the others are slices of the log
//! that follow each other from there on. One document is in memory at a time, with its events. What does not fit
//! together is an error, never a document that is not there: a key out of order, a document at rest in a slice of the
//! log, an event that lies before the state at rest, a change of what was never seen.

use std::iter::Peekable;

use tidemark_gateway::causes::joined;

use crate::{
    key::Id,
    segment::{Atom, Record},
    state::{Known, Scan, State},
    time::ClusterTime,
};

/// Why what is held does not say what a document was.
#[derive(Debug, thiserror::Error)]
pub enum Error<E: std::error::Error + 'static> {
    /// A layer cannot be read.
    #[error("what is held cannot be read")]
    Read(#[source] E),
    /// What is held does not fit together; for people.
    #[error("layer {layer}, document {id}: {why}")]
    Held {
        /// 0 is the state at rest.
        layer: usize,
        /// Which document.
        id: Id,
        /// What is wrong.
        why: String,
    },
    /// What shows of a document cannot be said.
    #[error("document {id}: {why}")]
    State {
        /// Which document.
        id: Id,
        /// Why.
        why: String,
    },
}

/// An instant of which nothing is held.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("what is held begins right before {from}: nothing is known of {before}")]
pub struct Early {
    /// The state at rest.
    pub from: ClusterTime,
    /// The instant.
    pub before: ClusterTime,
}

/// A collection right before an instant: documents with their `_id`s, ascending by key. An error is the last.
pub struct Shown<L: Iterator> {
    layers: Vec<Layer<L>>,
    /// The state at rest is that right before this time: events begin here.
    from: ClusterTime,
    before: ClusterTime,
    over: bool,
}

/// A layer, and the last key that was read of it.
struct Layer<L: Iterator> {
    records: Peekable<L>,
    last: Option<Vec<u8>>,
}

impl<E: std::error::Error + 'static, L: Iterator<Item = Result<Record, E>>> Shown<L> {
    /// The collection right before `before`, of a state at rest right before `from` and of slices of the log from there
    /// on. That they hold all events between the two times is the caller's promise.
    ///
    /// # Errors
    /// [`Early`] where the instant is before the state at rest.
    pub fn new(
        rest: L,
        logs: impl IntoIterator<Item = L>,
        from: ClusterTime,
        before: ClusterTime,
    ) -> Result<Self, Early> {
        if before < from {
            return Err(Early { from, before });
        }
        let layer = |records: L| Layer { records: records.peekable(), last: None };
        let layers = std::iter::once(rest).chain(logs).map(layer).collect();
        Ok(Self { layers, from, before, over: false })
    }

    /// The next document that shows.
    fn read(&mut self) -> Result<Option<(Id, State)>, Error<E>> {
        loop {
            let Some((key, id)) = self.least()? else { return Ok(None) };
            let mut known = Known::default();
            for index in 0..self.layers.len() {
                self.take(index, &key, &id, &mut known)?;
            }
            match known.before(self.before) {
                Ok(State::Absent) => {}
                Ok(state) => return Ok(Some((id, state))),
                Err(error) => return Err(Error::State { id, why: joined(&error) }),
            }
        }
    }

    /// The least of the keys that come next, and its document's `_id`.
    fn least(&mut self) -> Result<Option<(Vec<u8>, Id)>, Error<E>> {
        let mut least: Option<(Vec<u8>, Id)> = None;
        for (index, layer) in self.layers.iter_mut().enumerate() {
            let Some((key, id)) = layer.key(index)? else { continue };
            if least.as_ref().is_none_or(|(known, _)| key < *known) {
                least = Some((key, id));
            }
        }
        Ok(least)
    }

    /// Adds what a layer says of the document of a key.
    fn take(&mut self, index: usize, key: &[u8], id: &Id, known: &mut Known) -> Result<(), Error<E>> {
        let held = |why: &str| Error::Held { layer: index, id: id.clone(), why: why.to_owned() };
        let mut rest = false;
        while self.layers[index].key(index)?.is_some_and(|(next, _)| next == key) {
            let Some(record) = self.layers[index].next(key)? else { break };
            match record.atom {
                Atom::Rest(document) if index == 0 && !std::mem::replace(&mut rest, true) => {
                    let at = self.from.before();
                    known.scan(Scan { from: at, until: at, document });
                }
                Atom::Rest(_) if index == 0 => return Err(held("it is there twice")),
                Atom::Rest(_) => return Err(held("a document at rest stands among events")),
                Atom::Event(..) if index == 0 => return Err(held("an event stands in the state at rest")),
                Atom::Event(at, _) if at.time < self.from => {
                    return Err(held("an event lies before the state at rest"));
                }
                Atom::Event(at, change) => {
                    known.event(at, change).map_err(|error| held(&error.to_string()))?;
                }
            }
        }
        Ok(())
    }
}

impl<E: std::error::Error + 'static, L: Iterator<Item = Result<Record, E>>> Layer<L> {
    /// The next record's key and `_id`; an error where the layer cannot be read or its keys do not ascend.
    fn key(&mut self, index: usize) -> Result<Option<(Vec<u8>, Id)>, Error<E>> {
        let id = match self.records.peek() {
            None => return Ok(None),
            Some(Ok(record)) => record.id.clone(),
            Some(Err(_)) => return self.failed(),
        };
        let held = |why: String| Error::Held { layer: index, id: id.clone(), why };
        let key = id.sort_bytes().map_err(|error| held(error.to_string()))?;
        if self.last.as_ref().is_some_and(|last| key < *last) {
            return Err(held("it is out of order".to_owned()));
        }
        Ok(Some((key, id)))
    }

    fn next(&mut self, key: &[u8]) -> Result<Option<Record>, Error<E>> {
        self.last = Some(key.to_vec());
        self.records.next().transpose().map_err(Error::Read)
    }

    fn failed<T>(&mut self) -> Result<Option<T>, Error<E>> {
        self.records.next().transpose().map(|_| None).map_err(Error::Read)
    }
}

impl<E: std::error::Error + 'static, L: Iterator<Item = Result<Record, E>>> Iterator for Shown<L> {
    type Item = Result<(Id, State), Error<E>>;

    fn next(&mut self) -> Option<Self::Item> {
        let next = if self.over { None } else { self.read().transpose() };
        self.over = !matches!(next, Some(Ok(_)));
        next
    }
}

#[cfg(test)]
mod tests;
