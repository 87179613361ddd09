//! Leases: renewed every third of their time to live, and given up by this process before etcd may give them to another one.
//!
//! What a lease holds for certain is counted from the instant *before* the request that was answered was sent. A watchdog ends a
//! lease at that time whatever becomes of the renewal: one that is under way then comes too late.

use std::{
    sync::{Arc, Mutex, PoisonError, Weak},
    time::Duration,
};

use async_trait::async_trait;
use futures::{StreamExt as _, stream};
use tokio_util::sync::CancellationToken;
use tonic::{Code, Status};

use super::{
    super::{Error, Lease, LeaseId, lease::Keeper},
    CALL, Inner, failed,
    pool::Wire,
    proto::{LeaseGrantRequest, LeaseKeepAliveRequest, LeaseKeepAliveResponse, LeaseRevokeRequest},
};

/// A lease as this process knows it.
struct Held {
    id: LeaseId,
    /// Monotonic time of its end.
    deadline: Mutex<Duration>,
    lost: CancellationToken,
    dropped: CancellationToken,
}

impl Held {
    fn deadline(&self) -> Duration {
        *self.deadline.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn renewed(&self, deadline: Duration) {
        *self.deadline.lock().unwrap_or_else(PoisonError::into_inner) = deadline;
    }
}

/// Grants a lease and starts the task that keeps it; the task ends with the lease.
pub(super) async fn grant(inner: &Arc<Inner>, ttl: Duration) -> Result<Lease, Error> {
    inner.require_state("grant a lease")?;
    let asked = seconds(ttl);
    // The id is ours, so that asking again after a lost answer grants nothing twice.
    let id = (inner.env.noise() >> 1).max(1);
    let request = LeaseGrantRequest { id: id.cast_signed(), ttl: asked.cast_signed() };
    let sent = inner.env.monotonic();
    let granted = inner.pool.call(CALL, |wire| async move { wire.leases().lease_grant(wire.request(request)).await });
    let granted = match granted.await {
        Ok((answer, _)) => u64::try_from(answer.into_inner().ttl).unwrap_or(asked),
        Err(again) if again.maybe && is_there(&again.status) => asked,
        Err(broken) => return Err(failed("grant a lease", &broken)),
    };
    let ttl = Duration::from_secs(granted);
    let held = Held {
        id: LeaseId(id),
        deadline: Mutex::new(sent + ttl),
        lost: CancellationToken::new(),
        dropped: CancellationToken::new(),
    };
    let held = Arc::new(held);
    tokio::spawn(keep(Arc::downgrade(inner), Arc::clone(&held), ttl));
    Ok(Lease::new(LeaseId(id), Handle { inner: Arc::clone(inner), held }))
}

/// etcd counts in seconds.
fn seconds(ttl: Duration) -> u64 {
    ttl.as_secs() + u64::from(ttl.subsec_nanos() > 0)
}

/// True where a lease of this id was granted before.
fn is_there(status: &Status) -> bool {
    status.message().contains("lease already exists")
}

struct Handle {
    inner: Arc<Inner>,
    held: Arc<Held>,
}

impl Drop for Handle {
    fn drop(&mut self) {
        self.held.dropped.cancel();
    }
}

#[async_trait]
impl Keeper for Handle {
    fn deadline(&self) -> Duration {
        self.held.deadline()
    }

    fn lost(&self) -> CancellationToken {
        self.held.lost.clone()
    }

    async fn revoke(&self) -> Result<(), Error> {
        self.held.lost.cancel();
        let request = LeaseRevokeRequest { id: self.held.id.0.cast_signed() };
        let revoked =
            self.inner.pool.call(CALL, |wire| async move { wire.leases().lease_revoke(wire.request(request)).await });
        match revoked.await {
            Err(broken) if broken.status.code() != Code::NotFound => Err(failed("end a lease", &broken)),
            Ok(_) | Err(_) => Ok(()),
        }
    }
}

/// Renews a lease until its handle is dropped, and says that it is lost once it is, or may be.
async fn keep(inner: Weak<Inner>, held: Arc<Held>, ttl: Duration) {
    let Some((env, ended)) = inner.upgrade().map(|inner| (inner.env.clone(), inner.ended.clone())) else { return };
    let watchdog = async {
        loop {
            let left = held.deadline().saturating_sub(env.monotonic());
            if left.is_zero() {
                break;
            }
            tokio::time::sleep(left).await;
        }
    };
    tokio::select! {
        () = held.lost.cancelled() => {}
        () = ended.cancelled() => {}
        () = watchdog => {}
        () = renew(&inner, &held, ttl) => {}
    }
    held.lost.cancel();
}

/// Renews while the lease is held; returns once etcd says that it is gone.
async fn renew(inner: &Weak<Inner>, held: &Held, ttl: Duration) {
    loop {
        tokio::select! {
            () = held.dropped.cancelled() => std::future::pending().await,
            () = tokio::time::sleep(ttl / 3) => {}
        }
        let Some(inner) = inner.upgrade() else { return };
        let left = held.deadline().saturating_sub(inner.env.monotonic());
        let (id, env) = (held.id.0.cast_signed(), inner.env.clone());
        let alive = inner.pool.call(left, |wire| {
            let sent = env.monotonic();
            async move { Ok((sent, ping(wire, id).await?)) }
        });
        match alive.await {
            Ok(((sent, answer), _)) if answer.ttl > 0 => {
                held.renewed(sent + ttl.min(Duration::from_secs(answer.ttl.unsigned_abs())))
            }
            Ok(_) => return,
            Err(broken) => {
                tracing::warn!(lease = %held.id, error = broken.status.message(), "a lease was not renewed");
            }
        }
    }
}

async fn ping(wire: Wire, id: i64) -> Result<LeaseKeepAliveResponse, Status> {
    let requests = stream::once(async move { LeaseKeepAliveRequest { id } }).chain(stream::pending());
    let mut answers = wire.leases().lease_keep_alive(wire.request(requests)).await?.into_inner();
    answers.message().await?.ok_or_else(|| Status::unavailable("the stream ended at once"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lease_is_never_asked_for_shorter_than_wanted() {
        let of = |millis| seconds(Duration::from_millis(millis));
        assert_eq!([of(1), of(1000), of(1001), of(10_000)], [1, 1, 2, 10]);
    }
}
