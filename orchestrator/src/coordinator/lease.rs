//! Leases: time-bound rights that keys hang on.

use std::{fmt, sync::Arc, time::Duration};

use async_trait::async_trait;
use tidemark_gateway::Env;
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
    keeper: Arc<dyn Keeper>,
}

/// Whether something may still be begun under a lease, asked of the clock itself: a process whose time stood for a while is told nothing
/// by timers before it goes on. Keeps the lease alive as the lease itself does.
#[derive(Clone)]
pub struct Hold {
    keeper: Arc<dyn Keeper>,
    margin: Duration,
    env: Env,
}

impl Hold {
    /// Ends when nothing may be begun under the lease any more.
    pub async fn ended(&self) {
        let lost = self.keeper.lost();
        loop {
            let left = self.keeper.deadline().saturating_sub(self.margin + self.env.monotonic());
            if left.is_zero() {
                tracing::warn!("a lease is about to end, nothing is begun under it any more");
                return;
            }
            tokio::select! {
                biased;
                () = lost.cancelled() => return,
                () = tokio::time::sleep(left) => {}
            }
        }
    }

    /// True until the margin before the lease's deadline, and while it is not known to be lost.
    pub fn lasts(&self) -> bool {
        !self.keeper.lost().is_cancelled() && self.env.monotonic() + self.margin < self.keeper.deadline()
    }
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
    pub(crate) fn new(id: LeaseId, keeper: impl Keeper + 'static) -> Self {
        Self { id, keeper: Arc::new(keeper) }
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

    /// What says whether something may still be begun under it, `margin` before its deadline.
    pub fn hold(&self, margin: Duration, env: Env) -> Hold {
        Hold { keeper: Arc::clone(&self.keeper), margin, env }
    }

    /// Ends the lease now: its keys are deleted in one transaction.
    ///
    /// # Errors
    /// [`super::Error::Backend`].
    pub async fn revoke(self) -> Result<(), super::Error> {
        self.keeper.revoke().await
    }
}

#[cfg(test)]
mod tests {
    use jiff::Timestamp;

    use super::*;

    struct Fixed(Duration, CancellationToken);

    #[async_trait]
    impl Keeper for Fixed {
        fn deadline(&self) -> Duration {
            self.0
        }

        fn lost(&self) -> CancellationToken {
            self.1.clone()
        }

        async fn revoke(&self) -> Result<(), super::super::Error> {
            Ok(())
        }
    }

    #[tokio::test]
    async fn nothing_is_begun_within_the_margin_or_once_a_lease_is_lost_whatever_timers_said() {
        let (env, margin) = (Env::seeded(1, Timestamp::UNIX_EPOCH), Duration::from_secs(3));
        let hold = |millis, lost: &CancellationToken| {
            Lease::new(LeaseId(1), Fixed(Duration::from_millis(millis), lost.clone())).hold(margin, env.clone())
        };
        let lost = CancellationToken::new();
        assert_eq!([3001, 3000, 2999, 0].map(|millis| hold(millis, &lost).lasts()), [true, false, false, false]);
        hold(3000, &lost).ended().await;
        lost.cancel();
        assert!(!hold(3001, &lost).lasts());
        hold(3001, &lost).ended().await;
    }
}
