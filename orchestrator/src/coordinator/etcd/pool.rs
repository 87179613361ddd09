//! The members of a cluster: one channel each, one of them in use, another one after a failure.
//!
//! etcd's own clients spread calls over all members by themselves, so that one that is down fails a part of them for as long as it
//! is. Here a call that fails, or is not answered within [`ATTEMPT`], goes to the next member at once; streams follow. Whoever calls
//! makes sure that a call may be repeated.

use std::{
    path::PathBuf,
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use tidemark_gateway::Env;
use tokio::sync::watch;
use tonic::{
    Code, Request, Status,
    metadata::{Ascii, MetadataValue},
    transport::{Certificate, Channel, ClientTlsConfig, Endpoint, Identity},
};

use super::proto::{
    AuthenticateRequest, auth_client::AuthClient, kv_client::KvClient, lease_client::LeaseClient,
    watch_client::WatchClient,
};

/// Longest time that a member has to answer a call.
pub(super) const ATTEMPT: Duration = Duration::from_secs(1);

/// Longest time to connect to a member.
const CONNECT: Duration = Duration::from_millis(700);

/// Pause before another member is asked, at first; it doubles with each, up to [`LONGEST_PAUSE`].
const PAUSE: Duration = Duration::from_millis(20);

/// Longest pause before another member is asked.
const LONGEST_PAUSE: Duration = Duration::from_millis(320);

/// Time between two signs of life on an idle connection. Servers refuse more than one in 5 s by default.
const ALIVE: Duration = Duration::from_secs(10);

/// Largest answer, bytes: a page of large values.
const ANSWER_BYTES: usize = 128 << 20;

/// How clients prove who they are, and servers to them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Access {
    /// PEM file of the authority that signed the servers' certificates; the system's authorities are not asked.
    pub ca: Option<PathBuf>,
    /// PEM files of the client's certificate and its key.
    pub identity: Option<(PathBuf, PathBuf)>,
    /// File with `name:password` of an etcd user, one line.
    pub user: Option<PathBuf>,
}

/// Why members cannot even be asked.
#[derive(Debug, thiserror::Error)]
pub enum AccessError {
    /// A file of [`Access`] cannot be read.
    #[error("read {}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// The file of the user is not `name:password`.
    #[error("{} is not one line name:password", path.display())]
    User {
        /// The file.
        path: PathBuf,
    },
    /// An address, or a certificate, is none.
    #[error("endpoint {endpoint}")]
    Endpoint {
        /// The address.
        endpoint: String,
        /// Why.
        source: tonic::transport::Error,
    },
}

/// A connection to one member with what is sent along each call.
#[derive(Clone)]
pub(super) struct Wire {
    channel: Channel,
    token: Option<MetadataValue<Ascii>>,
}

impl Wire {
    pub(super) fn kv(&self) -> KvClient<Channel> {
        KvClient::new(self.channel.clone()).max_decoding_message_size(ANSWER_BYTES)
    }

    pub(super) fn leases(&self) -> LeaseClient<Channel> {
        LeaseClient::new(self.channel.clone())
    }

    pub(super) fn watches(&self) -> WatchClient<Channel> {
        WatchClient::new(self.channel.clone()).max_decoding_message_size(ANSWER_BYTES)
    }

    /// A request that a member without a leader refuses instead of keeping it waiting.
    pub(super) fn request<T>(&self, message: T) -> Request<T> {
        let mut request = Request::new(message);
        request.metadata_mut().insert("hasleader", MetadataValue::from_static("true"));
        if let Some(token) = &self.token {
            request.metadata_mut().insert("token", token.clone());
        }
        request
    }
}

/// A call that did not succeed.
#[derive(Debug)]
pub(super) struct Failed {
    /// The last answer.
    pub(super) status: Status,
    /// True where one of the attempts may have been carried out.
    pub(super) maybe: bool,
    /// True where it is the cluster's word; otherwise no member could be asked.
    pub(super) answered: bool,
}

/// What an answer other than success means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Verdict {
    /// The cluster refuses the call, and has changed nothing.
    Refused,
    /// The user's token has ended; nothing was changed.
    SignIn,
    /// Another member may answer; true where this one may have carried it out.
    Another(bool),
}

/// A member.
struct Member {
    endpoint: Endpoint,
    /// The connection that calls take, and how many were before it.
    channel: Mutex<(u64, Channel)>,
}

/// The members; shared by all that talk to them.
pub(super) struct Pool {
    members: Vec<Member>,
    /// The member in use.
    current: watch::Sender<usize>,
    user: Option<(String, String)>,
    token: Mutex<Option<MetadataValue<Ascii>>>,
    env: Env,
}

