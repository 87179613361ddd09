//! The client against an orchestrator in this process.

use std::{
    num::NonZeroU64,
    sync::atomic::{AtomicUsize, Ordering},
};

use async_trait::async_trait;
use jiff::Timestamp;
use tidemark_catalog::stored::StoredRef;
use tidemark_gateway::{Stored, limits::Limit};
use tokio::{net::TcpListener, sync::Notify, task::JoinHandle};
use tokio_stream::wrappers::TcpListenerStream;
use tonic::{Response, transport::Server};

use super::*;
use crate::{
    assignment::{Assignment, Capture, CheckRequest, Mode, Restore, Work},
    check,
    failure::Failure,
    progress::{Progress, ProgressSink},
    proto::{
        self,
        control_server::{Control, ControlServer},
    },
};

/// One connection as the orchestrator sees it.
struct Attached {
    bearer: String,
    incoming: Streaming<FromListener>,
    outgoing: mpsc::Sender<Result<ToListener, Status>>,
}

impl Attached {
    async fn hear(&mut self) -> from_listener::Message {
        self.incoming.message().await.expect("the stream is whole").expect("a message").message.expect("a kind")
    }

    /// The next message that is neither progress nor heartbeat.
    async fn hear_result(&mut self) -> from_listener::Message {
        loop {
            match self.hear().await {
                from_listener::Message::Progress(_) | from_listener::Message::Heartbeat(_) => {}
                other => return other,
            }
        }
    }

    /// The failure that comes next, and whose it is.
    async fn hear_failure(&mut self) -> (String, Failure) {
        match self.hear_result().await {
            from_listener::Message::Failed(proto::Failed { id, failure: Some(failure) }) => (id, failure.into()),
            other => panic!("not a failure: {other:?}"),
        }
    }

    async fn say(&self, message: to_listener::Message) {
        self.outgoing.send(Ok(ToListener { message: Some(message) })).await.expect("the listener is there");
    }
}

struct Orchestrator {
    connections: mpsc::Sender<Attached>,
    /// What each connection hears first.
    first: to_listener::Message,
}

fn welcome(protocol: u32) -> to_listener::Message {
    to_listener::Message::Welcome(proto::Welcome { protocol, version: "1".into() })
}

#[async_trait]
impl Control for Orchestrator {
    type AttachStream = ReceiverStream<Result<ToListener, Status>>;

    async fn attach(&self, request: Request<Streaming<FromListener>>) -> Result<Response<Self::AttachStream>, Status> {
        let bearer = request.metadata().get("authorization").and_then(|value| value.to_str().ok()).unwrap_or_default();
        if bearer == "Bearer wrong" {
            return Err(Status::unauthenticated("who are you"));
        }
        let (outgoing, answers) = mpsc::channel(8);
        outgoing.send(Ok(ToListener { message: Some(self.first.clone()) })).await.expect("there is room");
        let attached = Attached { bearer: bearer.to_owned(), incoming: request.into_inner(), outgoing };
        self.connections.send(attached).await.map_err(|_| Status::unavailable("the test is over"))?;
        Ok(Response::new(ReceiverStream::new(answers)))
    }
}

/// Captures by waiting to be let go.
#[derive(Default)]
struct Patient {
    started: Notify,
    go: Notify,
    captures: AtomicUsize,
}

fn slice() -> StoredRef {
    StoredRef::new(&object_store::path::Path::from("sources/s/staged/t/p/slice.json"), Stored::of(b"abc"))
}

#[async_trait]
impl Listener for Patient {
    async fn check(&self, request: &CheckRequest) -> Vec<check::Line> {
        vec![check::Line::ok("connect", "node", request.objects.join(","))]
    }

    async fn capture(
        &self,
        _: &Assignment<Capture>,
        progress: ProgressSink,
        cancel: CancellationToken,
    ) -> Result<StoredRef, Failure> {
        self.captures.fetch_add(1, Ordering::SeqCst);
        progress(Progress { phase: "upload".into(), done: 1, total: 2, unit: "bytes".into() });
        self.started.notify_one();
        tokio::select! {
            () = self.go.notified() => Ok(slice()),
            () = cancel.cancelled() => Err(Failure::cancelled().with_hint("ask again")),
        }
    }
}

