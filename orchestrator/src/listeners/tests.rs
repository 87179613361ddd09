use std::{
    io,
    num::NonZeroU64,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicU32, Ordering},
    },
    time::Duration,
};

use async_trait::async_trait;
use tidemark_catalog::{ids::FencingToken, stored::StoredRef};
use tidemark_gateway::{
    Env, Stored,
    limits::{Limit, Limits},
};
use tidemark_listener_core::{
    assignment::{Assignment, Capture, CheckRequest, Work},
    check,
    client::{self, Token},
    failure, launch,
    listener::Listener,
    progress::{Progress, ProgressSink, silent},
    proto::{FromListener, Hello, PROTOCOL, ToListener, control_client::ControlClient, from_listener, to_listener},
    source::ListenerSpec,
};
use tokio::net::TcpListener;
use tokio_stream::wrappers::TcpListenerStream;
use tokio_util::sync::CancellationToken;
use tonic::{Code, Request, Status, transport::Endpoint};

use super::{
    Attachment, Key, ListenerConfig, Listeners, Registry, Stop, Target, control,
    launch::{Launch, Launcher},
    token::ListenerToken,
};
use crate::{
    limits::{Bound, Bounds, LimitsSpec, Owner},
    stores::ListenerStore,
};

/// Makes the listener of a process.
pub(crate) type Serves = Box<dyn Fn(&Launch) -> Arc<dyn Listener> + Send + Sync>;

/// Runs listeners in this process, over real connections.
pub(crate) struct InProcess {
    pub(crate) control: String,
    /// Makes the listener of a process.
    pub(crate) listener: Serves,
    /// Lives that end by themselves right after they attached, before the ones that stay.
    pub(crate) deaths: AtomicU32,
}

impl InProcess {
    /// The life of a listener process that obeys these limits, until it ends by itself.
    async fn live(&self, launch: &Launch, limits: Limits) -> io::Result<String> {
        let config = client::Config {
            control: self.control.clone(),
            listener: launch.listener.clone(),
            source: launch.source.clone(),
            store: launch.store.clone(),
            limits,
            kind: "fake",
            version: "1",
            token: Token::new(launch.token.expose()),
        };
        let life = client::run(&config, (self.listener)(launch), &Env::system(), CancellationToken::new()).await;
        Ok(format!("{life:?}"))
    }
}

#[async_trait]
impl Launcher for InProcess {
    async fn run(&self, launch: &Launch) -> io::Result<String> {
        self.live(launch, Limits::default()).await
    }
}

/// A launcher of a listener whose limits can be looked at.
struct Limited {
    inner: InProcess,
    limits: Limits,
}

#[async_trait]
impl Launcher for Limited {
    async fn run(&self, launch: &Launch) -> io::Result<String> {
        self.inner.live(launch, self.limits.clone()).await
    }
}

/// A launcher whose first lives die once they were given work.
struct Dying {
    inner: InProcess,
    working: Arc<tokio::sync::Notify>,
}

#[async_trait]
impl Launcher for Dying {
    async fn run(&self, launch: &Launch) -> io::Result<String> {
        let dies = self.inner.deaths.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |n| n.checked_sub(1)).is_ok();
        tokio::select! {
            ended = self.inner.run(launch) => ended,
            () = self.working.notified(), if dies => Ok("killed".to_owned()),
        }
    }
}

/// What the fake does with an assignment.
type Captures = Box<dyn Fn(&Assignment<Capture>) -> Result<StoredRef, failure::Failure> + Send + Sync>;

struct Fake {
    captures: Captures,
    /// Captures that hang until they are dropped, before the ones that answer.
    hangs: AtomicU32,
    working: Arc<tokio::sync::Notify>,
    /// What a cancelled capture holds was given back.
    given_back: Arc<AtomicBool>,
}

#[async_trait]
impl Listener for Fake {
    async fn check(&self, request: &CheckRequest) -> Vec<check::Line> {
        vec![check::Line::ok("fake", "here", format!("{:?}", request.objects))]
    }

    async fn capture(
        &self,
        assignment: &Assignment<Capture>,
        progress: ProgressSink,
        cancel: CancellationToken,
    ) -> Result<StoredRef, failure::Failure> {
        progress(Progress { phase: "upload".to_owned(), done: 1, total: 2, unit: "bytes".to_owned() });
        if self.hangs.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |n| n.checked_sub(1)).is_ok() {
            self.working.notify_one();
            cancel.cancelled().await;
            // As nodetool does, giving a snapshot back takes a while.
            tokio::task::yield_now().await;
            self.given_back.store(true, Ordering::SeqCst);
            return Err(failure::Failure::cancelled());
        }
        (self.captures)(assignment)
    }
}

