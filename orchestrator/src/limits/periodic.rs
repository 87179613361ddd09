//! Limits follow the clock, and what is registered.

use std::time::Duration;

use tokio_util::sync::CancellationToken;

use crate::stores::Stores;

/// Longest time from the begin of other hours until they are followed.
const LOOK: Duration = Duration::from_secs(5);

/// Looks again and again which limits are in force, until `shutdown`.
pub(crate) async fn run(stores: Stores, shutdown: CancellationToken) {
    loop {
        tokio::select! {
            () = shutdown.cancelled() => return,
            () = tokio::time::sleep(LOOK) => stores.renew_limits().await,
        }
    }
}
