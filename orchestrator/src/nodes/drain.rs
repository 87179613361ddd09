//! Daemons that take no new work: `drain/<name>`, which is there until somebody takes it back, whether or not the daemon is.

use std::{sync::Arc, time::Duration};

use tidemark_gateway::causes;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use crate::coordinator::{self, Coordinator, Op, WatchEvent, list_all};

/// What all these keys start with.
const DRAINING: &str = "drain/";

/// Longest time between two looks.
const LOOK: Duration = Duration::from_secs(30);

/// Time until what failed is tried again.
const RETRY: Duration = Duration::from_secs(1);

/// Names of the daemons that take no new work.
///
/// # Errors
/// [`coordinator::Error`].
pub(crate) async fn all(coordinator: &dyn Coordinator) -> Result<Vec<String>, coordinator::Error> {
    let (found, _) = list_all(coordinator, DRAINING).await?;
    Ok(found.into_iter().filter_map(|kv| Some(kv.key.strip_prefix(DRAINING)?.to_owned())).collect())
}

/// Says whether a daemon is to take new work.
///
/// # Errors
/// [`coordinator::Error`].
pub(crate) async fn set(coordinator: &dyn Coordinator, node: &str, drains: bool) -> Result<(), coordinator::Error> {
    let key = format!("{DRAINING}{node}");
    let op = if drains { Op::put(key, "") } else { Op::delete(key) };
    coordinator.txn(vec![], vec![op], vec![]).await.map(drop)
}

/// Tells a daemon whether it drains, until `stop`. Until it is known it does.
pub(crate) async fn follow(
    coordinator: Arc<dyn Coordinator>,
    node: String,
    drains: watch::Sender<bool>,
    stop: CancellationToken,
) {
    let key = format!("{DRAINING}{node}");
    while !stop.is_cancelled() {
        let looked = tokio::select! {
            () = stop.cancelled() => return,
            looked = look(&*coordinator, &key, &drains) => looked,
        };
        if let Err(error) = looked {
            tracing::debug!(error = causes::joined(&error), "whether this daemon drains is not known, asking again");
            tokio::select! {
                () = stop.cancelled() => return,
                () = tokio::time::sleep(RETRY) => {}
            }
        }
    }
}

/// Tells what is so now, and waits until it may have changed.
async fn look(
    coordinator: &dyn Coordinator,
    key: &str,
    drains: &watch::Sender<bool>,
) -> Result<(), coordinator::Error> {
    let (found, now) = coordinator.list(key, 1, None).await?;
    let is = found.iter().any(|kv| kv.key == key);
    if drains.send_replace(is) != is {
        tracing::info!(drains = is, "whether this daemon takes new work");
    }
    let mut changes = coordinator.watch(key, now + 1).await?;
    let (Ok(Some(WatchEvent::Changed(_) | WatchEvent::Resync) | None) | Err(_)) =
        tokio::time::timeout(LOOK, changes.next()).await;
    Ok(())
}

#[cfg(test)]
mod tests {
    use tidemark_gateway::Env;

    use super::*;
    use crate::coordinator::embedded::Embedded;

    #[tokio::test]
    async fn a_daemon_drains_from_when_somebody_says_so_until_somebody_takes_it_back() {
        let state = tempfile::tempdir().unwrap();
        let coordinator: Arc<dyn Coordinator> = Arc::new(Embedded::open(state.path(), Env::system()).unwrap());
        let (sender, mut drains) = watch::channel(true);
        let stop = CancellationToken::new();
        let follows = follow(Arc::clone(&coordinator), "a".to_owned(), sender, stop.clone());
        let story = async {
            drains.wait_for(|drains| !drains).await.unwrap();
            set(&*coordinator, "ab", true).await.unwrap();
            set(&*coordinator, "a", true).await.unwrap();
            drains.wait_for(|drains| *drains).await.unwrap();
            assert_eq!(all(&*coordinator).await.unwrap(), ["a", "ab"]);
            set(&*coordinator, "a", false).await.unwrap();
            drains.wait_for(|drains| !drains).await.unwrap();
            assert_eq!(all(&*coordinator).await.unwrap(), ["ab"]);
            stop.cancel();
        };
        tokio::join!(follows, story);
    }
}
