//! The daemon: everything put together, started in order, stopped in order.
//!
//! Start: state directory, control service for listeners, API, runner of tasks, scheduler of policies. Tasks that were running
//! when the last run ended are claimed again at once. Stop: no new requests, running tasks are interrupted and their claims given
//! back, and so is the leader's key.

mod config;
mod control_socket;
mod state;

use std::{net::SocketAddr, path::PathBuf, sync::Arc, time::Duration};

use futures::{FutureExt as _, future::OptionFuture};
use jiff::Timestamp;
use tidemark_gateway::Env;
use tidemark_listener_core::{assignment::CaptureLimits, socket};
use tidemark_web::token::{self, ApiToken};
use tokio::{net::TcpListener, sync::watch};
use tokio_stream::wrappers::{TcpListenerStream, UnixListenerStream};
use tokio_util::sync::CancellationToken;

use crate::{
    carried,
    collect_task::periodic,
    control_api::Api,
    coordinator::{embedded, etcd},
    executors::Executors,
    failure::Failure,
    kinds::Kinds,
    limits,
    listeners::{
        Listeners, Registry, control,
        launch::{Launcher, Processes},
    },
    metrics::Metrics,
    nodes::{self, NodeRecord},
    registrations::Registrations,
    scheduler::Scheduler,
    sources::Drivers,
    stores::Stores,
    tasks::{self, Runner, RunnerConfig, Tasks},
};
pub use config::{Config, ConfigError, RawAllow, RawConfig, Roles};
use control_socket::ControlSocket;
use state::State;

