//! Leases: time-bound rights that keys hang on.

use std::{fmt, time::Duration};

use async_trait::async_trait;
use tokio_util::sync::CancellationToken;

/// Id of a lease, never 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct LeaseId(pub u64);

impl fmt::Display for LeaseId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// A lease that its backend keeps alive. Dropped, it runs out after its time to live, as that of a killed process does.
pub struct Lease {
    id: LeaseId,
    keeper: Box<dyn Keeper>,
}

/// What a backend does for a lease.
#[async_trait]
pub(crate) trait Keeper: Send + Sync {
    /// See [`Lease::deadline`].
    fn deadline(&self) -> Duration;
    /// Cancelled once the lease is gone.
    fn lost(&self) -> CancellationToken;
    /// Ends the lease and deletes its keys.
    async fn revoke(&self) -> Result<(), super::Error>;
}

impl Lease {
    pub(crate) fn new(id: LeaseId, keeper: Box<dyn Keeper>) -> Self {
        Self { id, keeper }
    }

    /// Its id, to hang keys on.
    pub fn id(&self) -> LeaseId {
        self.id
    }

    /// Monotonic time ([`tidemark_gateway::Env::monotonic`]) until which the lease holds for certain. Nothing new is started
    /// within a margin before it.
    pub fn deadline(&self) -> Duration {
        self.keeper.deadline()
    }

    /// Cancelled once the lease is known to be gone. It may be gone earlier than that is known: see [`Self::deadline`].
    pub fn lost(&self) -> CancellationToken {
        self.keeper.lost()
    }

    /// Ends the lease now: its keys are deleted in one transaction.
    ///
    /// # Errors
    /// [`super::Error::Backend`].
    pub async fn revoke(self) -> Result<(), super::Error> {
        self.keeper.revoke().await
    }
}
