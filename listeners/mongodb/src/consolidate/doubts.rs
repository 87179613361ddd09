//! Documents that are not had exactly: left out or unsettled, named, and nothing else stopped by them.

use tidemark_catalog::{
    entry::DegradedRange,
    keys::{Key, KeyRange},
    opaque::Opaque,
};

use crate::{
    key::Id,
    segment::{Atom, Record},
    state::State,
};

/// Most that are named; the last of them speaks for the rest.
const NAMED: usize = 100;

/// What is not exact.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Doubts {
    named: Vec<DegradedRange>,
    more: u64,
}

impl Doubts {
    /// The record of what was found under a key; none where there is no document, or one that nobody could restore.
    pub(super) fn settle(&mut self, key: &Key, id: Id, state: State) -> Option<Record> {
        let (document, settled) = match state {
            State::Absent => return None,
            State::Exact(document) => (document, true),
            State::Unsettled(document) => (document, false),
        };
        let record = Record { id, atom: Atom::Rest(document) };
        if let Err(why) = record.check() {
            self.add(key, format!("{why}: it is left out"));
            return None;
        }
        if !settled {
            let why = format!(
                "document {}: it changed while it was read, and the order of its fields is not proven",
                record.id
            );
            self.add(key, why);
        }
        Some(record)
    }

    fn add(&mut self, key: &Key, reason: String) {
        if self.named.len() >= NAMED {
            self.more += 1;
            return;
        }
        tracing::warn!(key = key.text, reason, "a document is not had exactly");
        // The least bytes above a key's are its own and a 0.
        let until = Opaque::new([key.bytes.as_bytes(), &[0]].concat());
        let range = KeyRange { from: Some(key.bytes.clone()), until: Some(until), text: format!("_id {}", key.text) };
        self.named.push(DegradedRange { range, replicas: 1, captured: 1, reason });
    }

    /// The places that are not proven.
    pub(super) fn ranges(mut self) -> Vec<DegradedRange> {
        if let (Some(last), more @ 1..) = (self.named.last_mut(), self.more) {
            last.reason.push_str(&format!("; and {more} more documents"));
        }
        self.named
    }
}
