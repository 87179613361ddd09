//! What is known of one document, joined by position, and what of it shows at a time.
//!
//! Atoms are *scans* (the document as a reader saw it, at some time within a bracket) and *events* (what happened to
//! it, at its position). The join is the union by position: commutative, associative and idempotent; another event at
//! the same position is an error. What shows before a time is the latest whole document or deletion, or else what was
//! scanned, with the deltas behind it.
//!
//! A scan stands somewhere in its bracket. Where no delta lies in there, the deltas behind it are those that it lacks,
//! and the result is exact. Where some do, the scan may hold the first of them already: all cases are tried that the
//! document can be (the last change that it is taken to hold must be in it), and where the results differ the document
//! is *unsettled*.

use std::collections::{BTreeMap, BTreeSet};

use crate::{
    delta,
    event::Change,
    time::{ClusterTime, Position},
};

/// A document as it was at some time from `from` to `until`, both included.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Scan {
    /// The last of the bracket.
    pub until: ClusterTime,
    /// The first of the bracket.
    pub from: ClusterTime,
    /// The document.
    pub document: Vec<u8>,
}

/// Two events that cannot both be: they stand at one position.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("two different events at {0}")]
pub struct Contradiction(pub Position);

/// Why nothing can be said of a document.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// A change in part of a document that was never seen, or is gone.
    #[error("the change at {0} is of a document that is not there")]
    Unseen(Position),
    /// A change that the document cannot have had.
    #[error("the change at {at}")]
    Delta {
        /// Where.
        at: Position,
        /// Why.
        source: delta::Error,
    },
    /// None of the ways to read a scan fits the changes around it.
    #[error("a scan between {from} and {until} does not fit the changes around it")]
    Scan {
        /// Its bracket.
        from: ClusterTime,
        /// Its bracket.
        until: ClusterTime,
    },
}

/// What shows of a document.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum State {
    /// It is not there.
    Absent,
    /// It is this, byte by byte.
    Exact(Vec<u8>),
    /// It has these fields and values, perhaps in another order.
    Unsettled(Vec<u8>),
}

/// What is known of one document.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Known {
    scans: BTreeSet<Scan>,
    events: BTreeMap<Position, Change>,
}

impl Known {
    /// Adds what was scanned.
    pub fn scan(&mut self, scan: Scan) {
        self.scans.insert(scan);
    }

    /// Adds an event.
    ///
    /// # Errors
    /// [`Contradiction`] where another one stands there.
    pub fn event(&mut self, at: Position, change: Change) -> Result<(), Contradiction> {
        match self.events.get(&at) {
            Some(known) if *known != change => Err(Contradiction(at)),
            Some(_) => Ok(()),
            None => {
                self.events.insert(at, change);
                Ok(())
            }
        }
    }

    /// Adds all that another knows.
    ///
    /// # Errors
    /// [`Contradiction`].
    pub fn join(&mut self, other: Self) -> Result<(), Contradiction> {
        self.scans.extend(other.scans);
        other.events.into_iter().try_for_each(|(at, change)| self.event(at, change))
    }

    /// The events, in the order of their positions.
    pub fn into_events(self) -> impl Iterator<Item = (Position, Change)> {
        self.events.into_iter()
    }

    /// What shows right before a time: all scans must have ended before it.
    ///
    /// # Errors
    /// [`Error`].
    pub fn before(&self, time: ClusterTime) -> Result<State, Error> {
        let events: Vec<(&Position, &Change)> = self.events.iter().take_while(|(at, _)| at.time < time).collect();
        let whole = events.iter().rposition(|(_, change)| !matches!(change, Change::Delta(_)));
        match whole.map(|index| (events[index], &events[index + 1..])) {
            Some(((_, Change::Whole(document)), rest)) => Ok(State::Exact(applied(document, rest)?)),
            Some((_, rest)) => rest.first().map_or(Ok(State::Absent), |(at, _)| Err(Error::Unseen((*at).clone()))),
            None => self.scanned(&events),
        }
    }

    /// What shows where there are deltas only.
    fn scanned(&self, deltas: &[(&Position, &Change)]) -> Result<State, Error> {
        let within = |scan: &Scan| deltas.iter().any(|(at, _)| (scan.from..=scan.until).contains(&at.time));
        let settled = self.scans.iter().rev().find(|scan| !within(scan));
        match settled.or_else(|| self.scans.last()) {
            Some(scan) => read(scan, deltas),
            None => deltas.first().map_or(Ok(State::Absent), |(at, _)| Err(Error::Unseen((*at).clone()))),
        }
    }
}

/// A scan with the deltas that it may lack: those behind its bracket, and any of the last ones within.
fn read(scan: &Scan, deltas: &[(&Position, &Change)]) -> Result<State, Error> {
    let first = deltas.partition_point(|(at, _)| at.time < scan.from);
    let behind = deltas.partition_point(|(at, _)| at.time <= scan.until);
    if first == behind {
        return Ok(State::Exact(applied(&scan.document, &deltas[behind..])?));
    }
    // The longest way first: it sets every value that was set within the bracket.
    let can_be = |from: &usize| *from == first || holds(&scan.document, deltas[*from - 1].1);
    let mut ways = (first..=behind).filter(can_be).filter_map(|from| applied(&scan.document, &deltas[from..]).ok());
    let way = ways.next().ok_or(Error::Scan { from: scan.from, until: scan.until })?;
    if ways.all(|other| other == way) { Ok(State::Exact(way)) } else { Ok(State::Unsettled(way)) }
}

fn holds(document: &[u8], change: &Change) -> bool {
    matches!(change, Change::Delta(description) if delta::holds(document, description))
}

fn applied(document: &[u8], deltas: &[(&Position, &Change)]) -> Result<Vec<u8>, Error> {
    let mut now = document.to_vec();
    for (at, change) in deltas {
        let Change::Delta(description) = change else { continue };
        now = delta::apply(&now, description).map_err(|source| Error::Delta { at: (*at).clone(), source })?;
    }
    Ok(now)
}

#[cfg(test)]
mod tests;
