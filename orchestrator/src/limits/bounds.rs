//! Who obeys which limit, and with which share: the one place that knows.

use std::{
    collections::BTreeMap,
    fmt,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use jiff::Timestamp;
use tidemark_gateway::{
    Env,
    causes::joined,
    limits::{Limit, Limits},
};
use tokio::sync::watch;

use super::{
    divide::divide,
    spec::{FEWEST_REQUESTS, LimitsSpec},
};

/// A listener's share of a policy's limit, as a multiple of the daemon's: while listeners work for a run, the daemon only reads
/// their answers.
const OF_POLICY: u64 = 8;

/// The same for a store: the daemon may do other work in it meanwhile, such as a restore.
const OF_STORE: u64 = 1;

/// Whose limit it is, by name.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Owner {
    /// A store's.
    Store(String),
    /// A policy's.
    Policy(String),
}

impl Owner {
    fn weight(&self) -> u64 {
        match self {
            Self::Store(_) => OF_STORE,
            Self::Policy(_) => OF_POLICY,
        }
    }
}

impl fmt::Display for Owner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Store(name) => write!(f, "store {name}"),
            Self::Policy(name) => write!(f, "policy {name}"),
        }
    }
}

/// All limits that somebody obeys; a cheap handle.
#[derive(Clone)]
pub struct Bounds(Arc<Inner>);

struct Inner {
    env: Env,
    state: Mutex<State>,
    /// Told when a listener that waits to come may do so.
    changed: watch::Sender<()>,
}

#[derive(Default)]
struct State {
    pools: BTreeMap<Owner, Pool>,
    listeners: BTreeMap<u64, Listener>,
    serial: u64,
}

/// A limit that is divided.
struct Pool {
    spec: LimitsSpec,
    /// In force.
    limit: Limit,
    /// The daemon's share.
    own: Limits,
    /// Runs that hold it; a store's is there for good.
    holders: usize,
}

struct Listener {
    owners: Vec<Owner>,
    share: watch::Sender<Limit>,
}

impl Bounds {
    /// No limits yet.
    pub fn new(env: Env) -> Self {
        Self(Arc::new(Inner { env, state: Mutex::default(), changed: watch::Sender::new(()) }))
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The daemon's share of a store's limit. `spec` is what it says where it was not known yet.
    pub fn store(&self, name: &str, spec: &LimitsSpec) -> Limits {
        self.pool(Owner::Store(name.to_owned()), spec, 0)
    }

    /// The daemon's share of a policy's limit, for a run of it. `spec` is what it says where no run of it is at work.
    pub fn policy(&self, name: &str, spec: &LimitsSpec) -> Held {
        let owner = Owner::Policy(name.to_owned());
        Held { limits: self.pool(owner.clone(), spec, 1), bounds: self.clone(), owner }
    }

    fn pool(&self, owner: Owner, spec: &LimitsSpec, holders: usize) -> Limits {
        let mut state = self.lock();
        let pool = state.pools.entry(owner.clone()).or_insert_with(|| Pool::new(&owner, spec));
        pool.holders += holders;
        let own = pool.own.clone();
        self.divide(&mut state);
        own
    }

    /// Whose limits somebody obeys.
    pub fn owners(&self) -> Vec<Owner> {
        self.lock().pools.keys().cloned().collect()
    }

    /// What is said of a limit now; it is in force before this returns. Nothing where nobody obeys it.
    pub fn define(&self, owner: &Owner, spec: LimitsSpec) {
        let mut state = self.lock();
        let Some(pool) = state.pools.get_mut(owner).filter(|pool| pool.spec != spec) else { return };
        pool.spec = spec;
        pool.warn(owner);
        self.divide(&mut state);
    }

    /// Looks at the clock: other hours may have begun.
    pub fn look(&self) {
        self.divide(&mut self.lock());
    }

    /// A place among the listeners that obey the limits of these owners.
    pub fn bound(&self, owners: Vec<Owner>) -> Bound {
        Bound { bounds: Some(self.clone()), owners }
    }

    fn divide(&self, state: &mut State) {
        self.divide_at(state, self.0.env.now());
    }

    /// Gives everybody his share of what is in force at `now`.
    fn divide_at(&self, state: &mut State, now: Timestamp) {
        let State { pools, listeners, .. } = state;
        let mut shares = BTreeMap::new();
        for (owner, pool) in pools {
            let limit = pool.spec.at(now);
            if std::mem::replace(&mut pool.limit, limit) != limit {
                tracing::info!(%owner, ?limit, "another limit is in force");
            }
            let divided = divide(limit, count(listeners, owner), owner.weight());
            pool.own.set(divided.own);
            shares.insert(owner, divided.listener);
        }
        for Listener { owners, share } in listeners.values() {
            let least = owners.iter().filter_map(|owner| shares.get(owner)).fold(Limit::default(), |a, b| a.least(*b));
            share.send_if_modified(|share| std::mem::replace(share, least) != least);
        }
        self.0.changed.send_replace(());
    }

    /// A listener's share, where there are requests enough for one more.
    fn try_enter(&self, owners: &[Owner]) -> Option<Share> {
        let mut state = self.lock();
        let room =
            |owner: &Owner| state.pools.get(owner).is_none_or(|pool| pool.has_room(count(&state.listeners, owner)));
        if !owners.iter().all(room) {
            return None;
        }
        state.serial += 1;
        let (id, (sender, share)) = (state.serial, watch::channel(Limit::default()));
        state.listeners.insert(id, Listener { owners: owners.to_vec(), share: sender });
        self.divide(&mut state);
        drop(state);
        Some(Share { share, _place: Some(Place { bounds: self.clone(), id }) })
    }
}

/// Listeners that obey a limit.
fn count(listeners: &BTreeMap<u64, Listener>, owner: &Owner) -> u64 {
    listeners.values().map(|listener| u64::from(listener.owners.contains(owner))).sum()
}

impl Pool {
    fn new(owner: &Owner, spec: &LimitsSpec) -> Self {
        let pool = Self { spec: spec.clone(), limit: Limit::default(), own: Limits::default(), holders: 0 };
        pool.warn(owner);
        pool
    }

