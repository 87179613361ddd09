//! The daemons of a cluster: `node/<name>`, leased, says where each is and what it does.
//!
//! No two daemons have one name at a time: the second waits until the first one's lease has ended, and does nothing until then.

pub(crate) mod drain;

use std::{sync::Arc, time::Duration};

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use tidemark_gateway::{Env, causes};
use tokio_util::sync::CancellationToken;

use crate::coordinator::{self, Cmp, Coordinator, Lease, Op, list_all};

/// What all keys of nodes start with.
const NODES: &str = "node/";

/// The release of this program.
pub(crate) const RELEASE: &str = env!("CARGO_PKG_VERSION");

/// The role of a daemon that runs operations.
pub(crate) const WORKER: &str = "worker";

/// Time to live of a node's lease.
const TTL: Duration = Duration::from_secs(10);

/// Time until what failed is tried again.
const RETRY: Duration = Duration::from_secs(1);

/// A daemon, as it says of itself.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct NodeRecord {
    /// Its name.
    pub name: String,
    /// Address of its API.
    pub address: String,
    /// Its version.
    pub version: String,
    /// What it does besides answering the API.
    pub roles: Vec<String>,
    /// When it was started.
    pub started: Timestamp,
}

/// A node with what it does now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Node {
    /// As it says.
    pub record: NodeRecord,
    /// True where it turns policies into operations.
    pub leads: bool,
    /// True where it takes no new work.
    pub drains: bool,
    /// Operations that it runs.
    pub tasks: Vec<String>,
}

impl NodeRecord {
    /// True where it runs operations.
    pub(crate) fn works(&self) -> bool {
        self.roles.iter().any(|role| role == WORKER)
    }
}

/// What all daemons that are there say of themselves, by name.
///
/// # Errors
/// [`coordinator::Error`].
pub(crate) async fn records(coordinator: &dyn Coordinator) -> Result<Vec<NodeRecord>, coordinator::Error> {
    let (nodes, _) = list_all(coordinator, NODES).await?;
    // What another release says may be of another form.
    Ok(nodes.iter().filter_map(|kv| serde_json::from_slice(&kv.value).ok()).collect())
}

/// All daemons that are there, by name, with what each does.
///
/// # Errors
/// [`coordinator::Error`].
pub async fn all(coordinator: &dyn Coordinator) -> Result<Vec<Node>, coordinator::Error> {
    let nodes = records(coordinator).await?;
    let (claims, _) = list_all(coordinator, "claim/").await?;
    let leader = coordinator.get(crate::scheduler::leader::KEY).await?;
    let draining = drain::all(coordinator).await?;
    let node = |record: NodeRecord| {
        let leads = leader.as_ref().is_some_and(|kv| kv.value == record.name.as_bytes());
        let own = claims.iter().filter(|kv| kv.value == record.name.as_bytes());
        let tasks = own.filter_map(|kv| Some(kv.key.strip_prefix("claim/")?.to_owned())).collect();
        let drains = draining.contains(&record.name);
        Node { record, leads, drains, tasks }
    };
    Ok(nodes.into_iter().map(node).collect())
}

/// Keeps a daemon's record where all can read it, until `shutdown`; `joined` is cancelled once it is there first.
pub(crate) async fn keep(
    coordinator: Arc<dyn Coordinator>,
    record: NodeRecord,
    joined: CancellationToken,
    shutdown: CancellationToken,
    env: Env,
) {
    while !shutdown.is_cancelled() {
        let lease = tokio::select! {
            biased;
            () = shutdown.cancelled() => return,
            lease = join(&*coordinator, &record, &env) => lease,
        };
        joined.cancel();
        let lost = lease.lost();
        tokio::select! {
            biased;
            () = lost.cancelled() => tracing::warn!(node = record.name, "this daemon was not heard of for long, it joins again"),
            () = shutdown.cancelled() => {
                if let Err(error) = lease.revoke().await {
                    tracing::debug!(error = causes::joined(&error), "the node's record runs out");
                }
                return;
            }
        }
    }
}

/// Waits until the name is free, and takes it.
async fn join(coordinator: &dyn Coordinator, record: &NodeRecord, env: &Env) -> Lease {
    let (began, mut said) = (env.monotonic(), false);
    loop {
        match try_join(coordinator, record).await {
            Ok(Some(lease)) => return lease,
            Ok(None) if !said && env.monotonic() > began + TTL * 2 => {
                said = true;
                tracing::error!(node = record.name, "another daemon has this name: nothing is done until it ends");
            }
            Ok(None) => {}
            Err(error) => tracing::warn!(error = causes::joined(&error), "the cluster cannot be joined, trying again"),
        }
        tokio::time::sleep(RETRY).await;
    }
}

async fn try_join(coordinator: &dyn Coordinator, record: &NodeRecord) -> Result<Option<Lease>, coordinator::Error> {
    let key = format!("{NODES}{}", record.name);
    if coordinator.get(&key).await?.is_some() {
        return Ok(None);
    }
    let lease = coordinator.lease(TTL).await?;
    let bytes = serde_json::to_vec(record).expect("a record is plain data");
    let (when, put) = (vec![Cmp::CreateRevision(key.clone(), 0)], vec![Op::put_leased(key, bytes, lease.id())]);
    if coordinator.txn(when, put, vec![]).await?.succeeded {
        return Ok(Some(lease));
    }
    lease.revoke().await?;
    Ok(None)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::coordinator::embedded::Embedded;

    #[tokio::test]
    async fn a_name_is_had_by_one_daemon_at_a_time_and_shown_with_what_it_does() {
        let (state, env) = (tempfile::tempdir().unwrap(), Env::system());
        let coordinator = Embedded::open(state.path(), env.clone()).unwrap();
        let record = |name: &str| NodeRecord {
            name: name.to_owned(),
            address: "127.0.0.1:1".to_owned(),
            version: "1".to_owned(),
            roles: vec!["worker".to_owned()],
            started: env.now(),
        };
        let one = try_join(&coordinator, &record("a")).await.unwrap().unwrap();
        assert!(try_join(&coordinator, &record("a")).await.unwrap().is_none());
        let _two = try_join(&coordinator, &record("b")).await.unwrap().unwrap();
        let ops = vec![Op::put("claim/t1", "b"), Op::put("claim/t2", "b"), Op::put("leader/sched", "a")];
        coordinator.txn(vec![], ops, vec![]).await.unwrap();
        let seen: Vec<_> = all(&coordinator)
            .await
            .unwrap()
            .into_iter()
            .map(|node| (node.record.name, node.leads, node.tasks))
            .collect();
        let tasks = vec!["t1".to_owned(), "t2".to_owned()];
        assert_eq!(seen, [("a".to_owned(), true, vec![]), ("b".to_owned(), false, tasks)]);
        one.revoke().await.unwrap();
        assert!(try_join(&coordinator, &record("a")).await.unwrap().is_some());
    }
}
