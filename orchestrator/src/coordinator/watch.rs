//! Watches: what changed, in the order of revisions. A watch is a hint to look; correctness never depends on one.

use futures::{StreamExt as _, stream::BoxStream};

use super::Revision;

/// A change of one key. It does not carry the value: who wants it reads the key, and gets what is there by then.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Event {
    /// The key.
    pub key: String,
    /// Revision of the change.
    pub revision: Revision,
    /// What happened.
    pub kind: EventKind,
}

/// What happened to a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EventKind {
    /// Created or replaced.
    Put,
    /// Removed, by a transaction or by the end of its lease.
    Delete,
}

/// What a watch says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum WatchEvent {
    /// A change.
    Changed(Event),
    /// Changes were missed (compacted, or the watcher was too slow): list again and watch from there. Nothing follows.
    Resync,
}

/// A stream of changes.
pub struct Watch {
    events: BoxStream<'static, WatchEvent>,
}

impl Watch {
    pub(crate) fn new(events: BoxStream<'static, WatchEvent>) -> Self {
        Self { events }
    }

    /// The next change; `None` once the coordinator is closed or after [`WatchEvent::Resync`]. Cancel safe.
    pub async fn next(&mut self) -> Option<WatchEvent> {
        self.events.next().await
    }
}
