//! The listener's side of the control protocol.
//!
//! The listener dials out, presents its token, says hello and takes work. Control may go away at any time: a capture that
//! runs goes on, its result waits, and the listener dials again with growing pauses. What is lost with a connection is asked
//! for again by the orchestrator, and a capture that is asked for again resumes or answers from its slice manifest. So
//! nothing here needs to be durable.
//!
//! One task owns all state; captures and checks run in tasks of their own, which it starts, ends and awaits.

use std::{fmt, path::Path, sync::Arc, time::Duration};

use tidemark_catalog::ids::SourceId;
use tidemark_gateway::{
    Env,
    backoff::{self, Jitter},
    causes,
    limits::Limits,
};
use tokio::{sync::mpsc, time::MissedTickBehavior};
use tokio_stream::wrappers::ReceiverStream;
use tokio_util::sync::CancellationToken;
use tonic::{
    Code, Request, Status, Streaming,
    metadata::{Ascii, MetadataValue},
    transport::{Channel, Endpoint},
};

use crate::{
    launch,
    listener::Listener,
    proto::{FromListener, Hello, PROTOCOL, ToListener, control_client::ControlClient, from_listener, to_listener},
    socket,
};

mod desk;

use desk::{Bounds, Desk, Event};

/// Longest wait for a connection.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// Silence after which the other side is asked whether it is there, and the longest wait for its answer.
const KEEP_ALIVE: Duration = Duration::from_secs(10);

/// How often work that goes on is told of, whether or not it moved.
const TICK: Duration = Duration::from_millis(500);

/// Messages that wait to be sent.
const OUTBOX: usize = 16;

/// First and longest pause before dialling again.
const PAUSES: (Duration, Duration) = (Duration::from_millis(200), Duration::from_secs(10));

/// Who the listener is and where it dials.
#[derive(Clone, Debug)]
pub struct Config {
    /// URL of the control service: `unix:/state/control/listeners.sock` on the daemon's host, or `http://127.0.0.1:7433`.
    pub control: String,
    /// Id that the orchestrator gave this listener.
    pub listener: String,
    /// The protected system.
    pub source: SourceId,
    /// The store that the process was started for; work for another one is refused.
    pub store: Option<launch::Store>,
    /// What the process may ask of that store: set to what the orchestrator says.
    pub limits: Limits,
    /// Kind of source, for example `cassandra`.
    pub kind: &'static str,
    /// Version of the listener binary.
    pub version: &'static str,
    /// Token that proves the id.
    pub token: Token,
}

/// A listener's token; prints as `***`.
#[derive(Clone)]
pub struct Token(String);

impl Token {
    /// The token with this text.
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

/// Why a listener ended without having been told to.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The control URL is none.
    #[error("control URL {url:?}")]
    Url {
        /// As given.
        url: String,
        /// Why.
        source: tonic::transport::Error,
    },
    /// The control socket may be somebody else's.
    #[error("control socket")]
    Socket(#[source] socket::Error),
    /// The token holds characters that cannot be sent.
    #[error("the listener's token is not visible ASCII text")]
    Token,
    /// The orchestrator's first message says another protocol, or is no welcome.
    #[error(
        "the daemon speaks protocol {theirs}, this listener {PROTOCOL}: install the listener of the daemon's version"
    )]
    Protocol {
        /// The daemon's number; 0 where it said none.
        theirs: u32,
    },
    /// The orchestrator does not take this listener: another one has its place, or the protocol is another.
    #[error("the orchestrator refuses listener {listener}")]
    Refused {
        /// The listener's id.
        listener: String,
        /// The answer.
        source: Status,
    },
}

/// Longest wait for the answer to hello.
const WELCOME_TIMEOUT: Duration = Duration::from_secs(10);

/// How a connection ended.
enum End {
    /// The orchestrator, or the process, wants the listener to end.
    Shutdown,
    /// The connection is gone; it had been accepted.
    Closed(String),
    /// There was no connection.
    NoConnection(String),
}

