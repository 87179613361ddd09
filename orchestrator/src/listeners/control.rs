//! The control service that listeners dial: authenticates, says who is who, passes messages.

use std::{io, pin::Pin, sync::Arc, time::Duration};

use futures::Stream;
use tidemark_listener_core::proto::{
    FromListener, Hello, PROTOCOL, ToListener, Welcome,
    control_server::{Control, ControlServer},
    from_listener::Message,
    to_listener,
};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    sync::mpsc,
};
use tokio_stream::wrappers::ReceiverStream;
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use tonic::{Request, Response, Status, Streaming, transport::server::Connected};

use super::{
    registry::{Key, OtherProtocol, Registry, Reply, Session},
    token::TokenHash,
};

/// Longest wait for a hello.
const HELLO_TIMEOUT: Duration = Duration::from_secs(10);

/// Messages that wait to be sent to one listener.
const OUTBOX: usize = 16;

/// Silence after which a listener is asked whether it is there, and the longest wait for its answer.
const KEEP_ALIVE: Duration = Duration::from_secs(10);

/// Serves control to who dials `incoming`, until `shutdown`.
///
/// # Errors
/// The transport's own.
pub async fn serve<S>(
    incoming: impl Stream<Item = io::Result<S>>,
    registry: Arc<Registry>,
    shutdown: CancellationToken,
) -> Result<(), tonic::transport::Error>
where
    S: AsyncRead + AsyncWrite + Connected + Unpin + Send + 'static,
{
    let readers = TaskTracker::new();
    let service = Service { registry, readers: readers.clone(), shutdown: shutdown.clone() };
    let served = tonic::transport::Server::builder()
        .http2_keepalive_interval(Some(KEEP_ALIVE))
        .http2_keepalive_timeout(Some(KEEP_ALIVE))
        .serve_with_incoming_shutdown(ControlServer::new(service), incoming, shutdown.cancelled_owned())
        .await;
    readers.close();
    readers.wait().await;
    served
}

struct Service {
    registry: Arc<Registry>,
    readers: TaskTracker,
    shutdown: CancellationToken,
}

#[tonic::async_trait]
impl Control for Service {
    type AttachStream = Pin<Box<dyn Stream<Item = Result<ToListener, Status>> + Send>>;

    async fn attach(&self, request: Request<Streaming<FromListener>>) -> Result<Response<Self::AttachStream>, Status> {
        let token = self.authenticate(&request)?;
        let mut incoming = request.into_inner();
        let hello = hello(&mut incoming).await?;
        let key = Key { source: hello.source, listener: hello.listener };
        if hello.protocol != PROTOCOL {
            let other = OtherProtocol { version: hello.version, protocol: hello.protocol };
            let status = other_protocol(&key, &other);
            self.registry.refuse(&key, &token, other);
            return Err(status);
        }
        let (outbox, outgoing) = mpsc::channel(OUTBOX);
        // An empty outbox takes it.
        let _ = outbox.try_send(Ok(welcome()));
        let session = self.registry.attach(&key, token, &hello.version, outbox)?;
        tracing::info!(source_id = key.source, listener = key.listener, version = hello.version, "listener attached");
        let (registry, shutdown) = (Arc::clone(&self.registry), self.shutdown.clone());
        self.readers.spawn(async move {
            tokio::select! {
                () = read(&registry, &key, &session, incoming) => {}
                () = shutdown.cancelled() => {}
            }
            registry.detach(&key, &session);
        });
        Ok(Response::new(Box::pin(ReceiverStream::new(outgoing))))
    }
}

impl Service {
    /// The hash of the request's token, which is some listener's; whose, is looked at when it has said who it is.
    fn authenticate<T>(&self, request: &Request<T>) -> Result<TokenHash, Status> {
        let header = request.metadata().get("authorization").and_then(|value| value.to_str().ok());
        let presented = header.and_then(|text| text.strip_prefix("Bearer "));
        let known = presented.map(TokenHash::of).filter(|token| self.registry.knows(token));
        known.ok_or_else(|| Status::unauthenticated("not a listener that this daemon waits for"))
    }
}

async fn hello(incoming: &mut Streaming<FromListener>) -> Result<Hello, Status> {
    let first = tokio::time::timeout(HELLO_TIMEOUT, incoming.message()).await;
    let first = first.map_err(|_| Status::deadline_exceeded("no hello"))??;
    match first.and_then(|m| m.message) {
        Some(Message::Hello(hello)) => Ok(hello),
        _ => Err(Status::invalid_argument("the first message is not hello")),
    }
}

fn welcome() -> ToListener {
    let welcome = Welcome { protocol: PROTOCOL, version: env!("CARGO_PKG_VERSION").to_owned() };
    ToListener { message: Some(to_listener::Message::Welcome(welcome)) }
}

fn other_protocol(key: &Key, other: &OtherProtocol) -> Status {
    let (Key { source, listener }, OtherProtocol { version, protocol }) = (key, other);
    tracing::error!(source_id = source, listener, version, protocol, own = PROTOCOL, "listener of another protocol");
    Status::failed_precondition(format!(
        "the listener speaks protocol {protocol}, this daemon {PROTOCOL}: install the listener of the daemon's version"
    ))
}

/// Passes replies on until the stream ends, or a newer one takes its place.
async fn read(registry: &Registry, key: &Key, session: &Session, mut incoming: Streaming<FromListener>) {
    let gone = session.gone();
    loop {
        let message = tokio::select! {
            () = gone.cancelled() => return,
            message = incoming.message() => message,
        };
        let Ok(Some(FromListener { message })) = message else { return };
        for (id, reply) in message.map(replies).unwrap_or_default() {
            registry.deliver(key, &id, reply).await;
        }
    }
}

/// What a message says, by the work that it is about.
fn replies(message: Message) -> Vec<(String, Reply)> {
    let one = match message {
        Message::Hello(_) => return Vec::new(),
        Message::Heartbeat(beat) => return beat.ids.into_iter().map(|id| (id, Reply::Alive)).collect(),
        Message::Progress(p) => (p.id, Reply::Progress { phase: p.phase, done: p.bytes_done, total: p.bytes_total }),
        Message::Finished(f) => (f.id, Reply::Finished(f.slice)),
        Message::Failed(f) => (f.id, Reply::Failed(f.failure.unwrap_or_default().into())),
        Message::Checked(c) => (c.id, Reply::Checked(c.json)),
    };
    vec![one]
}