/// A listener process in small, and the orchestrator's end of its connections.
struct Bench {
    listener: Arc<Patient>,
    limits: Limits,
    connections: mpsc::Receiver<Attached>,
    client: JoinHandle<Result<(), Error>>,
    server: JoinHandle<Result<(), tonic::transport::Error>>,
}

impl Bench {
    async fn new(token: &str) -> Self {
        Self::hearing_first(welcome(PROTOCOL), token).await
    }

    async fn hearing_first(first: to_listener::Message, token: &str) -> Self {
        let socket = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let control = format!("http://{}", socket.local_addr().unwrap());
        let (connections, attached) = mpsc::channel(4);
        let (service, incoming) =
            (ControlServer::new(Orchestrator { connections, first }), TcpListenerStream::new(socket));
        let server = tokio::spawn(async move { Server::builder().serve_with_incoming(service, incoming).await });
        let listener = Arc::new(Patient::default());
        let (config, serving) = (config(control, token), Arc::clone(&listener));
        let limits = config.limits.clone();
        let env = Env::seeded(1, Timestamp::UNIX_EPOCH);
        let client = tokio::spawn(async move { run(&config, serving, &env, CancellationToken::new()).await });
        Self { listener, limits, connections: attached, client, server }
    }

    /// The next connection, its hello read.
    async fn attached(&mut self) -> Attached {
        let mut attached = self.connections.recv().await.expect("the listener dials");
        let from_listener::Message::Hello(hello) = attached.hear().await else { panic!("hello comes first") };
        assert_eq!((hello.listener.as_str(), hello.protocol), ("n1", PROTOCOL));
        attached
    }

    async fn end(self, attached: Attached) {
        attached.say(to_listener::Message::Shutdown(proto::Shutdown {})).await;
        self.client.await.expect("the client does not panic").expect("the client ends as told");
        self.server.abort();
    }
}

fn config(control: String, token: &str) -> Config {
    Config {
        control,
        listener: "n1".into(),
        source: "shop".parse().unwrap(),
        store: Some(launch::Store { url: "memory:".into(), repository: "r".into(), checksums: false }),
        limits: Limits::default(),
        kind: "cassandra",
        version: "0.1.0",
        token: Token::new(token),
    }
}

fn assign(id: &str) -> to_listener::Message {
    let objects = vec!["ks/*".into()];
    assign_work(id, &[], Work::Capture(Box::new(Capture { objects, ..Capture::default() })))
}

fn assign_work(id: &str, needs: &[&str], work: Work) -> to_listener::Message {
    assign_as(&asked(id, needs, work))
}

fn assign_as(assignment: &Assignment) -> to_listener::Message {
    let json = serde_json::to_string(assignment).unwrap();
    to_listener::Message::Assignment(proto::Assignment { id: assignment.id.clone(), json })
}

fn asked(id: &str, needs: &[&str], work: Work) -> Assignment {
    Assignment {
        id: id.into(),
        source: "shop".parse().unwrap(),
        task: "t-1".parse().unwrap(),
        token: "1-1".parse().unwrap(),
        needs: needs.iter().map(|need| (*need).to_owned()).collect(),
        repository: "r".into(),
        work,
    }
}

fn finished(id: &str) -> from_listener::Message {
    let slice = serde_json::to_string(&slice()).unwrap();
    from_listener::Message::Finished(proto::Finished { id: id.into(), slice })
}

#[tokio::test]
async fn a_capture_is_reported_and_shutdown_ends_the_listener() {
    let mut bench = Bench::new("secret").await;
    let mut control = bench.attached().await;
    assert_eq!(control.bearer, "Bearer secret");
    control.say(assign("a-1")).await;
    bench.listener.started.notified().await;
    let progress = loop {
        match control.hear().await {
            from_listener::Message::Heartbeat(_) => {}
            from_listener::Message::Progress(progress) => break progress,
            other => panic!("progress comes first: {other:?}"),
        }
    };
    assert_eq!((progress.id.as_str(), progress.bytes_done, progress.bytes_total), ("a-1", 1, 2));
    bench.listener.go.notify_one();
    assert_eq!(control.hear_result().await, finished("a-1"));
    bench.end(control).await;
}