/// Serves the orchestrator until it says so or `stop` fires. Work that is running then is dropped where it stands, to be
/// resumed by the next listener.
///
/// # Errors
/// [`Error`]: only what dialling again cannot mend.
pub async fn run(
    config: &Config,
    listener: Arc<dyn Listener>,
    env: &Env,
    stop: CancellationToken,
) -> Result<(), Error> {
    let endpoint = endpoint(config)?;
    let bearer = bearer(&config.token)?;
    let (events, mut inbox) = mpsc::channel(OUTBOX);
    let mut desk = Desk::new(bounds(config), listener, events);
    let mut failures = 0;
    loop {
        let end = attach(config, &endpoint, &bearer, &mut desk, &mut inbox, &stop).await?;
        let reason = match end {
            End::Shutdown => break,
            End::Closed(reason) => {
                failures = 0;
                reason
            }
            End::NoConnection(reason) => reason,
        };
        let pause = backoff::wait(PAUSES.0, PAUSES.1, failures, Jitter::Half(env.noise()));
        failures += 1;
        tracing::warn!(control = %config.control, reason, ?pause, "control is away");
        let next = tokio::select! { () = stop.cancelled() => None, () = tokio::time::sleep(pause) => Some(()) };
        if next.is_none() {
            break;
        }
    }
    desk.clear().await;
    Ok(())
}

/// What all work of this process is for.
fn bounds(config: &Config) -> Bounds {
    let repository = config.store.as_ref().map(|store| store.repository.clone());
    Bounds { source: config.source.clone(), repository, limits: config.limits.clone() }
}

fn endpoint(config: &Config) -> Result<Endpoint, Error> {
    let endpoint = Endpoint::from_shared(config.control.clone())
        .map_err(|source| Error::Url { url: config.control.clone(), source })?;
    Ok(endpoint
        .connect_timeout(CONNECT_TIMEOUT)
        .http2_keep_alive_interval(KEEP_ALIVE)
        .keep_alive_timeout(KEEP_ALIVE)
        .keep_alive_while_idle(true))
}

fn bearer(token: &Token) -> Result<MetadataValue<Ascii>, Error> {
    let mut value: MetadataValue<Ascii> = format!("Bearer {}", token.0).parse().map_err(|_| Error::Token)?;
    value.set_sensitive(true);
    Ok(value)
}

/// Dials, says hello and serves until the connection ends.
async fn attach(
    config: &Config,
    endpoint: &Endpoint,
    bearer: &MetadataValue<Ascii>,
    desk: &mut Desk,
    inbox: &mut mpsc::Receiver<Event>,
    stop: &CancellationToken,
) -> Result<End, Error> {
    let (outbox, outgoing) = mpsc::channel(OUTBOX);
    // Hello waits in the outbox before the call: the other side need not answer before it has read it.
    let hello = from_listener::Message::Hello(hello(config));
    if outbox.send(FromListener { message: Some(hello) }).await.is_err() {
        return Ok(End::NoConnection("the outbox is closed".to_owned()));
    }
    if let Err(error) = prove(config) {
        return if error.is_absent() {
            Ok(End::NoConnection(causes::joined(&error)))
        } else {
            Err(Error::Socket(error))
        };
    }
    let dialled = tokio::select! {
        () = stop.cancelled() => return Ok(End::Shutdown),
        dialled = call(endpoint, bearer, outgoing) => dialled?,
    };
    match dialled {
        Ok(incoming) => serve(config, desk, inbox, Wire { outbox, incoming }, stop).await,
        Err(status) if is_refusal(&status) => Err(refused(config, status)),
        Err(status) => Ok(End::NoConnection(status.to_string())),
    }
}

/// Proves a control socket to be the daemon's, each time anew; nothing is known of who answers at another URL.
fn prove(config: &Config) -> Result<(), socket::Error> {
    let path = config.control.strip_prefix("unix:");
    path.map_or(Ok(()), |path| socket::prove(Path::new(path.strip_prefix("//").unwrap_or(path))))
}

fn hello(config: &Config) -> Hello {
    Hello {
        listener: config.listener.clone(),
        source: config.source.to_string(),
        kind: config.kind.to_owned(),
        version: config.version.to_owned(),
        protocol: PROTOCOL,
    }
}

