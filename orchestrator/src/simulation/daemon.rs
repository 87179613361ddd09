//! The daemon of a machine: the product's own parts, put together as `daemon::Daemon` does, without sockets.

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use futures::FutureExt as _;
use object_store::ObjectStore;
use serde_json::{Value, json};
use tidemark_catalog::{collect::Ages, config_mirror, repository};
use tidemark_gateway::{Env, open::Opened};
use tidemark_listener_core::listener::Listener;
use tokio_util::sync::CancellationToken;

use super::{
    coordinator::{SimCoordinator, Witness},
    machine::Seat,
    source::{self, Node},
    store::SimStore,
    world::World,
};
use crate::{
    allow::Allow,
    collect_task::periodic,
    coordinator::Coordinator,
    daemon::once,
    executors::Executors,
    generation,
    kinds::Kinds,
    listeners::{ListenerConfig, Listeners, Registry, direct::Direct},
    nodes::{self, NodeRecord},
    registrations::{POLICIES, PolicyRecord, Registrations, SOURCES, STORES, SourceRecord, StoreRecord},
    scheduler::Scheduler,
    sources::Drivers,
    stores::{Opener, Stores},
    tasks::{Runner, RunnerConfig, Tasks},
};

/// What a machine keeps on its disk.
pub(super) type Disk = Arc<Mutex<Option<Witness>>>;

/// Time between two collections.
const COLLECT: Duration = Duration::from_secs(15);

/// How long collection leaves things alone.
const AGES: Ages =
    Ages { undo: Duration::from_secs(3), marks: Duration::from_secs(6), unclaimed: Duration::from_secs(30) };

/// Less than anything here has: objects are consolidated by whichever daemon has a place.
const PART_BYTES: u64 = 1;

/// Source, name and length of the slots of each policy, s.
pub(super) const PLAN: [(&str, &str, u64); 3] = [("east", "one", 12), ("east", "two", 17), ("west", "three", 20)];

fn store(world: &World, seat: &Seat) -> Arc<dyn ObjectStore> {
    Arc::new(SimStore { world: world.clone(), seat: seat.clone() })
}

/// Opens the store of a machine, whatever its URL.
fn opener(world: &World, seat: &Seat) -> Arc<Opener> {
    let (world, seat) = (world.clone(), seat.clone());
    Arc::new(move |_, _, options, env: &Env| Ok(Opened::over(store(&world, &seat), options, env)))
}

/// Opens the state, however long that takes.
async fn opened(world: &World, seat: &Seat, disk: &Disk) -> SimCoordinator {
    loop {
        let witness = disk.lock().unwrap_or_else(PoisonError::into_inner).clone();
        match SimCoordinator::open(world.clone(), seat.clone(), witness).await {
            Ok(coordinator) => return coordinator,
            Err(_) => tokio::time::sleep(Duration::from_secs(1)).await,
        }
    }
}

fn executors(world: &World, seat: &Seat, coordinator: &Arc<dyn Coordinator>) -> Executors {
    let env = seat.env.clone();
    let registrations = Registrations::new(Arc::clone(coordinator));
    let registry = Arc::new(Registry::default());
    let (own, place) = (world.clone(), seat.clone());
    let listener = Box::new(move |_: &crate::listeners::launch::Launch| {
        let store = Opened::over(store(&own, &place), &Default::default(), &place.env).objects;
        Arc::new(Node { seat: place.clone(), store }) as Arc<dyn Listener>
    });
    let launcher = Arc::new(Direct { registry: Arc::clone(&registry), listener });
    Executors {
        stores: Stores::new(registrations.clone(), env.clone()).with_opener(opener(world, seat)),
        registrations,
        drivers: Drivers::of([Arc::new(source::Kind) as Arc<dyn tidemark_listener_core::source::Source>]),
        allow: Allow::default(),
        listeners: Listeners::new(registry, launcher, ListenerConfig::default(), env.clone()),
        tasks: Tasks::new(Arc::clone(coordinator), env.clone()),
        capture_limits: Default::default(),
        consolidate_limits: Default::default(),
        consolidations: 2,
        part_bytes: PART_BYTES,
        coordinator: Arc::clone(coordinator),
        ages: AGES,
        node: seat.name.to_string(),
        env,
    }
}

/// Writes down how far the state was seen, until it is another one.
async fn watch_state(coordinator: &SimCoordinator, disk: &Disk, stop: &CancellationToken) {
    let ended = coordinator.ended();
    loop {
        *disk.lock().unwrap_or_else(PoisonError::into_inner) = Some(coordinator.witness());
        tokio::select! {
            biased;
            () = ended.cancelled() => return stop.cancel(),
            () = stop.cancelled() => return,
            () = tokio::time::sleep(Duration::from_secs(3)) => {}
        }
    }
}