#[tokio::test]
async fn a_listener_at_work_hears_its_limits_before_whatever_is_said_next() {
    let mut bench = Bench::new("secret").await;
    let mut control = bench.attached().await;
    assert_eq!(bench.limits.get(), Limit::default());
    let lowest = Limit { bytes_per_second: Some(NonZeroU64::MIN), requests: Some(0) };
    let said = [
        (proto::Limits { bytes_per_second: Some(5), requests: Some(2) }, limit(5, 2)),
        (proto::Limits { bytes_per_second: Some(0), requests: Some(0) }, lowest),
        (proto::Limits::default(), Limit::default()),
        (limit(7, 3).into(), limit(7, 3)),
    ];
    control.say(assign("a-1")).await;
    bench.listener.started.notified().await;
    for (limits, expected) in said {
        control.say(to_listener::Message::Limits(limits)).await;
        control.say(check("c-1")).await;
        assert!(matches!(control.hear_result().await, from_listener::Message::Checked(_)));
        assert_eq!(bench.limits.get(), expected);
    }
    bench.listener.go.notify_one();
    assert_eq!(control.hear_result().await, finished("a-1"));
    bench.end(control).await;
}

fn limit(bytes: u64, requests: usize) -> Limit {
    Limit { bytes_per_second: NonZeroU64::new(bytes), requests: Some(requests) }
}

#[tokio::test]
async fn work_that_does_not_move_is_heard_of_at_each_tick_while_it_goes_on() {
    let mut bench = Bench::new("secret").await;
    let mut control = bench.attached().await;
    control.say(assign("a-1")).await;
    bench.listener.started.notified().await;
    let mut beats = 0;
    while beats < 3 {
        match control.hear().await {
            from_listener::Message::Heartbeat(beat) => beats += usize::from(beat.ids == ["a-1"]),
            from_listener::Message::Progress(_) => {}
            other => panic!("it goes on: {other:?}"),
        }
    }
    bench.listener.go.notify_one();
    assert_eq!(control.hear_result().await, finished("a-1"));
    bench.end(control).await;
}

#[test]
fn a_listener_without_work_says_nothing() {
    let (events, _inbox) = mpsc::channel(1);
    assert!(Desk::new(bounds(&config(String::new(), "")), Arc::new(Patient::default()), events).tick().is_empty());
}

#[tokio::test]
async fn a_capture_outlives_its_connection_and_answers_to_its_newest_assignment() {
    let mut bench = Bench::new("secret").await;
    let control = bench.attached().await;
    control.say(assign("a-1")).await;
    bench.listener.started.notified().await;
    drop(control);
    let mut control = bench.attached().await;
    control.say(assign("a-2")).await;
    // The answer to the check proves that the assignment before it was taken.
    control.say(check("c-1")).await;
    assert!(matches!(control.hear_result().await, from_listener::Message::Checked(_)));
    bench.listener.go.notify_one();
    assert_eq!(control.hear_result().await, finished("a-2"));
    assert_eq!(bench.listener.captures.load(Ordering::SeqCst), 1);
    bench.end(control).await;
}