fn slice() -> StoredRef {
    StoredRef::new(&object_store::path::Path::from("slice.json"), Stored::of(b"{}"))
}

fn target() -> Target {
    let spec = ListenerSpec {
        id: "n1".to_owned(),
        program: "p".to_owned(),
        arguments: vec![],
        secret_environment: vec![],
        inherited: &[],
    };
    let place = launch::Store { url: "memory:".to_owned(), repository: "r".to_owned(), checksums: false };
    Target {
        source: "src".parse().unwrap(),
        spec,
        store: Some(ListenerStore { place, secrets: vec![], bound: Bound::default() }),
    }
}

pub(super) fn assignment(n: u32) -> Assignment {
    Assignment {
        id: format!("t-{n}"),
        source: "src".parse().unwrap(),
        task: "0123".parse().unwrap(),
        token: FencingToken { generation: 1, revision: 2 },
        needs: vec![],
        repository: "r".to_owned(),
        work: Work::Capture(Box::new(Capture { objects: vec!["a/*".to_owned()], ..Capture::default() })),
    }
}

fn config() -> ListenerConfig {
    let millis = Duration::from_millis;
    ListenerConfig { backoff: millis(1), stop_timeout: millis(2000), ..ListenerConfig::default() }
}

/// The URL of a control service in front of `registry`.
async fn serve(registry: &Arc<Registry>) -> String {
    let socket = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let control = format!("http://{}", socket.local_addr().unwrap());
    tokio::spawn(control::serve(TcpListenerStream::new(socket), Arc::clone(registry), CancellationToken::new()));
    control
}

/// Listeners with a control service, a fake that hangs `hangs` times, and a launcher whose listener dies as often.
async fn bench(hangs: u32, captures: Captures) -> Listeners {
    let registry = Arc::new(Registry::default());
    let control = serve(&registry).await;
    let working = Arc::new(tokio::sync::Notify::new());
    let listener: Arc<dyn Listener> = Arc::new(Fake {
        captures,
        hangs: AtomicU32::new(hangs),
        working: Arc::clone(&working),
        given_back: Arc::default(),
    });
    let inner = InProcess {
        control,
        listener: Box::new(move |_: &Launch| Arc::clone(&listener)),
        deaths: AtomicU32::new(hangs),
    };
    Listeners::new(registry, Arc::new(Dying { inner, working }), config(), Env::system())
}

#[tokio::test]
async fn a_capture_answers_with_its_slice_and_reports_progress() {
    let listeners = bench(0, Box::new(|_| Ok(slice()))).await;
    let answered = listeners.work(&target(), assignment, silent(), Stop::default()).await;
    assert_eq!(answered.unwrap(), slice());
    assert_eq!(listeners.state(&"src".parse().unwrap(), "n1"), Attachment::Stopped);
}

#[tokio::test]
async fn a_listener_that_dies_is_started_again_and_gets_its_assignment_again() {
    let seen = Arc::new(Mutex::new(Vec::new()));
    let log = Arc::clone(&seen);
    let captures = Box::new(move |a: &Assignment<Capture>| {
        log.lock().unwrap().push((a.task.to_string(), a.id.clone()));
        Ok(slice())
    });
    let listeners = bench(2, captures).await;
    let answered = listeners.work(&target(), assignment, silent(), Stop::default()).await;
    assert_eq!(answered.unwrap(), slice());
    assert_eq!(*seen.lock().unwrap(), [("0123".to_owned(), "t-3".to_owned())]);
}

/// A launcher that counts the lives of its listener.
struct Counting {
    inner: InProcess,
    lives: Arc<AtomicU32>,
}

#[async_trait]
impl Launcher for Counting {
    async fn run(&self, launch: &Launch) -> io::Result<String> {
        self.lives.fetch_add(1, Ordering::SeqCst);
        self.inner.run(launch).await
    }
}

#[tokio::test]
async fn a_listener_that_lives_and_gets_nowhere_is_ended_and_started_again() {
    let (registry, lives) = (Arc::new(Registry::default()), Arc::new(AtomicU32::new(0)));
    let listener: Arc<dyn Listener> = Arc::new(Fake {
        captures: Box::new(|_| Ok(slice())),
        hangs: AtomicU32::new(1),
        working: Arc::default(),
        given_back: Arc::default(),
    });
    let (control, deaths) = (serve(&registry).await, AtomicU32::new(0));
    let inner = InProcess { control, listener: Box::new(move |_: &Launch| Arc::clone(&listener)), deaths };
    let config = ListenerConfig { stall_timeout: Duration::from_millis(1500), ..config() };
    let launcher = Arc::new(Counting { inner, lives: Arc::clone(&lives) });
    let listeners = Listeners::new(registry, launcher, config, Env::system());
    let answered = listeners.work(&target(), assignment, silent(), Stop::default()).await;
    assert_eq!((answered.unwrap(), lives.load(Ordering::SeqCst)), (slice(), 2));
}