/// A daemon, until the state that it opened is no more.
pub(super) async fn run(world: World, seat: Seat, disk: Disk) {
    let own = opened(&world, &seat, &disk).await;
    let coordinator: Arc<dyn Coordinator> = Arc::new(own.clone());
    let with = executors(&world, &seat, &coordinator);
    let (stop, joined, env) = (CancellationToken::new(), CancellationToken::new(), seat.env.clone());
    let record = NodeRecord {
        name: seat.name.to_string(),
        address: String::new(),
        version: nodes::RELEASE.to_owned(),
        roles: vec![nodes::WORKER.to_owned()],
        started: env.now(),
    };
    let member = nodes::keep(Arc::clone(&coordinator), record, joined.clone(), stop.clone(), env.clone());
    let metrics = Arc::<crate::metrics::Metrics>::default();
    let policies = Arc::new(with.registrations.clone());
    let scheduler =
        Scheduler::new(policies, Arc::clone(&coordinator), env, Arc::clone(&metrics), seat.name.to_string());
    let collections = periodic::run(with.clone(), COLLECT, stop.clone());
    // Few places: work is spread over the machines.
    let max_running = 1 + seat.place.machine % 2;
    let config = RunnerConfig { node: seat.name.to_string(), max_running, ..RunnerConfig::default() };
    let tasks = with.tasks.clone();
    let execute = Arc::new(Kinds(with));
    let runner = Runner::new(tasks, execute, config).observed_by(metrics);
    let runner = once(true, &joined, &stop, runner.run(stop.clone()).boxed());
    let scheduler = once(true, &joined, &stop, scheduler.run(stop.clone()).boxed());
    let collections = once(true, &joined, &stop, collections.boxed());
    let watch = watch_state(&own, &disk, &stop);
    tokio::join!(runner, scheduler, collections, member, watch);
}

/// What an operator does at the beginning, and again where the state was lost: registers the store, the sources and the policies. Each
/// step is tried until it succeeds.
pub(super) async fn set_up(world: World, seat: Seat) {
    while let Err(error) = try_set_up(&world, &seat).await {
        world.lock().say(&seat.name, format!("setting up failed: {error}"));
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
    world.lock().say(&seat.name, "all is registered");
}

async fn try_set_up(world: &World, seat: &Seat) -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
    let coordinator: Arc<dyn Coordinator> = Arc::new(SimCoordinator::open(world.clone(), seat.clone(), None).await?);
    let with = executors(world, seat, &coordinator);
    let record = StoreRecord {
        name: "store".to_owned(),
        url: "memory:".to_owned(),
        credentials: None,
        listener_credentials: None,
        repository: String::new(),
        commit_mode: crate::registrations::CommitMode::AtomicCreate,
        checksums: true,
        limits: Default::default(),
    };
    let open = with.stores.open(record)?;
    let repository = repository::create_or_open(&open.objects, &seat.env).await?;
    let record = StoreRecord { repository: repository.id.to_string(), ..open.record };
    let open = with.stores.open(record.clone())?;
    generation::attach(&*coordinator, &record.repository, &open.objects, &seat.env).await?;
    with.stores.learn(&open).await?;
    for name in ["east", "west"] {
        let source =
            SourceRecord { name: name.to_owned(), kind: "sim".to_owned(), spec: Value::Null, imported_from: None };
        with.registrations.create(SOURCES, name, &source).await?;
    }
    for (source, name, every) in PLAN {
        let policy = policy(source, name, every)?;
        if config_mirror::newest(&open.objects, "policies", name).await? != Some(json!(policy)) {
            config_mirror::put(&open.objects, "policies", name, &json!(policy)).await?;
        }
        with.registrations.create(POLICIES, name, &policy).await?;
    }
    // The scheduler looks into no store that is not registered: this comes last.
    with.registrations.create(STORES, "store", &record).await?;
    Ok(())
}

fn policy(source: &str, name: &str, every: u64) -> Result<PolicyRecord, Box<dyn std::error::Error + Send + Sync>> {
    let (name, source, store) = (name.parse()?, source.parse()?, "store".parse()?);
    let policy = PolicyRecord::new(name, source, vec!["ks/*".to_owned()], store);
    let schedule = serde_json::from_value(json!({"every": format!("{every}s")}))?;
    let keep = serde_json::from_value(json!({"last": 2}))?;
    Ok(PolicyRecord { schedule: Some(schedule), keep: Some(keep), ..policy })
}
