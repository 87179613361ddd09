//! Leases of this process, in memory. Each has a task that renews it every third of its time to live while its handle is
//! held, and deletes its keys when the time has run out without one.

use std::{
    collections::{BTreeSet, HashMap},
    sync::{Arc, Mutex, MutexGuard, PoisonError, Weak},
    time::Duration,
};

use async_trait::async_trait;
use tokio_util::sync::CancellationToken;

use super::{
    super::{Error, Lease, LeaseId, lease::Keeper},
    Inner, blocking,
};

/// The leases that are alive.
#[derive(Default)]
pub(super) struct Leases {
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    last: u64,
    alive: HashMap<LeaseId, Alive>,
    /// Those whose keys are still to be deleted.
    ended: BTreeSet<LeaseId>,
}

struct Alive {
    /// Monotonic time of its end.
    deadline: Duration,
    lost: CancellationToken,
}

impl Leases {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn is_alive(&self, id: LeaseId) -> bool {
        self.lock().alive.contains_key(&id)
    }

    fn insert(&self, deadline: Duration) -> (LeaseId, CancellationToken) {
        let mut state = self.lock();
        state.last += 1;
        let (id, lost) = (LeaseId(state.last), CancellationToken::new());
        state.alive.insert(id, Alive { deadline, lost: lost.clone() });
        (id, lost)
    }

    fn renew(&self, id: LeaseId, deadline: Duration) {
        if let Some(alive) = self.lock().alive.get_mut(&id) {
            alive.deadline = deadline;
        }
    }

    fn deadline(&self, id: LeaseId) -> Duration {
        self.lock().alive.get(&id).map_or(Duration::ZERO, |a| a.deadline)
    }

    /// Ends a lease, once.
    fn remove(&self, id: LeaseId) {
        let mut state = self.lock();
        if let Some(alive) = state.alive.remove(&id) {
            alive.lost.cancel();
            state.ended.insert(id);
        }
    }

    /// Leases that have ended and whose keys are still to be deleted.
    pub(super) fn ended(&self) -> BTreeSet<LeaseId> {
        self.lock().ended.clone()
    }

    /// The keys of a lease that has ended are deleted.
    pub(super) fn swept(&self, id: LeaseId) {
        self.lock().ended.remove(&id);
    }
}

/// Grants a lease and starts the task that keeps it; the task ends with the lease or with the coordinator.
pub(super) fn grant(inner: &Arc<Inner>, ttl: Duration) -> Lease {
    let (id, lost) = inner.leases.insert(inner.env.monotonic() + ttl);
    let dropped = CancellationToken::new();
    let handle = Handle { id, inner: Arc::clone(inner), lost: lost.clone(), dropped: dropped.clone() };
    tokio::spawn(keep(Arc::downgrade(inner), id, ttl, dropped, lost));
    Lease::new(id, handle)
}

struct Handle {
    id: LeaseId,
    inner: Arc<Inner>,
    lost: CancellationToken,
    dropped: CancellationToken,
}

impl Drop for Handle {
    fn drop(&mut self) {
        self.dropped.cancel();
    }
}

#[async_trait]
impl Keeper for Handle {
    fn deadline(&self) -> Duration {
        self.inner.leases.deadline(self.id)
    }

    fn lost(&self) -> CancellationToken {
        self.lost.clone()
    }

    async fn revoke(&self) -> Result<(), Error> {
        end(&self.inner, self.id).await
    }
}

/// Renews the lease until its handle is dropped, then lets it run out. Holds no strong reference while it waits, so that the
/// state directory is free once its last user is gone.
async fn keep(inner: Weak<Inner>, id: LeaseId, ttl: Duration, dropped: CancellationToken, lost: CancellationToken) {
    loop {
        tokio::select! {
            () = lost.cancelled() => return,
            () = dropped.cancelled() => break,
            () = tokio::time::sleep(ttl / 3) => {}
        }
        let Some(inner) = inner.upgrade() else { return };
        inner.leases.renew(id, inner.env.monotonic() + ttl);
    }
    tokio::select! {
        () = lost.cancelled() => return,
        () = tokio::time::sleep(ttl) => {}
    }
    let Some(inner) = inner.upgrade() else { return };
    if let Err(error) = end(&inner, id).await {
        tracing::error!(lease = %id, error = %tidemark_gateway::causes::joined(&error), "keys of an expired lease were not deleted");
    }
}

/// Ends a lease and deletes its keys in one transaction; where that fails, before the next transaction.
async fn end(inner: &Arc<Inner>, id: LeaseId) -> Result<(), Error> {
    inner.leases.remove(id);
    let inner = Arc::clone(inner);
    blocking("end a lease", move || inner.sweep()).await
}