    /// Whether each of one more listener and the daemon has a request then.
    fn has_room(&self, listeners: u64) -> bool {
        let fewest = usize::try_from(FEWEST_REQUESTS).unwrap_or(usize::MAX);
        let most = self.limit.requests.map_or(usize::MAX, |most| most.max(fewest));
        usize::try_from(listeners).unwrap_or(usize::MAX).saturating_add(fewest) <= most
    }

    fn warn(&self, owner: &Owner) {
        if let Err(error) = self.spec.windows() {
            tracing::warn!(%owner, error = joined(&error), "hours of a limit are not understood here: the least of it holds");
        }
    }
}

/// The daemon's share of a policy's limit, while it lives.
pub struct Held {
    limits: Limits,
    bounds: Bounds,
    owner: Owner,
}

impl Held {
    /// The share.
    pub fn limits(&self) -> Limits {
        self.limits.clone()
    }

    /// Whose it is.
    pub fn owner(&self) -> Owner {
        self.owner.clone()
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        let mut state = self.bounds.lock();
        if let Some(pool) = state.pools.get_mut(&self.owner) {
            pool.holders -= 1;
            if pool.holders == 0 {
                state.pools.remove(&self.owner);
                self.bounds.divide(&mut state);
            }
        }
    }
}

/// The limits that a listener will obey; by default none.
#[derive(Clone, Default)]
pub struct Bound {
    bounds: Option<Bounds>,
    owners: Vec<Owner>,
}

impl Bound {
    /// The same, with the limit of this owner too.
    #[must_use]
    pub fn and(mut self, owner: Owner) -> Self {
        self.owners.push(owner);
        self
    }

    /// Waits until there is a request at a time for one more listener in each of the limits; who comes in is there until the share
    /// is dropped.
    pub async fn enter(&self) -> Share {
        let Some(bounds) = &self.bounds else {
            return Share::default();
        };
        let mut changed = bounds.0.changed.subscribe();
        loop {
            changed.borrow_and_update();
            if let Some(share) = bounds.try_enter(&self.owners) {
                return share;
            }
            // An error would mean that the bounds are gone, and they are held here.
            let _ = changed.changed().await;
        }
    }
}

/// What a listener that works may ask of storage.
pub struct Share {
    share: watch::Receiver<Limit>,
    _place: Option<Place>,
}

impl Default for Share {
    /// No limits, for good.
    fn default() -> Self {
        Self { share: watch::channel(Limit::default()).1, _place: None }
    }
}

impl Share {
    /// The share now.
    pub fn now(&mut self) -> Limit {
        *self.share.borrow_and_update()
    }

    /// The share, once it is another than was last seen. Cancel safe.
    pub async fn changed(&mut self) -> Limit {
        if self.share.changed().await.is_err() {
            std::future::pending::<()>().await;
        }
        self.now()
    }
}

/// A listener's place.
struct Place {
    bounds: Bounds,
    id: u64,
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut state = self.bounds.lock();
        state.listeners.remove(&self.id);
        self.bounds.divide(&mut state);
    }
}

#[cfg(test)]
mod tests;
