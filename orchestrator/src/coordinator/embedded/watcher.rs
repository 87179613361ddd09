//! Joins the log of past changes with the channel of new ones.

use std::{collections::VecDeque, sync::Arc};

use futures::{StreamExt as _, stream};
use tokio::sync::broadcast::{Receiver, error::RecvError};

use super::{Event, Revision, Watch, WatchEvent, database::Past};

struct State {
    prefix: String,
    /// Lowest revision that was not yet delivered.
    next: Revision,
    ready: VecDeque<Event>,
    live: Receiver<Arc<Vec<Event>>>,
    ended: bool,
}

/// A watch that starts with `past` and goes on with `live`, each change once.
pub(super) fn watch(prefix: String, from: Revision, past: Past, live: Receiver<Arc<Vec<Event>>>) -> Watch {
    let Past::Events { events, through } = past else {
        return Watch::new(stream::iter([WatchEvent::Resync]).boxed());
    };
    let state = State { prefix, next: from.max(through + 1), ready: events.into(), live, ended: false };
    Watch::new(stream::unfold(state, step).boxed())
}

async fn step(mut state: State) -> Option<(WatchEvent, State)> {
    loop {
        if let Some(event) = state.ready.pop_front() {
            return Some((WatchEvent::Changed(event), state));
        }
        if state.ended {
            return None;
        }
        match state.live.recv().await {
            Ok(events) => state.take(&events),
            Err(RecvError::Closed) => return None,
            Err(RecvError::Lagged(_)) => {
                state.ended = true;
                return Some((WatchEvent::Resync, state));
            }
        }
    }
}

impl State {
    /// Queues what is new and wanted; what the log had already is left out.
    fn take(&mut self, events: &[Event]) {
        let wanted = events.iter().filter(|e| e.revision >= self.next && e.key.starts_with(&self.prefix));
        self.ready.extend(wanted.cloned());
    }
}
