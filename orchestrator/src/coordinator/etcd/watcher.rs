//! A watch over streams of one member after the other: what a stream did not deliver the next one does, from the revision after the
//! last that came. Only what etcd has forgotten meanwhile ends it.

use std::{collections::VecDeque, sync::Arc, time::Duration};

use futures::{StreamExt as _, stream};
use tokio::sync::watch::Receiver;
use tonic::{Status, Streaming};

use super::{
    super::{Event, EventKind, Revision, Watch, WatchEvent},
    Error, Inner, failed,
    pool::{Failed, Wire},
    proto::{WatchCreateRequest, WatchRequest, WatchResponse, event::EventType, watch_request::RequestUnion},
};

/// Pause before a stream is opened again that did not open, or ended at once.
const REOPEN: Duration = Duration::from_millis(100);

struct State {
    inner: Arc<Inner>,
    key: Vec<u8>,
    end: Vec<u8>,
    /// Lowest revision that was not yet delivered.
    next: Revision,
    ready: VecDeque<Event>,
    stream: Option<Stream>,
    /// A stream began by saying that changes were missed.
    missed: bool,
    ended: bool,
}

struct Stream {
    responses: Streaming<WatchResponse>,
    /// The member that it is of, as long as that is in use.
    member: Receiver<usize>,
}

/// What comes next of a stream.
enum Next {
    Response(Box<WatchResponse>),
    Broken,
    Ended,
}

/// A watch from `from` on; returns once a member has taken it.
pub(super) async fn watch(inner: &Arc<Inner>, prefix: &str, from: Revision) -> Result<Watch, Error> {
    inner.require_state("watch")?;
    let (key, end) = inner.keys.range(prefix, None);
    let mut state = State {
        inner: Arc::clone(inner),
        key,
        end,
        next: from.max(1),
        ready: VecDeque::new(),
        stream: None,
        missed: false,
        ended: false,
    };
    state.open().await.map_err(|broken| failed("watch", &broken))?;
    Ok(Watch::new(stream::unfold(state, step).boxed()))
}

async fn step(mut state: State) -> Option<(WatchEvent, State)> {
    loop {
        if let Some(event) = state.ready.pop_front() {
            return Some((WatchEvent::Changed(event), state));
        }
        if state.ended {
            return None;
        }
        if state.missed {
            state.ended = true;
            return Some((WatchEvent::Resync, state));
        }
        let next = match &mut state.stream {
            Some(stream) => stream.next(&state.inner).await,
            None => state.open_again().await,
        };
        match next {
            Next::Response(response) => {
                if state.take(&response) {
                    state.ended = true;
                    return Some((WatchEvent::Resync, state));
                }
            }
            Next::Broken => state.stream = None,
            Next::Ended => return None,
        }
    }
}

impl Stream {
    async fn next(&mut self, inner: &Inner) -> Next {
        let at = *self.member.borrow();
        tokio::select! {
            () = inner.ended.cancelled() => Next::Ended,
            // Somebody found the member not answering.
            _ = self.member.changed() => Next::Broken,
            response = self.responses.message() => match response {
                Ok(Some(response)) => Next::Response(Box::new(response)),
                Ok(None) | Err(_) => {
                    inner.pool.leave(at);
                    Next::Broken
                }
            }
        }
    }
}

impl State {
    /// Has a member deliver what is next.
    async fn open(&mut self) -> Result<(), Failed> {
        let create = WatchCreateRequest {
            key: self.key.clone(),
            range_end: self.end.clone(),
            start_revision: self.next.cast_signed(),
            progress_notify: false,
        };
        let request = WatchRequest { request_union: Some(RequestUnion::CreateRequest(create)) };
        let bound = super::CALL;
        let ((responses, first), _) = self.inner.pool.call(bound, |wire| start(wire, request.clone())).await?;
        let mut member = self.inner.pool.in_use();
        member.borrow_and_update();
        self.stream = Some(Stream { responses, member });
        self.missed = self.take(&first);
        Ok(())
    }

    async fn open_again(&mut self) -> Next {
        let inner = Arc::clone(&self.inner);
        let opened = tokio::select! {
            () = inner.ended.cancelled() => return Next::Ended,
            opened = self.open() => opened,
        };
        match opened {
            // The cluster refuses it: whoever watches asks anew, and is told why.
            Err(Failed { answered: true, .. }) => Next::Ended,
            Ok(()) if self.stream.is_some() || self.missed => Next::Response(Box::default()),
            // A member that ends streams as it opens them is not asked without a pause.
            Ok(()) | Err(_) => {
                tokio::time::sleep(REOPEN).await;
                Next::Response(Box::default())
            }
        }
    }

    /// Queues what is new; true where changes were missed.
    fn take(&mut self, response: &WatchResponse) -> bool {
        if response.canceled {
            self.stream = None;
            return response.compact_revision > 0;
        }
        for event in &response.events {
            let Some(kv) = &event.kv else { continue };
            let revision = kv.mod_revision.cast_unsigned();
            self.next = self.next.max(revision + 1);
            let kind = if event.r#type() == EventType::Delete { EventKind::Delete } else { EventKind::Put };
            self.ready.extend(self.inner.keys.own(&kv.key).map(|key| Event { key, revision, kind }));
        }
        false
    }
}

/// A stream and its first answer, which says that the watch is there.
async fn start(wire: Wire, request: WatchRequest) -> Result<(Streaming<WatchResponse>, WatchResponse), Status> {
    // The stream of requests stays open: its end would end the watch.
    let requests = stream::once(async { request }).chain(stream::pending());
    let mut responses = wire.watches().watch(wire.request(requests)).await?.into_inner();
    let first = responses.message().await?.ok_or_else(|| Status::unavailable("the stream ended at once"))?;
    if first.canceled && first.compact_revision == 0 {
        return Err(Status::permission_denied(first.cancel_reason));
    }
    Ok((responses, first))
}