async fn dial(
    endpoint: &Endpoint,
    bearer: &MetadataValue<Ascii>,
    outgoing: mpsc::Receiver<FromListener>,
) -> Result<Streaming<ToListener>, Status> {
    let connected: Result<Channel, _> = endpoint.connect().await;
    let channel = connected.map_err(|error| Status::unavailable(causes::joined(&error)))?;
    let mut request = Request::new(ReceiverStream::new(outgoing));
    request.metadata_mut().insert("authorization", bearer.clone());
    Ok(ControlClient::new(channel).attach(request).await?.into_inner())
}

/// Dials, and has the orchestrator say which protocol it speaks.
async fn call(
    endpoint: &Endpoint,
    bearer: &MetadataValue<Ascii>,
    outgoing: mpsc::Receiver<FromListener>,
) -> Result<Result<Streaming<ToListener>, Status>, Error> {
    let mut incoming = match dial(endpoint, bearer, outgoing).await {
        Ok(incoming) => incoming,
        Err(status) => return Ok(Err(status)),
    };
    let first = tokio::time::timeout(WELCOME_TIMEOUT, incoming.message()).await;
    match first.unwrap_or_else(|_| Err(Status::unavailable("no answer to hello"))) {
        Ok(Some(message)) => welcomed(message).map(|()| Ok(incoming)),
        Ok(None) => Ok(Err(Status::unavailable("the orchestrator closed the stream"))),
        Err(status) => Ok(Err(status)),
    }
}

/// # Errors
/// [`Error::Protocol`] for all but the welcome of an orchestrator that speaks this listener's protocol.
fn welcomed(message: ToListener) -> Result<(), Error> {
    match message.message {
        Some(to_listener::Message::Welcome(welcome)) if welcome.protocol == PROTOCOL => Ok(()),
        Some(to_listener::Message::Welcome(welcome)) => Err(Error::Protocol { theirs: welcome.protocol }),
        _ => Err(Error::Protocol { theirs: 0 }),
    }
}

fn is_refusal(status: &Status) -> bool {
    matches!(
        status.code(),
        Code::Unauthenticated | Code::PermissionDenied | Code::FailedPrecondition | Code::Unimplemented
    )
}

fn refused(config: &Config, source: Status) -> Error {
    Error::Refused { listener: config.listener.clone(), source }
}

/// Both directions of a connection.
struct Wire {
    outbox: mpsc::Sender<FromListener>,
    incoming: Streaming<ToListener>,
}

/// What happens next on a connection.
enum Step {
    Stop,
    Heard(Result<Option<ToListener>, Status>),
    Done(Event),
    Tick,
}

async fn serve(
    config: &Config,
    desk: &mut Desk,
    inbox: &mut mpsc::Receiver<Event>,
    mut wire: Wire,
    stop: &CancellationToken,
) -> Result<End, Error> {
    tracing::info!(control = %config.control, listener = %config.listener, "attached");
    let mut ticks = tokio::time::interval(TICK);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        let step = tokio::select! {
            () = stop.cancelled() => Step::Stop,
            heard = wire.incoming.message() => Step::Heard(heard),
            Some(event) = inbox.recv() => Step::Done(event),
            _ = ticks.tick() => Step::Tick,
        };
        let answers = match step {
            Step::Stop => return Ok(End::Shutdown),
            Step::Heard(Err(status)) if is_refusal(&status) => return Err(refused(config, status)),
            Step::Heard(Err(status)) => return Ok(End::Closed(status.to_string())),
            Step::Heard(Ok(None)) => return Ok(End::Closed("the orchestrator closed the stream".to_owned())),
            Step::Heard(Ok(Some(ToListener { message: Some(to_listener::Message::Shutdown(_)) }))) => {
                return Ok(End::Shutdown);
            }
            Step::Heard(Ok(Some(message))) => desk.take(message),
            Step::Done(event) => desk.done(event),
            Step::Tick => desk.tick(),
        };
        for message in answers {
            if wire.outbox.send(FromListener { message: Some(message) }).await.is_err() {
                return Ok(End::Closed("the connection is gone".to_owned()));
            }
        }
    }
}

#[cfg(test)]
mod tests;
