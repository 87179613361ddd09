//! Items of runs, checked as they are read.

use tidemark_catalog::opaque::Opaque;

use super::{Holds, Run};
use crate::{
    event::{Change, Event, Subject},
    key::Id,
    raw,
    state::Scan,
    time::Position,
};

/// What a run says of a document.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Item {
    /// It was scanned.
    Scan(Scan),
    /// Something happened to it.
    Event(Position, Change),
}

/// Why a run cannot be read, for people.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{name}: {why}")]
pub struct Damaged {
    /// The staged file.
    pub name: String,
    /// What is wrong.
    pub why: String,
}

/// A run, item by item: each with its document's `_id` and key, ascending by key. An error is the last.
pub struct Items {
    run: Run,
    bytes: Vec<u8>,
    at: usize,
    count: u64,
    last: Option<Opaque>,
    over: bool,
}

impl Items {
    /// The items of a run's bytes.
    pub fn new(run: Run, bytes: Vec<u8>) -> Self {
        Self { run, bytes, at: 0, count: 0, last: None, over: false }
    }

    /// Bytes that it holds in memory.
    pub fn bytes(&self) -> usize {
        self.bytes.len()
    }

    /// Gives its memory back; it is at its end.
    pub fn close(&mut self) {
        (self.bytes, self.at, self.over) = (Vec::new(), 0, true);
    }

    fn read(&mut self) -> Option<Result<(Opaque, Id, Item), String>> {
        let ended = self.count == self.run.count && self.last.as_ref().is_none_or(|last| *last == self.run.last);
        let next = match raw::documents(&self.bytes[self.at..]).next() {
            Some(document) => document.map_err(|error| error.to_string()),
            None if ended => return None,
            None => Err(format!("it ends after {} of {} documents", self.count, self.run.count)),
        };
        Some(next.and_then(|document| {
            self.at += document.len();
            let (key, id, item) = item(&self.run, document)?;
            let again = self.last.as_ref() == Some(&key);
            if again && matches!(item, Item::Scan(_)) {
                return Err(format!("two documents have the _id {id}"));
            }
            let in_order = self.last.as_ref().map_or(key == self.run.first, |last| *last <= key);
            if in_order && key <= self.run.last {
                Ok((key, id, item))
            } else {
                Err(format!("document {id} is out of order"))
            }
        }))
    }
}

impl Iterator for Items {
    type Item = Result<(Opaque, Id, Item), Damaged>;

    fn next(&mut self) -> Option<Self::Item> {
        let read = if self.over { None } else { self.read() }?;
        self.count += 1;
        self.over = read.is_err();
        if let Ok((key, ..)) = &read {
            self.last = Some(key.clone());
        }
        Some(read.map_err(|why| Damaged { name: self.run.name.clone(), why }))
    }
}

fn item(run: &Run, document: &[u8]) -> Result<(Opaque, Id, Item), String> {
    let (id, item) = match run.holds {
        Holds::Scan { from, until } => {
            let id = Id::of(document).map_err(|error| error.to_string())?;
            (id, Item::Scan(Scan { from, until, document: document.to_vec() }))
        }
        Holds::Events => {
            let event = Event::read(document).map_err(|error| error.to_string())?;
            let Subject::Document { id, change } = event.subject else {
                return Err("an event of no document".to_owned());
            };
            (id, Item::Event(event.at, change))
        }
    };
    let key = id.sort_bytes().map_err(|error| format!("document {id}: {error}"))?;
    Ok((Opaque::new(key), id, item))
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use crate::{event::samples, raw::Builder, time::ClusterTime};

    /// A run of these documents or events, sorted, and its bytes.
    pub(crate) fn run(name: &str, holds: Holds, mut documents: Vec<Vec<u8>>) -> (Run, Vec<u8>) {
        let mut run = Run { name: name.to_owned(), holds, first: Opaque::default(), last: Opaque::default(), count: 0 };
        let key = |document: &Vec<u8>| {
            let (key, _, item) = super::item(&run, document).unwrap();
            (key, if let Item::Event(at, _) = item { Some(at) } else { None })
        };
        documents.sort_by_key(key);
        let keys: Vec<Opaque> = documents.iter().map(|document| key(document).0).collect();
        (run.first, run.last) = (keys[0].clone(), keys[keys.len() - 1].clone());
        run.count = documents.len() as u64;
        (run, documents.concat())
    }

    pub(crate) fn document(id: i32) -> Vec<u8> {
        Builder::default().int("_id", id).int("n", 10 * id).finish()
    }

    fn scanned() -> Holds {
        Holds::Scan { from: ClusterTime::of_bits(3), until: ClusterTime::of_bits(4) }
    }

    #[test]
    fn documents_and_events_are_read_in_the_order_of_their_keys() {
        let (run, bytes) = run("scan", scanned(), vec![document(2), document(-1)]);
        let ids: Vec<String> = Items::new(run, bytes).map(|item| item.unwrap().1.to_string()).collect();
        assert_eq!(ids, ["-1", "2"]);
        let id = Id::of(&document(1)).unwrap();
        let events = vec![
            samples::delete("5.2", 9, &id),
            samples::insert("5.1", 300, &document(1)),
            samples::insert("5.2", 8, &document(1)),
        ];
        let (run, bytes) = self::run("events", Holds::Events, events);
        let at: Vec<_> = Items::new(run, bytes).map(|item| item.unwrap().2).collect();
        assert!(
            matches!(&at[..], [Item::Event(a, _), Item::Event(b, _), Item::Event(_, Change::Gone)] if a < b),
            "{at:?}"
        );
    }

    #[test]
    fn what_is_not_the_run_that_was_written_is_refused() {
        let (run, bytes) = run("scan", scanned(), vec![document(1), document(2), document(3)]);
        let length = document(1).len();
        let failed = |bytes: &[u8]| {
            Items::new(run.clone(), bytes.to_vec()).find_map(Result::err).map(|damaged| damaged.to_string())
        };
        assert_eq!(failed(&bytes), None);
        for (bytes, word) in [
            (&bytes[..2 * length], "ends after 2 of 3"),
            (&bytes[length..], "out of order"),
            (&bytes[..bytes.len() - 1], "length"),
            (&[&bytes[..], &document(3)].concat(), "two documents have the _id 3"),
            (&[&bytes[..2 * length], &document(4)].concat(), "out of order"),
            (&[&bytes[..length], &bytes[2 * length..], &bytes[length..2 * length]].concat(), "out of order"),
        ] {
            let found = failed(bytes).unwrap();
            assert!(found.starts_with("scan: ") && found.contains(word), "{found} for {word}");
        }
        let twice = [&bytes[..2 * length], &bytes[length..]].concat();
        let found = Items::new(Run { count: 4, ..run.clone() }, twice).find_map(Result::err).unwrap().to_string();
        assert!(found.contains("two documents have the _id 2"), "{found}");
        let key = |id| Opaque::new(Id::of(&document(id)).unwrap().sort_bytes().unwrap());
        let more = [&bytes[..], &document(4)].concat();
        let found = Items::new(Run { last: key(4), ..run.clone() }, more).find_map(Result::err).unwrap().to_string();
        assert!(found.contains("ends after 4 of 3"), "{found}");
        let other = Run { holds: Holds::Events, ..run.clone() };
        assert!(Items::new(other, bytes).next().unwrap().is_err());
    }
}
