//! Bytes of the records in `kv` and `log`, integers big-endian.
//!
//! `kv`: create revision (8), modification revision (8), lease or 0 (8), value. `log`: `p` or `d`, key.

use super::super::{Event, EventKind, Kv, LeaseId, Revision};

const HEADER: usize = 24;

/// Record of a key.
pub(super) fn encode_kv(kv: &Kv) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(HEADER + kv.value.len());
    bytes.extend_from_slice(&kv.create_revision.to_be_bytes());
    bytes.extend_from_slice(&kv.mod_revision.to_be_bytes());
    bytes.extend_from_slice(&kv.lease.map_or(0, |l| l.0).to_be_bytes());
    bytes.extend_from_slice(&kv.value);
    bytes
}

/// The key of a record; `None` where the record is too short.
pub(super) fn decode_kv(key: &str, bytes: &[u8]) -> Option<Kv> {
    let (create, rest) = number(bytes)?;
    let (modified, rest) = number(rest)?;
    let (lease, value) = number(rest)?;
    Some(Kv {
        key: key.to_owned(),
        value: value.to_owned(),
        create_revision: create,
        mod_revision: modified,
        lease: (lease != 0).then_some(LeaseId(lease)),
    })
}

fn number(bytes: &[u8]) -> Option<(u64, &[u8])> {
    let (head, rest) = bytes.split_first_chunk::<8>()?;
    Some((u64::from_be_bytes(*head), rest))
}

/// Record of a change.
pub(super) fn encode_event(event: &Event) -> Vec<u8> {
    let kind = match event.kind {
        EventKind::Put => b'p',
        EventKind::Delete => b'd',
    };
    let mut bytes = vec![kind];
    bytes.extend_from_slice(event.key.as_bytes());
    bytes
}

/// The change of a record; `None` where it is none.
pub(super) fn decode_event(revision: Revision, bytes: &[u8]) -> Option<Event> {
    let (kind, key) = bytes.split_first()?;
    let kind = match kind {
        b'p' => EventKind::Put,
        b'd' => EventKind::Delete,
        _ => return None,
    };
    Some(Event { key: std::str::from_utf8(key).ok()?.to_owned(), revision, kind })
}
