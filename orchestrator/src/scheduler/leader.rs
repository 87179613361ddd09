//! The leader's key: who turns slots into tasks.
//!
//! It saves work and keeps nothing safe: every transaction of a leader compares the key as it was taken, so that one that was
//! overtaken changes nothing any more.

use std::time::Duration;

use tokio_util::sync::CancellationToken;

use super::Error;
use crate::coordinator::{Cmp, Coordinator, Lease, Op, Revision};

/// The key.
pub const KEY: &str = "leader/sched";

/// Time to live of its lease.
const TTL: Duration = Duration::from_secs(10);

/// Longest wait before the key is looked at again.
const LOOK: Duration = Duration::from_secs(10);

/// The right to lead, as it was taken.
pub struct Leader {
    lease: Lease,
    revision: Revision,
}

impl Leader {
    /// Takes the key; `None` where another one has it.
    ///
    /// # Errors
    /// [`Error::Coordinator`].
    pub async fn take(coordinator: &dyn Coordinator, node: &str) -> Result<Option<Self>, Error> {
        let lease = coordinator.lease(TTL).await.map_err(failed)?;
        let (when, put) = (vec![Cmp::CreateRevision(KEY.to_owned(), 0)], vec![Op::put_leased(KEY, node, lease.id())]);
        let outcome = coordinator.txn(when, put, vec![]).await.map_err(failed)?;
        if outcome.succeeded {
            return Ok(Some(Self { lease, revision: outcome.revision }));
        }
        lease.revoke().await.map_err(failed)?;
        Ok(None)
    }

    /// The same once nobody else has the key; `None` where `shutdown` comes first.
    pub(super) async fn wait(
        coordinator: &dyn Coordinator,
        node: &str,
        shutdown: &CancellationToken,
    ) -> Result<Option<Self>, Error> {
        loop {
            if let Some(leader) = Self::take(coordinator, node).await? {
                return Ok(Some(leader));
            }
            let known = coordinator.get(KEY).await.map_err(failed)?;
            let Some(known) = known else { continue };
            let mut changes = coordinator.watch(KEY, known.mod_revision + 1).await.map_err(failed)?;
            tokio::select! {
                biased;
                () = shutdown.cancelled() => return Ok(None),
                _ = changes.next() => {}
                () = tokio::time::sleep(LOOK) => {}
            }
        }
    }

    /// What a transaction compares so that it is done by the leader or not at all.
    pub(super) fn condition(&self) -> Cmp {
        Cmp::ModRevision(KEY.to_owned(), self.revision)
    }

    /// Ends with [`Error::NotLeader`] where the key is not this one's any more.
    pub(super) async fn require(&self, coordinator: &dyn Coordinator) -> Result<(), Error> {
        let known = coordinator.get(KEY).await.map_err(failed)?;
        if known.is_some_and(|known| known.mod_revision == self.revision) { Ok(()) } else { Err(Error::NotLeader) }
    }

    /// Ends once the lease is known to be gone.
    pub(super) async fn lost(&self) {
        self.lease.lost().cancelled().await;
    }

    /// Gives the key to whoever comes; where that fails it runs out with its lease.
    pub async fn step_down(self) {
        if let Err(error) = self.lease.revoke().await {
            tracing::debug!(error = %tidemark_gateway::causes::joined(&error), "the leader's key was not given back");
        }
    }
}

fn failed(source: crate::coordinator::Error) -> Error {
    Error::Coordinator { subject: "the leader's key", source }
}