fn check(id: &str) -> to_listener::Message {
    check_json(id, r#"{"store":false,"objects":["ks/*"]}"#)
}

fn check_json(id: &str, json: &str) -> to_listener::Message {
    to_listener::Message::Check(proto::Check { id: id.into(), json: json.into() })
}

#[tokio::test]
async fn a_cancelled_capture_says_so() {
    let mut bench = Bench::new("secret").await;
    let mut control = bench.attached().await;
    control.say(assign("a-1")).await;
    bench.listener.started.notified().await;
    control.say(to_listener::Message::Cancel(proto::Cancel { id: "a-1".into() })).await;
    let (id, failure) = control.hear_failure().await;
    assert_eq!((id.as_str(), failure.code.as_ref(), failure.retryable), ("a-1", "TM-TASK-0001", false));
    assert_eq!(failure.hint.as_deref(), Some("ask again"));
    bench.end(control).await;
}

#[tokio::test]
async fn a_message_that_cannot_be_read_is_answered() {
    let mut bench = Bench::new("secret").await;
    let mut control = bench.attached().await;
    let message = proto::Assignment { id: "a-9".into(), json: "{".into() };
    control.say(to_listener::Message::Assignment(message)).await;
    let (id, failure) = control.hear_failure().await;
    assert_eq!((id.as_str(), failure.retryable), ("a-9", false));
    bench.end(control).await;
}

#[tokio::test]
async fn work_that_a_listener_does_not_know_is_refused_and_the_connection_stands() {
    let mut bench = Bench::new("secret").await;
    let mut control = bench.attached().await;
    let capture = |mode| Work::Capture(Box::new(Capture { mode, ..Capture::default() }));
    let refused = [
        ("a-1", assign_work("a-1", &["by-moonlight"], capture(Mode::Fresh)), "TM-CTRL-0103"),
        ("a-2", assign_work("a-2", &[], capture(Mode::Join)), "TM-CTRL-0103"),
        ("a-3", assign_work("a-3", &[], Work::Restore(Restore { ask: serde_json::Value::Null })), "TM-CTRL-0104"),
        ("c-1", check_json("c-1", r#"{"needs": ["by-moonlight"], "store": false, "objects": []}"#), "TM-CTRL-0103"),
    ];
    for (id, message, code) in refused {
        control.say(message).await;
        let (of, failure) = control.hear_failure().await;
        assert_eq!((of.as_str(), failure.code.as_ref(), failure.retryable), (id, code, false));
    }
    assert_eq!(bench.listener.captures.load(Ordering::SeqCst), 0);
    control.say(assign("a-4")).await;
    bench.listener.started.notified().await;
    bench.end(control).await;
}

#[tokio::test]
async fn work_for_another_source_or_store_than_that_of_the_start_is_refused() {
    let mut bench = Bench::new("secret").await;
    let mut control = bench.attached().await;
    let own = asked("a-1", &[], Work::Capture(Box::default()));
    let others = [
        Assignment { repository: "r2".into(), ..own.clone() },
        Assignment { source: "other".parse().unwrap(), ..own.clone() },
    ];
    for other in others {
        control.say(assign_as(&other)).await;
        let (_, failure) = control.hear_failure().await;
        assert_eq!((failure.code.as_ref(), failure.retryable), ("TM-CTRL-0105", false));
    }
    assert_eq!(bench.listener.captures.load(Ordering::SeqCst), 0);
    control.say(assign_as(&own)).await;
    bench.listener.started.notified().await;
    bench.end(control).await;
}

#[tokio::test]
async fn shutdown_drops_a_capture_where_it_stands() {
    let mut bench = Bench::new("secret").await;
    let control = bench.attached().await;
    control.say(assign("a-1")).await;
    bench.listener.started.notified().await;
    bench.end(control).await;
}

#[tokio::test]
async fn a_socket_that_may_be_somebody_elses_is_not_dialled() {
    let listener = Arc::new(Patient::default());
    let env = Env::seeded(1, Timestamp::UNIX_EPOCH);
    // Anybody may write to its directory.
    let config = config("unix:/tmp/listeners.sock".into(), "secret");
    let ended = run(&config, listener, &env, CancellationToken::new()).await;
    assert!(matches!(ended, Err(Error::Socket(socket::Error::Untrusted { .. }))), "{ended:?}");
}

#[tokio::test]
async fn a_refused_listener_ends() {
    let bench = Bench::new("wrong").await;
    let ended = bench.client.await.unwrap();
    assert!(matches!(ended, Err(Error::Refused { .. })));
    bench.server.abort();
}

#[tokio::test]
async fn a_daemon_of_another_protocol_is_refused_before_it_is_obeyed() {
    for (first, number) in [(welcome(PROTOCOL + 1), PROTOCOL + 1), (assign("a-1"), 0)] {
        let bench = Bench::hearing_first(first, "secret").await;
        let ended = bench.client.await.unwrap();
        assert!(matches!(&ended, Err(Error::Protocol { theirs }) if *theirs == number), "{ended:?}");
        assert_eq!(bench.listener.captures.load(Ordering::SeqCst), 0);
        bench.server.abort();
    }
}

#[test]
fn a_token_is_never_printed() {
    assert!(!format!("{:?}", config("http://x".into(), "hush")).contains("hush"));
}