#[tokio::test]
async fn a_listener_that_keeps_dying_is_given_up() {
    let listeners = bench(100, Box::new(|_| Ok(slice()))).await;
    let failure = listeners.work(&target(), assignment, silent(), Stop::default()).await.unwrap_err();
    assert!(failure.retryable && failure.message.contains("n1"), "{failure}");
}

#[tokio::test]
async fn a_permanent_failure_is_not_tried_again() {
    let tries = Arc::new(AtomicU32::new(0));
    let counter = Arc::clone(&tries);
    let captures = Box::new(move |_: &Assignment<Capture>| {
        counter.fetch_add(1, Ordering::SeqCst);
        Err(failure::Failure::new("TM-FAKE-0001", "no").with_hint("ask nicely"))
    });
    let failure = bench(0, captures).await.work(&target(), assignment, silent(), Stop::default()).await;
    let failure = failure.unwrap_err();
    assert_eq!((failure.code.as_str(), failure.message.as_str()), ("TM-FAKE-0001", "listener n1: no"));
    assert_eq!(failure.hint.as_deref(), Some("ask nicely"));
    assert_eq!(tries.load(Ordering::SeqCst), 1);
}

#[tokio::test]
async fn a_cancelled_capture_ends_as_cancelled() {
    let listeners = bench(0, Box::new(|_| Ok(slice()))).await;
    let stop = Stop::default();
    stop.now.cancel();
    let failure = listeners.work(&target(), assignment, silent(), stop).await.unwrap_err();
    assert!(failure.cancelled);
}

/// A capture that hangs is told to stop; returns whether it gave back what it held.
async fn stopped(over: bool) -> bool {
    let registry = Arc::new(Registry::default());
    let control = serve(&registry).await;
    let (working, given_back) = (Arc::new(tokio::sync::Notify::new()), Arc::new(AtomicBool::new(false)));
    let captures: Captures = Box::new(|_| Ok(slice()));
    let (hangs, given) = (AtomicU32::new(1), Arc::clone(&given_back));
    let listener: Arc<dyn Listener> =
        Arc::new(Fake { captures, hangs, working: Arc::clone(&working), given_back: given });
    let launcher = Arc::new(InProcess {
        control,
        listener: Box::new(move |_: &Launch| Arc::clone(&listener)),
        deaths: AtomicU32::new(0),
    });
    let (listeners, stop) = (Listeners::new(registry, launcher, config(), Env::system()), Stop::default());
    let target = target();
    let capture = listeners.work(&target, assignment, silent(), stop.clone());
    let person = async {
        working.notified().await;
        if over {
            stop.over.cancel();
        }
        stop.now.cancel();
    };
    let (ended, ()) = tokio::join!(capture, person);
    assert!(ended.unwrap_err().cancelled);
    given_back.load(Ordering::SeqCst)
}

#[tokio::test]
async fn a_capture_that_is_over_gives_back_what_it_holds_and_one_that_is_interrupted_keeps_it() {
    assert!(stopped(true).await);
    assert!(!stopped(false).await);
}

fn limit(bytes: u64) -> Limit {
    Limit { bytes_per_second: NonZeroU64::new(bytes), requests: None }
}

/// Waits until these limits are in force.
async fn until(limits: &Limits, expected: Limit) {
    let heard = async {
        while limits.get() != expected {
            tokio::task::yield_now().await;
        }
    };
    let heard = tokio::time::timeout(Duration::from_secs(10), heard).await;
    assert!(heard.is_ok(), "{limits:?} is not {expected:?}");
}

