//! The control service that listeners dial: authenticates, says who is who, passes messages.

use std::{fmt, pin::Pin, sync::Arc, time::Duration};

use futures::Stream;
use tidemark_gateway::{Digest, Env};
use tidemark_listener_core::proto::{
    FromListener, Hello, PROTOCOL, ToListener, Welcome,
    control_server::{Control, ControlServer},
    from_listener::Message,
    to_listener,
};
use tokio::{net::TcpListener, sync::mpsc};
use tokio_stream::wrappers::{ReceiverStream, TcpListenerStream};
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use tonic::{Request, Response, Status, Streaming};

use super::registry::{Key, Registry, Reply, Session};

/// Longest wait for a hello.
const HELLO_TIMEOUT: Duration = Duration::from_secs(10);

/// Messages that wait to be sent to one listener.
const OUTBOX: usize = 16;

/// Silence after which a listener is asked whether it is there, and the longest wait for its answer.
const KEEP_ALIVE: Duration = Duration::from_secs(10);

/// The token that this daemon's listeners present; new with each run. Prints as `***`.
#[derive(Clone)]
pub struct ListenerToken(Arc<str>);

impl ListenerToken {
    /// A new token.
    pub fn generate(env: &Env) -> Self {
        Self(hex::encode(env.random::<32>()).into())
    }

    /// The secret itself, for a listener's environment.
    pub fn expose(&self) -> &str {
        &self.0
    }

    /// True iff `presented` is this token; takes the same time wherever they differ.
    fn accepts(&self, presented: &str) -> bool {
        // Digests of different texts differ everywhere at once; the comparison of hashes takes the same time in any case.
        let hash = |text: &str| blake3::Hash::from_bytes(*Digest::of(text.as_bytes()).as_bytes());
        hash(&self.0) == hash(presented)
    }
}

impl fmt::Debug for ListenerToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

/// Serves control until `shutdown`.
///
/// # Errors
/// The transport's own.
pub async fn serve(
    listener: TcpListener,
    registry: Arc<Registry>,
    token: ListenerToken,
    shutdown: CancellationToken,
) -> Result<(), tonic::transport::Error> {
    let readers = TaskTracker::new();
    let service = Service { registry, token, readers: readers.clone(), shutdown: shutdown.clone() };
    let served = tonic::transport::Server::builder()
        .http2_keepalive_interval(Some(KEEP_ALIVE))
        .http2_keepalive_timeout(Some(KEEP_ALIVE))
        .serve_with_incoming_shutdown(
            ControlServer::new(service),
            TcpListenerStream::new(listener),
            shutdown.cancelled_owned(),
        )
        .await;
    readers.close();
    readers.wait().await;
    served
}

struct Service {
    registry: Arc<Registry>,
    token: ListenerToken,
    readers: TaskTracker,
    shutdown: CancellationToken,
}

#[tonic::async_trait]
impl Control for Service {
    type AttachStream = Pin<Box<dyn Stream<Item = Result<ToListener, Status>> + Send>>;

    async fn attach(&self, request: Request<Streaming<FromListener>>) -> Result<Response<Self::AttachStream>, Status> {
        self.authenticate(&request)?;
        let mut incoming = request.into_inner();
        let hello = hello(&mut incoming).await?;
        let key = Key { source: hello.source, listener: hello.listener };
        let (outbox, outgoing) = mpsc::channel(OUTBOX);
        // An empty outbox takes it.
        let _ = outbox.try_send(Ok(welcome()));
        let session = self.registry.attach(&key, &hello.version, outbox)?;
        tracing::info!(source_id = key.source, listener = key.listener, version = hello.version, "listener attached");
        let (registry, shutdown) = (Arc::clone(&self.registry), self.shutdown.clone());
        self.readers.spawn(async move {
            tokio::select! {
                () = read(&registry, &session, incoming) => {}
                () = shutdown.cancelled() => {}
            }
            registry.detach(&key, &session);
        });
        Ok(Response::new(Box::pin(ReceiverStream::new(outgoing))))
    }
}

impl Service {
    fn authenticate<T>(&self, request: &Request<T>) -> Result<(), Status> {
        let header = request.metadata().get("authorization").and_then(|value| value.to_str().ok());
        let presented = header.and_then(|text| text.strip_prefix("Bearer "));
        if presented.is_some_and(|token| self.token.accepts(token)) {
            Ok(())
        } else {
            Err(Status::unauthenticated("not a listener of this run of the daemon"))
        }
    }
}

async fn hello(incoming: &mut Streaming<FromListener>) -> Result<Hello, Status> {
    let first = tokio::time::timeout(HELLO_TIMEOUT, incoming.message()).await;
    let first = first.map_err(|_| Status::deadline_exceeded("no hello"))??;
    match first.and_then(|m| m.message) {
        Some(Message::Hello(hello)) if hello.protocol == PROTOCOL => Ok(hello),
        Some(Message::Hello(hello)) => Err(other_protocol(&hello)),
        _ => Err(Status::invalid_argument("the first message is not hello")),
    }
}

fn welcome() -> ToListener {
    let welcome = Welcome { protocol: PROTOCOL, version: env!("CARGO_PKG_VERSION").to_owned() };
    ToListener { message: Some(to_listener::Message::Welcome(welcome)) }
}

fn other_protocol(hello: &Hello) -> Status {
    let Hello { listener, source, version, protocol, .. } = hello;
    tracing::error!(source_id = source, listener, version, protocol, own = PROTOCOL, "listener of another protocol");
    Status::failed_precondition(format!(
        "the listener speaks protocol {protocol}, this daemon {PROTOCOL}: install the listener of the daemon's version"
    ))
}

/// Passes replies on until the stream ends, or a newer one takes its place.
async fn read(registry: &Registry, session: &Session, mut incoming: Streaming<FromListener>) {
    let gone = session.gone();
    loop {
        let message = tokio::select! {
            () = gone.cancelled() => return,
            message = incoming.message() => message,
        };
        let Ok(Some(FromListener { message })) = message else { return };
        for (id, reply) in message.map(replies).unwrap_or_default() {
            registry.deliver(&id, reply).await;
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
