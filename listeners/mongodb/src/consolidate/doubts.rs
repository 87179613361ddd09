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

/// Most that are named; the range of the last of them goes on to the last document that is not exact.
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
        // The least bytes above a key's are its own and a 0.
        let until = Some(Opaque::new([key.bytes.as_bytes(), &[0]].concat()));
        if self.named.len() >= NAMED {
            self.more += 1;
            // Keys ascend.
            self.named.iter_mut().next_back().into_iter().for_each(|last| last.range.until.clone_from(&until));
            return;
        }
        tracing::warn!(key = key.text, reason, "a document is not had exactly");
        let range = KeyRange { from: Some(key.bytes.clone()), until, text: format!("_id {}", key.text) };
        self.named.push(DegradedRange { range, replicas: 1, captured: 1, reason });
    }

    /// The places that are not proven.
    pub(super) fn ranges(mut self) -> Vec<DegradedRange> {
        if let (Some(last), more @ 1..) = (self.named.last_mut(), self.more) {
            last.reason.push_str(&format!("; and {more} more documents up to the end of this range"));
        }
        self.named
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_range_reaches_the_last_document_that_is_not_exact() {
        let mut doubts = Doubts::default();
        let bytes = |n: usize| Opaque::new((n as u32).to_be_bytes().to_vec());
        for n in 0..NAMED + 5 {
            doubts.add(&Key { bytes: bytes(n), text: n.to_string() }, "unsettled".to_owned());
        }
        let ranges = doubts.ranges();
        let last = ranges.last().unwrap();
        assert_eq!(ranges.len(), NAMED);
        assert_eq!(last.range.from, Some(bytes(NAMED - 1)));
        assert!(last.range.until > Some(bytes(NAMED + 4)) && last.reason.contains("5 more"), "{last:?}");
    }
}