#[tokio::test]
async fn a_listener_has_its_share_before_its_work_and_hears_of_another_one_while_it_works() {
    let registry = Arc::new(Registry::default());
    let control = serve(&registry).await;
    let (working, limits) = (Arc::new(tokio::sync::Notify::new()), Limits::default());
    let listener: Arc<dyn Listener> = Arc::new(Fake {
        captures: Box::new(|_| Ok(slice())),
        hangs: AtomicU32::new(1),
        working: Arc::clone(&working),
        given_back: Arc::default(),
    });
    let inner =
        InProcess { control, listener: Box::new(move |_: &Launch| Arc::clone(&listener)), deaths: AtomicU32::new(0) };
    let launcher = Arc::new(Limited { inner, limits: limits.clone() });
    let listeners = Listeners::new(registry, launcher, config(), Env::system());
    let (bounds, owner) = (Bounds::new(Env::system()), Owner::Store("s".to_owned()));
    let said = |bytes| LimitsSpec { bytes_per_second: Some(bytes), ..LimitsSpec::default() };
    let own = bounds.store("s", &said(100_000));
    let bound = bounds.bound(vec![owner.clone()]);
    let stop = Stop::default();
    let target =
        Target { store: target().store.map(|store| ListenerStore { bound: bound.clone(), ..store }), ..target() };
    let capture = listeners.work(&target, assignment, silent(), stop.clone());
    let person = async {
        working.notified().await;
        assert_eq!((limits.get(), own.get()), (limit(50_000), limit(50_000)));
        bounds.define(&owner, said(400_000));
        until(&limits, limit(200_000)).await;
        let other = bound.enter().await;
        until(&limits, limit(133_333)).await;
        drop(other);
        bounds.define(&owner, LimitsSpec::default());
        until(&limits, Limit::default()).await;
        stop.now.cancel();
    };
    let (ended, ()) = tokio::join!(capture, person);
    assert!(ended.unwrap_err().cancelled);
    bounds.define(&owner, said(100_000));
    assert_eq!(own.get(), limit(100_000), "nobody shares it any more");
}

#[tokio::test]
async fn a_listener_that_no_request_is_left_for_is_not_started() {
    let listeners = bench(0, Box::new(|_| Ok(slice()))).await;
    let listeners = Listeners {
        config: Arc::new(ListenerConfig { check_timeout: Duration::from_millis(10), ..config() }),
        ..listeners
    };
    let bounds = Bounds::new(Env::system());
    bounds.store("s", &LimitsSpec { requests: Some(2), ..LimitsSpec::default() });
    let bound = bounds.bound(vec![Owner::Store("s".to_owned())]);
    let other = bound.enter().await;
    let target = Target { store: target().store.map(|store| ListenerStore { bound, ..store }), ..target() };
    let request = CheckRequest { needs: vec![], store: true, objects: vec![], excludes: vec![] };
    let lines = listeners.check(&target, &request).await;
    assert!(lines[0].status == check::Status::Warn && lines[0].detail.contains("not started"), "{lines:?}");
    let stop = Stop::default();
    let waits = listeners.work(&target, assignment, silent(), stop.clone());
    let (ended, ()) = tokio::join!(waits, async { stop.now.cancel() });
    assert!(ended.unwrap_err().cancelled);
    let waits = listeners.work(&target, assignment, silent(), Stop::default());
    let (answered, ()) = tokio::join!(waits, async { drop(other) });
    assert_eq!(answered.unwrap(), slice());
}

#[tokio::test]
async fn a_check_answers_with_the_listeners_lines() {
    let listeners = bench(0, Box::new(|_| Ok(slice()))).await;
    let request = CheckRequest { needs: vec![], store: false, objects: vec!["a/b".to_owned()], excludes: vec![] };
    let lines = listeners.check(&target(), &request).await;
    assert_eq!(lines, [check::Line::ok("fake", "here", "[\"a/b\"]")]);
    let unknown = CheckRequest { needs: vec!["by-moonlight".to_owned()], ..request };
    let lines = listeners.check(&target(), &unknown).await;
    assert!(lines[0].status == check::Status::Fail && lines[0].detail.ends_with("by-moonlight"), "{lines:?}");
}

/// What a daemon answers to a hello of this protocol.
async fn answer_to(protocol: u32) -> Result<Option<ToListener>, Status> {
    let registry = Arc::new(Registry::default());
    let control = serve(&registry).await;
    let _expected = registry.expect_listener(target().key());
    let token = registry.issue(&target().key(), &Env::system());
    say_hello(&control, &token, protocol).await
}

/// What the control service answers to a hello of this protocol.
async fn say_hello(control: &str, token: &ListenerToken, protocol: u32) -> Result<Option<ToListener>, Status> {
    let (listener, source) = ("n1".to_owned(), "src".to_owned());
    let hello = Hello { listener, source, kind: "fake".to_owned(), version: "9".to_owned(), protocol };
    let message = FromListener { message: Some(from_listener::Message::Hello(hello)) };
    let outgoing = futures::StreamExt::chain(futures::stream::iter([message]), futures::stream::pending());
    let mut request = Request::new(outgoing);
    request.metadata_mut().insert("authorization", format!("Bearer {}", token.expose()).parse().unwrap());
    let mut client = ControlClient::new(Endpoint::from_shared(control.to_owned()).unwrap().connect().await.unwrap());
    client.attach(request).await?.into_inner().message().await
}