impl Pool {
    /// Members at these addresses, `http://…` or `https://…`; nothing is connected yet.
    ///
    /// # Errors
    /// [`AccessError`].
    pub(super) fn new(endpoints: &[String], access: &Access, env: Env) -> Result<Self, AccessError> {
        let tls = access.tls()?;
        let connect = |address: &String| endpoint(address, tls.clone()).map(Member::new);
        let members = endpoints.iter().map(connect).collect::<Result<Vec<_>, _>>()?;
        // Daemons of a cluster begin with different members.
        let first = usize::try_from(env.noise() % members.len().max(1) as u64).unwrap_or(0);
        let (current, _) = watch::channel(first);
        Ok(Self { members, current, user: access.user()?, token: Mutex::default(), env })
    }

    /// The number of the member in use, as it changes.
    pub(super) fn in_use(&self) -> watch::Receiver<usize> {
        self.current.subscribe()
    }

    /// Has `attempt` made with one member after the other until one answers, for `bound`; the answer, and true where an attempt
    /// before it may have been carried out too.
    pub(super) async fn call<T, F>(&self, bound: Duration, attempt: impl Fn(Wire) -> F) -> Result<(T, bool), Failed>
    where
        F: Future<Output = Result<T, Status>>,
    {
        let end = self.env.monotonic() + bound;
        let (mut maybe, mut pause, mut signed_in) = (false, PAUSE, false);
        loop {
            let at = *self.current.borrow();
            let status = match self.attempt(at, &attempt).await {
                Ok(answer) => return Ok((answer, maybe)),
                Err(status) => status,
            };
            match judge(&status) {
                Verdict::Refused => return Err(Failed { status, maybe, answered: true }),
                Verdict::SignIn if signed_in || self.user.is_none() => {
                    return Err(Failed { status, maybe, answered: true });
                }
                Verdict::SignIn => {
                    signed_in = true;
                    *self.token() = None;
                    continue;
                }
                Verdict::Another(this) => maybe |= this,
            }
            self.leave(at);
            if self.env.monotonic() + pause >= end {
                return Err(Failed { status, maybe, answered: false });
            }
            tokio::time::sleep(pause).await;
            pause = (pause * 2).min(LONGEST_PAUSE);
        }
    }

    async fn attempt<T, F>(&self, at: usize, attempt: &impl Fn(Wire) -> F) -> Result<T, Status>
    where
        F: Future<Output = Result<T, Status>>,
    {
        let Some(member) = self.members.get(at) else { return Err(Status::unavailable("no member is known")) };
        let (number, channel) = member.channel().clone();
        let made = async {
            let token = self.sign_in(&channel).await?;
            attempt(Wire { channel: channel.clone(), token }).await
        };
        tokio::time::timeout(ATTEMPT, made).await.unwrap_or_else(|_| {
            member.connect_again(number);
            Err(Status::deadline_exceeded("the member did not answer in time"))
        })
    }

    /// Has another member used, unless one is already.
    pub(super) fn leave(&self, at: usize) {
        let members = self.members.len();
        self.current.send_if_modified(|current| {
            let leave = *current == at && members > 1;
            if leave {
                *current = (at + 1) % members;
            }
            leave
        });
    }

    /// The user's token, got where there is none; `None` where there is no user.
    async fn sign_in(&self, channel: &Channel) -> Result<Option<MetadataValue<Ascii>>, Status> {
        let Some((name, password)) = self.user.clone() else { return Ok(None) };
        let known = self.token().clone();
        if known.is_some() {
            return Ok(known);
        }
        let request = AuthenticateRequest { name, password };
        let answer = AuthClient::new(channel.clone()).authenticate(request).await?.into_inner();
        let token: MetadataValue<Ascii> = answer.token.parse().map_err(|_| Status::internal("the token is no text"))?;
        *self.token() = Some(token.clone());
        Ok(Some(token))
    }

    fn token(&self) -> MutexGuard<'_, Option<MetadataValue<Ascii>>> {
        self.token.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Member {
    /// Nothing is connected yet.
    fn new(endpoint: Endpoint) -> Self {
        let channel = Mutex::new((0, endpoint.connect_lazy()));
        Self { endpoint, channel }
    }

    fn channel(&self) -> MutexGuard<'_, (u64, Channel)> {
        self.channel.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Has the next call make another connection than this one, on which answers may get lost; unless another call has done so.
    fn connect_again(&self, number: u64) {
        let mut channel = self.channel();
        if channel.0 == number {
            *channel = (number + 1, self.endpoint.connect_lazy());
        }
    }
}

fn endpoint(address: &str, tls: ClientTlsConfig) -> Result<Endpoint, AccessError> {
    let failed = |source| AccessError::Endpoint { endpoint: address.to_owned(), source };
    let built = Endpoint::from_shared(address.to_owned()).map_err(failed)?;
    let built = if address.starts_with("https://") { built.tls_config(tls).map_err(failed)? } else { built };
    let built = built.connect_timeout(CONNECT).tcp_nodelay(true);
    Ok(built.http2_keep_alive_interval(ALIVE).keep_alive_timeout(ATTEMPT * 3))
}

impl Access {
    fn tls(&self) -> Result<ClientTlsConfig, AccessError> {
        let mut tls = ClientTlsConfig::new();
        if let Some(ca) = &self.ca {
            tls = tls.ca_certificate(Certificate::from_pem(read(ca)?));
        }
        if let Some((certificate, key)) = &self.identity {
            tls = tls.identity(Identity::from_pem(read(certificate)?, read(key)?));
        }
        Ok(tls)
    }