/// Why the daemon cannot start, or had to end.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The state directory.
    #[error(transparent)]
    State(#[from] embedded::OpenError),
    /// The state of the cluster.
    #[error(transparent)]
    Cluster(#[from] etcd::OpenError),
    /// The state of the cluster is another one by now.
    #[error("the cluster's state was lost or rolled back: this daemon has to be started anew, and takes what is left")]
    StateEnded,
    /// What was registered by this daemon alone cannot be taken into the cluster.
    #[error("what this daemon by itself has registered cannot be written down: {0}")]
    Carry(Failure),
    /// The token file.
    #[error(transparent)]
    Token(#[from] token::Error),
    /// An address cannot be listened on.
    #[error("listen on {address}")]
    Listen {
        /// The address.
        address: SocketAddr,
        /// Why.
        source: std::io::Error,
    },
    /// The socket of control cannot be listened on.
    #[error("listen on {}", path.display())]
    Socket {
        /// The socket.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// The state directory's name is too long for a socket in it, or is no text.
    #[error(
        "the socket of control, {}, has a name of {bytes} bytes; the system takes at most 107, of UTF-8: choose a state \
         directory with a shorter name",
        path.display()
    )]
    SocketName {
        /// The socket.
        path: PathBuf,
        /// Length of its name.
        bytes: usize,
    },
    /// Listeners would not trust the socket of control.
    #[error("socket of control")]
    SocketUntrusted(#[source] socket::Error),
    /// The API ended.
    #[error("serve the API")]
    Api(#[source] std::io::Error),
    /// The control service ended.
    #[error("serve control")]
    Control(#[source] tonic::transport::Error),
    /// The runner of tasks ended.
    #[error("run tasks")]
    Tasks(#[source] tasks::Error),
}

/// What the daemon is made of besides its settings; tests replace parts.
pub struct Parts {
    /// Kinds of sources.
    pub drivers: Drivers,
    /// Makes the launcher of listeners from the URL of control.
    pub launcher: Box<dyn FnOnce(String) -> Arc<dyn Launcher> + Send>,
}

impl Parts {
    /// All kinds of sources, listeners as processes of this host.
    pub fn real(env: &Env) -> Self {
        Self { drivers: Drivers::all(env), launcher: Box::new(|control| Arc::new(Processes::new(control))) }
    }
}

/// A daemon that listens and has not begun to serve.
pub struct Daemon {
    state: State,
    roles: Roles,
    started: Timestamp,
    api_socket: TcpListener,
    api_token: ApiToken,
    control_socket: ControlSocket,
    control_port: Option<TcpListener>,
    registry: Arc<Registry>,
    executors: Executors,
    runner: RunnerConfig,
    metrics: Arc<Metrics>,
    collect_every: Duration,
    address: SocketAddr,
    directory: PathBuf,
}

/// Runs the daemon until `shutdown`; `ready` gets the address of the API as soon as it answers.
///
/// # Errors
/// [`Error`].
pub async fn run(
    config: Config,
    env: Env,
    parts: Parts,
    ready: impl FnOnce(SocketAddr),
    shutdown: CancellationToken,
) -> Result<(), Error> {
    let daemon = Daemon::open(config, env, parts).await?;
    ready(daemon.address);
    daemon.serve(shutdown).await
}

impl Daemon {
    async fn open(config: Config, env: Env, parts: Parts) -> Result<Self, Error> {
        let state = State::open(&config, &env).await?;
        let (coordinator, started) = (Arc::clone(&state.coordinator), env.now());
        let api_token = ApiToken::read_or_create(&config.token_file, &env)?;
        let api_socket = bind(config.listen).await?;
        let control_socket = control_socket::bind(&config.state)?;
        let control_port = match config.control_listen {
            Some(address) => Some(bind(address).await?),
            None => None,
        };
        let registry = Arc::new(Registry::default());
        let launcher = (parts.launcher)(control_socket.url.clone());
        let listeners = Listeners::new(Arc::clone(&registry), launcher, config.listeners, env.clone());
        let registrations = Registrations::new(Arc::clone(&coordinator));
        let executors = Executors {
            stores: Stores::new(registrations.clone(), env.clone()).with_first_look(config.first_look),
            registrations,
            drivers: parts.drivers,
            allow: config.allow,
            listeners,
            tasks: Tasks::new(Arc::clone(&coordinator), env.clone()),
            capture_limits: CaptureLimits::default(),
            consolidate_limits: config.consolidate_limits,
            consolidations: config.consolidations,
            part_bytes: config.part_bytes,
            coordinator,
            ages: config.ages,
            node: config.runner.node.clone(),
            env,
        };
        let address = local_address(&api_socket, config.listen)?;
        let runner = config.runner;
        Ok(Self {
            state,
            roles: config.roles,
            started,
            api_socket,
            api_token,
            control_socket,
            control_port,
            registry,
            executors,
            runner,
            metrics: Arc::default(),
            collect_every: config.collect_every,
            address,
            directory: config.state,
        })
    }

    fn api(&self) -> Api {
        Api::new(self.executors.clone(), Arc::clone(&self.state.coordinator), Arc::clone(&self.metrics))
    }

    fn scheduler(&self) -> Scheduler {
        let Executors { registrations, env, node, .. } = &self.executors;
        let coordinator = Arc::clone(&self.state.coordinator);
        let policies = Arc::new(registrations.clone());
        Scheduler::new(policies, coordinator, env.clone(), Arc::clone(&self.metrics), node.clone())
    }

    fn record(&self) -> NodeRecord {
        let roles = [("control", self.roles.control), (nodes::WORKER, self.roles.worker)];
        NodeRecord {
            name: self.executors.node.clone(),
            address: self.address.to_string(),
            version: nodes::RELEASE.to_owned(),
            roles: roles.into_iter().filter(|(_, does)| *does).map(|(role, _)| role.to_owned()).collect(),
            started: self.started,
        }
    }

    /// Serves until `shutdown`, or until a part fails: then the others are stopped too. Control goes last, because runs that
    /// are interrupted still stop their listeners.
    async fn serve(self, shutdown: CancellationToken) -> Result<(), Error> {
        let (api, tasks, scheduler) = (Arc::new(self.api()), self.executors.tasks.clone(), self.scheduler());
        let (stop, control_stop, joined) = (shutdown.child_token(), CancellationToken::new(), CancellationToken::new());
        let carried = carried::run(self.api(), self.directory.clone(), stop.clone());
        let env = self.executors.env.clone();
        let coordinator = Arc::clone(&self.state.coordinator);
        let member = nodes::keep(coordinator, self.record(), joined.clone(), stop.clone(), env).boxed();
        let collections = periodic::run(self.executors.clone(), self.collect_every, stop.clone());
        let limits = limits::periodic::run(self.executors.stores.clone(), stop.clone());
        let control = control(self.control_socket, self.control_port, self.registry, control_stop.clone());
        let api = tidemark_web::server::serve(self.api_socket, api, self.api_token, stop.clone());
        let (drains, draining) = watch::channel(true);
        let follow = nodes::drain::follow(
            Arc::clone(&self.state.coordinator),
            self.executors.node.clone(),
            drains,
            stop.clone(),
        );
        let runner = Runner::new(tasks, Arc::new(Kinds(self.executors)), self.runner).observed_by(self.metrics);
        let runner = runner.draining(draining.clone());
        let (roles, state) = (self.roles, self.state);
        let work = async {
            let api = async { stopping(&stop, api.await.map_err(Error::Api)) };
            let runner = once(roles.worker, &joined, &stop, runner.run(stop.clone()).boxed());
            let runner = async { stopping(&stop, runner.await.unwrap_or(Ok(())).map_err(Error::Tasks)) };
            let scheduler = once(roles.control, &joined, &stop, lead(&scheduler, draining, &stop).boxed());
            let collections = once(roles.control, &joined, &stop, collections.boxed());
            let carried = once(true, &joined, &stop, carried.boxed());
            let watch = async { stopping(&stop, watch_state(&state, &stop).await) };
            let (api, runner, _, _, _, (), watch, (), ()) =
                tokio::join!(api, runner, scheduler, collections, carried, member, watch, limits, follow);
            stopping(&control_stop, watch.and(api).and(runner))
        };
        let control = async { stopping(&stop, control.await.map_err(Error::Control)) };
        let (work, control) = tokio::join!(work, control);
        work.and(control)
    }
}

/// Turns policies into tasks until `stop`, but not while this daemon drains.
async fn lead(scheduler: &Scheduler, mut draining: watch::Receiver<bool>, stop: &CancellationToken) {
    while !stop.is_cancelled() {
        tokio::select! {
            () = stop.cancelled() => return,
            _ = draining.wait_for(|drains| !drains) => {}
        }
        let rest = stop.child_token();
        let drained = async {
            let _ = draining.wait_for(|drains| *drains).await;
            rest.cancel();
        };
        tokio::join!(scheduler.run(rest.clone()), async {
            tokio::select! {
                () = stop.cancelled() => {}
                () = drained => {}
            }
        });
    }
}

/// Time between two notes of how far the state was seen.
const REMEMBER: Duration = Duration::from_secs(3);

/// Writes down how far the state was seen, until `stop`; fails where the state is another one by now.
async fn watch_state(state: &State, stop: &CancellationToken) -> Result<(), Error> {
    loop {
        tokio::select! {
            () = stop.cancelled() => {
                state.remember();
                return Ok(());
            }
            () = state.ended.cancelled() => {
                state.remember();
                return Err(Error::StateEnded);
            }
            () = tokio::time::sleep(REMEMBER) => state.remember(),
        }
    }
}

/// Does what a role does once this daemon has joined, until `stop`; what it does not do is waited for.
pub(crate) async fn once<T>(
    does: bool,
    joined: &CancellationToken,
    stop: &CancellationToken,
    work: impl Future<Output = T>,
) -> Option<T> {
    tokio::select! {
        () = stop.cancelled() => return None,
        () = joined.cancelled() => {}
    }
    if does {
        return Some(work.await);
    }
    stop.cancelled().await;
    None
}

/// Serves control at the socket, and at the port where there is one.
async fn control(
    socket: ControlSocket,
    port: Option<TcpListener>,
    registry: Arc<Registry>,
    stop: CancellationToken,
) -> Result<(), tonic::transport::Error> {
    let local = control::serve(UnixListenerStream::new(socket.listener), Arc::clone(&registry), stop.clone());
    let port =
        OptionFuture::from(port.map(|port| control::serve(TcpListenerStream::new(port), registry, stop.clone())));
    tokio::try_join!(local, async { port.await.transpose() }).map(drop)
}

/// A part has ended: the others have to.
fn stopping(others: &CancellationToken, outcome: Result<(), Error>) -> Result<(), Error> {
    others.cancel();
    outcome
}

async fn bind(address: SocketAddr) -> Result<TcpListener, Error> {
    TcpListener::bind(address).await.map_err(|source| Error::Listen { address, source })
}

fn local_address(socket: &TcpListener, address: SocketAddr) -> Result<SocketAddr, Error> {
    socket.local_addr().map_err(|source| Error::Listen { address, source })
}

#[cfg(test)]
mod fake;
#[cfg(test)]
mod tests;