#[tokio::test]
async fn a_listener_of_another_protocol_is_refused_and_one_of_this_one_is_welcomed_first() {
    for other in [PROTOCOL - 1, PROTOCOL + 1] {
        let refused = answer_to(other).await.unwrap_err();
        assert_eq!(refused.code(), Code::FailedPrecondition);
        let numbers = [format!("protocol {other}"), format!("daemon {PROTOCOL}")];
        assert!(numbers.iter().all(|number| refused.message().contains(number)), "{refused}");
    }
    let first = answer_to(PROTOCOL).await.unwrap().unwrap().message;
    let Some(to_listener::Message::Welcome(welcome)) = first else { panic!("{first:?}") };
    assert_eq!(welcome.protocol, PROTOCOL);
}

/// Runs a program of another release, which does not end by itself when it is refused.
struct OtherRelease {
    control: String,
    starts: Arc<AtomicU32>,
}

#[async_trait]
impl Launcher for OtherRelease {
    async fn run(&self, launch: &Launch) -> io::Result<String> {
        self.starts.fetch_add(1, Ordering::SeqCst);
        say_hello(&self.control, &launch.token, PROTOCOL + 1).await.unwrap_err();
        std::future::pending().await
    }
}

#[tokio::test]
async fn a_program_of_another_release_is_the_failure_and_is_not_started_again() {
    let (registry, starts) = (Arc::new(Registry::default()), Arc::new(AtomicU32::new(0)));
    let launcher = Arc::new(OtherRelease { control: serve(&registry).await, starts: Arc::clone(&starts) });
    let listeners = Listeners::new(registry, launcher, ListenerConfig::default(), Env::system());
    let failure = listeners.work(&target(), assignment, silent(), Stop::default()).await.unwrap_err();
    assert_eq!((failure.code.as_str(), failure.retryable, starts.load(Ordering::SeqCst)), ("TM-LIST-0006", false, 1));
    let own = env!("CARGO_PKG_VERSION");
    for part in [
        "listener n1".to_owned(),
        "release 9 ".to_owned(),
        format!("speaks protocol {}", PROTOCOL + 1),
        format!("release {own}, needs protocol {PROTOCOL}"),
    ] {
        assert!(failure.message.contains(&part), "{part} in {failure}");
    }
    assert!(failure.hint.unwrap().contains(own));
}

/// How a listener that says it is `n1` and presents `token` ends.
async fn presented(registry: &Arc<Registry>, token: ListenerToken) -> String {
    let listener: Arc<dyn Listener> = Arc::new(Fake {
        captures: Box::new(|_| Ok(slice())),
        hangs: AtomicU32::new(0),
        working: Arc::default(),
        given_back: Arc::default(),
    });
    let listener: Serves = Box::new(move |_: &Launch| Arc::clone(&listener));
    let run = InProcess { control: serve(registry).await, listener, deaths: AtomicU32::new(0) };
    let (launch, key) = (target().launch(token), target().key());
    tokio::select! {
        ended = run.run(&launch) => ended.unwrap(),
        _ = registry.attached(&key) => "attached".to_owned(),
    }
}

#[tokio::test]
async fn a_token_is_taken_from_the_process_that_it_was_given_to_and_from_no_other() {
    let (registry, env) = (Arc::new(Registry::default()), Env::system());
    let (own, other) = (target().key(), Key { listener: "n2".to_owned(), ..target().key() });
    let elsewhere = Key { source: "other".to_owned(), ..target().key() };
    let [_one, two, _three] = [&own, &other, &elsewhere].map(|key| registry.expect_listener(key.clone()));
    let earlier = registry.issue(&own, &env);
    let token = registry.issue(&own, &env);
    for stranger in [ListenerToken::generate(&env), earlier] {
        assert!(presented(&registry, stranger).await.contains("Unauthenticated"));
    }
    for key in [&other, &elsewhere] {
        let ended = presented(&registry, registry.issue(key, &env)).await;
        assert!(ended.contains("PermissionDenied"), "{ended}");
    }
    let late = registry.issue(&other, &env);
    drop(two);
    assert!(presented(&registry, late).await.contains("Unauthenticated"), "it is expected no more");
    assert_eq!(presented(&registry, token).await, "attached");
}