    fn user(&self) -> Result<Option<(String, String)>, AccessError> {
        let Some(path) = &self.user else { return Ok(None) };
        let text = String::from_utf8_lossy(&read(path)?).into_owned();
        let mut lines = text.lines();
        match (lines.next().and_then(|line| line.split_once(':')), lines.next()) {
            (Some((name, password)), None) if !name.is_empty() => Ok(Some((name.to_owned(), password.to_owned()))),
            _ => Err(AccessError::User { path: path.clone() }),
        }
    }
}

fn read(path: &PathBuf) -> Result<Vec<u8>, AccessError> {
    std::fs::read(path).map_err(|source| AccessError::Read { path: path.clone(), source })
}

/// What an answer means. Whatever is not known to be a refusal may have been carried out.
fn judge(status: &Status) -> Verdict {
    match status.code() {
        Code::Unauthenticated => Verdict::SignIn,
        // A token of before a change of users: etcd calls the request invalid.
        Code::InvalidArgument if is_old_token(status.message()) => Verdict::SignIn,
        Code::ResourceExhausted if status.message().contains("too many requests") => Verdict::Another(false),
        Code::InvalidArgument
        | Code::NotFound
        | Code::AlreadyExists
        | Code::PermissionDenied
        | Code::ResourceExhausted
        | Code::FailedPrecondition
        | Code::Unimplemented => Verdict::Refused,
        Code::Unavailable if status.message() == "etcdserver: no leader" => Verdict::Another(false),
        _ => Verdict::Another(!is_unconnected(status)),
    }
}

/// The words of releases for a token that is older than the newest change of users.
fn is_old_token(message: &str) -> bool {
    ["auth: revision in header is old", "revision of auth store is old"].iter().any(|words| message.contains(words))
}

/// True where no connection came about, so that nothing was sent.
fn is_unconnected(status: &Status) -> bool {
    let mut cause = std::error::Error::source(status);
    while let Some(error) = cause {
        if error.is::<tonic::ConnectError>() {
            return true;
        }
        cause = error.source();
    }
    false
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_was_refused_or_never_sent_is_known_not_to_be_done() {
        let cases = [
            (Status::unavailable("etcdserver: request timed out"), Verdict::Another(true)),
            (Status::unavailable("etcdserver: leader changed"), Verdict::Another(true)),
            (Status::unavailable("etcdserver: no leader"), Verdict::Another(false)),
            (Status::deadline_exceeded("late"), Verdict::Another(true)),
            (Status::unknown("transport error"), Verdict::Another(true)),
            (Status::out_of_range("message too large"), Verdict::Another(true)),
            (Status::resource_exhausted("etcdserver: too many requests"), Verdict::Another(false)),
            (Status::resource_exhausted("etcdserver: mvcc: database space exceeded"), Verdict::Refused),
            (Status::not_found("etcdserver: requested lease not found"), Verdict::Refused),
            (Status::permission_denied("etcdserver: permission denied"), Verdict::Refused),
            (Status::unauthenticated("etcdserver: invalid auth token"), Verdict::SignIn),
            (Status::invalid_argument("etcdserver: auth: revision in header is old"), Verdict::SignIn),
            (Status::invalid_argument("etcdserver: revision of auth store is old"), Verdict::SignIn),
        ];
        for (status, verdict) in cases {
            assert_eq!(judge(&status), verdict, "{status}");
        }
    }

    #[tokio::test]
    async fn a_member_that_is_not_there_has_done_nothing_and_another_one_is_asked() {
        // Ports of an address that nobody listens on.
        let endpoints = ["http://127.0.0.1:1".to_owned(), "http://127.0.0.1:2".to_owned()];
        let pool = Pool::new(&endpoints, &Access::default(), Env::system()).unwrap();
        let mut members = pool.in_use();
        let first = *members.borrow_and_update();
        let asked = pool.call(Duration::from_millis(200), |wire| async move {
            wire.kv().range(wire.request(super::super::proto::RangeRequest::default())).await
        });
        let failed = asked.await.unwrap_err();
        assert!(!failed.maybe && !failed.answered, "{failed:?}");
        assert!(members.has_changed().unwrap());
        pool.leave(first + 7);
        assert!(*members.borrow_and_update() < 2);
    }
}
