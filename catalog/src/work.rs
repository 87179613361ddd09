//! Work roots: which stored objects a running task may still need, so that collection leaves them alone.
//!
//! A root names no object: every name carries the token that it was written under, or lies in the task's staged folder; a root
//! names the task, the tokens of its claims so far, and the versions that it reads. So it has the same size whatever the task
//! writes. Each claim writes one root before it writes anything else, under the claim's token, and remembers the reference in its
//! checkpoint; the next claim reads it from there and takes its tokens along.

use std::sync::Arc;

use jiff::Timestamp;
use object_store::ObjectStore;
use serde::{Deserialize, Serialize};

use crate::{
    document::{self, Document},
    ids::{FencingToken, SetId, TaskId, VersionId},
    names::Names,
    stored::StoredRef,
};

/// What a task keeps from collection.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct WorkRoot {
    /// The task.
    pub task: TaskId,
    /// Tokens of its claims whose objects it may still use, ascending; the last one wrote the root.
    pub tokens: Vec<FencingToken>,
    /// Versions that it reads.
    pub pins: Vec<VersionId>,
    /// Name of the node.
    pub node: String,
    /// Wall time of the node; orders nothing.
    pub written: Timestamp,
}

impl Document for WorkRoot {
    const KIND: &'static str = "work-root";
}

/// Writes `root` under the next name of its claim.
///
/// # Errors
/// As [`document::write`].
pub async fn write(
    store: &Arc<dyn ObjectStore>,
    names: &Names,
    set: &SetId,
    root: &WorkRoot,
) -> Result<StoredRef, document::Error> {
    document::write(store, &names.work(set), root).await
}

/// Tokens of the root of an earlier claim of `task`, ascending. A root that is damaged, gone or of another task is passed over
/// with a warning: what it kept may then be collected, and is looked for before it is used.
///
/// # Errors
/// [`document::Error`] where the store fails or refuses, and so says nothing about the root.
pub async fn tokens(
    store: &Arc<dyn ObjectStore>,
    root: &StoredRef,
    task: &TaskId,
) -> Result<Vec<FencingToken>, document::Error> {
    match document::read::<WorkRoot>(store, root).await {
        Ok(found) if found.task == *task => Ok(found.tokens),
        Ok(found) => {
            tracing::warn!(root = root.key, %task, found = %found.task, "a work root of another task is passed over");
            Ok(Vec::new())
        }
        Err(error) if error.is_of_the_store() => Err(error),
        Err(error) => {
            tracing::warn!(root = root.key, %task, %error, "a damaged work root is passed over");
            Ok(Vec::new())
        }
    }
}

#[cfg(test)]
mod tests {
    use object_store::{ObjectStoreExt, memory::InMemory};

    use super::*;
    use crate::testing::token;

    fn root(task: &str, revisions: &[u64]) -> WorkRoot {
        let tokens = revisions.iter().map(|revision| token(*revision)).collect();
        let task = task.parse().unwrap();
        WorkRoot { task, tokens, pins: Vec::new(), node: "n1".to_owned(), written: Timestamp::UNIX_EPOCH }
    }

    #[tokio::test]
    async fn the_next_claim_finds_the_tokens_of_the_ones_before() {
        let store: Arc<dyn ObjectStore> = Arc::new(InMemory::new());
        let names = Names::new("s".parse().unwrap(), token(9));
        let set = "daily".parse().unwrap();
        let stored = write(&store, &names, &set, &root("one", &[3, 9])).await.unwrap();
        assert_eq!(stored.key, format!("sources/s/sets/daily/work/{}/0000000000", token(9)));
        assert_eq!(tokens(&store, &stored, &"one".parse().unwrap()).await.unwrap(), [token(3), token(9)]);
    }

    #[tokio::test]
    async fn a_root_that_is_foreign_damaged_or_gone_ends_nothing() {
        let store: Arc<dyn ObjectStore> = Arc::new(InMemory::new());
        let names = Names::new("s".parse().unwrap(), token(9));
        let set = "daily".parse().unwrap();
        let stored = write(&store, &names, &set, &root("one", &[9])).await.unwrap();
        let (one, two): (TaskId, TaskId) = ("one".parse().unwrap(), "two".parse().unwrap());
        assert!(tokens(&store, &stored, &two).await.unwrap().is_empty());
        store.put(&stored.path(), "?".into()).await.unwrap();
        assert!(tokens(&store, &stored, &one).await.unwrap().is_empty());
        store.delete(&stored.path()).await.unwrap();
        assert!(tokens(&store, &stored, &one).await.unwrap().is_empty());
    }
}
