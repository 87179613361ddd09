//! Listeners in this process without connections, for simulations: the same messages, passed on by hand.

use std::{io, sync::Arc};

use async_trait::async_trait;
use tidemark_catalog::stored::StoredRef;
use tidemark_listener_core::{
    assignment::{Assignment, Capture, Work},
    failure::Failure,
    progress::silent,
    proto::{self, to_listener},
};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use super::{
    Key, Registry,
    launch::{Launch, Launcher},
    registry::Reply,
    tests::Serves,
};

/// Messages that wait to be read.
const OUTBOX: usize = 16;

/// Runs listeners in this process. One piece of work is done at a time, and is not heard of before it is done.
pub(crate) struct Direct {
    pub(crate) registry: Arc<Registry>,
    /// Makes the listener of a process.
    pub(crate) listener: Serves,
}

#[async_trait]
impl Launcher for Direct {
    async fn run(&self, launch: &Launch) -> io::Result<String> {
        let key = Key { source: launch.source.to_string(), listener: launch.listener.clone() };
        let (outbox, mut inbox) = mpsc::channel(OUTBOX);
        let session = self.registry.attach(&key, launch.token.hash(), "1", outbox).map_err(io::Error::other)?;
        let listener = (self.listener)(launch);
        while let Some(Ok(message)) = inbox.recv().await {
            match message.message {
                Some(to_listener::Message::Assignment(proto::Assignment { id, json })) => {
                    let reply = match captured(&*listener, &json).await {
                        Ok(slice) => Reply::Finished(serde_json::to_string(&slice).map_err(io::Error::other)?),
                        Err(failure) => Reply::Failed(failure),
                    };
                    self.registry.deliver(&key, &id, reply).await;
                }
                Some(to_listener::Message::Shutdown(_)) => break,
                _ => {}
            }
        }
        self.registry.detach(&key, &session);
        Ok("ended".to_owned())
    }
}

async fn captured(listener: &dyn tidemark_listener_core::listener::Listener, json: &str) -> Result<StoredRef, Failure> {
    let assignment: Assignment =
        serde_json::from_str(json).map_err(|error| Failure::new("TM-FAKE-0001", error.to_string()))?;
    let (rest, work) = assignment.parts();
    let Work::Capture(capture) = work else { return Err(Failure::new("TM-FAKE-0001", "not a capture")) };
    let assignment: Assignment<Capture> = rest.with(*capture);
    listener.capture(&assignment, silent(), CancellationToken::new()).await
}
